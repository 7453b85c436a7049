"""Morphs and journeys as the page keeps them: how they were asked for, and what came out.

No Gradio here. A visitor's morph is at most some hundred small frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from glow_app.editing.frames import Morph, journey_positions, morph_positions
from glow_app.editing.walk import Walk
from glow_app.faces.face import Face
from glow_app.keeping.recipes import Origin, Recipe
from glow_app.ui import limits

if TYPE_CHECKING:
    from glow_app.common.progress import Progress
    from glow_app.editing.editor import Editor

__all__ = ["MorphOptions", "Result", "journey_steps", "morph_steps"]

_COARSE = 4  # steps between the frames that are decoded first, so that the slider is live at once


@dataclass(frozen=True)
class MorphOptions:
    """The way from face to face; see `Editor.morph_walk` and `Editor.journey_walk`."""

    kind: str = "morph"
    path: str = "linear"
    t_range: tuple[float, float] = (0.0, 1.0)  # where the slider begins and ends
    alone: bool = False  # the model draws, without the photos
    ground: str = "switch"
    kappa: float | None = None  # None: that of the renderer
    constant_speed: bool = False
    loop: bool = False
    leg: int = limits.FRAMES  # frames from one face to the next, both included

    @property
    def walk(self) -> dict[str, Any]:
        """Return the options of the walk itself."""
        return {"path": self.path, "ground": self.ground, "alone": self.alone}


@dataclass(frozen=True, eq=False)
class Result:
    """What a player shows, and what it was made from.

    Attributes:
        faces: A and B, or all faces of a journey.
        how: the way between them.
        morph: its frames, and what was measured on them.
        bits: (T,) bits/dim of the look on each frame, once it is measured.
    """

    faces: tuple[Face, ...]
    how: MorphOptions
    morph: Morph
    bits: np.ndarray | None = None

    def is_for(self, faces: tuple[Face | None, ...], how: MorphOptions) -> bool:
        """Return whether this is the way asked for, between these very faces."""
        same = len(faces) == len(self.faces) and all(
            mine is asked for mine, asked in zip(self.faces, faces, strict=True)
        )
        return same and self.how == how

    def reversed(self) -> Result:
        """Return the morph walked from B to A: the same codes, so the same pictures.

        What was asked of A is now asked of B: the ground, and how far the path goes beyond.
        """
        bits = None if self.bits is None else self.bits[::-1]
        low, high = self.how.t_range
        ground = {"a": "b", "b": "a"}.get(self.how.ground, self.how.ground)
        how = replace(self.how, ground=ground, t_range=(1 - high, 1 - low))
        return Result(self.faces[::-1], how, self.morph.reversed(), bits)

    def recipe(self, editor: Editor, **more: object) -> Recipe:
        """Return what is stored in a file made of it; never the photos."""
        how = self.how
        return Recipe.of(
            editor,
            how.kind,
            faces=[Origin.of(face) for face in self.faces],
            path=how.path,
            way="model" if how.alone else "photos",
            ground=how.ground,
            kappa=how.kappa,
            t_range=how.t_range,
            constant_speed=how.constant_speed,
            loop=how.loop,
            frames=how.leg if how.kind == "journey" else len(self.morph.frames),
            **more,
        )

    def at(self, editor: Editor, place: float) -> tuple[Morph, int]:
        """Return the picture at a place counted in frames, as a morph and the number of its frame.

        Where the player has a frame it is that one, between two it is decoded anew. (The player
        fades between its frames; what is kept should be a picture of the model.) A journey gives
        its nearest frame.
        """
        last = len(self.morph.frames) - 1
        near = min(round(place), last)
        if place == near or self.how.kind == "journey":
            return self.morph, near
        t = float(np.interp(place, np.arange(last + 1), self.morph.t))
        a, b = self.faces
        return editor.morph_frames(a, b, [t], kappa=self.how.kappa, **self.how.walk), 0

    def measured(self, editor: Editor, progress: Progress | None = None) -> Result:
        """Return the same with the bits/dim of the look on every frame."""
        return replace(self, bits=editor.bits_along(self.morph.looks, progress))


def morph_steps(
    editor: Editor, a: Face, b: Face, how: MorphOptions, progress: Progress | None = None
) -> Iterator[tuple[Result, bool]]:
    """Yield a morph coarse first, then whole; nothing is decoded twice.

    Yields:
        the morph so far and whether it has all its frames.
    """
    low, high = how.t_range
    count = round((how.leg - 1) * (high - low)) + 1
    walk = editor.morph_walk(a, b, **how.walk)
    return _shown(
        editor, walk, morph_positions(count, how.t_range), (a, b), how, _COARSE, progress
    )


def journey_steps(
    editor: Editor,
    faces: tuple[Face, ...],
    how: MorphOptions,
    progress: Progress | None = None,
) -> Iterator[tuple[Result, bool]]:
    """Yield a journey through 2 or more faces: as `morph_steps`, with a rough one first."""
    walk = editor.journey_walk(faces, loop=how.loop, **how.walk)
    u = journey_positions(walk, how.leg)
    # Both ends must be among the rough frames; the last one of a loop lies short of the seam.
    rough = 0 if how.loop or how.leg <= 5 else (how.leg - 1) // 2
    return _shown(editor, walk, u, faces, how, rough, progress)


def _shown(
    editor: Editor,
    walk: Walk,
    u: np.ndarray,
    faces: tuple[Face, ...],
    how: MorphOptions,
    coarse: int,
    progress: Progress | None,
) -> Iterator[tuple[Result, bool]]:
    for morph in editor.along(walk, u, how.constant_speed, progress, coarse, how.kappa):
        yield Result(faces, how, morph), len(morph.frames) == len(u)
