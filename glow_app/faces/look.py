"""The look of a face: its crop warped to the mean shape, as a model of looks takes it.

An active appearance model (Cootes, Edwards & Taylor 2001) parts a face into shape and appearance;
here the appearance model is an exact flow. The mean shape is kept with the weights, and the look
goes through the same coding as their training pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from glow_app.common.errors import UserError
from glow_app.faces import regions
from glow_app.faces.coding import Coding, code_and_reduce, coding_at
from glow_app.faces.face import Face, resized
from glow_app.faces.finder import LANDMARKS

__all__ = ["Looks", "mean_in"]

_FACT = "mean_shape"  # the key in the facts of a checkpoint
_WRONG = "The weights hold a mean shape that is not one."


@dataclass(frozen=True, eq=False)
class Looks:
    """How one model sees faces.

    Attributes:
        size: S, the side of its pictures in pixels.
        coding: of its training pictures; None for a model of uncoded ones.
        mean: (478, 2) float64, the mean shape, in fractions of the crop.
    """

    size: int
    coding: Coding | None
    mean: np.ndarray

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], size: int) -> Looks:
        """What the facts of a checkpoint say; the program's own mean shape where they say nothing.

        Raises:
            UserError: they hold no shape.
        """
        try:
            mean = mean_in(facts)
        except ValueError as error:
            raise UserError(_WRONG) from error
        return cls(size, Coding.from_facts(facts), mean)

    @staticmethod
    def to_facts(mean: np.ndarray) -> dict[str, Any]:
        """What `from_facts` reads, to be joined with the other facts of a checkpoint."""
        return {_FACT: np.round(np.asarray(mean, float), 5).tolist()}

    def of(self, face: Face) -> np.ndarray:
        """(S, S, 3) uint8, the look of a face; its own crop where it has no landmarks."""
        if face.shape is None:
            return face.pixels
        if self not in face._looks:
            face._looks[self] = code_and_reduce(self.uncoded(face), self.size, self.coding)
        return face._looks[self]

    def uncoded(self, face: Face) -> np.ndarray:
        """(C, C, 3) uint8, the same before it is coded and reduced. It must have landmarks.

        C is the side of the coding, or S where pictures of S pixels are not coded.
        """
        coding = coding_at(self.coding, self.size)
        side = self.size if coding is None else coding.size
        return resized(face.in_shape(self.mean), side)


def mean_in(facts: Mapping[str, Any]) -> np.ndarray:
    """(478, 2) float64, the mean shape that facts name; the program's own where they name none.

    Raises:
        ValueError: they name one that is no shape.
    """
    known = facts.get(_FACT)
    try:
        mean = np.asarray(regions.mean_shape() if known is None else known, np.float64)
    except TypeError as error:
        raise ValueError(_WRONG) from error
    if mean.shape != (LANDMARKS, 2) or not np.isfinite(mean).all():
        raise ValueError(_WRONG)
    return mean
