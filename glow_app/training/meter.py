"""What happened since the last line of the log, measured without making the device wait."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from glow_app.training.distributed import World

__all__ = ["Meter"]


class Meter:
    """Mean bits/dim and gradient norm, and time; sums stay on the device until asked for.

    Args:
        clock: seconds.
        minutes: of training until now.
    """

    def __init__(self, clock: Callable[[], float], minutes: float) -> None:
        self.steps = 0
        self._clock, self._began, self._minutes = clock, clock(), minutes
        self._sums: Tensor | None = None
        self._counts: Tensor | None = None

    def add(self, bits: Tensor, norm: Tensor) -> None:
        """One more step, with two scalars on the device."""
        self.steps += 1
        values = torch.stack([bits, norm])
        finite = values.isfinite()
        sums, counts = torch.where(finite, values, 0), finite.float()
        self._sums = sums if self._sums is None else self._sums + sums
        self._counts = counts if self._counts is None else self._counts + counts

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done inside is no training time."""
        began = self._clock()
        yield
        self._began += self._clock() - began

    def minutes(self) -> float:
        """Minutes of training until now, in all."""
        return self._minutes + (self._clock() - self._began) / 60

    def values(self, world: World, batch: int) -> tuple[dict[str, float], float]:
        """Entries of a log line, and minutes of training when the device had finished them.

        Means are over the steps where they were finite, and left out where none was; bits/dim is
        that of the whole batch of ``batch`` pictures. Every process must ask.
        """
        if not self.steps:
            return {}, self._minutes
        bits, norm = (self._sums / self._counts).tolist()  # here the host waits for the device
        minutes = self.minutes()
        rate = self.steps * batch / max((minutes - self._minutes) * 60, 1e-9)
        bits = world.total([bits])[0] / world.size
        values = {"images_per_s": round(rate, 2)}
        if math.isfinite(bits):
            values["train_bits_per_dim"] = round(bits, 5)
        if math.isfinite(norm):
            values["grad_norm"] = round(norm, 4)
        return values, minutes
