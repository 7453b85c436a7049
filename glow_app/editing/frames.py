"""The frames of a walk: points are decoded and rendered pass by pass, at the model's size first.

Larger frames are made of the same decoded looks when they are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glow_app.common.errors import UserError
from glow_app.common.progress import Progress, Steps
from glow_app.editing import paths
from glow_app.editing.model import FaceModel
from glow_app.editing.options import KAPPA
from glow_app.editing.renderer import Renderer
from glow_app.editing.walk import Point, Walk
from glow_app.faces.coding import resized
from glow_app.faces.face import mixed_tone
from models import StateRange


@dataclass(frozen=True, eq=False)
class Frames:
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
        """The mean of `clamped_frames`."""
        return float(self.clamped_frames.mean())

    @property
    def native(self) -> int:
        """Pixels a side up to which there is detail, S or more."""
        side = self.frames.shape[1]
        return side if self.renderer is None else max(side, self.renderer.native)

    def enlarged(
        self, size: int, rows: Sequence[int] | None = None, progress: Progress | None = None
    ) -> np.ndarray:
        """Return the frames, or some of them, at ``size``: (T, size, size, 3) uint8."""
        each = self.each(size, rows, progress)
        return np.fromiter(each, np.dtype((np.uint8, each.shape[1:])), len(each))

    def each(
        self,
        size: int,
        rows: Sequence[int] | np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> Enlarged:
        """As `enlarged`, but each frame is made when it is iterated over, for long files."""
        chosen = range(len(self.frames)) if rows is None else rows
        return Enlarged(self, size, tuple(int(row) for row in chosen), progress)


@dataclass(frozen=True, eq=False)
class Enlarged:
    """The frames `rows` of `source` at another size, made each time that they are iterated over.

    It has the shape and the dtype of the array of them all, and rows can be chosen as there.
    """

    source: Frames
    size: int
    rows: tuple[int, ...]
    progress: Progress | None = None

    @property
    def dtype(self) -> np.dtype:
        """Always uint8."""
        return np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, size, size, 3)."""
        return len(self.rows), self.size, self.size, 3

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: Any) -> Enlarged:
        return replace(self, rows=tuple(self.rows[i] for i in chosen))

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield frames (size, size, 3) uint8, of which only a few are in memory at a time."""
        source, rows = self.source, list(self.rows)
        if source.renderer is not None and self.size > source.frames.shape[1]:
            points = [source.points[row] for row in rows]
            looks = [source.looks[row] for row in rows]  # a slice would be a copy of all
            yield from source.renderer.each(points, looks, self.size, self.progress)
            return
        steps = Steps(len(rows), self.progress)
        for row in rows:
            frame = resized(source.frames[row], self.size)
            steps.advance()
            yield frame


@dataclass(frozen=True, eq=False)
class Morph(Frames):
    """Frames along a morph or a journey.

    Attributes:
        t: (T,) float32, the position of each frame: on a morph 0 is A and 1 is B, on a journey
            the share of the whole way.
        u: (T,) float64, positions on the walk, in legs.
        path: of the walk.
        norms: (T, L) float32, ‖z_l‖/√d_l of each level of each frame's code, finest first; about
            T for a draw from the prior at temperature T.
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
        """Return the same walk from its end: the same codes, so the same pictures."""
        names = ("frames", "looks", "points", "clamped_frames", "u", "norms")
        back = {name: getattr(self, name)[::-1] for name in names}
        last = len(self.frames) - 1
        stops = tuple(last - stop for stop in reversed(self.stops))
        return replace(self, **back, t=(1 - self.t)[::-1], stops=stops)


@dataclass(frozen=True, eq=False)
class Still(Frames):
    """One picture: `Frames` with T = 1."""

    @property
    def pixels(self) -> np.ndarray:
        """(S, S, 3) uint8."""
        return self.frames[0]

    @property
    def shape(self) -> np.ndarray | None:
        """(478, 2), of the face on it, if known."""
        return self.points[0].shape

    def at(self, size: int) -> np.ndarray:
        """Return the picture at ``size``: (size, size, 3) uint8."""
        return self.enlarged(size)[0]


