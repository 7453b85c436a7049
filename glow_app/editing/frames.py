"""Walks become pictures: positions, codes, and frames pass by pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glow_app.common.errors import UserError
from glow_app.common.progress import Progress, Steps
from glow_app.editing import paths
from glow_app.editing.codec import Codec
from glow_app.editing.renderer import Renderer
from glow_app.editing.walk import Point, Walk
from glow_app.faces.coding import resized

__all__ = [
    "MAX_FRAMES",
    "Morph",
    "Still",
    "check_even",
    "decoded",
    "even_positions",
    "journey_positions",
    "morph_positions",
    "still",
]

MAX_FRAMES = 2000  # of one morph; at 128 px they and their looks have 200 MB


@dataclass(frozen=True, eq=False)
class Pictures:
    """Frames of a walk, at the model's size, with what is needed to make them larger.

    Attributes:
        frames: (T, S, S, 3) uint8.
        looks: (T, S, S, 3) uint8, g of the codes; where the model draws alone, the frames.
        points: T points of the walk, without their codes, which are larger than the frames.
        clamped_frames: (T,) float32, of each frame the share, 0 to 1, of decoded numbers that
            were outside [0, 1] or not finite; 0 where frames are made of photos.
        renderer: makes frames from photos; None where the model draws alone.
    """

    frames: np.ndarray
    looks: np.ndarray
    points: tuple[Point, ...]
    clamped_frames: np.ndarray
    renderer: Renderer | None

    @property
    def clamped(self) -> float:
        """`clamped_frames` over all frames together."""
        return float(self.clamped_frames.mean())

    @property
    def native(self) -> int:
        """Pixels a side up to which there is detail, S or more."""
        side = self.frames.shape[1]
        return side if self.renderer is None else max(side, self.renderer.native)

    def enlarged(
        self,
        size: int,
        rows: Sequence[int] | None = None,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """The frames, or some of them, at ``size``: (T, size, size, 3) uint8, all at once."""
        each = self.each(size, rows, progress)
        made = np.empty(each.shape, np.uint8)
        for i, frame in enumerate(each):
            made[i] = frame
        return made

    def each(
        self,
        size: int,
        rows: Sequence[int] | None = None,
        progress: Progress | None = None,
    ) -> Enlarged:
        """As `enlarged`, but made while they are gone through, for files of any length."""
        chosen = range(len(self.frames)) if rows is None else rows
        return Enlarged(self, size, tuple(int(row) for row in chosen), progress)


@dataclass(frozen=True, eq=False)
class Enlarged:
    """Frames at another size, made one by one each time that somebody goes through them.

    It has the shape and the dtype of the array of them all, and rows can be chosen as there.

    Attributes:
        pictures: whose frames.
        size: pixels a side.
        rows: numbers of the frames.
        progress: counts them as they are made.
    """

    pictures: Pictures
    size: int
    rows: tuple[int, ...]
    progress: Progress | None = None
    dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, size, size, 3)."""
        return len(self.rows), self.size, self.size, 3

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: np.ndarray) -> Enlarged:
        return replace(self, rows=tuple(self.rows[i] for i in chosen))

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames (size, size, 3) uint8, of which only a few are there at a time."""
        made, rows = self.pictures, list(self.rows)
        if made.renderer is not None and self.size > made.frames.shape[1]:
            points = [made.points[row] for row in rows]
            looks = [made.looks[row] for row in rows]
            yield from made.renderer.each(points, looks, self.size, self.progress)
            return
        steps = Steps(len(rows), self.progress)
        for row in rows:
            frame = resized(made.frames[row], self.size)
            steps.advance()
            yield frame


@dataclass(frozen=True, eq=False)
class Morph(Pictures):
    """Frames along a morph or a journey.

    Attributes:
        t: (T,) float32, the position of each frame: on a morph 0 is A and 1 is B, on a journey
            the share of the whole way.
        u: (T,) float64, positions on the walk, in legs.
        path: of the walk.
        norms: (T, L) float32, ‖z_l‖/√d_l of each level of each frame's code, finest first. A draw
            from the prior at temperature T has about T.
        stops: the frame of each photo that the path passes, in order.
        warped: whether the faces were warped to shapes in between.
    """

    t: np.ndarray
    u: np.ndarray
    path: str
    norms: np.ndarray
    stops: tuple[int, ...]
    warped: bool

    def reversed(self) -> Morph:
        """The same walk from its end: the same codes, so the same pictures."""
        last = len(self.frames) - 1
        return Morph(
            self.frames[::-1],
            self.looks[::-1],
            self.points[::-1],
            self.clamped_frames[::-1],
            self.renderer,
            (1 - self.t)[::-1],
            self.u[::-1],
            self.path,
            self.norms[::-1],
            tuple(last - stop for stop in reversed(self.stops)),
            self.warped,
        )


@dataclass(frozen=True, eq=False)
class Still(Pictures):
    """One picture."""

    @property
    def pixels(self) -> np.ndarray:
        """(S, S, 3) uint8."""
        return self.frames[0]

    @property
    def shape(self) -> np.ndarray | None:
        """(478, 2), of the face on it, where it is known."""
        return self.points[0].shape

    def at(self, size: int) -> np.ndarray:
        """The picture at ``size``: (size, size, 3) uint8."""
        return self.enlarged(size)[0]


def decoded(
    codec: Codec,
    walk: Walk,
    u: np.ndarray,
    steps: Steps,
    coarse: int = 0,
    kappa: float | None = None,
) -> Iterator[Morph]:
    """Make the frames of a walk at positions `u`, in legs; with `coarse`, some first.

    Args:
        u: (T,) float64.
        steps: counts frames, pass by pass.
        coarse: yield every coarse-th frame first, if that includes both ends; nothing is made
            twice. 0: all at once.
        kappa: of the `Renderer`; None for its default.

    Yields:
        the coarse frames if asked for, then all.
    """
    side, count = codec.image_size, len(u)
    looks = np.empty((count, side, side, 3), np.uint8)
    clamped = np.empty(count, np.float32)
    norms = np.empty((count, len(codec.level_shapes)), np.float32)
    points: list[Point | None] = [None] * count
    renderer = _renderer(codec, walk, kappa)
    frames = looks if renderer is None else np.empty_like(looks)

    def make(rows: np.ndarray) -> None:
        for first in range(0, len(rows), codec.batch):
            chunk = rows[first : first + codec.batch]
            made = [_asked(walk.at, float(place)) for place in u[chunk]]
            looks[chunk], lost, z = _looks(codec, walk, made, u[chunk])
            clamped[chunk] = lost if renderer is None else 0  # photos do not clip
            norms[chunk] = _norms(codec, z)
            if renderer is not None:
                frames[chunk] = renderer.frames(made, looks[chunk], side)
            for row, point in zip(chunk.tolist(), made, strict=True):
                points[row] = replace(point, z=None)
            steps.advance(len(chunk))

    def shown(rows: np.ndarray) -> Morph:
        met = (u[rows] == u[rows].round()) & (u[rows] >= 0) & (u[rows] <= walk.legs)
        seen = looks[rows]
        return Morph(
            seen if renderer is None else frames[rows],
            seen,
            tuple(points[row] for row in rows),
            clamped[rows],
            renderer,
            (u[rows] / walk.legs).astype(np.float32),
            u[rows],
            walk.path,
            norms[rows],
            tuple(np.flatnonzero(met).tolist()),
            walk.shaped,
        )

    everything, first = np.arange(count), np.zeros(count, bool)
    if coarse and count > coarse and (count - 1) % coarse == 0:
        first[::coarse] = True
        make(everything[first])
        yield shown(everything[first])
    make(everything[~first])
    yield shown(everything)


def still(codec: Codec, walk: Walk, kappa: float | None = None) -> Still:
    """The picture at the end of a walk of one leg."""
    point, renderer = walk.at(1.0), _renderer(codec, walk, kappa)
    look, lost, _ = _looks(codec, walk, [point], [1.0])
    clamped = lost if renderer is None else np.zeros_like(lost)  # photos do not clip
    pixels = look if renderer is None else renderer.frames([point], look, codec.image_size)
    return Still(pixels, look, (replace(point, z=None),), clamped, renderer)


def _looks(
    codec: Codec, walk: Walk, points: Sequence[Point], u: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, Tensor]:
    """g of the codes of points at positions u, the share of each that was clamped, and the codes.

    What is the look of a photo itself is not decoded.
    """
    if all(point.look is not None for point in points):
        known = np.stack([codec.looks.of(walk.faces[point.look]) for point in points])
        return known, np.zeros(len(points), np.float32), torch.stack([p.z for p in points])
    coded = walk.codes(points, u)
    return *codec.decode_with_report(coded.z, within=coded.within), coded.z


def _renderer(codec: Codec, walk: Walk, kappa: float | None) -> Renderer | None:
    if walk.alone:
        return None
    how = {} if kappa is None else {"kappa": kappa}
    return Renderer(walk.faces, codec.looks, **how)


def even_positions(walk: Walk, u: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """As many positions as `u`, between its ends, with equal changes of the picture.

    Args:
        u: (T,) increasing positions.
        frames: (T, S, S, 3) uint8, the pictures there. Photos on the way stay among the positions.
    """
    changes = np.abs(np.diff(frames.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
    return _asked(paths.even_positions, u, changes, len(u), _met(walk, u))


def check_even(walk: Walk, u: np.ndarray) -> None:
    """Refuse before anything is made that positions are too few for `even_positions`."""
    met = _met(walk, u)
    if len(u) < len(met) + 2:
        ends = f"{u[0]:g} to {u[-1]:g}"
        raise UserError(
            f"At even speed from {ends} photos on the way have frames of their own, so there must "
            f"be at least {len(met) + 2} frames, not {len(u)}."
        )


def _met(walk: Walk, u: np.ndarray) -> list[int]:
    """Positions of the photos between the first and the last of `u`."""
    inside = range(math.floor(u[0]) + 1, math.ceil(u[-1]))
    return [stop for stop in inside if 0 <= stop <= walk.legs]


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
    most = (MAX_FRAMES - 1) // walk.legs + 1
    if not 2 <= frames <= most:
        raise UserError(
            f"A journey has at most {MAX_FRAMES} frames: from one of these photos to the next 2 "
            f"to {most}, not {frames}."
        )
    keys = walk.legs if walk.loop else walk.legs + 1
    return paths.journey_positions(keys, frames, walk.loop).numpy()


def _asked(make: Callable[..., Any], *args: Any) -> Any:
    """A result of `paths`, its refusals in this module's words."""
    try:
        return make(*args)
    except ValueError as error:
        raise UserError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
