"""One face: its pixels for a model, the detail of its photo, its shape, and how to prepare it.

Nothing else in the project aligns, crops, codes or resizes pictures for a model, because bits/dim
is very sensitive to how that is done. The order is always: open and turn upright (`opening`), find
the face (`finder`), cut it out on the template at the size of the coding (`alignment`), code and
reduce once to the size of the model (`coding`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import numpy as np

from glow_app.common.errors import UserError
from glow_app.faces import finder, regions
from glow_app.faces.alignment import FoundFace, Square, cut, is_aligned
from glow_app.faces.coding import Coding, code_and_reduce, coding_at, resized
from glow_app.faces.landmarks import find_shape, mean_shape, mouth_opening
from glow_app.faces.opening import RESAMPLE, Opened, Source, name_of, open_source
from glow_app.faces.warp import reshaped

FULL: Final = 1024  # pixels a side up to which a face keeps the sharpness of its photo

_SOFT: Final = 0.75  # a face or picture below this fraction of the target side looks soft
_MUCH_OUTSIDE: Final = 0.15  # of the crop
_FAR_TURNED: Final = 20.0  # degrees of yaw; hardly any training picture is beyond
_ON_ITS_SIDE: Final = 45.0  # degrees of tilt beyond which a photo lies on its side or head
_HUGE: Final = 4096  # pixels a side: above it resampling takes half a second, without a gap
_GAP: Final = 2.5  # `reducing_gap` of Pillow

_FINE: Final = 256  # pixels a side at which a face is warped and measured

_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_GREY: Final = 3.0  # levels: colours that are less are those of a JPEG's rounding
_STRAY: Final = 3.0  # levels off the curve of a tone; 640 photos in colour have 4.9 or more
_MOST: Final = 0.98  # of the pixels
_BLUR: Final = 2.0  # pixels: removes the noise of single ones


@dataclass(frozen=True, eq=False)
class Face:
    """A face, from a photo or made by the model. Made by `prepare`, not changed afterwards.

    Attributes:
        pixels: (S, S, 3) uint8, the crop as the model sees it: coded, at the model's size.
        crop: (C, C, 3) uint8, the same square before it was coded and reduced; C is the side of
            the coding, S without one.
        aligned: whether the face lies on the template, as found or as the user chose.
        faces: how many faces were found on the photo; 0 where none was looked for.
        notes: sentences for the user, most important first.
        full: (F, F, 3) uint8, the square as sharp as the photo has it; None where that is no more
            than the model's size.
        square: of the upright photo that was cut out; None for a face without a photo.
        landmarks: (478, 2) in fractions of the crop; None: `shape` looks for them.
        yaw: degrees by which the head is turned to the side, 0 if unknown.
        turned: whether its photo lay on its side or head, and it was turned upright.
        source: where the face comes from, in two or three words.
        photo: the file it was cut out of, which may be gone already.
        seed, temperature: of a drawn face.
        reading: the model's measurement of its look (`FaceModel.read`), once made.
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
    _looks: dict[Any, np.ndarray] = field(default_factory=dict, repr=False)  # by `Looks`

    @classmethod
    def of_pixels(cls, pixels: np.ndarray, wide: int | None = None, **fields: Any) -> Face:
        """Make a face of a picture (S, S, 3) uint8; `wide` is the side of its crop."""
        return cls(pixels, resized(pixels, wide or len(pixels)), **fields)

    @property
    def sharpest(self) -> np.ndarray:
        """`full`, or else `pixels`."""
        return self.pixels if self.full is None else self.full

    @property
    def native(self) -> int:
        """Side of `sharpest` in pixels; a picture to be put back needs as many."""
        return len(self.sharpest)

    def at(self, size: int) -> np.ndarray:
        """Return the photo as (size, size, 3) uint8, the `pixels` at the model's size."""
        return self.pixels if size == len(self.pixels) else resized(self.sharpest, size)

    @cached_property
    def fine(self) -> np.ndarray:
        """(256, 256, 3) uint8 from `full` or `crop`, not coded."""
        return resized(self.crop if self.full is None else self.full, _FINE)

    @cached_property
    def key(self) -> bytes:
        """A digest of its pixels."""
        digest = hashlib.blake2b(self.pixels.tobytes(), digest_size=16)
        for more in (self.crop, self.full):
            if more is not None:
                digest.update(more.tobytes())
        return digest.digest()

    @cached_property
    def tone(self) -> Tone | None:
        """The tone of a photo in black and white or sepia; None if it has colours."""
        return tone_of(self.fine)

    # -------------------------------- of the shape: all but `shape` raise ValueError without one

    @cached_property
    def shape(self) -> np.ndarray | None:
        """(478, 2) float64, landmarks in fractions of the crop; None if none are found."""
        found = find_shape(self.crop) if self.landmarks is None else self.landmarks
        return None if found is None else np.asarray(found, np.float64)

    @property
    def known_shape(self) -> np.ndarray:
        """`shape` of a face that has landmarks. Raises ValueError: it has none."""
        if self.shape is None:
            raise ValueError("this face has no landmarks")
        return self.shape

    def in_shape(self, target: np.ndarray) -> np.ndarray:
        """Warp `fine` to another shape (478, 2): (256, 256, 3) uint8."""
        return reshaped(self.fine, self.known_shape, np.asarray(target, np.float64))

    @property
    def mouth(self) -> float:
        """How far the lips are apart, in fractions of the crop."""
        return mouth_opening(self.known_shape)

    @cached_property
    def glasses(self) -> bool:
        """Whether the face wears glasses."""
        return regions.wears_glasses(self.in_shape(mean_shape()))

    @cached_property
    def seen(self) -> np.ndarray:
        """(256, 256) float32 in [0, 1]: where nothing covers the face."""
        return regions.visible_face(self.fine, self.known_shape, self.glasses)

    @cached_property
    def skin(self) -> np.ndarray:
        """(256, 256) float32 in [0, 1]: what has the colour of this face's skin."""
        likeness = regions.skin_likeness(self.fine, self.known_shape)
        return cv2.GaussianBlur(likeness, (0, 0), 2.5)

    @cached_property
    def covered(self) -> float:
        """Share, 0 to 1, of the face inside its outline that something covers."""
        mask = regions.face_mask(self.known_shape, _FINE)
        return 1 - float((mask * self.seen).sum() / max(mask.sum(), 1e-6))


