"""What a picture looks like by itself: contrast and burst pixels.

Every function takes (.., S, S, 3) uint8 pictures and gives one number for each, (..) float64.
"""

from __future__ import annotations

from typing import Final

import numpy as np

__all__ = ["contrast", "saturated"]

_LUMA: Final = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as JPEG has it


def contrast(pictures: np.ndarray) -> np.ndarray:
    """Standard deviation of the luma within each picture ("RMS contrast", Peli 1990), 0 to 127."""
    return _luma(pictures).std(axis=(-2, -1))


def saturated(pictures: np.ndarray) -> np.ndarray:
    """Share, 0 to 1, of all values of all channels that are 0 or 255. Real photos have some."""
    return ((pictures == 0) | (pictures == 255)).mean(axis=(-3, -2, -1))


def _luma(pictures: np.ndarray) -> np.ndarray:
    return pictures @ _LUMA
