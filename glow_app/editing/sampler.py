"""Faces that the model draws by itself: by seed and temperature, and near one of them.

A model of looks draws in the mean shape. Where released weights come with the shapes of faces
(`shapes.ShapePrior`), a shape is drawn beside each look, and the look is warped to it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

import models
from glow_app.common.errors import UserError
from glow_app.common.progress import Progress, Steps
from glow_app.editing import paths
from glow_app.editing.codec import CORES, Codec, generator
from glow_app.editing.shapes import ShapePrior, pretrained_file
from glow_app.faces.warp import reshaped

__all__ = ["MAX_SEED", "SAMPLE_PASS", "Sampler"]

MAX_SEED = 2**32 - 1  # torch's CPU generator looks at no more bits of a seed
SAMPLE_PASS = 8  # samples a pass on a GPU, always just as many: see Sampler.sample

_NEIGHBOUR_SALT = 0x9E3779B9  # neighbours of seed s must not be made of the noise of s itself


class Sampler(Codec):
    """A `Codec` that draws from the prior. Anything out of range raises `UserError`."""

    @functools.cached_property
    def shapes(self) -> ShapePrior | None:
        """Of the faces that these weights draw; None: all are drawn as the model has them."""
        with suppress(UserError, models.CheckpointError):
            found = ShapePrior.load(pretrained_file(self.name))
            if found.fingerprint == self.fingerprint:
                return found
        return None

    def sample(
        self,
        n: int = 1,
        temperature: float = 0.7,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """New faces: x = g(T·ε), ε ~ N(0, I), in a shape that is drawn likewise (`shapes`).

        Picture i of n with seed s is the picture of `sample(1, T, s + i)`, to the byte on one
        device: each has a generator of its own, on the CPU, and is decoded in a pass of one
        fixed size, since another size may round differently: one on a core, eight on a GPU.

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
        _check_seed(seed, n)
        steps = Steps(n * len(temperatures), progress)
        rows = []
        for temperature in temperatures:
            noise = (self._noise(generator(seed + i)) for i in range(n))
            rows.append(self._drawn(n, (z * temperature for z in noise), steps)[0])
        return np.stack(rows)

    def drawn(self, seed: int, temperature: float = 0.7) -> tuple[np.ndarray, np.ndarray | None]:
        """The picture of `sample(1, temperature, seed)`, and its landmarks (478, 2) where its
        shape was drawn."""
        _check_temperature(temperature)
        _check_seed(seed)
        codes = iter([self._noise(generator(seed)) * temperature])
        pictures, shapes = self._drawn(1, codes, Steps(1))
        return pictures[0], shapes[0]

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
        _check_seed(seed)
        centre, others = self._noise(generator(seed)), generator(seed ^ _NEIGHBOUR_SALT)
        noise = (self._noise(others) for _ in range(n))
        if not 0 <= radius <= 1:
            raise UserError(f"The radius lies between 0 and 1, not at {radius}.")
        codes = (paths.near(centre, own, radius) * temperature for own in noise)
        return self._drawn(n, codes, Steps(n, progress))[0]

    def _noise(self, source: torch.Generator) -> Tensor:
        """(D + K,) of a look, and of a shape where there are any."""
        look = torch.randn(self.model.dims, generator=source)
        if self.shapes is None:
            return look
        return torch.cat([look, torch.randn(self.shapes.size, generator=source)])

    def _drawn(
        self, n: int, codes: Iterator[Tensor], steps: Steps
    ) -> tuple[np.ndarray, list[np.ndarray | None]]:
        """Pictures of `n` codes (D + K,), and their shapes."""
        dims, pictures, shapes = self.model.dims, [], []
        size = CORES if self.device.type == "cpu" else SAMPLE_PASS
        for first in range(0, n, size):
            count = min(size, n - first)
            rows = torch.stack([next(codes) for _ in range(count)])
            z = rows[:, :dims]
            if self.device.type != "cpu":  # filled up
                z = torch.cat([z, z.new_zeros(size - count, dims)])
            for look, row in zip(self._decode(z)[0], rows, strict=False):
                picture, shape = look, None
                if self.shapes is not None:
                    shape = self.shapes.at(row[:dims], row[dims:])
                    picture = reshaped(look, self.looks.mean, shape)
                pictures.append(picture)
                shapes.append(shape)
            steps.advance(count)
        return np.stack(pictures), shapes


def _check_seed(seed: int, n: int = 1) -> None:
    """Of the first of n."""
    if not 0 <= seed <= MAX_SEED + 1 - n:
        raise UserError(f"Seeds are whole numbers from 0 to {MAX_SEED}, not {seed}.")


def _check_count(n: int) -> None:
    if n < 1:
        raise UserError(f"At least one sample must be asked for, not {n}.")


def _check_temperature(temperature: float) -> None:
    if not (math.isfinite(temperature) and temperature >= 0):
        raise UserError(f"The temperature must be a number from 0 up, not {temperature}.")
