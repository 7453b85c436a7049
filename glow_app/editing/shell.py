"""The shell on which codes lie, and how a path is kept on it.

Codes of photos all have about the same length (a draw from N(0, I) in D dimensions has nearly √D),
and independent ones are nearly orthogonal, so a straight line between two of them dips to about
1/√2 of it: its middle looks as if sampled at temperature 0.7, grey and soft. Putting each point
back to the length that codes have keeps contrast and detail.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

__all__ = ["Shell"]


@dataclass(frozen=True)
class Shell:
    """How long codes are, level by level, and how long to make those between two photos.

    Attributes:
        sizes: numbers of the code in each level, finest first; their sum is D.
        lengths: typical length ‖z_l‖ of each level's part over the codes of faces.
        dip: half way between two unrelated codes a point gets this share of the typical length.
            A little inside of the shell colours stay natural.
        guided_dip: the same for two faces that were warped to one shape: they agree more, and need
            less.
        by_level: mend each level by itself, rather than the code as a whole.
    """

    sizes: tuple[int, ...]
    lengths: tuple[float, ...]
    dip: float = 1.0
    guided_dip: float = 1.0
    by_level: bool = False

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], sizes: Sequence[int]) -> Shell:
        """What is kept with the weights; without it the shell of N(0, I), ‖z_l‖ = √d_l."""
        known = facts.get("shell")
        if isinstance(known, Mapping) and len(known.get("lengths", ())) == len(sizes):
            lengths = tuple(float(length) for length in known["lengths"])
            dips = float(known["dip"]), float(known["guided_dip"])
            return cls(tuple(sizes), lengths, *dips, bool(known["by_level"]))
        return cls(tuple(sizes), tuple(math.sqrt(size) for size in sizes))

    def to_facts(self) -> dict[str, Any]:
        """JSON data for the facts of a checkpoint; `from_facts` is the way back."""
        lengths = [round(length, 4) for length in self.lengths]
        dips = {"dip": self.dip, "guided_dip": self.guided_dip}
        return {"shell": {"lengths": lengths, **dips, "by_level": self.by_level}}

    def guided(self) -> Shell:
        """The one to use between faces that were warped to one shape."""
        return replace(self, dip=self.guided_dip)

    def put(self, points: Tensor, a: Tensor, b: Tensor, t: Tensor, share: float = 1.0) -> Tensor:
        """Points between a and b, with their lengths put right.

        r(t) goes from ‖a‖ to ‖b‖ and half way towards `dip` of the typical length, the more so the
        less a and b have in common: r = (1 - w)·((1 - t)‖a‖ + t‖b‖) + w·dip·L with
        w = 4t(1 - t)(1 - cos(a, b)), within [0, 1]. Beyond the ends their own lengths are kept.

        Args:
            points: (T, D), such as a + t·(b - a).
            a, b: (1, D) or (T, D), the codes between which each point lies.
            t: (T,) where, 0 at a and 1 at b.
            share: 0 leaves the points as they are, 1 puts them on the shell.

        Returns:
            (T, D) in the dtype of `points`; a point of length 0 stays.
        """
        if share == 0:
            return points
        t = t.to(points.device, torch.float64).clamp(0, 1)
        parts = self.sizes if self.by_level else (sum(self.sizes),)
        typical = self.lengths if self.by_level else (math.hypot(*self.lengths),)
        split = [x.double().split(parts, dim=1) for x in (points, a, b)]
        mended = [
            part * _factor(part, part_a, part_b, t, self.dip * length, share)
            for part, part_a, part_b, length in zip(*split, typical, strict=True)
        ]
        return torch.cat(mended, dim=1).to(points.dtype)

    def inside(self, z: Tensor) -> Tensor:
        """A code (D,) with the length that points half way between two codes have."""
        middle = torch.tensor([0.5])
        return self.put(z[None], torch.zeros_like(z[None]), torch.zeros_like(z[None]), middle)[0]

    def level(self, index: int) -> Shell:
        """The shell of one level alone, for mixing level by level."""
        return Shell((self.sizes[index],), (self.lengths[index],), self.dip)


def _factor(
    points: Tensor, a: Tensor, b: Tensor, t: Tensor, inside: float, share: float
) -> Tensor:
    """(T, 1): what to multiply points by, all float64."""
    norm_a, norm_b = a.norm(dim=1), b.norm(dim=1)
    cosine = (a * b).sum(dim=1) / (norm_a * norm_b).clamp(min=1e-12)
    weight = (4 * t * (1 - t) * (1 - cosine)).clamp(0, 1)
    wanted = (1 - weight) * ((1 - t) * norm_a + t * norm_b) + weight * inside
    norms = points.norm(dim=1)
    factor = torch.where(norms > 0, wanted / norms.clamp(min=1e-12), 1.0)
    return (1 + share * (factor - 1)).unsqueeze(1)
