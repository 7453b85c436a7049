"""Drawn faces to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np

from glow_app.ui.assets import asset
from glow_app.ui.components.templates import job_function, script
from glow_app.ui.jobs import Jobs
from glow_app.ui.values import next_revision, sheet

__all__ = ["gallery", "gallery_value"]


def gallery(jobs: Jobs, **kwargs: Any) -> gr.HTML:
    """Drawn faces to choose from: its events are ``pair``, ``edit``, ``journey``, ``near`` and
    ``save``."""
    return gr.HTML(
        None,
        html_template=asset(
            "components/gallery.html", long_work=asset("components/long_work.html")
        ),
        css_template=asset("components/gallery.css") + asset("components/long_work.css"),
        js_on_load=script("long_work.js", "gallery.js"),
        server_functions=[job_function(jobs)],
        apply_default_css=False,
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
    """Faces (N, S, S, 3) for a gallery.

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
