"""The page's own components: each a ``gr.HTML`` with its files in ``glow_app/ui/static``.

They live in the browser (see the ``.js`` files) and talk to Python through named events, so a
drag or a key never waits for the server. Values are small JSON; pictures travel inside them.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.data_classes import FileData
from PIL import Image

from glow_app.keeping import export
from glow_app.ui import limits, sides
from glow_app.ui.jobs import Jobs
from glow_app.ui.morphs import Shown
from glow_app.ui.scenes import Scenes
from glow_app.ui.sides import Side
from glow_app.ui.static_files import asset

__all__ = [
    "Setting",
    "card_value",
    "download_value",
    "downloader",
    "finite",
    "gallery",
    "gallery_value",
    "live_picture",
    "live_slider",
    "live_value",
    "photo_card",
    "picture_uri",
    "player",
    "player_value",
    "tray",
    "tray_value",
    "working_value",
]

_COLUMNS = 9  # tiles a row of the sheet: keeps 129 frames of 64 pixels below any texture limit
_DOWNLOAD_SIZES = (64, 128, 256, 384, limits.MAX_SIZE)  # pixels
_FRAME_RATES = (10, 15, 20, 25, 30, 50)
_PLAYER_WORDS = {
    "morph": {
        "name": "Morph",
        "slider": "Blend from A to B",
        "empty": "Two faces make a morph",
        "advice": "Choose photo A and photo B, or draw random faces.",
    },
    "journey": {
        "name": "Journey",
        "slider": "Place on the journey",
        "empty": "A journey leads from face to face",
        "advice": "Add two to eight faces above, put them in order, then press Make the journey.",
    },
}
_LIVE_WORDS = {
    "mix": {
        "name": "The mix of photo A and photo B",
        "picture": "mix",
        "empty": "Two faces make a mix",
        "advice": "Choose photo A and photo B, or draw random faces.",
        "shortcut": "Fine detail from B",
    },
    "edit": {
        "name": "The edited face",
        "picture": "edited face",
        "empty": "Choose a face to edit",
        "advice": "Upload a photo or draw a random face, then move the sliders.",
        "shortcut": "",
    },
}
# The browser acts on a value only when it differs from the last one.
_revisions = itertools.count(1)


def _data_uri(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{encoded}"


def _script(*names: str, **fields: str) -> str:
    """The script of a component: what all share, then its own."""
    return "\n".join(asset(name, **fields) for name in ("common.js", *names))


def _job_function(jobs: Jobs) -> Callable[[Any], dict[str, int] | None]:
    """What long_work.js calls as ``server.job``."""

    def job(question: Any) -> dict[str, int] | None:
        return jobs.look(question)

    return job


# ---- one side -------------------------------------------------------------------------------


def photo_card(name: str, tag: str | None = None, **kwargs: Any) -> gr.HTML:
    """A card for one face: its events are ``photo``, ``draw`` and ``remove``.

    Args:
        name: what follows the word "photo": "A" or "B", whose colour it takes, or other words.
        tag: the sign beside it; None for the name itself.
    """
    return gr.HTML(
        None,
        html_template=asset("card.html", name=name, tag=tag or name),
        css_template=asset("card.css"),
        js_on_load=_script("card.js", max_mb=str(limits.MAX_UPLOAD_MB)),
        apply_default_css=False,
        **kwargs,
    )


def card_value(side: Side | None, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a card shows of a face.

    Args:
        side: the face; None for an empty card.
        facts: the checkpoint's training facts, the yardstick for the face's bits/dim.
    """
    if side is None:
        return None
    bits, levels = side.reading.bits_per_dim, side.reading.roundtrip_max_levels
    tone, phrase = sides.familiarity(bits, facts)
    return {
        "rev": next(_revisions),
        "kind": "photo" if side.source == sides.PHOTO else "drawn",
        "src": picture_uri(side.pixels),
        "source": side.source,
        "bits": f"{bits:.2f}" if bits < 1000 else "∞",  # also for a NaN
        "tone": tone,
        "phrase": phrase,
        "roundtrip": sides.roundtrip(levels),
        "exact": levels == 0,
        "notes": list(side.notes),
        "seed": side.seed,
    }


