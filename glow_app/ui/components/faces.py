"""Faces: the card of one and the editor of its crop, and lists of several.

Several are drawn ones to choose from, those of a journey in order, and examples to try.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from glow_app.faces import alignment
from glow_app.faces.alignment import LARGEST, SMALLEST, Square
from glow_app.faces.face import Face
from glow_app.ui import limits, page_faces
from glow_app.ui.components.base import component, job, long_work
from glow_app.ui.encoding import face_uri, jpeg, next_revision, photo_uri, picture_uri, sheet
from glow_app.ui.routes import publish, template

_PHOTO_SIDE = 1024  # pixels: the long side of a photo whose crop is edited
_EXAMPLE_SIDE = 112  # pixels of an example, for dense screens, too
_KINDS = {page_faces.PHOTO: "photo", page_faces.EXAMPLE: "example"}


# ---- one face -----------------------------------------------------------------------------------


def photo_card(name: str, tag: str | None = None, **kwargs: Any) -> gr.HTML:
    """Make a card for one face.

    Its events are ``photo {path}``, ``draw {seed}``, ``crop {}`` and ``remove {}``.

    Args:
        name: what follows the word "photo": "A" or "B", whose colour it takes, or other words.
        tag: the sign beside it; None for the name itself.
    """
    html = template("card.html", name=name, tag=tag or name)
    return component("card", html, events=("photo", "draw", "crop", "remove"), **kwargs)


def card_value(face: Face, look: np.ndarray, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a card shows of a face.

    Args:
        look: (S, S, 3) uint8, what the model sees of it, and what its reading is about.
        facts: the checkpoint's training facts, the yardstick for the face's bits/dim.
    """
    bits, levels = face.reading.bits_per_dim, face.reading.roundtrip_max_levels
    tone, phrase = page_faces.familiarity(bits, facts)
    return {
        "rev": next_revision(),
        "kind": _KINDS.get(face.source, "drawn"),
        "seen": picture_uri(look),
        "plain": picture_uri(face.pixels),
        "size": len(face.pixels),
        "full": None if face.full is None else face_uri(face.pixels, face.full),
        "source": face.source,
        "bits": f"{bits:.2f}" if bits < 1000 else "∞",  # also for a NaN
        "tone": tone,
        "phrase": phrase,
        "roundtrip": page_faces.roundtrip(levels),
        "exact": levels == 0,
        "notes": list(face.notes),
        "seed": face.seed,
        "recrop": None if face.photo is None else _recrop(face),
    }


def _recrop(face: Face) -> str:
    """Return words for a button that changes the crop; "" where nothing asks for it."""
    if face.faces == 1:
        return ""
    if face.faces:
        return "Choose another face"
    return "" if face.aligned else "Show where the face is"


def crop_editor(name: str, what: str, **kwargs: Any) -> gr.HTML:
    """Make a dialog that opens when it gets a value of `crop_value`.

    Its event is ``use {crop, face}``.

    Args:
        name: what tells it from other editors.
        what: is cropped, for its heading.
    """
    html = template("crop.html", name=name, what=what)
    return component("crop", html, events=("use",), padding=False, **kwargs)


def crop_value(
    photo: Image.Image, crop: Square, faces: Sequence[Square], face: int | None = None
) -> dict[str, Any]:
    """Return what a crop editor shows of a photo.

    Args:
        photo: upright, mode RGB.
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
    """Make a wall of drawn faces.

    Its events are ``pair {index, to}``, ``edit {index}``, ``journey {index}``, ``near {index}``
    and ``save {}``.
    """
    return component(
        "gallery",
        template("gallery.html", long_work=long_work()),
        events=("pair", "edit", "journey", "near", "save"),
        functions=[job],
        **kwargs,
    )


def gallery_value(
    pictures: np.ndarray,
    *,
    captions: Sequence[str],
    about: Sequence[str],
    seeded: Sequence[bool],
    columns: int | None,
    title: str,
) -> dict[str, Any]:
    """Return faces (N, S, S, 3) uint8 for a gallery.

    Args:
        captions: a word or two below each.
        about: one line on each, shown when it is chosen.
        seeded: whether faces near it can be drawn.
        columns: faces a row; None for what fits.
        title: of all of them.
    """
    return {
        "rev": next_revision(),
        **sheet(pictures),
        "captions": list(captions),
        "about": list(about),
        "seeded": list(seeded),
        "columns": columns,
        "title": title,
    }


# ---- a journey ----------------------------------------------------------------------------------


def journey_faces(**kwargs: Any) -> gr.HTML:
    """Make the list of the faces of a journey.

    Its events are ``photos {paths, job}``, ``draw {seed}``, ``pair {}``, ``arrange {order}`` with
    the ids of the faces, and ``crop {face}`` with one.
    """
    return component(
        "journey_faces",
        template("journey_faces.html", long_work=long_work()),
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
                "src": face_uri(face.pixels, face.full),
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
    with Image.open(file) as image:
        small = image.convert("RGB").resize(
            (_EXAMPLE_SIDE, _EXAMPLE_SIDE), Image.Resampling.LANCZOS
        )
    name = f"Example face {number}"
    address = publish(jpeg(np.asarray(small), 85), "face.jpg")
    return (
        f'<button type="button" class="face" title="{name}">'
        f'<img src="{address}" alt="{name}"></button>'
    )
