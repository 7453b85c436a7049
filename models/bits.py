"""Bits: 8-bit pictures to the flow's real numbers and back, and densities as bits per number."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.glow import Glow


def bin_centers(levels: Tensor, n_bits: int = 8) -> Tensor:
    """Map uint8 pictures to the middle of each bin, (level + 0.5) / 2^n_bits, float32 in (0, 1).

    For encoding: deterministic, and as far as possible from the next level. With fewer than 8
    bits the low bits of ``levels`` are dropped first.
    """
    return (_reduced(levels, n_bits) + 0.5) / 2**n_bits


def dequantize(
    levels: Tensor,
    n_bits: int = 8,
    generator: torch.Generator | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """Map uint8 pictures to uniform draws from each bin, (level + u) / 2^n_bits, u ~ U[0, 1).

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
    """Map real images to uint8 pictures: level = clamp(floor(2^n_bits x)), as 8-bit values.

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


def bits_per_dim(log_prob: Tensor, dims: int, n_bits: int = 8) -> Tensor:
    """Return the bits that the model needs for one channel of one pixel; lower is better.

    ``log_prob`` (N,) in nats is the density on [0, 1]^dims of dequantised images. The bins are
    2^-n_bits wide, hence n_bits - log_prob / (dims ln 2) (Theis et al. 2016, section 3.1). No
    model can code uniform noise in fewer than ``n_bits``.
    """
    return n_bits - log_prob / (dims * math.log(2.0))


@torch.no_grad()
def bits_by_part(model: Glow, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``(total, parts)``: bits/dim (N,) of images, and bits a number (N, parts) of parts.

    The parts are the details of each detail level given their means, finest first, and the means
    behind them as an image of its own. A mean is half of an orthonormal coefficient: it weighs in
    the total with one bit more.
    """
    config, parts = model.config, model.log_prob_by_part(x).double()
    finer = [math.prod(shape) for shape in config.code_shapes()[: config.details]]
    means = [numbers // 3 for numbers in finer]  # behind each detail level
    log_prob = parts.sum(dim=1) - math.log(2.0) * sum(means)
    numbers = [*finer, model.dims - sum(finer)]
    each = [bits_per_dim(p, n, config.n_bits) for p, n in zip(parts.T, numbers, strict=True)]
    return bits_per_dim(log_prob, model.dims, config.n_bits), torch.stack(each, dim=1)
