"""How a component is made of its template, its styles and its script."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from glow_app.ui import limits
from glow_app.ui.encoding import next_revision
from glow_app.ui.events import JOBS
from glow_app.ui.routes import script_address

_DOWNLOAD_SIZES = (128, 256, 512, limits.MAX_SIZE)  # pixels
_LIMITS = {  # what scripts are given as `limits`
    "upload_mb": limits.MAX_UPLOAD_MB,
    "faces": limits.MAX_FACES,
    "average": limits.MAX_AVERAGE,
    "clipped": limits.CLIPPED,
    "pull": limits.FULL_FRAMES,
    "full_sizes": limits.FULL_SIZES,
}


def component(
    script: str,
    html: str = "",
    *,
    value: Any = None,
    events: Sequence[str] = (),
    functions: Sequence[Callable[..., Any]] = (),
    elem_classes: Sequence[str] = (),
    **kwargs: Any,
) -> gr.HTML:
    """Make a component whose behaviour is the default export of a script.

    Args:
        script: its name below ``static/scripts``, without the suffix. It is called with what
            Gradio hands in (``element``, ``trigger``, ``props``, …) and ``limits``.
        html: what it shows.
        events: names that the script triggers; each is then a method of the component.
        functions: what the script can call as ``server.NAME``.
        elem_classes, kwargs: as for ``gr.HTML``.
    """
    names = " ".join(f"'{event}'" for event in events)  # Gradio looks for the names in the text
    return gr.HTML(
        value,
        html_template=html,
        js_on_load=(
            f"import(new URL('{script_address(f'{script}.js')}', document.baseURI)).then(\n"
            "  (script) => script.default({ element, trigger, props, server, upload, watch,\n"
            f"    limits: {json.dumps(_LIMITS)} }}),\n"
            "  () => trigger('error', 'A part of the page did not load: please reload it.'),\n"
            f"); // events: {names}"
        ),
        server_functions=list(functions),
        apply_default_css=False,
        elem_classes=[*elem_classes, f"ui-{script.replace('/', '-')}"],
        **kwargs,
    )


def job(question: Any) -> dict[str, int] | None:
    """As `Jobs.ask`; scripts call it as ``server.job``."""
    return JOBS.ask(question)


def working_value(event: str = "", job: str | None = None) -> dict[str, Any]:
    """Tell a component that an event makes its content ("": any event); it keeps what it shows.
    ``job`` is the name under which the work can be asked about and stopped."""
    return {"rev": next_revision(), "working": True, "event": event, "job": job}


def size_options(native: int) -> str:
    """Return options for the size of a download, from the model's, in pixels a side, upwards. The
    script adds the size that photos have, once there are some."""
    sizes = [native, *(size for size in _DOWNLOAD_SIZES if size > native)]
    return options(sizes, min(max(native, 256), sizes[-1]))


def options(numbers: Iterable[int], chosen: int) -> str:
    return "".join(
        f"<option{' selected' if number == chosen else ''}>{number}</option>" for number in numbers
    )


def downloader(**kwargs: Any) -> gr.HTML:
    """Make an invisible component that saves the file it is given, as a click on a link would."""
    return component("download", **kwargs)


def download_value(path: Path) -> dict[str, Any]:
    """Return a file for `downloader`; Gradio moves it to its cache and gives it a URL."""
    file = FileData(path=str(path), orig_name=path.name)
    return {"rev": next_revision(), "file": file.model_dump(), "name": path.name}
