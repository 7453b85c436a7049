"""The faces of a journey, in order."""

from __future__ import annotations

from typing import Any

import gradio as gr

from glow_app.faces.face import Face
from glow_app.ui import limits
from glow_app.ui.assets import asset
from glow_app.ui.components.templates import job_function, script
from glow_app.ui.jobs import Jobs
from glow_app.ui.values import face_uri, next_revision

__all__ = ["tray", "tray_value"]


def tray(jobs: Jobs, **kwargs: Any) -> gr.HTML:
    """The faces of a journey: its events are ``photos``, ``draw``, ``pair``, ``arrange``
    and ``crop``."""
    return gr.HTML(
        None,
        html_template=asset("components/tray.html", long_work=asset("components/long_work.html")),
        css_template=asset("components/long_work.css") + asset("components/tray.css"),
        js_on_load=script("long_work.js", "tray.js"),
        server_functions=[job_function(jobs)],
        apply_default_css=False,
        **kwargs,
    )


def tray_value(faces: list[tuple[int, Face]]) -> dict[str, Any]:
    """What a tray shows: faces in order, each with an id of its own."""
    return {
        "rev": next_revision(),
        "faces": [
            {
                "id": id,
                "src": face_uri(side.pixels, side.full),
                "label": side.source,
                "photo": side.photo is not None,
            }
            for id, side in faces
        ],
        "most": limits.MAX_FACES,
        "note": next((note for _, side in reversed(faces) for note in side.notes), ""),
    }
