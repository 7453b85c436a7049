"""Sliced Wasserstein distance between two sets of pictures, scale by scale.

Karras et al. 2018, "Progressive Growing of GANs", section 5: small patches of each level of a
Laplacian pyramid are taken for points, and two clouds of points are compared along many random
directions. A low distance at the finest level says that edges and noise are alike, at the
coarsest that large forms are.

Two things differ from the paper. There, each set's patches are normalised by that set's own mean
and deviation, which forgives a set that has too little contrast; contrast is just what a morph
loses, so both sets are normalised by the reference here. And there the last level is all that
remains of the picture; here it is a band like the others, because how bright the few hundred
people of two sets happen to be would drown the rest (brightness is measured by itself).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["LEVELS", "PatchReference", "laplacian_bands"]

LEVELS: Final = 3  # 64, 32 and 16 px for pictures of 64 px
PATCH: Final = 7  # pixels a side
DIRECTIONS: Final = 256
PATCHES: Final = 2**13  # of each set, a level. 2^15 takes 4 from the real-to-real floor of 22
SCALE: Final = 1000.0

_BINOMIAL: Final = (1.0, 4.0, 6.0, 4.0, 1.0)


def laplacian_bands(pictures: Tensor, levels: int = LEVELS) -> list[Tensor]:
    """What each scale of pictures has that the next coarser one has not, finest first.

    The Laplacian pyramid of Burt & Adelson (1983) with a 5 x 5 binomial filter and reflection at
    the border, without the low-pass picture that remains at last.

    Args:
        pictures: (N, C, H, W), both sides multiples of 2^levels and at least 3·2^levels.

    Returns:
        ``levels`` tensors (N, C, H / 2^l, W / 2^l).
    """
    bands = []
    for _ in range(levels):
        small = _blurred(pictures)[:, :, ::2, ::2]
        bands.append(pictures - _enlarged(small))
        pictures = small
    return bands


class PatchReference:
    """A set of pictures that others are compared with.

    Args:
        pictures: (N, S, S, 3) uint8, S a multiple of 8 and at least 32.
        patches: how many are drawn on each level, at random places, as many from any picture.
        seed: of the places and of the directions, the same for whatever is compared.
    """

    def __init__(self, pictures: np.ndarray, patches: int = PATCHES, seed: int = 0) -> None:
        self._patches, self._seed = patches, seed
        generator = torch.Generator().manual_seed(seed)
        directions = torch.randn(DIRECTIONS, 3 * PATCH * PATCH, generator=generator)
        self._directions = directions / directions.norm(dim=1, keepdim=True)
        self._norms: list[tuple[Tensor, Tensor]] = []
        self._sorted: list[Tensor] = []
        for points in self._clouds(pictures, seed + 1):
            mean = points.mean(dim=(0, 2), keepdim=True)
            deviation = (points - mean).square().mean(dim=(0, 2), keepdim=True).sqrt()
            self._norms.append((mean, deviation.clamp(min=1e-6)))
            self._sorted.append(self._projected(points, len(self._norms) - 1))

    def distance(self, pictures: np.ndarray) -> np.ndarray:
        """How far a set of pictures (M, S, S, 3) uint8 is from the reference.

        The mean over directions of the mean |difference| of the sorted projections of both clouds
        (the 1-Wasserstein distance on a line), times 1000: noise with half the contrast of a
        reference of noise is 400 away. The sets may have different sizes, but real pictures are
        not at 0 from each other either: a floor takes as many as are compared.

        Returns:
            (3,) float64, finest level first.
        """
        distances = []
        for level, points in enumerate(self._clouds(pictures, self._seed + 2)):
            along = self._projected(points, level)
            distances.append(SCALE * float((along - self._sorted[level]).abs().mean()))
        return np.array(distances)

    def _clouds(self, pictures: np.ndarray, seed: int) -> list[Tensor]:
        """(P, 3, 49) patches of each band."""
        planes = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).float()
        generator = torch.Generator().manual_seed(seed)
        return [self._cut(band, generator) for band in laplacian_bands(planes)]

    def _cut(self, planes: Tensor, generator: torch.Generator) -> Tensor:
        count, _, height, width = planes.shape
        which = torch.arange(self._patches) * count // self._patches
        top = torch.randint(height - PATCH + 1, (self._patches,), generator=generator)
        left = torch.randint(width - PATCH + 1, (self._patches,), generator=generator)
        views = planes.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # (N, 3, ., ., 7, 7), no copy
        return views[which, :, top, left].flatten(2)

    def _projected(self, points: Tensor, level: int) -> Tensor:
        """(DIRECTIONS, P) coordinates along each direction, sorted."""
        mean, deviation = self._norms[level]
        points = ((points - mean) / deviation).flatten(1)
        return (self._directions @ points.T).sort(dim=1).values


def _blurred(planes: Tensor, gain: float = 1.0) -> Tensor:
    line = torch.tensor(_BINOMIAL, dtype=planes.dtype) / 16 * gain**0.5
    channels = planes.shape[1]
    padded = F.pad(planes, (2, 2, 2, 2), mode="reflect")
    across = F.conv2d(padded, line.expand(channels, 1, 1, 5), groups=channels)
    return F.conv2d(across, line.reshape(5, 1).expand(channels, 1, 5, 1), groups=channels)


def _enlarged(planes: Tensor) -> Tensor:
    """Twice as wide and high: zeros between the pixels, then the same filter."""
    count, channels, height, width = planes.shape
    wide = planes.new_zeros(count, channels, 2 * height, 2 * width)
    wide[:, :, ::2, ::2] = planes
    return _blurred(wide, gain=4.0)
