"""Between 8-bit pictures and the flow's real numbers. Tensors in, tensors out."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["bin_centers", "dequantize", "to_levels"]


def bin_centers(levels: Tensor, n_bits: int = 8) -> Tensor:
    """uint8 pictures to the middle of each bin, (level + 0.5) / 2^n_bits, float32 in (0, 1).

    For encoding: deterministic, and as far as can be from the next level. With fewer than 8
    bits the low bits of ``levels`` are dropped first.
    """
    return (_reduced(levels, n_bits) + 0.5) / 2**n_bits


def dequantize(
    levels: Tensor,
    n_bits: int = 8,
    generator: torch.Generator | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """uint8 pictures to uniform draws from each bin, (level + u) / 2^n_bits with u ~ U[0, 1).

    u is ``noise``, of the shape of ``levels``, or drawn by ``generator``.

    For training and for bits/dim: the density of the result bounds the probability of the
    picture from below (Theis et al. 2016, section 3.1).
    """
    base = _reduced(levels, n_bits)
    if noise is None:
        device = generator.device if generator else levels.device
        noise = torch.rand(base.shape, generator=generator, device=device)
    return (base + noise.to(base.device)) / 2**n_bits


def to_levels(x: Tensor, n_bits: int = 8) -> Tensor:
    """Real images to uint8 pictures: level = clamp(floor(2^n_bits x)), as 8-bit values.

    Values outside [0, 1] are clamped, NaN becomes 0. With fewer bits each level is returned as
    the middle of its bin in 0..255, so white stays nearly white.
    """
    bins = 2**n_bits
    level = torch.nan_to_num(x.float(), nan=0.0).mul(bins).floor().clamp(0, bins - 1)
    if n_bits < 8:
        level = (level + 0.5) * (256 // bins)
    return level.to(torch.uint8)


def _reduced(levels: Tensor, n_bits: int) -> Tensor:
    if levels.dtype != torch.uint8:
        raise TypeError(f"Pictures are uint8 tensors, not {levels.dtype}.")
    return (levels >> (8 - n_bits)).float()
