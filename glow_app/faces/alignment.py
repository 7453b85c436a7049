"""Cut a face out, turned and scaled to the face template.

**Template.** Direction and size after the FFHQ recipe (Karras et al. 2019) at 0.62 of its scale, a
similarity transform only; the middle of the eyes lies 0.42 of half a side above the centre. The
eyes come to lie at (0.30, 0.29) and (0.70, 0.29) of the square, the mouth corners near
(0.33, 0.71) and (0.67, 0.71). This is where the faces lie that the released model learned from: on
280 of them the height of the eyes is 0.2905 with a deviation of 0.0016. A model draws and morphs
faces where it has seen them, so nothing here may be tuned by taste.

Coordinates are in pixels with y pointing down, and (0, 0) is the outer corner of the first pixel,
not its centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from PIL import Image

from glow_app.faces.opening import MAX_PIXELS, RESAMPLE

__all__ = [
    "DOWN",
    "EYES_APART",
    "ZOOM",
    "FoundFace",
    "Point",
    "Square",
    "align",
    "cut",
    "is_aligned",
    "rot90",
    "template_square",
]

Point = tuple[float, float]
Square = tuple[np.ndarray, np.ndarray, np.ndarray]  # centre and half-sides x, y, each (2,), pixels

ZOOM: Final = 0.62  # of FFHQ's size, 2 max(2.0 |E|, 1.8 |M|)
DOWN: Final = 0.42  # from the middle of the eyes to the centre, in half-sides
EYES_APART: Final = 1 / (4 * ZOOM)  # of the side, where the mouth is not far below the eyes
_MOUTH_BELOW: Final = 1.05  # the eyes, in their distance: both as they lie on the template


# How far the square of a face may be from the whole picture for the picture to count as aligned
# already. Landmarks found again in an aligned crop of 64 to 256 px stay within this in 99 of 100.
_SAME_SHIFT: Final = 0.05  # of the side
_SAME_SCALE: Final = 0.08  # of the side
_SAME_TILT: Final = 4.0  # degrees


@dataclass(frozen=True)
class FoundFace:
    """Where a face is. Points are (x, y) in pixels, ordered left to right as the upright face
    is seen, so `left_eye` is the person's right eye.

    Attributes:
        left_eye, right_eye: iris centres.
        mouth_left, mouth_right: mouth corners.
        yaw: degrees the head is turned to the side, about; 0 is frontal, positive when the face
            looks towards the right of the picture.
        mesh: (478, 2) float64, all its landmarks in pixels; None where they are not known.
        sure: 0 to 1, how sure it is that it was taken the right way up.
    """

    left_eye: Point
    right_eye: Point
    mouth_left: Point
    mouth_right: Point
    yaw: float = 0.0
    mesh: np.ndarray | None = field(default=None, compare=False, repr=False)
    sure: float = 1.0

    @classmethod
    def of_eyes(cls, one: Point, other: Point) -> FoundFace:
        """A frontal face of which only the eyes are known, in either order."""
        left, right = (np.asarray(eye, float) for eye in sorted((one, other)))
        mouth = (left + right) / 2 + _MOUTH_BELOW * rot90(right - left)
        half = (right - left) * 0.42
        points = (left, right, mouth - half, mouth + half)
        return cls(*(tuple(point.tolist()) for point in points))

    @cached_property
    def size(self) -> float:
        """Side in pixels of the square that `align` cuts out."""
        _, x, _ = template_square(self)
        return 2 * math.hypot(*x)

    @cached_property
    def tilt(self) -> float:
        """Degrees, -180 to 180, by which it is turned clockwise as the picture is seen."""
        _, x, _ = template_square(self)
        return math.degrees(math.atan2(x[1], x[0]))


def template_square(face: FoundFace) -> Square:
    """The template's square for a face: centre c and half-sides x, y, each (2,) in pixels.

    Its corners are c ± x ± y. With e the middle of the eyes, E the vector between them, M the
    vector from e to the middle of the mouth and rot90(a, b) = (-b, a):
    x = E - rot90(M), scaled to the length 0.62·max(2.0·|E|, 1.8·|M|); y = rot90(x);
    c = e + 0.42·y.
    """
    left, right = np.asarray(face.left_eye), np.asarray(face.right_eye)
    eyes = (left + right) / 2
    mouth = (np.asarray(face.mouth_left) + np.asarray(face.mouth_right)) / 2
    across, down = right - left, mouth - eyes
    x = across - rot90(down)
    length = ZOOM * max(2.0 * math.hypot(*across), 1.8 * math.hypot(*down))
    x = x * (length / max(math.hypot(*x), 1e-9))
    y = rot90(x)
    return eyes + DOWN * y, x, y


def align(image: Image.Image, face: FoundFace, size: int) -> tuple[Image.Image, float]:
    """Cut a face out, turned and scaled to the template; see `cut`."""
    return cut(image, template_square(face), size)


def cut(image: Image.Image, square: Square, size: int) -> tuple[Image.Image, float]:
    """Cut a square out of a picture, whichever way it is turned.

    Antialiased at every scale: the surroundings of the face are reduced to two to four times the
    target, turned there by bicubic interpolation onto a grid of an integer multiple of `size`,
    and that is reduced with `RESAMPLE`. Beyond the border the picture is reflected.

    Args:
        image: mode RGB, any size.
        square: in that picture, or partly beside it.
        size: side of the result in pixels.

    Returns:
        The crop (size x size, mode RGB) and the fraction of it, in [0, 1], that lies outside the
        picture and was invented by reflection.
    """
    outside = _fraction_outside(image.size, *square)
    image, square = _bounded(image, square)
    centre, x, y = square
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


def is_aligned(image: Image.Image, face: FoundFace) -> bool:
    """Whether a picture already is its face's template square, give or take the noise of finding.

    Such a picture must not be aligned again: that would blur it, and the same picture would get
    other bits each time it goes round.
    """
    width, height = image.size
    if width != height:
        return False
    return _covers(template_square(face), width)


def rot90(v: np.ndarray) -> np.ndarray:
    return np.array([-v[1], v[0]])


def _covers(square: Square, side: int) -> bool:
    """Whether a face's square is the whole picture, give or take the noise of finding."""
    centre, x, _ = square
    return bool(
        np.abs(centre / side - 0.5).max() <= _SAME_SHIFT
        and abs(2 * math.hypot(*x) / side - 1) <= _SAME_SCALE
        and abs(math.degrees(math.atan2(x[1], x[0]))) <= _SAME_TILT
    )


