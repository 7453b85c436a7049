"""A face as walks need it: what the model sees, what the photo has, and its landmarks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from glow_app.pictures.mesh import find_mesh
from glow_app.pictures.opening import RESAMPLE
from glow_app.pictures.prepare import Prepared

__all__ = ["Portrait"]

_FINER = 2  # crops are warped at this many times the size they are wanted at


@dataclass(frozen=True, eq=False)
class Portrait:
    """A face with what is needed to warp and to enlarge it.

    Attributes:
        pixels: (S, S, 3) uint8, what the model sees.
        crop: (C, C, 3) uint8, the same crop before it was coded and reduced.
        full: (F, F, 3) uint8, the crop as sharp as the photo has it; None where that is no more
            than `pixels` shows, as for faces that a model drew.
    """

    pixels: np.ndarray
    crop: np.ndarray
    full: np.ndarray | None = None

    @classmethod
    def of(cls, picture: Prepared | np.ndarray, size: int) -> Portrait:
        """Of a prepared photo, or of pixels (S, S, 3) that are warped at ``size``."""
        if isinstance(picture, Prepared):
            return cls(picture.pixels, picture.crop, picture.full)
        return cls(picture, resized(picture, size))

    @cached_property
    def mesh(self) -> np.ndarray | None:
        """(M, 2), its landmarks as fractions of the crop; None where none are found."""
        return find_mesh(self.crop)

    @cached_property
    def fine(self) -> np.ndarray:
        """The crop at twice its size, where the photo has that: what warps blur is then lost."""
        finer = _FINER * len(self.crop)
        if self.full is None or len(self.full) < finer:
            return self.crop
        return resized(self.full, finer)

    @cached_property
    def key(self) -> bytes:
        """Tells it from all others, by content."""
        digest = hashlib.blake2b(self.pixels.tobytes(), digest_size=16)
        for more in (self.crop, self.full):
            if more is not None:
                digest.update(more.tobytes())
        return digest.digest()


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture (S, S, 3) uint8 with ``side`` pixels a side; itself if it has them."""
    if len(picture) == side:
        return picture
    return np.array(Image.fromarray(picture).resize((side, side), RESAMPLE))
