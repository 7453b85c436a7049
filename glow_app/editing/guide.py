"""Walks that are led by the shape of the faces.

A classical morph warps both faces to the geometry in between and cross-dissolves them: geometry
comes out well, glasses and beards half transparent. A path between codes draws materials well and
does not know where the eyes should be. So both faces are warped to the shape at t first, and the
walk takes point t of the path between the codes of *these*, decoded in the range of *their*
states. At the photos themselves nothing is warped, so they are met exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from glow_app.editing import paths
from glow_app.editing.codec import Coded
from glow_app.editing.shell import Shell
from glow_app.editing.walk import MARGIN, Style, Walk, everything, legs_of, mix_levels
from glow_app.pictures.coding import Coding, code_and_reduce
from glow_app.pictures.warp import Warper
from models import StateRange

__all__ = ["Portrait", "Studio", "guided_journey", "guided_mix"]


@dataclass(frozen=True, eq=False)
class Portrait:
    """A face with what is needed to warp it.

    Attributes:
        pixels: (S, S, 3) uint8, what the model sees.
        crop: (C, C, 3) uint8, the same crop before it was coded and reduced.
        mesh: (M, 2) its landmarks as fractions of the crop; None where none were found.
    """

    pixels: np.ndarray
    crop: np.ndarray
    mesh: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Studio:
    """Faces with landmarks, seen in any shape.

    Attributes:
        faces: K portraits with meshes.
        coding: of the model's training pictures: warped crops are coded like photos, without which
            colours come out as noise.
        encode: pictures (N, S, S, 3) and whether to keep their codes; see
            `Codec.encode_with_range`.
        shell: where codes lie.
    """

    faces: tuple[Portrait, ...]
    coding: Coding | None
    encode: Callable[[np.ndarray, bool], Coded]
    shell: Shell

    @cached_property
    def keys(self) -> Coded:
        """The codes of the faces as they are."""
        return self.encode(np.stack([face.pixels for face in self.faces]), True)

    @cached_property
    def meshes(self) -> np.ndarray:
        """(K, M, 2) landmarks."""
        return np.stack([face.mesh for face in self.faces])

    @cached_property
    def _warpers(self) -> tuple[Warper, ...]:
        return tuple(Warper(face.crop, face.mesh) for face in self.faces)

    def seen(self, who: np.ndarray, shapes: np.ndarray) -> np.ndarray:
        """Pictures (T, S, S, 3) of faces `who` (T,) int, in `shapes` (T, M, 2)."""
        size = len(self.faces[0].pixels)
        pictures = np.empty((len(who), size, size, 3), np.uint8)
        for k in np.unique(who):
            rows = np.flatnonzero(who == k)
            warped = self._warpers[k].to(shapes[rows])
            pictures[rows] = code_and_reduce(warped, size, self.coding)
        return pictures


def guided_journey(
    studio: Studio, style: Style, usual: StateRange | None, loop: bool = False
) -> Walk:
    """Through all faces of the studio; with two, a morph. As `walk.journey_walk`, but guided.

    On the leg from A to B at t both faces take the shape (1 - t)·L_a + t·L_b; a cubic journey
    curves through all shapes instead. Beyond the ends the shape stays and the look goes on.
    """
    keys = studio.keys
    count = len(studio.faces)
    legs = count if loop else count - 1

    def at(u: np.ndarray) -> Coded:
        places = torch.from_numpy(np.asarray(u, np.float64))
        leg, t = legs_of(places, count, loop)
        after = (leg + 1) % count
        met = (places == places.round()) & (places >= 0) & (places <= legs)
        z = keys.z[(places.long() % count).clamp(min=0)].clone()
        within = keys.within[leg].union(keys.within[after])
        rows = torch.nonzero(~met).flatten()
        if len(rows):
            who = torch.cat([leg[rows], after[rows]]).numpy()
            shapes = _shapes(studio.meshes, places[rows], style.path == "cubic", loop)
            coded = studio.encode(studio.seen(who, np.concatenate([shapes, shapes])), False)
            a, b = coded.z.split(len(rows))
            for i, row in enumerate(rows.tolist()):
                z[row] = style.points(torch.stack([a[i], b[i]]), t[row : row + 1])[0]
            reached = coded.within[: len(rows)].union(coded.within[len(rows) :])
            low, high = within.low.clone(), within.high.clone()
            low[rows], high[rows] = reached.low, reached.high
            within = StateRange(low, high)
        if usual is not None and bool(((places < 0) | (places > legs)).any()):
            within = within.union(usual)
        return Coded(z, within.widened(MARGIN))

    return Walk(at, style.path, legs, loop, guided=True)


def guided_mix(
    studio: Studio, weights: Sequence[float], shape: float, usual: StateRange | None
) -> Walk:
    """From A (0) to a mix of A and B (1), both of them in one shape; see `walk.mix_walk`.

    Args:
        studio: with A and B.
        weights: one for each level, finest first; 0 is A's, 1 is B's.
        shape: 0 is A's and 1 is B's.
    """
    a, b = studio.meshes

    def one(share: float) -> Coded:
        s = share * shape
        target = ((1 - s) * a + s * b)[None]
        pictures = [
            face.pixels if s == own else studio.seen(np.array([k]), target)[0]
            for k, (face, own) in enumerate(zip(studio.faces, (0.0, 1.0), strict=True))
        ]
        coded = studio.encode(np.stack(pictures), True)
        z = mix_levels(coded.z, [share * w for w in weights], studio.shell.sizes, studio.shell)
        return Coded(z[None], everything(coded.within, usual))

    def at(t: np.ndarray) -> Coded:
        rows = [one(float(share)) for share in t]
        return Coded(
            torch.cat([row.z for row in rows]), StateRange.cat([row.within for row in rows])
        )

    return Walk(at, guided=True)


def _shapes(meshes: np.ndarray, places: torch.Tensor, curved: bool, loop: bool) -> np.ndarray:
    """The shape (T, M, 2) at each position: straight from face to face, or curved through all."""
    count = len(meshes)
    legs = count if loop else count - 1
    u = places.clamp(0, legs)
    leg, t = legs_of(u, count, loop)
    if curved and count > 2:
        flat = torch.from_numpy(meshes.reshape(count, -1)).double()
        return paths.journey(flat, u, "cubic", loop).numpy().reshape(len(u), *meshes.shape[1:])
    share = t.numpy()[:, None, None]
    return (1 - share) * meshes[leg.numpy()] + share * meshes[((leg + 1) % count).numpy()]
