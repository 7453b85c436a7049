"""The page's documented API, for scripts and other programs: what the tabs do, by name.

Each public method of `Api` is an endpoint; its name, arguments, types, defaults and docstring are
those of the endpoint, and Gradio publishes them. The annotation of an argument has, beside its
type, words for the documentation and the check that makes of any value what the method gets.
"""

# pyright: reportInvalidTypeForm=false
# (functions make the types of arguments, for Gradio to publish)

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import numpy as np
from gradio import FileData
from gradio.context import get_blocks_context
from gradio.events import api

from glow_app.common.errors import UserError
from glow_app.common.progress import Steps
from glow_app.editing.directions import Direction
from glow_app.editing.editor import Editor, Still
from glow_app.editing.options import GROUNDS, MorphOptions
from glow_app.editing.paths import JOURNEYS, PATHS
from glow_app.export.recipes import Origin, Recipe, read_recipe
from glow_app.export.sheets import save_photo, save_still
from glow_app.faces.face import Face
from glow_app.faces.put_back import put_back
from glow_app.ui import limits
from glow_app.ui.downloads import animated, written
from glow_app.ui.encoding import finite
from glow_app.ui.events import HEAVY, LONG, event_handler
from glow_app.ui.page_faces import TEMPERATURE
from glow_app.ui.visitors import outgoing, uploaded_file


def _from(low: float, high: float, words: str = "{:g} to {:g}", whole: bool = False) -> Any:
    """Return the type of a number in a range, which ``words`` describe."""
    check = partial(limits.whole if whole else limits.between, low=low, high=high)
    return Annotated[float, words.format(low, high), check]


def _of(choices: tuple[str, ...], *words: str) -> Any:
    """Return the type of one of the choices, which Gradio publishes."""
    return Annotated[(Literal[choices], *words, partial(limits.one_of, choices=choices))]


def _or_null(value: Any, name: str) -> float | None:
    return None if value is None else limits.between(value, name, 0, 1)


def _size(value: Any, name: str) -> Any:
    """Return the size of a download as it came: what "native" is depends on the photos."""
    limits.download_size(value, limits.MAX_SIZE)
    return value


_Size = Annotated[
    float | str,
    f'{limits.MIN_SIZE} to {limits.MAX_SIZE} pixels a side, or "native": as sharp as the photos',
    _size,
]
_Kappa = Annotated[
    float | None, "0 (from the photos) to 1 (from the model); null: the default", _or_null
]
_Yes = Annotated[bool, lambda value, name: bool(value)]
_Seed = Annotated[float, lambda value, name: limits.seed(value)]
_Temperature = Annotated[float, "0 to 1.5", lambda value, name: limits.temperature(value)]
_Format = _of(("gif", "webp", "png", "mp4"), "png is APNG")
_PhotoFormat = _of(("jpg", "png"))
_Path, _JourneyPath, _Ground = _of(PATHS), _of(JOURNEYS), _of(GROUNDS)
_Frames = _from(2, limits.MAX_FRAMES, "{} to {}", whole=True)
_LegFrames = _from(2, limits.FRAMES, "of a leg, {} to {}", whole=True)
_Rate, _Place, _Share = _from(1, 50), _from(*limits.BEYOND), _from(0, 1)
_AtoB = _from(0, 1, "{} (A) to {} (B)")
_Count = _from(1, limits.MAX_SAMPLES, "{} to {}", whole=True)


