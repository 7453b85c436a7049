"""Walks: what is shown where, whose ground it has, and the range its code is decoded in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import models
from glow_app.editing import paths
from glow_app.editing.model import Coded
from glow_app.editing.walk import Average, Edit, Journey, Mix
from glow_app.faces.face import Face
from glow_app.training import PackedPictures
from glow_app.training.evaluation import calibrate
from models import StateRange

pytest_plugins = ["tests.full_size_faces"]

SIZES = (600, 200, 100)
D = sum(SIZES)


def codes(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, D, generator=torch.Generator().manual_seed(seed))


def ranges(count: int) -> StateRange:
    """Of code k: -1 - k to 2 + 2·k."""
    low = -1 - torch.arange(count, dtype=torch.float32)[:, None].expand(count, 5)
    return StateRange(low, -2 * low)


def numbers(within: StateRange) -> list[float]:
    assert len(within) == 1
    return [float(within.low[0, 0]), float(within.high[0, 0])]


@pytest.fixture(scope="module")
def people(painted: Callable[..., Face]) -> tuple[Face, ...]:
    """Three faces of different shapes, of which the second is covered in part."""
    return (
        painted((205, 150, 125), (200, 30, 30), scale=0.9),
        painted((180, 130, 110), (30, 160, 40), scale=1.0, bar=(20, 20, 20)),
        painted((120, 85, 65), (40, 40, 200), scale=1.05),
    )


@pytest.fixture
def walked(people) -> Callable[..., Journey]:
    def make(count: int = 3, **how: object) -> Journey:
        how = {"path": "linear", "legs": count if how.get("loop") else count - 1, **how}
        return Journey(people[:count], Coded(codes(count), ranges(count)), **how)

    return make


# ------------------------------------------------------------------------------------- journeys


@pytest.mark.parametrize("path", paths.JOURNEYS)
@pytest.mark.parametrize("loop", [False, True])
def test_whole_numbers_are_the_photos(walked, people, path, loop):
    walk = walked(path=path, loop=loop)
    for k in range(walk.legs + 1):
        point = walk.at(float(k))
        own = k % 3
        assert point.photo == own and torch.equal(point.z, walk.coded.z[own])
        assert point.weights == tuple(float(i == own) for i in range(3))
        assert np.array_equal(point.shape, people[own].shape)
        assert point.grounds == ((own, 1.0),) and point.bands is None
    # Between them weights go over from one to the next.
    for u, weights in ((0.25, (0.75, 0.25, 0)), (1.5, (0, 0.5, 0.5)), (2.9, (0.9, 0, 0.1))):
        if u <= walk.legs:
            point = walk.at(u)
            assert point.photo is None and point.weights == pytest.approx(weights)


def test_a_cubic_journey_bends_shapes_as_it_bends_codes(walked, people):
    """Through the middle photo both go on without a turn; a straight leg is straight."""
    walk, h, (first, second, third) = walked(path="cubic"), 1e-4, (face.shape for face in people)
    before, photo, after = (walk.at(u) for u in (1 - h, 1.0, 1 + h))
    for step in (photo.shape - before.shape, after.shape - photo.shape):
        np.testing.assert_allclose(step / h, (third - first) / 2, atol=1e-3)
    straight, z = walked().at(1.3), walk.coded.z
    torch.testing.assert_close(straight.z, 0.7 * z[1] + 0.3 * z[2])
    np.testing.assert_allclose(straight.shape, 0.7 * second + 0.3 * third)
    assert np.abs(walk.at(0.5).shape - walked().at(0.5).shape).max() > 1e-3
    # Its triangles are those of the renderer, a little beyond both shapes at most.
    a, b = first[:, 0], second[:, 0]
    low, high = np.minimum(a, b), np.maximum(a, b)
    room = 0.1 * np.abs(b - a) + 1e-9
    for u in np.linspace(0, 1, 9):
        x = walk.at(float(u)).shape[:, 0]
        assert (x >= low - room).all() and (x <= high + room).all()


def test_beyond_a_morph_the_code_goes_on_and_the_photos_stay(walked, people):
    walk = walked(2)
    z, (a, b) = walk.coded.z, (face.shape for face in people[:2])
    for u, weights, t in ((-0.2, (1, 0), -0.2), (-0.5, (1, 0), -0.25), (1.5, (0, 1), 1.25)):
        point = walk.at(u)
        torch.testing.assert_close(point.z, z[0] + u * (z[1] - z[0]))
        assert point.weights == weights and point.photo is None
        np.testing.assert_allclose(point.shape, a + t * (b - a))  # no farther than a quarter


# --------------------------------------------------------------------------------------- ground


def shares(walk: Journey, t: float) -> list[float]:
    """Of the two grounds."""
    known = dict(walk.at(t).grounds)
    assert sum(known.values()) == pytest.approx(1) and all(0 < s <= 1 for s in known.values())
    return [known.get(k, 0.0) for k in (0, 1)]


@pytest.mark.parametrize(
    ("ground", "first", "last"), [("switch", 0.4, 0.5), ("a", 0.9, 1.0), ("b", 0.0, 0.1)]
)
def test_the_ground_changes_once_and_in_a_tenth_of_the_way(walked, ground, first, last):
    walk = walked(2, ground=ground)  # the second face is covered more, so it has the middle
    second = [shares(walk, float(t))[1] for t in np.linspace(0, 1, 101)]
    assert (np.diff(second) >= 0).all() and second[0] == 0 and second[-1] == 1
    between = [t for t, s in zip(np.linspace(0, 1, 101), second, strict=True) if 0 < s < 1]
    assert first < min(between) and max(between) < last
    assert np.diff(second).max() < 0.2


def test_the_face_that_is_covered_less_gives_the_middle_away(people):
    a, b = people[:2]
    assert b.covered > a.covered
    for faces, covered in (((a, b), 1), ((b, a), 0)):
        walk = Journey(faces, Coded(codes(2)), path="linear")
        assert shares(walk, 0.5)[covered] == 1
    unshaped = Journey((a, b), Coded(codes(2)), warped=False, path="linear")
    assert shares(unshaped, 0.5) == [1, 0] and shares(unshaped, 0.6) == [0, 1]


# ----------------------------------------------------------------------------------------- guard


def test_states_are_held_within_what_the_photos_reach(walked, people):
    walk = walked()
    # Photos 0 and 1 reach [-2, 4], photos 1 and 2 [-3, 6]; a quarter more on either side.
    for u, expected in ((0.0, [-3.5, 5.5]), (0.5, [-3.5, 5.5]), (1.25, [-5.25, 8.25])):
        assert numbers(walk.within(u)) == pytest.approx(expected)
    closing = walked(loop=True).within(2.5)  # photos 2 and 0
    assert numbers(closing) == pytest.approx([-5.25, 8.25])
    # Where the path leaves the photos, all of them and the training faces count.
    usual = StateRange(torch.full((1, 5), -7.0), torch.full((1, 5), 5.0))
    for walk, u in (
        (walked(path="cubic", usual=usual), 0.5),
        (walked(usual=usual), -0.1),
        (walked(usual=usual), 2.1),
    ):
        assert numbers(walk.within(u)) == pytest.approx([-7 - 0.25 * 13, 6 + 0.25 * 13])
    assert numbers(walked(2, path="cubic", usual=usual).within(0.5)) == pytest.approx([-3.5, 5.5])
    assert numbers(walked(path="cubic").within(0.5)) == pytest.approx([-5.25, 8.25])
    edit = Edit(people[:1], Coded(codes(1), ranges(1)), usual, move=torch.ones(D))
    assert numbers(edit.within(1.0)) == pytest.approx([-1.3, 2.3])  # it stays near its photo
    assert numbers(replace(edit, toward=0.5).within(1.0)) == pytest.approx([-10, 8])


def test_a_mix_of_faces_never_bursts(released, faces):
    """Levels of different faces do not fit together: unguarded, some states run away."""
    generator = np.random.default_rng(0)
    looks, pixels = [], []
    for _ in range(6):
        a, b = faces[generator.choice(len(faces), 2, replace=False)]
        weights = generator.uniform(0, 1, len(released.model.level_shapes)).tolist()
        still = released.mix(a, b, weights, 0.5)
        looks.append(np.isin(still.looks, (0, 255)).mean())
        pixels.append(np.isin(still.pixels, (0, 255)).mean())
    assert np.mean(looks) < 0.02 and np.mean(pixels) < 0.02


def test_calibration_keeps_what_decoding_needs(tiny_checkpoint, tmp_path: Path):
    model = models.load(tiny_checkpoint)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), dtype=np.uint8)
    pictures = PackedPictures(pixels, tuple(map(str, range(64))), (), "")
    calibrate(model, pictures)
    images = models.bin_centers(pictures.tensor())
    again = models.load(models.save(model, tmp_path / "calibrated.safetensors"))
    _, _, states = again.f_with_range(images)
    usual = again.usual_range
    assert len(usual) == 1 and bool((usual.low <= states.low.amax(dim=0)).all())
    assert bool((usual.low >= states.low.amin(dim=0) - 1e-5).all())
    assert bool((usual.high <= states.high.amax(dim=0) + 1e-5).all())


# ------------------------------------------------------------------------- mixes, edits, averages


def test_a_mix_takes_each_level_and_the_shape_from_where_it_says(people):
    def mixed(*levels: float, **how: object) -> Mix:
        return Mix(people[::2], Coded(codes(2), ranges(2)), sizes=SIZES, levels=levels, **how)

    walk = mixed(0.5, 0.0, 1.0, shape=0.25)
    point, (a, b) = walk.at(1.0), (row.split(SIZES) for row in walk.coded.z)
    fine, middle, coarse = point.z.split(SIZES)
    torch.testing.assert_close(fine, (a[0] + b[0]) / 2)
    assert torch.equal(middle, a[1]) and torch.equal(coarse, b[2])
    np.testing.assert_allclose(point.shape, 0.75 * people[0].shape + 0.25 * people[2].shape)
    assert point.bands == (0.5, 0.0, 1.0) and point.grounds == ((1, 1.0),)
    assert point.photo is None
    assert mixed(0.5, 0.0, 0.4).at(1.0).grounds == ((0, 1.0),)
    half = walk.at(0.5)  # half way there
    assert half.bands == (0.25, 0.0, 0.5)
    np.testing.assert_allclose(half.shape, 0.875 * people[0].shape + 0.125 * people[2].shape)
    # It is a photo where all of it is that photo's.
    for level, k in ((0.0, 0), (1.0, 1)):
        point = mixed(*[level] * 3, shape=level).at(1.0)
        assert point.photo == k and np.array_equal(point.shape, people[2 * k].shape)
        assert mixed(*[level] * 3, shape=1 - level).at(1.0).photo is None
        assert mixed(*[level] * 3, warped=False).at(1.0).photo == k
    assert mixed(0.5, 1.0, 1.0, shape=1.0).at(0.0).photo == 0  # every way begins at A
    assert mixed(1.5, 1.5, 1.5, shape=1.0).at(1.0).photo is None
    assert mixed(1.5, 1.0, -0.5).at(1.0).bands == (1.0, 1.0, 0.0)


def test_an_edit_goes_towards_its_target_and_along_its_move(people):
    move, target, coded = codes(1, 1)[0], codes(1, 2)[0], Coded(codes(1))
    aim = {"toward": 0.5, "target": target, "target_shape": people[2].shape}
    walk, z = Edit(people[:1], coded, move=move, **aim), coded.z[0]
    point = walk.at(1.0)
    torch.testing.assert_close(point.z, z + 0.5 * (target - z) + move)
    np.testing.assert_allclose(point.shape, (people[0].shape + people[2].shape) / 2)
    assert point.photo is None and point.weights == (1.0,) and point.grounds == ((0, 1.0),)
    half = walk.at(0.5)
    torch.testing.assert_close(half.z, z + 0.25 * (target - z) + 0.5 * move)
    assert walk.at(0.0).photo == 0 and torch.equal(walk.at(0.0).z, z)
    for walk in (Edit(people[:1], coded), Edit(people[:1], coded, move=torch.zeros(D))):
        point = walk.at(1.0)
        assert point.photo == 0 and torch.equal(point.z, z)
        assert np.array_equal(point.shape, people[0].shape)
    away = Edit(people[:1], coded, toward=1.0).at(1.0)  # the mean of the prior
    assert not away.z.any() and away.photo is None
    assert np.array_equal(away.shape, people[0].shape)  # there is no other


def test_an_average_is_of_equal_parts(people):
    walk = Average(people, Coded(codes(3)))
    point = walk.at(1.0)
    torch.testing.assert_close(point.z, walk.coded.z.mean(dim=0))
    np.testing.assert_allclose(point.shape, np.mean([face.shape for face in people], axis=0))
    assert point.weights == pytest.approx((1 / 3,) * 3) and point.photo is None
    ((ground, share),) = point.grounds
    away = [np.abs(face.shape - point.shape).mean() for face in people]
    assert share == 1 and ground == int(np.argmin(away))
    one = Average(people[:1], Coded(codes(1))).at(1.0)
    assert one.photo == 0 and torch.equal(one.z, codes(1)[0])
    assert Average(people, Coded(codes(3)), warped=False).at(1.0).shape is None
