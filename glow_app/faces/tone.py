"""Photos of one tone: black and white, sepia, a print that has faded.

Their colour follows from their luminance, so what a model draws into them must have it, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

__all__ = ["Tone", "tone_of"]

_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_GREY: Final = 3.0  # levels: colours that are less are those of a JPEG's rounding
_STRAY: Final = 3.0  # levels by which one tone may stray; 640 photos in colour have 4.9 or more
_MOST: Final = 0.98  # of the pixels
_BLUR: Final = 2.0  # pixels: in which noise of single pixels goes


@dataclass(frozen=True, eq=False)
class Tone:
    """The colour that each luminance has.

    Attributes:
        curve: (3, 3) float32; red, green and blue less luminance are the products of its columns
            with 1, y and y², y being luminance from 0 to 1. All 0: grey.
    """

    curve: np.ndarray

    @property
    def is_grey(self) -> bool:
        """Whether it is no colour at all."""
        return not self.curve.any()

    def of(self, picture: np.ndarray) -> np.ndarray:
        """A picture (N, N, 3) in levels, any type, in this tone: float32."""
        grey = _luminance(picture)
        return grey[..., None] + _powers(grey) @ self.curve


def tone_of(picture: np.ndarray) -> Tone | None:
    """The tone of a picture (N, N, 3) uint8; None if it has colours."""
    smooth = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), _BLUR)
    grey = _luminance(smooth)
    powers, colour = _powers(grey).reshape(-1, 3), (smooth - grey[..., None]).reshape(-1, 3)
    if np.quantile(np.abs(colour).max(axis=1), _MOST) <= _GREY:
        return Tone(np.zeros((3, 3), np.float32))
    curve, *_ = np.linalg.lstsq(powers, colour, rcond=None)
    stray = np.abs(colour - powers @ curve).max(axis=1)
    return Tone(curve.astype(np.float32)) if np.quantile(stray, _MOST) <= _STRAY else None


def _luminance(picture: np.ndarray) -> np.ndarray:
    """(N, N) float32; of grey its very levels."""
    picture = picture.astype(np.float32)
    return picture[..., 1] + (picture - picture[..., 1:2]) @ _LUMA


def _powers(grey: np.ndarray) -> np.ndarray:
    y = grey / np.float32(255)
    return np.stack([np.ones_like(y), y, y * y], -1)
