"""The page's documented API, for scripts and other programs: what the tabs do, by name.

Each public method of `Api` is an endpoint; its name, arguments, types, defaults and docstring are
those of the endpoint, and Gradio publishes them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import numpy as np
from gradio import FileData
from gradio.context import get_blocks_context
from gradio.events import api

from glow_app.common.errors import UserError
from glow_app.common.progress import Steps
from glow_app.editing.directions import Direction
from glow_app.editing.editor import Editor
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
from glow_app.ui.uploads import outgoing, uploaded_file

__all__ = ["Api", "build_api"]

_ANIMATIONS = ("gif", "webp", "png", "mp4")
_PHOTOS = ("jpg", "png")

# Types of arguments, with what a type alone cannot say.
_Size = Annotated[
    float | str,
    f'{limits.MIN_SIZE} to {limits.MAX_SIZE} pixels a side, or "native": as sharp as the photos',
]
_Rate = Annotated[float, "1 to 50"]
_Kappa = Annotated[float | None, "0 (from the photos) to 1 (from the model); null: the default"]
_Place = Annotated[float, "{:g} to {:g}".format(*limits.BEYOND)]
_Count = Annotated[float, f"1 to {limits.MAX_SAMPLES}"]
_Temperature = Annotated[float, "0 to 1.5"]
if TYPE_CHECKING:
    _Format = _PhotoFormat = _Path = _JourneyPath = _Ground = str
else:  # Gradio publishes the choices; type checkers want them spelled out
    _Format = Annotated[Literal[_ANIMATIONS], "png is APNG"]
    _PhotoFormat = Literal[_PHOTOS]
    _Path, _JourneyPath, _Ground = Literal[PATHS], Literal[JOURNEYS], Literal[GROUNDS]


class Api:
    """The endpoints, on one model. Arguments can be anything and are checked."""

    def __init__(self, editor: Editor) -> None:
        self._editor = editor

    # ---- animations -----------------------------------------------------------------------------

    def morph(
        self,
        photo_a: FileData,
        photo_b: FileData,
        frames: Annotated[float, f"2 to {limits.MAX_FRAMES}"] = limits.FRAMES,
        path: _Path = "linear",
        format: _Format = "gif",
        size: _Size = 256,
        t_from: _Place = 0,
        t_to: _Place = 1,
        constant_speed: bool = False,
        fps: _Rate = 25,
        there_and_back: bool = True,
        ground: _Ground = "switch",
        kappa: _Kappa = None,
        alone: bool = False,
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
        count = limits.whole(frames, "frames", 2, limits.MAX_FRAMES)
        limits.one_of(path, "path", PATHS)
        limits.one_of(format, "format", _ANIMATIONS)
        least = limits.download_size(size, limits.MIN_SIZE)  # native shows only with the photos
        limits.affordable(count, least)
        rate = limits.between(fps, "fps", 1, 50)
        first, last = (
            limits.between(t, name, *limits.BEYOND)
            for name, t in (("t_from", t_from), ("t_to", t_to))
        )
        prepared = self._prepared(photo_a=photo_a, photo_b=photo_b)
        how = MorphOptions(
            path=path,
            t_range=(first, last),
            constant_speed=bool(constant_speed),
            alone=bool(alone),
            frames=count,
            **_drawn(ground, kappa),
        )
        pace = {"fps": rate, "there_and_back": bool(there_and_back)}
        return self._written(prepared, how, size, pace, format)

    def journey(
        self,
        photos: list[FileData],
        frames: Annotated[float, f"of a leg, 2 to {limits.FRAMES}"] = limits.LEG_FRAMES,
        path: _JourneyPath = "cubic",
        loop: bool = True,
        constant_speed: bool = False,
        format: _Format = "gif",
        size: _Size = 256,
        fps: _Rate = 25,
        ground: _Ground = "switch",
        kappa: _Kappa = None,
        alone: bool = False,
    ) -> tuple[FileData, dict[str, Any]]:
        """Morph through two to eight photos.

        frames is the number of frames of one leg, both its photos included. With loop the last leg
        leads back to the first photo, which is not repeated, so that the animation runs round
        without a jump.

        Returns [0] the animation, one way; [1] facts as /morph, and stops: the frame of each
        photo.
        """
        count = limits.whole(frames, "frames", 2, limits.FRAMES)
        limits.one_of(path, "path", JOURNEYS)
        limits.one_of(format, "format", _ANIMATIONS)
        least = limits.download_size(size, limits.MIN_SIZE)  # native shows only with the photos
        limits.affordable(count, least)
        rate = limits.between(fps, "fps", 1, 50)
        prepared = self._several(photos, 2, limits.MAX_FACES)
        how = MorphOptions(
            kind="journey",
            path=path,
            loop=bool(loop),
            constant_speed=bool(constant_speed),
            alone=bool(alone),
            frames=count,
            **_drawn(ground, kappa),
        )
        return self._written(prepared, how, size, {"fps": rate}, format)

    # ---- single pictures ------------------------------------------------------------------------

    def mix(
        self,
        photo_a: FileData,
        photo_b: FileData,
        weights: list[float] | None = None,
        size: _Size = 256,
        shape: Annotated[float | None, "0 (A) to 1 (B); null: nothing is warped"] = None,
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
        limits.download_size(size, limits.MAX_SIZE)
        if shape is not None:
            shape = limits.between(shape, "shape", 0, 1)
        a, b = self._prepared(photo_a=photo_a, photo_b=photo_b)
        mixed = self._editor.mix(a, b, row, shape)
        side = limits.download_size(size, mixed.native)
        faces = (Origin(), Origin())
        recipe = Recipe.of(
            self._editor, "mix", faces=faces, weights=tuple(row), shape=shape, size=side
        )
        shapes = [shape[1:] for shape in self._editor.model.level_shapes]
        return _still(mixed.at(side), recipe), {"clamped": mixed.clamped, "levels": shapes}

    def edit(
        self,
        photo: FileData,
        strengths: dict[str, float] | None = None,
        toward: Annotated[float, "0 to 1"] = 0,
        size: _Size = 256,
    ) -> tuple[FileData, dict[str, Any]]:
        """Edit a photo: move it along learned directions.

        strengths gives a number for each direction by name, in its unit (deviations, degrees,
        years); /directions lists them. toward moves the face to the average face first, 0 to 1.

        Returns [0] the picture (PNG); [1] facts: clamped (share of colours that were clipped).
        """
        row, moves = self._moves(strengths)
        share = limits.between(toward, "toward", 0, 1)
        limits.download_size(size, limits.MAX_SIZE)
        (prepared,) = self._prepared(photo=photo)
        edited = self._editor.edit(prepared, moves, toward=share)
        side = limits.download_size(size, edited.native)
        recipe = Recipe.of(
            self._editor,
            "edit",
            faces=(Origin(),),
            directions=tuple(row.items()),
            toward=share,
            size=side,
        )
        return _still(edited.at(side), recipe), {"clamped": edited.clamped}

    def put_back(
        self,
        photo_a: FileData,
        photo_b: FileData | None = None,
        t: Annotated[float, "0 (A) to 1 (B)"] = 0.5,
        strengths: dict[str, float] | None = None,
        format: _PhotoFormat = "jpg",
    ) -> FileData:
        """Put a morphed or edited face back into its whole photo.

        With photo_b, the face at t, 0 (A) to 1 (B), of their morph goes into photo A below 0.5 and
        into photo B from there on. Without, photo A's own face is edited by strengths, as /edit
        does.

        Returns the photo in its full size, jpg (quality 95) or png, without any of its metadata.
        """
        limits.one_of(format, "format", _PHOTOS)
        row, moves = self._moves(strengths)
        place = limits.between(t, "t", 0, 1)
        if photo_b and moves:
            raise UserError("Give strengths or photo_b, not both.")
        names = {"photo_a": photo_a, **({"photo_b": photo_b} if photo_b else {})}
        prepared, origins = self._prepared(**names), (Origin(),) * len(names)
        which = int(len(prepared) == 2 and place >= 0.5)
        side = prepared[which].native
        if photo_b:
            result = self._editor.morph_frames(prepared[0], prepared[1], [place])
            recipe = Recipe.of(self._editor, "morph", faces=origins, way="photos", t=place)
        else:
            result = self._editor.edit(prepared[0], moves)
            recipe = Recipe.of(self._editor, "edit", faces=origins, directions=tuple(row.items()))
        face, shape = result.enlarged(side)[0], result.points[0].shape
        whole = put_back(_arrived(list(names.values())[which]), prepared[which], face, shape)
        return _made(save_photo(whole, outgoing(recipe.file_name(f"-in-photo.{format}"))))

    def directions(self) -> list[dict[str, Any]]:
        """List the directions that /edit takes.

        Returns for each: name, group, unit, low and high (the ends of its range), with and without
        (words for both ends), and truth: what was measured on held-out faces (slope: measured over
        asked; spread).
        """
        return [
            {
                "name": direction.name,
                "group": direction.group,
                "unit": direction.unit,
                "low": direction.low,
                "high": direction.high,
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
        limits.download_size(size, limits.MAX_SIZE)
        average = self._editor.average(self._several(photos, 1, limits.MAX_AVERAGE))
        side = limits.download_size(size, average.native)
        recipe = Recipe.of(self._editor, "edit", toward=1.0, average="photos", size=side)
        return _still(average.at(side), recipe)

    # ---- drawn faces ----------------------------------------------------------------------------

    def sample(
        self,
        n: _Count = 1,
        temperature: _Temperature = TEMPERATURE,
        seed: Annotated[float, "of the first face"] = 0,
    ) -> list[FileData]:
        """Draw faces that do not exist from the model's prior.

        Face i of n with seed s is the face of seed s + i, so results can be reproduced one by one.

        Returns the faces as PNG files at the model's size.
        """
        count = limits.whole(n, "n", 1, limits.MAX_SAMPLES)
        first = limits.seed(seed)
        spread = limits.temperature(temperature)
        faces = self._editor.sampler.sample(count, temperature=spread, seed=first)
        origins = [Origin(first + i, spread) for i in range(count)]
        return [
            _still(
                face, Recipe.of(self._editor, "samples", faces=(origin,), temperatures=(spread,))
            )
            for face, origin in zip(faces, origins, strict=True)
        ]

    def neighbours(
        self,
        seed: float = 0,
        n: _Count = 8,
        radius: Annotated[float, "0 to 1"] = 0.3,
        temperature: _Temperature = TEMPERATURE,
    ) -> list[FileData]:
        """Draw faces near the face of a seed.

        radius 0 is the face itself, 1 has nothing to do with it.

        Returns n PNG files at the model's size.
        """
        count = limits.whole(n, "n", 1, limits.MAX_SAMPLES)
        middle, spread = limits.seed(seed), limits.temperature(temperature)
        reach = limits.between(radius, "radius", 0, 1)
        faces = self._editor.sampler.neighbours(middle, count, reach, spread)
        recipe = Recipe.of(
            self._editor,
            "samples",
            faces=(Origin(middle, spread),),
            temperatures=(spread,),
            radius=reach,
        )
        return [_still(face, recipe) for face in faces]

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

    # ---- arguments ------------------------------------------------------------------------------

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
        steps, faces = Steps(len(photos)), []  # for nobody it goes on who has left
        for photo in photos:
            faces.append(self._editor.prepare(_arrived(photo)))
            steps.advance()
        return faces

    def _moves(
        self, strengths: dict[str, float] | None
    ) -> tuple[dict[str, float], list[tuple[Direction, float]]]:
        """Strengths that were asked for, by name and by direction."""
        known = {direction.name: direction for direction in self._editor.directions()}
        strengths = {} if strengths is None else strengths
        if not isinstance(strengths, dict):
            raise UserError("strengths must be numbers by the names of directions.")
        strange = sorted(set(strengths) - set(known))
        if strange:
            names = ", ".join(known) or "none"
            raise UserError(f"There is no direction {strange[0]!r} here; there are: {names}.")
        row = {
            name: limits.between(s, f"The strength of {name}", known[name].low, known[name].high)
            for name, s in strengths.items()
        }
        return row, [(known[name], strength) for name, strength in row.items()]

    def _written(
        self,
        prepared: list[Face],
        how: MorphOptions,
        size: Any,
        pace: dict[str, Any],
        format: str,
    ) -> tuple[FileData, dict[str, Any]]:
        *_, result = self._editor.travel(prepared, how)
        size = limits.download_size(size, result.native)
        origins = [Origin()] * len(prepared)
        recipe = Recipe.of_morph(self._editor, how, origins, size=size, **pace)
        return _made(animated(result, recipe, f".{format}")), {
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
            "photos": [self._about(one) for one in prepared],
        }

    def _about(self, one: Face) -> dict[str, Any]:
        reading = self._editor.read(one)
        return {
            "bits_per_dim": finite(reading.bits_per_dim),
            "roundtrip_max_levels": reading.roundtrip_max_levels,
            "aligned": one.aligned,
            "notes": list(one.notes),
        }


def _drawn(ground: Any, kappa: Any) -> dict[str, Any]:
    """Return ground and κ as they came, checked."""
    limits.one_of(ground, "ground", GROUNDS)
    return {
        "ground": ground,
        "kappa": None if kappa is None else limits.between(kappa, "kappa", 0, 1),
    }


def _arrived(file: Any) -> Path:
    """Return the uploaded file that an argument stands for, which can be anything.

    Gradio lets a mere text or an object without its mark through as they are, so this does not
    rely on what it checks.

    Raises:
        UserError: it is no file that was uploaded here.
    """
    if not isinstance(file, dict):
        raise UserError("A file has to be uploaded; its path or address alone will not do.")
    return uploaded_file(file.get("path"))


def _made(path: str | Path) -> FileData:
    """Return a file for the client to fetch."""
    path = Path(path)
    return FileData(path=str(path), orig_name=path.name, size=path.stat().st_size)


def _still(pixels: np.ndarray, recipe: Recipe) -> FileData:
    """Write one picture and return its file for the client."""
    return _made(written(recipe, save_still, pixels))


# ---- declarations: an endpoint is what the signature of its method says -------------------------

_EXAMPLE = {"path": "face.jpg", "url": "face.jpg", "meta": {"_type": "gradio.FileData"}}


def build_api(editor: Editor) -> None:
    """Add the endpoints to the Blocks whose context is open; nothing of them is visible."""
    endpoints = Api(editor)
    for name in vars(Api):
        if not name.startswith("_"):
            # Most of an average is finding its faces, up to 64: no morph waits for that.
            lane = LONG if name == "average" else HEAVY
            _endpoint(getattr(endpoints, name), {key: lane[key] for key in HEAVY})


def _endpoint(handler: Callable[..., Any], how: dict[str, Any]) -> None:
    """Add ``handler`` under its name to the Blocks whose context is open.

    Arguments, types and defaults are those of its signature, an ``Annotated`` type says what a
    type alone cannot, and the docstring is the description. The types are for the documentation:
    values arrive as the client sent them, and the handler checks each.

    Args:
        how: one of the kinds in `events`.
    """
    signature = inspect.signature(handler, eval_str=True)
    answer = event_handler(handler)
    answer.__signature__ = signature  # Gradio would take the type of the result for a text
    answer.__annotations__ = get_type_hints(handler)
    added = api(answer, api_name=handler.__name__, api_description=inspect.getdoc(handler), **how)
    page: Any = get_blocks_context()
    inputs: list[Any] = page.fns[added["id"]].inputs
    for component, (name, about) in zip(inputs, signature.parameters.items(), strict=True):
        component.label = ", ".join([name, *getattr(about.annotation, "__metadata__", ())])
        kind = answer.__annotations__[name]
        if "FileData" in str(kind):  # or the documentation would write "..." for a file
            example = [_EXAMPLE, _EXAMPLE] if "list" in str(kind) else _EXAMPLE
            component.example_payload = lambda example=example: example
