"""Ranges of the states inside the flow, recorded while encoding and kept to while decoding.

The inverse of a flow explodes where a state leaves what its couplings have seen (Behrmann et al.
2021, exploding inverses). The states of a picture while it is encoded are safe; a code in between
two pictures, decoded with every state clamped to theirs, stays a picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.config import GlowConfig


@dataclass(frozen=True, eq=False)
class StateRange:
    """Smallest and largest value of every channel of the state after every step of flow.

    One row for each image. K is the sum over all steps of the channels of their states
    (``sum(config.state_channels())``), finest level first and steps in flow order.

    Raises:
        ValueError: they are not two matrices of one shape.
    """

    low: Tensor  # (N, K) float32, on one device
    high: Tensor  # (N, K) float32, on one device

    def __post_init__(self) -> None:
        if self.low.ndim != 2 or self.low.shape != self.high.shape:
            raise ValueError(
                "The ends of a range are (N, K) both, "
                f"not {tuple(self.low.shape)} and {tuple(self.high.shape)}."
            )

    def __len__(self) -> int:
        return len(self.low)

    def __getitem__(self, rows: int | slice | Sequence[int] | Tensor) -> StateRange:
        """Select rows; a single one gives a range of one row, (1, K)."""
        if isinstance(rows, int):
            rows = [rows]
        return StateRange(self.low[rows], self.high[rows])

    @staticmethod
    def cat(ranges: Sequence[StateRange]) -> StateRange:
        return StateRange(torch.cat([r.low for r in ranges]), torch.cat([r.high for r in ranges]))

    def to(self, device: torch.device | str) -> StateRange:
        return StateRange(self.low.to(device), self.high.to(device))

    def widened(self, margin: float) -> StateRange:
        """Return the range with both ends moved outwards by ``margin`` ≥ 0 times its width.
        Raises ValueError: the margin is below 0 or not finite."""
        if not 0 <= margin < math.inf:
            raise ValueError(f"A margin is a finite number of at least 0, not {margin}.")
        more = margin * (self.high - self.low)
        return StateRange(self.low - more, self.high + more)

    def union(self, other: StateRange) -> StateRange:
        """Return the smallest range that contains both, row by row; one row joins every row."""
        return StateRange(torch.minimum(self.low, other.low), torch.maximum(self.high, other.high))

    def merged(self) -> StateRange:
        """Return the union of all rows, one or more: (1, K)."""
        return StateRange(self.low.amin(dim=0, keepdim=True), self.high.amax(dim=0, keepdim=True))

    def by_level(self, config: GlowConfig, like: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return ``within`` of :meth:`models.steps.FlowSteps.inverse` for each level in turn.

        Both ends are (N, steps, C) with the device and dtype of ``like``.
        """
        shapes = [(k, c) for k, (c, _, _) in zip(config.steps, config.shapes(), strict=True)]
        sizes = [k * c for k, c in shapes]
        lows, highs = (end.to(like).split(sizes, dim=1) for end in (self.low, self.high))
        return [
            (low.unflatten(1, shape), high.unflatten(1, shape))
            for low, high, shape in zip(lows, highs, shapes, strict=True)
        ]


def usual_range(ranges: StateRange) -> StateRange:
    """Summarise the ranges of a thousand images or more as one, (1, K).

    It reaches from the 0.1 % quantile of their lows to the 99.9 % quantile of their highs, so that
    a few odd images do not count.
    """
    low, high = (
        # One channel at a time: torch.quantile takes 16 million numbers at most.
        torch.stack([column.quantile(q) for column in end.T.contiguous()])
        for end, q in ((ranges.low, 0.001), (ranges.high, 0.999))
    )
    return StateRange(low[None], high[None])


class RangeRecorder:
    """Records the extremes of every state on the way through f."""

    def __init__(self) -> None:
        self._lows: list[Tensor] = []
        self._highs: list[Tensor] = []

    def __call__(self, state: Tensor) -> None:
        """Take the next ``state`` (N, C, H, W)."""
        values = state.detach().transpose(0, 1).flatten(2)  # a view when it lies by channels
        self._lows.append(values.amin(dim=2).T)
        self._highs.append(values.amax(dim=2).T)

    def seen(self) -> StateRange:
        """Return the range of all states so far, rounded outwards so that it contains them."""
        low, high = torch.cat(self._lows, dim=1), torch.cat(self._highs, dim=1)
        return StateRange(_rounded(low, -math.inf), _rounded(high, math.inf))


def clamp_channels(state: Tensor, low: Tensor, high: Tensor, overwrite: bool = False) -> Tensor:
    """Clamp the channels of ``state`` (N, C, H, W) to ``low`` and ``high``, (N or 1, C) each.

    ``overwrite`` puts the result in the memory of ``state``, without gradients only.
    """
    # Two passes: torch.clamp takes several times as long with ends that are broadcast.
    low, high = low[:, :, None, None], high[:, :, None, None]
    out = state if overwrite else None
    return torch.minimum(torch.maximum(state, low, out=out), high, out=out)


def _rounded(values: Tensor, direction: float) -> Tensor:
    """Round ``values`` to float32 towards ``direction``, -inf or inf."""
    nearest = values.float()
    towards = torch.full_like(nearest, direction)
    wrong = nearest < values if direction > 0 else nearest > values
    return torch.where(wrong, nearest.nextafter(towards), nearest)
