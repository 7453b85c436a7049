"""Morphs and journeys as the page keeps them: how they were asked for, and what came out.

No Gradio here. A visitor's morph is at most some hundred small frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from glow_app.editing.editor import Morph
from glow_app.keeping.recipes import Recipe
from glow_app.ui import limits
from glow_app.ui.sides import Side

if TYPE_CHECKING:
    from glow_app.common.progress import Progress
    from glow_app.editing.editor import Editor

__all__ = ["How", "Shown", "journey_steps", "morph_steps"]

_COARSE = 8  # steps between the frames that are decoded first, so that the slider is live at once


@dataclass(frozen=True)
class How:
    """The way from face to face; see `Editor.morph_frames` and `Editor.journey`."""

    kind: str = "morph"
    path: str = "linear"
    sharpness: float | None = None
    t_range: tuple[float, float] = (0.0, 1.0)  # where the slider begins and ends
    constant_speed: bool = False
    loop: bool = False
    leg: int = limits.FRAMES  # frames from one face to the next, both included


@dataclass(frozen=True, eq=False)
class Shown:
    """What a player shows, and what it was made from.

    Attributes:
        faces: A and B, or all faces of a journey.
        how: the way between them.
        morph: its frames, and what was measured on them.
        bits: (T,) bits/dim of each frame, once it is measured.
    """

    faces: tuple[Side, ...]
    how: How
    morph: Morph
    bits: np.ndarray | None = None

    def is_for(self, faces: tuple[Side | None, ...], how: How) -> bool:
        """Whether this is the way asked for, between these very faces."""
        same = len(faces) == len(self.faces) and all(
            mine is asked for mine, asked in zip(self.faces, faces, strict=True)
        )
        return same and self.how == how

    def reversed(self) -> Shown:
        """A morph walked from B to A: the same codes, so the same pictures."""
        m = self.morph
        last = len(m.frames) - 1
        back = Morph(
            m.frames[::-1],
            (1 - m.t)[::-1],
            m.path,
            m.clamped_frames[::-1],
            m.norms[::-1],
            tuple(last - stop for stop in reversed(m.stops)),
        )
        bits = None if self.bits is None else self.bits[::-1]
        return Shown(self.faces[::-1], self.how, back, bits)

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
            constant_speed=how.constant_speed,
            loop=how.loop,
            frames=how.leg if how.kind == "journey" else len(self.morph.frames),
            **more,
        )

    def measured(self, editor: Editor, progress: Progress | None = None) -> Shown:
        """The same with the bits/dim of every frame."""
        return replace(self, bits=editor.bits_along(self.morph.frames, progress))


def morph_steps(
    editor: Editor, a: Side, b: Side, how: How, progress: Progress | None = None
) -> Iterator[tuple[Shown, bool]]:
    """Yield a morph coarse first, then whole; nothing is decoded twice.

    Yields:
        the morph so far and whether it has all its frames.
    """
    low, high = how.t_range
    count = round((how.leg - 1) * (high - low)) + 1
    pair = a.pixels, b.pixels
    if how.constant_speed:  # where the frames stand shows only once all of them were decoded
        whole = editor.morph_frames(
            *pair,
            count,
            how.path,
            sharpness=how.sharpness,
            t_range=how.t_range,
            constant_speed=True,
            progress=progress,
        )
        yield Shown((a, b), how, whole), True
        return
    t = np.linspace(low, high, count).round(12)  # so that 0 and 1 on the way meet their photo
    first = np.zeros(count, bool)
    if count > _COARSE and (count - 1) % _COARSE == 0:
        first[::_COARSE] = True
        coarse = editor.morph_frames(*pair, t[first], how.path, sharpness=how.sharpness)
        yield Shown((a, b), how, coarse), False
    fine = editor.morph_frames(
        *pair, t[~first], how.path, sharpness=how.sharpness, progress=progress
    )
    yield Shown((a, b), how, _merged(coarse, fine, first) if first.any() else fine), True


def _merged(coarse: Morph, fine: Morph, first: np.ndarray) -> Morph:
    """One morph of the frames of two, in the places that ``first`` gives the coarse ones."""

    def both(name: str) -> np.ndarray:
        some, others = getattr(coarse, name), getattr(fine, name)
        whole = np.empty((len(first), *some.shape[1:]), some.dtype)
        whole[first], whole[~first] = some, others
        return whole

    t = both("t")
    stops = tuple(np.flatnonzero((t == 0) | (t == 1)).tolist())
    return Morph(both("frames"), t, fine.path, both("clamped_frames"), both("norms"), stops)


def journey_steps(
    editor: Editor, faces: tuple[Side, ...], how: How, progress: Progress | None = None
) -> Iterator[tuple[Shown, bool]]:
    """Yield a journey through 2 or more faces: as `morph_steps`, with a rough one first."""
    pictures = [face.pixels for face in faces]
    if how.leg > 5 and not how.constant_speed:
        rough = editor.journey(pictures, 3, how.path, how.loop)
        yield Shown(faces, how, rough), False
    whole = editor.journey(
        pictures,
        how.leg,
        how.path,
        how.loop,
        constant_speed=how.constant_speed,
        progress=progress,
    )
    yield Shown(faces, how, whole), True
