"""Faces on the page: how each is made, and the words for the model's reading of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glow_app.faces.alignment import Square
from glow_app.faces.face import Face

if TYPE_CHECKING:
    from glow_app.editing.editor import Editor, Still

__all__ = [
    "DRAWN",
    "EXAMPLE",
    "PHOTO",
    "TEMPERATURE",
    "drawn_face",
    "familiarity",
    "made_face",
    "no_more_than",
    "photo_face",
    "roundtrip",
    "still_face",
]

PHOTO, DRAWN, EXAMPLE = "Your photo", "Drawn by the model", "An example face"
TEMPERATURE = 0.7  # of faces that are drawn where no other is asked for


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
