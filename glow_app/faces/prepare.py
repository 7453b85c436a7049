"""Make the `Face` that a model takes of any picture, in one way everywhere.

Nothing else in the project aligns, crops, codes or resizes pictures for a model, because bits/dim
is very sensitive to how that is done. The order is always: open and turn upright (`opening`), find
the face (`finder`), cut it out on the template at the size of the coding (`alignment`), code and
reduce once to the size of the model (`coding`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from glow_app.common.errors import UserError
from glow_app.faces import finder
from glow_app.faces.alignment import FoundFace, Square, cut, is_aligned
from glow_app.faces.coding import Coding, code_and_reduce, coding_at, resized
from glow_app.faces.face import Face
from glow_app.faces.opening import RESAMPLE, Opened, Source, name_of, open_source

__all__ = ["FULL", "prepare", "prepare_all"]

FULL: Final = 1024  # pixels a side up to which a face is kept as sharp as its photo has it

_SOFT: Final = 0.75  # a face or picture below this fraction of the target side looks soft
_MUCH_INVENTED: Final = 0.15  # of the crop
_FAR_TURNED: Final = 20.0  # degrees of yaw; hardly any training picture is beyond
_ON_ITS_SIDE: Final = 45.0  # degrees of tilt beyond which a photo lies on its side or head


def prepare(
    source: Source,
    size: int,
    align: Literal["auto", "face", "center"] = "auto",
    coding: Coding | None = None,
    full: int = 0,
    square: Square | None = None,
) -> Face:
    """Open a picture and make the face that a model takes.

    A square picture whose face lies on the template already, as our own exports do, is not aligned
    again but only resized: the same picture keeps the same bits however often it goes round. A
    centre crop that has `size` already is returned as it is.

    With a coding, the crop is made with the side of the coding, coded, and then reduced to
    `size`. Not coded again are crops that are taken as they lie (their face is on the template,
    or the middle was asked for) and that this coding made: JPEG files of its side with its
    very tables, such as the training pictures, and pictures of exactly `size`, such as stills and
    frames that a model drew. A `size` above that of the coding goes uncoded.

    Args:
        source: anything that `open_source` takes.
        size: side S of the result in pixels.
        align: "auto": the largest face on the template, or the middle of the picture and a note
            if there is none. "face": the same, but no face is an error, and so is one of which it
            is not clear which way up it is. "center": the largest square in the middle; no face
            is looked for.
        coding: of the model's training pictures; None for a model that learned from pictures
            without one.
        full: largest side of `Face.full` in pixels; 0: none is made.
        square: of the upright photo that somebody chose; no face is looked for then.

    Raises:
        UserError: the picture cannot be used.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, not {size}")
    if align not in ("auto", "face", "center"):
        raise ValueError(f'align must be "auto", "face" or "center", not {align!r}')
    maker = _Maker(open_source(source), size, coding_at(coding, size), full)
    if square is not None:
        return maker.cut_out(square.within(maker.opened.image.size))
    if align == "center":
        return maker.middle()
    if not finder.available():
        if align == "face":
            raise UserError(finder.MISSING)
        return maker.middle(f"The middle of the picture is used. {finder.MISSING}")
    found = finder.find_faces(maker.opened.image)
    if not found:
        if align == "face":
            raise UserError(f"{name_of(source)} shows no face that could be found.")
        return maker.middle("No face was found, so the middle of the picture is used.")
    if align == "face" and found[0].sure < finder.DOUBTFUL:
        raise UserError(f"{name_of(source)} shows a face, but it is not clear which way up it is.")
    return maker.on_template(found[0], len(found))


def prepare_all(
    source: Source, size: int, coding: Coding | None = None, full: int = 0
) -> tuple[list[Face], int]:
    """Make every face of a picture, as `prepare` with align="face" makes the largest.

    Returns:
        the faces, largest first, and how many more there may be: places that look like a face and
        in which none was found, or of which it is not clear which way up it is.
    """
    maker = _Maker(open_source(source), size, coding_at(coding, size), full)
    if not finder.available():
        raise UserError(finder.MISSING)
    found = finder.search(maker.opened.image)
    if not found.faces:
        raise UserError(f"{name_of(source)} shows no face that could be found.")
    sure = [face for face in found.faces if face.sure >= finder.DOUBTFUL]
    if not sure:
        raise UserError(
            f"{name_of(source)} shows faces, but it is not clear which way up they are."
        )
    left = found.left + len(found.faces) - len(sure)
    return [maker.on_template(face, 1) for face in sure], left


