"""Walks: the length of codes on the way, the range they are decoded in, and shape as a guide."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import models
from glow_app.common.errors import UserError
from glow_app.editing.calibration import DIP, GUIDED_DIP, calibrate
from glow_app.editing.codec import Coded
from glow_app.editing.editor import Editor
from glow_app.editing.shell import Shell
from glow_app.editing.walk import (
    JOURNEY_PATHS,
    MARGIN,
    MORPH_PATHS,
    Style,
    journey_walk,
    mix_levels,
)
from glow_app.faces.coding import Coding, code_and_reduce
from models import StateRange

SIZES = (600, 200, 100)
D = sum(SIZES)
SHELL = Shell(SIZES, tuple(0.9 * math.sqrt(size) for size in SIZES), dip=0.93, guided_dip=0.9)


def codes(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, D, generator=torch.Generator().manual_seed(seed))


def ranges(count: int) -> StateRange:
    low = -1 - torch.arange(count, dtype=torch.float32)[:, None].expand(count, 5)
    return StateRange(low, -2 * low)


# ----------------------------------------------------------------------------------------- shell


@pytest.mark.parametrize("by_level", [False, True])
def test_half_way_the_length_is_the_dip_of_what_is_typical(by_level):
    shell = replace(SHELL, by_level=by_level)
    a, b = torch.linalg.qr(codes(2).T)[0].T * 30  # orthogonal, of length 30
    t = torch.linspace(0, 1, 5)
    z = Style("shell", None, shell).points(torch.stack([a, b]), t)
    assert torch.equal(z[0], a) and torch.equal(z[-1], b)
    typical = 0.9 * math.sqrt(D)
    parts = z.split(SIZES, dim=1)
    if by_level:  # each level's cosine is its own, so only nearly orthogonal
        for part, length in zip(parts, SHELL.lengths, strict=True):
            assert part[2].norm() == pytest.approx(0.93 * length, rel=0.15)
    else:
        assert z[2].norm() == pytest.approx(0.93 * typical, rel=1e-4)
        between = 0.75 * 0.93 * typical + 0.25 * 30  # w = 4t(1 - t) = 3/4 at a quarter
        assert z[1].norm() == pytest.approx(between, rel=1e-4)


def test_the_direction_is_that_of_the_straight_line():
    keys = codes(2)
    t = torch.linspace(-0.5, 1.5, 9, dtype=torch.float64)
    on_shell, line = (Style(kind, None, SHELL).points(keys, t) for kind in ("shell", "linear"))
    cosine = torch.nn.functional.cosine_similarity(on_shell, line)
    torch.testing.assert_close(cosine, torch.ones_like(cosine))
    # Beyond the ends the length of the photo there is kept, where the line grows and grows.
    for row, key in ((0, keys[0]), (-1, keys[1])):
        assert on_shell[row].norm() == pytest.approx(float(key.norm()), rel=1e-4)
        assert line[row].norm() > 1.2 * key.norm()


def test_alike_photos_do_not_dip():
    """What two codes have in common is no reason to shorten them: A to A stands still."""
    a = codes(1)[0]
    z = Style("shell", None, SHELL).points(torch.stack([a, a]), torch.linspace(0, 1, 7))
    torch.testing.assert_close(z, a.expand(7, D))
    near = Style("shell", None, SHELL).points(
        torch.stack([a, a + 0.05 * codes(1, 1)[0]]), torch.tensor([0.5])
    )
    assert near.norm() == pytest.approx(float(a.norm()), rel=0.01)


@pytest.mark.parametrize("sharpness", [0.0, 0.4, 1.0])
def test_sharpness_goes_from_the_bare_line_to_the_shell(sharpness):
    keys, t = codes(2), torch.tensor([0.5])
    bare = Style("linear", None, SHELL).points(keys, t).norm()
    full = Style("shell", None, SHELL).points(keys, t).norm()
    z = Style("shell", sharpness, SHELL).points(keys, t)
    assert z.norm() == pytest.approx(float(bare + sharpness * (full - bare)), rel=1e-5)


@pytest.mark.parametrize("loop", [False, True])
def test_a_cubic_journey_stays_on_the_shell(loop):
    keys = codes(4)
    u = torch.arange(0, 4.0 if loop else 3.01, 0.125, dtype=torch.float64)
    z = Style("cubic", None, SHELL).points(keys, u, loop)
    whole = u == u.round()
    assert torch.equal(z[whole], keys[u[whole].long() % 4])
    floor = 0.93 * 0.9 * math.sqrt(D)
    assert z.norm(dim=1).min() > 0.99 * floor  # the bare curve dips to 0.7
    assert Style("cubic", 0.0, SHELL).points(keys, u, loop).norm(dim=1).min() < 0.95 * floor


def test_a_mix_keeps_the_length_of_each_level():
    keys = codes(2)
    z = mix_levels(keys, [0.5, 0.0, 1.0], SHELL)
    fine, middle, coarse = z.split(SIZES)
    a, b = (key.split(SIZES) for key in keys)
    assert torch.equal(middle, a[1]) and torch.equal(coarse, b[2])
    assert fine.norm() == pytest.approx(0.93 * SHELL.lengths[0], rel=0.1)


def test_the_shell_travels_with_the_weights():
    assert Shell.from_facts(SHELL.to_facts(), SIZES).lengths == pytest.approx(
        SHELL.lengths, abs=1e-4
    )
    unknown = Shell.from_facts({}, SIZES)
    assert unknown.lengths == tuple(math.sqrt(size) for size in SIZES) and unknown.dip == 1


# ----------------------------------------------------------------------------------------- guard


def test_between_two_photos_states_are_held_within_what_both_reach():
    walk = journey_walk(Coded(codes(3), ranges(3)), Style("shell", None, SHELL), None)
    within = walk.at(np.array([0.0, 0.5, 1.25])).within
    # Photos 0 and 1 reach [-2, 4], photos 1 and 2 [-3, 6]; a quarter more on either side.
    expected = torch.tensor([[-3.5, 5.5], [-3.5, 5.5], [-5.25, 8.25]])
    torch.testing.assert_close(torch.stack([within.low[:, 0], within.high[:, 0]], 1), expected)
    assert MARGIN == 0.25


def test_where_the_path_leaves_the_photos_all_of_them_and_the_training_faces_count():
    usual = StateRange(torch.full((1, 5), -7.0), torch.full((1, 5), 5.0))
    walk = journey_walk(Coded(codes(3), ranges(3)), Style("cubic", None, SHELL), usual)
    within = walk.at(np.array([0.5])).within
    torch.testing.assert_close(within.low, torch.full((1, 5), -7 - 0.25 * 13))
    torch.testing.assert_close(within.high, torch.full((1, 5), 6 + 0.25 * 13))


def test_a_mix_of_faces_never_bursts(released, faces):
    """Levels of different faces do not fit together: unguarded, some states run away."""
    generator = np.random.default_rng(0)
    shares = []
    for _ in range(12):
        a, b = faces[generator.choice(len(faces), 2, replace=False)]
        still = released.mix(a, b, generator.uniform(0, 1, len(released.level_shapes)).tolist())
        shares.append(np.isin(still.pixels, (0, 255)).mean())
    assert np.mean(shares) < 0.02


def test_calibration_keeps_what_decoding_needs(tiny_checkpoint, tmp_path: Path):
    model = models.load(tiny_checkpoint)
    images = torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    calibrate(model, images.split(32))
    again = models.load(models.save(model, tmp_path / "calibrated.safetensors"))
    z, _, states = again.f_with_range(images)
    levels = again.split_levels(z)
    shell = Shell.from_facts(again.facts, [level[0].numel() for level in levels])
    for length, level in zip(shell.lengths, levels, strict=True):
        assert length == pytest.approx(float(level.flatten(1).norm(dim=1).mean()), rel=1e-3)
    assert (shell.dip, shell.guided().dip) == (DIP, GUIDED_DIP)
    usual = again.usual_range
    assert len(usual) == 1 and bool((usual.low <= states.low.amax(dim=0)).all())
    assert bool((usual.low >= states.low.amin(dim=0) - 1e-5).all())


# ----------------------------------------------------------------------------------------- guide


@pytest.fixture(scope="module")
def portraits(released: Editor):
    """Two drawn faces as photos come: larger, uncoded, with landmarks."""
    drawn = released.sample(2, temperature=0.6, seed=14)
    return [
        released.prepare(Image.fromarray(face).resize((512, 512), Image.Resampling.LANCZOS))
        for face in drawn
    ]


@pytest.mark.parametrize("path", MORPH_PATHS)
def test_a_guided_morph_meets_its_photos_exactly(released, portraits, path):
    a, b = portraits
    morph = released.morph_frames(a, b, 5, path, guide=True)
    assert morph.guided and morph.stops == (0, 4)
    np.testing.assert_array_equal(morph.frames[0], a.pixels)
    np.testing.assert_array_equal(morph.frames[-1], b.pixels)
    assert released.morph_frames(a, b, 3, path).guided  # by itself, where there are landmarks
    assert not released.morph_frames(a, b, 3, path, guide=False).guided


@pytest.mark.parametrize("path", JOURNEY_PATHS)
def test_a_guided_loop_meets_its_photos_exactly(released, portraits, path):
    a, b = portraits
    loop = released.journey([a, b, a], 3, path, loop=True, guide=True)
    assert len(loop.frames) == 6 and loop.stops == (0, 2, 4)
    for stop, face in zip(loop.stops, (a, b, a), strict=True):
        np.testing.assert_array_equal(loop.frames[stop], face.pixels)


def test_eyes_are_where_the_shape_says(released, portraits):
    """Half way the landmarks of the decoded frame lie between those of A and B."""
    from glow_app.faces.landmarks import find_mesh

    a, b = portraits
    frame = released.morph_frames(a, b, [0.5], guide=True).frames[0]
    expected = (find_mesh(a.crop) + find_mesh(b.crop)) / 2
    found = find_mesh(
        np.array(Image.fromarray(frame).resize((128, 128), Image.Resampling.LANCZOS))
    )
    eyes_and_mouth = [468, 473, 61, 291]
    assert np.abs(found - expected)[eyes_and_mouth].max() < 0.03  # of the crop, two pixels


def test_a_guide_needs_landmarks(released):
    grey = np.full((64, 64, 3), 128, np.uint8)
    assert not released.have_landmarks(grey)
    assert not released.morph_frames(grey, grey, 3).guided
    with pytest.raises(UserError, match="landmarks"):
        released.morph_frames(grey, grey, 3, guide=True)


def test_shape_and_look_go_apart(released, portraits):
    """All of A's look in A's shape is A; in B's shape its eyes go where B's are."""
    from glow_app.faces.landmarks import find_mesh

    a, b = portraits
    levels = len(released.level_shapes)
    np.testing.assert_array_equal(released.mix(a, b, [0] * levels, shape=0).pixels, a.pixels)
    np.testing.assert_array_equal(released.mix(a, b, [1] * levels, shape=1).pixels, b.pixels)
    moved = released.mix(a, b, [0] * levels, shape=1).pixels
    large = np.array(Image.fromarray(moved).resize((128, 128), Image.Resampling.LANCZOS))
    mesh_a, mesh_b, mesh = find_mesh(a.crop), find_mesh(b.crop), find_mesh(large)
    assert np.abs(mesh - mesh_b).mean() < np.abs(mesh - mesh_a).mean() / 1.5
    with pytest.raises(UserError, match="shape"):
        released.mix(a, b, [0] * levels, shape=1.5)


def test_photos_are_coded_like_the_training_pictures(released, portraits):
    assert released.coding == Coding()
    np.testing.assert_array_equal(
        portraits[0].pixels, code_and_reduce(portraits[0].crop, 64, Coding())
    )
