"""Schedules as functions of the share that is done and of the last step: none is to be saved."""

from __future__ import annotations

__all__ = ["done_share", "ema_decay", "learning_rate"]

_FLOOR = 0.01  # the cooldown ends at this fraction of the base rate


def done_share(
    step: int, minutes: float, total_steps: int | None, total_minutes: float | None
) -> float:
    """How much of the run is done, 0 to 1: by steps or by minutes, whichever is further."""
    by_steps = step / total_steps if total_steps else 0.0
    by_minutes = minutes / total_minutes if total_minutes else 0.0
    return min(1.0, max(by_steps, by_minutes))


def learning_rate(
    base: float, last: float, done: float, warmup_steps: int, cooldown: float
) -> float:
    """Linear warm-up, constant, linear cooldown to 1 % of ``base``.

    The rate never rises by more than ``base / warmup_steps`` a step, so a run that had cooled
    down and is given more time warms up again (Wen et al. 2024, WSD-S): a jump to the full rate
    would undo what was learned.

    Args:
        last: the rate of the step before; 0 at the start.
        done: :func:`done_share`; the last ``cooldown`` of it cools down.
    """
    left = (1.0 - done) / cooldown if cooldown > 0 else 1.0
    target = base * max(_FLOOR, min(1.0, left))
    return min(target, last + base / warmup_steps) if warmup_steps else target


def ema_decay(decay: float, step: int) -> float:
    """Decay of the weight average at ``step``: short memory at first, ``decay`` in the end."""
    return min(decay, (1 + step) / (10 + step))
