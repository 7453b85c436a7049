"""Paths on z: exact ends, the geometry they promise, and what they refuse."""

from __future__ import annotations

import math

import pytest
import torch

from glow_app.latents import PATHS, journey_times, path, polyline

D = 3 * 16 * 16


def code(seed: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(D, generator=torch.Generator().manual_seed(seed))


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal to the last bit: 0 and -0 differ."""
    return a.dtype == b.dtype and a.numpy().tobytes() == b.numpy().tobytes()


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_ends_are_exact(kind, scale):
    # Very different magnitudes: a + 1·(b - a) would lose b's digits.
    a, b = code(1), code(2, scale)
    a[0], b[0] = -0.0, 0.0
    z = path(a, b, [0.0, 0.25, 1.0, 0.0], kind)
    assert same_bits(z[0], a) and same_bits(z[2], b) and same_bits(z[3], a)


@pytest.mark.parametrize("kind", PATHS)
def test_inputs_stay_and_the_result_has_their_type(kind):
    a, b = code(1).double(), code(2).double()
    before = a.clone(), b.clone()
    z = path(a, b, torch.linspace(0, 1, 5), kind)
    assert z.shape == (5, D) and z.dtype == torch.float64
    z.zero_()
    assert torch.equal(a, before[0]) and torch.equal(b, before[1])


def test_linear_is_a_straight_line_at_constant_speed():
    a, b = code(1), code(2)
    t = torch.tensor([-0.5, 0.1, 0.5, 0.9, 1.5])
    expected = a.double() + t.double()[:, None] * (b.double() - a.double())
    torch.testing.assert_close(path(a, b, t).double(), expected, rtol=1e-6, atol=1e-6)


def test_linear_middle_of_independent_codes_is_shorter():
    a, b = code(1), code(2)
    middle = path(a, b, [0.5])[0]
    assert middle.norm() / a.norm() == pytest.approx(1 / math.sqrt(2), rel=0.1)


def test_spherical_norm_and_angle_go_linearly():
    a, b = code(1), code(2, 1.7)
    z = path(a, b, torch.linspace(0, 1, 21), "spherical").double()
    norms = z.norm(dim=1)
    t = torch.linspace(0, 1, 21, dtype=torch.float64)
    torch.testing.assert_close(norms, (1 - t) * norms[0] + t * norms[-1], rtol=1e-6, atol=0)
    unit = z / norms[:, None]
    steps = torch.acos((unit[1:] * unit[:-1]).sum(1))
    total = torch.acos((unit[0] * unit[-1]).sum())
    torch.testing.assert_close(steps, (total / 20).expand(20), rtol=1e-4, atol=0)


@pytest.mark.parametrize("factor", [1.0, 2.5, -1.0, -0.3, 0.0])
def test_spherical_without_a_great_circle_is_linear(factor):
    a = code(1)
    t = torch.linspace(0, 1, 9)
    for x, y in ((a, factor * a), (factor * a, a)):
        assert torch.equal(path(x, y, t, "spherical"), path(x, y, t, "linear"))


@pytest.mark.parametrize("turn", [1e-8, 1e-5, 1e-3])
@pytest.mark.parametrize("sign", [1, -1])
def test_spherical_is_finite_next_to_parallel(turn, sign):
    a = code(1)
    b = sign * (a + turn * code(2))
    z = path(a, b, torch.linspace(0, 1, 9), "spherical")
    assert z.isfinite().all()
    assert z.norm(dim=1).max() <= 1.001 * max(a.norm(), b.norm())


def test_spherical_extrapolation_never_turns_the_norm_negative():
    a, b = code(1), code(2, 0.1)
    z = path(a, b, [1.5], "spherical")[0]
    assert z.isfinite().all() and z.norm() == 0  # 1 + 1.5·(0.1 - 1) < 0: stopped at 0


def test_one_code_on_both_ends_stays_where_it_is():
    a = code(1)
    for kind in PATHS:
        assert torch.equal(path(a, a, torch.linspace(0, 1, 7), kind), a.expand(7, D))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((code(1), code(2), [0.5], "curly"), "curly"),
        ((code(1), code(2)[:-1], [0.5]), "shape"),
        ((code(1)[None], code(2)[None], [0.5]), "shape"),
        ((code(1), code(2), [float("nan")]), "finite"),
        ((code(1), code(2), [float("inf")]), "finite"),
    ],
)
def test_path_refuses(arguments, word):
    with pytest.raises(ValueError, match=word):
        path(*arguments)


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("keys", [2, 3, 5])
@pytest.mark.parametrize("loop", [False, True])
def test_polyline_hits_every_key_once(kind, keys, loop):
    zs = torch.stack([code(seed) for seed in range(keys)])
    z = polyline(zs, frames=9, kind=kind, loop=loop)
    assert len(z) == (keys * 8 if loop else (keys - 1) * 8 + 1)
    for k in range(keys):
        assert same_bits(z[8 * k], zs[k])
        assert sum(torch.equal(row, zs[k]) for row in z) == 1
    if loop:  # the step over the seam is like its neighbours, not a jump and not a stop
        closing = path(zs[-1], zs[0], torch.linspace(0, 1, 9), kind)
        torch.testing.assert_close(z[-7:], closing[1:-1], rtol=1e-6, atol=1e-6)


def test_polyline_of_two_is_the_path():
    a, b = code(1), code(2)
    assert torch.equal(polyline([a, b], 33), path(a, b, torch.linspace(0, 1, 33).double()))


def test_polyline_refuses_too_little():
    with pytest.raises(ValueError, match="two codes"):
        polyline([code(1)])
    with pytest.raises(ValueError, match="two frames"):
        polyline([code(1), code(2)], frames=1)


@pytest.mark.parametrize("loop", [False, True])
def test_journey_times_are_the_share_of_the_way(loop):
    zs = [code(seed) for seed in range(3)]
    t = journey_times(3, frames=5, loop=loop)
    assert t.dtype == torch.float32 and len(t) == len(polyline(zs, 5, loop=loop))
    assert t[0] == 0 and bool((t.diff() > 0).all())
    assert t[4] == pytest.approx(1 / 3 if loop else 1 / 2)
    assert t[-1] == pytest.approx(11 / 12 if loop else 1)
