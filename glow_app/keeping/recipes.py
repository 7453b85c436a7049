"""What is stored in every file made here: how it was made, so that it can be opened again.

A `Recipe` holds settings, seeds of drawn faces and names of directions. It never holds a photo,
the code of one (which decodes to it) or its file name: whoever gets the file sees what it shows
and no more. A morph of photos opens with its settings and asks for the photos.

Files come from strangers, so `read_morph` believes nothing: every value is checked, whatever is
not known is left out, and what cannot be used is refused in one sentence.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from PIL import Image

from glow_app.common.errors import UserError
from glow_app.editing import paths
from glow_app.keeping import export
from glow_app.pictures.opening import printable

__all__ = ["KINDS", "Face", "Recipe", "read_morph"]

KINDS: tuple[str, ...] = ("morph", "journey", "mix", "edit", "samples")
MADE_WITH = "Glow Studio"

_MAX_NOTE = 100_000  # characters
_MAX_FILE = 200_000_000  # bytes
_MAX_ITEMS = 1000  # faces, directions, weights
_MAX_NAME = 60  # characters of a name; of a file name twice that
_FORMATS = ("GIF", "WEBP", "PNG")


@dataclass(frozen=True)
class Face:
    """One of the faces that a file was made of.

    Attributes:
        seed: of a drawn face; None for a photo, of which nothing is stored.
        temperature: of a drawn face.
    """

    seed: int | None = None
    temperature: float | None = None


@dataclass(frozen=True)
class Recipe:
    """How a file was made; whatever does not apply keeps its default and is not stored.

    Attributes:
        kind: one of `KINDS`.
        checkpoint: name of the model (`Editor.name`).
        fingerprint: of its weights (`Editor.fingerprint`).
        faces: in order; of samples, the first one of each sheet with its seed.
        path: one of `paths.JOURNEYS`.
        sharpness, t_range, constant_speed, loop, frames: as in `Editor.morph_frames` and
            `Editor.journey`; frames are those of one leg.
        t: of a single frame of a morph.
        size: pixels a side of each frame.
        fps, there_and_back: as in `export.save_animation`.
        directions: name and strength of each direction of an edit.
        toward: how far an edit went towards the average.
        average: which one: "" for that of the model, "photos" for that of the maker's own.
        weights: of a mix, one a level, finest first.
        temperatures: rows of a sheet of samples.
        radius: of a sheet of neighbours.
    """

    kind: str = "morph"
    checkpoint: str = ""
    fingerprint: str = ""
    faces: tuple[Face, ...] = ()
    path: str = "linear"
    sharpness: float | None = None
    t_range: tuple[float, float] = (0.0, 1.0)
    t: float | None = None
    constant_speed: bool = False
    loop: bool = False
    frames: int | None = None
    size: int | None = None
    fps: float | None = None
    there_and_back: bool = False
    directions: tuple[tuple[str, float], ...] = ()
    toward: float = 0.0
    average: str = ""
    weights: tuple[float, ...] = ()
    temperatures: tuple[float, ...] = ()
    radius: float | None = None

    def to_metadata(self) -> dict[str, Any]:
        """JSON data for the `metadata` of `export`'s writers."""
        about: dict[str, Any] = {"made_with": MADE_WITH, "kind": self.kind, "path": self.path}
        for f in fields(self):
            value = getattr(self, f.name)
            if value != f.default:
                about[f.name] = value
        if self.faces:
            about["faces"] = [
                {"photo": True}
                if face.seed is None
                else {"seed": face.seed, "temperature": face.temperature}
                for face in self.faces
            ]
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
        for name, read in _READERS.items():
            if about.get(name) is not None:
                try:
                    values[name] = read(about[name])
                except (TypeError, ValueError, KeyError, AttributeError) as error:
                    raise UserError(f"{source} holds an odd setting: {name}.") from error
        return cls(**values)

    def file_name(self, suffix: str) -> str:
        """A file name that tells what is inside, such as "glow-morph-linear-33-frames.gif"."""
        words = ["glow", self.kind, *getattr(self, f"_{self.kind}_words")()]
        name = re.sub(r"[^A-Za-z0-9.+_-]+", "-", "-".join(words)).strip("-.")
        return name[: 2 * _MAX_NAME] + suffix

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
    path = Path(path)
    name = printable(path.name)
    try:
        if not path.is_file():
            raise UserError(f"There is no file {name}.")
        if path.stat().st_size > _MAX_FILE:
            raise UserError(f"{name} is too large to be made by Glow Studio.")
        note = _mp4_note(path) if path.suffix.lower() == ".mp4" else _picture_note(path)
    except UserError:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise UserError(f"{name} is damaged or of a kind that cannot be read.") from error
    try:
        about = json.loads(note[:_MAX_NOTE]) if note else None
    except (ValueError, RecursionError):
        about = None
    return Recipe.from_metadata(about, name)


def _picture_note(path: Path) -> str:
    with Image.open(path, formats=_FORMATS) as image:
        if image.format == "GIF":
            return image.info.get("comment", b"").decode("ascii", "replace")
        if image.format == "WEBP":
            return str(image.getexif().get(0x010E, ""))  # ImageDescription
        return str(image.info.get("glow", ""))


def _mp4_note(path: Path) -> str:
    av = export.pyav()
    if av is None:
        raise UserError("Opening .mp4 needs PyAV: pip install av.")
    with av.open(str(path)) as container:
        return container.metadata.get("comment", "")


# -------------------------------------------------------------------------------- checked values


def _number(low: float, high: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not low <= float(value) <= high:  # NaN fails as well
            raise ValueError
        return float(value)

    return read


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return value

    return read


def _word(*choices: str) -> Callable[[Any], str]:
    """One of `choices`; without any, a printable text, of which the beginning is enough."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not (
            value in choices if choices else value.isprintable()
        ):
            raise ValueError
        return value[:_MAX_NAME]

    return read


def _yes(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _row(item: Callable[[Any], Any]) -> Callable[[Any], tuple]:
    def read(value: Any) -> tuple:
        if not isinstance(value, list | tuple) or len(value) > _MAX_ITEMS:
            raise ValueError
        return tuple(item(one) for one in value)

    return read


def _face(value: Any) -> Face:
    if value.get("seed") is None:
        return Face()
    temperature = value.get("temperature")
    return Face(_SEED(value["seed"]), None if temperature is None else _TEMPERATURE(temperature))


def _strength(value: Any) -> tuple[str, float]:
    name, strength = value
    return _word()(name), _number(-1000, 1000)(strength)


def _range(value: Any) -> tuple[float, float]:
    first, last = (_T(one) for one in value)
    if first >= last:
        raise ValueError
    return first, last


_T = _number(*paths.T_RANGE)
_SEED = _whole(0, 2**32 - 1)
_TEMPERATURE = _number(0, 10)
_READERS: dict[str, Callable[[Any], Any]] = {
    "kind": _word(*KINDS),
    "checkpoint": _word(),
    "fingerprint": _word(),
    "faces": _row(_face),
    "path": _word(*paths.JOURNEYS),
    "sharpness": _number(0, 1),
    "t_range": _range,
    "t": _T,
    "constant_speed": _yes,
    "loop": _yes,
    "frames": _whole(2, 100_000),
    "size": _whole(1, export.MAX_SIZE),
    "fps": _number(math.ulp(0.0), 100),
    "there_and_back": _yes,
    "directions": _row(_strength),
    "toward": _number(0, 1),
    "average": _word("photos"),
    "weights": _row(_T),
    "temperatures": _row(_TEMPERATURE),
    "radius": _number(0, 1),
}
