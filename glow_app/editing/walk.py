"""Walks between faces: for any position the photos' weights, the shape and the code there.

A morph, a journey, a mix, an average and an edit are all walks. `model` decodes the code of a
`Point`, `renderer` makes its frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from glow_app.editing import paths
from glow_app.editing.model import Coded
from glow_app.faces.face import Face
from glow_app.faces.landmarks import turned, without_crossings
from models import StateRange

# By what share of its width the range of the photos' states is widened: between photos, and where
# one photo is edited.
_MARGIN, _EDIT_MARGIN = 0.25, 0.1

_CHANGE = 0.1  # of a leg: how long the ground takes to change
_SHAPE_ENDS = (-0.25, 1.25)  # of a leg: beyond, shapes do not change


@dataclass(frozen=True, eq=False)
class Point:
    """One position of a walk: everything that its frame is made from.

    Attributes:
        z: (D,) code; None where its picture is there already.
        within: one row, the range of states in which z is decoded; None for no limits.
        weights: of each face of the walk in the picture, 0 to 1, sum 1.
        shape: (478, 2) of the frame, in fractions of the crop; None: nothing is warped.
        grounds: faces whose hair, clothes and background are shown, each with its share; two only
            while they change.
        bands: of a mix, how much of each scale comes from the second face, finest first.
        photo: number of the face whose unchanged photo this is; None between them.
        look: number of the face whose own code z is, so that it need not be decoded.
        everywhere: of an edit, the share of its tint, 0 to 1, that falls on all of the picture and
            not only on skin.
    """

    z: Tensor | None
    within: StateRange | None
    weights: tuple[float, ...]
    shape: np.ndarray | None
    grounds: tuple[tuple[int, float], ...]
    bands: tuple[float, ...] | None = None
    photo: int | None = None
    look: int | None = None
    everywhere: float = 0.0


@dataclass(frozen=True, eq=False)
class Walk:
    """A way from face to face, or from a face to its changed self.

    A kind of walk is a subclass that defines the `Point` `at` each position.
    """

    faces: tuple[Face, ...]
    coded: Coded  # their codes, one row each, and the range of states that each reaches
    usual: StateRange | None = None  # range of the training faces' states; None: not known
    warped: bool = True  # not where a face has no landmarks, or the model draws alone
    alone: bool = False  # frames are g(z), in the tone of their photos if these have one colour

    legs: int = 1  # length; positions go from 0 to `legs`
    loop: bool = False  # it ends where it begins
    path: str = ""  # of the code, "" for a straight line

    def at(self, u: float) -> Point:
        """Return the point at a position, in legs."""
        raise NotImplementedError

    def within(self, u: float) -> StateRange | None:
        """Return one row, the range of states in which the code at a position is decoded: that of
        all faces of the walk and of training, and a little more."""
        if self.coded.within is None:
            return None
        own = self.coded.within.merged()
        return (own if self.usual is None else own.union(self.usual)).widened(_MARGIN)

    @property
    def shapes(self) -> list[np.ndarray]:
        """(478, 2) of each face, if the walk is `warped`."""
        return [face.shape for face in self.faces if face.shape is not None]


@dataclass(frozen=True, eq=False)
class Journey(Walk):
    """Through K ≥ 2 faces at positions 0, 1, …; with two it is a morph, which goes on beyond.

    z_t = z_a + t·Δ on the straight line, and the shape likewise; other paths bend both.
    """

    path: str = "linear"  # or "spherical", an arc, or "cubic", a smooth curve through all
    ground: str = "switch"  # see `options.MorphOptions`

    def at(self, u: float) -> Point:
        count = len(self.faces)
        leg = min(max(math.floor(u), 0), self.legs - 1)
        t, a, b = u - leg, leg, (leg + 1) % count
        share = min(max(t, 0.0), 1.0)
        weights = [0.0] * count
        weights[a] += 1 - share
        weights[b] += share
        return Point(
            self._code(u),
            self.within(u),
            tuple(weights),
            self._shape(leg, t) if self.warped else None,
            self._grounds(a, b, t),
            photo=a if t == 0 else b if t == 1 else None,
        )

    def within(self, u: float) -> StateRange | None:
        """The range of both photos of the leg; of all faces where the path leaves these."""
        bent = (self.path == "cubic" and len(self.faces) > 2) or not 0 <= u <= self.legs
        if bent or self.coded.within is None:
            return super().within(u)
        leg = min(math.floor(u), self.legs - 1)
        return self.coded.within[[leg, (leg + 1) % len(self.faces)]].merged().widened(_MARGIN)

    def _code(self, u: float) -> Tensor:
        straight = self.path == "cubic" and len(self.faces) == 2 and not self.loop
        kind = "linear" if straight else self.path
        return paths.journey(self.coded.z, [u], kind, self.loop)[0]

    def _shape(self, leg: int, t: float) -> np.ndarray:
        shapes = self.shapes
        if self.path == "cubic" and len(shapes) > 2:
            flat = torch.from_numpy(np.stack(shapes).reshape(len(shapes), -1))
            return paths.journey(flat, [leg + t], "cubic", self.loop)[0].reshape(-1, 2).numpy()
        t = min(max(t, _SHAPE_ENDS[0]), _SHAPE_ENDS[1])
        return _between(shapes[leg], shapes[(leg + 1) % len(shapes)], t)

    def _grounds(self, a: int, b: int, t: float) -> tuple[tuple[int, float], ...]:
        """Return faces and their shares of the ground.

        With "switch" the middle of a leg shows the ground of the face that is covered more: a
        fringe in front of another ground looks like a ghost.
        """
        if self.ground == "a":
            begin = 1 - _CHANGE
        elif self.ground == "b":
            begin = 0.0
        elif self.warped and self.faces[b].covered > self.faces[a].covered:
            begin = 0.5 - _CHANGE
        else:
            begin = 0.5
        share = _smooth((t - begin) / _CHANGE)
        return tuple((k, s) for k, s in ((a, 1 - share), (b, share)) if s > 0)


@dataclass(frozen=True, eq=False)
class Mix(Walk):
    """From face A (0) to a mix of A and B (1): z_l = z_a,l + w_l·(z_b,l - z_a,l) at each level."""

    sizes: tuple[int, ...] = ()  # numbers of each level of a code, finest first
    levels: tuple[float, ...] = ()  # w_l of each level; 0 is A's, 1 is B's
    shape: float = 0.0  # of the mix, from A's (0) to B's (1)

    def at(self, u: float) -> Point:
        weights = [u * w for w in self.levels]
        a, b = (z.split(list(self.sizes)) for z in self.coded.z)
        shape = _between(self.shapes[0], self.shapes[1], u * self.shape) if self.warped else None
        bands = tuple(min(max(w, 0.0), 1.0) for w in weights)
        own = weights[0] if shape is None else u * self.shape
        photo = int(own) if own in (0, 1) and set(weights) == {own} else None
        return Point(
            torch.cat(paths.mix(a, b, weights)),
            self.within(u),
            (1 - bands[0], bands[0]),
            shape,
            ((int(bands[-1] > 0.5), 1.0),),
            bands=bands,
            photo=photo,
        )


@dataclass(frozen=True, eq=False)
class Average(Walk):
    """The average of K faces, for every u: equal weights, the mean shape, the mean code."""

    def at(self, u: float) -> Point:
        count, z = len(self.faces), self.coded.z.double().mean(dim=0).float()
        shape, nearest = None, 0
        if self.warped:
            shapes = np.stack(self.shapes)
            shape = shapes.mean(axis=0)
            nearest = int(np.abs(shapes - shape).mean(axis=(1, 2)).argmin())
        return Point(
            z,
            self.within(u),
            (1 / count,) * count,
            shape,
            ((nearest, 1.0),),
            photo=0 if count == 1 else None,
        )


@dataclass(frozen=True, eq=False)
class Edit(Walk):
    """From a face (0) to its edited self (1): z + w·(average - z) + Σ s_i·d_i; so its shape."""

    move: Tensor | None = None  # (D,) Σ s_i·d_i; None: the look stays and is not decoded
    shift: np.ndarray | None = None  # (478, 2) by which the landmarks move; None: not at all
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)  # degrees: turn, nod, tilt
    toward: float = 0.0  # w, 0 to 1
    target: Tensor | None = None  # (D,) code of the average; None: z = 0
    target_shape: np.ndarray | None = None  # (478, 2) of the average; None: it stays
    everywhere: float = 0.0  # see `Point`

    def at(self, u: float) -> Point:
        z, own = self.coded.z[0].double(), self.faces[0].shape if self.warped else None
        changed = False
        if self.toward and u:
            target = torch.zeros_like(z) if self.target is None else self.target.double()
            z, changed = z + u * self.toward * (target - z), True
        if self.move is not None and u and bool(self.move.any()):
            z, changed = z + u * self.move.double(), True
        shape = self._shape(own, u) if own is not None and u else own
        return Point(
            z.float(),
            self.within(u),
            (1.0,),
            shape,
            ((0, 1.0),),
            photo=None if changed or shape is not own else 0,
            look=None if changed else 0,
            everywhere=self.everywhere,
        )

    def within(self, u: float) -> StateRange | None:
        """The range of the photo itself, and a little more."""
        if self.alone or self.toward or self.coded.within is None:
            return super().within(u)
        return self.coded.within.merged().widened(_EDIT_MARGIN)

    def _shape(self, own: np.ndarray, u: float) -> np.ndarray:
        """Return the shape at u; `own` itself where nothing moves."""
        shape = own
        if self.toward and self.target_shape is not None:
            shape = shape + u * self.toward * (self.target_shape - shape)
        if self.shift is not None and self.shift.any():
            shape = without_crossings(shape + u * self.shift, own)
        return turned(shape, *(u * d for d in self.turn)) if any(self.turn) else shape


def _between(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """Return the shape at t of the way from a (0) to b (1), both exact."""
    return b if t == 1 else a + t * (b - a)


def _smooth(x: float) -> float:
    """Return 0 below 0, 1 above 1, and a smooth step (3x² - 2x³) between."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)
