"""Training images smaller than the pictures they are made of, in the two ways the program has."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor

from glow_app.pictures.opening import RESAMPLE
from glow_app.pictures.tensors import to_pictures, to_tensor
from glow_app.training.objective import means_of
from models import dequantize

__all__ = ["mixture", "reduced"]


def reduced(levels: Tensor, halvings: int) -> Tensor:
    """uint8 pictures (N, 3, S, S) as `glow_app.pictures.prepare` makes them at S / 2^halvings."""
    if not halvings:
        return levels
    pictures = to_pictures(levels)
    sides = (pictures.shape[2] >> halvings, pictures.shape[1] >> halvings)
    small = [np.asarray(Image.fromarray(p).resize(sides, RESAMPLE)) for p in pictures]
    return to_tensor(np.stack(small)).to(levels.device)


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
