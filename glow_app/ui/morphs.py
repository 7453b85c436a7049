"""Morphs and journeys as the page keeps them: how they were asked for, and what came out.

No Gradio here. A visitor's morph is at most some hundred small frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from glow_app.editing.frames import Morph
from glow_app.editing.options import MorphOptions
from glow_app.export.recipes import Origin, Recipe
from glow_app.faces.face import Face

if TYPE_CHECKING:
    from glow_app.common.progress import Progress
    from glow_app.editing.editor import Editor

__all__ = ["Result", "journey_steps", "morph_steps"]

_COARSE = 4  # steps between the frames that are decoded first, so that the slider is live at once


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
        count = self.how.frames if self.how.kind == "journey" else len(self.morph.frames)
        origins = [Origin.of(face) for face in self.faces]
        return Recipe.of_morph(editor, self.how, origins, **{"frames": count, **more})

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
        t = np.interp([place], np.arange(last + 1), self.morph.t)
        walk = editor.walk(self.faces, self.how)
        *_, one = editor.along(walk, t, kappa=self.how.kappa)
        return one, 0

    def measured(self, editor: Editor, progress: Progress | None = None) -> Result:
        """Return the same with the bits/dim of the look on every frame."""
        return replace(self, bits=editor.model.bits_along(self.morph.looks, progress))


def morph_steps(
    editor: Editor, a: Face, b: Face, how: MorphOptions, progress: Progress | None = None
) -> Iterator[tuple[Result, bool]]:
    """Yield a morph coarse first, then whole; nothing is decoded twice.

    Yields:
        the morph so far and whether it has all its frames.
    """
    return _steps(editor, (a, b), how, _COARSE, progress)


def journey_steps(
    editor: Editor,
    faces: tuple[Face, ...],
    how: MorphOptions,
    progress: Progress | None = None,
) -> Iterator[tuple[Result, bool]]:
    """Yield a journey through 2 or more faces: as `morph_steps`, with a rough one first."""
    # Both ends must be among the rough frames; the last one of a loop lies short of the seam.
    rough = 0 if how.loop or how.frames <= 5 else (how.frames - 1) // 2
    return _steps(editor, faces, how, rough, progress)


def _steps(
    editor: Editor,
    faces: tuple[Face, ...],
    how: MorphOptions,
    coarse: int,
    progress: Progress | None,
) -> Iterator[tuple[Result, bool]]:
    whole = len(how.positions(len(faces) if how.loop else len(faces) - 1))
    for morph in editor.travel(faces, how, progress, coarse):
        yield Result(faces, how, morph), len(morph.frames) == whole
