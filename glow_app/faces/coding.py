"""Turn crops into what a model takes: one resizer, the coding of its training pictures, tensors.

A flow learns everything that its pictures share, the traces of a JPEG as well. The released model
learned from 128 x 128 JPEGs of quality 86 with 4:2:0 chroma, reduced to 64, and a sharp photo
without that coding costs it about 1.2 bits/dim more than the same photo with it. So pictures on
their way to a model are coded once, in memory, as its training pictures were. The coding is stored
with the weights; a model whose weights name none gets uncoded pictures.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pydantic
from PIL import Image

from glow_app.common.errors import UserError
from glow_app.faces.opening import RESAMPLE, JpegTables, jpeg_tables

if TYPE_CHECKING:
    from torch import Tensor

_FACT: Final = "coding"  # the key in the facts of a checkpoint


@pydantic.dataclasses.dataclass(frozen=True, config={"strict": True, "extra": "forbid"})
class Coding:
    """The JPEG coding of the square pictures that a model learned from.
    Raises ValueError: a value is out of range."""

    size: int = pydantic.Field(default=128, ge=1, le=4096)  # side C in pixels
    quality: int = pydantic.Field(default=86, ge=1, le=100)  # as Pillow and libjpeg count it
    subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:2:0"  # of the chroma

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Coding | None:
        """Read the coding from the facts of a checkpoint; None where they name none.
        Raises UserError: they name an invalid one."""
        stored = facts.get(_FACT)
        if stored is None:
            return None
        try:
            return cls(**stored)
        except (TypeError, ValueError) as error:
            raise UserError("The weights ask for a picture coding that is not known.") from error

    def to_facts(self) -> dict[str, Any]:
        """Return what `from_facts` reads, to be joined with the other facts of a checkpoint."""
        return {_FACT: asdict(self)}

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """Encode a picture (N, N, 3) uint8 as JPEG and decode it again; 0.2 ms at 128 px."""
        return np.array(Image.open(io.BytesIO(self.encoded(picture)), formats=["JPEG"]))

    def made(self, image: Image.Image, tables: JpegTables | None) -> bool:
        """Say whether a picture is an output of this coding: a square of its size that was read
        from a JPEG with its tables."""
        return image.size == (self.size, self.size) and tables == _tables_of(self)

    def encoded(self, picture: np.ndarray, comment: str = "") -> bytes:
        """Return the JPEG file of a picture (N, N, 3) uint8, which `apply` decodes again.

        Args:
            comment: ASCII to store in the file, below 64 KB; it does not change the pixels.
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
    """Return the coding for pictures of `size` pixels: none above its own size, since no training
    picture was enlarged from a coded one."""
    return coding if coding is not None and size <= coding.size else None


def code_and_reduce(crop: np.ndarray, size: int, coding: Coding | None) -> np.ndarray:
    """Make the picture that a model takes of an aligned crop: code it, then reduce it once.

    These are the last two steps of `prepare`; a crop that was warped after it needs them again.

    Args:
        crop: (C, C, 3) uint8 with C = coding.size; any C without a coding.
        size: side S of the model in pixels, at most C.
        coding: of the model's training pictures; not used where `coding_at` says none.

    Returns:
        (S, S, 3) uint8.
    """
    coding = coding_at(coding, size)
    return resized(crop if coding is None else coding.apply(crop), size)


def resized(
    picture: np.ndarray, side: int, enlarging: Image.Resampling = Image.Resampling.BICUBIC
) -> np.ndarray:
    """Resize a square picture, antialiased: the one resizer of this package.

    Args:
        picture: (C, C, 3) uint8.
        side: S, pixels.
        enlarging: the filter where S is above C; below it is `RESAMPLE`.

    Returns:
        (S, S, 3) uint8; the same array if it has that size already.
    """
    if len(picture) == side:
        return picture
    how = RESAMPLE if side < len(picture) else enlarging
    return np.array(Image.fromarray(picture).resize((side, side), how))


def to_tensor(pictures: np.ndarray) -> Tensor:
    """Copy (N, S, S, 3) uint8 pixels to a contiguous (N, 3, S, S) uint8 tensor on the CPU."""
    import torch  # not at the top: preparing pictures needs no PyTorch, which takes seconds

    return torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())


def to_pictures(levels: Tensor) -> np.ndarray:
    """Copy a (N, 3, S, S) uint8 tensor on any device to contiguous (N, S, S, 3) uint8 pixels."""
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())