class Api:
    """The endpoints, on one model. Its methods get checked arguments, but for files and rows."""

    def __init__(self, editor: Editor) -> None:
        self._editor = editor

    # ---- animations -----------------------------------------------------------------------------

    def morph(
        self,
        photo_a: FileData,
        photo_b: FileData,
        frames: _Frames = limits.FRAMES,
        path: _Path = "linear",
        format: _Format = "gif",
        size: _Size = 256,
        t_from: _Place = 0,
        t_to: _Place = 1,
        constant_speed: _Yes = False,
        fps: _Rate = 25,
        there_and_back: _Yes = True,
        ground: _Ground = "switch",
        kappa: _Kappa = None,
        alone: _Yes = False,
    ) -> tuple[FileData, dict[str, Any]]:
        """Morph photo A into photo B with the exact flow.

        Each photo is opened, turned upright and aligned by its face, or cropped at the centre
        where no face is found. Where both have landmarks, both are warped to the shape in between
        and carry the picture; the model decides what changes on the way, as far as kappa says.
        ground says whose hair, clothes and background are shown: those of A up to the middle and
        of B after it (switch), or those of one of them. With alone the model draws by itself, from
        the codes of the crops as they are: no photo and no warp.

        Returns [0] the animation, by default there and back, a seamless loop that starts with A;
        [1] facts: t (position of each frame), path_kind, warped (whether the photos were), frames
        (their number), model, image_size (pixels a side of the model), size (of the file), native
        (pixels a side up to which the photos have detail of their own), clamped (share of colours
        that had to be clipped), clamped_frames (the same of each frame), norms (size of z at each
        frame and level, finest first; 1 = a draw at temperature 1), and for each photo in photos:
        bits_per_dim (null when off the scale), roundtrip_max_levels (0 = exact), aligned, notes.
        """
        _check_affordable(frames, size)
        how = MorphOptions(
            path=path,
            t_range=(t_from, t_to),
            constant_speed=constant_speed,
            alone=alone,
            frames=frames,
            ground=ground,
            kappa=kappa,
        )
        prepared = self._prepared(photo_a=photo_a, photo_b=photo_b)
        return self._written(prepared, how, size, format, fps=fps, there_and_back=there_and_back)

    def journey(
        self,
        photos: list[FileData],
        frames: _LegFrames = limits.LEG_FRAMES,
        path: _JourneyPath = "cubic",
        loop: _Yes = True,
        constant_speed: _Yes = False,
        format: _Format = "gif",
        size: _Size = 256,
        fps: _Rate = 25,
        ground: _Ground = "switch",
        kappa: _Kappa = None,
        alone: _Yes = False,
    ) -> tuple[FileData, dict[str, Any]]:
        """Morph through two to eight photos.

        frames is the number of frames of one leg, both its photos included. With loop the last leg
        leads back to the first photo, which is not repeated, so that the animation runs round
        without a jump.

        Returns [0] the animation, one way; [1] facts as /morph, and stops: the frame of each
        photo.
        """
        _check_affordable(frames, size)
        how = MorphOptions(
            kind="journey",
            path=path,
            loop=loop,
            constant_speed=constant_speed,
            alone=alone,
            frames=frames,
            ground=ground,
            kappa=kappa,
        )
        prepared = self._several(photos, 2, limits.MAX_FACES)
        return self._written(prepared, how, size, format, fps=fps)

    # ---- single pictures ------------------------------------------------------------------------

    def mix(
        self,
        photo_a: FileData,
        photo_b: FileData,
        weights: list[float] | None = None,
        size: _Size = 256,
        shape: Annotated[float | None, "0 (A) to 1 (B); null: nothing is warped", _or_null] = None,
    ) -> tuple[FileData, dict[str, Any]]:
        """Mix two photos scale by scale.

        weights has one number for each level of the flow, finest first: 0 takes the level from A,
        1 from B. shape warps both faces to a shape between A's and B's first.

        Returns [0] the picture (PNG); [1] facts: clamped (share of colours that were clipped),
        levels (height and width of each level).
        """
        levels = len(self._editor.model.level_shapes)
        if not isinstance(weights, list) or len(weights) != levels:
            raise UserError(f"weights must be a list of {levels} numbers, finest level first.")
        row = [limits.between(weight, "A weight", *limits.BEYOND) for weight in weights]
        a, b = self._prepared(photo_a=photo_a, photo_b=photo_b)
        mixed = self._editor.mix(a, b, row, shape)
        picture = self._picture(mixed, size, "mix", 2, weights=tuple(row), shape=shape)
        shapes = [shape[1:] for shape in self._editor.model.level_shapes]
        return picture, {"clamped": mixed.clamped, "levels": shapes}

    def edit(
        self,
        photo: FileData,
        strengths: dict[str, float] | None = None,
        toward: _Share = 0,
        size: _Size = 256,
    ) -> tuple[FileData, dict[str, Any]]:
        """Edit a photo: move it along learned directions.

        strengths gives a number for each direction by name, in its unit (deviations, degrees,
        years); /directions lists them. toward moves the face to the average face first, 0 to 1.

        Returns [0] the picture (PNG); [1] facts: clamped (share of colours that were clipped).
        """
        moves = self._moves(strengths)
        (face,) = self._prepared(photo=photo)
        edited = self._editor.edit(face, moves, toward=toward)
        named = tuple((direction.name, strength) for direction, strength in moves)
        picture = self._picture(edited, size, "edit", 1, directions=named, toward=toward)
        return picture, {"clamped": edited.clamped}

    def put_back(
        self,
        photo_a: FileData,
        photo_b: FileData | None = None,
        t: _AtoB = 0.5,
        strengths: dict[str, float] | None = None,
        format: _PhotoFormat = "jpg",
    ) -> FileData:
        """Put a morphed or edited face back into its whole photo.

        With photo_b, the face at t, 0 (A) to 1 (B), of their morph goes into photo A below 0.5 and
        into photo B from there on. Without, photo A's own face is edited by strengths, as /edit
        does.

        Returns the photo in its full size, jpg (quality 95) or png, without any of its metadata.
        """
        moves = self._moves(strengths)
        if photo_b and moves:
            raise UserError("Give strengths or photo_b, not both.")
        if photo_b:
            faces = self._prepared(photo_a=photo_a, photo_b=photo_b)
            result = self._editor.morph_frames(faces[0], faces[1], [t])
            recipe = self._recipe("morph", 2, way="photos", t=t)
        else:
            faces = self._prepared(photo_a=photo_a)
            result = self._editor.edit(faces[0], moves)
            named = tuple((direction.name, strength) for direction, strength in moves)
            recipe = self._recipe("edit", 1, directions=named)
        photo, face = (photo_b, faces[1]) if photo_b and t >= 0.5 else (photo_a, faces[0])
        picture, shape = result.enlarged(face.native)[0], result.points[0].shape
        whole = put_back(_arrived(photo), face, picture, shape)
        return _made(save_photo(whole, outgoing(recipe.file_name(f"-in-photo.{format}"))))

    def directions(self) -> list[dict[str, Any]]:
        """List the directions that /edit takes.

        Returns for each: name, group, unit, low and high (the ends of its range), with and without
        (words for both ends), and truth: what was measured on held-out faces (slope: measured over
        asked; spread).
        """
        plain = ("name", "group", "unit", "low", "high")
        return [
            {
                **{name: getattr(direction, name) for name in plain},
                "with": direction.with_words,
                "without": direction.without_words,
                "truth": direction.facts.get("truth", {}),
            }
            for direction in self._editor.directions()
        ]

    def average(self, photos: list[FileData], size: _Size = 256) -> FileData:
        """Make the average face of 1 to 64 photos: their mean shape, and equal parts of all.

        Returns the picture (PNG).
        """
        average = self._editor.average(self._several(photos, 1, limits.MAX_AVERAGE))
        return self._picture(average, size, "edit", 0, toward=1.0, average="photos")

    # ---- drawn faces ----------------------------------------------------------------------------

    def sample(
        self,
        n: _Count = 1,
        temperature: _Temperature = TEMPERATURE,
        seed: Annotated[_Seed, "of the first face"] = 0,
    ) -> list[FileData]:
        """Draw faces that do not exist from the model's prior.

        Face i of n with seed s is the face of seed s + i, so results can be reproduced one by one.

        Returns the faces as PNG files at the model's size.
        """
        faces = self._editor.sampler.sample(n, temperature=temperature, seed=seed)
        return [self._drawn(face, seed + i, temperature) for i, face in enumerate(faces)]

    def neighbours(
        self,
        seed: _Seed = 0,
        n: _Count = 8,
        radius: _Share = 0.3,
        temperature: _Temperature = TEMPERATURE,
    ) -> list[FileData]:
        """Draw faces near the face of a seed.

        radius 0 is the face itself, 1 has nothing to do with it.

        Returns n PNG files at the model's size.
        """
        faces = self._editor.sampler.neighbours(seed, n, radius, temperature)
        return [self._drawn(face, seed, temperature, radius=radius) for face in faces]

    # ---- files ----------------------------------------------------------------------------------

    def open(self, file: FileData) -> dict[str, Any]:
        """Read how a file made here was made.

        Returns its settings and the seeds of drawn faces, never photos; the key path_kind names
        the path.
        """
        if not file:
            raise UserError("A file is needed.")
        facts = asdict(read_recipe(_arrived(file)))
        facts["path_kind"] = facts.pop("path")  # clients take an object with that key for a file
        return facts

    # ---- photos in, files out -------------------------------------------------------------------

    def _prepared(self, **photos: FileData | None) -> list[Face]:
        """Prepare photos by the names of their arguments; none may be missing."""
        missing = [name for name, photo in photos.items() if not photo]
        if missing:
            many = "two photos" if len(photos) > 1 else "a photo"
            raise UserError(f"This needs {many}: {missing[0]} is missing.")
        return [self._editor.prepare(_arrived(photo)) for photo in photos.values()]

    def _several(self, photos: list[FileData] | None, low: int, high: int) -> list[Face]:
        """Prepare the list of photos, ``low`` to ``high`` of them."""
        if not isinstance(photos, list) or not low <= len(photos) <= high:
            raise UserError(f"photos must be {low} to {high} photos.")
        steps, faces = Steps(len(photos)), []  # ends here for a visitor who has left
        for photo in photos:
            faces.append(self._editor.prepare(_arrived(photo)))
            steps.advance()
        return faces

    def _moves(self, strengths: dict[str, float] | None) -> list[tuple[Direction, float]]:
        """Return the directions that are asked for by name, each with its strength."""
        known = {direction.name: direction for direction in self._editor.directions()}
        strengths = {} if strengths is None else strengths
        if not isinstance(strengths, dict):
            raise UserError("strengths must be numbers by the names of directions.")
        if strange := sorted(set(strengths) - set(known)):
            names = ", ".join(known) or "none"
            raise UserError(f"There is no direction {strange[0]!r} here; there are: {names}.")
        moves = []
        for name, strength in strengths.items():
            low, high = known[name].low, known[name].high
            strength = limits.between(strength, f"The strength of {name}", low, high)
            moves.append((known[name], strength))
        return moves

    def _recipe(self, kind: Any, photos: int, **more: Any) -> Recipe:
        """Return what a file says that was made of so many photos."""
        return Recipe.of(self._editor, kind, faces=(Origin(),) * photos, **more)

    def _drawn(self, pixels: np.ndarray, seed: int, temperature: float, **more: Any) -> FileData:
        about = {"faces": [Origin(seed, temperature)], "temperatures": (temperature,), **more}
        return _still(pixels, Recipe.of(self._editor, "samples", **about))

    def _picture(self, still: Still, size: Any, kind: str, photos: int, **more: Any) -> FileData:
        side = limits.download_size(size, still.native)
        return _still(still.at(side), self._recipe(kind, photos, size=side, **more))

    def _written(
        self, prepared: list[Face], how: MorphOptions, size: Any, format: str, **pace: Any
    ) -> tuple[FileData, dict[str, Any]]:
        *_, result = self._editor.travel(prepared, how)
        size = limits.download_size(size, result.native)
        origins = [Origin()] * len(prepared)
        recipe = Recipe.of_morph(self._editor, how, origins, size=size, **pace)
        facts = {
            "model": self._editor.name,
            "path_kind": recipe.path,
            "warped": result.warped,
            "frames": len(result.frames),
            "image_size": self._editor.image_size,
            "size": recipe.size,
            "native": result.native,
            "t": [round(float(t), 6) for t in result.t],
            "stops": list(result.stops),
            "clamped": result.clamped,
            "clamped_frames": [round(float(share), 6) for share in result.clamped_frames],
            "norms": np.round(result.norms.astype(float), 4).tolist(),
            "photos": [
                {
                    "bits_per_dim": finite(reading.bits_per_dim),
                    "roundtrip_max_levels": reading.roundtrip_max_levels,
                    "aligned": one.aligned,
                    "notes": list(one.notes),
                }
                for one, reading in zip(prepared, map(self._editor.read, prepared), strict=True)
            ],
        }
        return _made(animated(result, recipe, f".{format}")), facts


