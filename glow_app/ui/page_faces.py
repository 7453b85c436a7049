"""Faces on the page: a picture, what the model makes of it, and the words for it.

No Gradio here: plain values that are small enough to keep for every visitor (a crop is a few
kilobytes; codes stay in the editor's cache).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glow_app.keeping.recipes import Origin
from glow_app.pictures.crop import Crop
from glow_app.pictures.prepare import Prepared

if TYPE_CHECKING:
    from glow_app.editing.editor import Editor, Reading, Still

__all__ = [
    "DRAWN",
    "EXAMPLE",
    "PHOTO",
    "PageFace",
    "drawn_face",
    "familiarity",
    "made_face",
    "no_more_than",
    "photo_face",
    "roundtrip",
    "still_face",
]

PHOTO, DRAWN, EXAMPLE = "Your photo", "Drawn by the model", "An example face"


@dataclass(frozen=True, eq=False)
class PageFace:
    """One face on the page.

    Attributes:
        pixels: (S, S, 3) uint8, the crop that the model sees.
        reading: what the model says about it.
        notes: hints about a photo, one sentence each.
        seed: of a drawn face; None for any other.
        temperature: it was drawn at.
        source: where it comes from, in two or three words.
        prepared: a photo as it was prepared, or what was made of photos, with more detail than
            the model draws; None for faces that have no more than `pixels`.
        photo: the file that `prepared` comes from, to which a face can be put back; it may be
            gone already. None for faces that were made here.
    """

    pixels: np.ndarray
    reading: Reading
    notes: tuple[str, ...] = ()
    seed: int | None = None
    temperature: float | None = None
    source: str = PHOTO
    prepared: Prepared | None = None
    photo: Path | None = None

    @property
    def full(self) -> np.ndarray | None:
        """(F, F, 3) uint8, as sharp as the photo has it; None where that is no more."""
        return None if self.prepared is None else self.prepared.full

    @property
    def native(self) -> int:
        """Pixels a side up to which it has detail."""
        return len(self.pixels if self.full is None else self.full)

    @property
    def picture(self) -> Prepared | np.ndarray:
        """What the editor takes: with the crop of a photo, whose detail a guided walk warps."""
        return self.pixels if self.prepared is None else self.prepared

    @property
    def origin(self) -> Origin:
        """What may be stored in a file about it."""
        return Origin(self.seed, self.temperature)


def photo_face(
    editor: Editor, photo: Path, source: str = PHOTO, crop: Crop | None = None
) -> PageFace:
    """Align a photo as the model saw its training faces, and read it.

    Args:
        crop: the square that the visitor chose in place of the largest face.
    """
    prepared = editor.prepare(photo, crop=crop)
    notes = tuple(prepared.notes)
    reading = editor.read(prepared.pixels)
    return PageFace(prepared.pixels, reading, notes, None, None, source, prepared, photo)


def drawn_face(editor: Editor, seed: int, temperature: float) -> PageFace:
    """Draw a face that does not exist from the prior."""
    pixels = editor.sample(1, temperature=temperature, seed=seed)[0]
    return made_face(editor, pixels, DRAWN, seed=seed, temperature=temperature)


def still_face(editor: Editor, still: Still, source: str) -> PageFace:
    """A mix or an edit as a face; the detail of its photos stays with it."""
    if still.native == len(still.pixels):
        return made_face(editor, still.pixels, source)
    full, wide = still.enlarged(still.native), len(still.pixels)
    if editor.coding is not None:
        wide = max(wide, editor.coding.size)
    prepared = Prepared(still.pixels, still.enlarged(wide), aligned=True, faces=1, full=full)
    return PageFace(still.pixels, editor.read(still.pixels), source=source, prepared=prepared)


def made_face(
    editor: Editor,
    pixels: np.ndarray,
    source: str,
    seed: int | None = None,
    temperature: float | None = None,
) -> PageFace:
    """A face that was made here rather than photographed."""
    return PageFace(pixels, editor.read(pixels), seed=seed, temperature=temperature, source=source)


def familiarity(bits: float, facts: Mapping[str, Any]) -> tuple[str, str]:
    """Say in a phrase how familiar a picture of ``bits`` bits/dim is to the model.

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
    """The measured error of encoding and decoding this very picture, in words."""
    if levels == 0:
        return "Round trip: exact, 0 levels off"
    return f"Round trip: at most {levels} of 255 levels off"


def no_more_than(faces: Iterable[PageFace]) -> str:
    """What to say of faces that have no detail beyond the model's pixels; "" if all have."""
    poor = [face for face in faces if face.full is None]
    if not poor:
        return ""
    side = len(poor[0].pixels)
    if all(face.photo is None for face in poor):
        return f"Drawn faces have the model's {side} pixels"
    return f"Small photos have the model's {side} pixels"