@dataclass(frozen=True)
class _Maker:
    """Makes faces of one opened picture.

    Attributes:
        opened: the picture.
        size: side S of the model's pictures.
        coding: of its training pictures, None for none.
        full: largest side of `Face.full`.
    """

    opened: Opened
    size: int
    coding: Coding | None
    full: int

    def on_template(self, found: FoundFace, among: int) -> Face:
        """Make a face that was found; among: how many were."""
        notes, sure = [], found.sure >= finder.DOUBTFUL
        turned = sure and abs(found.square.turn) > _ON_ITS_SIDE
        if among > 1:
            notes.append(f"{among} faces were found; the largest is used.")
        if not sure:
            notes.append("It is not clear which way up this face is; please check its square.")
        if turned:
            notes.append("This face was turned upright.")
        if abs(found.yaw) > _FAR_TURNED:
            notes.append("This face is turned far to the side; one that looks ahead works better.")
        if is_aligned(self.opened.image, found):
            face = self.middle(*notes, aligned=True)
        else:
            face = self.cut_out(found.square, *notes)
        known = None
        if found.mesh is not None and face.square is not None:
            known = face.square.fractions(found.mesh)
        return replace(face, faces=among, landmarks=known, yaw=found.yaw, turned=turned)

    def cut_out(self, square: Square, *notes: str) -> Face:
        """Cut a square out, turned upright, then code and reduce it."""
        aligned, invented = cut(self.opened.image, square, self._wide)
        crop, side = np.array(aligned), self._full_side(square)
        full = None if side is None else np.array(cut(self.opened.image, square, side)[0])
        if invented > _MUCH_INVENTED:
            notes += (
                "Much of this crop lies outside the photo; one with more room about the face"
                " works better.",
            )
        pixels = code_and_reduce(crop, self.size, self.coding)
        notes += self._about_size(square, "face")
        return Face(pixels, crop, notes=notes, full=full, square=square)

    def middle(self, *notes: str, aligned: bool = False) -> Face:
        """Take the largest square in the middle, which may be the whole picture, as it lies.

        It is not coded again if it has the model's size or is what the coding makes.
        """
        image, jpeg = self.opened.image, self.opened.jpeg
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = Square.at((left + side / 2, top + side / 2), side)
        picture = image.crop((left, top, left + side, top + side))
        sharp, full_side = np.array(picture), self._full_side(square)
        crop = resized(sharp, self._wide, enlarging=RESAMPLE)
        whole = picture.size == image.size
        done = self.coding is not None and whole and self.coding.made(picture, jpeg)
        if side == self.size or done:
            pixels = resized(sharp, self.size, enlarging=RESAMPLE)
        else:
            pixels = code_and_reduce(crop, self.size, self.coding)
        full = None if full_side is None else resized(sharp, full_side, enlarging=RESAMPLE)
        notes += self._about_size(square, "face" if aligned else "picture")
        return Face(pixels, crop, aligned, notes=notes, full=full, square=square)

    @property
    def _wide(self) -> int:
        """Pixels a side of `Face.crop`."""
        return self.coding.size if self.coding is not None else self.size

    def _full_side(self, square: Square) -> int | None:
        """Pixels a side of `Face.full`; None where the square has no more than the model's."""
        wanted = min(round(square.side), self.full)
        return wanted if wanted > self.size else None

    def _about_size(self, square: Square, what: str) -> tuple[str, ...]:
        """Say that there are too few pixels for the model, or that the photo had too many."""
        notes = []
        if square.side < _SOFT * self.size:
            notes.append(f"The {what} is only {square.side:.0f} pixels wide, so it looks soft.")
        if self.opened.reduced != 1:
            width, height = self.opened.image.size
            notes.append(f"The photo is very large, so it is used with {width} x {height} pixels.")
        return tuple(notes)
