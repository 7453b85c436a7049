"""The page's documented API, for scripts and other programs: what the tabs do, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import gradio as gr
import numpy as np

from glow_app.common.errors import UserError
from glow_app.editing import paths
from glow_app.editing.editor import Editor
from glow_app.keeping import export, recipes
from glow_app.keeping.recipes import Face, Recipe
from glow_app.pictures.prepare import Prepared
from glow_app.ui import limits
from glow_app.ui.components import finite
from glow_app.ui.errors import in_words
from glow_app.ui.events import HEAVY
from glow_app.ui.uploads import outgoing
from glow_app.ui.welcome import TEMPERATURE

__all__ = ["build_api"]

_FORMATS = ("gif", "webp", "png", "mp4")

_ABOUT_MORPH = """Morph photo A into photo B with the exact flow.

Each photo is opened, turned upright, aligned by its face (or cropped at the centre) and resized
to the model's size. Returns [0] the animation, by default there and back, as a seamless loop that
starts with A; [1] facts: t (position of each frame), path_kind, frames, model, image_size,
clamped (share of colours that had to be clipped), clamped_frames (the same of each frame), norms
(size of z at each frame and level, finest first, 1 = a draw at temperature 1), and for each photo
in photos: bits_per_dim (null when off the scale), roundtrip_max_levels (0 = exact), aligned,
notes."""

_ABOUT_JOURNEY = """Morph through two to eight photos.

frames are those of one leg, both its photos included. With loop the last leg leads back to the
first photo, which is not repeated, so that the animation runs round without a jump. Returns [0]
the animation, one way; [1] facts as /morph, and stops: the frame of each photo."""

_ABOUT_MIX = """Mix two photos scale by scale.

weights has one number for each level of the flow, finest first: 0 takes the level from A, 1 from
B. Returns [0] the picture (PNG); [1] facts: clamped, levels (height and width of each level)."""

_ABOUT_EDIT = """Move a photo's code along learned directions.

strengths gives a number for each direction by name, in units of the difference between the two
groups of pictures it was learned from; /directions lists them. toward moves it to the average
face first, 0 to 1. Returns [0] the picture (PNG); [1] facts: clamped."""

_ABOUT_DIRECTIONS = """The directions that come with this model: name, accuracy on held-out
pictures (0.5 is chance), effect_size, weak (whether it means little), words for both ends."""

_ABOUT_AVERAGE = """The average face of 1 to 64 photos: the picture of the mean of their codes."""

_ABOUT_SAMPLE = """Draw faces that do not exist from the model's prior.

Face i of n with seed s is the face of seed s + i, so results can be reproduced one by one.
Returns the faces as PNG files at the model's size."""

_ABOUT_NEIGHBOURS = """Draw faces near the face of a seed.

radius 0 is the face itself, 1 has nothing to do with it. Returns n PNG files at the model's
size."""

_ABOUT_OPEN = """Read how a file made here was made: its settings and seeds, never photos.

The key path_kind names the path."""


def _number(value: float, label: str) -> gr.Number:
    """A number that leaves checking to our handlers, whose refusals are sentences."""
    component = gr.Number(value, label=label)
    component.preprocess = lambda payload: payload  # a subclass would need its own frontend
    return component


def _file(label: str, many: bool = False) -> gr.File:
    """A file; unlike ``gr.Image`` it reaches our one door for pictures untouched."""
    component = gr.File(label=label, type="filepath", file_count="multiple" if many else "single")
    one = {"path": "face.jpg", "url": "face.jpg", "meta": {"_type": "gradio.FileData"}}
    component.example_payload = lambda: [one, one] if many else one
    return component


def _facts(recipe: Recipe) -> dict[str, Any]:
    """A recipe as JSON facts."""
    facts = asdict(recipe)
    facts["path_kind"] = facts.pop("path")  # clients take an object with that key for a file
    return facts