def make_frames(
    model: FaceModel,
    walk: Walk,
    u: np.ndarray,
    steps: Steps,
    coarse: int = 0,
    kappa: float | None = None,
) -> Iterator[Morph]:
    """Make the frames of a walk at positions `u`, (T,) float64, in legs.

    Args:
        steps: counts frames, pass by pass.
        coarse: yield every coarse-th frame first, if that includes both ends, then all; nothing
            is made twice. 0: all at once.
    """
    side, count = model.image_size, len(u)
    renderer = None
    if not walk.alone:
        renderer = Renderer(walk.faces, model.looks, KAPPA if kappa is None else kappa)
    looks = np.empty((count, side, side, 3), np.uint8)
    frames = looks if renderer is None else np.empty_like(looks)
    clamped = np.zeros(count, np.float32)
    norms = np.empty((count, len(model.level_shapes)), np.float32)
    points: list[Any] = [None] * count  # of `Point`
    photos = (u == u.round()) & (u >= 0) & (u <= walk.legs)

    def make(rows: np.ndarray) -> None:
        for first in range(0, len(rows), model.batch):
            chunk = rows[first : first + model.batch]
            at = [walk.at(float(place)) for place in u[chunk]]
            made, shares, z = _decoded(model, walk, at)
            if renderer is None:
                _keep_tone(walk, at, made)
                clamped[chunk] = shares
            else:  # photos do not clip
                frames[chunk] = renderer.frames(at, made, side)
            looks[chunk], norms[chunk] = made, model.norms(z)
            for row, point in zip(chunk.tolist(), at, strict=True):
                points[row] = replace(point, z=None, within=None)
            steps.advance(len(chunk))

    def morph(rows: np.ndarray) -> Morph:
        drawn = looks[rows]
        return Morph(
            frames=drawn if renderer is None else frames[rows],
            looks=drawn,
            points=tuple(points[row] for row in rows),
            clamped_frames=clamped[rows],
            renderer=renderer,
            t=(u[rows] / walk.legs).astype(np.float32),
            u=u[rows],
            path=walk.path,
            norms=norms[rows],
            stops=tuple(np.flatnonzero(photos[rows]).tolist()),
            warped=walk.warped,
        )

    rows = rest = np.arange(count)
    if coarse and count > coarse and (count - 1) % coarse == 0:
        make(rows[::coarse])
        yield morph(rows[::coarse])
        rest = rows[rows % coarse > 0]
    make(rest)
    yield morph(rows)


def make_even_frames(
    model: FaceModel,
    walk: Walk,
    u: np.ndarray,
    progress: Progress | None = None,
    kappa: float | None = None,
) -> Morph:
    """Make as many frames as `u` has, between its ends, with equal changes of the picture, which
    are measured on frames that are made first. Photos on the way stay among the frames.
    Raises UserError: too few frames for that."""
    closed = walk.loop and u[-1] < walk.legs  # the way back to the first photo counts as well
    measured = np.append(u, float(walk.legs)) if closed else u
    inside = range(math.floor(measured[0]) + 1, math.ceil(measured[-1]))
    stops = [stop for stop in inside if 0 <= stop <= walk.legs]
    if len(measured) < len(stops) + 2:
        raise UserError(
            f"At even speed from {measured[0]:g} to {measured[-1]:g} photos on the way have "
            f"frames of their own, so there must be at least {len(stops) + 2} frames, not "
            f"{len(measured)}."
        )
    steps = Steps(len(u) + len(measured), progress)
    *_, first = make_frames(model, walk, measured, steps, kappa=kappa)
    changes = np.abs(np.diff(first.frames.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
    even = paths.even_positions(measured, changes, len(measured), stops)
    *_, morph = make_frames(model, walk, even[: len(u)], steps, kappa=kappa)
    return morph


def make_still(model: FaceModel, walk: Walk) -> Still:
    """Make the picture at the end of a walk of one leg."""
    (one,) = make_frames(model, walk, np.ones(1), Steps(1))
    return Still(one.frames, one.looks, one.points, one.clamped_frames, one.renderer)


def _decoded(
    model: FaceModel, walk: Walk, points: Sequence[Point]
) -> tuple[np.ndarray, np.ndarray, Tensor]:
    """Return g of the codes of points, the share of each that was clamped, and the codes.
    Looks of the faces themselves are not decoded."""
    z = torch.stack([point.z for point in points if point.z is not None])
    own = [walk.faces[point.look] for point in points if point.look is not None]
    if len(own) == len(points):
        return np.stack([*map(model.looks.of, own)]), np.zeros(len(points), np.float32), z
    ranges = [point.within for point in points if point.within is not None]
    within = StateRange.cat(ranges) if ranges else None
    return *model.decode_with_report(z, within=within), z


def _keep_tone(walk: Walk, points: Sequence[Point], looks: np.ndarray) -> None:
    """Give looks (T, S, S, 3) between photos in black and white or sepia their mixed tone, which
    the model does not keep. The photos themselves are left as they are."""
    for point, look in zip(points, looks, strict=True):
        weights = zip(walk.faces, point.weights, strict=True)
        tone = mixed_tone([(face.tone, w) for face, w in weights if w])
        if tone is not None and point.photo is None:
            look[:] = (tone.of(look) + 0.5).clip(0, 255)
