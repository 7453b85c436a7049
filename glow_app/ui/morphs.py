"""Morphs and journeys as the page keeps them: how they were asked for, and what came out.

No Gradio here. A visitor's morph is at most some hundred small frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from glow_app.editing.frames import Morph, journey_positions, morph_positions
from glow_app.editing.walk import Walk
from glow_app.keeping.recipes import Recipe
from glow_app.ui import limits
from glow_app.ui.page_faces import PageFace

if TYPE_CHECKING:
    from glow_app.common.progress import Progress
    from glow_app.editing.editor import Editor

__all__ = ["MorphOptions", "Result", "journey_steps", "morph_steps"]

_COARSE = 4  # steps between the frames that are decoded first, so that the slider is live at once


@dataclass(frozen=True)
class MorphOptions:
    """The way from face to face; see `Editor.morph_walk` and `Editor.journey_walk`."""

    kind: str = "morph"
    path: str = "shell"
    sharpness: float | None = None
    t_range: tuple[float, float] = (0.0, 1.0)  # where the slider begins and ends
    guide: bool | None = None  # None: where both faces have landmarks
    constant_speed: bool = False
    loop: bool = False
    leg: int = limits.FRAMES  # frames from one face to the next, both included


@dataclass(frozen=True, eq=False)
class Result:
    """What a player shows, and what it was made from.

    Attributes:
        faces: A and B, or all faces of a journey.
        how: the way between them.
        morph: its frames, and what was measured on them.
        bits: (T,) bits/dim of each frame, once it is measured.
    """

    faces: tuple[PageFace, ...]
    how: MorphOptions
    morph: Morph
    bits: np.ndarray | None = None

    def is_for(self, faces: tuple[PageFace | None, ...], how: MorphOptions) -> bool:
        """Whether this is the way asked for, between these very faces."""
        same = len(faces) == len(self.faces) and all(
            mine is asked for mine, asked in zip(self.faces, faces, strict=True)
        )
        return same and self.how == how

    def reversed(self) -> Result:
        """A morph walked from B to A: the same codes, so the same pictures."""
        bits = None if self.bits is None else self.bits[::-1]
        return Result(self.faces[::-1], self.how, self.morph.reversed(), bits)

    def recipe(self, editor: Editor, **more: object) -> Recipe:
        """What is stored in a file made of it; never the photos."""
        how = self.how
        return Recipe.of(
            editor,
            how.kind,
            faces=[side.origin for side in self.faces],
            path=how.path,
            sharpness=how.sharpness,
            t_range=how.t_range,
            guide=self.morph.guided,
            constant_speed=how.constant_speed,
            loop=how.loop,
            frames=how.leg if how.kind == "journey" else len(self.morph.frames),
            **more,
        )

    def at(self, editor: Editor, place: float) -> tuple[Morph, int]:
        """The picture at a place counted in frames, as a morph and the number of its frame.

        Where the player has a frame it is that one, between two it is decoded anew. (The player
        fades between its frames; what is kept should be a picture of the model.) A journey gives
        its nearest frame.
        """
        last = len(self.morph.frames) - 1
        near = min(round(place), last)
        if place == near or self.how.kind == "journey":
            return self.morph, near
        t = float(np.interp(place, np.arange(last + 1), self.morph.t))
        pictures = (face.picture for face in self.faces)
        how = {"sharpness": self.how.sharpness, "guide": self.how.guide}
        return editor.morph_frames(*pictures, [t], self.how.path, **how), 0

    def measured(self, editor: Editor, progress: Progress | None = None) -> Result:
        """The same with the bits/dim of every frame."""
        return replace(self, bits=editor.bits_along(self.morph.frames, progress))


def morph_steps(
    editor: Editor, a: PageFace, b: PageFace, how: MorphOptions, progress: Progress | None = None
) -> Iterator[tuple[Result, bool]]:
    """Yield a morph coarse first, then whole; nothing is decoded twice.

    Yields:
        the morph so far and whether it has all its frames.
    """
    low, high = how.t_range
    count = round((how.leg - 1) * (high - low)) + 1
    walk = editor.morph_walk(
        a.picture, b.picture, how.path, sharpness=how.sharpness, guide=how.guide
    )
    return _shown(
        editor, walk, morph_positions(count, how.t_range), (a, b), how, _COARSE, progress
    )


def journey_steps(
    editor: Editor,
    faces: tuple[PageFace, ...],
    how: MorphOptions,
    progress: Progress | None = None,
) -> Iterator[tuple[Result, bool]]:
    """Yield a journey through 2 or more faces: as `morph_steps`, with a rough one first."""
    pictures = [face.picture for face in faces]
    walk = editor.journey_walk(pictures, how.path, how.loop, guide=how.guide)
    u = journey_positions(walk, how.leg)
    # Both ends must be among the rough frames; the last one of a loop lies short of the seam.
    rough = 0 if how.loop or how.leg <= 5 else (how.leg - 1) // 2
    return _shown(editor, walk, u, faces, how, rough, progress)


def _shown(
    editor: Editor,
    walk: Walk,
    u: np.ndarray,
    faces: tuple[PageFace, ...],
    how: MorphOptions,
    coarse: int,
    progress: Progress | None,
) -> Iterator[tuple[Result, bool]]:
    for morph in editor.along(walk, u, how.constant_speed, progress, coarse):
        yield Result(faces, how, morph), len(morph.frames) == len(u)
