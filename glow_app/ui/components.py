"""The page's own components: each a ``gr.HTML`` with its files in ``glow_app/ui/static``.

They live in the browser (see the ``.js`` files) and talk to Python through named events, so a
drag or a key never waits for the server. Values are small JSON; pictures travel inside them.
"""

from __future__ import annotations

import base64
import io
import itertools
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.data_classes import FileData
from PIL import Image

from glow_app.ui import limits
from glow_app.ui.static_files import asset

__all__ = [
    "card_value",
    "download_value",
    "downloader",
    "photo_card",
    "player",
    "player_value",
    "working_value",
]

_COLUMNS = 9  # tiles a row of the sheet: keeps 129 frames of 64 pixels below any texture limit
# The browser acts on a value only when it differs from the last one.
_revisions = itertools.count(1)


def _data_uri(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{encoded}"


# ---- one side -------------------------------------------------------------------------------


def photo_card(letter: str, **kwargs: Any) -> gr.HTML:
    """The card of photo ``letter``: its events are ``photo``, ``draw`` and ``remove``."""
    return gr.HTML(
        None,
        html_template=asset("card.html", side=letter),
        css_template=asset("card.css"),
        js_on_load=asset("card.js", max_mb=str(limits.MAX_UPLOAD_MB)),
        apply_default_css=False,
        **kwargs,
    )


def card_value(
    pixels: np.ndarray,
    *,
    source: str,
    bits: float,
    tone: str,
    phrase: str,
    roundtrip: str,
    exact: bool,
    notes: tuple[str, ...],
    seed: int | None,
) -> dict[str, Any]:
    """What a card shows of one face."""
    return {
        "rev": next(_revisions),
        "kind": "photo" if seed is None else "drawn",
        "src": _data_uri(Image.fromarray(pixels), "PNG", compress_level=1),
        "source": source,
        "bits": f"{bits:.2f}" if bits < 1000 else "∞",  # also for a NaN
        "tone": tone,
        "phrase": phrase,
        "roundtrip": roundtrip,
        "exact": exact,
        "notes": list(notes),
        "seed": seed,
    }


# ---- the player -----------------------------------------------------------------------------


def player(formats: tuple[str, ...], **kwargs: Any) -> gr.HTML:
    """The morph player; its event is ``save``.

    Args:
        formats: suffixes that downloads can have; MP4 is explained where it cannot.
    """
    mp4 = ".mp4" in formats
    title = (
        "The same loop as a video"
        if mp4
        else "MP4 needs the optional package PyAV: pip install av"
    )
    return gr.HTML(
        working_value(),  # the greeting is under way
        html_template=asset(
            "player.html", mp4_title=title, mp4_state="" if mp4 else 'data-missing=""'
        ),
        css_template=asset("player.css"),
        js_on_load=asset("player.js"),
        apply_default_css=False,
        **kwargs,
    )


def player_value(
    frames: np.ndarray, *, final: bool, play: bool = False, status: str = ""
) -> dict[str, Any]:
    """Frames (T, S, S, 3) for the player, as one lossless sheet: what it shows is exact.

    Args:
        final: these are all the frames, so that they can be saved.
        play: go there and back once, where motion is welcome.
    """
    count, size = frames.shape[:2]
    rows = -(-count // _COLUMNS)
    sheet = np.zeros((rows * size, _COLUMNS * size, 3), np.uint8)
    for i, frame in enumerate(frames):
        top, left = i // _COLUMNS * size, i % _COLUMNS * size
        sheet[top : top + size, left : left + size] = frame
    return {
        "rev": next(_revisions),
        # quality is effort here: at 0 a sheet takes milliseconds, and stays exact
        "src": _data_uri(Image.fromarray(sheet), "WEBP", lossless=True, quality=0, method=0),
        "n": count,
        "cols": _COLUMNS,
        "size": size,
        "final": final,
        "play": play,
        "status": status,
    }


def working_value() -> dict[str, Any]:
    """Tell the player that a morph is being decoded; it keeps what it shows."""
    return {"rev": next(_revisions), "working": True}


# ---- downloads ------------------------------------------------------------------------------


def downloader(**kwargs: Any) -> gr.HTML:
    """Nothing to see: saves the file it is given, as a click on a link would."""
    return gr.HTML(
        None,
        html_template="",
        js_on_load=asset("downloader.js"),
        apply_default_css=False,
        **kwargs,
    )


def download_value(path: Path) -> dict[str, Any]:
    """A prepared file for :func:`downloader`; Gradio moves it to its cache and gives it a URL."""
    file = FileData(path=str(path), orig_name=path.name)
    return {"rev": next(_revisions), "file": file.model_dump(), "name": path.name}
