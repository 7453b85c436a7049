"""Bits: 8-bit pictures to the flow's real numbers and back, and densities as bits per number."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.glow import Glow
from models.layers import exact_float32, log_normal


def bin_centers(levels: Tensor, n_bits: int = 8) -> Tensor:
    """Map uint8 pictures to the middle of each bin, (level + 0.5) / 2^n_bits, float32 in (0, 1).

    For encoding. With fewer than 8 bits the low bits of ``levels`` are dropped first.
    """
    return (_reduced(levels, n_bits) + 0.5) / 2**n_bits


def dequantize(
    levels: Tensor,
    n_bits: int = 8,
    generator: torch.Generator | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """Map uint8 pictures to uniform draws from each bin, (level + u) / 2^n_bits, u ~ U[0, 1).

    u is ``noise``, of the shape of ``levels``, or drawn by ``generator``. The density of the
    result bounds the probability of the picture from below (Theis et al. 2016, section 3.1).
    """
    base = _reduced(levels, n_bits)
    if noise is None:
        device = generator.device if generator else levels.device
        noise = torch.rand(base.shape, generator=generator, device=device)
    return (base + noise.to(base.device)) / 2**n_bits


def to_levels(x: Tensor, n_bits: int = 8) -> Tensor:
    """Map real images to uint8 pictures: level = clamp(floor(2^n_bits x)), as 8-bit values.

    Values outside [0, 1] are clamped, NaN becomes 0. Fewer bits give middles of bins in 0..255.
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


def bits_per_dim(log_prob: Tensor, dims: int, n_bits: int = 8) -> Tensor:
    """Return the bits that the model needs for one channel of one pixel; lower is better.

    ``log_prob`` (N,) in nats is the density on [0, 1]^dims of dequantised images, whose bins are
    2^-n_bits wide (Theis et al. 2016, section 3.1). Uniform noise costs at least ``n_bits``.
    """
    return n_bits - log_prob / (dims * math.log(2.0))


@torch.no_grad()
def bits_by_part(model: Glow, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``(total, parts)``: bits/dim (N,) of images, and bits a number (N, details + 1).

    The parts are the orthonormal details of each detail level given their means, finest first, and
    the means behind them as an image on [0, 1]^D. A mean is half of an orthonormal coefficient, so
    each of the D means behind a level counts in the total with one bit more.
    """
    d, n_bits = model.config.details, model.config.n_bits
    with exact_float32(x.device):
        codes, log_dets = zip(*model.encode_levels(x), strict=True)
    total, parts = x.new_zeros(()), []
    for code, log_det in zip(codes[:d], log_dets[:d], strict=True):
        log_prob, means = log_normal(code.flatten(1)) + log_det, code[0].numel() // 3
        total = total + log_prob
        parts.append(bits_per_dim(log_prob + math.log(2.0) * means, 3 * means, n_bits))
    behind = model.join_levels(codes[d:])
    log_prob = log_normal(behind) + sum(log_dets[d:])
    parts.append(bits_per_dim(log_prob, behind.shape[1], n_bits))
    return bits_per_dim(total + log_prob, model.dims, n_bits), torch.stack(parts, dim=1)