def _check_affordable(frames: int, size: Any) -> None:
    # What "native" is shows only with the photos.
    limits.affordable(frames, limits.download_size(size, limits.MIN_SIZE))


def _arrived(file: Any) -> Path:
    """Return the uploaded file that an argument stands for, which can be anything: Gradio lets a
    mere text or an object without its mark through. Raises UserError: it was not uploaded here."""
    if not isinstance(file, dict):
        raise UserError("A file has to be uploaded; its path or address alone will not do.")
    return uploaded_file(file.get("path"))


def _made(path: str | Path) -> FileData:
    path = Path(path)
    return FileData(path=str(path), orig_name=path.name, size=path.stat().st_size)


def _still(pixels: np.ndarray, recipe: Recipe) -> FileData:
    return _made(written(recipe, save_still, pixels))


# ---- declarations: an endpoint is what the signature of its method says -------------------------

_EXAMPLE = {"path": "face.jpg", "url": "face.jpg", "meta": {"_type": "gradio.FileData"}}


def build_api(editor: Editor) -> None:
    """Add the endpoints to the Blocks whose context is open; nothing of them is visible."""
    endpoints = Api(editor)
    for name in vars(Api):
        if not name.startswith("_"):
            # Most of an average is finding its faces, up to 64: no morph waits for that.
            queue = LONG if name == "average" else HEAVY
            how = {key: queue[key] for key in ("concurrency_id", "concurrency_limit")}
            _endpoint(getattr(endpoints, name), how)


