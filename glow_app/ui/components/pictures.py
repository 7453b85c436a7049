"""Pictures that move: one that follows its sliders, and the player of a morph or a journey."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from glow_app.export.writing import MP4_HINT, available_formats
from glow_app.faces.face import Face
from glow_app.ui.components.base import component, job, options, size_options, working_value
from glow_app.ui.encoding import finite, next_revision, picture_uri, sheet
from glow_app.ui.on_demand import FullFrames, Scene, Scenes
from glow_app.ui.page_faces import Result
from glow_app.ui.routes import template

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


# ---- a picture that follows its sliders ---------------------------------------------------------


def live_picture(scenes: Scenes, kind: str, native: int) -> gr.HTML:
    """Make a picture that follows its sliders, for a ``"mix"`` or an ``"edit"`` on a model of
    ``native`` pixels a side.

    Its events are ``save {values, size}``, ``use {values, to}``, ``put {values, face, kind}``,
    ``directions {paths}``, ``average {paths, job}`` and ``expression {paths}``.
    """

    def picture(question: Any) -> dict[str, Any]:
        return scenes.picture(question)

    return component(
        "live",
        template("live.html", kind=kind, **_WORDS[kind], sizes=size_options(native)),
        events=("save", "use", "put", "directions", "average", "expression"),
        functions=[picture, job],
        elem_id=kind,
        elem_classes=["screen-area"],
    )


@dataclass(frozen=True, eq=False)  # each is one of its own: a state tells them apart by hash
class Setting:
    """The places that sliders shall take: value by slider id, 0 for those left out."""

    values: dict[str, float]
    keep: bool = False  # those left out stay where they are
    rev: int = dataclasses.field(default_factory=next_revision)


def live_value(
    scenes: Scenes,
    scene: Scene,
    *,
    shortcuts: Sequence[dict[str, Any]],
    compare: bool = False,
    about: str = "",
    average: np.ndarray | None = None,
    setting: Setting | None = None,
) -> dict[str, Any]:
    """Return a scene for a live picture, which then asks for its pictures by itself.

    Args:
        shortcuts: ``{"label", "title", "values"}`` of buttons that set all sliders.
        compare: whether all sliders at 0 give an original to compare with.
        about: a hint below the sliders.
        average: (S, S, 3) uint8, the average of the visitor's photos.
        setting: where the sliders shall stand, taken up once; otherwise they stay.
    """
    return {
        "rev": next_revision(),
        "key": scenes.key(scene),
        "size": scene.editor.image_size,
        "sliders": [dataclasses.asdict(slider) for slider in scene.sliders],
        "shortcuts": shortcuts,
        "sizes": scene.full_sizes,
        "native": scene.native,
        "note": _no_more_than(scene.faces),
        "photos": [face.photo is not None for face in scene.faces],
        "compare": compare,
        "about": about,
        "average": None if average is None else picture_uri(average),
        "setting": None if setting is None else dataclasses.asdict(setting),
    }


def _no_more_than(faces: Sequence[Face]) -> str:
    """Return a note on faces that have no detail beyond the model's pixels; "" if all have."""
    poor = [face for face in faces if face.full is None]
    if not poor:
        return ""
    kind = "Drawn faces" if all(face.photo is None for face in poor) else "Small photos"
    return f"{kind} have the model's {len(poor[0].pixels)} pixels"


# ---- the player ---------------------------------------------------------------------------------

_FAR_APART = 15  # degrees between the directions of two heads
_FRAME_RATES = (10, 15, 20, 25, 30, 50)


def player(full_frames: FullFrames, kind: str, native: int, elem_id: str) -> gr.HTML:
    """Make the player of a ``"morph"`` or a ``"journey"`` on a model of ``native`` pixels a side.

    Its events are ``save {kind, place, size, fps, back, job}`` and ``put {face, place, kind}``.
    """

    def full(question: Any) -> dict[str, Any]:
        return full_frames.frames(question)

    mp4 = ".mp4" in available_formats()
    return component(
        "player",
        template(
            "player.html",
            kind=kind,
            **_WORDS[kind],
            sizes=size_options(native),
            rates=options(_FRAME_RATES, 25),
            mp4_hidden="" if mp4 else "hidden",
            mp4_hint="" if mp4 else MP4_HINT,
        ),
        value=working_value() if kind == "morph" else None,  # the opening morph is under way
        events=("save", "put"),
        functions=[job, full],
        elem_id=elem_id,
        elem_classes=["screen-area"],
    )


def player_value(
    shown: Result, full_frames: FullFrames, *, final: bool, play: bool = False, note: str = ""
) -> dict[str, Any]:
    """Return a morph for the player, its frames as one lossless sheet: what it shows is exact.

    Args:
        final: these are all the frames, so that they can be saved and asked for at full size.
        play: go there and back once, unless the visitor's system asks for reduced motion.
        note: stands behind the number of frames.
    """
    morph, how = shown.morph, shown.how
    count = len(morph.frames)
    notes = [note, _no_more_than(shown.faces)] if final else []
    if final and not how.alone:
        notes.append(_about_shapes(shown))
    return {
        "rev": next_revision(),
        **sheet(morph.frames),
        "final": final,
        "play": play,
        "status": f"{count} frames" if final else f"{count} frames, more to come…",
        "note": ". ".join(text for text in notes if text),
        "full": full_frames.offer(morph) if final else None,
        "photos": [face.photo is not None for face in shown.faces],
        "range": list(how.t_range),
        "loop": how.loop,
        "t": [round(float(t), 6) for t in morph.t],
        "stops": list(morph.stops),
        "norms": [[round(float(norm), 4) for norm in level] for level in morph.norms.T],
        "clamped": [round(float(share), 4) for share in morph.clamped_frames],
        "bits": None if shown.bits is None else [finite(bits) for bits in shown.bits],
    }


def _about_shapes(shown: Result) -> str:
    """Return a hint where the faces of a morph hardly fit together; "" where they do."""
    if not shown.morph.warped:
        return "A face here has no landmarks, so eyes do not move to eyes"
    turns = [face.yaw for face in shown.faces]
    if max(turns) - min(turns) > _FAR_APART:
        return "These heads look in different directions: cheeks and ears may come out odd"
    return ""