def picture_uri(pixels: np.ndarray) -> str:
    """One picture (S, S, 3) uint8 as the data URI of a PNG."""
    return _data_uri(Image.fromarray(pixels), "PNG", compress_level=1)


# ---- the player -----------------------------------------------------------------------------


def player(jobs: Jobs, *, kind: str, native: int, **kwargs: Any) -> gr.HTML:
    """The player of a ``"morph"`` or a ``"journey"``; its event is ``save``.

    Args:
        jobs: where it asks how far long work is, and stops it.
        native: side of the model's pictures in pixels, the smallest size of a download.
    """

    mp4 = ".mp4" in export.available_formats()
    return gr.HTML(
        working_value() if kind == "morph" else None,  # the greeting is under way
        html_template=asset(
            "player.html",
            **_PLAYER_WORDS[kind],
            long_work=asset("long_work.html"),
            sizes=_size_options(native),
            rates=_options(_FRAME_RATES, 25),
            mp4_hidden="" if mp4 else "hidden",
            mp4_hint="" if mp4 else export.MP4_HINT,
        ),
        css_template=asset("player.css") + asset("long_work.css"),
        js_on_load=_script("long_work.js", "player.js"),
        server_functions=[_job_function(jobs)],
        apply_default_css=False,
        **kwargs,
    )


def _size_options(native: int) -> str:
    sizes = [native, *(size for size in _DOWNLOAD_SIZES if size > native)]
    return _options(sizes, min(max(native, 256), sizes[-1]))


def _options(numbers: Iterable[int], chosen: int) -> str:
    """Options of an HTML select."""
    return "".join(
        f"<option{' selected' if number == chosen else ''}>{number}</option>" for number in numbers
    )


def player_value(
    shown: Shown, *, final: bool, play: bool = False, status: str = "", job: str | None = None
) -> dict[str, Any]:
    """A morph for the player, its frames as one lossless sheet: what it shows is exact.

    Args:
        final: these are all the frames, so that they can be saved.
        play: go there and back once, where motion is welcome.
        job: more is on its way, which can be asked about under this name.
    """
    morph, how = shown.morph, shown.how
    count = len(morph.frames)
    status = status or (f"{count} frames" if final else f"{count} frames, more to come…")
    return {
        "rev": next(_revisions),
        **_sheet(morph.frames),
        "final": final,
        "play": play,
        "status": status,
        "job": job,
        "range": list(how.t_range),
        "loop": how.loop,
        "t": [round(float(t), 6) for t in morph.t],
        "stops": list(morph.stops),
        "norms": [[round(float(norm), 4) for norm in level] for level in morph.norms.T],
        "clamped": [round(float(share), 4) for share in morph.clamped_frames],
        "bits": None if shown.bits is None else [finite(bits) for bits in shown.bits],
    }


