"""Whether a frame still is a portrait to a face finder."""

from __future__ import annotations

import numpy as np
from PIL import Image

from glow_app.faces import finder
from glow_app.faces.alignment import is_aligned

__all__ = ["one_face_in_place"]

_SIDE = 256  # pixels: 64 px are few for a finder


def one_face_in_place(pictures: np.ndarray) -> np.ndarray | None:
    """Which pictures show exactly one face, with eyes and mouth where the template has them.

    On the template means what it means for uploads (`alignment.is_aligned`): the square that eyes
    and mouth ask for is the whole picture, to a twentieth in place, an eighth in size and 4
    degrees in tilt, as 99 of 100 aligned photos are found again.

    Args:
        pictures: (N, S, S, 3) uint8.

    Returns:
        (N,) bool; None if there is no face finder.
    """
    if not finder.available():
        return None
    return np.array([_in_place(picture) for picture in pictures], bool)


def _in_place(picture: np.ndarray) -> bool:
    image = Image.fromarray(picture)
    if image.width < _SIDE:
        image = image.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    found = finder.find_faces(image)
    return len(found) == 1 and is_aligned(image, found[0])
