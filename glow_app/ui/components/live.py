"""A picture that follows its sliders."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from glow_app.faces.face import Face
from glow_app.ui.assets import asset
from glow_app.ui.components.templates import job_function, script, size_options
from glow_app.ui.jobs import Jobs
from glow_app.ui.page_faces import no_more_than
from glow_app.ui.scenes import Scenes
from glow_app.ui.values import next_revision, picture_uri

__all__ = ["Setting", "live_picture", "live_slider", "live_value"]

_WORDS = {
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
        "shortcut": "Presets",
    },
}


def live_picture(scenes: Scenes, jobs: Jobs, *, kind: str, native: int, **kwargs: Any) -> gr.HTML:
    """A picture that follows its sliders, for a ``"mix"`` or an ``"edit"``.

    Its events are ``save``, ``use``, ``put``, ``directions``, ``average`` and ``expression``.
    """

    def picture(question: Any) -> dict[str, Any]:
        return scenes.picture(question)

    return gr.HTML(
        None,
        html_template=asset(
            "components/live.html",
            kind=kind,
            **_WORDS[kind],
            long_work=asset("components/long_work.html"),
            sizes=size_options(native),
        ),
        css_template=asset("components/live.css") + asset("components/long_work.css"),
        js_on_load=script("long_work.js", "live.js"),
        server_functions=[picture, job_function(jobs)],
        apply_default_css=False,
        **kwargs,
    )


@dataclass(frozen=True, eq=False)  # each is one of its own: a state tells them apart by hash
class Setting:
    """Where sliders shall stand: value by slider id, 0 for those left out."""

    values: dict[str, float]
    keep: bool = False  # those left out stay where they are
    rev: int = dataclasses.field(default_factory=next_revision)


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
    group: str = "",
    unit: str = "",
    step: float = 0.01,
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
        group: heading under which it stands with its like.
        unit: of its value, in a word.
        step: of its value.
    """
    return {
        "id": id,
        "label": label,
        "detail": detail,
        "min": low,
        "max": high,
        "step": step,
        "first": first,
        "low": words[0],
        "high": words[1],
        "weak": weak,
        "percent": percent,
        "group": group,
        "unit": unit,
    }


def live_value(
    key: str,
    size: int,
    sliders: list[dict[str, Any]],
    *,
    sizes: Sequence[int] = (),
    faces: Sequence[Face] = (),
    shortcuts: list[dict[str, Any]] | None = None,
    compare: bool = False,
    about: str = "",
    average: np.ndarray | None = None,
    setting: Setting | None = None,
) -> dict[str, Any]:
    """A scene for a live picture, which then asks for its pictures by itself.

    Args:
        key: of the scene, see `scenes.Scenes`.
        size: side of its pictures in pixels.
        sliders: from `live_slider`, in the order of the scene's values.
        sizes: at which it can be asked for beyond that, see `scenes.Scenes.sizes`.
        faces: what the picture is made of.
        shortcuts: ``{"label", "title", "values"}`` of buttons that set all sliders.
        compare: whether all sliders at 0 give an original to compare with.
        about: a hint below the sliders.
        average: (size, size, 3) uint8, the average of the visitor's photos.
        setting: where the sliders shall stand, taken up once; otherwise they stay.
    """
    return {
        "rev": next_revision(),
        "key": key,
        "size": size,
        "sliders": sliders,
        "shortcuts": shortcuts or [],
        "sizes": list(sizes),
        "native": max((face.native for face in faces), default=size),
        "note": no_more_than(faces),
        "photos": [face.photo is not None for face in faces],
        "compare": compare,
        "about": about,
        "average": None if average is None else picture_uri(average),
        "setting": None
        if setting is None
        else {"rev": setting.rev, "values": setting.values, "keep": setting.keep},
    }
