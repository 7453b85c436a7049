"""One face: what a model sees of it, what its photo has, its shape, and what is known beside."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from glow_app.faces import regions
from glow_app.faces.crop import Place
from glow_app.faces.landmarks import find_mesh
from glow_app.faces.opening import RESAMPLE
from glow_app.faces.tone import Tone, tone_of
from glow_app.faces.warp import reshaped

__all__ = ["Face", "resized"]

_FINE = 256  # pixels a side at which a face is warped for a model, and looked at


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
        place: of the square in the upright photo; None for a face that was made here.
        landmarks: (478, 2) in fractions of the crop, where they are known already; None: they are
            looked for when `shape` is asked for.
        yaw: degrees by which the head is turned to the side, where it is known.
        turned: whether its photo lay on its side or head, and it was turned upright.
        source: where the face comes from, in two or three words.
        photo: the file it was cut out of, which may be gone already.
        seed, temperature: of a drawn face.
        reading: what the model says of its look (`FaceModel.read`), where somebody asked.
    """

    pixels: np.ndarray
    crop: np.ndarray
    aligned: bool = True
    faces: int = 0
    notes: tuple[str, ...] = ()
    full: np.ndarray | None = None
    place: Place | None = None
    landmarks: np.ndarray | None = None
    yaw: float = 0.0
    turned: bool = False
    source: str = ""
    photo: Path | None = None
    seed: int | None = None
    temperature: float | None = None
    reading: Any = None
    _looks: dict[Any, np.ndarray] = field(default_factory=dict, repr=False)

    @classmethod
    def of_pixels(cls, pixels: np.ndarray, wide: int | None = None, **known: Any) -> Face:
        """A picture (S, S, 3) uint8 that is taken as it is; ``wide`` is the side of its crop."""
        return cls(pixels, resized(pixels, wide or len(pixels)), **known)

    # ------------------------------------------------------------------------------- pictures

    @property
    def native(self) -> int:
        """Pixels a side up to which it has detail."""
        return len(self.pixels if self.full is None else self.full)

    def at(self, size: int) -> np.ndarray:
        """The photo with ``size`` pixels a side: (size, size, 3) uint8.

        At the model's size it is what the model sees.
        """
        if size == len(self.pixels):
            return self.pixels
        return resized(self.pixels if self.full is None else self.full, size)

    @cached_property
    def fine(self) -> np.ndarray:
        """(256, 256, 3) uint8, from the sharpest there is; never coded if there is a photo."""
        return resized(self.crop if self.full is None else self.full, _FINE)

    @cached_property
    def key(self) -> bytes:
        """Tells it from all others, by content."""
        digest = hashlib.blake2b(self.pixels.tobytes(), digest_size=16)
        for more in (self.crop, self.full):
            if more is not None:
                digest.update(more.tobytes())
        return digest.digest()

    # ---------------------------------------------------------------------------------- shape

    @cached_property
    def shape(self) -> np.ndarray | None:
        """(478, 2) float64, its landmarks in fractions of the crop; None if none are found."""
        found = find_mesh(self.crop) if self.landmarks is None else self.landmarks
        return None if found is None else np.asarray(found, np.float64)

    def in_shape(self, target: np.ndarray) -> np.ndarray:
        """`fine` warped to another shape (478, 2): (256, 256, 3) uint8. It must have landmarks."""
        return reshaped(self.fine, self.shape, np.asarray(target, np.float64))

    # ------------------------------------------------------------------------- what is seen

    @cached_property
    def tone(self) -> Tone | None:
        """Of a photo in black and white or sepia; None if it has colours."""
        return tone_of(self.fine)

    @cached_property
    def glasses(self) -> bool:
        """Whether it wears some. It must have landmarks."""
        return regions.wears_glasses(self.in_shape(regions.mean_shape()))

    @cached_property
    def seen(self) -> np.ndarray:
        """(256, 256) float32 in [0, 1], where nothing covers the face; see `regions`."""
        return regions.visible_face(self.fine, self.shape, self.glasses)

    @cached_property
    def skin(self) -> np.ndarray:
        """(256, 256) float32 in [0, 1], what has the colour of this face's skin."""
        return cv2.GaussianBlur(regions.skin_likeness(self.fine, self.shape), (0, 0), 2.5)

    @cached_property
    def covered(self) -> float:
        """Share, 0 to 1, of the face inside its outline that something covers."""
        mask = regions.face_mask(self.shape, _FINE)
        return 1 - float((mask * self.seen).sum() / max(mask.sum(), 1e-6))

    @property
    def mouth(self) -> float:
        """How far the lips are apart, in fractions of the crop."""
        return regions.mouth_opening(self.shape)


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture (N, N, 3) uint8 with ``side`` pixels a side; itself if it has them."""
    if len(picture) == side:
        return picture
    how = RESAMPLE if side < len(picture) else Image.Resampling.BICUBIC
    return np.array(Image.fromarray(picture).resize((side, side), how))
