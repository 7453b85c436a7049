"""Figures of sets of pictures: contrast, saturation, ghosting, and distances between two sets."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor

__all__ = [
    "PatchReference",
    "contrast",
    "frechet_distance",
    "ghosting",
    "laplacian_bands",
    "saturated",
]

LEVELS: Final = 3  # 64, 32 and 16 px for pictures of 64 px
PATCH: Final = 7  # pixels a side
DIRECTIONS: Final = 256
PATCHES: Final = 2**13  # of each set, a level. 2^15 takes 4 from the real-to-real floor of 22
SCALE: Final = 1000.0

_LUMA: Final = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as JPEG has it


def contrast(pictures: np.ndarray) -> np.ndarray:
    """Return the deviation of the luma within each picture, 0 to 127 (RMS contrast, Peli 1990).

    Args:
        pictures: (.., S, S, 3) uint8.

    Returns:
        (..) float64.
    """
    return (pictures @ _LUMA).std(axis=(-2, -1))


def saturated(pictures: np.ndarray) -> np.ndarray:
    """Return the share, 0 to 1, of a picture's values that are 0 or 255. Real photos have some.

    Args and returns: as `contrast`.
    """
    return ((pictures == 0) | (pictures == 255)).mean(axis=(-3, -2, -1))


def laplacian_bands(pictures: np.ndarray, levels: int = LEVELS) -> list[np.ndarray]:
    """Return the bands of a Laplacian pyramid (Burt & Adelson 1983), finest first.

    The low-pass picture that remains is left out.

    Args:
        pictures: (N, H, W, C) float, both sides multiples of 2^levels.

    Returns:
        ``levels`` arrays (N, H / 2^l, W / 2^l, C).
    """
    bands = []
    for _ in range(levels):
        small = np.stack([cv2.pyrDown(picture) for picture in pictures])
        bands.append(pictures - np.stack([cv2.pyrUp(picture) for picture in small]))
        pictures = small
    return bands


class PatchReference:
    """A set of pictures that others are compared with, by sliced Wasserstein distance.

    Karras et al. 2018, "Progressive Growing of GANs", section 5: small patches of each level of a
    Laplacian pyramid are points, and two clouds of points are compared along random directions. A
    low distance at the finest level means that edges and noise are alike, at the coarsest that
    large forms are.

    It differs from the paper in two ways. Both sets are normalised by the mean and deviation of
    the reference; there, each set by its own, which hides a loss of contrast, and morphs lose
    contrast. And the last level is a band like the others; there, it is the low-pass picture,
    whose brightness depends on who happens to be in a set of a few hundred people.

    Args:
        pictures: (N, S, S, 3) uint8, S a multiple of 8 and at least 32.
        patches: how many are drawn on each level at random places, equally many from each picture.
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
        """Return the distance of pictures (M, S, S, 3) uint8 from the reference.

        It is the mean over directions of the mean |difference| of the sorted projections of both
        clouds (the 1-Wasserstein distance on a line), times 1000. Noise with half the contrast of
        a reference of noise is 400 away. Two sets of real pictures are not at 0 from each other
        either; that floor depends on how many there are.

        Returns:
            (3,) float64, finest level first.
        """
        distances = []
        for level, points in enumerate(self._clouds(pictures, self._seed + 2)):
            along = self._projected(points, level)
            distances.append(SCALE * float((along - self._sorted[level]).abs().mean()))
        return np.array(distances)

    def _clouds(self, pictures: np.ndarray, seed: int) -> list[Tensor]:
        """Return patches (P, 3, 49) of each band."""
        generator = torch.Generator().manual_seed(seed)
        bands = laplacian_bands(pictures.astype(np.float32))
        return [self._cut(torch.from_numpy(b).permute(0, 3, 1, 2), generator) for b in bands]

    def _cut(self, planes: Tensor, generator: torch.Generator) -> Tensor:
        count, _, height, width = planes.shape
        which = torch.arange(self._patches) * count // self._patches
        top = torch.randint(height - PATCH + 1, (self._patches,), generator=generator)
        left = torch.randint(width - PATCH + 1, (self._patches,), generator=generator)
        views = planes.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # (N, 3, ., ., 7, 7), no copy
        return views[which, :, top, left].flatten(2)

    def _projected(self, points: Tensor, level: int) -> Tensor:
        """Return sorted coordinates (DIRECTIONS, P) along each direction."""
        mean, deviation = self._norms[level]
        points = ((points - mean) / deviation).flatten(1)
        return (self._directions @ points.T).sort(dim=1).values


def frechet_distance(features: np.ndarray, reference: np.ndarray) -> float:
    """Return the squared 2-Wasserstein distance of normal distributions fitted to two sets.

    ‖μ₁ - μ₂‖² + tr(C₁ + C₂ - 2 (C₁ C₂)^½), Dowson & Landau 1982; as Heusel et al. 2017 use it.
    It is biased upwards for few vectors: compare only values of equally large sets.

    Args:
        features, reference: (N, K) and (M, K), N and M ≥ 2.
    """
    shift = features.mean(axis=0) - reference.mean(axis=0)
    c1, c2 = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (features, reference))
    # The eigenvalues of C₁C₂ are those of the symmetric C₁^½ C₂ C₁^½, and real.
    values, vectors = np.linalg.eigh(c1)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ c2 @ root).clip(min=0)).sum()
    return float(shift @ shift + np.trace(c1) + np.trace(c2) - 2 * cross)


def ghosting(frames: np.ndarray, ends_a: np.ndarray, ends_b: np.ndarray) -> np.ndarray:
    """Return the share of each frame's detail that is a non-negative mix of both ends' detail.

    With d the two finest bands of a Laplacian pyramid (forms below about a sixteenth of the
    picture), 1 - min ‖d(frame) - α·d(a) - β·d(b)‖² / ‖d(frame)‖² over α, β ≥ 0: the coefficient
    of determination of a non-negative least squares fit (Lawson & Hanson 1974, chapter 23). Two
    pictures laid over each other give 1, as a cross-fade does but for rounding; an unrelated face
    gives 0.06, because aligned faces all have their eyes in one place.

    Args:
        frames, ends_a, ends_b: (N, S, S, 3) uint8.

    Returns:
        (N,) float64 in [0, 1]. 0 for a frame without any detail.
    """
    d, a, b = _details(frames), _details(ends_a), _details(ends_b)
    aa, bb, ab = (a * a).sum(1), (b * b).sum(1), (a * b).sum(1)
    ad, bd, dd = (a * d).sum(1), (b * d).sum(1), (d * d).sum(1)
    # What a fit explains is what it gains: either end alone, or both where both weights are > 0.
    gain = np.maximum(_alone(ad, aa), _alone(bd, bb))
    det = aa * bb - ab * ab
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha, beta = (bb * ad - ab * bd) / det, (aa * bd - ab * ad) / det
    both = (det > 1e-9 * aa * bb) & (alpha > 0) & (beta > 0)
    gain = np.where(both, alpha * ad + beta * bd, gain)
    return np.divide(gain, dd, out=np.zeros_like(dd), where=dd > 0).clip(0, 1)


def _details(pictures: np.ndarray) -> np.ndarray:
    """Return the two finest bands (N, .) at their own sizes; pixels of the coarser count four."""
    fine, coarse = (band.reshape(len(band), -1) for band in laplacian_bands(pictures * 1.0, 2))
    return np.concatenate([fine, 2 * coarse], axis=1)


def _alone(cross: np.ndarray, own: np.ndarray) -> np.ndarray:
    cross = cross.clip(min=0)
    return np.divide(cross * cross, own, out=np.zeros_like(own), where=own > 0)
