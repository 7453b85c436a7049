"""What a picture looks like by itself: light, contrast, sharpness, burst pixels.

Every function takes (.., S, S, 3) uint8 pictures and gives one number for each, (..) float64.
"""

from __future__ import annotations

from typing import Final

import numpy as np

__all__ = ["brightness", "contrast", "saturated", "sharpness"]

_LUMA: Final = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as JPEG has it


def brightness(pictures: np.ndarray) -> np.ndarray:
    """Mean luma, 0 to 255."""
    return _luma(pictures).mean(axis=(-2, -1))


def contrast(pictures: np.ndarray) -> np.ndarray:
    """Standard deviation of the luma within each picture ("RMS contrast", Peli 1990), 0 to 127."""
    return _luma(pictures).std(axis=(-2, -1))


def sharpness(pictures: np.ndarray) -> np.ndarray:
    """Mean |Laplacian| of the luma: four times a pixel less its four neighbours."""
    y = _luma(pictures)
    inner = y[..., 1:-1, 1:-1]
    around = y[..., 2:, 1:-1] + y[..., :-2, 1:-1] + y[..., 1:-1, 2:] + y[..., 1:-1, :-2]
    return np.abs(4 * inner - around).mean(axis=(-2, -1))


def saturated(pictures: np.ndarray) -> np.ndarray:
    """Share, 0 to 1, of all values of all channels that are 0 or 255. Real photos have some."""
    return ((pictures == 0) | (pictures == 255)).mean(axis=(-3, -2, -1))


def _luma(pictures: np.ndarray) -> np.ndarray:
    return pictures @ _LUMA
