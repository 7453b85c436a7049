"""Guarded decoding: states are seen on the way in, and held there on the way out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from flows import CONFIGS, made
from torch import Tensor

from glow_app.editing.editor import Editor
from models import Glow, StateRange, bin_centers, to_levels, usual_range
from models.layers import AffineCoupling
from models.levels import DetailLevel
from models.ranges import RangeRecorder

KINDS = {name: CONFIGS[name] for name in ("uneven", "tiny", "uneven with a detail level")}


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS.keys())
def model(request: pytest.FixtureRequest) -> Glow:
    return made(request.param)


@pytest.fixture(scope="module")
def levels(model: Glow) -> Tensor:
    size = (4, 3, model.config.image_size, model.config.image_size)
    g = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, size, generator=g, dtype=torch.uint8)


def states_decoded(
    model: Glow, z: Tensor, within: StateRange | None, monkeypatch: pytest.MonkeyPatch
) -> tuple[Tensor, StateRange]:
    """g(z, within), and the extremes (in float64) of what each coupling is given to undo."""
    lows, highs, undo = [], [], AffineCoupling.inverse

    def watched(
        self: AffineCoupling, y: Tensor, overwrite: bool = False, context: Tensor | None = None
    ) -> Tensor:
        lows.insert(0, y.amin(dim=(2, 3)))
        highs.insert(0, y.amax(dim=(2, 3)))
        return undo(self, y, overwrite, context)

    with monkeypatch.context() as patch, torch.no_grad():
        patch.setattr(AffineCoupling, "inverse", watched)
        patch.setattr("models.glow._OUTLIER", math.inf)  # no second pass for some of them
        x = model.g(z, within)
    return x, StateRange(torch.cat(lows, dim=1), torch.cat(highs, dim=1))


def inside(inner: StateRange, outer: StateRange) -> bool:
    return bool((inner.low >= outer.low).all() and (inner.high <= outer.high).all())


# ---------------------------------------------------------------------- seen


@torch.no_grad()
def test_what_is_seen_are_the_extremes_of_the_states_step_by_step(
    model: Glow, levels: Tensor
) -> None:
    x = bin_centers(levels)
    z, log_det, seen = model.f_with_range(x)
    plain_z, plain_log_det = model.f(x)
    assert torch.equal(z, plain_z) and torch.equal(log_det, plain_log_det)
    assert seen.low.shape == (4, sum(model.config.state_channels()))
    assert seen.low.dtype == seen.high.dtype == torch.float32
    h, lows, highs = x.double() - 0.5, [], []
    for i, level in enumerate(model.levels, start=1):
        if isinstance(level, DetailLevel):
            h, state, _ = level.split(h)
            context = level.squeeze(level.context(4 * h))[0]
        else:
            state, context = h, None
        state, _ = level.squeeze(state)
        for step in level.steps:
            state, _ = step(state, context=context)
            lows.append(state.amin(dim=(2, 3)))
            highs.append(state.amax(dim=(2, 3)))
        if not isinstance(level, DetailLevel) and i < len(model.levels):
            h = state[:, : state.shape[1] // 2]
    low, high = torch.cat(lows, dim=1), torch.cat(highs, dim=1)
    torch.testing.assert_close(seen.low, low.float(), rtol=3e-7, atol=0)
    torch.testing.assert_close(seen.high, high.float(), rtol=3e-7, atol=0)
    assert (seen.low <= low + 1e-12).all() and (seen.high >= high - 1e-12).all()


def test_ends_are_rounded_outwards() -> None:
    g = torch.Generator().manual_seed(0)
    state = torch.randn(50, 20, 3, 3, generator=g, dtype=torch.float64) - 1
    state[0, 0], state[0, 1] = 0.5, 0  # float32 holds them
    recorder = RangeRecorder()
    recorder(state)
    seen, low, high = recorder.seen(), state.amin((2, 3)), state.amax((2, 3))
    assert (seen.low <= low).all() and (seen.high >= high).all()
    assert (low.float() > low).any() and (high.float() < high).any()  # as the nearest would not
    assert seen.low[0, :2].tolist() == seen.high[0, :2].tolist() == [0.5, 0]


def test_reversible_training_sees_states_too(levels: Tensor, model: Glow) -> None:
    x = bin_centers(levels)
    model.set_reversible(True)
    try:
        model.train()
        z, _, seen = model.f_with_range(x)
        expected = model.eval().f_with_range(x)[2]
    finally:
        model.set_reversible(False)
        model.eval()
    assert z.requires_grad and not seen.low.requires_grad
    torch.testing.assert_close(seen.low, expected.low, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(seen.high, expected.high, atol=1e-3, rtol=1e-3)


# ---------------------------------------------------------------------- held


def test_states_outside_are_held(
    model: Glow, levels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.no_grad():
        z, _, seen = model.f_with_range(bin_centers(levels))
    far, within = 3 * z, seen.widened(0.25)
    x, states = states_decoded(model, far, within, monkeypatch)
    assert inside(states, within)
    free_x, free = states_decoded(model, far, None, monkeypatch)
    assert ((free.low < within.low) | (free.high > within.high)).float().mean() > 0.2
    # Nothing but what is outside is moved, and that to the end of the range.
    top = slice(-model.config.shapes()[-1][0], None)  # the step that g undoes first
    expected = free.low[:, top].clamp(within.low[:, top], within.high[:, top])
    torch.testing.assert_close(states.low[:, top], expected)
    assert not torch.allclose(x, free_x)


@torch.no_grad()
def test_rows_are_independent(model: Glow, levels: Tensor) -> None:
    z, _, seen = model.f_with_range(bin_centers(levels))
    z, within = 3 * z[:3], StateRange.cat([seen[1], seen[2].widened(0.5), seen[0]])
    z_before, low_before = z.clone(), within.low.clone()
    together = model.g(z, within)
    assert torch.equal(z, z_before) and torch.equal(within.low, low_before)
    alone = torch.cat([model.g(z[i : i + 1], within[i]) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    others = model.g(z, StateRange.cat([within[2], within[0], within[1]]))
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in zip(together, others, strict=True))
    one_for_all = model.g(z, seen.merged())
    assert torch.equal(one_for_all, model.g(z, StateRange.cat([seen.merged()] * 3)))
    with torch.enable_grad():
        leaf = z.clone().requires_grad_()
        x = model.g(leaf, within)
        x.square().sum().backward()
    torch.testing.assert_close(x.detach(), together, atol=1e-5, rtol=0)
    assert leaf.grad.isfinite().all() and leaf.grad.abs().sum() > 0
    assert model.f(levels[:0].float())[0].shape == (0, model.dims)
    for none in (seen.merged(), seen[:0]):
        assert model.g(z[:0], none).shape == (0, *levels.shape[1:])


def test_a_range_of_another_model_or_number_is_refused(model: Glow) -> None:
    k = sum(model.config.state_channels())
    z = torch.zeros(3, model.dims)
    for shape in ((1, k - 1), (2, k)):
        with pytest.raises(ValueError, match=rf"\(3 or 1, {k}\), not"):
            model.g(z, StateRange(torch.zeros(shape), torch.ones(shape)))


# ---------------------------------------------------------------------- the class


def test_arithmetic_of_ranges() -> None:
    a = StateRange(torch.tensor([[0.0, -1.0]]), torch.tensor([[2.0, 1.0]]))
    b = StateRange(
        torch.tensor([[1.0, -3.0], [-1.0, 0.0]]), torch.tensor([[1.5, 0.0], [0.0, 4.0]])
    )
    wide = a.widened(0.25)
    assert wide.low.tolist() == [[-0.5, -1.5]] and wide.high.tolist() == [[2.5, 1.5]]
    for both in (a.union(b), b.union(a)):
        assert both.low.tolist() == [[0, -3], [-1, -1]]
        assert both.high.tolist() == [[2, 1], [2, 4]]
    assert b.merged().low.tolist() == [[-1, -3]] and b.merged().high.tolist() == [[1.5, 4]]
    all_of_them = StateRange.cat([a, b])
    assert len(all_of_them) == 3
    assert all_of_them[2].low.tolist() == all_of_them[-1].low.tolist() == [[-1, 0]]
    for rows in (slice(1, 3), [1, 2], torch.tensor([1, 2]), torch.tensor([False, True, True])):
        assert torch.equal(all_of_them[rows].high, b.high)
    for low, high in ((torch.zeros(3), torch.ones(3)), (torch.zeros(1, 3), torch.ones(2, 3))):
        with pytest.raises(ValueError, match=r"\(N, K\)"):
            StateRange(low, high)
    for margin in (-0.1, math.inf, math.nan):
        with pytest.raises(ValueError, match="margin"):
            a.widened(margin)


def test_the_usual_range_is_one_of_percentiles() -> None:
    rng = np.random.default_rng(0)
    low, high = rng.normal(-3, 1, (2000, 5)), rng.normal(3, 1, (2000, 5))
    ranges = StateRange(torch.from_numpy(low).float(), torch.from_numpy(high).float())
    usual = usual_range(ranges)
    assert usual.low.shape == usual.high.shape == (1, 5)
    assert np.allclose(usual.low, np.percentile(low, 0.1, axis=0), atol=1e-5)
    assert np.allclose(usual.high, np.percentile(high, 99.9, axis=0), atol=1e-5)


# ---------------------------------------------------------------------- the released weights


@torch.no_grad()
def test_released_model_returns_the_same_bytes_in_each_pictures_range(
    released: Editor, faces: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faces, and noise: its code is far out, where rounding is amplified most."""
    released_model = released.model.flow
    g = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (1, 3, 64, 64), generator=g, dtype=torch.uint8)
    levels = torch.cat([torch.from_numpy(faces[:4]).permute(0, 3, 1, 2), noise])
    z, _, seen = released_model.f_with_range(bin_centers(levels))
    assert released_model._outliers(z).tolist() == [False] * 4 + [True]
    assert torch.equal(z, released_model.f(bin_centers(levels))[0])
    assert torch.equal(to_levels(released_model.g(z, seen)), levels)
    alone = [released_model.g(row, seen[i]) for i, row in enumerate(z.split(1))]
    assert torch.equal(to_levels(torch.cat(alone)), levels)
    far, within = 3 * z[:4], seen[:4].merged().widened(0.25)
    assert released_model.g(far).abs().max() > 100  # without a range it bursts
    x, states = states_decoded(released_model, far, within, monkeypatch)
    assert inside(states, within)
    # The first step's mixing takes what is held to pixels, 0 to 1 in faces: a few times beyond.
    assert x.abs().max() < 4
