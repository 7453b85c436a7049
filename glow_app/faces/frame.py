"""In which frame of reference the faces of pictures lie: as they were cut out, or as looks.

A flow learns one of the two: whole crops, in which every face has its own shape, or looks, which
are crops warped to the mean shape (`faces.look`). What was learned in one is not mixed with the
other by oversight, so both say which it is: weights in their facts, folders in a small file beside
their pictures. Where nothing is said, pictures are whole crops.
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
from glow_app.faces import regions
from glow_app.faces.folders import list_pictures
from glow_app.faces.look import Looks, mean_in
from glow_app.faces.opening import printable

__all__ = ["CROPS", "Frame", "require_crops"]

FILE: Final = "frame.json"

_FACT: Final = "shape"  # the key in the facts of a checkpoint
_CROP, _MEAN = "crop", "mean"
_SAME: Final = 1e-4  # of the crop: facts are rounded to 1e-5


@dataclass(frozen=True, eq=False)
class Frame:
    """The frame of reference of pictures, or of a model of them.

    Attributes:
        mean: (478, 2) float64, the shape that all faces have, in fractions of the crop; None of
            whole crops.
    """

    mean: np.ndarray | None = None

    @classmethod
    def looks(cls) -> Frame:
        """That of looks in the program's own mean shape."""
        return cls(np.asarray(regions.mean_shape(), np.float64))

    @property
    def shape(self) -> str:
        """ "crop" or "mean"."""
        return _CROP if self.mean is None else _MEAN

    @cached_property
    def words(self) -> str:
        """For a sentence."""
        if self.mean is None:
            return "whole crops"
        own = self.same_as(Frame.looks())
        return "looks in the mean shape" if own else "looks in another mean shape"

    def same_as(self, other: Frame) -> bool:
        """Whether pictures of both are alike."""
        if self.mean is None or other.mean is None:
            return self.mean is other.mean
        return bool(np.abs(self.mean - other.mean).max() < _SAME)

    # ----------------------------------------------------------------------------- of weights

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Frame:
        """What the facts of a checkpoint say.

        A mean shape alone is none of looks: weights of whole crops keep the one at which the page
        warps for them.

        Raises:
            UserError: they say what this program does not know.
        """
        return cls._known(facts, "The weights are of pictures in a shape that is not known.")

    def to_facts(self) -> dict[str, Any]:
        """What `from_facts` reads, to be joined with the other facts of a checkpoint."""
        mean = {} if self.mean is None else Looks.to_facts(self.mean)
        return {_FACT: self.shape, **mean}

    @classmethod
    def _known(cls, facts: Mapping[str, Any], wrong: str) -> Frame:
        shape = facts.get(_FACT, _CROP)
        if shape == _CROP:
            return CROPS
        try:
            if shape != _MEAN:
                raise ValueError(shape)
            return cls(mean_in(facts))
        except ValueError as error:
            raise UserError(wrong) from error

    # ----------------------------------------------------------------------------- of folders

    @classmethod
    def of_pictures(cls, root: Path, files: Iterable[Path]) -> Frame:
        """What the folders of `files`, all below `root`, say.

        The file nearest above a picture counts, up to `root` itself.

        Raises:
            UserError: a file of these is damaged, or the pictures are of several frames.
        """
        known: dict[Path, Frame] = {}
        for folder in {file.parent for file in files}:
            known[folder] = cls._of_folder(root, folder)
        ordered = sorted(known.items())
        for folder, frame in ordered[1:]:
            first, other = ordered[0]
            if not frame.same_as(other):
                raise UserError(
                    f"{printable(str(root))} mixes {other.words} ({printable(first.name)}) with "
                    f"{frame.words} ({printable(folder.name)}); keep them in two folders."
                )
        return ordered[0][1] if ordered else CROPS

    @classmethod
    def of_folder(cls, folder: Path) -> Frame:
        """`of_pictures` for all the pictures below a folder. Raises UserError: there is none."""
        return cls.of_pictures(folder, list_pictures(folder))

    @classmethod
    def _of_folder(cls, root: Path, folder: Path) -> Frame:
        for above in (folder, *folder.parents):
            try:
                said = json.loads((above / FILE).read_text(encoding="utf-8"))
                wrong = f"{printable(str(above / FILE))} is damaged."
                if not isinstance(said, dict):
                    raise UserError(wrong)
                return cls._known(said, wrong)
            except (FileNotFoundError, NotADirectoryError):
                pass
            except ValueError as error:
                raise UserError(f"{printable(str(above / FILE))} is damaged.") from error
            if above == root:
                break
        return CROPS

    def write(self, folder: Path) -> None:
        """Say in `folder` of which frame its pictures are; of whole crops nothing is said.

        What stands there already is left alone if it says the same, so that several machines may
        write into one folder.
        """
        path = folder / FILE
        if self.mean is None:
            path.unlink(missing_ok=True)
        elif not (path.exists() and self.same_as(Frame._of_folder(folder, folder))):
            write_text(path, json.dumps(self.to_facts()) + "\n")


CROPS: Final = Frame()


def require_crops(folder: Path, files: Iterable[Path]) -> None:
    """Refuse pictures `files` below `folder` that are looks, where whole crops or photos are due.

    Raises:
        UserError: they are looks already, or of several frames.
    """
    if (frame := Frame.of_pictures(folder, files)).mean is not None:
        raise UserError(
            f"{printable(str(folder))} holds {frame.words}; give the photos or whole crops that "
            "they were made of."
        )
