"""Paths on z: exact ends, the geometry they promise, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from glow_app.editing.options import MorphOptions
from glow_app.editing.paths import (
    JOURNEYS,
    PATHS,
    coarse_fine,
    even_positions,
    journey,
    mix,
    near,
    path,
)

D = 3 * 16 * 16


def code(seed: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(D, generator=torch.Generator().manual_seed(seed))


def positions(keys: int, frames: int, loop: bool) -> np.ndarray:
    how = MorphOptions("journey", "linear", frames=frames, loop=loop)
    return how.positions(keys if loop else keys - 1)


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal to the last bit: 0 and -0 differ."""
    return a.dtype == b.dtype and a.numpy().tobytes() == b.numpy().tobytes()


@pytest.mark.parametrize("kind", PATHS)
def test_ends_are_exact_and_inputs_stay(kind):
    for scale in (1e-6, 1.0, 1e6):
        # Very different magnitudes: a + 1·(b - a) would lose b's digits.
        a, b = code(1), code(2, scale)
        a[0], b[0] = -0.0, 0.0
        z = path(a, b, [0.0, 0.25, 1.0, 0.0], kind)
        assert same_bits(z[0], a) and same_bits(z[2], b) and same_bits(z[3], a)
    a, b = code(1).double(), code(2).double()
    z = path(a, b, torch.linspace(0, 1, 5), kind)
    assert z.shape == (5, D) and z.dtype == torch.float64
    z.zero_()
    assert torch.equal(a, code(1).double()) and torch.equal(b, code(2).double())


def test_linear_is_a_straight_line_at_constant_speed():
    a, b = code(1), code(2)
    t = torch.tensor([-0.5, 0.1, 0.5, 0.9, 1.5])
    expected = a.double() + t.double()[:, None] * (b.double() - a.double())
    torch.testing.assert_close(path(a, b, t).double(), expected, rtol=1e-6, atol=1e-6)


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


def test_spherical_without_a_great_circle_is_linear_and_finite_next_to_it():
    a, t = code(1), torch.linspace(0, 1, 9)
    for factor in (1.0, 2.5, -1.0, -0.3, 0.0):
        for x, y in ((a, factor * a), (factor * a, a)):
            assert torch.equal(path(x, y, t, "spherical"), path(x, y, t, "linear"))
    for turn in (1e-8, 1e-5, 1e-3):
        for sign in (1, -1):
            b = sign * (a + turn * code(2))
            z = path(a, b, t, "spherical")
            assert z.isfinite().all() and z.norm(dim=1).max() <= 1.001 * max(a.norm(), b.norm())
    # An extrapolated norm never turns negative: 1 + 1.5·(0.1 - 1) < 0 is stopped at 0.
    z = path(a, code(2, 0.1), [1.5], "spherical")[0]
    assert z.isfinite().all() and z.norm() == 0


# --------------------------------------------------------------------------------------- journeys


@pytest.mark.parametrize("kind", JOURNEYS)
@pytest.mark.parametrize("loop", [False, True])
def test_a_journey_hits_every_key_once(kind, loop):
    for keys in (2, 3, 8):
        zs = torch.stack([code(seed) for seed in range(keys)])
        u = positions(keys, 9, loop)
        z = journey(zs, u, kind, loop)
        assert len(z) == len(u) == (keys * 8 if loop else (keys - 1) * 8 + 1)
        assert z.dtype == torch.float32 and z.isfinite().all()
        for k in range(keys):
            assert same_bits(z[8 * k], zs[k])
            assert sum(torch.equal(row, zs[k]) for row in z) == 1
        if loop and kind in PATHS:  # its legs are paths
            t = torch.linspace(0, 1, 9, dtype=torch.float64)
            assert torch.equal(z[-8:], path(zs[-1], zs[0], t, kind)[:-1])
    a = code(1)  # through equal and opposite codes it is finite
    zs = [a, a, -a, torch.zeros_like(a), -a]
    assert journey(zs, positions(5, 17, loop), kind, loop).isfinite().all()


