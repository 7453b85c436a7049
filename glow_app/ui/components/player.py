"""The component that plays a morph or a journey."""

from __future__ import annotations

from typing import Any

import gradio as gr

from glow_app.export.writing import MP4_HINT, available_formats
from glow_app.ui.components.base import (
    component,
    job,
    long_work,
    options,
    size_options,
    working_value,
)
from glow_app.ui.encoding import finite, next_revision, sheet
from glow_app.ui.morphs import Result
from glow_app.ui.on_demand import FullFrames
from glow_app.ui.page_faces import no_more_than
from glow_app.ui.routes import template

__all__ = ["player", "player_value"]

_FAR_APART = 15  # degrees between the directions of two heads
_FRAME_RATES = (10, 15, 20, 25, 30, 50)
_WORDS = {
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


def player(full_frames: FullFrames, *, kind: str, native: int, **kwargs: Any) -> gr.HTML:
    """Make the player of a ``"morph"`` or a ``"journey"``.

    Its events are ``save {kind, place, size, fps, back, job}`` and ``put {face, place, kind}``.

    Args:
        full_frames: where it asks for frames at full size.
        native: pixels a side of the model's pictures, the smallest size of a download.
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
            long_work=long_work(),
            sizes=size_options(native),
            rates=options(_FRAME_RATES, 25),
            mp4_hidden="" if mp4 else "hidden",
            mp4_hint="" if mp4 else MP4_HINT,
        ),
        value=working_value() if kind == "morph" else None,  # the opening morph is under way
        events=("save", "put"),
        functions=[job, full],
        **kwargs,
    )


def player_value(
    shown: Result,
    full_frames: FullFrames,
    *,
    final: bool,
    play: bool = False,
    note: str = "",
) -> dict[str, Any]:
    """Return a morph for the player, its frames as one lossless sheet: what it shows is exact.

    Args:
        full_frames: where the player can then ask for them at full size.
        final: these are all the frames, so that they can be saved.
        play: go there and back once, where motion is welcome.
        note: stands behind the number of frames.
    """
    morph, how = shown.morph, shown.how
    count = len(morph.frames)
    notes = [note, no_more_than(shown.faces)] if final else []
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
