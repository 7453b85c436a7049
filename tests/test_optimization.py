"""Schedules, and which steps are skipped."""

from __future__ import annotations

import math

import pytest
import torch

from glow_app.training.optimization import (
    GradientGuard,
    ema_decay,
    learning_rate,
    progress,
)


def test_learning_rate_warms_up_stays_and_cools_down() -> None:
    def rates(done: list[float], last: float = 0.0) -> list[float]:
        taken = []
        for part in done:
            last = learning_rate(1.0, last, part, warmup_steps=10, cooldown=0.25)
            taken.append(last)
        return taken

    assert rates([0.0] * 12) == pytest.approx([min(1.0, 0.1 * k) for k in range(1, 13)])
    assert rates([0.75, 0.875, 1.0], last=1.0) == pytest.approx([1.0, 0.5, 0.01])
    # A run that had cooled down and was given more time warms up again, without a jump.
    assert rates([0.5] * 3, last=0.01) == pytest.approx([0.11, 0.21, 0.31])
    assert learning_rate(1.0, 0.0, 0.0, warmup_steps=0, cooldown=0.25) == 1.0
    assert progress(50, 3.0, 100, None) == 0.5
    assert progress(50, 3.0, None, 4.0) == 0.75
    assert progress(50, 3.0, 100, 4.0) == 0.75  # whichever is further
    assert progress(500, 3.0, 100, None) == 1.0
    assert ema_decay(0.999, 0) == 0.1 and ema_decay(0.999, 10**6) == 0.999


def judged(guard: GradientGuard, *norms: float) -> list[float]:
    return [float(guard.should_skip(torch.tensor(norm))) for norm in norms]


def test_only_what_is_not_finite_or_far_off_is_skipped() -> None:
    guard = GradientGuard(torch.device("cpu"))
    assert judged(guard, 1e9, math.nan, math.inf) == [0, 1, 1]  # at first nobody knows what is far
    assert judged(guard, *[2.0] * 120) == [0] * 120
    assert judged(guard, 19.0, 21.0, math.nan, 2.0) == [0, 1, 1, 0]
    assert int(guard.skipped) == 4 and int(guard.in_a_row) == 0


def test_when_large_gradients_are_the_rule_training_goes_on() -> None:
    """A rate that rises after a cooldown makes all gradients larger; that is no explosion."""
    guard = GradientGuard(torch.device("cpu"))
    judged(guard, *[2.0] * 100)
    skipped = judged(guard, *[50.0] * 100)
    assert skipped[0] == 1 and skipped[-1] == 0 and sum(skipped) < 60


def test_state_comes_back() -> None:
    guard = GradientGuard(torch.device("cpu"))
    judged(guard, math.nan, *[float(n) for n in range(1, 131)])
    again = GradientGuard(torch.device("cpu"))
    again.restore(guard.norms(), int(guard.skipped))
    assert again.norms() == guard.norms() == [float(n) for n in range(31, 131)]
    assert int(again.skipped) == 1
    assert judged(again, 1e5, 100.0) == judged(guard, 1e5, 100.0) == [1, 0]
