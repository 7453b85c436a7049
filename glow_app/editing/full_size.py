"""Full size: what a photo has beyond the model's size rides along with the frames.

A model of S pixels draws a frame of S pixels. Of each photo there is more: the residual
R = F - up(x), where F is its crop at full size and x the same at S pixels, enlarged by `up`. At
full size, frame t is

    up(g(z_t)) + (1 - t)·warp(R_a) + t·warp(R_b),

where both residuals are warped to the shape of the frame. At the photos themselves that is F,
exactly, as g(f(x)) = x. (Laplacian pyramids blend pictures band by band in the same way, Burt &
Adelson 1983; here the model makes the lowest band.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from glow_app.common.progress import Progress, Steps
from glow_app.editing.portrait import Portrait
from glow_app.pictures.warp import ShapePath

__all__ = ["Blend", "PhotoDetail", "enlarge", "enlarged", "residual"]

_UP = Image.Resampling.BICUBIC
_DOWN = Image.Resampling.LANCZOS
_UNKNOWN = np.empty(0)  # None is a face that has no detail


@dataclass(frozen=True)
class Blend:
    """Which photos a frame takes its detail from.

    Attributes:
        a, b: numbers of the two faces; one face is both.
        weight: of b's detail, 0 to 1; a has the rest.
        shape: between a's (0) and b's (1), of the frame; None where nothing is warped.
    """

    a: int
    b: int
    weight: float
    shape: float | None


@dataclass(frozen=True, eq=False)
class PhotoDetail:
    """The detail of the photos along a walk.

    Attributes:
        faces: of the walk; some may have no more than the model shows.
        blend: what the frame at a position of the walk takes from which.
    """

    faces: tuple[Portrait, ...]
    blend: Callable[[float], Blend]
    _paths: dict[tuple[int, int], ShapePath | None] = field(default_factory=dict)
    _residuals: dict[tuple[int, int], np.ndarray | None] = field(default_factory=dict)

    @property
    def native(self) -> int:
        """Pixels a side up to which there is detail: the largest of all faces, S if none has."""
        return max(len(f.pixels if f.full is None else f.full) for f in self.faces)

    def add(self, frame: np.ndarray, u: float, size: int) -> np.ndarray:
        """A frame (S, S, 3) uint8 at position u of the walk, at ``size`` ≥ S pixels a side.

        Returns:
            (size, size, 3) uint8.
        """
        blend = self.blend(u)
        sum_ = enlarge(frame, size).astype(np.float32)
        for which, weight in ((0, 1 - blend.weight), (1, blend.weight)):
            detail = self._residual((blend.a, blend.b)[which], size)
            if detail is None or weight == 0:
                continue
            path = None if blend.shape is None else self._path(blend.a, blend.b)
            if path is not None:
                detail = path.moved(detail, which, blend.shape)
            sum_ += np.float32(weight) * detail
        return (sum_ + 0.5).clip(0, 255).astype(np.uint8)

    def _residual(self, face: int, size: int) -> np.ndarray | None:
        """Kept, for two sizes at most; several threads may ask at once."""
        known = self._residuals.get((face, size), _UNKNOWN)
        if known is not _UNKNOWN:
            return known
        if len({key[1] for key in tuple(self._residuals)} - {size}) > 1:
            self._residuals.clear()
        made = residual(self.faces[face], size)
        self._residuals[face, size] = made
        return made

    def _path(self, a: int, b: int) -> ShapePath | None:
        """Between the shapes of two faces; None where one has no landmarks."""
        if (a, b) not in self._paths:
            meshes = self.faces[a].mesh, self.faces[b].mesh
            known = a != b and all(mesh is not None for mesh in meshes)
            self._paths[a, b] = ShapePath(*meshes) if known else None
        return self._paths[a, b]


def residual(face: Portrait, size: int) -> np.ndarray | None:
    """R of a face at ``size`` pixels a side: (size, size, 3) int16; None where it has none."""
    if face.full is None:
        return None
    full = Image.fromarray(face.full)
    if full.width != size:
        full = full.resize((size, size), _DOWN if full.width > size else _UP)
    return np.asarray(full, np.int16) - enlarge(face.pixels, size)


def enlarge(picture: np.ndarray, size: int) -> np.ndarray:
    """up: a picture (S, S, 3) uint8 at ``size`` pixels a side, bicubic; itself at its own size."""
    if len(picture) == size:
        return picture
    filter_ = _UP if size > len(picture) else _DOWN
    return np.asarray(Image.fromarray(picture).resize((size, size), filter_))


def enlarged(
    frames: np.ndarray,
    u: Sequence[float],
    detail: PhotoDetail | None,
    size: int,
    progress: Progress | None = None,
) -> np.ndarray:
    """Frames (T, S, S, 3) uint8 at positions ``u`` of their walk, at ``size``: (T, size, size, 3).

    Below S pixels, and without detail, they are only resized. ``progress`` counts frames.
    """
    made = np.empty((len(frames), size, size, 3), np.uint8)
    steps = Steps(len(frames), progress)
    for i, (frame, place) in enumerate(zip(frames, u, strict=True)):
        more = detail is not None and size > len(frame)
        made[i] = detail.add(frame, float(place), size) if more else enlarge(frame, size)
        steps.advance()
    return made