def _sheet(pictures: np.ndarray) -> dict[str, Any]:
    """Pictures (N, S, S, 3) row by row in one, for ``cutSheet`` of common.js."""
    count, size = pictures.shape[:2]
    sheet = np.zeros((-(-count // _COLUMNS) * size, _COLUMNS * size, 3), np.uint8)
    for i, picture in enumerate(pictures):
        top, left = i // _COLUMNS * size, i % _COLUMNS * size
        sheet[top : top + size, left : left + size] = picture
    # quality is effort here: at 0 a sheet takes milliseconds, and stays exact
    uri = _data_uri(Image.fromarray(sheet), "WEBP", lossless=True, quality=0, method=0)
    return {"sheet": uri, "n": count, "cols": _COLUMNS, "size": size}


def finite(bits: float) -> float | None:
    """JSON has no word for a number off the scale."""
    return round(float(bits), 4) if math.isfinite(bits) else None


def working_value(job: str | None = None) -> dict[str, Any]:
    """Tell the player that a morph is being decoded; it keeps what it shows.

    Args:
        job: the name under which the work can be asked about and stopped.
    """
    return {"rev": next(_revisions), "working": True, "job": job}


# ---- live pictures --------------------------------------------------------------------------


def live_picture(scenes: Scenes, *, kind: str, native: int, **kwargs: Any) -> gr.HTML:
    """A picture that follows its sliders, for a ``"mix"`` or an ``"edit"``.

    Its events are ``save``, ``use``, ``directions`` and ``average``.
    """

    def picture(question: Any) -> dict[str, Any]:
        return scenes.picture(question)

    return gr.HTML(
        None,
        html_template=asset(
            "live.html", kind=kind, **_LIVE_WORDS[kind], sizes=_size_options(native)
        ),
        css_template=asset("live.css"),
        js_on_load=_script("live.js"),
        server_functions=[picture],
        apply_default_css=False,
        **kwargs,
    )


@dataclass(frozen=True, eq=False)  # each is one of its own: a state tells them apart by hash
class Setting:
    """Where sliders shall stand: value by slider id, 0 for those left out."""

    values: dict[str, float]
    rev: int = dataclasses.field(default_factory=lambda: next(_revisions))


def live_slider(
    id: str,
    label: str,
    *,
    low: float,
    high: float,
    first: float = 0.0,
    detail: str = "",
    words: tuple[str, str] = ("", ""),
    weak: str = "",
    percent: bool = False,
) -> dict[str, Any]:
    """One slider of a live picture.

    Args:
        id: stays the same while the slider means the same, so that its place is kept.
        low, high: its range.
        first: where it stands at first.
        detail: small words beside the label.
        words: what its two ends mean.
        weak: a warning below it.
        percent: its value is a share.
    """
    return {
        "id": id,
        "label": label,
        "detail": detail,
        "min": low,
        "max": high,
        "step": 0.01,
        "first": first,
        "low": words[0],
        "high": words[1],
        "weak": weak,
        "percent": percent,
    }


def live_value(
    key: str,
    size: int,
    sliders: list[dict[str, Any]],
    *,
    shortcuts: list[dict[str, Any]] | None = None,
    original: np.ndarray | None = None,
    about: str = "",
    average: np.ndarray | None = None,
    setting: Setting | None = None,
) -> dict[str, Any]:
    """A scene for a live picture, which then asks for its pictures by itself.

    Args:
        key: of the scene, see `scenes.Scenes`.
        size: side of its pictures in pixels.
        sliders: from `live_slider`, in the order of the scene's values.
        shortcuts: ``{"label", "title", "values"}`` of buttons that set all sliders.
        original: (size, size, 3) uint8 to compare with.
        about: a hint below the sliders.
        average: (size, size, 3) uint8, the average of the visitor's photos.
        setting: where the sliders shall stand, taken up once; otherwise they stay.
    """
    return {
        "rev": next(_revisions),
        "key": key,
        "size": size,
        "sliders": sliders,
        "shortcuts": shortcuts or [],
        "original": None
        if original is None
        else base64.b64encode(original.tobytes()).decode("ascii"),
        "about": about,
        "average": None if average is None else picture_uri(average),
        "setting": None if setting is None else {"rev": setting.rev, "values": setting.values},
    }


# ---- faces of a journey, drawn faces ----------------------------------------------------------


def tray(**kwargs: Any) -> gr.HTML:
    """The faces of a journey: its events are ``photos``, ``draw``, ``pair`` and ``arrange``."""
    return gr.HTML(
        None,
        html_template=asset("tray.html"),
        css_template=asset("tray.css"),
        js_on_load=_script("tray.js", max_mb=str(limits.MAX_UPLOAD_MB)),
        apply_default_css=False,
        **kwargs,
    )


def tray_value(faces: list[tuple[int, Side]]) -> dict[str, Any]:
    """What a tray shows: faces in order, each with an id of its own."""
    return {
        "rev": next(_revisions),
        "faces": [
            {"id": id, "src": picture_uri(side.pixels), "label": side.source} for id, side in faces
        ],
        "most": limits.MAX_FACES,
        "note": next((note for _, side in reversed(faces) for note in side.notes), ""),
    }


def gallery(jobs: Jobs, **kwargs: Any) -> gr.HTML:
    """Drawn faces to choose from: its events are ``pair``, ``edit``, ``journey``, ``near`` and
    ``save``."""
    return gr.HTML(
        None,
        html_template=asset("gallery.html", long_work=asset("long_work.html")),
        css_template=asset("gallery.css") + asset("long_work.css"),
        js_on_load=_script("long_work.js", "gallery.js"),
        server_functions=[_job_function(jobs)],
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
        "rev": next(_revisions),
        **_sheet(pictures),
        "captions": list(captions),
        "about": list(about),
        "seeded": list(seeded),
        "columns": columns,
        "title": title,
    }


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
