"""Squeeze: trade resolution for channels (Dinh et al. 2017, RealNVP, section 3.6)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from models.bijection import Bijection

__all__ = ["Squeeze"]


class Squeeze(Bijection):
    """(N, C, H, W) to (N, 4C, H/2, W/2): every 2x2 block of pixels becomes channels.

    Only moves numbers about, so ``log_det`` is zero. H and W must be even.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        n, c, h, w = x.shape
        # PyTorch leaves the shape of an empty batch as it is.
        y = F.pixel_unshuffle(x, 2) if n else x.new_zeros(n, 4 * c, h // 2, w // 2)
        return y, x.new_zeros(n)

    def inverse(self, y: Tensor) -> Tensor:
        return F.pixel_shuffle(y, 2)
