"""Looks: faces warped to the mean shape, which a model of looks learns.

An active appearance model (Cootes, Edwards & Taylor 2001) splits a face into shape and appearance;
here the appearance model is an exact flow. The mean shape is stored with the weights, and a look
goes through the same coding as their training pictures.

A flow learns either whole crops, in which every face has its own shape, or looks. Against mixing
the two by accident, weights store their `ReferenceFrame` in their facts, and folders in a file
beside their pictures. Without either, pictures are whole crops.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from glow_app.common.errors import UserError
from glow_app.common.files import write_text
from glow_app.faces.coding import Coding, code_and_reduce, coding_at, resized
from glow_app.faces.face import Face
from glow_app.faces.landmarks import LANDMARKS, mean_shape
from glow_app.faces.opening import printable

_MEAN_SHAPE: Final = "mean_shape"  # the keys in the facts of a checkpoint
_SHAPE: Final = "shape"
_CROP, _MEAN = "crop", "mean"  # the values of the second
_FILE: Final = "frame.json"  # in folders of looks, with the same keys
_SAME: Final = 1e-4  # of the crop: facts are rounded to 1e-5


@dataclass(frozen=True, eq=False)
class Looks:
    """Makes the looks of faces for one model."""

    size: int  # S, the side of its pictures in pixels
    coding: Coding | None  # of its training pictures; None for a model of uncoded ones
    mean: np.ndarray  # (478, 2) float64, the mean shape, in fractions of the crop

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], size: int) -> Looks:
        """Read the facts of a checkpoint; without a mean shape it is the program's own.
        Raises UserError: the mean shape is invalid."""
        try:
            mean = _mean_in(facts)
        except ValueError as error:
            raise UserError("The weights hold a mean shape that is not one.") from error
        return cls(size, Coding.from_facts(facts), mean)

    @staticmethod
    def to_facts(mean: np.ndarray) -> dict[str, Any]:
        """Return what `from_facts` reads, to be joined with the other facts of a checkpoint."""
        return {_MEAN_SHAPE: np.round(np.asarray(mean, float), 5).tolist()}

    def of(self, face: Face) -> np.ndarray:
        """Return the look of a face, (S, S, 3) uint8; its own pixels where it has no landmarks."""
        if face.shape is None:
            return face.pixels
        if self not in face._looks:
            face._looks[self] = code_and_reduce(self.uncoded(face), self.size, self.coding)
        return face._looks[self]

    def uncoded(self, face: Face) -> np.ndarray:
        """Return the look of a face with landmarks before coding and reducing: (C, C, 3) uint8.

        C is the side of the coding, or S where pictures of S pixels are not coded.
        """
        coding = coding_at(self.coding, self.size)
        side = self.size if coding is None else coding.size
        return resized(face.in_shape(self.mean), side)


def _mean_in(facts: Mapping[str, Any]) -> np.ndarray:
    """Return the mean shape of facts, or the program's own. Raises ValueError: it is invalid."""
    stored = facts.get(_MEAN_SHAPE)
    try:
        mean = np.asarray(mean_shape() if stored is None else stored, np.float64)
    except TypeError as error:
        raise ValueError("no numbers") from error
    if mean.shape != (LANDMARKS, 2) or not np.isfinite(mean).all():
        raise ValueError("no shape")
    return mean


@dataclass(frozen=True, eq=False)
class ReferenceFrame:
    """The shape of all faces on some pictures, or of those that a model learned from."""

    mean: np.ndarray | None = None  # (478, 2) float64, in fractions of the crop; None: whole crops

    @classmethod
    def looks(cls) -> ReferenceFrame:
        """Return the frame of looks in the program's own mean shape."""
        return cls(np.asarray(mean_shape(), np.float64))

    @property
    def shape(self) -> str:
        """ "crop" or "mean"."""
        return _CROP if self.mean is None else _MEAN

    @cached_property
    def words(self) -> str:
        """The name of such pictures in a sentence."""
        if self.mean is None:
            return "whole crops"
        own = self.same_as(ReferenceFrame.looks())
        return f"looks in {'the' if own else 'another'} mean shape"

    def same_as(self, other: ReferenceFrame) -> bool:
        """Say whether both are the same frame."""
        if self.mean is None or other.mean is None:
            return self.mean is other.mean
        return bool(np.abs(self.mean - other.mean).max() < _SAME)

    @classmethod
    def from_facts(
        cls,
        facts: Mapping[str, Any],
        wrong: str = "The weights are of pictures in a shape that is not known.",
    ) -> ReferenceFrame:
        """Read the facts of a checkpoint.

        A mean shape alone does not make them looks: weights of whole crops have the one to which
        the page warps for them.

        Raises:
            UserError: with the sentence `wrong`; the shape is invalid.
        """
        shape = facts.get(_SHAPE, _CROP)
        if shape == _CROP:
            return CROPS
        try:
            if shape != _MEAN:
                raise ValueError(shape)
            return cls(_mean_in(facts))
        except ValueError as error:
            raise UserError(wrong) from error

    def to_facts(self) -> dict[str, Any]:
        """Return what `from_facts` reads, to be joined with the other facts of a checkpoint."""
        mean = {} if self.mean is None else Looks.to_facts(self.mean)
        return {_SHAPE: self.shape, **mean}

    @classmethod
    def of_pictures(cls, root: Path, files: Iterable[Path]) -> ReferenceFrame:
        """Return the frame of picture files, all below `root`: that of the nearest note above
        each, up to `root` itself.

        Raises:
            UserError: a note is damaged, or the pictures are of several frames.
        """
        folders = sorted({file.parent for file in files})
        ordered = [(folder, cls._of_folder(root, folder)) for folder in folders]
        for folder, frame in ordered[1:]:
            first, other = ordered[0]
            if not frame.same_as(other):
                raise UserError(
                    f"{printable(str(root))} mixes {other.words} ({printable(first.name)}) with "
                    f"{frame.words} ({printable(folder.name)}); keep them in two folders."
                )
        return ordered[0][1] if ordered else CROPS

    @classmethod
    def _of_folder(cls, root: Path, folder: Path) -> ReferenceFrame:
        for above in (folder, *folder.parents):
            wrong = f"{printable(str(above / _FILE))} is damaged."
            try:
                note = json.loads((above / _FILE).read_text(encoding="utf-8"))
                if not isinstance(note, dict):
                    raise ValueError(note)
                return cls.from_facts(note, wrong)
            except (FileNotFoundError, NotADirectoryError):
                pass
            except ValueError as error:
                raise UserError(wrong) from error
            if above == root:
                break
        return CROPS

    def write(self, folder: Path) -> None:
        """Write a note of the frame into `folder`, or delete it for whole crops.

        A note of the same frame is left alone, so that several machines may write into a folder.
        """
        path = folder / _FILE
        if self.mean is None:
            path.unlink(missing_ok=True)
        elif not (path.exists() and self.same_as(ReferenceFrame._of_folder(folder, folder))):
            write_text(path, json.dumps(self.to_facts()) + "\n")


CROPS: Final = ReferenceFrame()


def require_crops(folder: Path, files: Iterable[Path]) -> None:
    """Raise UserError where pictures `files` below `folder` are looks, or of several frames."""
    if (frame := ReferenceFrame.of_pictures(folder, files)).mean is not None:
        raise UserError(
            f"{printable(str(folder))} holds {frame.words}; give the photos or whole crops that "
            "they were made of."
        )
