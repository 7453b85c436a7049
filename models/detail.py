"""A detail level: twice the resolution on top of a flow that knows the smaller image."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from models.bijection import Bijection
from models.haar import Haar
from models.layout import join_channels
from models.networks import Net
from models.prior import ContextPrior, log_normal
from models.step import FlowStep
from models.steps import FlowSteps

__all__ = ["DetailLevel"]

_TO_UNIT_VARIANCE = 4.0  # images around 0 have a deviation of about a quarter


class DetailLevel(Bijection):
    r"""Whitens the details of an image given its means, :math:`p(x) = p(m)\, p(d \mid m)`.

    A :class:`Haar` step parts an image around 0 into means m and details d. The details run
    through steps of flow and leave, whitened by a Gaussian prior; couplings and prior are all
    conditioned on features of m (Yu et al. 2020, Wavelet Flow; conditional couplings as in
    Lugmayr et al. 2020, SRFlow). The means go on as they are. Nothing here depends on the size of
    the image or on where in it a detail is, so the level can be trained on crops.

    Args:
        channels: of the image.
        context: maps the means, (N, channels, H, W), to the features.
        steps: of flow on the ``3 * channels`` details, with couplings that take the features.
        prior: of the same channels.
    """

    def __init__(
        self, channels: int, context: Net, steps: Iterable[FlowStep], prior: ContextPrior
    ) -> None:
        super().__init__()
        self.channels = channels
        self.haar = Haar()
        self.context = context
        self.steps = FlowSteps(steps)
        self.prior = prior

    def forward(
        self, x: Tensor, watch: Callable[[Tensor], None] | None = None
    ) -> tuple[Tensor, Tensor]:
        """``(y, log_det)``: (N, C, H, W) to (N, 4C, H/2, W/2), C means and 3C whitened details.

        ``watch`` is shown the state after each step.
        """
        h, haar_log_det = self.haar(x)
        means, details = h[:, : self.channels], h[:, self.channels :]
        code, log_det = self.whiten(means, details, watch)
        return join_channels(means, code), haar_log_det + log_det

    def inverse(self, y: Tensor, within: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Undo :meth:`forward`; ``within`` as of :meth:`models.steps.FlowSteps.inverse`."""
        means, code = y[:, : self.channels], y[:, self.channels :]
        context = self._features(means)
        details = self.steps.inverse(self.prior.inverse(code, context), within, context)
        return self.haar.inverse(join_channels(means, details))

    def whiten(
        self, means: Tensor, details: Tensor, watch: Callable[[Tensor], None] | None = None
    ) -> tuple[Tensor, Tensor]:
        """``(code, log_det)``: log p(details | means) = log N(code; 0, I) + log_det.

        Details and code are (N, 3C, H, W), of any size.
        """
        context = self._features(means)
        h, steps_log_det = self.steps(details, watch, context)
        code, prior_log_det = self.prior(h, context)
        return code, steps_log_det + prior_log_det

    def log_prob(self, means: Tensor, details: Tensor) -> Tensor:
        """log p(details | means), (N,), in nats, of orthonormal details (N, 3C, H, W)."""
        code, log_det = self.whiten(means, details)
        return log_normal(code.flatten(1)) + log_det

    @torch.no_grad()
    def initialize(self, x: Tensor) -> Tensor:
        """Data-dependent initialisation from images ``x`` around 0; returns their means."""
        h, _ = self.haar(x)
        means, details = h[:, : self.channels], h[:, self.channels :]
        context = self._features(means)
        for i, step in enumerate(self.steps):
            details = step.initialize(details, principal_axes=i == 0, context=context)
        return means

    def _features(self, means: Tensor) -> Tensor:
        return self.context(means * _TO_UNIT_VARIANCE)
