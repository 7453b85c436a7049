"""Walks between faces: for any position the photos' weights, the shape and the code there.

A morph, a journey, a loop, a mix, an average and an edit are all walks. A walk knows where to go
and nothing of pictures: `renderer` makes the frame of a `Point`, `codec` decodes its code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from glow_app.common.errors import UserError
from glow_app.editing import paths
from glow_app.faces.face import Face
from glow_app.faces.landmarks import turned, without_crossings
from models import StateRange

__all__ = ["GROUNDS", "Average", "Coded", "Edit", "Journey", "Mix", "Point", "Walk", "check_path"]

GROUNDS: tuple[str, ...] = ("switch", "a", "b")

# How far beyond what the photos' states reach a state may go, as a share of that range: between
# photos, and where one photo is edited.
_MARGIN, _EDIT_MARGIN = 0.25, 0.1

_CHANGE = 0.1  # of a leg: how long the ground takes to change
_SHAPE_ENDS = (-0.25, 1.25)  # of a leg: beyond, shapes stay what they are there


@dataclass(frozen=True, eq=False)
class Coded:
    """Codes, and the range of states in which each is to be decoded.

    Attributes:
        z: (N, D) float32 on the CPU.
        within: N rows, or one for all; None leaves decoding unguarded.
    """

    z: Tensor
    within: StateRange | None = None


@dataclass(frozen=True, eq=False)
class Point:
    """Where a walk is.

    Attributes:
        z: (D,) code; None where its picture is there already.
        weights: of each face of the walk in the picture, 0 to 1, sum 1.
        shape: (478, 2) of the frame, in fractions of the crop; None: nothing is warped.
        grounds: faces whose hair, clothes and background are shown, each with its share; two only
            while they change.
        bands: of a mix, how much of each scale comes from the second face, finest first.
        photo: number of the face whose very photo this is; None between them.
        look: number of the face whose own code z is, so that it need not be decoded; None: it is
            another.
        everywhere: of an edit, how much of its tint falls on all of the picture, 0 to 1, and not
            only on skin.
    """

    z: Tensor | None
    weights: tuple[float, ...]
    shape: np.ndarray | None
    grounds: tuple[tuple[int, float], ...]
    bands: tuple[float, ...] | None = None
    photo: int | None = None
    look: int | None = None
    everywhere: float = 0.0


@dataclass(frozen=True, eq=False)
class Walk:
    """A way from face to face, or from a face to what becomes of it.

    Attributes:
        faces: that it leads through or is made of.
        coded: their codes, one row each, and the range of states that each reaches.
        usual: range of the states of the training faces; None where it is not known.
        shaped: faces are warped; False where one has no landmarks, or the model draws alone.
        alone: frames are g(z) and nothing else.
    """

    faces: tuple[Face, ...]
    coded: Coded
    usual: StateRange | None = None
    shaped: bool = True
    alone: bool = False

    legs: int = 1
    loop: bool = False
    path: str = ""

    def at(self, u: float) -> Point:
        """The point at a position, in legs: 0 is the beginning, `legs` the end."""
        raise NotImplementedError

    def within(self, u: float) -> StateRange:
        """One row, in which the code at a position is decoded."""
        own = self.coded.within.merged()
        return (own if self.usual is None else own.union(self.usual)).widened(_MARGIN)

    def codes(self, points: Sequence[Point], u: Sequence[float]) -> Coded:
        """The codes of points at positions u."""
        rows = StateRange.cat([self.within(float(place)) for place in u])
        return Coded(torch.stack([point.z for point in points]), rows)


@dataclass(frozen=True, eq=False)
class Journey(Walk):
    """Through K ≥ 2 faces at positions 0, 1, …; with two it is a morph, which goes on beyond.

    z_t = z_a + t·Δ on the straight line, and the shape likewise; other paths bend both.

    Attributes:
        path: "linear", "spherical" (an arc between codes) or "cubic" (a smooth curve through all).
        ground: one of `GROUNDS`: whose hair, clothes and background each leg shows. "switch": that
            of the nearer face, changing about the middle of the leg; "a", "b": that of its first
            or its second face, all but next to the other photo.
    """

    path: str = "linear"
    ground: str = "switch"

    def at(self, u: float) -> Point:
        """The point at a position; whole numbers are the photos themselves."""
        count = len(self.faces)
        leg = min(max(math.floor(u), 0), self.legs - 1)
        t, a, b = u - leg, leg, (leg + 1) % count
        photo = next((k for k, place in ((a, 0.0), (b, 1.0)) if t == place), None)
        share = min(max(t, 0.0), 1.0)
        weights = [0.0] * count
        weights[a] += 1 - share
        weights[b] += share
        return Point(
            self._code(u),
            tuple(weights),
            self._shape(leg, t) if self.shaped else None,
            self._grounds(a, b, t),
            photo=photo,
        )

    def within(self, u: float) -> StateRange:
        """What both photos of the leg reach; where the path leaves them, what all faces do."""
        bent = (self.path == "cubic" and len(self.faces) > 2) or not 0 <= u <= self.legs
        if bent:
            return super().within(u)
        leg = min(math.floor(u), self.legs - 1)
        return self.coded.within[[leg, (leg + 1) % len(self.faces)]].merged().widened(_MARGIN)

    def _code(self, u: float) -> Tensor:
        keys, place = self.coded.z, torch.tensor([u], dtype=torch.float64)
        if len(keys) == 2 and not self.loop:
            kind = "linear" if self.path == "cubic" else self.path
            return paths.path(keys[0], keys[1], place, kind)[0]
        return paths.journey(keys, place, self.path, self.loop)[0]

    def _shape(self, leg: int, t: float) -> np.ndarray:
        shapes = [face.shape for face in self.faces]
        if self.path == "cubic" and len(shapes) > 2:
            flat = torch.from_numpy(np.stack(shapes).reshape(len(shapes), -1))
            place = torch.tensor([leg + t], dtype=torch.float64)
            return paths.journey(flat, place, "cubic", self.loop)[0].reshape(-1, 2).numpy()
        t = min(max(t, _SHAPE_ENDS[0]), _SHAPE_ENDS[1])
        a, b = shapes[leg], shapes[(leg + 1) % len(shapes)]
        return b if t == 1 else a + t * (b - a)

    def _grounds(self, a: int, b: int, t: float) -> tuple[tuple[int, float], ...]:
        """The middle of a leg belongs to one of the two: to the one that is covered more, since
        what hangs into a face is a ghost on any other ground."""
        if self.ground == "a":
            begin = 1 - _CHANGE
        elif self.ground == "b":
            begin = 0.0
        elif self.shaped and self.faces[b].covered > self.faces[a].covered:
            begin = 0.5 - _CHANGE
        else:
            begin = 0.5
        share = _smooth((t - begin) / _CHANGE)
        return tuple((k, s) for k, s in ((a, 1 - share), (b, share)) if s > 0)


@dataclass(frozen=True, eq=False)
class Mix(Walk):
    """From face A (0) to a mix of A and B (1), level by level: z_l = z_a,l + w_l·(z_b,l - z_a,l).

    Attributes:
        sizes: numbers of each level of a code, finest first.
        levels: w_l of each level; 0 is A's, 1 is B's.
        shape: of the mix, from A's (0) to B's (1).
    """

    sizes: tuple[int, ...] = ()
    levels: tuple[float, ...] = ()
    shape: float = 0.0

    def at(self, u: float) -> Point:
        """The point at a share u of the way."""
        row = [u * w for w in self.levels]
        a, b = (z.split(list(self.sizes)) for z in self.coded.z)
        z = torch.cat(paths.mix(a, b, row))
        shape = None
        if self.shaped:
            a, b = (face.shape for face in self.faces)
            shape = b if u * self.shape == 1 else a + u * self.shape * (b - a)
        bands = tuple(min(max(w, 0.0), 1.0) for w in row)
        share = bands[0]
        all_of = [k for k in (0, 1) if set(row) == {k} and (shape is None or u * self.shape == k)]
        return Point(
            z,
            (1 - share, share),
            shape,
            ((int(bands[-1] > 0.5), 1.0),),
            bands=bands,
            photo=all_of[0] if all_of else None,
        )


@dataclass(frozen=True, eq=False)
class Average(Walk):
    """The average of K faces, everywhere: equal weights, the mean shape, the mean code."""

    def at(self, u: float) -> Point:
        """The same point for every u."""
        count = len(self.faces)
        z = self.coded.z.double().mean(dim=0).float()
        if count == 1:
            return Point(z, (1.0,), self.faces[0].shape, ((0, 1.0),), photo=0)
        shape, best = None, 0
        if self.shaped:
            shapes = np.stack([face.shape for face in self.faces])
            shape = shapes.mean(axis=0)
            best = int(np.abs(shapes - shape).mean(axis=(1, 2)).argmin())
        return Point(z, (1 / count,) * count, shape, ((best, 1.0),))


@dataclass(frozen=True, eq=False)
class Edit(Walk):
    """From a face (0) to its edited self (1): z + w·(average - z) + Σ s_i·d_i, and its shape
    likewise.

    Attributes:
        move: (D,) Σ s_i·d_i; None: the look stays, and nothing has to be decoded.
        shift: (478, 2) by which the landmarks move; None: not at all.
        turn: degrees by which the head turns, nods and tilts.
        toward: w, 0 to 1.
        target: (D,) code of the average.
        target_shape: (478, 2) of the average; None leaves the shape as it is.
        everywhere: see `Point`.
    """

    move: Tensor | None = None
    shift: np.ndarray | None = None
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    toward: float = 0.0
    target: Tensor | None = None
    target_shape: np.ndarray | None = None
    everywhere: float = 0.0

    def at(self, u: float) -> Point:
        """The point at a share u of the way."""
        z, shape = self.coded.z[0].double(), self.faces[0].shape if self.shaped else None
        looks, moved = False, False
        if self.toward and u:
            target = torch.zeros_like(z) if self.target is None else self.target.double()
            z, looks = z + u * self.toward * (target - z), True
        if self.move is not None and u and bool(self.move.any()):
            z, looks = z + u * self.move.double(), True
        if shape is not None and u:
            shape, moved = self._shape(shape, u)
        still = not looks and not moved
        own = None if looks else 0
        return Point(
            z.float(),
            (1.0,),
            shape,
            ((0, 1.0),),
            photo=0 if still else None,
            look=own,
            everywhere=self.everywhere,
        )

    def _shape(self, own: np.ndarray, u: float) -> tuple[np.ndarray, bool]:
        """The shape at u, and whether it is another than the face's own."""
        shape = own
        if self.toward and self.target_shape is not None:
            shape = shape + u * self.toward * (self.target_shape - shape)
        if self.shift is not None and self.shift.any():
            shape = without_crossings(shape + u * self.shift, own)
        if any(self.turn):
            shape = turned(shape, *(u * degrees for degrees in self.turn))
        return shape, shape is not own

    def within(self, u: float) -> StateRange:
        """What the photo itself reaches, and a little more."""
        if self.alone or self.toward:
            return super().within(u)
        return self.coded.within.merged().widened(_EDIT_MARGIN)


def check_path(path: str, known: tuple[str, ...], ground: str = "switch") -> None:
    """Refuse an unknown path or ground in one sentence."""
    if path not in known:
        raise UserError(f"Unknown path {path!r}: choose one of {', '.join(known)}.")
    if ground not in GROUNDS:
        raise UserError(f"Unknown ground {ground!r}: choose one of {', '.join(GROUNDS)}.")


def _smooth(x: float) -> float:
    """0 below 0, 1 above 1, without a corner in between."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)