def test_an_open_cubic_journey_of_two_is_the_straight_line():
    a, b = code(1), code(2)
    t = torch.linspace(0, 1, 33, dtype=torch.float64)
    torch.testing.assert_close(journey([a, b], t), path(a, b, t), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("keys", [2, 3, 5])
def test_a_cubic_loop_is_smooth_at_every_key_and_over_the_seam(keys):
    """Velocity from the left equals that from the right, at the first code as well, and is the
    one of a Catmull-Rom spline; a line with corners is far from that."""
    zs = torch.stack([code(seed) for seed in range(keys)]).double()
    h = 1e-5

    def bends(kind):
        found = []
        for k in range(keys):
            before = journey(zs, [k - h if k else keys - h], kind, loop=True)[0]
            after = journey(zs, [k + h], kind, loop=True)[0]
            left, right = (zs[k] - before) / h, (after - zs[k]) / h
            found.append(float((right - left).norm()))
            if kind == "cubic":
                expected = (zs[(k + 1) % keys] - zs[k - 1]) / 2
                torch.testing.assert_close(right, expected, rtol=0, atol=0.01)
        return found

    distance = float((zs[0] - zs[1]).norm())
    assert max(bends("cubic")) < 1e-3 * distance
    assert min(bends("linear")) > 0.5 * distance


# ----------------------------------------------------------------------------------- even speed


def test_even_positions_cover_equal_ways():
    """On a path whose way is known, way(t) = t², measured finely; and where nothing changes."""
    t = np.linspace(0, 1, 2001)
    even = even_positions(t, np.diff(t**2), 9)
    np.testing.assert_allclose(even**2, np.linspace(0, 1, 9), atol=1e-6)
    assert even[0] == 0 and even[-1] == 1
    t = np.linspace(0, 1, 5)
    np.testing.assert_allclose(even_positions(t, np.zeros(4), 9), np.linspace(0, 1, 9))
    part = even_positions(t, np.array([0, 0, 1, 1]), 9, stops=[0.5])
    assert len(part) == 9 and part[0] == 0 and part[1] == 0.5 and part[-1] == 1
    with pytest.raises(ValueError, match="3 parts"):
        even_positions(t, np.ones(4), 3, stops=[0.2, 0.6])


def test_even_positions_meet_every_stop_and_share_out_the_steps():
    t = np.linspace(-0.5, 1.5, 401)
    way = np.where(t < 0, 0.1 * t, np.where(t < 1, 3 * t, 2 + t))  # slow, fast, middling
    even = even_positions(t, np.diff(way), 41, stops=[0.0, 1.0])
    assert len(even) == 41 and (np.diff(even) > 0).all()
    assert {-0.5, 0.0, 1.0, 1.5} <= set(even.tolist())
    inside = int(((even >= 0) & (even <= 1)).sum())
    assert 31 <= inside <= 35  # 3 of the 3.55 of the whole way


# ------------------------------------------------------------------------------------------- edits


def test_mix_takes_each_level_from_where_the_weight_says():
    a, b = ([code(s)[:4], code(s)[4:20], code(s)[20:]] for s in (1, 2))
    mixed = mix(a, b, [1.0, 0.0, 0.25])
    assert same_bits(mixed[0], b[0]) and same_bits(mixed[1], a[1])
    torch.testing.assert_close(mixed[2], 0.75 * a[2] + 0.25 * b[2])
    assert [coarse_fine(4, cut) for cut in (0, 1, 4)] == [(0,) * 4, (1, 0, 0, 0), (1,) * 4]


@pytest.mark.parametrize("radius", [0.0, 0.3, 1.0])
def test_neighbours_are_as_typical_as_their_centre(radius):
    z, noise = code(1), torch.stack([code(seed) for seed in range(2, 10)])
    found = near(z, noise, radius)
    norms = found.norm(dim=1) / math.sqrt(D)
    torch.testing.assert_close(norms, torch.ones(8), rtol=0.12, atol=0)
    likeness = torch.cosine_similarity(found, z[None])
    expected = torch.full((8,), math.sqrt(1 - radius**2))
    torch.testing.assert_close(likeness, expected, rtol=0, atol=0.15)
