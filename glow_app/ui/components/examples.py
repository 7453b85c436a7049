"""A row of example faces to try."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from glow_app.ui.assets import asset
from glow_app.ui.components.templates import script
from glow_app.ui.values import photo_uri

__all__ = ["example_row"]

_SIDE = 112  # pixels of a thumbnail, for dense screens, too


def example_row(files: Sequence[Path], **kwargs: Any) -> gr.HTML:
    """The faces in ``files`` as small buttons; the event is ``pick`` with an ``index``."""
    buttons = "".join(_button(number, file) for number, file in enumerate(files, 1))
    return gr.HTML(
        None,
        html_template=asset("components/examples.html", buttons=buttons),
        css_template=asset("components/examples.css"),
        js_on_load=script("examples.js"),
        apply_default_css=False,
        visible=bool(files),
        **kwargs,
    )


def _button(number: int, file: Path) -> str:
    with Image.open(file) as image:
        small = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    name = f"Example face {number}"
    return (
        f'<button type="button" class="face" title="{name}">'
        f'<img src="{photo_uri(np.asarray(small), 85)}" alt="{name}"></button>'
    )
