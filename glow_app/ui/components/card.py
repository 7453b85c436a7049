"""The card of one face."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr
import numpy as np

from glow_app.faces.face import Face
from glow_app.ui import page_faces
from glow_app.ui.assets import asset
from glow_app.ui.components.templates import script
from glow_app.ui.values import face_uri, next_revision, picture_uri

__all__ = ["card_value", "photo_card"]

_KINDS = {page_faces.PHOTO: "photo", page_faces.EXAMPLE: "example"}


def photo_card(name: str, tag: str | None = None, **kwargs: Any) -> gr.HTML:
    """A card for one face: its events are ``photo``, ``draw``, ``crop`` and ``remove``.

    Args:
        name: what follows the word "photo": "A" or "B", whose colour it takes, or other words.
        tag: the sign beside it; None for the name itself.
    """
    return gr.HTML(
        None,
        html_template=asset("components/card.html", name=name, tag=tag or name),
        css_template=asset("components/card.css"),
        js_on_load=script("card.js"),
        apply_default_css=False,
        **kwargs,
    )


def card_value(
    side: Face | None, look: np.ndarray | None, facts: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What a card shows of a face.

    Args:
        side: the face; None for an empty card.
        look: (S, S, 3) uint8, what the model sees of it, and what its reading is about.
        facts: the checkpoint's training facts, the yardstick for the face's bits/dim.
    """
    if side is None:
        return None
    bits, levels = side.reading.bits_per_dim, side.reading.roundtrip_max_levels
    tone, phrase = page_faces.familiarity(bits, facts)
    return {
        "rev": next_revision(),
        "kind": _KINDS.get(side.source, "drawn"),
        "seen": picture_uri(look),
        "plain": picture_uri(side.pixels),
        "size": len(side.pixels),
        "full": None if side.full is None else face_uri(side.pixels, side.full),
        "source": side.source,
        "bits": f"{bits:.2f}" if bits < 1000 else "∞",  # also for a NaN
        "tone": tone,
        "phrase": phrase,
        "roundtrip": page_faces.roundtrip(levels),
        "exact": levels == 0,
        "notes": list(side.notes),
        "seed": side.seed,
        "recrop": None if side.photo is None else _recrop(side),
    }


def _recrop(face: Face) -> str:
    """What changing the crop of a photo is good for; "" where nothing asks for it."""
    if face.faces == 1:
        return ""
    if face.faces:
        return "Choose another face"
    return "" if face.aligned else "Show where the face is"
