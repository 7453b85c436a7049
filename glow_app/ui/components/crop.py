"""The editor of a photo's crop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from glow_app.faces import alignment
from glow_app.faces.alignment import LARGEST, SMALLEST, Square
from glow_app.ui.assets import asset
from glow_app.ui.components.templates import script
from glow_app.ui.values import next_revision, photo_uri

__all__ = ["crop_editor", "crop_value"]

_SIDE = 1024  # pixels: the long side of the photo in the browser


def crop_editor(name: str, what: str, **kwargs: Any) -> gr.HTML:
    """A dialog that opens when it gets a value of `crop_value`; its event is ``use``.

    Args:
        name: what tells it from other editors.
        what: is cropped, for its heading.
    """
    return gr.HTML(
        None,
        html_template=asset("components/crop.html", name=name, what=what),
        css_template=asset("components/crop.css"),
        js_on_load=script("crop.js", "crop_eyes.js"),
        apply_default_css=False,
        padding=False,
        **kwargs,
    )


def crop_value(
    photo: Image.Image, crop: Square, faces: Sequence[Square], face: int | None = None
) -> dict[str, Any]:
    """A photo whose crop shall be changed.

    Args:
        photo: upright, mode RGB.
        crop: what is used now.
        faces: the squares of all faces that were found, largest first.
        face: what the event names again, where one editor serves several photos.
    """
    size = photo.size
    middle = Square.at((size[0] / 2, size[1] / 2), min(size))
    small = photo.copy()
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
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
