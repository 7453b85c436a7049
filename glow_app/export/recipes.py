"""The recipe inside every file that is made here: how it was made, so that it can be opened again.

A `Recipe` holds settings, seeds of drawn faces and names of directions, and never a photo, the
code of one (which decodes to it) or its file name. A morph of photos opens with its settings and
asks for the photos.

Files come from strangers: pydantic checks every value by the type it has here, unknown keys are
dropped, and bad values are refused in one sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError

from glow_app.common.errors import UserError
from glow_app.editing.options import Ground, MorphOptions
from glow_app.editing.paths import T_RANGE, JourneyPath
from glow_app.export.writing import MAX_SIZE, read_comment
from glow_app.faces.opening import printable

if TYPE_CHECKING:
    from glow_app.editing.editor import Editor
    from glow_app.faces.face import Face

Kind = Literal["morph", "journey", "mix", "edit", "samples"]
KINDS: tuple[str, ...] = get_args(Kind)
MADE_WITH = "Glow Studio"

_MAX_FILE_NAME = 120  # characters, without the suffix
_MAX_WORD = 60  # characters


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("not printable")
    return text[:_MAX_WORD]


def _in_order(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] >= ends[1]:
        raise ValueError("not in order")
    return ends


_Item = TypeVar("_Item")
_Row = Annotated[tuple[_Item, ...], Field(max_length=1000)]  # faces, directions, weights
_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Share = Annotated[_Number, Field(ge=0, le=1)]
_T = Annotated[_Number, Field(ge=T_RANGE[0], le=T_RANGE[1])]
_Temperature = Annotated[_Number, Field(ge=0, le=10)]
_Strength = Annotated[_Number, Field(ge=-1000, le=1000)]
_Whole = Annotated[int, Field(strict=True)]
_Yes = Annotated[bool, Field(strict=True)]
_Word = Annotated[str, Field(strict=True), AfterValidator(_printable)]


def _current_path(path: Any) -> Any:
    """Replace a path that only older versions had."""
    return "linear" if path == "shell" else path


@dataclass(frozen=True)
class Origin:
    """Where one of the faces of a file came from: seed and temperature of a drawn one, or, without
    a seed, a photo."""

    seed: Annotated[_Whole, Field(ge=0, le=2**32 - 1)] | None = None
    temperature: _Temperature | None = None

    @classmethod
    def of(cls, face: Face) -> Origin:
        """Return the origin of a face."""
        return cls(face.seed, face.temperature)

    def to_metadata(self) -> dict[str, Any]:
        """Return it as JSON data."""
        if self.seed is None:
            return {"photo": True}
        return {"seed": self.seed, "temperature": self.temperature}


@dataclass(frozen=True)
class Recipe:
    """How a file was made; defaults are not stored.

    Types are checked when a file is read, not when this program makes a recipe.

    Attributes:
        kind: one of `KINDS`.
        checkpoint: name of the model (`Editor.name`).
        fingerprint: of its weights (`Editor.fingerprint`).
        faces: in order; of samples, the first one of each sheet with its seed.
        way: "photos" where photos carry the picture, "model" where it draws alone.
        path, ground, kappa, t_range, constant_speed, loop, frames: see `MorphOptions`.
        t: of a single frame of a morph.
        size: pixels a side of each frame.
        fps, there_and_back: as in `animation.save_animation`.
        directions: name and strength of each direction of an edit.
        toward: how far an edit went towards the average.
        average: which one: "" for that of the model, "photos" for one of the user's photos.
        weights: of a mix, one a level, finest first.
        shape: of a mix, to which both faces were warped; None: neither was.
        temperatures: rows of a sheet of samples.
        radius: of a sheet of neighbours.
    """

    kind: Kind = "morph"
    checkpoint: _Word = ""
    fingerprint: _Word = ""
    faces: _Row[Origin] = ()
    path: Annotated[JourneyPath, BeforeValidator(_current_path)] = "linear"
    way: Literal["photos", "model"] = "model"
    ground: Ground = "switch"
    kappa: _Share | None = None
    t_range: Annotated[tuple[_T, _T], AfterValidator(_in_order)] = (0.0, 1.0)
    t: _T | None = None
    constant_speed: _Yes = False
    loop: _Yes = False
    frames: Annotated[_Whole, Field(ge=2, le=100_000)] | None = None
    size: Annotated[_Whole, Field(ge=1, le=MAX_SIZE)] | None = None
    fps: Annotated[_Number, Field(gt=0, le=100)] | None = None
    there_and_back: _Yes = False
    directions: _Row[tuple[_Word, _Strength]] = ()
    toward: _Share = 0.0
    average: Literal["", "photos"] = ""
    weights: _Row[_T] = ()
    shape: _Share | None = None
    temperatures: _Row[_Temperature] = ()
    radius: _Share | None = None

    @classmethod
    def of(
        cls, editor: Editor, kind: str, faces: Iterable[Origin] = (), **settings: Any
    ) -> Recipe:
        """Return the recipe of something that `editor` made; `settings` are the other fields."""
        known = {"kind": kind, "checkpoint": editor.name, "fingerprint": editor.fingerprint}
        return cls(**known, faces=tuple(faces), **settings)

    @classmethod
    def of_morph(
        cls, editor: Editor, options: MorphOptions, faces: Iterable[Origin], **settings: Any
    ) -> Recipe:
        """Return the recipe of a morph or a journey; `settings` are other fields."""
        shared = {f.name for f in fields(options)} & {f.name for f in fields(cls)}
        known: dict[str, Any] = {name: getattr(options, name) for name in shared}
        known["way"] = "model" if options.alone else "photos"
        return cls.of(editor, **{**known, "faces": faces, **settings})

    def to_metadata(self) -> dict[str, Any]:
        """Return JSON data for the `metadata` of the writers of this package."""
        about: dict[str, Any] = {"made_with": MADE_WITH, "kind": self.kind, "path": self.path}
        for f in fields(self):
            value = getattr(self, f.name)
            if value != f.default:
                about[f.name] = value
        if self.faces:
            about["faces"] = [face.to_metadata() for face in self.faces]
        return about

    @classmethod
    def from_metadata(cls, about: Any, source: str = "This file") -> Recipe:
        """Return the recipe of what `to_metadata` made; `source` is its name in messages.
        Raises UserError: this is not such data, or a value in it is out of range."""
        if about is None:
            raise UserError(
                f"{source} holds no settings: either it was not made by Glow Studio, or a program "
                "that it went through has removed them, as messengers do."
            )
        if not isinstance(about, dict) or about.get("made_with") != MADE_WITH:
            raise UserError(f"{source} was not made by Glow Studio.")
        known = {f.name: about[f.name] for f in fields(cls) if about.get(f.name) is not None}
        if about.get("guide") is True:  # in files of before there was a choice of ways
            known.setdefault("way", "photos")
        try:
            return _ADAPTER.validate_python(known)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False)[0]["loc"][0]
            raise UserError(f"{source} holds an odd setting: {wrong}.") from error

    def file_name(self, suffix: str) -> str:
        """Return a name that tells what is inside, such as "glow-morph-linear-33-frames.gif"."""
        words = ["glow", self.kind, *getattr(self, f"_{self.kind}_words")()]
        name = re.sub(r"[^A-Za-z0-9.+_-]+", "-", "-".join(words)).strip("-.")
        return name[:_MAX_FILE_NAME] + suffix

    def _morph_words(self) -> list[str]:
        words = ["model-alone", self.path] if self.way == "model" else [self.path]
        if self.ground != "switch":
            words.append(f"ground-{self.ground}")
        if self.kappa is not None:
            words.append(f"kappa-{self.kappa:g}")
        if self.t_range != (0.0, 1.0):
            words.append("t{:g}to{:g}".format(*self.t_range))
        if self.constant_speed:
            words.append("even")
        if self.t is not None:
            words.append(f"at-{self.t:.3f}")
        elif self.frames is not None:
            words.append(f"{self.frames}-frames")
        return words

    def _journey_words(self) -> list[str]:
        loop = ["loop"] if self.loop else []
        return [f"{len(self.faces)}-faces", *loop, *self._morph_words()]

    def _mix_words(self) -> list[str]:
        return ["-".join(f"{weight:g}" for weight in self.weights)]

    def _edit_words(self) -> list[str]:
        words = [f"{name}{strength:+g}" for name, strength in self.directions]
        average = f"{self.average}-average" if self.average else "average"
        return [*words, *([f"{average}+{self.toward:g}"] if self.toward else [])]

    def _samples_words(self) -> list[str]:
        words = [f"seed-{face.seed}" for face in self.faces[:1]]
        if self.radius is not None:
            words.append(f"near-{self.radius:g}")
        return [*words, *(f"t{temperature:g}" for temperature in self.temperatures)]


_ADAPTER = TypeAdapter(Recipe)


def read_recipe(path: str | Path) -> Recipe:
    """Read how a file was made, see `writing.read_comment`.
    Raises UserError: it cannot be read, or was not made by this program."""
    return Recipe.from_metadata(read_comment(path), printable(Path(path).name))
