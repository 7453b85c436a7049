"""The learned prior at the top of the flow."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.bijection import Bijection
from models.coupling import bounded

__all__ = ["TopPrior"]


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
