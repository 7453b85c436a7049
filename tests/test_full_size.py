"""Full size: a photo's own detail comes back exactly at the photo, and rides along between."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from glow_app.editing.editor import Editor
from glow_app.editing.full_size import Blend, PhotoDetail, enlarge
from glow_app.editing.portrait import Portrait
from glow_app.faces.prepare import FULL, Prepared, prepare
from glow_app.faces.warp import ShapePath

pytest_plugins = ["tests.full_size_faces"]

NATIVE = 300


def at(one: Prepared, size: int) -> np.ndarray:
    """The square of a photo at ``size``, straight from its full square."""
    how = Image.Resampling.LANCZOS if len(one.full) > size else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(one.full).resize((size, size), how))


# ------------------------------------------------------------------------------------- exact ends


@pytest.mark.parametrize("guide", [True, False])
@pytest.mark.parametrize("size", [150, NATIVE, 400])
def test_the_ends_of_a_morph_are_the_photos(released, portraits, guide, size):
    a, b = portraits[:2]
    morph = released.morph_frames(a, b, [0.0, 0.5, 1.0], guide=guide)
    assert morph.guided is guide
    frames = morph.enlarged(size)
    assert frames.shape == (3, size, size, 3)
    assert np.array_equal(frames[0], at(a, size)) and np.array_equal(frames[2], at(b, size))
    back = morph.reversed().enlarged(size)
    assert np.array_equal(back, frames[::-1])
    assert np.array_equal(morph.enlarged(size, [2, 0]), frames[[2, 0]])


@pytest.mark.parametrize("loop", [False, True])
def test_a_journey_meets_every_photo_at_full_size(released, portraits, loop):
    journey = released.journey(portraits, 3, loop=loop)
    frames = journey.enlarged(200)
    assert journey.stops == (0, 2, 4)
    for stop, one in zip(journey.stops, portraits, strict=True):
        assert np.array_equal(frames[stop], at(one, 200))
    assert len(frames) == (6 if loop else 5)


def test_an_edit_of_no_strength_is_the_photo(released, portraits):
    still = released.edit(portraits[0])
    assert still.native == len(portraits[0].full)
    assert np.array_equal(still.enlarged(250), at(portraits[0], 250))


@pytest.mark.parametrize("shape", [None, "own"])
def test_a_mix_of_one_photo_alone_is_that_photo(released, portraits, shape):
    a, b = portraits[:2]
    levels = len(released.level_shapes)
    for weight, own in ((0.0, a), (1.0, b)):
        still = released.mix(a, b, [weight] * levels, weight if shape else None)
        assert np.array_equal(still.enlarged(220), at(own, 220))


def test_frames_between_are_sharper_than_enlarged_ones(released, portraits):
    morph = released.morph_frames(*portraits[:2], [0.5])
    full = morph.enlarged(NATIVE)[0].astype(float)
    plain = enlarge(morph.frames[0], NATIVE).astype(float)

    def grain(picture: np.ndarray) -> float:
        return np.abs(np.diff(picture, axis=0)).mean()

    assert grain(full) > 1.5 * grain(plain)
    assert np.abs(full - plain).mean() < 12  # the model's picture is still what it shows


# ------------------------------------------------------------------------------- where it is none


def test_native_is_that_of_the_sharper_photo(released, portraits):
    morph = released.morph_frames(*portraits[:2], [0.0])
    assert morph.native == len(portraits[0].full) > len(portraits[1].full) > 64


def test_drawn_faces_are_only_enlarged(released):
    a, b = released.sample(2, temperature=0.6, seed=3)
    morph = released.morph_frames(a, b, [0.0, 0.4])
    size = released.image_size
    assert morph.native == size
    for frame, big in zip(morph.frames, morph.enlarged(150), strict=True):
        assert np.array_equal(big, enlarge(frame, 150))
    assert np.array_equal(morph.enlarged(size), morph.frames)


def test_a_drawn_face_and_a_photo_share_what_detail_there_is(released, portraits):
    drawn = released.sample(1, temperature=0.6, seed=8)[0]
    morph = released.morph_frames(drawn, portraits[0], [0.0, 1.0])
    assert morph.native == len(portraits[0].full)
    first, last = morph.enlarged(200)
    assert np.array_equal(first, enlarge(drawn, 200))
    assert np.array_equal(last, at(portraits[0], 200))


def test_below_the_models_size_frames_are_only_reduced(released, portraits):
    morph = released.morph_frames(*portraits[:2], [0.0, 0.5])
    for frame, small in zip(morph.frames, morph.enlarged(32), strict=True):
        assert np.array_equal(small, enlarge(frame, 32)) and small.shape == (32, 32, 3)


def test_faces_without_landmarks_are_blended_where_they_lie():
    generator = np.random.default_rng(0)
    full = generator.integers(0, 256, (2, 96, 96, 3), np.uint8)
    small = [enlarge(picture, 32) for picture in full]
    faces = tuple(Portrait(s, s, f) for s, f in zip(small, full, strict=True))
    assert all(face.mesh is None for face in faces)
    detail = PhotoDetail(faces, lambda u: Blend(0, 1, u, u))
    grey = np.full((32, 32, 3), 128, np.uint8)
    half = detail.add(grey, 0.5, 96).astype(float)
    residuals = [f.astype(float) - enlarge(s, 96) for s, f in zip(small, full, strict=True)]
    expected = (128 + (residuals[0] + residuals[1]) / 2).clip(0, 255)
    assert np.abs(half - expected).max() <= 0.5


def test_many_threads_and_sizes_get_what_one_gets(released, portraits):
    morph = released.morph_frames(*portraits[:2], [0.25, 0.75])
    sizes = [100, 110, 120, 130, 140, 150] * 3
    with ThreadPoolExecutor(4) as pool:
        many = list(pool.map(lambda size: morph.enlarged(size), sizes))
    for size, frames in zip(sizes[:6], many, strict=False):
        assert all(np.array_equal(frames, more) for more in many[sizes.index(size) :: 6])


# -------------------------------------------------------------------------------------- portraits


def test_what_the_model_sees_does_not_depend_on_full_size(released, photos_with_detail, portraits):
    plain = prepare(photos_with_detail[0], released.image_size, coding=released.coding)
    assert plain.full is None
    assert np.array_equal(plain.pixels, portraits[0].pixels)
    assert np.array_equal(plain.crop, portraits[0].crop)
    codes = [released.encode(one.pixels) for one in (plain, portraits[0])]
    assert np.array_equal(*codes)


def test_place_says_where_the_square_lies(photos_with_detail, portraits):
    """Cut out of the photo by its place, bilinear, it is the full square."""
    import cv2

    assert all(one.aligned and one.faces == 1 for one in portraits)

    for photo, one in zip(photos_with_detail, portraits, strict=True):
        side, place = len(one.full), one.place
        assert side == round(place.side)
        middles = (np.arange(side) + 0.5) / side
        u, v = np.meshgrid(middles, middles)
        corner, right, down = (np.array(w) for w in (place.corner, place.right, place.down))
        x, y = np.moveaxis(corner + u[..., None] * right + v[..., None] * down, -1, 0)
        cut = cv2.remap(
            np.asarray(photo), np.float32(x - 0.5), np.float32(y - 0.5), cv2.INTER_LINEAR
        )
        difference = cv2.GaussianBlur(cut.astype(np.float32) - one.full, (0, 0), 3)
        assert np.abs(difference[8:-8, 8:-8]).mean() < 1


def test_a_centre_crop_has_its_place_and_its_pixels(released, photos_with_detail):
    photo = photos_with_detail[1].crop((0, 0, 440, 300))
    one = released.prepare(photo, align="center")
    assert one.place.corner == (70, 0) and one.place.side == 300
    assert np.array_equal(one.full, np.asarray(photo)[:, 70:370])


def test_small_faces_and_bounds_of_full_size(released):
    size = released.image_size
    small = Image.fromarray(released.sample(1, temperature=0.6, seed=3)[0])
    assert released.prepare(small).full is None
    large = small.resize((FULL + 300, FULL + 300))
    assert len(released.prepare(large, "center").full) == FULL
    assert len(prepare(large, size, "center", full=100).full) == 100


def test_portraits_are_told_apart_by_their_detail(released: Editor, portraits):
    one = portraits[0]
    same = released._portrait(one)
    assert released._portrait(one) is same
    other = Prepared(one.pixels, one.crop, True, 1, (), 255 - one.full, one.place)
    assert released._portrait(other) is not same
    assert np.array_equal(same.fine, at(one, len(same.fine)))


# ------------------------------------------------------------------------------------------ warps


@pytest.fixture(scope="module")
def moving() -> ShapePath:
    start = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.7]])
    return ShapePath(
        start, start + np.array([[0.03, 0.01], [-0.02, 0.04], [0.0, -0.05]]), points=None
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("which", [0, 1])
def test_a_dot_at_512_goes_where_it_is_sent(moving, dtype, which):
    own = moving.points_b if which else moving.points_a
    for point, target in zip(own[-3:], moving.shape(0.5)[-3:], strict=True):
        middles = (np.arange(512) + 0.5) / 512
        away = np.hypot(middles - point[0], (middles - point[1])[:, None])
        dot = (200 * np.exp(-np.square(away * 512 / 3))).astype(dtype)
        moved = moving.moved(np.repeat(dot[..., None], 3, axis=-1), which, 0.5)
        assert moved.dtype == dtype and moved.shape == (512, 512, 3)
        weight = np.maximum(moved[..., 0].astype(float), 0)
        y, x = ((weight.sum(axis=1 - k) * middles).sum() / weight.sum() for k in (0, 1))
        assert np.hypot(x - target[0], y - target[1]) * 512 < 1


def test_negative_detail_stays_negative(moving):
    picture = np.full((512, 512, 3), -7, np.int16)
    assert (moving.moved(picture, 0, 0.5) == -7).all()


def test_nothing_that_stays_is_touched(moving):
    picture = np.random.default_rng(0).integers(-90, 90, (300, 300, 3), np.int16)
    assert moving.moved(picture, 0, 0.0) is picture
    assert np.array_equal(moving.moved(picture, 1, 1.0), picture)
