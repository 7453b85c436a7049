"""Training images smaller than the pictures they are made of, in the two ways the program has."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from glow_app.training.objective import means_of
from models import dequantize

__all__ = ["mixture", "reduced"]

_SUPPORT = 3  # lobes of the Lanczos filter, as Pillow's
_FIXED_POINT = 2**22  # of Pillow's coefficients


def reduced(levels: Tensor, halvings: int) -> Tensor:
    """uint8 pictures (N, 3, S, S) as `glow_app.faces.face.prepare` makes them at S / 2^halvings.

    Pillow's Lanczos filter to the last level, rows and columns rounded in turn, computed where
    the pictures are: a GPU does not wait for the host.
    """
    if not halvings:
        return levels
    size = levels.shape[-1]
    matrix = _lanczos(size, size >> halvings, levels.device)
    rows = _rounded(levels.double() @ matrix.T)
    return _rounded(matrix @ rows).byte()


def _rounded(sums: Tensor) -> Tensor:
    """Levels 0 to 255 of fixed-point ``sums``, float64, which hold them exactly."""
    return ((sums + _FIXED_POINT / 2) / _FIXED_POINT).floor().clamp(0, 255)


@lru_cache(maxsize=8)
def _lanczos(size: int, small: int, device: torch.device) -> Tensor:
    """Fixed-point weights (small, size), float64, of Pillow's ``precompute_coeffs``."""
    scale = size / small
    centres = (torch.arange(small, dtype=torch.float64) + 0.5) * scale
    first = (centres - _SUPPORT * scale + 0.5).floor().clamp(min=0)
    last = (centres + _SUPPORT * scale + 0.5).floor().clamp(max=size)
    pixels = torch.arange(size, dtype=torch.float64)
    x = (pixels - centres[:, None] + 0.5) / scale
    inside = (pixels >= first[:, None]) & (pixels < last[:, None]) & (x.abs() < _SUPPORT)
    weights = torch.where(inside, torch.sinc(x) * torch.sinc(x / _SUPPORT), 0.0)
    weights = weights / weights.sum(dim=1, keepdim=True) * _FIXED_POINT
    return (weights + torch.sign(weights) * 0.5).trunc().to(device)


def mixture(levels: Tensor, halvings: int, n_bits: int, noise: Tensor) -> Tensor:
    """Images (N, 3, S / 2^halvings, ...) in [0, 1]: means and reduced pictures in turn.

    What is behind a detail level sees means of dequantised pictures, what is shown a small photo
    sees the 8-bit picture that the resampling filter left. One model can learn both.

    Args:
        levels: uint8 pictures (N, 3, S, S).
        halvings: at least 1.
        noise: uniform on [0, 1), of the shape of ``levels``, for the dequantisation of both.
    """
    images = means_of(dequantize(levels, n_bits, noise=noise), halvings)
    small = reduced(levels[1::2], halvings)
    its_noise = noise[1::2, :, : small.shape[2], : small.shape[3]]
    images[1::2] = dequantize(small, n_bits, noise=its_noise)
    return images