class _Endpoints:
    """What the endpoints do; the names of the arguments are those of the API."""

    def __init__(self, editor: Editor) -> None:
        self.editor = editor

    def _prepared(self, **photos: str | None) -> list[Prepared]:
        missing = [name for name, photo in photos.items() if not photo]
        if missing:
            many = "two photos" if len(photos) > 1 else "a photo"
            raise UserError(f"This needs {many}: {missing[0]} is missing.")
        return [self.editor.prepare(photo) for photo in photos.values()]

    def _several(self, photos: list[str] | None, low: int, high: int) -> list[Prepared]:
        if not isinstance(photos, list) or not low <= len(photos) <= high:
            raise UserError(f"photos must be {low} to {high} photos.")
        return [self.editor.prepare(photo) for photo in photos]

    def _about(self, prepared: list[Prepared]) -> list[dict[str, Any]]:
        readings = [self.editor.read(one.pixels) for one in prepared]
        return [
            {
                "bits_per_dim": finite(reading.bits_per_dim),
                "roundtrip_max_levels": reading.roundtrip_max_levels,
                "aligned": one.aligned,
                "notes": list(one.notes),
            }
            for one, reading in zip(prepared, readings, strict=True)
        ]

    def _recipe(self, kind: str, **more: Any) -> Recipe:
        editor = self.editor
        return Recipe(kind=kind, checkpoint=editor.name, fingerprint=editor.fingerprint, **more)

    def _animation(
        self, result: Any, recipe: Recipe, prepared: list[Prepared], format: str
    ) -> tuple[str, dict[str, Any]]:
        file = outgoing(recipe.file_name(f".{format}"))
        export.save_animation(
            result.frames,
            file,
            size=recipe.size,
            fps=recipe.fps,
            there_and_back=recipe.there_and_back,
            metadata=recipe.to_metadata(),
        )
        facts = {
            "model": self.editor.name,
            "path_kind": recipe.path,
            "frames": len(result.frames),
            "image_size": self.editor.image_size,
            "t": [round(float(t), 6) for t in result.t],
            "stops": list(result.stops),
            "clamped": result.clamped,
            "clamped_frames": [round(float(share), 6) for share in result.clamped_frames],
            "norms": np.round(result.norms.astype(float), 4).tolist(),
            "photos": self._about(prepared),
        }
        return str(file), facts

    def _still(self, pixels: np.ndarray, recipe: Recipe) -> str:
        file = outgoing(recipe.file_name(".png"))
        export.save_still(pixels, file, size=recipe.size, metadata=recipe.to_metadata())
        return str(file)

    def morph(
        self,
        photo_a: str | None,
        photo_b: str | None,
        frames: float = limits.FRAMES,
        path: str = "linear",
        format: str = "gif",
        size: float = 256,
        sharpness: float | None = None,
        t_from: float = 0,
        t_to: float = 1,
        constant_speed: bool = False,
        fps: float = 25,
        there_and_back: bool = True,
    ) -> tuple[str, dict[str, Any]]:
        count = limits.whole(frames, "frames", 2, limits.MAX_FRAMES)
        limits.one_of(path, "path", paths.PATHS)
        limits.one_of(format, "format", _FORMATS)
        side, rate = limits.download_size(size), limits.between(fps, "fps", 1, 50)
        if sharpness is not None:
            sharpness = limits.between(sharpness, "sharpness", 0, 1)
        t_range = tuple(
            limits.between(t, name, *limits.BEYOND)
            for name, t in (("t_from", t_from), ("t_to", t_to))
        )
        prepared = self._prepared(photo_a=photo_a, photo_b=photo_b)
        a, b = (one.pixels for one in prepared)
        how = {
            "sharpness": sharpness,
            "t_range": t_range,
            "constant_speed": bool(constant_speed),
        }
        result = self.editor.morph_frames(a, b, count, path, **how)
        recipe = self._recipe(
            "morph",
            faces=(Face(), Face()),
            path=path,
            frames=count,
            size=side,
            fps=rate,
            there_and_back=bool(there_and_back),
            **how,
        )
        return self._animation(result, recipe, prepared, format)

    def journey(
        self,
        photos: list[str] | None,
        frames: float = limits.LEG_FRAMES,
        path: str = "cubic",
        loop: bool = True,
        constant_speed: bool = False,
        format: str = "gif",
        size: float = 256,
        fps: float = 25,
    ) -> tuple[str, dict[str, Any]]:
        count = limits.whole(frames, "frames", 2, limits.FRAMES)
        limits.one_of(path, "path", paths.JOURNEYS)
        limits.one_of(format, "format", _FORMATS)
        side, rate = limits.download_size(size), limits.between(fps, "fps", 1, 50)
        prepared = self._several(photos, 2, limits.MAX_FACES)
        how = {"constant_speed": bool(constant_speed)}
        pictures = [one.pixels for one in prepared]
        result = self.editor.journey(pictures, count, path, bool(loop), **how)
        recipe = self._recipe(
            "journey",
            faces=(Face(),) * len(prepared),
            path=path,
            loop=bool(loop),
            frames=count,
            size=side,
            fps=rate,
            **how,
        )
        return self._animation(result, recipe, prepared, format)

    def mix(
        self,
        photo_a: str | None,
        photo_b: str | None,
        weights: list[float] | None = None,
        size: float = 256,
    ) -> tuple[str, dict[str, Any]]:
        levels = len(self.editor.level_shapes)
        if not isinstance(weights, list) or len(weights) != levels:
            raise UserError(f"weights must be a list of {levels} numbers, finest level first.")
        row = [limits.between(weight, "A weight", *limits.BEYOND) for weight in weights]
        side = limits.download_size(size)
        a, b = (one.pixels for one in self._prepared(photo_a=photo_a, photo_b=photo_b))
        still = self.editor.mix(a, b, row)
        recipe = self._recipe("mix", faces=(Face(), Face()), weights=tuple(row), size=side)
        shapes = [shape[1:] for shape in self.editor.level_shapes]
        return self._still(still.pixels, recipe), {"clamped": still.clamped, "levels": shapes}

    def edit(
        self,
        photo: str | None,
        strengths: dict[str, float] | None = None,
        toward: float = 0,
        size: float = 256,
    ) -> tuple[str, dict[str, Any]]:
        known = {direction.name: direction for direction in self.editor.directions()}
        strengths = {} if strengths is None else strengths
        if not isinstance(strengths, dict):
            raise UserError("strengths must be numbers by the names of directions.")
        strange = sorted(set(strengths) - set(known))
        if strange:
            names = ", ".join(known) or "none"
            raise UserError(f"There is no direction {strange[0]!r} here; there are: {names}.")
        ends = (-limits.MAX_STRENGTH, limits.MAX_STRENGTH)
        row = {
            name: limits.between(s, f"The strength of {name}", *ends)
            for name, s in strengths.items()
        }
        share = limits.between(toward, "toward", 0, 1)
        side = limits.download_size(size)
        (prepared,) = self._prepared(photo=photo)
        moves = [(known[name], strength) for name, strength in row.items()]
        still = self.editor.edit(prepared.pixels, moves, toward=share)
        recipe = self._recipe(
            "edit", faces=(Face(),), directions=tuple(row.items()), toward=share, size=side
        )
        return self._still(still.pixels, recipe), {"clamped": still.clamped}

    def directions(self) -> list[dict[str, Any]]:
        return [
            {
                "name": direction.name,
                "accuracy": direction.accuracy,
                "effect_size": direction.effect_size,
                "weak": direction.weak,
                "with": direction.with_words,
                "without": direction.without_words,
            }
            for direction in self.editor.directions()
        ]

    def average(self, photos: list[str] | None, size: float = 256) -> str:
        side = limits.download_size(size)
        prepared = self._several(photos, 1, limits.MAX_AVERAGE)
        code = self.editor.average([one.pixels for one in prepared])
        recipe = self._recipe("edit", toward=1.0, average="photos", size=side)
        return self._still(self.editor.decode(code)[0], recipe)

    def sample(self, n: float = 1, temperature: float = TEMPERATURE, seed: float = 0) -> list[str]:
        count = limits.whole(n, "n", 1, limits.MAX_SAMPLES)
        first = limits.seed(seed)
        spread = limits.temperature(temperature)
        faces = self.editor.sample(count, temperature=spread, seed=first)
        return [
            self._still(
                face,
                self._recipe("samples", faces=(Face(first + i, spread),), temperatures=(spread,)),
            )
            for i, face in enumerate(faces)
        ]

    def neighbours(
        self,
        seed: float = 0,
        n: float = 8,
        radius: float = 0.3,
        temperature: float = TEMPERATURE,
    ) -> list[str]:
        count = limits.whole(n, "n", 1, limits.MAX_SAMPLES)
        middle, spread = limits.seed(seed), limits.temperature(temperature)
        reach = limits.between(radius, "radius", 0, 1)
        faces = self.editor.neighbours(middle, count, reach, spread)
        recipe = self._recipe(
            "samples", faces=(Face(middle, spread),), temperatures=(spread,), radius=reach
        )
        return [self._still(face, recipe) for face in faces]

    def open(self, file: str | None) -> dict[str, Any]:
        if not file:
            raise UserError("A file is needed.")
        return _facts(recipes.read_morph(file))


