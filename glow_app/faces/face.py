"""One face: its pixels for a model, the detail of its photo, its shape, and what covers it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from glow_app.faces import regions
from glow_app.faces.alignment import Square
from glow_app.faces.coding import resized
from glow_app.faces.landmarks import find_shape, mean_shape, mouth_opening
from glow_app.faces.warp import reshaped

__all__ = ["Face", "Tone", "tone_of"]

_FINE: Final = 256  # pixels a side at which a face is warped for a model, and looked at

_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_GREY: Final = 3.0  # levels: colours that are less are those of a JPEG's rounding
_STRAY: Final = 3.0  # levels by which one tone may stray; 640 photos in colour have 4.9 or more
_MOST: Final = 0.98  # of the pixels
_BLUR: Final = 2.0  # pixels: in which noise of single pixels goes


@dataclass(frozen=True, eq=False)
class Face:
    """A face, from a photo or made here. `prepare` makes it; everything else only reads it.

    Attributes:
        pixels: (S, S, 3) uint8, the crop as the model sees it: coded, at the model's size.
        crop: (C, C, 3) uint8, the same square before it was coded and reduced; C is the side of
            the coding, S without one.
        aligned: whether the face lies on the template, by finding it or by somebody's choice.
        faces: how many faces were found on the photo; 0 where none was looked for.
        notes: sentences for the user, most important first.
        full: (F, F, 3) uint8, the square as sharp as the photo has it; None where that is no more
            than the model's size.
        square: of the upright photo that was cut out; None for a face that was made here.
        landmarks: (478, 2) in fractions of the crop, where they are known already; None: they are
            looked for when `shape` is asked for.
        yaw: degrees by which the head is turned to the side, where it is known.
        turned: whether its photo lay on its side or head, and it was turned upright.
        source: where the face comes from, in two or three words.
        photo: the file it was cut out of, which may be gone already.
        seed, temperature: of a drawn face.
        reading: the model's measurement of its look (`Codec.read`), where somebody asked.
    """

    pixels: np.ndarray
    crop: np.ndarray
    aligned: bool = True
    faces: int = 0
    notes: tuple[str, ...] = ()
    full: np.ndarray | None = None
    square: Square | None = None
    landmarks: np.ndarray | None = None
    yaw: float = 0.0
    turned: bool = False
    source: str = ""
    photo: Path | None = None
    seed: int | None = None
    temperature: float | None = None
    reading: Any = None
    _looks: dict[Any, np.ndarray] = field(default_factory=dict, repr=False)  # of `Looks.of`

    @classmethod
    def of_pixels(cls, pixels: np.ndarray, wide: int | None = None, **known: Any) -> Face:
        """Take a picture (S, S, 3) uint8 as it is; `wide` is the side of its crop."""
        return cls(pixels, resized(pixels, wide or len(pixels)), **known)

    # ------------------------------------------------------------------------------- pictures

    @property
    def sharpest(self) -> np.ndarray:
        """`full`, or `pixels` where there is no more detail."""
        return self.pixels if self.full is None else self.full

    @property
    def native(self) -> int:
        """Pixels a side up to which it has detail; what is put back needs as many."""
        return len(self.sharpest)

    def at(self, size: int) -> np.ndarray:
        """Return the photo with `size` pixels a side: (size, size, 3) uint8.

        At the model's size these are the `pixels`.
        """
        return self.pixels if size == len(self.pixels) else resized(self.sharpest, size)

    @cached_property
    def fine(self) -> np.ndarray:
        """(256, 256, 3) uint8, from the sharpest there is; never coded if there is a photo."""
        return resized(self.crop if self.full is None else self.full, _FINE)

    @cached_property
    def key(self) -> bytes:
        """A digest of its content, which tells it from all other faces."""
        digest = hashlib.blake2b(self.pixels.tobytes(), digest_size=16)
        for more in (self.crop, self.full):
            if more is not None:
                digest.update(more.tobytes())
        return digest.digest()

    # ---------------------------------------------------------------------------------- shape

    @cached_property
    def shape(self) -> np.ndarray | None:
        """(478, 2) float64, its landmarks in fractions of the crop; None if none are found."""
        found = find_shape(self.crop) if self.landmarks is None else self.landmarks
        return None if found is None else np.asarray(found, np.float64)

    @property
    def known_shape(self) -> np.ndarray:
        """`shape`, of a face that must have landmarks. Raises ValueError: it has none."""
        if self.shape is None:
            raise ValueError("this face has no landmarks")
        return self.shape

    def in_shape(self, target: np.ndarray) -> np.ndarray:
        """Warp `fine` to another shape (478, 2): (256, 256, 3) uint8. It must have landmarks."""
        return reshaped(self.fine, self.known_shape, np.asarray(target, np.float64))

    @property
    def mouth(self) -> float:
        """How far the lips are apart, in fractions of the crop. It must have landmarks."""
        return mouth_opening(self.known_shape)

    # ------------------------------------------------------------------------- what is seen

    @cached_property
    def tone(self) -> Tone | None:
        """The tone of a photo in black and white or sepia; None if it has colours."""
        return tone_of(self.fine)

    @cached_property
    def glasses(self) -> bool:
        """Whether it wears some. It must have landmarks."""
        return regions.wears_glasses(self.in_shape(mean_shape()))

    @cached_property
    def seen(self) -> np.ndarray:
        """(256, 256) float32 in [0, 1], where nothing covers the face; see `regions`."""
        return regions.visible_face(self.fine, self.known_shape, self.glasses)

    @cached_property
    def skin(self) -> np.ndarray:
        """(256, 256) float32 in [0, 1], what has the colour of this face's skin."""
        likeness = regions.skin_likeness(self.fine, self.known_shape)
        return cv2.GaussianBlur(likeness, (0, 0), 2.5)

    @cached_property
    def covered(self) -> float:
        """Share, 0 to 1, of the face inside its outline that something covers."""
        mask = regions.face_mask(self.known_shape, _FINE)
        return 1 - float((mask * self.seen).sum() / max(mask.sum(), 1e-6))


@dataclass(frozen=True, eq=False)
class Tone:
    """The colour that each luminance has in a photo of one tone: black and white, sepia, faded.

    The colours follow from the luminance, so what a model draws into such a photo must have the
    same.

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
        """Give a picture (N, N, 3) in levels, any type, this tone: float32."""
        grey = _luminance(picture)
        return grey[..., None] + _powers(grey) @ self.curve


def tone_of(picture: np.ndarray) -> Tone | None:
    """Measure the tone of a picture (N, N, 3) uint8; None if it has colours."""
    smooth = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), _BLUR)
    grey = _luminance(smooth)
    powers, colour = _powers(grey).reshape(-1, 3), (smooth - grey[..., None]).reshape(-1, 3)
    if np.quantile(np.abs(colour).max(axis=1), _MOST) <= _GREY:
        return Tone(np.zeros((3, 3), np.float32))
    curve, *_ = np.linalg.lstsq(powers, colour, rcond=None)
    stray = np.abs(colour - powers @ curve).max(axis=1)
    return Tone(curve.astype(np.float32)) if np.quantile(stray, _MOST) <= _STRAY else None


def _luminance(picture: np.ndarray) -> np.ndarray:
    """Return (N, N) float32; of grey its very levels."""
    picture = picture.astype(np.float32)
    return picture[..., 1] + (picture - picture[..., 1:2]) @ _LUMA


def _powers(grey: np.ndarray) -> np.ndarray:
    y = grey / np.float32(255)
    return np.stack([np.ones_like(y), y, y * y], -1)