# --------------------------------------------------------------------------------------- preparing


def prepare(
    source: Source,
    size: int,
    align: Literal["auto", "face", "center"] = "auto",
    coding: Coding | None = None,
    full: int = 0,
    square: Square | None = None,
) -> Face:
    """Open a picture and make the face that a model takes.

    A square picture whose face lies on the template already, as our own exports do, is only
    resized and not aligned again, so that its bits stay the same however often it is read. A
    centre crop that has `size` already is returned as it is.

    With a coding, the crop is made with the side of the coding, coded, and then reduced to
    `size`. Crops that are not cut out (on the template already, or centred) are not coded again
    if they are JPEG files of the coding's side and tables, such as the training pictures, or have
    exactly `size`, such as stills and frames of a model. A `size` above that of the coding is not
    coded.

    Args:
        source: anything that `open_source` takes.
        size: side S of the result in pixels.
        align: "auto": the largest face on the template, or without one the middle of the picture
            and a note. "face": the same, but it is an error if there is no face or if it is not
            clear which way up it is. "center": the largest square in the middle, without looking
            for a face.
        coding: of the model's training pictures; None: they have none.
        full: largest side of `Face.full` in pixels; 0: none is made.
        square: of the upright photo, chosen by the user instead of looking for a face.

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
    if align == "face" and found[0].confidence < finder.DOUBTFUL:
        raise UserError(f"{name_of(source)} shows a face, but it is not clear which way up it is.")
    return maker.on_template(found[0], len(found))


def prepare_all(
    source: Source, size: int, coding: Coding | None = None, full: int = 0
) -> tuple[list[Face], int]:
    """Make every face of a picture, as `prepare` with align="face" makes the largest.

    Returns:
        the faces, largest first, and how many more there may be: places that look like a face but
        have no landmarks, and faces of which it is not clear which way up they are.
    """
    maker = _Maker(open_source(source), size, coding_at(coding, size), full)
    if not finder.available():
        raise UserError(finder.MISSING)
    found = finder.search(maker.opened.image)
    if not found.faces:
        raise UserError(f"{name_of(source)} shows no face that could be found.")
    clear = [face for face in found.faces if face.confidence >= finder.DOUBTFUL]
    if not clear:
        raise UserError(
            f"{name_of(source)} shows faces, but it is not clear which way up they are."
        )
    more = found.unconfirmed + len(found.faces) - len(clear)
    return [maker.on_template(face, 1) for face in clear], more


@dataclass(frozen=True)
class _Maker:
    """Makes faces of one opened picture."""

    opened: Opened  # the picture
    size: int  # side S of the model's pictures
    coding: Coding | None  # of its training pictures, None for none
    full: int  # largest side of `Face.full`

    def on_template(self, found: FoundFace, among: int) -> Face:
        """Make one of `among` faces that were found."""
        notes, clear = [], found.confidence >= finder.DOUBTFUL
        turned = clear and abs(found.square.turn) > _ON_ITS_SIDE
        if among > 1:
            notes.append(f"{among} faces were found; the largest is used.")
        if not clear:
            notes.append("It is not clear which way up this face is; please check its square.")
        if turned:
            notes.append("This face was turned upright.")
        if abs(found.yaw) > _FAR_TURNED:
            notes.append("This face is turned far to the side; one that looks ahead works better.")
        if is_aligned(self.opened.image, found):
            face = self.middle(*notes, aligned=True)
        else:
            face = self.cut_out(found.square, *notes)
        marks = None
        if found.mesh is not None and face.square is not None:
            marks = face.square.fractions(found.mesh)
        return replace(face, faces=among, landmarks=marks, yaw=found.yaw, turned=turned)

    def cut_out(self, square: Square, *notes: str) -> Face:
        """Cut a square out, turned upright, then code and reduce it."""
        image = self.opened.image
        aligned, outside = cut(image, square, self._wide)
        crop = np.array(aligned)
        full = self._full(square, lambda side: np.array(cut(image, square, side)[0]))
        if outside > _MUCH_OUTSIDE:
            notes += (
                "Much of this crop lies outside the photo; one with more room about the face"
                " works better.",
            )
        pixels = code_and_reduce(crop, self.size, self.coding)
        notes += self._about_size(square, "face")
        return Face(pixels, crop, notes=notes, full=full, square=square)

    def middle(self, *notes: str, aligned: bool = False) -> Face:
        """Take the largest square in the middle, which may be the whole picture. It is not coded
        again if it has the model's size or is an output of the coding."""
        image, jpeg = self.opened.image, self.opened.jpeg
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = Square.at((left + side / 2, top + side / 2), side)
        whole = image.size == (side, side)
        picture = image if whole else image.crop((left, top, left + side, top + side))

        def sized(wanted: int) -> np.ndarray:
            if side == wanted:
                return np.array(picture)
            gap = _GAP if side > _HUGE else None
            return np.array(picture.resize((wanted, wanted), RESAMPLE, reducing_gap=gap))

        crop = sized(self._wide)
        done = self.coding is not None and whole and self.coding.made(picture, jpeg)
        if side == self.size or done:
            pixels = sized(self.size)
        else:
            pixels = code_and_reduce(crop, self.size, self.coding)
        full = self._full(square, sized)
        notes += self._about_size(square, "face" if aligned else "picture")
        return Face(pixels, crop, aligned, notes=notes, full=full, square=square)

    @property
    def _wide(self) -> int:
        """Pixels a side of `Face.crop`."""
        return self.coding.size if self.coding is not None else self.size

    def _full(self, square: Square, sized: Callable[[int], np.ndarray]) -> np.ndarray | None:
        """Return `Face.full` by `sized(side)`; None where the square has no more than `pixels`."""
        side = min(round(square.side), self.full)
        return sized(side) if side > self.size else None

    def _about_size(self, square: Square, what: str) -> tuple[str, ...]:
        """Return notes on too few pixels for the model or too many of the photo."""
        notes = []
        if square.side < _SOFT * self.size:
            notes.append(f"The {what} is only {square.side:.0f} pixels wide, so it looks soft.")
        if self.opened.reduced != 1:
            width, height = self.opened.image.size
            notes.append(f"The photo is very large, so it is used with {width} x {height} pixels.")
        return tuple(notes)


