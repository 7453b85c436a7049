"""A square of a photo that somebody chose: where, how large, how turned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from glow_app.common.errors import UserError
from glow_app.faces.alignment import FoundFace, Square, rot90, template_square

__all__ = ["LARGEST", "SMALLEST", "Crop", "Place"]

SMALLEST: Final = 16  # pixels a side, or the short side of a picture that is smaller
LARGEST: Final = 1.5  # in long sides of the photo: what lies beside it is reflected

_WRONG: Final = "The crop must be four finite numbers: x, y, side and turn."


@dataclass(frozen=True)
class Crop:
    """A square of an upright photo.

    Attributes:
        x, y: its centre, pixels; (0, 0) is the outer corner of the first pixel.
        side: pixels.
        turn: degrees, clockwise as the photo is seen.
    """

    x: float
    y: float
    side: float
    turn: float = 0.0

    @classmethod
    def of_square(cls, square: Square) -> Crop:
        """The same square, given by its centre and half-sides."""
        centre, x, _ = square
        turn = math.degrees(math.atan2(x[1], x[0]))
        return cls(float(centre[0]), float(centre[1]), 2 * math.hypot(*x), turn)

    @classmethod
    def of_face(cls, face: FoundFace) -> Crop:
        """The template's square of a face."""
        return cls.of_square(template_square(face))

    @classmethod
    def read(cls, given: Any, size: tuple[int, int]) -> Crop:
        """What a browser sent, which can be anything.

        Args:
            given: an object with x, y and side in long sides of the photo, and turn in degrees.
            size: width and height of the photo, pixels.

        Raises:
            UserError: it is not that.
        """
        names = ("x", "y", "side", "turn")
        if not isinstance(given, Mapping) or not all(name in given for name in names):
            raise UserError(_WRONG)
        values = [given[name] for name in names]
        if not all(type(value) in (int, float) and abs(value) < 1e6 for value in values):
            raise UserError(_WRONG)  # neither NaN nor infinity is below that
        long = max(size)
        x, y, side = (float(value) * long for value in values[:3])
        return cls(x, y, side, float(values[3]) % 360).within(size)

    def within(self, size: tuple[int, int]) -> Crop:
        """The nearest crop that makes sense: its centre in the photo, neither tiny nor vast."""
        width, height = size
        side = min(max(self.side, min(SMALLEST, width, height)), LARGEST * max(size))
        x, y = min(max(self.x, 0), width), min(max(self.y, 0), height)
        return replace(self, x=float(x), y=float(y), side=float(side))

    def relative(self, size: tuple[int, int]) -> dict[str, float]:
        """What `read` takes."""
        long = max(size)
        return {
            "x": self.x / long,
            "y": self.y / long,
            "side": self.side / long,
            "turn": self.turn,
        }

    @property
    def square(self) -> Square:
        """Centre and half-sides, each (2,), pixels."""
        angle = math.radians(self.turn)
        x = np.array([math.cos(angle), math.sin(angle)]) * self.side / 2
        return np.array([self.x, self.y]), x, rot90(x)


@dataclass(frozen=True)
class Place:
    """Where in its upright photo the square lies.

    Attributes:
        corner: of its first pixel, (x, y) in pixels of the photo.
        right, down: its upper and its left side, (x, y) in pixels.
    """

    corner: tuple[float, float]
    right: tuple[float, float]
    down: tuple[float, float]

    @property
    def side(self) -> float:
        """Of the square, in pixels of the photo."""
        return float(np.hypot(*self.right))

    @property
    def crop(self) -> Crop:
        """The same square, as one that can be changed."""
        x, y = np.array(self.right) / 2, np.array(self.down) / 2
        return Crop.of_square((np.array(self.corner) + x + y, x, y))

    def inside(self, points: np.ndarray | None) -> np.ndarray | None:
        """Points (M, 2) of the photo, in pixels, as fractions of the square."""
        if points is None:
            return None
        into = np.linalg.inv(np.column_stack([self.right, self.down]))
        return (np.asarray(points) - self.corner) @ into.T
