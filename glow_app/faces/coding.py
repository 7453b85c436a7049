"""The picture coding that a model's training pictures went through, for all its other pictures.

A flow learns everything that is the same in all its pictures, the traces of a JPEG as well. The
released model learned from 128 x 128 JPEGs of quality 86 with 4:2:0 chroma, reduced to 64, and a
sharp photo without that coding costs it about 1.2 bits/dim more than the same photo with it. So
pictures on their way to a model are coded once, in memory, as its training pictures were. What the
coding was is kept with the weights; weights that say nothing get none.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
from PIL import Image

from glow_app.common.errors import UserError
from glow_app.faces.opening import RESAMPLE, JpegTables, jpeg_tables

__all__ = ["Coding", "code_and_reduce", "coding_at"]

_FACT: Final = "coding"  # the key in the facts of a checkpoint
_SUBSAMPLINGS: Final = ("4:4:4", "4:2:2", "4:2:0")


@dataclass(frozen=True)
class Coding:
    """A square JPEG, as the pictures were that a model learned from.

    Attributes:
        size: side C of the square in pixels; at least that of the model.
        quality: as Pillow and libjpeg count it, 1 to 100.
        subsampling: of the chroma.

    Raises:
        ValueError: a value is out of range.
    """

    size: int = 128
    quality: int = 86
    subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:2:0"

    def __post_init__(self) -> None:
        for name, value, most in (("size", self.size, 4096), ("quality", self.quality, 100)):
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise ValueError(f"{name} of a coding must be 1 to {most}, not {value!r}")
        if self.subsampling not in _SUBSAMPLINGS:
            raise ValueError(f"subsampling must be one of {_SUBSAMPLINGS}: {self.subsampling!r}")

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Coding | None:
        """The coding that the facts of a checkpoint name; None where they name none.

        Raises:
            UserError: what they name is no coding of this kind.
        """
        known = facts.get(_FACT)
        if known is None:
            return None
        try:
            return cls(**known)
        except (TypeError, ValueError) as error:
            raise UserError("The weights ask for a picture coding that is not known.") from error

    def to_facts(self) -> dict[str, Any]:
        """What `from_facts` reads, to be joined with the other facts of a checkpoint."""
        return {_FACT: asdict(self)}

    def apply(self, pictures: np.ndarray) -> np.ndarray:
        """Put pictures through the JPEG and back: what it takes away is gone.

        0.2 ms each at 128 px; threads made 66 pictures slower (21 ms for 14 on two cores).

        Args:
            pictures: (C, C, 3) or (N, C, C, 3) uint8, sRGB; any other side works as well.

        Returns:
            A new array of the same shape, uint8.
        """
        if pictures.dtype != np.uint8 or pictures.ndim not in (3, 4) or pictures.shape[-1] != 3:
            raise ValueError(f"pictures must be (.., C, C, 3) uint8, not {pictures.shape}")
        if pictures.ndim == 3:
            return np.array(Image.open(io.BytesIO(self.encoded(pictures)), formats=["JPEG"]))
        coded = np.empty_like(pictures)
        for i, picture in enumerate(pictures):
            coded[i] = self.apply(picture)
        return coded

    def made(self, image: Image.Image, tables: JpegTables | None) -> bool:
        """Whether a picture already is what this coding makes: a square JPEG of this size with
        these tables. `tables`: what `open_source` says of the file it comes from."""
        return image.size == (self.size, self.size) and tables == _tables_of(self)

    def encoded(self, picture: np.ndarray, comment: str = "") -> bytes:
        """The file that `apply` decodes again, of a picture (C, C, 3) uint8.

        Args:
            comment: ASCII to keep in the file, below 64 KB; the pixels are the same with any.
        """
        file = io.BytesIO()
        Image.fromarray(picture).save(
            file, "JPEG", quality=self.quality, subsampling=self.subsampling, comment=comment
        )
        return file.getvalue()


@lru_cache(maxsize=8)
def _tables_of(coding: Coding) -> JpegTables | None:
    data = coding.encoded(np.zeros((16, 16, 3), np.uint8))
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        return jpeg_tables(image)


def coding_at(coding: Coding | None, size: int) -> Coding | None:
    """The coding for pictures of `size` pixels: none if they are larger than it, for then they
    would have to be enlarged from coded ones, which no training picture was."""
    return coding if coding is not None and size <= coding.size else None


def code_and_reduce(crops: np.ndarray, size: int, coding: Coding | None) -> np.ndarray:
    """What a model takes, of crops that lie as they should: coded, then reduced once.

    The last two steps of `prepare`, by themselves for crops that were warped after it.

    Args:
        crops: (C, C, 3) or (N, C, C, 3) uint8 with C = coding.size; any C without a coding.
        size: side S of the model in pixels, at most C.
        coding: of the model's training pictures; not used where `coding_at` says none.

    Returns:
        (S, S, 3) or (N, S, S, 3) uint8.
    """
    coding = coding_at(coding, size)
    if coding is not None:
        if crops.shape[-3:-1] != (coding.size, coding.size):
            raise ValueError(f"crops must be {coding.size} pixels wide, not {crops.shape}")
        crops = coding.apply(crops)
    if crops.shape[-3:-1] == (size, size):
        return crops.copy()
    if crops.ndim == 3:
        return np.array(Image.fromarray(crops).resize((size, size), RESAMPLE))
    small = np.empty((len(crops), size, size, 3), np.uint8)
    for i, crop in enumerate(crops):
        small[i] = Image.fromarray(crop).resize((size, size), RESAMPLE)
    return small
