"""The ways to make the frames of a morph that are compared with each other.

A way is a function of two faces and positions t. It returns an object with `.frames`, (T, S, S, 3)
uint8 at the model's size, and `.enlarged(size)`, the same frames at another size, as the `Morph`
of the editor has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from glow_app.editing.editor import Editor
from glow_app.faces.face import Face, resized
from glow_app.faces.landmarks import SHAPE_POINTS
from glow_app.faces.warp import between

__all__ = ["Dissolve", "Made", "Way", "all_ways", "real_face"]


class Made(Protocol):
    """Frames of a morph."""

    @property
    def frames(self) -> np.ndarray: ...

    def enlarged(self, size: int) -> np.ndarray: ...


Way = Callable[[Face, Face, Sequence[float]], Made]


@dataclass(frozen=True, eq=False)
class Dissolve:
    """(1 - t)·A + t·B, pixel by pixel: the two baselines that need no model.

    Attributes:
        a, b: the faces, of one model size S.
        t: T positions, 0 to 1.
        warped: both photos are first warped to the shape a + t·(b - a), which is the classical
            landmark morph. Faces without landmarks are left as they are.
    """

    a: Face
    b: Face
    t: Sequence[float]
    warped: bool = False

    @property
    def frames(self) -> np.ndarray:
        """(T, S, S, 3) uint8."""
        return self.enlarged(len(self.a.pixels))

    def enlarged(self, size: int) -> np.ndarray:
        """(T, size, size, 3) uint8, of photos that are enlarged where they are smaller."""
        side = min(size, max(self.a.native, self.b.native))
        photos = [face.at(side) for face in (self.a, self.b)]
        shapes = [self.a.shape, self.b.shape] if self.warped else [None]
        mesh = None
        if all(shape is not None for shape in shapes):
            a, b = (shape[SHAPE_POINTS] for shape in shapes)
            mesh = between(a, b)
        made = []
        for t in self.t:
            left, right = photos
            if mesh is not None:
                goal = a + t * (b - a)
                left, right = mesh.warp(left, a, goal), mesh.warp(right, b, goal)
            mixed = (1 - t) * left.astype(np.float32) + t * right.astype(np.float32)
            made.append(resized((mixed + 0.5).astype(np.uint8), size))
        return np.stack(made)


def real_face(a: Face, b: Face, t: Sequence[float]) -> Made:
    """Photo A at every position: what a morph of A and B would be if it had no fault."""
    return Dissolve(a, b, [0.0] * len(t))


def all_ways(editor: Editor) -> dict[str, Way]:
    """The ways by their names: two baselines, the model alone, the photos alone, the default."""

    def morph(**options: object) -> Way:
        return lambda a, b, t: editor.morph_frames(a, b, t, **options)

    return {
        "cross-fade": Dissolve,
        "classical landmark morph": partial(Dissolve, warped=True),
        "model alone": morph(alone=True),
        "photos only, κ = 0": morph(kappa=0.0),
        "default": morph(),
    }
