"""Give a face another shape: piecewise affine warps over one triangulation.

Shapes are the same control points in different places: `landmarks.SHAPE_POINTS` and fixed points
around the crop. They are triangulated once, on the mean of all shapes (Delaunay), and a picture
is moved in each triangle by the affine map of its corners (Goshtasby 1986, "Piecewise linear
mapping functions for image registration"). Control points that would turn a triangle inside out in
one of the shapes are left out: eyelids that close, cheeks that a head turns away.

Points are (x, y) in fractions of the crop, (0, 0) its outer top left corner. The fixed points lie
a little outside of the crop, because the chin often lies on its border. SciPy is imported when
needed, since it takes long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np

from glow_app.faces.landmarks import SHAPE_POINTS

_OUTSIDE: Final = 0.1  # of the crop: how far beyond it the fixed points lie
_PER_SIDE: Final = 4  # intervals between the fixed points of a side: 16 points in all
_MARGIN: Final = 0.02  # of the crop: control points nearer to the fixed ones crowd them
_THIN: Final = 5e-6  # of the crop: area below which a triangle counts as turned
_GRID: Final = 256  # pixels a side up to which a warp is computed for each pixel
_FRACTION: Final = 4  # bits of a pixel's fraction in which triangles are drawn


class Triangulation:
    """One set of triangles that serves several shapes of the same points.

    Args:
        shapes: K ≥ 1 arrays (P, 2). Points that lie far outside of the crop in one of them, or
            that are not finite, are not used.

    Attributes:
        used: (P,) bool, the points that are.
        triangles: (T, 3) indices into the fixed points followed by those that are used.
    """

    def __init__(self, shapes: Sequence[np.ndarray]) -> None:
        from scipy.spatial import Delaunay

        stacked = np.stack([np.asarray(shape, np.float64) for shape in shapes])
        low, high = _MARGIN - _OUTSIDE, 1 + _OUTSIDE - _MARGIN
        self.used: np.ndarray = ((stacked > low) & (stacked < high)).all(axis=(0, 2))  # NaN is not
        self._fixed = _fixed_points()
        fixed = len(self._fixed)
        while True:  # drop the points that turn a triangle, one by one
            points = [self.points(shape) for shape in stacked]
            mean = np.mean(points, axis=0)
            self.triangles = Delaunay(mean).simplices
            clockwise = _area(mean[self.triangles]) < 0
            self.triangles[clockwise] = self.triangles[clockwise][:, ::-1]
            bad = np.any([_area(p[self.triangles]) < _THIN for p in points], axis=0)
            bad &= (self.triangles >= fixed).any(axis=1)  # those of fixed points never move
            blame = np.bincount(self.triangles[bad].ravel(), minlength=len(mean))
            blame[:fixed] = 0
            if not blame.any():
                return
            self.used[np.flatnonzero(self.used)[blame.argmax() - fixed]] = False

    def points(self, shape: np.ndarray) -> np.ndarray:
        """Join the fixed points and those of a shape (P, 2) that are used: (Q, 2) float64."""
        return np.concatenate([self._fixed, np.asarray(shape, np.float64)[self.used]])

    def warp(
        self, picture: np.ndarray, shape: np.ndarray, target: np.ndarray, linear: bool = False
    ) -> np.ndarray:
        """Warp a picture of a face from one shape to another.

        Args:
            picture: (C, C) or (C, C, channels), uint8, int16 or float32, reflected at its border.
                Above 256 pixels the warp is computed on a grid of 256 and interpolated.
            shape, target: (P, 2), where the points are and where they go.
            linear: bilinear instead of bicubic interpolation, for masks and smooth pictures.

        Returns:
            The same shape and dtype; the same object where nothing moves.
        """
        own, goal = self.points(shape), self.points(target)
        if np.array_equal(own, goal):
            return picture
        return self.remap(picture, self.sources(own, goal, len(picture)), linear)

    def sources(self, own: np.ndarray, goal: np.ndarray, side: int) -> np.ndarray:
        """Return from where each pixel of a warped picture comes: (side, side, 2) float32, pixels.
        `own`, `goal`: results of `points`."""
        grid = min(side, _GRID)
        affine = self._affine(own, goal).astype(np.float32)[self._drawn(goal, grid)]
        middles = (np.arange(grid, dtype=np.float32) + 0.5) / grid
        x, y = middles[None, :], middles[:, None]
        source = np.stack(
            [affine[..., k, 0] * x + affine[..., k, 1] * y + affine[..., k, 2] for k in (0, 1)], -1
        )
        return self.enlarged(source * np.float32(grid) - np.float32(0.5), side)

    @staticmethod
    def enlarged(sources: np.ndarray, side: int) -> np.ndarray:
        """Interpolate `sources` (G, G, 2) for another number of pixels a side."""
        grid = len(sources)
        if side == grid:
            return sources
        # Only the offset is enlarged: of the places themselves the border would be repeated.
        places = np.arange(grid, dtype=np.float32)
        offset = sources - np.dstack(np.broadcast_arrays(places[None, :], places[:, None]))
        offset = cv2.resize(offset, (side, side), interpolation=cv2.INTER_LINEAR)
        offset *= np.float32(side / grid)
        places = np.arange(side, dtype=np.float32)
        offset[..., 0] += places[None, :]
        offset[..., 1] += places[:, None]
        return offset

    @staticmethod
    def remap(picture: np.ndarray, sources: np.ndarray, linear: bool = False) -> np.ndarray:
        """Take the pixels of a picture from `sources`."""
        how = cv2.INTER_LINEAR if linear else cv2.INTER_CUBIC
        second: Any = None  # `sources` hold both coordinates
        return cv2.remap(picture, sources, second, how, borderMode=cv2.BORDER_REFLECT)

    def _affine(self, own: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """Return (T, 2, 3) maps of (x, y, 1) in the goal's triangles to their sources."""
        corners = np.ones((len(self.triangles), 3, 3))
        corners[:, :2] = np.swapaxes(goal[self.triangles], 1, 2)
        flat = np.abs(np.linalg.det(corners)) < 1e-12  # between fixed points of one side
        corners[flat] = np.eye(3)
        return np.swapaxes(own[self.triangles], 1, 2) @ np.linalg.inv(corners)

    def _drawn(self, goal: np.ndarray, side: int) -> np.ndarray:
        """Return in which triangle of the goal each pixel lies: (side, side) int32."""
        drawn = np.zeros((side, side), np.int32)
        scale = side * (1 << _FRACTION)
        corners = np.round(goal[self.triangles] * scale - (1 << _FRACTION) / 2).astype(np.int32)
        for i, corner in enumerate(corners):
            cv2.fillConvexPoly(drawn, corner, (i,), cv2.LINE_8, _FRACTION)
        return drawn


