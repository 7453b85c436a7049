"""The player of a morph or a journey."""

from __future__ import annotations

from typing import Any

import gradio as gr

from glow_app.export.writing import MP4_HINT, available_formats
from glow_app.ui.assets import asset
from glow_app.ui.components.templates import job_function, options, script, size_options
from glow_app.ui.full_frames import FullFrames
from glow_app.ui.jobs import Jobs
from glow_app.ui.morphs import Result
from glow_app.ui.page_faces import no_more_than
from glow_app.ui.values import finite, next_revision, sheet

__all__ = ["player", "player_value", "working_value"]

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


def player(
    jobs: Jobs, full_frames: FullFrames, *, kind: str, native: int, **kwargs: Any
) -> gr.HTML:
    """The player of a ``"morph"`` or a ``"journey"``; its events are ``save`` and ``put``.

    Args:
        jobs: where it asks how far long work is, and stops it.
        full_frames: where it asks for frames at full size.
        native: side of the model's pictures in pixels, the smallest size of a download.
    """

    def full(question: Any) -> dict[str, Any]:
        return full_frames.frames(question)

    mp4 = ".mp4" in available_formats()
    return gr.HTML(
        working_value() if kind == "morph" else None,  # the greeting is under way
        html_template=asset(
            "components/player.html",
            kind=kind,
            **_WORDS[kind],
            long_work=asset("components/long_work.html"),
            sizes=size_options(native),
            rates=options(_FRAME_RATES, 25),
            mp4_hidden="" if mp4 else "hidden",
            mp4_hint="" if mp4 else MP4_HINT,
        ),
        css_template=asset("components/player.css")
        + asset("components/plot.css")
        + asset("components/long_work.css"),
        js_on_load=script("board.js", "long_work.js", "plot.js", "full.js", "player.js"),
        server_functions=[job_function(jobs), full],
        apply_default_css=False,
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
    """A morph for the player, its frames as one lossless sheet: what it shows is exact.

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
    """A hint where the faces of a morph hardly fit together; "" where they do."""
    if not shown.morph.warped:
        return "A face here has no landmarks, so eyes do not move to eyes"
    turns = [face.yaw for face in shown.faces]
    if max(turns) - min(turns) > _FAR_APART:
        return "These heads look in different directions: cheeks and ears may come out odd"
    return ""


def working_value(event: str = "", job: str | None = None) -> dict[str, Any]:
    """Tell the player that a morph is being decoded; it keeps what it shows.

    Args:
        event: as `events.settle` calls it when it has ended; "" for any.
        job: the name under which the work can be asked about and stopped.
    """
    return {"rev": next_revision(), "working": True, "event": event, "job": job}
