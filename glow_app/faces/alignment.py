"""Squares of a photo: that of a face by its landmarks or one that a user chose, and cutting them.

**Template.** Direction and size after the FFHQ recipe (Karras et al. 2019) at 0.62 of its size, by
a similarity transform only; the middle of the eyes lies 0.42 of half a side above the centre. The
eyes come to lie at (0.30, 0.29) and (0.70, 0.29) of the square, the mouth corners near
(0.33, 0.71) and (0.67, 0.71), as in the training pictures of the released model: on 280 of them
the height of the eyes is 0.2905 with a deviation of 0.0016. A model expects faces where it learned
them, so these numbers must not be tuned by taste.

Coordinates are in pixels with y pointing down, and (0, 0) is the outer corner of the first pixel,
not its centre.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from PIL import Image

from glow_app.common.errors import UserError
from glow_app.faces.opening import MAX_PIXELS, RESAMPLE

Point = tuple[float, float]

ZOOM: Final = 0.62  # of FFHQ's size, 2 max(2.0 |E|, 1.8 |M|)
DOWN: Final = 0.42  # from the middle of the eyes to the centre, in half-sides
EYES_APART: Final = 1 / (4 * ZOOM)  # of the side, where the mouth is not far below the eyes

SMALLEST: Final = 16  # pixels a side of a chosen square, or the short side of a smaller photo
LARGEST: Final = 1.5  # in long sides of the photo, which is reflected at its borders

# How far the square of a face may be from the whole picture for that to count as aligned already.
# Landmarks found again in an aligned crop of 64 to 256 px stay within this in 99 of 100.
_SAME_SHIFT: Final = 0.05  # of the side
_SAME_SCALE: Final = 0.08  # of the side
_SAME_TILT: Final = 4.0  # degrees


def rot90(v: np.ndarray) -> np.ndarray:
    """Turn a vector (2,) by a quarter, clockwise as the picture is seen."""
    return np.array([-v[1], v[0]])


@dataclass(frozen=True)
class Square:
    """A square of an upright photo, turned by any angle, perhaps partly beside it."""

    centre: Point  # (x, y) in pixels of the photo
    half: Point  # (x, y) in pixels, from the centre to the middle of the right-hand side

    @classmethod
    def at(cls, centre: Point, side: float, turn: float = 0.0) -> Square:
        """Make a square of `side` pixels, turned clockwise by `turn` degrees."""
        angle = math.radians(turn)
        return cls(centre, (math.cos(angle) * side / 2, math.sin(angle) * side / 2))

    @classmethod
    def read(cls, given: Any, size: tuple[int, int]) -> Square:
        """Check a square that a browser sent, which can be anything.

        Args:
            given: an object with x, y and side in long sides of the photo, and turn in degrees,
                which is limited as by `within`.
            size: width and height of the photo, pixels.

        Raises:
            UserError: it is not such an object.
        """
        values: list[Any] = [None]
        if isinstance(given, Mapping):
            values = [given.get(name) for name in ("x", "y", "side", "turn")]
        if not all(type(value) in (int, float) and abs(value) < 1e6 for value in values):
            raise UserError("The crop must be four finite numbers: x, y, side and turn.")
        x, y, side = (float(value) * max(size) for value in values[:3])
        return cls.at((x, y), _fitting(side, size), float(values[3]) % 360).within(size)

    def within(self, size: tuple[int, int]) -> Square:
        """Return the nearest square whose centre lies in a photo of this size and whose side is
        between `SMALLEST` and `LARGEST`."""
        x, y = (float(min(max(v, 0), most)) for v, most in zip(self.centre, size, strict=True))
        scale = _fitting(self.side, size) / self.side
        return Square((x, y), (self.half[0] * scale, self.half[1] * scale))

    def relative(self, size: tuple[int, int]) -> dict[str, float]:
        """Return what `read` takes."""
        long = max(size)
        x, y = self.centre
        return {"x": x / long, "y": y / long, "side": self.side / long, "turn": self.turn}

    @property
    def right(self) -> np.ndarray:
        """From the centre to the middle of the right-hand side: (2,)."""
        return np.array(self.half)

    @property
    def down(self) -> np.ndarray:
        """From the centre to the middle of the lower side: (2,)."""
        return rot90(self.right)

    @property
    def side(self) -> float:
        """Pixels of the photo."""
        return 2 * math.hypot(*self.half)

    @property
    def turn(self) -> float:
        """Degrees, -180 to 180, clockwise as the photo is seen."""
        return math.degrees(math.atan2(self.half[1], self.half[0]))

    @property
    def corner(self) -> np.ndarray:
        """Where the outer corner of its first pixel lies in the photo: (2,)."""
        return np.array(self.centre) - self.right - self.down

    def fractions(self, points: np.ndarray) -> np.ndarray:
        """Convert points (M, 2) of the photo, in pixels, to fractions of the square."""
        into = np.linalg.inv(np.column_stack([2 * self.right, 2 * self.down]))
        return (np.asarray(points) - self.corner) @ into.T

    def is_about(self, side: int, shift: float, scale: float, tilt: float) -> bool:
        """Say whether it nearly is the whole of a picture of `side` pixels: with at most these
        differences of its centre and side, in fractions of `side`, and of its turn, in degrees."""
        return bool(
            np.abs(np.array(self.centre) / side - 0.5).max() <= shift
            and abs(self.side / side - 1) <= scale
            and abs(self.turn) <= tilt
        )


def _fitting(side: float, size: tuple[int, int]) -> float:
    return min(max(side, min(SMALLEST, *size)), LARGEST * max(size))


@dataclass(frozen=True)
class FoundFace:
    """Where a face is. Points are (x, y) in pixels, ordered left to right as the upright face
    is seen, so `left_eye` is the person's right eye.

    Attributes:
        left_eye, right_eye: iris centres.
        mouth_left, mouth_right: mouth corners.
        yaw: degrees the head is turned to the side, about; 0 is frontal, positive when the face
            looks towards the right of the picture.
        mesh: (478, 2) float64, all its landmarks in pixels, if known: MediaPipe's canonical face
            model, then five points for each iris. They may lie outside the picture.
        confidence: that it was found the right way up, 0 to 1.
    """

    left_eye: Point
    right_eye: Point
    mouth_left: Point
    mouth_right: Point
    yaw: float = 0.0
    mesh: np.ndarray | None = field(default=None, compare=False, repr=False)
    confidence: float = 1.0

    @cached_property
    def square(self) -> Square:
        """The template's square for this face.

        With e the middle of the eyes, E the vector between them, M the vector from e to the middle
        of the mouth and rot90(a, b) = (-b, a), its half-sides are x = E - rot90(M), scaled to the
        length 0.62·max(2.0·|E|, 1.8·|M|), and y = rot90(x); its centre is e + 0.42·y.
        """
        left, right = np.asarray(self.left_eye), np.asarray(self.right_eye)
        eyes = (left + right) / 2
        mouth = (np.asarray(self.mouth_left) + np.asarray(self.mouth_right)) / 2
        across, down = right - left, mouth - eyes
        x = across - rot90(down)
        length = ZOOM * max(2.0 * math.hypot(*across), 1.8 * math.hypot(*down))
        x = x * (length / max(math.hypot(*x), 1e-9))
        centre = eyes + DOWN * rot90(x)
        return Square((float(centre[0]), float(centre[1])), (float(x[0]), float(x[1])))

    @cached_property
    def size(self) -> float:
        """Side of its square in pixels."""
        return self.square.side


def is_aligned(image: Image.Image, face: FoundFace) -> bool:
    """Say whether a picture already is its face's template square, up to the noise of landmarks.

    Aligning it again would blur it and change its bits each time it is read.
    """
    width, height = image.size
    return width == height and face.square.is_about(width, _SAME_SHIFT, _SAME_SCALE, _SAME_TILT)


def cut(image: Image.Image, square: Square, size: int) -> tuple[Image.Image, float]:
    """Cut a square out of a picture, turned upright and scaled.

    Antialiased at every scale: the surroundings of the face are reduced to two to four times the
    target, turned there by bicubic interpolation onto a grid of an integer multiple of `size`,
    and that is reduced with `RESAMPLE`. Beyond the border the picture is reflected.

    Args:
        image: mode RGB, any size.
        square: in that picture, or partly beside it.
        size: side of the result in pixels.

    Returns:
        The crop (size x size, mode RGB) and the fraction of it, in [0, 1], that lies outside the
        picture and is a reflection.
    """
    outside = _fraction_outside(image.size, square)
    centre, x, y = np.array(square.centre), square.right, square.down
    # With its reflections a large turned square would need many times the pixels of the photo:
    # 3 GB for 12 megapixels. No square inside a photo is reduced here, whatever its turn.
    by = math.ceil(math.sqrt(np.prod(2.0 * (np.abs(x) + np.abs(y))) / MAX_PIXELS))
    if by > 1:
        image, centre, x, y = image.reduce(by), centre / by, x / by, y / by
    side = 2 * math.hypot(*x)
    shrink = max(1, int(side / (2 * size)))
    region, origin = _surroundings(image, centre, np.abs(x) + np.abs(y), shrink)
    multiple = max(1, math.ceil(side / shrink / size))
    wide = multiple * size
    corner = (centre - x - y - origin) / shrink
    step_x, step_y = 2 * x / shrink / wide, 2 * y / shrink / wide
    turned = region.transform(
        (wide, wide),
        Image.Transform.AFFINE,
        (step_x[0], step_y[0], corner[0], step_x[1], step_y[1], corner[1]),
        Image.Resampling.BICUBIC,
    )
    crop = turned if multiple == 1 else turned.resize((size, size), RESAMPLE)
    return crop, outside


def _surroundings(
    image: Image.Image, centre: np.ndarray, reach: np.ndarray, shrink: int
) -> tuple[Image.Image, np.ndarray]:
    """Return the picture around `centre`, reduced by `shrink`, and where its first corner was."""
    margin = 4 * shrink  # for bicubic interpolation
    first = np.floor(centre - reach).astype(int) - margin
    count = np.ceil((centre + reach + margin - first) / shrink).astype(int)
    columns = _reflect(np.arange(first[0], first[0] + count[0] * shrink), image.width)
    rows = _reflect(np.arange(first[1], first[1] + count[1] * shrink), image.height)
    box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    pixels = np.asarray(image.crop(box))[rows - box[1]][:, columns - box[0]]
    region = Image.fromarray(np.ascontiguousarray(pixels))
    if shrink > 1:
        region = region.resize((int(count[0]), int(count[1])), RESAMPLE, reducing_gap=3.0)
    return region, first


def _reflect(index: np.ndarray, n: int) -> np.ndarray:
    """Fold indices into n pixels, mirrored at both ends without repeating the last one."""
    period = max(1, 2 * (n - 1))
    folded = index % period
    return np.minimum(folded, period - folded) if n > 1 else np.zeros_like(index)


def _fraction_outside(size: tuple[int, int], square: Square) -> float:
    t = (np.arange(64) + 0.5) / 64 * 2 - 1
    points = square.centre + t[:, None, None] * square.right + t[None, :, None] * square.down
    inside = ((points >= 0) & (points <= np.asarray(size))).all(axis=-1)
    return float(1 - inside.mean())
