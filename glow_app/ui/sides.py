"""The two sides of a morph: a face, what the model makes of it, and the words for it.

No Gradio here: plain values that are small enough to keep for every visitor (the crop is a few
kilobytes; codes stay in the editor's cache).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from glow_app.editor import Editor, Reading

__all__ = ["Shown", "Side", "draw_side", "familiarity", "morph_steps", "photo_side", "roundtrip"]

COARSE = 5  # frames that are decoded first, so that the slider is live at once


@dataclass(frozen=True, eq=False)
class Side:
    """One face on the page."""

    pixels: np.ndarray  # (S, S, 3) uint8, the crop that the model sees
    reading: Reading
    notes: tuple[str, ...] = ()
    seed: int | None = None  # of a drawn face; None for a photo

    @property
    def source(self) -> str:
        """Where the face comes from, in two or three words."""
        return "Your photo" if self.seed is None else "Drawn by the model"


@dataclass(frozen=True, eq=False)
class Shown:
    """The morph that the player shows, and the sides it was made from."""

    a: Side
    b: Side
    path: str
    frames: np.ndarray  # (T, S, S, 3) uint8
    clamped: float = 0.0

    def is_for(self, a: Side | None, b: Side | None, path: str) -> bool:
        """Whether this is the morph of these very sides."""
        return self.a is a and self.b is b and self.path == path

    def reversed(self) -> Shown:
        """The same path walked from B to A: the same codes, so the same pictures."""
        return Shown(self.b, self.a, self.path, self.frames[::-1], self.clamped)


def photo_side(editor: Editor, source: Path) -> Side:
    """Align a photo as the model saw its training faces, and read it."""
    prepared = editor.prepare(source)
    return Side(prepared.pixels, editor.read(prepared.pixels), tuple(prepared.notes))


def draw_side(editor: Editor, seed: int, temperature: float) -> Side:
    """Draw a face that does not exist from the prior."""
    pixels = editor.sample(1, temperature=temperature, seed=seed)[0]
    return Side(pixels, editor.read(pixels), seed=seed)


def morph_steps(
    editor: Editor, a: Side, b: Side, path: str, frames: int
) -> Iterator[tuple[Shown, bool]]:
    """Yield the morph coarse first, then whole; nothing is decoded twice.

    Yields:
        the morph so far and whether it is the last one.
    """
    t = np.linspace(0, 1, frames)
    stride, rest = divmod(frames - 1, COARSE - 1)
    first = np.zeros(frames, bool)
    if stride > 1 and not rest:
        first[::stride] = True
        coarse = editor.morph_frames(a.pixels, b.pixels, t[first], path)
        yield Shown(a, b, path, coarse.frames, coarse.clamped), False
    fine = editor.morph_frames(a.pixels, b.pixels, t[~first], path)
    whole = np.empty((frames, *fine.frames.shape[1:]), np.uint8)
    whole[~first] = fine.frames
    if first.any():
        whole[first] = coarse.frames
        clamped = max(coarse.clamped, fine.clamped)
    else:
        clamped = fine.clamped
    yield Shown(a, b, path, whole, clamped), True


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
    # Of held-out faces 95 % lie within 0.5 of their mean; sharp portraits straight from a phone
    # 1 to 1.5 above it, as detail costs bits; pictures without a face beyond.
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
