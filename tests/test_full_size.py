"""Full size: photos are met exactly at both ends of any walk, with all that they have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from glow_app.editing.editor import Editor
from glow_app.editing.full_size import Blend, PhotoDetail, enlarge, enlarged, residual
from glow_app.editing.portrait import Portrait
from glow_app.pictures import faces as finder
from glow_app.pictures.opening import RESAMPLE
from glow_app.pictures.prepare import Prepared, prepare
from glow_app.pictures.warp import ShapePath

needs_mediapipe = pytest.mark.skipif(not finder.available(), reason="mediapipe is not installed")

NATIVE = (300, 260, 220)  # pixels a side of the stand-ins


def textured(face: np.ndarray, side: int, seed: int) -> np.ndarray:
    """A drawn face with what a photo has beyond it: (side, side, 3) uint8."""
    rng = np.random.default_rng(seed)
    large = Image.fromarray(face).resize((side, side), Image.Resampling.BICUBIC)
    return (np.asarray(large) + rng.normal(0, 8, (side, side, 1))).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def drawn(released: Editor) -> np.ndarray:
    """Three faces that the model draws, (3, S, S, 3)."""
    return released.sample(3, temperature=0.6, seed=3)


@pytest.fixture(scope="module")
def photos(drawn: np.ndarray) -> list[np.ndarray]:
    """The stand-ins for photos, aligned as they lie."""
    return [textured(face, n, i) for i, (face, n) in enumerate(zip(drawn, NATIVE, strict=True))]


@pytest.fixture(scope="module")
def prepared(released: Editor, photos: list[np.ndarray]) -> list[Prepared]:
    return [released.prepare(photo, align="center") for photo in photos]


def crop_at(photo: np.ndarray, size: int) -> np.ndarray:
    """The photo's own square at a size: enlarged bicubic, reduced as everywhere."""
    how = RESAMPLE if size < len(photo) else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(photo).resize((size, size), how))


@pytest.mark.parametrize("guide", [False, None])
def test_a_morph_meets_both_photos_with_all_they_have(
    released: Editor, prepared: list[Prepared], photos: list[np.ndarray], guide: bool | None
) -> None:
    a, b = prepared[:2]
    morph = released.morph_frames(a, b, 3, guide=guide)
    if guide is None and finder.available():
        assert morph.guided
    assert morph.native == 300
    for size in (300, 200, 1024):
        ends = morph.enlarged(size, [0, 2])
        assert ends.shape == (2, size, size, 3) and ends.dtype == np.uint8
        assert np.array_equal(ends[0], crop_at(photos[0], size))
        assert np.array_equal(ends[1], crop_at(photos[1], size))
    back = morph.reversed()
    assert np.array_equal(back.enlarged(300), morph.enlarged(300)[::-1])


def test_half_way_there_is_detail_of_both(released: Editor, prepared: list[Prepared]) -> None:
    middle = released.morph_frames(*prepared[:2], 3).enlarged(256, [1])[0]
    plain = enlarge(released.morph_frames(*prepared[:2], 3).frames[1], 256)
    grain = (middle.astype(float) - plain)[64:192, 64:192]
    assert 2 < grain.std() < 8  # each has 8, half of both is less
    assert abs(grain.mean()) < 1


@pytest.mark.parametrize("loop", [False, True])
def test_a_journey_meets_all_its_photos(
    released: Editor, prepared: list[Prepared], photos: list[np.ndarray], loop: bool
) -> None:
    journey = released.journey(prepared, 3, loop=loop)
    assert journey.native == 300 and len(journey.stops) == 3
    met = journey.enlarged(200, journey.stops)
    for picture, photo in zip(met, photos, strict=True):
        assert np.array_equal(picture, crop_at(photo, 200))
    if loop:  # the way home ends with the first photo's detail, warped to the frame's shape
        assert journey.detail.blend(2.5) == Blend(2, 0, 0.5, 0.5)
        assert journey.detail.blend(3.0) == Blend(2, 0, 1.0, 1.0)


