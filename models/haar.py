"""The Haar step: means of 2x2 pixels, and what they leave out (Haar 1910)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.bijection import Bijection
from models.layout import by_channels

__all__ = ["Haar"]


class Haar(Bijection):
    r"""(N, C, H, W) to (N, 4C, H/2, W/2): C means, then C horizontal, vertical, diagonal details.

    Of each 2x2 block with pixels a b over c d, as one level of a wavelet flow parts an image (Yu
    et al. 2020, Wavelet Flow, section 3):

    .. math:: m = (a + b + c + d) / 4, \quad (a - b + c - d) / 2, \quad (a + b - c - d) / 2,
              \quad (a - b - c + d) / 2

    The details are orthonormal; the means are means, so that they are an image in [0, 1] like
    the one they come from. That costs ln 2 for each: ``log_det`` is -C H/2 W/2 ln 2. H and W
    must be even.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b, c, d = _corners(x)
        top, bottom, left, right = a + b, c + d, a - b, c - d
        parts = [
            (top + bottom) / 4,
            (left + right) / 2,
            (top - bottom) / 2,
            (left - right) / 2,
        ]
        y = by_channels(torch.cat(parts, dim=1))
        return y, y.new_full((len(x),), -math.log(2.0) * math.prod(parts[0].shape[1:]))

    def inverse(self, y: Tensor) -> Tensor:
        mean, horizontal, vertical, diagonal = y.chunk(4, dim=1)
        left, right = horizontal + diagonal, horizontal - diagonal
        top, bottom = mean + vertical / 2, mean - vertical / 2
        x = y.new_empty(len(y), mean.shape[1], 2 * y.shape[2], 2 * y.shape[3])
        x[..., ::2, ::2], x[..., ::2, 1::2] = top + left / 2, top - left / 2
        x[..., 1::2, ::2], x[..., 1::2, 1::2] = bottom + right / 2, bottom - right / 2
        return x


def _corners(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Views of the four pixels of every 2x2 block, row by row."""
    return x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