def _bounded(image: Image.Image, square: Square) -> tuple[Image.Image, Square]:
    """Both reduced by a whole number where the square reaches over more than `MAX_PIXELS`.

    What lies beside a photo is reflected, so a square larger than the photo, and turned, would
    need many times its pixels: 3 GB for one of 12 megapixels. A square that lies in its photo
    never does, however it is turned, so the bits of its face stay as they are.
    """
    centre, x, y = square
    by = math.ceil(math.sqrt(np.prod(2.0 * (np.abs(x) + np.abs(y))) / MAX_PIXELS))
    if by <= 1:
        return image, square
    return image.reduce(by), (centre / by, x / by, y / by)


def _surroundings(
    image: Image.Image, centre: np.ndarray, reach: np.ndarray, shrink: int
) -> tuple[Image.Image, np.ndarray]:
    """The picture around `centre`, reduced by `shrink`, and where its first corner lay."""
    margin = 4 * shrink  # what bicubic interpolation looks at beyond the square
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
    """Indices into n pixels, mirrored at both ends without repeating the last one."""
    period = max(1, 2 * (n - 1))
    folded = index % period
    return np.minimum(folded, period - folded) if n > 1 else np.zeros_like(index)


def _fraction_outside(
    size: tuple[int, int], centre: np.ndarray, x: np.ndarray, y: np.ndarray, grid: int = 64
) -> float:
    t = (np.arange(grid) + 0.5) / grid * 2 - 1
    points = centre + t[:, None, None] * x + t[None, :, None] * y
    inside = ((points >= 0) & (points <= np.asarray(size))).all(axis=-1)
    return float(1 - inside.mean())