def build_api(editor: Editor) -> None:
    """Add the endpoints to the Blocks whose context is open; nothing of them is visible."""
    does = _Endpoints(editor)
    frames = f"frames, 2 to {limits.MAX_FRAMES}"
    formats = "format, gif, webp, png (APNG) or mp4"
    low, high = limits.BEYOND

    def animations() -> list[Any]:
        return [gr.File(label="animation"), gr.JSON(label="facts")]

    def picture() -> list[Any]:
        return [gr.File(label="picture"), gr.JSON(label="facts")]

    def pictures() -> gr.File:
        return gr.File(label="faces", file_count="multiple")

    def size() -> gr.Number:
        return _number(256, f"size in pixels, {limits.MIN_SIZE} to {limits.MAX_SIZE}")

    def fps() -> gr.Number:
        return _number(25, "fps, 1 to 50")

    def temperature() -> gr.Number:
        return _number(TEMPERATURE, "temperature, 0 to 1.5")

    def endpoint(handler: Callable[..., Any], about: str, inputs: list[Any], out: Any) -> None:
        gr.Button().click(
            in_words(handler),
            inputs,
            out,
            api_name=handler.__name__,
            api_description=about,
            **HEAVY,
        )

    # Endpoints take their names, types and defaults from components; these are never shown.
    with gr.Row(visible=False):
        endpoint(
            does.morph,
            _ABOUT_MORPH,
            [
                _file("photo_a"),
                _file("photo_b"),
                _number(limits.FRAMES, frames),
                gr.Textbox("linear", label="path, linear or spherical"),
                gr.Textbox("gif", label=formats),
                size(),
                _number(None, "sharpness, 0 (linear) to 1 (spherical); null: as path says"),
                _number(0, f"t_from, {low:g} to {high:g}"),
                _number(1, f"t_to, {low:g} to {high:g}"),
                gr.Checkbox(False, label="constant_speed"),
                fps(),
                gr.Checkbox(True, label="there_and_back"),
            ],
            animations(),
        )
        endpoint(
            does.journey,
            _ABOUT_JOURNEY,
            [
                _file("photos", many=True),
                _number(limits.LEG_FRAMES, f"frames of a leg, 2 to {limits.FRAMES}"),
                gr.Textbox("cubic", label=f"path, {' or '.join(paths.JOURNEYS)}"),
                gr.Checkbox(True, label="loop"),
                gr.Checkbox(False, label="constant_speed"),
                gr.Textbox("gif", label=formats),
                size(),
                fps(),
            ],
            animations(),
        )
        endpoint(
            does.mix,
            _ABOUT_MIX,
            [_file("photo_a"), _file("photo_b"), gr.JSON(label="weights"), size()],
            picture(),
        )
        endpoint(
            does.edit,
            _ABOUT_EDIT,
            [
                _file("photo"),
                gr.JSON({}, label="strengths"),
                _number(0, "toward, 0 to 1"),
                size(),
            ],
            picture(),
        )
        endpoint(does.directions, _ABOUT_DIRECTIONS, [], gr.JSON(label="directions"))
        endpoint(
            does.average,
            _ABOUT_AVERAGE,
            [_file("photos", many=True), size()],
            gr.File(label="picture"),
        )
        endpoint(
            does.sample,
            _ABOUT_SAMPLE,
            [
                _number(1, f"n, 1 to {limits.MAX_SAMPLES}"),
                temperature(),
                _number(0, "seed of the first face"),
            ],
            pictures(),
        )
        endpoint(
            does.neighbours,
            _ABOUT_NEIGHBOURS,
            [
                _number(0, "seed"),
                _number(8, f"n, 1 to {limits.MAX_SAMPLES}"),
                _number(0.3, "radius, 0 to 1"),
                temperature(),
            ],
            pictures(),
        )
        endpoint(does.open, _ABOUT_OPEN, [_file("file")], gr.JSON(label="settings"))
