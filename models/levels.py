"""The levels of a flow: one scale each, or the details between two scales."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from models.config import GlowConfig
from models.layers import (
    AffineCoupling,
    Bijection,
    ContextPrior,
    Haar,
    SplitPrior,
    Squeeze,
    TopPrior,
    by_channels,
    join_channels,
    log_normal,
)
from models.nets import NETS, LinearNet, Net, ResidualNet
from models.steps import FlowStep, FlowSteps

_TO_UNIT_VARIANCE = 4.0  # images around 0 have a deviation of about a quarter


class Level(Bijection):
    """One scale of the flow: squeeze, steps of flow, and a prior that whitens what leaves.

    Maps (N, C, H, W) to (N, 4C, H/2, W/2), or without ``squeeze`` to the same shape: first the
    ``next_channels`` that go on to the next level, and then this level's part of the code.
    """

    def __init__(
        self,
        squeeze: Squeeze | None,
        steps: Iterable[FlowStep],
        prior: SplitPrior | TopPrior,
        next_channels: int,
    ) -> None:
        super().__init__()
        self.squeeze = squeeze
        self.steps = FlowSteps(steps)
        self.prior = prior
        self.next_channels = next_channels

    def forward(
        self, x: Tensor, watch: Callable[[Tensor], None] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return ``(y, log_det)``; ``watch`` as in :meth:`FlowSteps.forward`."""
        h, steps_log_det = self.steps(self._enter(x), watch)
        y, prior_log_det = self.prior(h)
        return y, steps_log_det + prior_log_det

    def inverse(self, y: Tensor, within: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Undo :meth:`forward`; ``within`` as in :meth:`FlowSteps.inverse`."""
        h = self.steps.inverse(self.prior.inverse(y), within)
        return h if self.squeeze is None else self.squeeze.inverse(h)

    @torch.no_grad()
    def initialize(self, x: Tensor) -> Tensor:
        """Initialise from data ``x`` and return the channels that go on."""
        h = self.steps.initialize(self._enter(x), principal_axes=len(self.steps) > 1)
        return h[:, : self.next_channels]

    def _enter(self, x: Tensor) -> Tensor:
        return by_channels(x if self.squeeze is None else self.squeeze(x)[0])


class DetailLevel(Bijection):
    r"""Whitens the details of an image given its means, :math:`p(x) = p(m)\, p(d \mid m)`.

    A :class:`Haar` step splits an image around 0 into means m and details d. The details are
    squeezed, run through steps of flow and whitened by a Gaussian prior, all conditioned on
    features of m (Yu et al. 2020, Wavelet Flow; Lugmayr et al. 2020, SRFlow). Nothing here depends
    on the size of the image or on where in it a detail is, so crops are enough to train on.

    Maps (N, C, H, W) to (N, 4C, H/2, W/2): the C means, which go on to the next level, and 3C
    whitened details.

    Args:
        channels: C of the image.
        context: net that maps the means, (N, C, H/2, W/2), to C' features.
        steps: steps of flow on the 12 C channels of the squeezed details, with couplings that
            take the squeezed features, 4 C'.
        prior: prior of the same channels.
    """

    def __init__(
        self, channels: int, context: Net, steps: Iterable[FlowStep], prior: ContextPrior
    ) -> None:
        super().__init__()
        self.next_channels = channels
        self.haar = Haar()
        self.squeeze = Squeeze()
        self.context = context
        self.steps = FlowSteps(steps)
        self.prior = prior

    def forward(
        self, x: Tensor, watch: Callable[[Tensor], None] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return ``(y, log_det)``; ``watch`` as in :meth:`FlowSteps.forward`."""
        means, details, haar_log_det = self.split(x)
        code, log_det = self._whiten(means, details, watch)
        return join_channels(means, self.squeeze.inverse(code)), haar_log_det + log_det

    def inverse(self, y: Tensor, within: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Undo :meth:`forward`; ``within`` as in :meth:`FlowSteps.inverse`."""
        means, code = y[:, : self.next_channels], y[:, self.next_channels :]
        context = self.features(means)
        h = self.prior.inverse(by_channels(self.squeeze(code)[0]), context)
        details = self.squeeze.inverse(self.steps.inverse(h, within, context))
        return self.haar.inverse(join_channels(means, details))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> Tensor:
        """Initialise from images ``x`` around 0 and return their means."""
        means, details, _ = self.split(x)
        h = by_channels(self.squeeze(details)[0])
        self.steps.initialize(h, context=self.features(means))
        return means

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``(means, details, log_det)`` of the Haar step: C means, 3C details."""
        h, log_det = self.haar(x)
        return h[:, : self.next_channels], h[:, self.next_channels :], log_det

    def features(self, means: Tensor) -> Tensor:
        """Return the context of steps and prior, squeezed: (N, 4C', H/2, W/2)."""
        return self.squeeze(self.context(means * _TO_UNIT_VARIANCE))[0]

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(details | means), (N,), in nats, of the orthonormal details of ``x``."""
        means, details, _ = self.split(x)
        code, log_det = self._whiten(means, details)
        return log_normal(code.flatten(1)) + log_det

    def _whiten(
        self, means: Tensor, details: Tensor, watch: Callable[[Tensor], None] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the code, still squeezed, and its log-determinant."""
        context = self.features(means)
        h, steps_log_det = self.steps(by_channels(self.squeeze(details)[0]), watch, context)
        code, prior_log_det = self.prior(h, context)
        return code, steps_log_det + prior_log_det


def make_levels(config: GlowConfig) -> list[Level | DetailLevel]:
    """Make the levels of a flow, untrained, finest first."""
    # Made kind by kind, and not level by level, so that a seed gives the weights it always gave.
    details = [_detail_level(config, level) for level in range(config.details)]
    behind = range(config.details, config.levels)
    chains = [
        _steps(config, level, _net_maker(config, level, config.widths[level], blocks))
        for level, blocks in zip(behind, config.blocks[config.details :], strict=True)
    ]
    levels = []
    for level, steps in zip(behind, chains, strict=True):
        channels, _, _ = config.shapes()[level]
        squeeze = Squeeze() if config.squeeze else None
        if level == config.levels - 1:
            levels.append(Level(squeeze, steps, TopPrior(channels), next_channels=0))
        else:
            width = config.prior_width
            make_net = _net_maker(config, level, width, blocks=0) if width else LinearNet
            prior = SplitPrior(_half_net(config, channels, make_net))
            levels.append(Level(squeeze, steps, prior, next_channels=channels // 2))
    return [*details, *levels]


def _detail_level(config: GlowConfig, level: int) -> DetailLevel:
    channels, width = config.shapes()[level][0], config.context_width

    def make_net(c_in: int, c_out: int) -> Net:
        blocks = config.blocks[level]
        return ResidualNet(c_in, config.widths[level], c_out, None, blocks, context=4 * width)

    context = ResidualNet(config.channels, width, width, size=None, blocks=config.context_blocks)
    context.conv_out.reset_parameters()  # features of zero would pass no gradient on
    context.input_bound = config.input_bound
    steps = _steps(config, level, make_net)
    prior = ContextPrior(LinearNet(4 * width, 2 * channels))
    return DetailLevel(config.channels, context, steps, prior)


def _steps(config: GlowConfig, level: int, make_net: Callable[[int, int], Net]) -> list[FlowStep]:
    channels, _, _ = config.shapes()[level]

    def step() -> FlowStep:
        net = _half_net(config, channels, make_net)
        return FlowStep(channels, AffineCoupling(net, config.scale_bound))

    return [step() for _ in range(config.steps[level])]


def _half_net(config: GlowConfig, channels: int, make_net: Callable[[int, int], Net]) -> Net:
    """Make a net from the first half of the channels to a shift and a scale of the rest."""
    half = channels // 2
    net = make_net(half, 2 * (channels - half))
    net.input_bound = config.input_bound
    return net


def _net_maker(
    config: GlowConfig, level: int, width: int, blocks: int
) -> Callable[[int, int], Net]:
    _, size, _ = config.shapes()[level]
    make = NETS[config.net]
    return lambda c_in, c_out: make(c_in, width, c_out, size=size, blocks=blocks)
