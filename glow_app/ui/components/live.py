"""The component of a picture that follows its sliders."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from glow_app.faces.face import Face
from glow_app.ui.components.base import component, job, long_work, size_options
from glow_app.ui.encoding import next_revision, picture_uri
from glow_app.ui.on_demand import Scenes
from glow_app.ui.page_faces import no_more_than
from glow_app.ui.routes import template

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


def live_picture(scenes: Scenes, *, kind: str, native: int, **kwargs: Any) -> gr.HTML:
    """Make a picture that follows its sliders, for a ``"mix"`` or an ``"edit"``.

    Its events are ``save {values, size}``, ``use {values, to}``, ``put {values, face, kind}``,
    ``directions {paths}``, ``average {paths, job}`` and ``expression {paths}``.

    Args:
        scenes: where it asks for its pictures.
        native: pixels a side of the model's pictures, the smallest size of a download.
    """

    def picture(question: Any) -> dict[str, Any]:
        return scenes.picture(question)

    return component(
        "live",
        template(
            "live.html",
            kind=kind,
            **_WORDS[kind],
            long_work=long_work(),
            sizes=size_options(native),
        ),
        events=("save", "use", "put", "directions", "average", "expression"),
        functions=[picture, job],
        **kwargs,
    )


@dataclass(frozen=True, eq=False)  # each is one of its own: a state tells them apart by hash
class Setting:
    """The places that sliders shall take: value by slider id, 0 for those left out."""

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
    """Return one slider of a live picture.

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
    """Return a scene for a live picture, which then asks for its pictures by itself.

    Args:
        key: of the scene, see `on_demand.Scenes`.
        size: side of its pictures in pixels.
        sliders: from `live_slider`, in the order of the scene's values.
        sizes: at which it can be asked for beyond that, see `on_demand.Scenes.sizes`.
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
