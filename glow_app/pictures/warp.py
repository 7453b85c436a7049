"""One face takes the shape of another: piecewise affine warps over one triangulation.

**Method.** Both faces carry the same control points, those of the mesh that make its shape and
fixed ones on the border. They are triangulated once, on the mean of both shapes (Delaunay), and
the same triangles serve every shape in between: inside each, a picture is moved by the affine map
that takes its corners along (Goshtasby 1986, "Piecewise linear mapping functions for image
registration"). Control points that would turn a triangle inside out, between the shapes or a
quarter of the way beyond them, are left out: eyelids that close, cheeks that a head turns away.

Points are (x, y) in fractions of the crop, (0, 0) its outer top left corner. SciPy and OpenCV come
with mediapipe, without which there are no landmarks to warp by; they are imported when needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np

from glow_app.pictures.mesh import SHAPE_POINTS

__all__ = ["ShapePath", "border_points", "warp"]

_PER_SIDE: Final = 4  # intervals between the border points of a side: 16 points in all
_MARGIN: Final = 0.02  # of the crop: control points nearer to the border crowd it, or lie beyond
_THIN: Final = 5e-6  # of the crop: area below which a triangle counts as turned (0.08 px² of 128²)
_WITHIN: Final = np.linspace(-0.25, 1.25, 13)  # values of t where triangles must not turn
_BEYOND: Final = np.arange(1, 21) / 20  # how far out of [0, 1] shapes may go, tried one by one
_ROUNDING: Final = 1e-9  # of barycentric coordinates
_GRID: Final = 256  # pixels a side up to which a warp is worked out for each pixel
_STEPS: Final = 32  # from triangle to triangle before all are tried


def border_points() -> np.ndarray:
    """The points on the border of a crop that stay where they are, corners among them: (16, 2)."""
    t = np.arange(_PER_SIDE) / _PER_SIDE
    zero, one = np.zeros_like(t), np.ones_like(t)
    sides = ((t, zero), (one, t), (1 - t, one), (zero, 1 - t))
    return np.concatenate([np.stack(side, -1) for side in sides])


class ShapePath:
    """The shapes between two faces, S(t) = (1 - t)·S_a + t·S_b, and pictures warped to them.

    Beyond [0, 1] the shape goes on until a triangle would turn inside out, by 0.25 at least and
    at most by 1, and stays there (see `limits`).

    Args:
        mesh_a, mesh_b: (478, 2), as `mesh.find_mesh` gives them; any two sets of the same number
            of points with `points`.
        points: indices of those that carry the shape.

    Attributes:
        points_a, points_b: (P, 2) float64, the control points that are used, border first.
        triangles: (T, 3) indices into them.
    """

    def __init__(
        self, mesh_a: np.ndarray, mesh_b: np.ndarray, points: np.ndarray | None = SHAPE_POINTS
    ) -> None:
        if mesh_a.shape != mesh_b.shape or mesh_a.ndim != 2 or mesh_a.shape[1] != 2:
            raise ValueError(f"shapes must be two (K, 2), not {mesh_a.shape}, {mesh_b.shape}")
        chosen = slice(None) if points is None else points
        a, b = (np.asarray(mesh[chosen], np.float64) for mesh in (mesh_a, mesh_b))
        inside = [((s > _MARGIN) & (s < 1 - _MARGIN)).all(axis=1) for s in (a, b)]  # NaN is not
        kept = inside[0] & inside[1]
        border = border_points()
        self._triangulate(np.concatenate([border, a[kept]]), np.concatenate([border, b[kept]]))
        self._starts: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    @cached_property
    def limits(self) -> tuple[float, float]:
        """The range of t that shapes are made for; beyond it they stay what they are there."""
        return -self._reach(-_BEYOND), 1 + self._reach(1 + _BEYOND)

    def shape(self, t: float) -> np.ndarray:
        """The control points (P, 2) at t, held within `limits`."""
        t = min(max(float(t), self.limits[0]), self.limits[1]) if t == t else 0.0
        return self.points_a + t * (self.points_b - self.points_a)

    def warp(
        self, crop_a: np.ndarray, crop_b: np.ndarray, ts: Sequence[float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Both faces in the shapes at each of `ts`; at t = 0 A, at t = 1 B is what it was.

        33 shapes of two crops of 128 px take 0.1 s on one core.

        Args:
            crop_a, crop_b: (C, C, 3) uint8, of any two sides.
            ts: T numbers.

        Returns:
            A and B warped, each (T, C, C, 3) uint8. What a shape of its own looks like does not
            depend on the others asked for with it.
        """
        warped = tuple(
            np.empty((len(ts), *_checked(crop).shape), np.uint8) for crop in (crop_a, crop_b)
        )
        for i, t in enumerate(ts):
            shape = self.shape(t)
            for crop, own, out in zip(
                (crop_a, crop_b), (self.points_a, self.points_b), warped, strict=True
            ):
                out[i] = self._moved(crop, own, shape)
        return warped

    def moved(self, picture: np.ndarray, which: int, t: float) -> np.ndarray:
        """One picture of A (`which` 0) or B (1) in the shape at t.

        Args:
            picture: (C, C, 3) uint8, int16 or float32, such as what a photo has beyond a smaller
                copy of it. Above 256 pixels the warp is worked out on a grid of 256 and smooth in
                between.

        Returns:
            The same shape and dtype; the very picture where nothing moves.
        """
        own = self.points_b if which else self.points_a
        return self._moved(picture, own, self.shape(t))

    def dissolve(self, crop_a: np.ndarray, crop_b: np.ndarray, ts: Sequence[float]) -> np.ndarray:
        """The classical morph of landmarks: both faces warped to S(t), and (1 - t)·A + t·B.

        What a morph has to be better than; no model is asked.

        Returns:
            (T, C, C, 3) uint8; crops must have one size.
        """
        a, b = self.warp(crop_a, crop_b, ts)
        weights = np.asarray(ts, np.float32)[:, None, None, None]
        mixed = (1 - weights) * a + weights * b
        return (mixed.clip(0, 255) + 0.5).astype(np.uint8)

    # ------------------------------------------------------------------------------ triangles

    def _triangulate(self, a: np.ndarray, b: np.ndarray) -> None:
        """Triangles on the mean shape, without the control points that turn some of them."""
        from scipy.spatial import Delaunay

        fixed = len(border_points())
        while True:
            self.points_a, self.points_b = a, b
            self._delaunay = Delaunay((a + b) / 2)
            self.triangles, self._neighbours = self._delaunay.simplices, self._delaunay.neighbors
            bad = self._turned(_WITHIN).any(axis=0)
            blame = np.bincount(self.triangles[bad].ravel(), minlength=len(a))
            blame[:fixed] = 0
            if not blame.any():
                return
            left = np.delete(np.arange(len(a)), blame.argmax())
            a, b = a[left], b[left]

    def _turned(self, ts: np.ndarray) -> np.ndarray:
        """(len(ts), T) which triangles are inside out, or next to it. Those of the border alone
        never move."""
        moving = (self.triangles >= len(border_points())).any(axis=1)
        shapes = self.points_a + ts[:, None, None] * (self.points_b - self.points_a)
        p, q, r = (shapes[:, self.triangles[:, k]] for k in range(3))
        (ax, ay), (bx, by) = np.moveaxis(q - p, -1, 0), np.moveaxis(r - p, -1, 0)
        return ((ax * by - ay * bx) / 2 < _THIN) & moving

    def _reach(self, ts: np.ndarray) -> float:
        """How far from [0, 1] the shape can go along `ts` before a triangle turns."""
        turned = self._turned(ts).any(axis=1)
        good = int(turned.argmax()) if turned.any() else len(ts)
        return float(_BEYOND[good - 1]) if good else 0.0

    # ----------------------------------------------------------------------------- pictures

    def _moved(self, crop: np.ndarray, own: np.ndarray, shape: np.ndarray) -> np.ndarray:
        """A crop (C, C, 3) whose control points lie at `own`, in another shape."""
        if (own == shape).all():
            return crop
        import cv2

        source = self._sources(own, shape, len(crop))
        return cv2.remap(
            crop, source[..., 0], source[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )

    def _sources(self, own: np.ndarray, shape: np.ndarray, side: int) -> np.ndarray:
        """(side, side, 2) float32: where in the crop, in pixels, each pixel of the warped one
        comes from."""
        if side > _GRID:
            import cv2

            middles = np.arange(_GRID, dtype=np.float32)
            way = self._sources(own, shape, _GRID) - np.stack(np.meshgrid(middles, middles), -1)
            way = cv2.resize(way, (side, side), interpolation=cv2.INTER_LINEAR)
            middles = np.arange(side, dtype=np.float32)
            return np.stack(np.meshgrid(middles, middles), -1) + way * (side / _GRID)
        pixels, _ = self._start(side)
        inverse = self._to_barycentric(shape)
        inside = self._locate(side, inverse)
        corners = np.swapaxes(own[self.triangles], 1, 2)  # (T, 2, 3)
        affine = (corners @ inverse)[inside]  # (C·C, 2, 3)
        source = affine[..., 0] * pixels[:, :1] + affine[..., 1] * pixels[:, 1:] + affine[..., 2]
        return (source * side - 0.5).astype(np.float32).reshape(side, side, 2)

    def _start(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Middles of the pixels of a crop, (C·C, 2), and in which triangle of the mean shape each
        lies, (C·C,)."""
        if side not in self._starts:
            middles = (np.arange(side) + 0.5) / side
            pixels = np.stack(np.meshgrid(middles, middles), -1).reshape(-1, 2)
            self._starts[side] = pixels, self._delaunay.find_simplex(pixels)
        return self._starts[side]

    def _to_barycentric(self, shape: np.ndarray) -> np.ndarray:
        """(T, 3, 3) matrices that take (x, y, 1) to barycentric coordinates in each triangle."""
        corners = np.ones((len(self.triangles), 3, 3))
        corners[:, :2] = np.swapaxes(shape[self.triangles], 1, 2)
        flat = np.abs(np.linalg.det(corners)) < 1e-12  # on the border; they hold no pixel
        corners[flat] = np.eye(3)
        inverse = np.linalg.inv(corners)
        inverse[flat] = -1.0
        return inverse

    def _locate(self, side: int, inverse: np.ndarray) -> np.ndarray:
        """(C·C,) in which triangle each pixel lies: from where it lay in the mean shape, step by
        step over the side that it is farthest beyond."""
        pixels, start = self._start(side)
        triangle, open_ = start.copy(), np.arange(len(pixels))
        for _ in range(_STEPS):
            inside = _barycentric(inverse[triangle[open_]], pixels[open_])
            over = inside.argmin(axis=1)
            beyond = inside[np.arange(len(open_)), over] < -_ROUNDING
            open_, over = open_[beyond], over[beyond]
            following = self._neighbours[triangle[open_], over]
            open_, following = open_[following >= 0], following[following >= 0]
            if not len(open_):
                return triangle
            triangle[open_] = following
        for i in open_:  # walked in a circle, which triangles other than Delaunay's allow
            triangle[i] = _barycentric(inverse, pixels[i]).min(axis=1).argmax()
        return triangle


def warp(crop: np.ndarray, points_from: np.ndarray, points_to: np.ndarray) -> np.ndarray:
    """Move points of a picture to where they are asked for, and what lies between along with them.

    The border stays. Points within 0.02 of it, or in a fold, are left out.

    Args:
        crop: (C, C, 3) uint8.
        points_from, points_to: (K, 2), where they are and where they go.

    Returns:
        (C, C, 3) uint8; the very picture if nothing moves.
    """
    path = ShapePath(points_from, points_to, points=None)
    return path._moved(_checked(crop), path.points_a, path.points_b).copy()


def _barycentric(inverse: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(.., 3) coordinates of (.., 2) pixels by (.., 3, 3) matrices."""
    return inverse[..., 0] * pixels[..., :1] + inverse[..., 1] * pixels[..., 1:] + inverse[..., 2]


def _checked(crop: np.ndarray) -> np.ndarray:
    if crop.dtype != np.uint8 or crop.ndim != 3 or crop.shape != (len(crop), len(crop), 3):
        raise ValueError(f"a crop must be (C, C, 3) uint8, not {crop.shape} {crop.dtype}")
    return crop