# ---------------------------------------------------------------------------- photos of one tone


@dataclass(frozen=True, eq=False)
class Tone:
    """The colour of each luminance in a photo of one tone: black and white, sepia, faded. What a
    model draws into such a photo must have the same.

    Attributes:
        curve: (3, 3) float32; red, green and blue less luminance are the products of its columns
            with 1, y and y², y being luminance from 0 to 1. All 0: grey.
    """

    curve: np.ndarray

    @property
    def is_grey(self) -> bool:
        """Whether the photo is black and white."""
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


def mixed_tone(shares: Sequence[tuple[Tone | None, float]]) -> Tone | None:
    """Mix the tones of pictures by their shares; None if one of them has colours."""
    curves = [np.float32(share) * tone.curve for tone, share in shares if tone is not None]
    return Tone(np.sum(curves, axis=0)) if curves and len(curves) == len(shares) else None


def _luminance(picture: np.ndarray) -> np.ndarray:
    """Return (N, N) float32, exactly the levels of a grey picture."""
    picture = picture.astype(np.float32)
    return picture[..., 1] + (picture - picture[..., 1:2]) @ _LUMA


def _powers(grey: np.ndarray) -> np.ndarray:
    y = grey / np.float32(255)
    return np.stack([np.ones_like(y), y, y * y], -1)
