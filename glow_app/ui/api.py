"""The page's documented API: ``/morph`` and ``/sample``, for scripts and other programs."""

from __future__ import annotations

import math
from typing import Any

import gradio as gr

from glow_app import export, latents
from glow_app.editor import Editor
from glow_app.ui import limits
from glow_app.ui.errors import Refusal, in_words
from glow_app.ui.events import HEAVY
from glow_app.ui.uploads import outgoing
from glow_app.ui.welcome import TEMPERATURE

__all__ = ["build_api"]

_FORMATS = ("gif", "webp", "png", "mp4")

_ABOUT_MORPH = """Morph photo A into photo B with the exact flow.

Each photo is opened, turned upright, aligned by its face (or cropped at the centre) and resized
to the model's size. Returns [0] the animation, there and back, as a seamless loop that starts
with A; [1] facts: t (position of each frame), path_kind, frames, model, image_size,
clamped (share of colours that had to be clipped), and for each photo in photos:
bits_per_dim (null when off the scale), roundtrip_max_levels (0 = exact), aligned,
notes."""

_ABOUT_SAMPLE = """Draw faces that do not exist from the model's prior.

Face i of n with seed s is the face of seed s + i, so results can be reproduced one by one.
Returns the faces as PNG files at the model's size."""


def _number(value: float, label: str) -> gr.Number:
    """A number that leaves checking to our handlers, whose refusals are sentences."""
    component = gr.Number(value, label=label)
    component.preprocess = lambda payload: payload  # a subclass would need its own frontend
    return component


def _photo(label: str) -> gr.File:
    """A picture file; unlike ``gr.Image`` it reaches our one door for pictures untouched."""
    component = gr.File(label=label, type="filepath")
    component.example_payload = lambda: {
        "path": "face.jpg",
        "url": "face.jpg",
        "meta": {"_type": "gradio.FileData"},
    }
    return component


def _finite(value: float) -> float | None:
    """JSON has no word for a number off the scale."""
    return round(value, 4) if math.isfinite(value) else None


def build_api(editor: Editor) -> None:
    """Add the endpoints to the Blocks whose context is open; nothing of them is visible."""

    @in_words
    def morph(
        photo_a: str | None,
        photo_b: str | None,
        frames: float = limits.FRAMES,
        path: str = "linear",
        format: str = "gif",
        size: float = 256,
    ) -> tuple[str, dict[str, Any]]:
        for name, photo in (("photo_a", photo_a), ("photo_b", photo_b)):
            if not photo:
                raise Refusal(f"A morph needs two photos: {name} is missing.")
        count = limits.whole(frames, "frames", 2, limits.MAX_FRAMES)
        limits.one_of(path, "path", latents.PATHS)
        limits.one_of(format, "format", _FORMATS)
        side = limits.download_size(size)
        prepared = [editor.prepare(photo) for photo in (photo_a, photo_b)]
        readings = [editor.read(one.pixels) for one in prepared]
        a, b = (one.pixels for one in prepared)
        result = editor.morph_frames(a, b, count, path)
        file = outgoing(f"glow-morph-{path}.{format}")
        about = {**editor.made_with(), "path": path, "frames": count}
        export.save_animation(result.frames, file, size=side, metadata=about)
        facts = {
            "model": editor.name,
            "path_kind": path,  # not "path": clients take an object with that key for a file
            "frames": count,
            "image_size": editor.image_size,
            "t": [round(float(t), 6) for t in result.t],
            "clamped": result.clamped,
            "photos": [
                {
                    "bits_per_dim": _finite(reading.bits_per_dim),
                    "roundtrip_max_levels": reading.roundtrip_max_levels,
                    "aligned": one.aligned,
                    "notes": list(one.notes),
                }
                for one, reading in zip(prepared, readings, strict=True)
            ],
        }
        return str(file), facts

    @in_words
    def sample(n: float = 1, temperature: float = TEMPERATURE, seed: float = 0) -> list[str]:
        count = limits.whole(n, "n", 1, limits.MAX_SAMPLES)
        first = limits.seed(seed)
        spread = limits.temperature(temperature)
        faces = editor.sample(count, temperature=spread, seed=first)
        files = []
        for i, face in enumerate(faces):
            file = outgoing(f"glow-face-{first + i}.png")
            about = {**editor.made_with(), "seed": first + i, "temperature": spread}
            export.save_still(face, file, metadata=about)
            files.append(str(file))
        return files

    # Endpoints take their names, types and defaults from components; these are never shown.
    with gr.Row(visible=False):
        gr.Button().click(
            morph,
            [
                _photo("photo_a"),
                _photo("photo_b"),
                _number(limits.FRAMES, f"frames, 2 to {limits.MAX_FRAMES}"),
                gr.Textbox("linear", label="path, linear or spherical"),
                gr.Textbox("gif", label="format, gif, webp, png (APNG) or mp4"),
                _number(256, f"size in pixels, {limits.MIN_SIZE} to {limits.MAX_SIZE}"),
            ],
            [gr.File(label="animation"), gr.JSON(label="facts")],
            api_name="morph",
            api_description=_ABOUT_MORPH,
            **HEAVY,
        )
        gr.Button().click(
            sample,
            [
                _number(1, f"n, 1 to {limits.MAX_SAMPLES}"),
                _number(TEMPERATURE, "temperature, 0 to 1.5"),
                _number(0, "seed of the first face"),
            ],
            gr.File(label="faces", file_count="multiple"),
            api_name="sample",
            api_description=_ABOUT_SAMPLE,
            **HEAVY,
        )
