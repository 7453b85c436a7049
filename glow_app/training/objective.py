"""What a run minimises, and the pictures it is asked about."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models import Glow, bits_by_part, bits_per_dim

__all__ = ["Objective", "bits_by_part", "means_of"]


class Objective(nn.Module):
    """Bits a number of each image of a batch; a module, so that DDP sees every gradient.

    Args:
        model: what learns.
        details_only: only the finest detail level learns, given the means; the objective is bits
            a detail number, and images may be crops.
    """

    def __init__(self, model: Glow, details_only: bool = False) -> None:
        super().__init__()
        self.model, self.details_only = model, details_only
        if details_only:
            model.requires_grad_(False)
            model.levels[0].requires_grad_(True)

    def forward(self, x: Tensor) -> Tensor:
        """Bits (N,) of ``x`` (N, C, H, W) in [0, 1]."""
        n_bits = self.model.config.n_bits
        if not self.details_only:
            return bits_per_dim(self.model(x), self.model.dims, n_bits)
        detail_numbers = x[0].numel() * 3 // 4
        return bits_per_dim(self.model.detail_log_prob(x), detail_numbers, n_bits)


def means_of(x: Tensor, times: int) -> Tensor:
    """``x`` (N, C, H, W) with every 2x2 pixels replaced by their mean, so many times over."""
    for _ in range(times):
        x = F.avg_pool2d(x, 2)
    return x
