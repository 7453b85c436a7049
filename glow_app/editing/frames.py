"""Walks become pictures: positions, codes, and frames pass by pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glow_app.common.errors import UserError
from glow_app.common.progress import Progress, Steps
from glow_app.editing import paths
from glow_app.editing.codec import Codec
from glow_app.editing.full_size import PhotoDetail, enlarged
from glow_app.editing.walk import Walk

__all__ = [
    "MAX_FRAMES",
    "Morph",
    "Still",
    "decoded",
    "even_positions",
    "journey_positions",
    "morph_positions",
]

MAX_FRAMES = 2000  # of one morph; at 64 px that is 25 MB of pictures and 100 MB of codes
_GUIDED_PASS = 11  # frames of a guided walk a pass: each is warped and encoded twice first


@dataclass(frozen=True, eq=False)
class Morph:
    """Decoded frames along a walk.

    Attributes:
        frames: (T, S, S, 3) uint8.
        t: (T,) float32, the position of each frame: on a morph 0 is A and 1 is B, on a journey
            the share of the whole way.
        path: a name in `walk.JOURNEY_PATHS`.
        clamped_frames: (T,) float32, of each frame the share, 0 to 1, of decoded numbers that
            were outside [0, 1] or not finite.
        norms: (T, L) float32, ‖z_l‖/√d_l of each level of each frame's code, finest first. A draw
            from the prior at temperature T has about T.
        stops: the frame of each photo that the path passes, in order.
        guided: whether the shape of the faces led the way.
        u: (T,) float64, positions on the walk.
        detail: what the photos have beyond S pixels; None without photos.
    """

    frames: np.ndarray
    t: np.ndarray
    path: str
    clamped_frames: np.ndarray
    norms: np.ndarray
    stops: tuple[int, ...]
    guided: bool
    u: np.ndarray
    detail: PhotoDetail | None = None

    @property
    def clamped(self) -> float:
        """`clamped_frames` over all frames together."""
        return float(self.clamped_frames.mean())

    def reversed(self) -> Morph:
        """The same walk from its end: the same codes, so the same pictures."""
        last = len(self.frames) - 1
        stops = tuple(last - stop for stop in reversed(self.stops))
        back = (self.frames[::-1], (1 - self.t)[::-1], self.path, self.clamped_frames[::-1])
        return Morph(*back, self.norms[::-1], stops, self.guided, self.u[::-1], self.detail)

    @property
    def native(self) -> int:
        """Pixels a side up to which there is detail, S or more."""
        side = self.frames.shape[1]
        return side if self.detail is None else max(side, self.detail.native)

    def enlarged(
        self,
        size: int,
        rows: Sequence[int] | None = None,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """The frames, or some of them, at ``size``: (T, size, size, 3) uint8; see `full_size`."""
        chosen = np.arange(len(self.frames)) if rows is None else np.asarray(rows, int)
        return enlarged(self.frames[chosen], self.u[chosen], self.detail, size, progress)


@dataclass(frozen=True, eq=False)
class Still:
    """One decoded picture.

    Attributes:
        pixels: (S, S, 3) uint8.
        clamped: share, 0 to 1, of decoded numbers that were outside [0, 1] or not finite.
        detail: what the photos have beyond S pixels; None without photos.
    """

    pixels: np.ndarray
    clamped: float
    detail: PhotoDetail | None = None

    @property
    def native(self) -> int:
        """Pixels a side up to which there is detail, S or more."""
        return (
            len(self.pixels) if self.detail is None else max(len(self.pixels), self.detail.native)
        )

    def enlarged(self, size: int) -> np.ndarray:
        """The picture at ``size``: (size, size, 3) uint8; see `full_size`."""
        return enlarged(self.pixels[None], [1.0], self.detail, size)[0]


def decoded(
    codec: Codec, walk: Walk, u: np.ndarray, steps: Steps, coarse: int = 0
) -> Iterator[Morph]:
    """Decode a walk at positions `u`, in legs; with `coarse`, some frames first.

    Args:
        u: (T,) float64.
        steps: counts decoded frames, pass by pass.
        coarse: yield every coarse-th frame first, if that includes both ends; nothing is decoded
            twice. 0: all at once.

    Yields:
        the coarse frames if asked for, then all.
    """
    side, count = codec.image_size, len(u)
    frames = np.empty((count, side, side, 3), np.uint8)
    clamped = np.empty(count, np.float32)
    norms = np.empty((count, len(codec.level_shapes)), np.float32)

    def decode(rows: np.ndarray) -> None:
        half = max(1, codec.batch // 2)  # two warped faces a frame make one pass of encoding
        a_pass = min(_GUIDED_PASS, half) if walk.guided else codec.batch
        for first in range(0, len(rows), a_pass):
            chunk = rows[first : first + a_pass]
            coded = _asked(walk.at, u[chunk])
            frames[chunk], clamped[chunk] = codec.decode_with_report(coded.z, within=coded.within)
            norms[chunk] = _norms(codec, coded.z)
            steps.advance(len(chunk))

    def shown(rows: np.ndarray) -> Morph:
        t = (u[rows] / walk.legs).astype(np.float32)
        met = (u[rows] == u[rows].round()) & (u[rows] >= 0) & (u[rows] <= walk.legs)
        stops = tuple(np.flatnonzero(met).tolist())
        return Morph(
            frames[rows],
            t,
            walk.path,
            clamped[rows],
            norms[rows],
            stops,
            walk.guided,
            u[rows],
            walk.detail,
        )

    everything, first = np.arange(count), np.zeros(count, bool)
    if coarse and count > coarse and (count - 1) % coarse == 0:
        first[::coarse] = True
        decode(everything[first])
        yield shown(everything[first])
    decode(everything[~first])
    yield shown(everything)


def even_positions(walk: Walk, u: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """As many positions as `u`, between its ends, with equal changes of the picture.

    Args:
        u: (T,) increasing positions.
        frames: (T, S, S, 3) uint8, the pictures there. Photos on the way stay among the positions.
    """
    changes = np.abs(np.diff(frames.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
    inside = range(math.floor(u[0]) + 1, math.ceil(u[-1]))
    met = [stop for stop in inside if 0 <= stop <= walk.legs]
    return _asked(paths.even_positions, u, changes, len(u), met)


def _norms(codec: Codec, z: Tensor) -> np.ndarray:
    levels = codec.model.split_levels(z)
    norms = [level.flatten(1).square().mean(dim=1).sqrt() for level in levels]
    return torch.stack(norms, dim=1).numpy()


def morph_positions(frames: int | Sequence[float], t_range: tuple[float, float]) -> np.ndarray:
    """(T,) float64 positions of a morph from a count or from positions; see `morph_frames`."""
    low, high = paths.T_RANGE
    if isinstance(frames, int | np.integer):
        if not 2 <= frames <= MAX_FRAMES:
            raise UserError(f"A morph needs 2 to {MAX_FRAMES} frames, not {frames}.")
        first, last = t_range
        if not low <= first < last <= high:
            raise UserError(f"The range of t must lie between {low:g} and {high:g} and go up.")
        # Rounded, so that a 0 or a 1 on the way is one and meets its photo.
        return np.linspace(first, last, int(frames)).round(12)
    t = np.asarray(frames, dtype=np.float64)
    if t.ndim != 1 or not 1 <= len(t) <= MAX_FRAMES:
        raise UserError(f"A morph needs a row of 1 to {MAX_FRAMES} positions.")
    if not ((t >= low) & (t <= high)).all():
        raise UserError(f"Positions on the path must lie between {low:g} and {high:g}.")
    return t


def journey_positions(walk: Walk, frames: int) -> np.ndarray:
    """(T,) float64 positions of a journey with `frames` a leg; see `Editor.journey`."""
    if frames < 2 or walk.legs * (frames - 1) >= MAX_FRAMES:
        raise UserError(f"A journey needs 2 to {MAX_FRAMES} frames.")
    keys = walk.legs if walk.loop else walk.legs + 1
    return paths.journey_positions(keys, frames, walk.loop).numpy()


def _asked(make: Callable[..., Any], *args: Any) -> Any:
    """A result of `paths`, its refusals in this module's words."""
    try:
        return make(*args)
    except ValueError as error:
        raise UserError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