def test_an_edit_without_strength_is_the_photo(
    released: Editor, prepared: list[Prepared], photos: list[np.ndarray]
) -> None:
    still = released.edit(prepared[0])
    assert still.native == 300
    assert np.array_equal(still.enlarged(300), photos[0])
    walk = released.edit_walk(prepared[0], toward=0.5)
    *_, morph = released.along(walk, np.array([0.0, 0.5, 1.0]))
    assert np.array_equal(morph.enlarged(300, [0])[0], photos[0])
    edited = released.edit(prepared[0], toward=0.5)
    grain = edited.enlarged(300).astype(float) - enlarge(edited.pixels, 300)
    assert edited.detail.blend(0.3) == Blend(0, 0, 0.0, None)
    assert grain.std() > 5  # the detail stays where the face is


@pytest.mark.parametrize("shape", [None, "own"])
def test_a_mix_of_nothing_is_the_photo(
    released: Editor, prepared: list[Prepared], photos: list[np.ndarray], shape: str | None
) -> None:
    levels = len(released.level_shapes)
    for weight in (0, 1):
        own = None if shape is None else float(weight)
        still = released.mix(*prepared[:2], [weight] * levels, own)
        assert still.native == 300
        assert np.array_equal(still.enlarged(250), crop_at(photos[weight], 250)), weight


def test_faces_without_more_are_only_enlarged(
    released: Editor, drawn: np.ndarray, prepared: list[Prepared]
) -> None:
    size = released.image_size
    morph = released.morph_frames(drawn[0], drawn[1], 3)
    assert morph.native == size
    for frame, large in zip(morph.frames, morph.enlarged(200), strict=True):
        assert np.array_equal(large, enlarge(frame, 200))
    assert released.mix(*drawn[:2], [0.5] * len(released.level_shapes)).native == size

    one = released.morph_frames(prepared[0], drawn[1], 3)
    assert one.native == 300  # of a pair, one may have more
    last = one.enlarged(300, [2])[0]
    assert np.array_equal(last, enlarge(drawn[1], 300))


