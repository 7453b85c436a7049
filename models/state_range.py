"""What the states inside the flow have been, to decode within: smallest and largest values.

The inverse of a flow bursts where a state leaves what its couplings have seen (Behrmann et al.
2021, exploding inverses). States of a picture while it is encoded say what is safe; a code in
between, decoded with every state held there, stays a picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.config import GlowConfig

__all__ = ["RangeRecorder", "StateRange", "hold", "usual_range"]


@dataclass(frozen=True, eq=False)
class StateRange:
    """Smallest and largest value of every channel of the state after every step of flow.

    Made by :meth:`models.Glow.f_with_range`, one row for each image; used by
    :meth:`models.Glow.g`. K is the sum over all steps of the channels of their states
    (``sum(config.state_channels())``), finest level first and steps in flow order.

    Attributes:
        low, high: (N, K) float32, on one device.

    Raises:
        ValueError: they are not two matrices of one shape.
    """

    low: Tensor
    high: Tensor

    def __post_init__(self) -> None:
        if self.low.ndim != 2 or self.low.shape != self.high.shape:
            raise ValueError(
                "The ends of a range are (N, K) both, "
                f"not {tuple(self.low.shape)} and {tuple(self.high.shape)}."
            )

    def __len__(self) -> int:
        """Number of rows N."""
        return len(self.low)

    def __getitem__(self, rows: int | slice | Sequence[int] | Tensor) -> StateRange:
        """Some rows; a single one is still a range of one row, (1, K)."""
        if isinstance(rows, int):
            rows = [rows]
        return StateRange(self.low[rows], self.high[rows])

    @staticmethod
    def cat(ranges: Sequence[StateRange]) -> StateRange:
        """All rows of ``ranges``, one or more, one below the other."""
        return StateRange(torch.cat([r.low for r in ranges]), torch.cat([r.high for r in ranges]))

    def to(self, device: torch.device | str) -> StateRange:
        """The same on ``device``."""
        return StateRange(self.low.to(device), self.high.to(device))

    def widened(self, margin: float) -> StateRange:
        """Wider by ``margin`` ≥ 0 times its width, at either end.

        Raises:
            ValueError: a margin below 0, or no finite number.
        """
        if not 0 <= margin < math.inf:
            raise ValueError(f"A margin is a finite number of at least 0, not {margin}.")
        more = margin * (self.high - self.low)
        return StateRange(self.low - more, self.high + more)

    def union(self, other: StateRange) -> StateRange:
        """The smallest range that holds both, row by row; a single row joins every row."""
        return StateRange(torch.minimum(self.low, other.low), torch.maximum(self.high, other.high))

    def merged(self) -> StateRange:
        """The union of all rows, one or more: (1, K)."""
        return StateRange(self.low.amin(dim=0, keepdim=True), self.high.amax(dim=0, keepdim=True))

    def by_level(self, config: GlowConfig, like: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What :meth:`models.steps.FlowSteps.inverse` takes, for each level, finest first.

        Both ends are (N, steps, C) with the device and dtype of ``like``.
        """
        shapes = [(k, c) for k, (c, _, _) in zip(config.steps, config.shapes(), strict=True)]
        sizes = [k * c for k, c in shapes]
        lows, highs = (end.to(like).split(sizes, dim=1) for end in (self.low, self.high))
        return [
            (low.unflatten(1, shape), high.unflatten(1, shape))
            for low, high, shape in zip(lows, highs, shapes, strict=True)
        ]


def usual_range(ranges: StateRange, percentiles: tuple[float, float] = (0.1, 99.9)) -> StateRange:
    """What is usual among many images: (1, K), for :attr:`models.Glow.usual_range`.

    Args:
        ranges: of thousands of images, one row each; of a hundred, percentiles like these are
            little but the extremes.
        percentiles: that of the images' lows which becomes ``low``, and that of their highs
            which becomes ``high``, so that a few odd images do not count.
    """
    ends = (ranges.low, ranges.high)
    low, high = (
        # One channel at a time: torch.quantile takes 16 million numbers at most.
        torch.stack([column.quantile(p / 100) for column in end.T.contiguous()])
        for end, p in zip(ends, percentiles, strict=True)
    )
    return StateRange(low[None], high[None])


class RangeRecorder:
    """Sees every state on the way through f, and keeps its extremes."""

    def __init__(self) -> None:
        self._lows: list[Tensor] = []
        self._highs: list[Tensor] = []

    def __call__(self, state: Tensor) -> None:
        """Take the next ``state`` (N, C, H, W)."""
        values = state.detach().transpose(0, 1).flatten(2)  # a view when it lies by channels
        self._lows.append(values.amin(dim=2).T)
        self._highs.append(values.amax(dim=2).T)

    def seen(self) -> StateRange:
        """Of all states so far. Rounded outwards: what was seen lies inside."""
        low, high = torch.cat(self._lows, dim=1), torch.cat(self._highs, dim=1)
        return StateRange(_rounded(low, -math.inf), _rounded(high, math.inf))


def hold(state: Tensor, low: Tensor, high: Tensor, overwrite: bool = False) -> Tensor:
    """``state`` (N, C, H, W) with channels held in ``low`` to ``high``, (N, C) or (1, C) each.

    Args:
        overwrite: without gradients, put the result in the memory of ``state``.
    """
    # Two passes: torch.clamp takes several times as long with ends that are broadcast.
    low, high = low[:, :, None, None], high[:, :, None, None]
    if overwrite:
        torch.maximum(state, low, out=state)
        return torch.minimum(state, high, out=state)
    return torch.minimum(torch.maximum(state, low), high)


def _rounded(values: Tensor, direction: float) -> Tensor:
    """``values`` in float32, rounded towards ``direction`` of infinity."""
    nearest = values.float()
    towards = torch.full_like(nearest, direction)
    wrong = nearest < values if direction > 0 else nearest > values
    return torch.where(wrong, nearest.nextafter(towards), nearest)
