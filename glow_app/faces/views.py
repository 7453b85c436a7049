"""Parts of a picture as the models that find faces get them: small squares, turned if need be.

Coordinates are in pixels with y pointing down, and (0, 0) is the outer corner of the first pixel,
not its centre.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from glow_app.faces.alignment import Point, rot90

__all__ = ["Spot", "View", "Views"]

_OVERVIEW: Final = 1280  # pixels: faces are looked for on a copy with at most this long a side
_WINDOW: Final = 256  # pixels: side of the picture that the mesh gets, about one face

Spot = tuple[float, float, float]  # centre x, y and side of an upright square, in pixels


@dataclass(frozen=True)
class View:
    """A square part of a picture.

    Attributes:
        pixels: (N, N, 3) uint8.
        origin: where the outer corner of its first pixel lies in the picture.
        across: (2,), from one of its pixels to the next on the right, in pixels of the picture;
            the next below lies a quarter turn clockwise of that.
    """

    pixels: np.ndarray
    origin: Point
    across: np.ndarray

    def points(self, inside: np.ndarray) -> np.ndarray:
        """From fractions (..., 2) of the view, x and y, to pixels of the picture."""
        n, inside = len(self.pixels), np.asarray(inside)
        down = rot90(self.across)
        return self.origin + inside[..., :1] * n * self.across + inside[..., 1:] * n * down

    def spot(self, x: float, y: float, side: float) -> Spot:
        """From fractions of the view to pixels of the picture."""
        px, py = self.points(np.array([x, y])).tolist()
        return px, py, side * len(self.pixels) * math.hypot(*self.across)

    def quarters(self, count: int) -> View:
        """The same part, turned counterclockwise by so many quarters."""
        origin, across = np.asarray(self.origin), self.across
        for _ in range(count % 4):
            origin, across = origin + len(self.pixels) * across, rot90(across)
        return View(np.ascontiguousarray(np.rot90(self.pixels, count)), tuple(origin), across)

    def turned(self, degrees: float, share: float) -> View:
        """The middle of it: what is seen once the picture is turned counterclockwise.

        Args:
            degrees: any.
            share: of its side; above 0.7 the corners of the part may be empty.
        """
        n, side = len(self.pixels), round(share * len(self.pixels))
        angle = math.radians(degrees)
        right = np.array([math.cos(angle), math.sin(angle)])
        down = rot90(right)
        corner = n / 2 - (right + down) * side / 2
        pixels = Image.fromarray(self.pixels).transform(
            (side, side),
            Image.Transform.AFFINE,
            (right[0], down[0], corner[0], right[1], down[1], corner[1]),
            Image.Resampling.BILINEAR,
        )
        origin = self.origin + corner[0] * self.across + corner[1] * rot90(self.across)
        across = right[0] * self.across + right[1] * rot90(self.across)
        return View(np.asarray(pixels), tuple(origin), across)


class Views:
    """Cuts square views out of a picture, antialiased, from a reduced copy if that is enough.

    Args:
        image: mode RGB, any size.
        quarters: by which all views are turned counterclockwise.
    """

    def __init__(self, image: Image.Image, quarters: int = 0) -> None:
        self.width, self.height = image.size
        self._factor = max(1, math.ceil(max(image.size) / _OVERVIEW))
        self._copy = image.reduce(self._factor) if self._factor > 1 else image
        self._image = image
        self._quarters = quarters

    def turned(self, quarters: int) -> Views:
        """Of the same picture, all views turned by this many quarters in all."""
        other = object.__new__(Views)
        vars(other).update(vars(self), _quarters=quarters)
        return other

    @property
    def long(self) -> int:
        """The long side of the picture, in pixels."""
        return max(self.width, self.height)

    def whole(self, pad: float) -> View:
        """The whole picture with `pad` of its long side added on each side."""
        return self.window(self.width / 2, self.height / 2, self.long * (1 + 2 * pad))

    def tiles(self, share: float) -> Iterator[View]:
        """Overlapping squares of this share of the long side that cover the picture."""
        side = self.long * share
        for y in _centres(self.height, side):
            for x in _centres(self.width, side):
                yield self.window(x, y, side)

    def window(self, x: float, y: float, side: float) -> View:
        """A square about (x, y), in pixels of the picture, as _WINDOW x _WINDOW pixels.

        What lies outside repeats the nearest pixel of the border: a reflection would be one more
        face to find.
        """
        coarse = side >= _WINDOW * self._factor
        source, factor = (self._copy, self._factor) if coarse else (self._image, 1)
        step = max(1, int(side / factor / _WINDOW))
        n = max(8, math.ceil(side / factor / step))
        left, top = (round((v - side / 2) / factor) for v in (x, y))
        columns = _inside(left, n, step, source.width)
        rows = _inside(top, n, step, source.height)
        box = (
            left + columns[0] * step, top + rows[0] * step,
            left + columns[1] * step, top + rows[1] * step,
        )  # fmt: skip
        pixels = np.asarray(source.reduce(step, box) if step > 1 else source.crop(box))
        borders = ((rows[0], n - rows[1]), (columns[0], n - columns[1]), (0, 0))
        square = Image.fromarray(np.pad(pixels, borders, mode="edge"))
        if n != _WINDOW:
            square = square.resize((_WINDOW, _WINDOW), Image.Resampling.BILINEAR)
        across = np.array([factor * step * n / _WINDOW, 0.0])
        view = View(np.asarray(square), (left * factor, top * factor), across)
        return view.quarters(self._quarters)


def _inside(start: int, n: int, step: int, length: int) -> tuple[int, int]:
    """Which of n cells of `step` pixels from `start` lie within 0..length; one at least."""
    first = min(max(0, math.ceil(-start / step)), (length - step - start) // step)
    return max(0, first), max(first + 1, min(n, (length - start) // step))


def _centres(length: int, side: float) -> np.ndarray:
    """Centres of windows of `side` that cover `length` and overlap by half at least."""
    if length <= side:
        return np.array([length / 2])
    return np.linspace(side / 2, length - side / 2, math.ceil((length - side) / (side / 2)) + 1)