def _endpoint(handler: Callable[..., Any], how: dict[str, Any]) -> None:
    """Add ``handler`` under its name to the Blocks whose context is open, in the queue ``how``.

    Values arrive as the client sent them: the checks in the annotations come first.
    """
    signature = inspect.signature(handler, eval_str=True)

    @functools.wraps(handler)
    def checked(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        for name, value in given.arguments.items():
            for check in getattr(signature.parameters[name].annotation, "__metadata__", ()):
                if callable(check):
                    value = check(value, name)
            given.arguments[name] = value
        return handler(*given.args, **given.kwargs)

    answer = event_handler(checked)
    answer.__signature__ = signature  # Gradio would take the type of the result for a text
    answer.__annotations__ = get_type_hints(handler)
    added = api(answer, api_name=handler.__name__, api_description=inspect.getdoc(handler), **how)
    page: Any = get_blocks_context()
    inputs: list[Any] = page.fns[added["id"]].inputs
    for component, (name, about) in zip(inputs, signature.parameters.items(), strict=True):
        words = getattr(about.annotation, "__metadata__", ())
        component.label = ", ".join([name, *(w for w in words if isinstance(w, str))])
        kind = answer.__annotations__[name]
        if "FileData" in str(kind):  # or the documentation would write "..." for a file
            example = [_EXAMPLE, _EXAMPLE] if "list" in str(kind) else _EXAMPLE
            component.example_payload = lambda example=example: example
