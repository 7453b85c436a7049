"""How much of a frame is its two ends laid over each other."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.morphs.sliced_wasserstein import laplacian_bands

__all__ = ["ghosting"]


def ghosting(frames: np.ndarray, ends_a: np.ndarray, ends_b: np.ndarray) -> np.ndarray:
    """Share of each frame's detail that is a non-negative mix of both ends' detail.

    With d the two finest bands of a Laplacian pyramid (forms below about a sixteenth of the
    picture), 1 - min ‖d(frame) - α·d(a) - β·d(b)‖² / ‖d(frame)‖² over α, β ≥ 0: the coefficient
    of determination of a non-negative least squares fit (Lawson & Hanson 1974, chapter 23). Two
    pictures laid over each other give 1, as a cross-fade does but for rounding; a face that has
    nothing to do with either 0.06, because all faces have eyes in one place.

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
    """(N, .) the two finest bands, each at its own size; pixels of the coarser count four."""
    planes = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).double()
    fine, coarse = laplacian_bands(planes, 2)
    return torch.cat([fine.flatten(1), 2 * coarse.flatten(1)], dim=1).numpy()


def _alone(cross: np.ndarray, own: np.ndarray) -> np.ndarray:
    cross = cross.clip(min=0)
    return np.divide(cross * cross, own, out=np.zeros_like(own), where=own > 0)
