"""Walks through codes: for any position the code there, and the range in which it is decoded.

A morph, a journey, a loop, a mix and an edit are all walks; the editor decodes walks and knows
nothing else of them. What is common to all of them stands here: the path stays on the shell
(`shell`), and decoding is guarded by what the states of the photos reach (`guard`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from glow_app.common.errors import UserError
from glow_app.editing import paths
from glow_app.editing.codec import Coded
from glow_app.editing.directions import Direction
from glow_app.editing.full_size import Blend, PhotoDetail
from glow_app.editing.portrait import Portrait
from glow_app.editing.shell import Shell
from models import StateRange

__all__ = [
    "JOURNEY_PATHS",
    "MARGIN",
    "MORPH_PATHS",
    "Style",
    "Walk",
    "edit_walk",
    "journey_walk",
    "legs_of",
    "mix_levels",
    "mix_walk",
]

MORPH_PATHS: tuple[str, ...] = ("shell", *paths.PATHS)
JOURNEY_PATHS: tuple[str, ...] = ("cubic", *MORPH_PATHS)

# How far beyond what the photos' states reach a state may go, as a share of that range. Without
# any margin contrast suffers; a margin of 1 guards little (docs/results.md).
MARGIN = 0.25

# Levels of two faces fit together less well than two whole codes: with this dip 1.7 % of the
# values of random mixes of photos are saturated, with 0.965 it is 2.2 %.
_MIX_DIP = 0.92


@dataclass(frozen=True)
class Walk:
    """A way through codes.

    Attributes:
        at: positions (T,) float64 to T codes and their ranges.
        path: its kind, one of `JOURNEY_PATHS`; "" where there is but one.
        legs: positions run from 0 to this; those beyond extrapolate, where the walk allows it.
        loop: position `legs` is position 0 again.
        guided: whether the shape of the faces leads it.
        detail: what the photos have beyond the model's size; None where nobody asked.
    """

    at: Callable[[np.ndarray], Coded]
    path: str = ""
    legs: int = 1
    loop: bool = False
    guided: bool = False
    detail: PhotoDetail | None = None

    def with_detail(self, faces: Sequence[Portrait]) -> Walk:
        """The same through ``faces``, each leg with the detail of both its photos."""
        count = len(faces)

        def blend(u: float) -> Blend:
            if count == 1:  # an edit leaves its photo where it is
                return Blend(0, 0, 0.0, None)
            leg, t = legs_of(torch.tensor([u], dtype=torch.float64), count, self.loop)
            a, t = int(leg), float(t)
            return Blend(a, (a + 1) % count, min(max(t, 0.0), 1.0), t)

        return replace(self, detail=PhotoDetail(tuple(faces), blend))


@dataclass(frozen=True)
class Style:
    """How a walk between photos goes.

    Attributes:
        path: one of `JOURNEY_PATHS`. "shell": straight ahead, with the length that codes have;
            "linear": the bare straight line; "spherical": an arc; "cubic": a curve through
            several codes, on the shell.
        sharpness: 0 to 1, how much of the codes' length is kept between them: 0 is the bare line
            or curve, 1 the whole length; None for what the path says.
        shell: where codes of this model lie.
    """

    path: str
    sharpness: float | None
    shell: Shell

    @property
    def share(self) -> float:
        """How much of the shell is used: 0 for the paths that do not."""
        if self.path not in ("shell", "cubic"):
            return 0.0
        return 1.0 if self.sharpness is None else self.sharpness

    def points(self, keys: Tensor, u: Tensor, loop: bool = False) -> Tensor:
        """Codes (T, D) at positions `u` (T,) in legs; the keys (K, D) themselves bit for bit."""
        kind = {"shell": "linear"}.get(self.path, self.path)
        if len(keys) == 2 and not loop:
            kind = {"cubic": "linear"}.get(kind, kind)
            bare = paths.path(keys[0], keys[1], u, kind, self._bare())
        else:
            bare = paths.journey(keys, u, kind, loop, self._bare())
        if not self.share:
            return bare
        leg, t = legs_of(u, len(keys), loop)
        a, b = keys[leg], keys[(leg + 1) % len(keys)]
        return torch.where(_exact(u)[:, None], bare, self.shell.put(bare, a, b, t, self.share))

    def _bare(self) -> float | None:
        return 0.0 if self.path in ("shell", "cubic") else self.sharpness


def legs_of(u: Tensor, keys: int, loop: bool) -> tuple[Tensor, Tensor]:
    """The leg (T,) int64 of each position, and where on it: 0 to 1, or outside beyond the ends."""
    legs = keys if loop else keys - 1
    leg = u.floor().long().clamp(0, legs - 1)
    return leg, u - leg


def journey_walk(coded: Coded, style: Style, usual: StateRange | None, loop: bool = False) -> Walk:
    """Through K ≥ 2 photos, the rows of `coded`; with two, a morph, which goes on beyond them.

    Between two photos a state is held within what these two reach; where more photos bend the
    path, or it leaves them behind, within what all of them and the training faces (`usual`) do.
    """
    keys, own = coded.z, coded.within
    legs = len(keys) if loop else len(keys) - 1

    def at(u: np.ndarray) -> Coded:
        places = torch.from_numpy(np.asarray(u, np.float64))
        z = style.points(keys, places, loop)
        if (style.path == "cubic" and len(keys) > 2) or _outside(places, legs):
            return Coded(z, everything(own, usual))
        leg, _ = legs_of(places, len(keys), loop)
        return Coded(z, own[leg].union(own[(leg + 1) % len(keys)]).widened(MARGIN))

    return Walk(at, style.path, legs, loop)


def mix_walk(
    coded: Coded, weights: Sequence[float], shell: Shell, usual: StateRange | None
) -> Walk:
    """From photo A (0) to its mix with photo B (1): level l goes by w_l·(z_b,l - z_a,l).

    Args:
        coded: A and B.
        weights: one for each level, finest first; 0 is A's, 1 is B's, both bit for bit.
        shell: each level between A and B keeps the length that this says.
    """

    def at(t: np.ndarray) -> Coded:
        rows = [mix_levels(coded.z, [float(s) * w for w in weights], shell) for s in t]
        return Coded(torch.stack(rows), everything(coded.within, usual))

    return Walk(at)


def mix_levels(z: Tensor, weights: Sequence[float], shell: Shell) -> Tensor:
    """One code (D,): each level of z[0] and z[1] mixed by its weight, on the shell."""
    levels_a, levels_b = (row.split(list(shell.sizes)) for row in z)
    levels = paths.mix(levels_a, levels_b, weights)
    shell = replace(shell, dip=min(shell.dip, _MIX_DIP))
    mended = []
    for i, (level, a, b, w) in enumerate(zip(levels, levels_a, levels_b, weights, strict=True)):
        if w in (0, 1):
            mended.append(level)
        else:
            where = torch.tensor([float(w)])
            mended.append(shell.level(i).put(level[None], a[None], b[None], where)[0])
    return torch.cat(mended)


def edit_walk(
    coded: Coded,
    strengths: Sequence[tuple[Direction, float]],
    toward: float,
    average: Tensor | None,
    shell: Shell,
    usual: StateRange | None,
) -> Walk:
    """From a photo (0) to its edited self (1): z + w·(average - z) + Σ s_i·d_i.

    Args:
        coded: the photo, one row.
        average: (D,) code to go towards, on the shell; None for the mean of the prior, z = 0,
            whose face is smooth.
    """
    z = coded.z
    move = sum((s * direction.vector.to(z) for direction, s in strengths), torch.zeros_like(z[0]))

    def at(t: np.ndarray) -> Coded:
        times = torch.from_numpy(np.asarray(t, np.float64))
        target = torch.zeros_like(z[0]) if average is None else average.to(z)
        style = Style("linear" if average is None else "shell", None, shell)
        points = style.points(torch.stack([z[0], target]), times * toward)
        points = points + (times[:, None] * move.double()).to(points)
        # What one photo reaches says little of where an edit may lead.
        return Coded(points, None if usual is None else everything(coded.within, usual))

    return Walk(at)


def everything(own: StateRange, usual: StateRange | None) -> StateRange:
    """One row: what all these photos and, where known, the training faces reach, with a margin."""
    merged = own.merged()
    return (merged if usual is None else merged.union(usual)).widened(MARGIN)


def _outside(places: Tensor, legs: int) -> bool:
    return bool(((places < 0) | (places > legs)).any())


def _exact(u: Tensor) -> Tensor:
    return u == u.round()


def check_path(path: str, known: tuple[str, ...], sharpness: float | None) -> None:
    """Refuse an unknown path or a sharpness out of range, in one sentence."""
    if path not in known:
        raise UserError(f"Unknown path {path!r}: choose one of {', '.join(known)}.")
    if sharpness is not None and not (math.isfinite(sharpness) and 0 <= sharpness <= 1):
        raise UserError(f"The sharpness lies between 0 and 1, not at {sharpness}.")
