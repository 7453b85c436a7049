"""The learned priors of what leaves the flow whole: at the top, and given features."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.bijection import Bijection
from models.coupling import bounded, heads
from models.networks import Net

__all__ = ["ContextPrior", "TopPrior", "log_normal"]


def log_normal(z: Tensor) -> Tensor:
    """log N(z; 0, I), (N,), in nats, of whitened codes ``z`` (N, D)."""
    return -0.5 * (z.square().sum(dim=1) + z.shape[1] * math.log(2 * math.pi))


class TopPrior(Bijection):
    r"""Whitens the last level by a learned mean and deviation: :math:`y = (x - \mu) / \sigma`.

    One mean and one deviation for each channel, as in openai/glow's ``prior`` with
    ``learntop``; :math:`\log\sigma` is bounded.

    Args:
        channels: number of channels C of (N, C, H, W) inputs.
        bound: largest absolute log-deviation.
    """

    def __init__(self, channels: int, bound: float = 3.0) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(channels))
        self.raw_log_std = nn.Parameter(torch.zeros(channels))
        self.bound = bound

    def _log_std(self, dtype: torch.dtype) -> Tensor:
        return bounded(self.raw_log_std.to(dtype), self.bound)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_std = self._log_std(x.dtype)
        y = (x - self.mean.view(1, -1, 1, 1)) * torch.exp(-log_std).view(1, -1, 1, 1)
        log_det = -log_std.sum() * (x.shape[2] * x.shape[3])
        return y, log_det.expand(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        std = self._log_std(y.dtype).exp().view(1, -1, 1, 1)
        return y * std + self.mean.view(1, -1, 1, 1)


class ContextPrior(Bijection):
    r"""Whitens all channels, given features c: :math:`y = (x - \mu(c)) / \sigma(c)`.

    Args:
        net: maps the features to twice the channels of x.
        bound: largest absolute log-deviation.
    """

    def __init__(self, net: Net, bound: float = 3.0) -> None:
        super().__init__()
        self.net = net
        self.bound = bound

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self._mean_and_log_std(context)
        return (x - mean) / log_std.exp(), -log_std.sum(dim=(1, 2, 3), dtype=x.dtype)

    def inverse(self, y: Tensor, context: Tensor) -> Tensor:
        mean, log_std = self._mean_and_log_std(context)
        return y * log_std.exp() + mean

    def _mean_and_log_std(self, context: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = heads(self.net(context))
        return mean, bounded(raw, self.bound)
