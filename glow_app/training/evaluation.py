"""What is measured and shown of a model while it trains."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from glow_app.pictures.tensors import to_pictures
from glow_app.training.data import PackedPictures
from glow_app.training.distributed import World
from models import Glow, bin_centers, bits_per_dim, dequantize, to_levels

__all__ = ["held_out_bits_per_dim", "morph_strip", "noisy", "sample_grid"]


def noisy(levels: Tensor, sigma: float, noise: Tensor) -> Tensor:
    """uint8 pictures to real ones under Gaussian noise, instead of uniform dequantisation.

    For the noise-trained model of TarFlow (Zhai et al. 2024, section 2.4). ``sigma`` is the
    deviation for pictures on [-1, 1]; the result is on [0, 1], so half of it is added.
    ``noise`` is N(0, 1), of the shape of ``levels``.
    """
    return bin_centers(levels) + 0.5 * sigma * noise.to(levels.device)


@torch.no_grad()
def held_out_bits_per_dim(
    model: Glow,
    pictures: PackedPictures,
    rows: np.ndarray,
    world: World,
    noise: float = 0.0,
    batch: int = 64,
) -> float:
    """Mean bits/dim of ``rows`` with fixed dequantisation noise, the same on any ``world``.

    With ``noise`` above 0 it is of pictures under :func:`noisy`: a measure to follow such a run
    by, and not one to compare with that of a dequantised model.
    """
    bits, n_bits = torch.zeros((), dtype=torch.float64, device=world.device), model.config.n_bits
    for start in range(world.rank * batch, len(rows), world.size * batch):
        generator = torch.Generator().manual_seed(start)
        levels = pictures.tensor(rows[start : start + batch])
        if noise:
            x = noisy(levels, noise, torch.randn(levels.shape, generator=generator))
        else:
            x = dequantize(levels, n_bits, generator)
        bits += bits_per_dim(model(x.to(world.device)), model.dims, n_bits).double().sum()
    return world.total([float(bits)])[0] / len(rows)


def sample_grid(model: Glow, n: int, temperature: float = 0.7) -> np.ndarray:
    """The same ``n`` seeds each time: uint8 (n, S, S, 3)."""
    generator = torch.Generator().manual_seed(0)
    return to_pictures(to_levels(model.sample(n, temperature, generator), model.config.n_bits))


@torch.no_grad()
def morph_strip(
    model: Glow, pictures: PackedPictures, rows: np.ndarray, frames: int
) -> np.ndarray:
    """A morph between the first and the middle one of ``rows``: uint8 (frames, S, S, 3)."""
    n_bits = model.config.n_bits
    pair = pictures.tensor(rows[[0, len(rows) // 2]]).to(model.top.mean.device)
    z, _ = model.f(bin_centers(pair, n_bits))
    t = torch.linspace(0, 1, frames, device=z.device)[:, None]
    return to_pictures(to_levels(model.g(torch.lerp(z[:1], z[1:], t)), n_bits))
