"""Masks over a crop: the face and its mouth, what covers it, and what is told of glasses."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from glow_app.editing.editor import Editor
from glow_app.faces import finder, landmarks, regions
from glow_app.faces.face import Face
from glow_app.faces.landmarks import OUTLINE_POINTS

pytest_plugins = ["tests.full_size_faces"]

EXAMPLES = Path(__file__).resolve().parents[1] / "glow_app" / "examples"
LIGHT, RED, BLACK = (205, 150, 125), (200, 30, 30), (20, 20, 20)

pytestmark = pytest.mark.skipif(not finder.available(), reason="mediapipe is not installed")


@pytest.fixture(scope="module")
def people(small: Editor) -> list[Face]:
    """The faces that come with the program, none of which wears glasses."""
    return [small.prepare(file) for file in sorted(EXAMPLES.glob("face_*.jpg"))]


# --------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize("side", [64, 256])
def test_the_face_mask_is_full_in_the_middle_and_empty_outside(side):
    shape = 0.5 + 0.8 * (landmarks.mean_shape() - 0.5)
    outline = np.round(shape[OUTLINE_POINTS] * side).astype(np.int32)
    inside = np.zeros((side, side), np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(outline), 1)
    outside = cv2.dilate(inside, np.ones((3, 3), np.uint8)) == 0
    for shrink in (1.0, 0.93):
        mask = regions.face_mask(shape, side, shrink)
        assert mask.shape == (side, side) and mask.dtype == np.float32
        assert mask.min() == 0 and mask.max() == 1
        assert (mask[outside] == 0).all()
        for point in (4, 168, 50, 280):  # nose, between the eyes, cheeks
            x, y = (shape[point] * side).astype(int)
            assert mask[y, x] == 1
    full, less = (regions.face_mask(shape, side, shrink) for shrink in (1.0, 0.93))
    assert (less <= full + 1e-6).all() and less.sum() < full.sum()
    assert max(np.abs(np.diff(full, axis=k)).max() for k in (0, 1)) < 32 / side + 0.1  # soft
    # Also where the outline leaves the crop.
    mask = regions.face_mask(0.5 + 1.4 * (landmarks.mean_shape() - 0.5), side)
    assert mask[side // 2, side // 2] == 1 and mask.min() == 0
    assert side < 256 or max(mask[0].max(), mask[-1].max()) < 0.1


def test_the_mouth_mask_is_between_the_lips():
    shape = np.array(landmarks.mean_shape(), np.float64)
    shape[[95, 88, 178, 87, 14, 317, 402, 318, 324], 1] += 0.06
    mask = regions.inner_mouth_mask(shape, 256)
    assert mask.min() >= 0 and mask.max() <= 1 + 1e-6
    x, y = (shape[[13, 14]].mean(axis=0) * 256).astype(int)
    assert mask[y, x] > 0.99
    rows, columns = np.where(mask > 0.5)
    assert abs(rows.min() - shape[13, 1] * 256) < 3 and abs(rows.max() - shape[14, 1] * 256) < 3
    assert columns.min() > shape[61, 0] * 256 and columns.max() < shape[291, 0] * 256
    closed = shape.copy()
    closed[[95, 88, 178, 87, 14, 317, 402, 318, 324]] = shape[[191, 80, 81, 82, 13, 312, 311, 310, 415]]  # fmt: skip # noqa: E501
    assert (regions.inner_mouth_mask(closed, 256) > 0.5).sum() < (mask > 0.5).sum() / 4


def test_masks_of_photos_lie_between_nothing_and_all(people):
    for number, face in enumerate(people):
        glasses = regions.eyewear_mask(face.shape, 256)
        for mask in (face.seen, face.skin, glasses):
            assert mask.shape == (256, 256) and mask.dtype == np.float32
            assert mask.min() >= 0 and mask.max() <= 1 + 1e-6
        outside = regions.face_mask(face.shape, 256, shrink=1.0, feather=1 / 90) == 0
        assert (face.seen[outside] == 0).all()
        assert 0 <= face.covered < 0.4  # nothing much hangs into these faces
        x, y = (face.shape[[468, 473, 168, 0, 152]] * 256).astype(int).clip(0, 255).T
        assert number > 2 or (glasses[y, x] > 0.9).tolist() == [True, True, True, False, False]


# ----------------------------------------------------------------------------- what covers a face


@pytest.mark.parametrize(
    ("colour", "patch", "inside", "other", "seen", "left", "stays"),
    [
        # A bar across the forehead.
        (BLACK, np.s_[26:44, :], np.s_[29:41, 80:176], np.s_[140:170, 70:90], 0.8, 0.4, 0.95),
        # Cloth or a dark sleeve in front of one cheek.
        *(
            (colour, np.s_[128:192, 38:84], np.s_[138:182, 50:74], np.s_[135:185, 180:206],
             0.3, 0.2, 0.8)
            for colour in ((40, 70, 120), (60, 45, 40))
        ),
    ],
)  # fmt: skip
def test_what_lies_over_a_face_is_not_face(
    people, colour, patch, inside, other, seen, left, stays
):
    for face in people[:5]:
        picture = face.fine.copy()
        picture[patch] = colour
        behind = Face.of_pixels(picture, landmarks=face.shape)
        assert face.seen[inside].mean() > seen
        assert behind.seen[inside].mean() < left * face.seen[inside].mean()
        assert behind.seen[other].mean() > stays * face.seen[other].mean()
        assert behind.covered > face.covered + 0.02


def test_the_skins_own_colour_is_found_beside_all_else(painted):
    lab = cv2.cvtColor(np.full((1, 1, 3), LIGHT, np.float32) / 255, cv2.COLOR_RGB2LAB)[0, 0]
    for bar in (None, BLACK):
        face = painted(LIGHT, RED, bar=bar)
        middle, spread = regions.skin_colour(face.fine, face.shape)
        np.testing.assert_allclose(middle, lab, atol=0.5)
        assert (spread > 0).all()
        likeness = regions.skin_likeness(face.fine, face.shape)
        assert likeness[140, 128] > 0.95 and likeness[2, 2] < 0.05
        assert likeness[20, 128] < 0.05 if bar else likeness[20, 128] > 0.95
        if not bar:  # it is seen wholly
            mask = regions.face_mask(face.shape, 256) > 0.5
            assert face.covered < 0.01 and face.seen[mask].min() > 0.9 and not face.glasses


# --------------------------------------------------------------------------------------- glasses


def framed(look: np.ndarray) -> np.ndarray:
    """A look (256, 256, 3) with dark frames about both eyes."""
    made, mean = look.copy(), landmarks.mean_shape() * 256
    for outer, inner in ((33, 133), (362, 263)):
        wide = float(np.hypot(*(mean[inner] - mean[outer])))
        x, y = (mean[outer] + mean[inner]) / 2 + (0, 0.1 * wide)
        axes = (int(0.85 * wide), int(0.7 * wide))
        cv2.ellipse(made, (int(x), int(y)), axes, 0, 0, 360, BLACK, 4, cv2.LINE_AA)
    ends = (tuple(int(v) for v in mean[point]) for point in (133, 362))
    cv2.line(made, *ends, BLACK, 4)
    return made


def test_frames_about_the_eyes_count_as_glasses(people, released):
    """Painted ones hardly look real, so only the worst mark is not asked for."""
    drawn = map(released.model.face, released.sampler.sample(4, temperature=0.6, seed=0))
    for face in (*people, *drawn):
        assert face.shape is not None and not face.glasses
    worn = 0
    for face in people:
        look = face.in_shape(landmarks.mean_shape())
        bare, with_ = regions.glasses_score(look), regions.glasses_score(framed(look))
        assert with_ > bare + 0.5
        worn += regions.wears_glasses(framed(look))
    assert worn >= len(people) - 2
    # The size of the look does not matter.
    grain = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    look = cv2.resize(grain, (128, 128))
    large = cv2.resize(look, (512, 512), interpolation=cv2.INTER_NEAREST)
    assert regions.glasses_score(large) == pytest.approx(regions.glasses_score(look), abs=0.01)
    # Behind glasses the eyes are not seen.
    face = people[0]
    bare, worn = (regions.visible_face(face.fine, face.shape, worn) for worn in (False, True))
    x, y = (face.shape[468] * 256).astype(int)
    assert bare[y, x] > 0.9 and worn[y, x] < 0.1
    assert worn[-60:].sum() == pytest.approx(bare[-60:].sum())


def test_mirrors_count_as_glasses_where_gradients_are_in_doubt(people, monkeypatch):
    """By their colours: a sky and a meadow where skin should be."""
    mean = landmarks.mean_shape()
    for face, score in zip(people, itertools.cycle((-0.49, -0.31)), strict=False):
        monkeypatch.setattr(regions, "glasses_score", lambda look, score=score: score)
        look = face.in_shape(mean)
        assert not regions.wears_glasses(look)
        for outer, inner in ((33, 133), (362, 263)):
            x, y = ((mean[outer] + mean[inner]) / 2 * 256).astype(int)
            look[y - 20 : y + 4, x - 32 : x + 32] = (120, 170, 220)
            look[y + 4 : y + 30, x - 32 : x + 32] = (60, 120, 50)
        assert regions.wears_glasses(look)