def between(a: np.ndarray, b: np.ndarray, low: float = 0.0, high: float = 1.0) -> Triangulation:
    """Triangulate for all shapes a + t·(b - a), t from `low` to `high`."""
    return Triangulation([a + t * (b - a) for t in np.linspace(low, high, 9)])


def reshaped(
    picture: np.ndarray, shape: np.ndarray, target: np.ndarray, linear: bool = False
) -> np.ndarray:
    """Warp a picture of a face from its landmarks (478, 2) to others; see `Triangulation.warp`."""
    own, goal = shape[SHAPE_POINTS], target[SHAPE_POINTS]
    return Triangulation([own, goal]).warp(picture, own, goal, linear)


def _fixed_points() -> np.ndarray:
    """Return points around the crop, corners among them: (16, 2)."""
    t = np.arange(_PER_SIDE) / _PER_SIDE
    zero, one = np.zeros_like(t), np.ones_like(t)
    x, y = np.concatenate([t, one, 1 - t, zero]), np.concatenate([zero, t, one, 1 - t])
    points = np.column_stack([x, y])
    return points * (1 + 2 * _OUTSIDE) - _OUTSIDE


def _area(corners: np.ndarray) -> np.ndarray:
    """Return the signed areas (T,) of triangles (T, 3, 2)."""
    (ax, ay), (bx, by) = ((corners[:, k] - corners[:, 0]).T for k in (1, 2))
    return (ax * by - ay * bx) / 2
