"""Schedules as pure functions of progress: a resumed run needs no scheduler state."""

from __future__ import annotations

__all__ = ["ema_decay", "learning_rate", "progress"]

_FLOOR = 0.01  # the cooldown ends at this fraction of the base rate


def progress(
    step: int, minutes: float, total_steps: int | None, total_minutes: float | None
) -> float:
    """How much of the run is done, 0 to 1: by steps or by minutes, whichever is further."""
    by_steps = step / total_steps if total_steps else 0.0
    by_minutes = minutes / total_minutes if total_minutes else 0.0
    return min(1.0, max(by_steps, by_minutes))


def learning_rate(
    base: float, step: int, done: float, warmup_steps: int, cooldown: float
) -> float:
    """Linear warm-up over ``warmup_steps``, constant, linear cooldown to 1 % of ``base``.

    Args:
        step: optimiser steps taken, from 0.
        done: :func:`progress`; the last ``cooldown`` of it cools down.
    """
    warm = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    left = (1.0 - done) / cooldown if cooldown > 0 else 1.0
    return base * warm * max(_FLOOR, min(1.0, left))


def ema_decay(decay: float, step: int) -> float:
    """Decay of the weight average at ``step``: short memory at first, ``decay`` in the end."""
    return min(decay, (1 + step) / (10 + step))
