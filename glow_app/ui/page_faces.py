"""Faces and morphs as the page keeps them: how they are made, and the words for them.

No Gradio here. A visitor's morph is at most some hundred small frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glow_app.editing.frames import Morph
from glow_app.editing.options import MorphOptions
from glow_app.export.recipes import Origin, Recipe
from glow_app.faces.alignment import Square
from glow_app.faces.face import Face

if TYPE_CHECKING:
    from glow_app.common.progress import Progress
    from glow_app.editing.editor import Editor, Still

PHOTO, DRAWN, EXAMPLE = "Your photo", "Drawn by the model", "An example face"
TEMPERATURE = 0.7  # of faces that are drawn where no other is asked for
_COARSE = 4  # steps between the frames that are decoded first, so that the slider is live at once


# ---- faces --------------------------------------------------------------------------------------


def photo_face(
    editor: Editor, photo: Path, source: str = PHOTO, crop: Square | None = None
) -> Face:
    """Align a photo as the model saw its training faces, and read it.

    Args:
        crop: the square that the visitor chose in place of the largest face.
    """
    return _read(editor, replace(editor.prepare(photo, crop=crop), source=source, photo=photo))


def drawn_face(editor: Editor, seed: int, temperature: float) -> Face:
    """Draw a face that does not exist from the prior."""
    pixels, shape = editor.sampler.draw(seed, temperature)
    return made_face(editor, pixels, DRAWN, seed, temperature, shape)


def still_face(editor: Editor, still: Still, source: str) -> Face:
    """Return a mix or an edit as a face; the detail of its photos stays with it."""
    return _read(editor, editor.face_of(still, source=source))


def made_face(
    editor: Editor,
    pixels: np.ndarray,
    source: str,
    seed: int | None = None,
    temperature: float | None = None,
    landmarks: np.ndarray | None = None,
) -> Face:
    """Return a face that was made here rather than photographed."""
    known = {"source": source, "seed": seed, "temperature": temperature, "landmarks": landmarks}
    wide = None if editor.model.coding is None else editor.model.coding.size
    return _read(editor, Face.of_pixels(pixels, wide, **known))


def _read(editor: Editor, face: Face) -> Face:
    return replace(face, reading=editor.read(face), landmarks=face.shape)


def familiarity(bits: float, facts: Mapping[str, Any]) -> tuple[str, str]:
    """Return in a phrase how familiar a picture of ``bits`` bits/dim is to the model.

    Args:
        facts: the checkpoint's training facts; the bits/dim of held-out faces is the yardstick.

    Returns:
        a tone for the style sheet (``"plain"`` or ``"far"``) and the phrase.
    """
    if not math.isfinite(bits):
        return "far", "off the scale: the model cannot describe it"
    typical = facts.get("val_bits_per_dim")
    if not isinstance(typical, (int, float)):
        return "plain", "lower means more familiar to the model"
    # Of held-out faces 95 % lie within 0.55 of their mean. Sharp portraits, coded as the training
    # pictures were, lie 0.6 above it, of 19 the farthest 1.5; pictures without a face beyond.
    if bits > typical + 1.6:
        return "far", "unlike the training faces: expect artefacts"
    if bits > typical + 0.6:
        return "plain", "sharper or rarer than most training faces"
    if bits < typical - 0.6:
        return "plain", "little detail, so easy to describe"
    return "plain", "familiar: like the training faces"


def roundtrip(levels: int) -> str:
    """Return the measured error of encoding and decoding this very picture, in words."""
    if levels == 0:
        return "Round trip: exact, 0 levels off"
    return f"Round trip: at most {levels} of 255 levels off"


def no_more_than(faces: Iterable[Face]) -> str:
    """Return a note on faces that have no detail beyond the model's pixels; "" if all have."""
    poor = [face for face in faces if face.full is None]
    if not poor:
        return ""
    side = len(poor[0].pixels)
    if all(face.photo is None for face in poor):
        return f"Drawn faces have the model's {side} pixels"
    return f"Small photos have the model's {side} pixels"


# ---- morphs and journeys ------------------------------------------------------------------------


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
    editor: Editor,
    faces: tuple[Face, ...],
    how: MorphOptions,
    progress: Progress | None = None,
) -> Iterator[tuple[Result, bool]]:
    """Yield a morph or a journey as ``how`` has it, rough first; nothing is decoded twice.

    Yields:
        the frames so far and whether they are all.
    """
    # Both ends must be among the rough frames; the last one of a loop lies short of the seam.
    rough = _COARSE
    if how.kind == "journey":
        rough = 0 if how.loop or how.frames <= 5 else (how.frames - 1) // 2
    whole = len(how.positions(len(faces) if how.loop else len(faces) - 1))
    for morph in editor.travel(faces, how, progress, rough):
        yield Result(faces, how, morph), len(morph.frames) == whole
