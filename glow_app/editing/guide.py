"""Walks that are led by the shape of the faces.

A classical morph warps both faces to the geometry in between and cross-dissolves them: geometry
comes out well, glasses and beards half transparent. A path between codes draws materials well and
does not know where the eyes should be. So both faces are warped to the shape at t first, and the
walk takes point t of the path between the codes of *these*, decoded in the range of *their*
states. At the photos themselves nothing is warped, so they are met exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch

from glow_app.editing.codec import Coded
from glow_app.editing.contrast import fitted
from glow_app.editing.portrait import Portrait, resized
from glow_app.editing.shell import Shell
from glow_app.editing.walk import MARGIN, Style, Walk, everything, legs_of, mix_levels
from glow_app.pictures.coding import Coding, code_and_reduce
from glow_app.pictures.warp import ShapePath
from models import StateRange

__all__ = ["Studio", "guided_journey", "guided_mix"]


@dataclass(frozen=True, eq=False)
class Studio:
    """Faces with landmarks, seen in any shape.

    Attributes:
        faces: K portraits with meshes.
        coding: of the model's training pictures: warped crops are coded like photos, without which
            colours come out as noise.
        encode: pictures (N, S, S, 3) and whether to keep their codes; see
            `Codec.encode_with_range`.
        shell: where codes of faces in one shape lie.
        decode: codes to pictures, to keep the contrast of the photos (`contrast`); None leaves
            every pair of faces the dip of the shell.
    """

    faces: tuple[Portrait, ...]
    coding: Coding | None
    encode: Callable[[np.ndarray, bool], Coded]
    shell: Shell
    decode: Callable[[Coded], np.ndarray] | None = None
    _paths: dict[tuple[int, int], ShapePath] = field(default_factory=dict)
    _shells: dict[tuple[int, int], Shell] = field(default_factory=dict)

    @cached_property
    def keys(self) -> Coded:
        """The codes of the faces as they are."""
        return self.encode(np.stack([face.pixels for face in self.faces]), True)

    def seen(self, a: int, b: int, ts: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """Faces a and b, as the model sees them, in the shapes between the two at `ts` (T,).

        Returns:
            Two times (T, S, S, 3) uint8.
        """
        if (a, b) not in self._paths:
            self._paths[a, b] = ShapePath(self.faces[a].mesh, self.faces[b].mesh)
        size = len(self.faces[0].pixels)
        warped = self._paths[a, b].warp(self.faces[a].fine, self.faces[b].fine, ts)
        first, second = (
            code_and_reduce(np.stack([resized(crop, wide) for crop in crops]), size, self.coding)
            for crops, wide in zip(warped, (len(self.faces[i].crop) for i in (a, b)), strict=True)
        )
        return first, second

    def shell_between(self, a: int, b: int) -> Shell:
        """Where codes between faces a and b lie, with the dip that suits the two."""
        if self.decode is None:
            return self.shell
        if (a, b) not in self._shells:
            coded = self.encode(np.concatenate(self.seen(a, b, [0.5])), True)
            within = coded.within.merged().widened(MARGIN)
            photos = np.stack([self.faces[i].pixels for i in (a, b)])
            z_a, z_b = coded.z.split(1)
            self._shells[a, b] = fitted(self.shell, z_a, z_b, within, photos, self.decode)
        return self._shells[a, b]


def guided_journey(
    studio: Studio, style: Style, usual: StateRange | None, loop: bool = False
) -> Walk:
    """Through all faces of the studio; with two, a morph. As `walk.journey_walk`, but guided.

    On the leg from A to B at t both faces take the shape (1 - t)·L_a + t·L_b. Since shapes turn at
    each face, so may the look: a cubic journey goes from code to code, on the shell.
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
        for k in leg[~met].unique().tolist():
            way = style
            if style.share:
                way = replace(style, shell=studio.shell_between(k, (k + 1) % count))
            rows = torch.nonzero(~met & (leg == k)).flatten()
            seen = studio.seen(k, (k + 1) % count, t[rows].tolist())
            coded = studio.encode(np.concatenate(seen), False)
            a, b = coded.z.split(len(rows))
            for i, row in enumerate(rows.tolist()):
                z[row] = way.points(torch.stack([a[i], b[i]]), t[row : row + 1])[0]
            reached = coded.within[: len(rows)].union(coded.within[len(rows) :])
            within.low[rows], within.high[rows] = reached.low, reached.high
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

    def one(share: float) -> Coded:
        pictures = [picture[0] for picture in studio.seen(0, 1, [share * shape])]
        for k, face in enumerate(studio.faces):
            if share * shape == k:  # nothing was warped, and its picture may be kept uncoded
                pictures[k] = face.pixels
        coded = studio.encode(np.stack(pictures), True)
        z = mix_levels(coded.z, [share * w for w in weights], studio.shell)
        return Coded(z[None], everything(coded.within, usual))

    def at(t: np.ndarray) -> Coded:
        rows = [one(float(share)) for share in t]
        return Coded(
            torch.cat([row.z for row in rows]), StateRange.cat([row.within for row in rows])
        )

    return Walk(at, guided=True)
