"""The square of pixels that a model takes, made of any picture in one way everywhere.

Nothing else in the project aligns, crops or resizes pictures for a model, because bits/dim is very
sensitive to how that is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from PIL import Image

from glow_app.common.errors import UserError
from glow_app.pictures import faces
from glow_app.pictures.alignment import Face, align, is_aligned
from glow_app.pictures.opening import RESAMPLE, Source, name_of, open_picture

__all__ = ["Prepared", "prepare", "prepare_all"]

_SOFT: Final = 0.75  # a face or picture below this fraction of the target side looks soft
_MUCH_INVENTED: Final = 0.15  # of the crop
_FAR_TURNED: Final = 20.0  # degrees of yaw; hardly any training picture is beyond

_NO_FACE: Final = "No face was found, so the middle of the picture is used."


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture as a model takes it.

    Attributes:
        pixels: (S, S, 3) uint8, sRGB.
        aligned: whether the face lies on the template.
        faces: how many faces were found; 0 where none was looked for.
        notes: sentences for the user, most important first.
    """

    pixels: np.ndarray
    aligned: bool
    faces: int
    notes: tuple[str, ...] = ()


def prepare(
    source: Source, size: int, align: Literal["auto", "face", "center"] = "auto"
) -> Prepared:
    """Open a picture and make the square that a model takes, with one antialiased resize.

    A square picture whose face lies on the template already, as our own exports do, is not aligned
    again but only resized: the same picture keeps the same bits however often it goes round. A
    centre crop that has `size` already is returned as it is.

    Args:
        source: what `open_picture` takes.
        size: side S of the result in pixels.
        align: "auto": the largest face on the template, or the middle of the picture and a note
            if there is none. "face": the same, but no face is an error. "center": the largest
            square in the middle; no face is looked for.

    Raises:
        UserError: the picture cannot be used.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, not {size}")
    if align not in ("auto", "face", "center"):
        raise ValueError(f'align must be "auto", "face" or "center", not {align!r}')
    image = open_picture(source)
    if align == "center":
        return _centred(image, size)

    if not faces.available():
        if align == "face":
            raise UserError(faces.MISSING)
        return _centred(image, size, f"The middle of the picture is used. {faces.MISSING}")
    found = faces.find_faces(image)
    if not found:
        if align == "face":
            raise UserError(f"{name_of(source)} shows no face that could be found.")
        return _centred(image, size, _NO_FACE)
    return _on_template(image, found[0], size, len(found))


def prepare_all(source: Source, size: int) -> list[Prepared]:
    """Like `prepare` with align="face", but every face of the picture, largest first."""

    image = open_picture(source)
    if not faces.available():
        raise UserError(faces.MISSING)
    found = faces.find_faces(image)
    if not found:
        raise UserError(f"{name_of(source)} shows no face that could be found.")
    return [_on_template(image, face, size) for face in found]


def _centred(image: Image.Image, size: int, *notes: str) -> Prepared:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    if side < _SOFT * size:
        notes += (f"The picture is only {side} pixels wide, so it looks soft.",)
    return Prepared(_resized(square, size), False, 0, notes)


def _on_template(image: Image.Image, face: Face, size: int, among: int = 1) -> Prepared:

    notes = []
    if among > 1:
        notes.append(f"{among} faces were found; the largest is used.")
    if abs(face.yaw) > _FAR_TURNED:
        notes.append("This face is turned far to the side; one that looks ahead works better.")
    if is_aligned(image, face):
        pixels, side = _resized(image, size), float(image.width)
    else:
        crop, invented = align(image, face, size)
        pixels, side = np.array(crop), face.size
        if invented > _MUCH_INVENTED:
            notes.append(
                "Much of this crop lies outside the photo; one with more room about the face"
                " works better."
            )
    if side < _SOFT * size:
        notes.append(f"The face is only {side:.0f} pixels wide, so it looks soft.")
    return Prepared(pixels, True, among, tuple(notes))


def _resized(square: Image.Image, size: int) -> np.ndarray:
    """A square picture as (size, size, 3) uint8; unchanged if it has that size."""
    if square.size != (size, size):
        square = square.resize((size, size), RESAMPLE)
    return np.array(square)
