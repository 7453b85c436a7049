"""What one can do with faces in latent space: morph, travel, mix, edit, average, draw.

No page, no files. Pictures come in and go out as uint8 arrays; codes stay inside, but for that of
an average. The geometry is in `paths`, the model in `codec`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glow_app.common.errors import UserError
from glow_app.common.progress import Progress, Steps
from glow_app.editing import directions, paths
from glow_app.editing.codec import Codec, Reading, generator
from glow_app.editing.directions import Direction

__all__ = [
    "MAX_FRAMES",
    "MAX_SEED",
    "SAMPLE_PASS",
    "Editor",
    "Morph",
    "Reading",
    "Still",
]

MAX_FRAMES = 2000  # of one morph; at 64 px that is 25 MB of pictures and 100 MB of codes
MAX_SEED = 2**32 - 1  # torch's CPU generator looks at no more bits of a seed
SAMPLE_PASS = 8  # samples a pass, always just as many: see Editor.sample

_NEIGHBOUR_SALT = 0x9E3779B9  # neighbours of seed s must not be made of the noise of s itself


@dataclass(frozen=True, eq=False)
class Morph:
    """Decoded frames along a path.

    Attributes:
        frames: (T, S, S, 3) uint8.
        t: (T,) float32, the position of each frame: on a morph 0 is A and 1 is B, on a journey
            the share of the whole way.
        path: a name in `paths.JOURNEYS`.
        clamped_frames: (T,) float32, of each frame the share, 0 to 1, of decoded numbers that
            were outside [0, 1] or not finite.
        norms: (T, L) float32, ‖z_l‖/√d_l of each level of each frame's code, finest first. A draw
            from the prior at temperature T has about T.
        stops: the frame of each photo that the path passes, in order.
    """

    frames: np.ndarray
    t: np.ndarray
    path: str
    clamped_frames: np.ndarray
    norms: np.ndarray
    stops: tuple[int, ...]

    @property
    def clamped(self) -> float:
        """`clamped_frames` over all frames together."""
        return float(self.clamped_frames.mean())


@dataclass(frozen=True, eq=False)
class Still:
    """One decoded picture.

    Attributes:
        pixels: (S, S, 3) uint8.
        clamped: share, 0 to 1, of decoded numbers that were outside [0, 1] or not finite.
    """

    pixels: np.ndarray
    clamped: float


class Editor(Codec):
    """A `Codec` with everything that can be done between encoding and decoding.

    Long work takes `progress`, see `glow_app.common.progress.Progress`, which also stops it.
    Anything out of range raises `UserError`.
    """

    # ------------------------------------------------------------------------------------ paths

    def morph_frames(
        self,
        a: np.ndarray,
        b: np.ndarray,
        frames: int | Sequence[float] = 33,
        path: str = "linear",
        *,
        sharpness: float | None = None,
        t_range: tuple[float, float] = (0.0, 1.0),
        constant_speed: bool = False,
        progress: Progress | None = None,
    ) -> Morph:
        """Morph picture A into picture B: x_t = g(z_t), z_t on a path from f(A) to f(B).

        The ends are decoded like any other frame; they equal A and B because g(f(x)) = x.

        Args:
            a: (S, S, 3) uint8.
            b: (S, S, 3) uint8.
            frames: how many, at least 2, evenly spaced over `t_range` with both its ends; or the
                positions t themselves, each within `paths.T_RANGE`.
            path: one of `paths.PATHS`.
            sharpness: 0 to 1, see `paths.path`; None for what the path says.
            t_range: first and last t, within `paths.T_RANGE`; beyond 0 and 1 the path goes on
                straight ahead, and colours may have to be clamped.
            constant_speed: choose the positions so that the picture changes by the same amount
                from frame to frame (mean absolute difference of levels, measured on frames that
                are decoded first, which doubles the time). A and B are still met where the
                range has them. Only for a number of frames.
            progress: counts decoded frames.

        Raises:
            UserError: wrong pictures, frames, path or range.
        """
        t = _positions(frames, t_range)
        if constant_speed and not isinstance(frames, int | np.integer):
            raise UserError("Constant speed chooses the positions: give a number of frames.")
        z = self.encode(np.stack([self._check_one(a), self._check_one(b)]))

        def at(t: np.ndarray) -> Tensor:
            return _asked(paths.path, z[0], z[1], torch.from_numpy(t), path, sharpness)

        steps = Steps(len(t) * (1 + constant_speed), progress)
        if constant_speed:
            met = [stop for stop in (0.0, 1.0) if t[0] < stop < t[-1]]
            t = self._evenly(at, t, met, steps)
        return self._decoded(at(t), t, path, (t == 0) | (t == 1), steps)

    def journey(
        self,
        pictures: Sequence[np.ndarray],
        frames: int = 33,
        path: str = "cubic",
        loop: bool = False,
        *,
        sharpness: float | None = None,
        constant_speed: bool = False,
        progress: Progress | None = None,
    ) -> Morph:
        """Morph through several pictures A → B → C …; with `loop`, back to A without repeating it.

        Args:
            pictures: K ≥ 2 pictures (S, S, 3) uint8.
            frames: frames a leg with both ends; neighbouring legs share one. See
                `paths.journey_positions` for the total.
            path: one of `paths.JOURNEYS`.
            loop: add the leg from the last picture to the first; a cubic loop has no seam.
            sharpness: 0 to 1, see `paths.journey`; None for what the path says.
            constant_speed: as for `morph_frames`, over the whole journey: legs on which more
                changes get more of the frames.
            progress: counts decoded frames.

        Returns:
            The frames; picture k is frame `stops[k]`, which without `constant_speed` is
            k·(frames - 1).

        Raises:
            UserError: wrong pictures, frames or path, or fewer than two pictures.
        """
        if len(pictures) < 2:
            raise UserError("A journey needs at least two pictures.")
        legs = len(pictures) if loop else len(pictures) - 1
        if frames < 2 or legs * (frames - 1) >= MAX_FRAMES:
            raise UserError(f"A journey needs 2 to {MAX_FRAMES} frames.")
        z = self.encode(np.stack([self._check_one(picture) for picture in pictures]))

        def at(u: np.ndarray) -> Tensor:
            return _asked(paths.journey, z, torch.from_numpy(u), path, loop, sharpness)

        u = paths.journey_positions(len(pictures), frames, loop).numpy()
        steps = Steps(len(u) * (1 + constant_speed) + (constant_speed and loop), progress)
        if constant_speed:
            whole = np.append(u, float(legs)) if loop else u  # the way home counts as well
            u = self._evenly(at, whole, range(1, legs), steps)[: len(u)]
        return self._decoded(at(u), u / legs, path, u == u.round(), steps)

    # ------------------------------------------------------------------------------------ edits

    def mix(self, a: np.ndarray, b: np.ndarray, weights: Sequence[float]) -> Still:
        """Mix two pictures scale by scale: z_l = z_a,l + w_l·(z_b,l - z_a,l) at each level l.

        Args:
            a: (S, S, 3) uint8.
            b: (S, S, 3) uint8.
            weights: one for each level of the flow, finest first, within `paths.T_RANGE`: 0
                takes the level from A, 1 from B. `paths.coarse_fine` makes the usual ones.

        Raises:
            UserError: wrong pictures or weights.
        """
        low, high = paths.T_RANGE
        if not all(low <= w <= high for w in weights):
            raise UserError(f"The weight of a level lies between {low:g} and {high:g}.")
        z = self.encode(np.stack([self._check_one(a), self._check_one(b)]))
        levels_a, levels_b = (self.model.split_levels(row[None]) for row in z)
        levels = _asked(paths.mix, levels_a, levels_b, weights)
        return self._still(self.model.join_levels(levels))

    def edit(
        self,
        picture: np.ndarray,
        strengths: Sequence[tuple[Direction, float]] = (),
        *,
        toward: float = 0.0,
        average: Tensor | None = None,
    ) -> Still:
        """Move a face along directions: z' = z + w·(average - z) + Σ s_i·d_i.

        Args:
            picture: (S, S, 3) uint8.
            strengths: directions, learned for this very model, each with its strength s: 1 moves
                by one difference between the two classes it was learned from.
            toward: w in [0, 1], how far to go towards the average first.
            average: (D,) code from `average`; None for the mean of the model's prior, z = 0.

        Raises:
            UserError: wrong picture, a strength that is not finite, a direction or an average
                of another model.
        """
        if not 0 <= toward <= 1:
            raise UserError(f"How far to go towards the average lies in 0 to 1, not {toward}.")
        z = self.encode(self._check_one(picture))
        target = torch.zeros_like(z) if average is None else self._check_codes(average).to(z)
        z = paths.toward(z[0], target[0], toward)
        for direction, strength in strengths:
            if not math.isfinite(strength):
                raise UserError(f"The strength of {direction.name} must be finite.")
            if direction.fingerprint != self.fingerprint:
                raise UserError(f"The direction {direction.name} is of another model.")
            z = z + strength * direction.vector.to(z)
        return self._still(z[None])

    def average(self, pictures: Sequence[np.ndarray], progress: Progress | None = None) -> Tensor:
        """The mean code (D,) of one or more pictures; `decode` shows it.

        It lies where few codes do, near the origin, so the face is smooth and plain.
        """
        if not len(pictures):
            raise UserError("An average needs at least one picture.")
        total = torch.zeros(self.model.dims, dtype=torch.float64)
        for codes in self.encode_each(pictures, progress):
            total += codes.double().sum(dim=0)
        return (total / len(pictures)).float()

    def load_direction(self, path: str | Path) -> Direction:
        """A direction from a file; raises `UserError` if it is not one of this model."""
        return directions.load(path, self.fingerprint)

    def directions(self) -> list[Direction]:
        """The directions that come with the program and fit this model, by name; often none."""
        found = []
        for path in sorted(directions.pretrained_folder().glob("*.safetensors")):
            with suppress(UserError):  # of other weights
                found.append(self.load_direction(path))
        return found

    # ---------------------------------------------------------------------------------- samples

    def sample(
        self,
        n: int = 1,
        temperature: float = 0.7,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """New faces: x = g(T·ε), ε ~ N(0, I).

        Picture i of n with seed s is the picture of `sample(1, T, s + i)`, to the byte on one
        device: each has a generator of its own, on the CPU, and is decoded in a pass of one
        fixed size, since another size may round differently.

        Args:
            n: how many, at least 1.
            temperature: T ≥ 0; 1 is the model's own distribution, less is tamer.
            seed: that of the first; the last, seed + n - 1, is at most `MAX_SEED`.
            progress: counts pictures.

        Returns:
            (n, S, S, 3) uint8.

        Raises:
            UserError: an argument out of range, or the device ran out of memory.
        """
        return self.sample_temperatures([temperature], n, seed, progress)[0]

    def sample_temperatures(
        self,
        temperatures: Sequence[float],
        n: int = 8,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """The same seeds at several temperatures: (R, n, S, S, 3) uint8, one row for each.

        Row r is `sample(n, temperatures[r], seed)`.
        """
        _check_count(n)
        for temperature in temperatures:
            _check_temperature(temperature)
        if not 0 <= seed <= MAX_SEED + 1 - n:
            raise UserError(f"Seeds are whole numbers from 0 to {MAX_SEED}, not {seed}.")
        steps = Steps(n * len(temperatures), progress)
        rows = []
        for temperature in temperatures:
            noise = (self._noise(generator(seed + i)) for i in range(n))
            rows.append(self._drawn(n, (z * temperature for z in noise), steps))
        return np.stack(rows)

    def neighbours(
        self,
        seed: int,
        n: int = 8,
        radius: float = 0.3,
        temperature: float = 0.7,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Faces near the one that `seed` draws: T·(√(1 - r²)·ε_seed + r·ε_i).

        Args:
            seed: of the face in the middle, as for `sample`.
            n: how many, at least 1. Neighbour i is the same picture for every n.
            radius: r in [0, 1], see `paths.near`: 0 is the face itself, 1 any other.
            temperature: T ≥ 0, as for `sample`.
            progress: counts pictures.

        Returns:
            (n, S, S, 3) uint8.
        """
        _check_count(n)
        _check_temperature(temperature)
        if not 0 <= seed <= MAX_SEED:
            raise UserError(f"Seeds are whole numbers from 0 to {MAX_SEED}, not {seed}.")
        centre, others = self._noise(generator(seed)), generator(seed ^ _NEIGHBOUR_SALT)
        noise = (self._noise(others) for _ in range(n))
        codes = (_asked(paths.near, centre, own, radius) * temperature for own in noise)
        return self._drawn(n, codes, Steps(n, progress))

    # ----------------------------------------------------------------------------------- inside

    def _still(self, z: Tensor) -> Still:
        pixels, clamped = self.decode_with_report(z)
        return Still(pixels[0], float(clamped[0]))

    def _evenly(
        self,
        at: Callable[[np.ndarray], Tensor],
        t: np.ndarray,
        stops: Sequence[float],
        steps: Steps,
    ) -> np.ndarray:
        """As many positions as `t`, between its ends, with equal changes of the picture."""
        frames, _ = self.decode_with_report(at(t), steps=steps)
        changes = np.abs(np.diff(frames.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
        return _asked(paths.even_positions, t, changes, len(t), stops)

    def _decoded(
        self, z: Tensor, t: np.ndarray, path: str, stops: np.ndarray, steps: Steps
    ) -> Morph:
        """The morph along codes (T, D), where `stops` (T,) says which of them are photos."""
        frames, clamped = self.decode_with_report(z, steps=steps)
        met = tuple(np.flatnonzero(stops).tolist())
        return Morph(frames, t.astype(np.float32), path, clamped, self._norms(z), met)

    def _norms(self, z: Tensor) -> np.ndarray:
        levels = self.model.split_levels(z)
        norms = [level.flatten(1).square().mean(dim=1).sqrt() for level in levels]
        return torch.stack(norms, dim=1).numpy()

    def _noise(self, source: torch.Generator) -> Tensor:
        return torch.randn(self.model.dims, generator=source)

    def _drawn(self, n: int, codes: Iterator[Tensor], steps: Steps) -> np.ndarray:
        """Pictures of `n` codes (D,), in passes of one size, the last one filled up with zeros."""
        pictures = []
        for first in range(0, n, SAMPLE_PASS):
            count = min(SAMPLE_PASS, n - first)
            z = torch.zeros(SAMPLE_PASS, self.model.dims)
            for i in range(count):
                z[i] = next(codes)
            pictures.append(self._decode(z)[0][:count])
            steps.advance(count)
        return np.concatenate(pictures)


def _positions(frames: int | Sequence[float], t_range: tuple[float, float]) -> np.ndarray:
    """(T,) float64 positions from a count or from positions."""
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


def _check_count(n: int) -> None:
    if n < 1:
        raise UserError(f"At least one sample must be asked for, not {n}.")


def _check_temperature(temperature: float) -> None:
    if not (math.isfinite(temperature) and temperature >= 0):
        raise UserError(f"The temperature must be a number from 0 up, not {temperature}.")


def _asked(make: Callable[..., Any], *args: Any) -> Any:
    """A result of `paths`, its refusals in this module's words."""
    try:
        return make(*args)
    except ValueError as error:
        raise UserError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
