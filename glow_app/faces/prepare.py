"""The square of pixels that a model takes, made of any picture in one way everywhere.

Nothing else in the project aligns, crops, codes or resizes pictures for a model, because bits/dim
is very sensitive to how that is done. The order is always: open, turn upright, align the face (or
cut out the middle) at the size of the coding, code, reduce once to the size of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from PIL import Image

from glow_app.common.errors import UserError
from glow_app.faces import finder
from glow_app.faces.alignment import FoundFace, Square, cut, is_aligned, template_square
from glow_app.faces.coding import Coding, code_and_reduce, coding_at
from glow_app.faces.crop import Crop, Place
from glow_app.faces.face import Face
from glow_app.faces.opening import RESAMPLE, Opened, Source, name_of, open_source

__all__ = ["FULL", "Face", "prepare", "prepare_all"]

FULL: Final = 1024  # pixels a side up to which a face is kept as sharp as its photo has it

_SOFT: Final = 0.75  # a face or picture below this fraction of the target side looks soft
_MUCH_INVENTED: Final = 0.15  # of the crop
_FAR_TURNED: Final = 20.0  # degrees of yaw; hardly any training picture is beyond

_ON_ITS_SIDE: Final = 45.0  # degrees of tilt beyond which a photo lies on its side or head

_WHICH_WAY_UP: Final = "It is not clear which way up this face is; please check its square."
_NO_FACE: Final = "No face was found, so the middle of the picture is used."


def prepare(
    source: Source,
    size: int,
    align: Literal["auto", "face", "center"] = "auto",
    coding: Coding | None = None,
    full: int = 0,
    crop: Crop | None = None,
) -> Face:
    """Open a picture and make the square that a model takes.

    A square picture whose face lies on the template already, as our own exports do, is not aligned
    again but only resized: the same picture keeps the same bits however often it goes round. A
    centre crop that has `size` already is returned as it is.

    With a coding, the square is made with the side of the coding, coded, and then reduced to
    `size`. Not coded again are squares that are taken as they lie (their face is on the template,
    or the middle was asked for) and are what the coding makes: JPEG files of its side with its
    very tables, such as the training pictures, and pictures of exactly `size`, such as stills and
    frames that a model drew. A `size` above that of the coding goes uncoded.

    Args:
        source: what `open_picture` takes.
        size: side S of the result in pixels.
        align: "auto": the largest face on the template, or the middle of the picture and a note
            if there is none. "face": the same, but no face is an error, and so is one of which it
            is not clear which way up it is. "center": the largest square in the middle; no face
            is looked for.
        coding: of the model's training pictures; None for a model that learned from pictures
            without one.
        full: largest side of `Face.full` in pixels; 0: none is made.
        crop: the square that somebody chose, of the upright photo; no face is looked for then.

    Raises:
        UserError: the picture cannot be used.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, not {size}")
    if align not in ("auto", "face", "center"):
        raise ValueError(f'align must be "auto", "face" or "center", not {align!r}')
    opened, finish = open_source(source), _Finish(size, coding_at(coding, size), full)
    if crop is not None:
        square = crop.within(opened.image.size).square
        return _of_square(opened, square, finish, [], faces=0)
    if align == "center":
        return _centred(opened, finish)

    if not finder.available():
        if align == "face":
            raise UserError(finder.MISSING)
        return _centred(opened, finish, f"The middle of the picture is used. {finder.MISSING}")
    found = finder.find_faces(opened.image)
    if not found:
        if align == "face":
            raise UserError(f"{name_of(source)} shows no face that could be found.")
        return _centred(opened, finish, _NO_FACE)
    if align == "face" and found[0].sure < finder.DOUBTFUL:
        raise UserError(f"{name_of(source)} shows a face, but it is not clear which way up it is.")
    return _on_template(opened, found[0], finish, len(found))


def prepare_all(
    source: Source, size: int, coding: Coding | None = None, full: int = 0
) -> tuple[list[Face], int]:
    """Like `prepare` with align="face", but every face of the picture.

    Returns:
        the faces, largest first, and how many more there may be: places that look like a face and
        in which none was found, or of which it is not clear which way up it is.
    """
    opened, finish = open_source(source), _Finish(size, coding_at(coding, size), full)
    if not finder.available():
        raise UserError(finder.MISSING)
    found = finder.search(opened.image)
    if not found.faces:
        raise UserError(f"{name_of(source)} shows no face that could be found.")
    sure = [face for face in found.faces if face.sure >= finder.DOUBTFUL]
    if not sure:
        raise UserError(
            f"{name_of(source)} shows faces, but it is not clear which way up they are."
        )
    left = found.left + len(found.faces) - len(sure)
    return [_on_template(opened, face, finish) for face in sure], left


