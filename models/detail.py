"""A detail level: twice the resolution on top of a flow that knows the smaller image."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from models.bijection import Bijection
from models.haar import Haar
from models.layout import by_channels, join_channels
from models.networks import Net
from models.prior import ContextPrior, log_normal
from models.squeeze import Squeeze
from models.step import FlowStep
from models.steps import FlowSteps

__all__ = ["DetailLevel"]

_TO_UNIT_VARIANCE = 4.0  # images around 0 have a deviation of about a quarter


class DetailLevel(Bijection):
    r"""Whitens the details of an image given its means, :math:`p(x) = p(m)\, p(d \mid m)`.

    A :class:`Haar` step parts an image around 0 into means m and details d. The details are
    squeezed, run through steps of flow and leave, whitened by a Gaussian prior; couplings and
    prior are all conditioned on features of m (Yu et al. 2020, Wavelet Flow; conditional
    couplings as in Lugmayr et al. 2020, SRFlow). The means go on as they are. Nothing here depends
    on the size of the image or on where in it a detail is, so crops are enough to train on.

    Args:
        channels: C of the image.
        context: maps the means, (N, C, H/2, W/2), to C' features.
        steps: of flow on the 12 C channels of the squeezed details, with couplings that take the
            squeezed features, 4 C'.
        prior: of the same channels.
    """

    def __init__(
        self, channels: int, context: Net, steps: Iterable[FlowStep], prior: ContextPrior
    ) -> None:
        super().__init__()
        self.channels = channels
        self.haar = Haar()
        self.squeeze = Squeeze()
        self.context = context
        self.steps = FlowSteps(steps)
        self.prior = prior

    def forward(
        self, x: Tensor, watch: Callable[[Tensor], None] | None = None
    ) -> tuple[Tensor, Tensor]:
        """``(y, log_det)``: (N, C, H, W) to (N, 4C, H/2, W/2), C means and 3C whitened details.

        The whitened details are spread out again, to lie beside the means; ``watch`` is shown the
        state after each step.
        """
        means, details, haar_log_det = self.part(x)
        code, log_det = self.whiten(means, details, watch)
        return join_channels(means, self.squeeze.inverse(code)), haar_log_det + log_det

    def inverse(self, y: Tensor, within: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Undo :meth:`forward`; ``within`` as of :meth:`models.steps.FlowSteps.inverse`."""
        means, code = y[:, : self.channels], y[:, self.channels :]
        context = self.features(means)
        h = self.prior.inverse(by_channels(self.squeeze(code)[0]), context)
        details = self.squeeze.inverse(self.steps.inverse(h, within, context))
        return self.haar.inverse(join_channels(means, details))

    def part(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(means, details, log_det)`` of x: C channels, 3C orthonormal ones, and of the step."""
        h, log_det = self.haar(x)
        return h[:, : self.channels], h[:, self.channels :], log_det

    def whiten(
        self, means: Tensor, details: Tensor, watch: Callable[[Tensor], None] | None = None
    ) -> tuple[Tensor, Tensor]:
        """``(code, log_det)``: log p(details | means) = log N(code; 0, I) + log_det.

        Means and details are (N, C, H, W) and (N, 3C, H, W), of any even size; the code is
        squeezed, (N, 12C, H/2, W/2).
        """
        context = self.features(means)
        h, steps_log_det = self.steps(by_channels(self.squeeze(details)[0]), watch, context)
        code, prior_log_det = self.prior(h, context)
        return code, steps_log_det + prior_log_det

    def features(self, means: Tensor) -> Tensor:
        """What steps and prior are given as context, squeezed: (N, 4C', H/2, W/2)."""
        return self.squeeze(self.context(means * _TO_UNIT_VARIANCE))[0]

    def log_prob(self, means: Tensor, details: Tensor) -> Tensor:
        """log p(details | means), (N,), in nats, of orthonormal details (N, 3C, H, W)."""
        code, log_det = self.whiten(means, details)
        return log_normal(code.flatten(1)) + log_det

    @torch.no_grad()
    def initialize(self, x: Tensor) -> Tensor:
        """Data-dependent initialisation from images ``x`` around 0; returns their means."""
        means, details, _ = self.part(x)
        context = self.features(means)
        h = by_channels(self.squeeze(details)[0])
        for i, step in enumerate(self.steps):
            h = step.initialize(h, principal_axes=i == 0, context=context)
        return means
