"""Faces: the card of one and the editor of its crop, and lists of several.

Several are drawn ones to choose from, those of a journey in order, and examples to try.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from glow_app.editing.editor import Editor
from glow_app.faces import alignment
from glow_app.faces.alignment import LARGEST, SMALLEST, Square
from glow_app.faces.face import Face
from glow_app.ui import limits
from glow_app.ui.components.base import component, job
from glow_app.ui.encoding import face_uri, jpeg, next_revision, photo_uri, picture_uri
from glow_app.ui.page_faces import EXAMPLE, PHOTO
from glow_app.ui.routes import publish, template

_PHOTO_SIDE = 1024  # pixels: the long side of a photo whose crop is edited
_EXAMPLE_SIDE = 112  # pixels of an example, for dense screens, too


# ---- one face -----------------------------------------------------------------------------------


def photo_card(name: str, tag: str | None = None, **kwargs: Any) -> gr.HTML:
    """Make a card for one face.

    Its events are ``photo {path}``, ``draw {seed}``, ``crop {}`` and ``remove {}``. ``name``
    follows the word "photo": "A" or "B", whose colour it takes, or other words with a ``tag``.
    """
    html = template("card.html", name=name, tag=tag or name)
    return component("card", html, events=("photo", "draw", "crop", "remove"), **kwargs)


def card_value(editor: Editor, face: Face) -> dict[str, Any]:
    """Return what a card shows of a face: beside the picture what the model sees of it, and what
    it has measured on that."""
    bits, levels = face.reading.bits_per_dim, face.reading.roundtrip_max_levels
    tone, phrase = _familiarity(bits, editor.model.facts.get("val_bits_per_dim"))
    off = f"at most {levels} of 255 levels off" if levels else "exact, 0 levels off"
    return {
        "rev": next_revision(),
        "kind": {PHOTO: "photo", EXAMPLE: "example"}.get(face.source, "drawn"),
        "seen": picture_uri(editor.model.looks.of(face)),
        "plain": picture_uri(face.pixels),
        "size": len(face.pixels),
        "full": None if face.full is None else face_uri(face),
        "source": face.source,
        "bits": f"{bits:.2f}" if bits < 1000 else "∞",  # also for a NaN
        "tone": tone,
        "phrase": phrase,
        "roundtrip": f"Round trip: {off}",
        "exact": levels == 0,
        "notes": list(face.notes),
        "seed": face.seed,
        "recrop": None if face.photo is None else _recrop(face),
    }


def _familiarity(bits: float, typical: Any) -> tuple[str, str]:
    """Return a tone for the style sheet (``"plain"`` or ``"far"``), and in a phrase how familiar
    a picture of ``bits`` bits/dim is to a model whose held-out faces have ``typical``."""
    if not math.isfinite(bits):
        return "far", "off the scale: the model cannot describe it"
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


def _recrop(face: Face) -> str:
    """Return words for a button that changes the crop; "" where nothing asks for it."""
    if face.faces > 1:
        return "Choose another face"
    return "" if face.faces or face.aligned else "Show where the face is"


def crop_editor(name: str, what: str, **kwargs: Any) -> gr.HTML:
    """Make a dialog that opens when it gets a value of `crop_value`; its event is
    ``use {crop, face}``. Its heading says ``what`` is cropped."""
    html = template("crop.html", name=name, what=what)
    return component("crop", html, events=("use",), padding=False, **kwargs)


def crop_value(
    photo: Image.Image, crop: Square, faces: Sequence[Square], face: int | None = None
) -> dict[str, Any]:
    """Return what a crop editor shows of an upright RGB photo.

    Args:
        crop: what is used now.
        faces: the squares of all faces that were found, largest first.
        face: what the event names again, where one editor serves several photos.
    """
    size = photo.size
    middle = Square.at((size[0] / 2, size[1] / 2), min(size))
    small = photo.copy()
    small.thumbnail((_PHOTO_SIDE, _PHOTO_SIDE), Image.Resampling.LANCZOS)
    return {
        "rev": next_revision(),
        "face": face,
        "src": photo_uri(np.asarray(small), quality=85),
        "width": size[0] / max(size),
        "height": size[1] / max(size),
        "crop": crop.relative(size),
        "first": (faces[0] if faces else middle).relative(size),
        "faces": [face.relative(size) for face in faces],
        "eyes": {"apart": alignment.EYES_APART, "below": alignment.DOWN / 2},
        "smallest": min(SMALLEST, *size) / max(size),
        "largest": LARGEST,
    }


# ---- drawn faces --------------------------------------------------------------------------------


def gallery(**kwargs: Any) -> gr.HTML:
    """Make a wall of drawn faces. Its events are ``pair {index, to}``, ``edit {index}``,
    ``journey {index}``, ``near {index}`` and ``save {}``."""
    return component(
        "gallery",
        template("gallery.html"),
        events=("pair", "edit", "journey", "near", "save"),
        functions=[job],
        **kwargs,
    )


# ---- a journey ----------------------------------------------------------------------------------


def journey_faces(**kwargs: Any) -> gr.HTML:
    """Make the list of the faces of a journey. Its events are ``photos {paths, job}``,
    ``draw {seed}``, ``pair {}``, ``arrange {order}`` with ids of faces, and ``crop {face}``."""
    return component(
        "journey_faces",
        template("journey_faces.html"),
        events=("photos", "draw", "pair", "arrange", "crop"),
        functions=[job],
        **kwargs,
    )


def journey_faces_value(faces: list[tuple[int, Face]]) -> dict[str, Any]:
    """Return faces in order, each with an id of its own, for `journey_faces`."""
    return {
        "rev": next_revision(),
        "faces": [
            {
                "id": id,
                "src": face_uri(face),
                "label": face.source,
                "photo": face.photo is not None,
            }
            for id, face in faces
        ],
        "most": limits.MAX_FACES,
        "note": next((note for _, face in reversed(faces) for note in face.notes), ""),
    }


# ---- examples -----------------------------------------------------------------------------------


def example_row(files: Sequence[Path], **kwargs: Any) -> gr.HTML:
    """Make a row of small buttons with the faces in ``files``; its event is ``pick {index}``."""
    buttons = "".join(_button(number, file) for number, file in enumerate(files, 1))
    html = template("examples.html", buttons=buttons)
    return component("examples", html, events=("pick",), visible=bool(files), **kwargs)


def _button(number: int, file: Path) -> str:
    side = _EXAMPLE_SIDE
    with Image.open(file) as image:
        small = image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    name = f"Example face {number}"
    address = publish(jpeg(np.asarray(small), 85), "face.jpg")
    return (
        f'<button type="button" class="face" title="{name}">'
        f'<img src="{address}" alt="{name}"></button>'
    )
