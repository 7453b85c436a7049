"""What is stored in every file made here: how it was made, so that it can be opened again.

A `Recipe` holds settings, seeds of drawn faces and names of directions. It never holds a photo,
the code of one (which decodes to it) or its file name: whoever gets the file sees what it shows
and no more. A morph of photos opens with its settings and asks for the photos.

Files come from strangers, so `read_morph` believes nothing: every value is checked, whatever is
not known is left out, and what cannot be used is refused in one sentence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glow_app.common.errors import UserError
from glow_app.editing import paths
from glow_app.editing.walk import JOURNEY_PATHS
from glow_app.keeping.checked import number, row, span, whole, word, yes
from glow_app.keeping.notes import read_note
from glow_app.keeping.writing import MAX_SIZE
from glow_app.pictures.opening import printable

if TYPE_CHECKING:
    from glow_app.editing.editor import Editor

__all__ = ["KINDS", "Origin", "Recipe", "read_morph"]

KINDS: tuple[str, ...] = ("morph", "journey", "mix", "edit", "samples")
MADE_WITH = "Glow Studio"

_MAX_FILE_NAME = 120  # characters, without the suffix
_T = number(*paths.T_RANGE)
_SEED = whole(0, 2**32 - 1)
_TEMPERATURE = number(0, 10)


@dataclass(frozen=True)
class Origin:
    """Where one of the faces came from that a file was made of.

    Attributes:
        seed: of a drawn face; None for a photo, of which nothing is stored.
        temperature: of a drawn face.
    """

    seed: int | None = None
    temperature: float | None = None

    def to_metadata(self) -> dict[str, Any]:
        """JSON data."""
        if self.seed is None:
            return {"photo": True}
        return {"seed": self.seed, "temperature": self.temperature}

    @classmethod
    def from_metadata(cls, about: Any) -> Origin:
        """The way back; raises what odd data raise."""
        if about.get("seed") is None:
            return cls()
        warmth = about.get("temperature")
        return cls(_SEED(about["seed"]), None if warmth is None else _TEMPERATURE(warmth))


def _strength(value: Any) -> tuple[str, float]:
    name, strength = value
    return word()(name), number(-1000, 1000)(strength)


def _kept(default: Any, read: Callable[[Any], Any]) -> Any:
    """A field of a recipe: its default, which is not stored, and the check of what is read."""
    return field(default=default, metadata={"read": read})


@dataclass(frozen=True)
class Recipe:
    """How a file was made; whatever does not apply keeps its default and is not stored.

    A new field is one line here and one in the list below; older files open with its default.

    Attributes:
        kind: one of `KINDS`.
        checkpoint: name of the model (`Editor.name`).
        fingerprint: of its weights (`Editor.fingerprint`).
        faces: in order; of samples, the first one of each sheet with its seed.
        path: one of `walk.JOURNEY_PATHS`.
        sharpness, t_range, constant_speed, loop, frames: as in `Editor.morph_frames` and
            `Editor.journey`; frames are those of one leg.
        guide: whether the shape of the faces led the way.
        t: of a single frame of a morph.
        size: pixels a side of each frame.
        fps, there_and_back: as in `animation.save_animation`.
        directions: name and strength of each direction of an edit.
        toward: how far an edit went towards the average.
        average: which one: "" for that of the model, "photos" for that of the maker's own.
        weights: of a mix, one a level, finest first.
        shape: of a mix, to which both faces were warped; None: neither was.
        temperatures: rows of a sheet of samples.
        radius: of a sheet of neighbours.
    """

    kind: str = _kept("morph", word(*KINDS))
    checkpoint: str = _kept("", word())
    fingerprint: str = _kept("", word())
    faces: tuple[Origin, ...] = _kept((), row(Origin.from_metadata))
    path: str = _kept("linear", word(*JOURNEY_PATHS))
    sharpness: float | None = _kept(None, number(0, 1))
    guide: bool = _kept(False, yes)
    t_range: tuple[float, float] = _kept((0.0, 1.0), span(_T))
    t: float | None = _kept(None, _T)
    constant_speed: bool = _kept(False, yes)
    loop: bool = _kept(False, yes)
    frames: int | None = _kept(None, whole(2, 100_000))
    size: int | None = _kept(None, whole(1, MAX_SIZE))
    fps: float | None = _kept(None, number(math.ulp(0.0), 100))
    there_and_back: bool = _kept(False, yes)
    directions: tuple[tuple[str, float], ...] = _kept((), row(_strength))
    toward: float = _kept(0.0, number(0, 1))
    average: str = _kept("", word("photos"))
    weights: tuple[float, ...] = _kept((), row(_T))
    shape: float | None = _kept(None, number(0, 1))
    temperatures: tuple[float, ...] = _kept((), row(_TEMPERATURE))
    radius: float | None = _kept(None, number(0, 1))

    @classmethod
    def of(
        cls, editor: Editor, kind: str, faces: Iterable[Origin] = (), **settings: Any
    ) -> Recipe:
        """Of something of this `kind` that `editor` made; `settings` are the other fields."""
        checkpoint, fingerprint = editor.name, editor.fingerprint
        return cls(kind, checkpoint, fingerprint, faces=tuple(faces), **settings)

    def to_metadata(self) -> dict[str, Any]:
        """JSON data for the `metadata` of the writers beside this module."""
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
        """The way back from `to_metadata`; `source` is what sentences call it.

        Raises:
            UserError: this is not such data, or a value in it is out of range.
        """
        if not isinstance(about, dict) or about.get("made_with") != MADE_WITH:
            raise UserError(f"{source} was not made by Glow Studio.")
        values = {}
        for f in fields(cls):
            if about.get(f.name) is not None:
                try:
                    values[f.name] = f.metadata["read"](about[f.name])
                except (TypeError, ValueError, KeyError, AttributeError) as error:
                    raise UserError(f"{source} holds an odd setting: {f.name}.") from error
        return cls(**values)

    def file_name(self, suffix: str) -> str:
        """A file name that tells what is inside, such as "glow-morph-linear-33-frames.gif"."""
        words = ["glow", self.kind, *getattr(self, f"_{self.kind}_words")()]
        name = re.sub(r"[^A-Za-z0-9.+_-]+", "-", "-".join(words)).strip("-.")
        return name[:_MAX_FILE_NAME] + suffix

    def _morph_words(self) -> list[str]:
        words = [self.path if self.sharpness is None else f"sharpness-{self.sharpness:g}"]
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


def read_morph(path: str | Path) -> Recipe:
    """How a file that was made here was made; no picture in it is decoded.

    Args:
        path: a .gif, .webp, .png or .mp4; the last needs PyAV.

    Raises:
        UserError: the file is missing, broken, of another kind or not made here, or PyAV is
            missing.
    """
    return Recipe.from_metadata(read_note(path), printable(Path(path).name))
