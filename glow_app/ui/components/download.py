"""Files for the browser to save."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from glow_app.ui.assets import asset
from glow_app.ui.values import next_revision

__all__ = ["download_value", "downloader"]


def downloader(**kwargs: Any) -> gr.HTML:
    """Nothing to see: saves the file it is given, as a click on a link would."""
    return gr.HTML(
        None,
        html_template="",
        js_on_load=asset("components/download.js"),
        apply_default_css=False,
        **kwargs,
    )


def download_value(path: Path) -> dict[str, Any]:
    """A prepared file for :func:`downloader`; Gradio moves it to its cache and gives it a URL."""
    file = FileData(path=str(path), orig_name=path.name)
    return {"rev": next_revision(), "file": file.model_dump(), "name": path.name}
