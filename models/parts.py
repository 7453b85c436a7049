"""What each part of a flow with detail levels needs of the bits."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.glow import Glow, bits_per_dim

__all__ = ["bits_by_part"]


@torch.no_grad()
def bits_by_part(model: Glow, x: Tensor) -> tuple[Tensor, Tensor]:
    """``(total, parts)``: bits/dim (N,) of images, and bits a number (N, parts) of their parts.

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
