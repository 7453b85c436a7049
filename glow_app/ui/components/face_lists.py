"""Several faces: drawn ones to choose from, those of a journey in order, and examples to try."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from glow_app.faces.face import Face
from glow_app.ui import limits
from glow_app.ui.components.base import component, job, long_work
from glow_app.ui.encoding import face_uri, jpeg, next_revision, sheet
from glow_app.ui.routes import publish, template

__all__ = ["example_row", "gallery", "gallery_value", "journey_faces", "journey_faces_value"]

_SIDE = 112  # pixels of an example, for dense screens, too


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
        small = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    name = f"Example face {number}"
    address = publish(jpeg(np.asarray(small), 85), "face.jpg")
    return (
        f'<button type="button" class="face" title="{name}">'
        f'<img src="{address}" alt="{name}"></button>'
    )