@dataclass(frozen=True)
class _Finish:
    """What happens to the square at last: `size` of the model, and a coding if there is one.

    `full` is the largest side at which the square is kept as it is, too.
    """

    size: int
    coding: Coding | None
    full: int = 0

    @property
    def wide(self) -> int:
        """The side that crops are made with."""
        return self.coding.size if self.coding is not None else self.size

    def full_side(self, side: float) -> int | None:
        """Of the full square, where the photo's has `side` pixels; None: there is none."""
        wanted = min(round(side), self.full)
        return wanted if wanted > self.size else None

    def square(self, square: Image.Image, opened: Opened) -> tuple[np.ndarray, np.ndarray]:
        """(S, S, 3) pixels and (C, C, 3) crop of a square that is taken as it lies."""
        whole = square.size == opened.image.size
        crop = _resized(square, self.wide)
        done = self.coding is not None and whole and self.coding.made(square, opened.jpeg)
        if square.size == (self.size, self.size) or done:
            return _resized(square, self.size), crop
        return self.crop(crop), crop

    def crop(self, crop: np.ndarray) -> np.ndarray:
        """(S, S, 3) pixels of a crop (C, C, 3)."""
        return code_and_reduce(crop, self.size, self.coding)


def _centred(opened: Opened, finish: _Finish, *notes: str) -> Face:
    image = opened.image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    if side < _SOFT * finish.size:
        notes += (f"The picture is only {side} pixels wide, so it looks soft.",)
    wide = finish.full_side(side)
    full = None if wide is None else _resized(square, wide)
    place = Place((left, top), (side, 0.0), (0.0, side))
    notes += _about_size(opened)
    return Face(*finish.square(square, opened), False, 0, notes, full, place)


def _on_template(opened: Opened, found: FoundFace, finish: _Finish, among: int = 1) -> Face:
    notes = []
    if among > 1:
        notes.append(f"{among} faces were found; the largest is used.")
    if found.sure < finder.DOUBTFUL:
        notes.append(_WHICH_WAY_UP)
    elif _lay_on_its_side(found):
        notes.append("This face was turned upright.")
    if abs(found.yaw) > _FAR_TURNED:
        notes.append("This face is turned far to the side; one that looks ahead works better.")
    if not is_aligned(opened.image, found):
        return _of_square(opened, template_square(found), finish, notes, among, found)
    side = float(opened.image.width)
    pixels, crop = finish.square(opened.image, opened)
    wide = finish.full_side(side)
    full = None if wide is None else _resized(opened.image, wide)
    place = Place((0.0, 0.0), (side, 0.0), (0.0, side))
    notes += (*_softness(side, finish), *_about_size(opened))
    known = {"landmarks": place.inside(found.mesh), "yaw": found.yaw}
    return Face(pixels, crop, True, among, tuple(notes), full, place, **known)


def _of_square(
    opened: Opened,
    square: Square,
    finish: _Finish,
    notes: list[str],
    faces: int,
    found: FoundFace | None = None,
) -> Face:
    """A square of the photo that is cut out, turned upright, coded and reduced."""
    centre, x, y = square
    side = 2 * float(np.hypot(*x))
    aligned, invented = cut(opened.image, square, finish.wide)
    crop = np.array(aligned)
    wide = finish.full_side(side)
    full = None if wide is None else np.array(cut(opened.image, square, wide)[0])
    place = Place(*(tuple(v.tolist()) for v in (centre - x - y, 2 * x, 2 * y)))
    if invented > _MUCH_INVENTED:
        notes.append(
            "Much of this crop lies outside the photo; one with more room about the face"
            " works better."
        )
    notes += (*_softness(side, finish), *_about_size(opened))
    known = {}
    if found is not None:
        known = {
            "landmarks": place.inside(found.mesh),
            "yaw": found.yaw,
            "turned": _lay_on_its_side(found),
        }
    pixels = finish.crop(crop)
    return Face(pixels, crop, True, faces, tuple(notes), full, place, **known)


def _lay_on_its_side(found: FoundFace) -> bool:
    return found.sure >= finder.DOUBTFUL and abs(found.tilt) > _ON_ITS_SIDE


def _about_size(opened: Opened) -> tuple[str, ...]:
    """What to say of a photo that was taken in reduced form."""
    if opened.reduced == 1:
        return ()
    width, height = opened.image.size
    return (f"The photo is very large, so it is used with {width} x {height} pixels.",)


def _softness(side: float, finish: _Finish) -> list[str]:
    if side >= _SOFT * finish.size:
        return []
    return [f"The face is only {side:.0f} pixels wide, so it looks soft."]


def _resized(square: Image.Image, size: int) -> np.ndarray:
    """A square picture as (size, size, 3) uint8; unchanged if it has that size."""
    if square.size != (size, size):
        square = square.resize((size, size), RESAMPLE)
    return np.array(square)
