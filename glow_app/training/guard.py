"""Which steps are sound, decided on the device: the host never waits to find out."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["GradientGuard"]

_WINDOW = 100  # gradient norms that say what is usual
_EXPLODES = 10.0  # times the usual norm: the step is skipped (STARFlow's grad_skip)


class GradientGuard:
    """Skips a step whose gradient is not finite, or ten times as large as usual.

    Usual is the median of the last 100 finite norms, those of skipped steps included: when
    larger gradients turn out to be the rule, training goes on rather than stand still.

    Attributes:
        skipped: steps skipped so far, a scalar tensor on the device.
        in_a_row: of these, the ones since the last sound step.
    """

    def __init__(self, device: torch.device) -> None:
        self._norms = torch.full((_WINDOW,), float("nan"), device=device)
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)
        self.in_a_row = torch.zeros((), dtype=torch.int64, device=device)

    @torch.no_grad()
    def judge(self, norm: Tensor) -> Tensor:
        """1.0 when the step with gradient norm ``norm`` must be skipped, else 0.0 (scalars)."""
        finite = norm.isfinite()
        warm = ~self._norms.isnan().any()
        sound = finite & (~warm | (norm <= _EXPLODES * self._norms.median()))
        shifted = torch.cat([self._norms[1:], norm.view(1).float()])
        self._norms = torch.where(finite, shifted, self._norms)
        self.skipped += ~sound
        self.in_a_row = torch.where(sound, 0, self.in_a_row + 1)
        return (~sound).float()

    def norms(self) -> list[float]:
        """The norms that are known, oldest first, for the checkpoint."""
        return [n for n in self._norms.tolist() if n == n]

    def restore(self, norms: list[float], skipped: int) -> None:
        """Take over what a checkpoint has."""
        known = torch.tensor(norms[-_WINDOW:], dtype=torch.float32)
        self._norms.fill_(float("nan"))
        self._norms[_WINDOW - len(known) :] = known.to(self._norms.device)
        self.skipped.fill_(skipped)
