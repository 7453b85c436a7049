"""Measures of a shape: what they must not depend on; what turns a shape and keeps lips apart."""

from __future__ import annotations

import numpy as np
import pytest

from glow_app.faces import landmarks
from glow_app.faces.landmarks import (
    MEASURES,
    differences,
    measured,
    pose,
    turned,
    without_crossings,
)

POSE = ("turn", "nod", "tilt")
# Upper and lower points of lips and lids, of which some are measured.
PAIRS = np.array([(13, 14), (82, 87), (312, 317), (159, 145), (158, 153), (386, 374), (385, 380)])
UPPER, LOWER = PAIRS.T


@pytest.fixture(scope="module")
def mean() -> np.ndarray:
    return np.array(landmarks.mean_shape(), np.float64)


@pytest.fixture(scope="module")
def uneven(mean: np.ndarray) -> np.ndarray:
    """A shape like that of no other, whose sides differ."""
    return mean + np.random.default_rng(0).normal(0, 0.004, mean.shape)


def test_the_mean_shape_is_symmetric_and_lies_on_the_template(mean):
    mirror = landmarks.mirror()
    assert mean.shape == (478, 2) and np.array_equal(mirror[mirror], np.arange(478))
    np.testing.assert_allclose(mean[mirror] * (-1, 1) + (1, 0), mean, atol=1e-6)
    assert np.abs(mean[[468, 473]].mean(axis=0) - (0.5, 0.29)).max() < 0.01
    assert ((mean > -0.05) & (mean < 1.05)).all()
    # Of eyes, mouth and outline the two sides belong together; the middle is its own mirror.
    for one, other in ((468, 473), (33, 263), (61, 291), (234, 454), (4, 4), (152, 152)):
        assert mirror[one] == other and mirror[other] == one


# ---------------------------------------------------------------------------------------- measures


def test_neither_size_nor_place_counts_and_differences_turn_round(mean, uneven):
    for scale in (0.5, 1.7):
        moved = 0.4 + scale * (uneven - 0.3)
        np.testing.assert_allclose(measured(moved), measured(uneven), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(pose(moved), pose(uneven), atol=1e-6)
    assert set(differences(mean, mean)) == {*MEASURES, *POSE}
    assert set(differences(uneven, uneven).values()) == {0.0}
    there, back = differences(mean, uneven), differences(uneven, mean)
    assert any(abs(x) > 0.1 for x in there.values())
    assert there == pytest.approx({name: -x for name, x in back.items()}, abs=1e-12)
    spread = landmarks.measure_spread()
    assert len(spread) == len(MEASURES) + 3 and (spread > 0).all()


def test_a_mirror_image_has_mirrored_numbers(uneven):
    mirrored = uneven[landmarks.mirror()] * (-1, 1) + (1, 0)
    own, other = (
        dict(zip((*MEASURES, *POSE), (*measured(shape), *pose(shape)), strict=True))
        for shape in (uneven, mirrored)
    )
    other["left eye"], other["right eye"] = other["right eye"], other["left eye"]
    for name in ("gaze", "turn", "tilt"):
        other[name] *= -1
    assert abs(own["turn"]) > 0.01 and abs(own["gaze"]) > 1e-4
    assert own["left eye"] != pytest.approx(own["right eye"], rel=1e-3)
    assert other == pytest.approx(own, abs=2e-3)


@pytest.mark.parametrize(
    ("name", "points", "by"),
    [
        ("smile", [61, 291], (0, -0.02)), ("mouth open", [14], (0, 0.02)),
        ("brows", [70, 105, 107, 336, 334, 300], (0, -0.02)), ("gaze", [468, 473], (0.01, 0)),
        ("gaze height", [468, 473], (0, 0.01)), ("chin", [152], (0, 0.02)),
        ("forehead", [10], (0, -0.02)), ("face width", [454], (0.02, 0)),
        ("nose length", [2], (0, 0.02)), ("left eye", [145, 153, 144], (0, 0.01)),
    ],
)  # fmt: skip
def test_numbers_go_up_with_what_they_are_called_after(mean, name, points, by):
    moved = mean.copy()
    moved[points] += by
    apart = differences(mean, moved)
    assert apart[name] > 0.3
    for other in ("jaw", "nose width", "right eye"):
        assert apart[other] == pytest.approx(0, abs=1e-9)


def test_turning_has_the_promised_signs_keeps_the_place_and_can_be_undone(mean, uneven):
    """Turned to the right of the picture the nose goes right, upwards it goes up; a clockwise
    tilt brings the right side down."""
    for angles in ((0, 0, 0), (6, 0, 0), (-6, 0, 0), (0, 5, 0), (0, -5, 0), (0, 0, 7), (3, -4, 2)):
        assert pose(turned(mean, *angles)) == pytest.approx(angles, abs=0.35)
    nose, right_eye = 4, 263
    assert (turned(mean, 8, 0, 0) - mean)[nose, 0] > 0.01
    assert (turned(mean, 0, 8, 0) - mean)[nose, 1] < -0.01
    assert (turned(mean, 0, 0, 8) - mean)[right_eye, 1] > 0.01
    np.testing.assert_allclose(turned(uneven, 0, 0, 0), uneven, atol=1e-9)
    away = turned(uneven, 5, 0, 0)
    assert np.abs(away - uneven).max() > 0.01
    assert np.abs(away.mean(axis=0) - uneven.mean(axis=0)).max() < 0.01
    assert np.abs(turned(away, -5, 0, 0) - uneven).mean() < 0.002


# --------------------------------------------------------------------------------------- crossings


@pytest.mark.parametrize("shut", [0.0, 0.01, 0.1])
def test_lips_and_lids_never_cross(mean, shut):
    """However far they are shut; all other points stay, and the pair meets half way."""
    own = mean.copy()
    own[UPPER, 1] = own[PAIRS, 1].mean(axis=1) - 0.01
    own[LOWER, 1] = own[UPPER, 1] + 0.02
    crossed = own.copy()
    crossed[UPPER, 1] += shut
    crossed[LOWER, 1] -= shut
    before = crossed.copy()
    made = without_crossings(crossed, own)
    np.testing.assert_array_equal(crossed, before)  # what came in stays what it was
    assert (made[LOWER, 1] >= made[UPPER, 1]).all()
    np.testing.assert_allclose(made[PAIRS, 1].mean(axis=1), crossed[PAIRS, 1].mean(axis=1))
    others = np.setdiff1d(np.arange(len(mean)), PAIRS.ravel())
    np.testing.assert_array_equal(made[others], crossed[others])
    np.testing.assert_array_equal(made[:, 0], crossed[:, 0])
    if shut < 0.009:
        np.testing.assert_array_equal(made, crossed)


def test_what_is_shut_or_crossed_stays_so_until_lips_come_apart_for_good(mean):
    """A smile does not open a mouth; a mouth that is asked to open does."""
    own = mean.copy()
    own[13, 1], own[14, 1] = own[14, 1] + 0.001, own[13, 1] - 0.001
    np.testing.assert_array_equal(without_crossings(own, own), own)
    own, upper, lower = mean.copy(), UPPER[:3], LOWER[:3]
    own[upper] = own[lower] = own[PAIRS[:3]].mean(axis=1)
    for apart, stays in ((0.004, True), (0.06, False)):
        shape = own.copy()
        shape[upper] += 0.01, -apart / 2
        shape[lower] += 0.01, apart / 2
        gap = landmarks.mouth_opening(without_crossings(shape, own))
        assert gap == pytest.approx(0 if stays else apart, abs=0.0021)