def test_at_the_models_size_and_below_nothing_is_added(
    released: Editor, prepared: list[Prepared]
) -> None:
    size = released.image_size
    morph = released.morph_frames(*prepared[:2], 3, guide=False)
    assert np.array_equal(morph.enlarged(size), morph.frames)
    small = morph.enlarged(size // 2)
    for frame, reduced in zip(morph.frames, small, strict=True):
        expected = Image.fromarray(frame).resize((size // 2,) * 2, RESAMPLE)
        assert np.array_equal(reduced, np.asarray(expected))
    with pytest.raises(ValueError):  # one position a frame
        enlarged(morph.frames, [0.0], morph.detail, 100)


def test_faces_without_landmarks_keep_their_detail_where_it_is() -> None:
    """Half way the frame has half of each residual, unwarped."""
    rng = np.random.default_rng(0)
    fulls = rng.integers(0, 256, (2, 96, 96, 3), np.uint8)  # no face is found on noise
    faces = tuple(Portrait(crop_at(full, 32), crop_at(full, 32), full) for full in fulls)
    assert faces[0].mesh is None
    detail = PhotoDetail(faces, lambda u: Blend(0, 1, u, u))
    frame = np.full((32, 32, 3), 128, np.uint8)
    expected = 128 + (residual(faces[0], 96) * 0.5 + residual(faces[1], 96) * 0.5)
    assert np.abs(detail.add(frame, 0.5, 96) - expected.clip(0, 255)).max() <= 0.5
    assert detail.native == 96


def test_codes_do_not_depend_on_full_size(released: Editor, photos: list[np.ndarray]) -> None:
    options = {"align": "center", "coding": released.coding}
    plain, rich = (prepare(photos[0], released.image_size, full=n, **options) for n in (0, 1024))
    assert plain.full is None and len(rich.full) == 300
    assert np.array_equal(plain.pixels, rich.pixels) and np.array_equal(plain.crop, rich.crop)
    assert plain.place == rich.place
    walks = [released.morph_walk(one, photos[1][:64, :64], guide=False) for one in (plain, rich)]
    first, second = (walk.at(np.array([0.0, 0.3, 1.0])).z for walk in walks)
    assert torch.equal(first, second)


# --------------------------------------------------------------------------- where the square lies


def test_the_full_square_is_as_sharp_as_its_photo_and_no_more(drawn: np.ndarray) -> None:
    photo = textured(drawn[0], 300, 0)
    assert np.array_equal(prepare(photo, 64, "center", full=1024).full, photo)
    assert len(prepare(photo, 64, "center", full=128).full) == 128
    assert prepare(photo[:64, :64], 64, "center", full=1024).full is None
    assert prepare(photo[:40, :40], 64, "center", full=1024).full is None
    wide = np.concatenate([photo, photo[:, ::-1]], axis=1)
    middle = prepare(wide, 64, "center", full=1024)
    assert middle.place.corner == (150, 0) and middle.place.side == 300
    assert np.array_equal(middle.full, wide[:, 150:450])


@needs_mediapipe
def test_place_is_where_the_full_square_was_cut_out(drawn: np.ndarray) -> None:
    """A turned face in a larger picture: the square at `place` is `full`."""
    face = Image.fromarray(drawn[0]).resize((320, 320), Image.Resampling.BICUBIC)
    texture = textured(np.full((8, 8, 3), 128, np.uint8), 600, 0)
    canvas = Image.fromarray(texture)
    canvas.paste(face, (170, 120))
    photo = canvas.rotate(12, Image.Resampling.BICUBIC, fillcolor=(128, 128, 128))
    got = prepare(photo, 64, "face", full=1024)
    assert got.aligned and len(got.full) == round(got.place.side)
    assert abs(np.degrees(np.arctan2(got.place.right[1], got.place.right[0])) + 12) < 4
    side = len(got.full)
    x0, y0 = got.place.corner
    (rx, ry), (dx, dy) = (np.array(v) / side for v in (got.place.right, got.place.down))
    data = (rx, dx, x0, ry, dy, y0)
    again = photo.transform((side, side), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
    inner = slice(side // 8, -side // 8)
    off = np.abs(np.asarray(again, int) - got.full)[inner, inner]
    assert off.mean() < 1.5
    shifted = np.abs(np.roll(np.asarray(again, int), 2, axis=0) - got.full)[inner, inner]
    assert shifted.mean() > 2 * off.mean()  # two pixels beside it would show


# -------------------------------------------------------------------------------- warps at 512 px


def dot(at: np.ndarray, side: int, dtype: type) -> np.ndarray:
    """A soft dot at a point in fractions: (side, side, 3)."""
    x, y = np.meshgrid(*[(np.arange(side) + 0.5) / side] * 2)
    bright = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) * side**2 / (2 * 3.0**2))
    return (200 * bright[..., None].repeat(3, -1)).astype(dtype)


def middle_of(picture: np.ndarray) -> np.ndarray:
    """Where a dot is, in fractions."""
    bright = picture[..., 0].astype(float)
    bright[bright < 0.8 * bright.max()] = 0
    middles = (np.arange(len(picture)) + 0.5) / len(picture)
    return np.array([bright.sum(axis=0) @ middles, bright.sum(axis=1) @ middles]) / bright.sum()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_large_warps_send_a_dot_where_it_shall_go(dtype: type) -> None:
    rng = np.random.default_rng(1)
    grid = np.stack(np.meshgrid([0.25, 0.4, 0.55, 0.7], [0.3, 0.5, 0.7]), -1).reshape(-1, 2)
    a = grid + rng.uniform(-0.02, 0.02, grid.shape)
    b = a + rng.uniform(-0.04, 0.04, grid.shape)
    path = ShapePath(a, b, points=None)
    for t in (0.0, 0.5, 1.0):
        goal = (1 - t) * a + t * b
        for k in (1, 5, 6, 10):
            for which, own in ((0, a), (1, b)):
                moved = path.moved(dot(own[k], 512, dtype), which, t)
                assert moved.dtype == dtype and moved.shape == (512, 512, 3)
                assert np.abs(middle_of(moved) - goal[k]).max() * 512 < 1, (t, k, which)


def test_a_warp_that_moves_nothing_gives_back_the_very_picture() -> None:
    rng = np.random.default_rng(2)
    a = rng.uniform(0.3, 0.7, (5, 2))
    path = ShapePath(a, a + 0.03, points=None)
    picture = rng.integers(-255, 256, (512, 512, 3)).astype(np.int16)
    assert path.moved(picture, 0, 0.0) is picture
    assert path.moved(picture, 1, 1.0) is picture
    assert path.moved(picture, 0, 1.0) is not picture
    negative = path.moved(np.full((512, 512, 3), -37, np.int16), 0, 0.6)
    assert (negative == -37).all()  # differences keep their sign
