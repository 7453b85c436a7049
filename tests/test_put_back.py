"""A face goes back into its photo: where it was, within its outline, without a seam."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.faults.hostile import encoded
from glow_app.common.errors import UserError
from glow_app.export.sheets import save_photo
from glow_app.faces import finder
from glow_app.faces.alignment import Square
from glow_app.faces.coding import resized
from glow_app.faces.face import Face, prepare
from glow_app.faces.landmarks import OUTLINE_POINTS, find_shape
from glow_app.faces.opening import list_pictures, open_picture
from glow_app.faces.put_back import put_back, seam_mask

pytest_plugins = ["tests.full_size_faces"]


def levels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def flat(value: int | tuple[int, int, int], side: int) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


# ------------------------------------------------------------------------------------ round trip


def test_the_untouched_square_changes_nothing(photos_with_detail, portraits):
    photo, one = photos_with_detail[0], portraits[0]
    assert np.array_equal(put_back(photo, one, one.full), photo)
    for side in (64, 500):
        same = resized(one.full, side, Image.Resampling.LANCZOS)
        assert np.abs(levels(put_back(photo, one, same)) - levels(photo)).mean() < 1


def test_another_face_lies_where_the_old_one_did(photos_with_detail, portraits, monkeypatch):
    photo, one, other = photos_with_detail[0], portraits[0], portraits[1]
    looked = [other.shape]
    monkeypatch.setattr("glow_app.faces.put_back.find_shape", lambda _: looked.pop())
    whole = put_back(photo, one, other.full)
    assert not looked and whole.size == photo.size and whole.mode == "RGB"
    changed = np.abs(levels(whole) - levels(photo)).max(axis=-1)
    assert changed[changed > 0].mean() > 5
    again = prepare(whole, 64, full=512)
    assert np.abs(again.square.corner - one.square.corner).max() < 0.04 * one.square.side
    # Landmarks that are given are not looked for.
    assert np.array_equal(put_back(photo, one, other.full, other.shape), whole)
    as_it_lies = put_back(photo, one, other.full, one.shape)  # nothing to be warped
    assert not np.array_equal(as_it_lies, whole)


def test_where_the_mask_is_full_the_picture_is_the_one_asked_for():
    """Where the colours meet along the rim, what is seen inside is the face."""
    picture = flat(100, 300)
    picture[:, :40] = (160, 60, 150)  # a photo in black and white takes no colours
    photo = Image.fromarray(picture)
    one = prepare(photo, 64, "center", full=512)
    face = picture.copy()
    face[120:180, 120:180] = (200, 40, 90)
    whole = levels(put_back(photo, one, face))
    assert np.abs(whole[130:170, 130:170] - (200, 40, 90)).max() <= 2
    assert np.abs(whole[:80] - picture[:80]).max() <= 1


def test_the_seam_does_not_show():
    """A face that is lighter throughout has the photo's colours along the seam, and inside;
    colours that differ from side to side leave no edge that was not in either picture."""
    picture = np.random.default_rng(0).integers(60, 160, (200, 200, 3), np.uint8)
    one = prepare(picture, 64, "center", full=512)
    whole = levels(put_back(picture, one, picture + np.uint8([40, 20, 60])))
    assert np.abs(whole - picture).max() <= 1
    one = prepare(flat(120, 400), 64, "center", full=512)
    face = flat(0, 400) + np.linspace(60, 180, 400).astype(np.uint8)[:, None]
    whole = levels(put_back(flat(120, 400), one, face))
    assert max(np.abs(np.diff(whole, axis=k)).max() for k in (0, 1)) <= 3


@pytest.mark.parametrize("kind", ["L", "JPEG"])
def test_a_face_in_colour_leaves_a_grey_photo_grey(photos_with_detail, portraits, kind):
    photo = photos_with_detail[0].convert("L")
    if kind == "JPEG":
        photo = encoded(photo.convert("RGB"), "JPEG", quality=90)
    one = prepare(photo, 64, full=512)
    whole = levels(put_back(photo, one, portraits[1].full))
    assert np.ptp(whole, axis=-1).max() == 0
    before = levels(open_picture(photo))
    assert np.abs(whole - before).max() > 20
    assert np.array_equal(levels(put_back(photo, one, one.full)), before)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "palette"])
def test_a_cutout_keeps_its_transparency(tmp_path, photos_with_detail, portraits, kind):
    photo, one = photos_with_detail[0], portraits[0]
    away = np.hypot(*(np.mgrid[-1 : 1 : 1j * photo.height, -1 : 1 : 1j * photo.width]))
    alpha = ((1.1 - away) * 700).clip(0, 255).astype(np.uint8)
    cutout = photo.convert("RGBA")
    cutout.putalpha(Image.fromarray(alpha))
    if kind == "palette":
        cutout = cutout.quantize(200)
    data = encoded(cutout, "PNG" if kind == "palette" else kind)
    whole = put_back(data, one, portraits[1].full, portraits[1].shape)
    file = save_photo(whole, tmp_path / "x.png")
    with Image.open(io.BytesIO(data)) as before, Image.open(file) as after:
        wanted = np.asarray(before.convert("RGBA"))
        assert after.mode == "RGBA" and np.array_equal(levels(after)[..., 3], wanted[..., 3])
        edge = (wanted[..., 3] > 60) & (away > 1)
        assert not edge.any() or np.abs(levels(after) - wanted)[edge].max() <= 4
    with Image.open(save_photo(whole, tmp_path / "x.jpg")) as flat_one:
        white = levels(flat_one)[alpha == 0]
        assert flat_one.mode == "RGB" and white.min() > 230  # rings about the edge


# --------------------------------------------------------------------------------------- geometry


@pytest.mark.parametrize("side", [32, 90, 400])
def test_a_dot_lands_where_the_square_lies(side):
    photo = Image.fromarray(flat(90, 240))
    corner, right, down = np.array([[100.0, 30.0], [90.0, 40.0], [-40.0, 90.0]])
    square = Square(tuple(corner + (right + down) / 2), tuple(right / 2))
    old = flat(90, 64)
    one = Face(old, old, square=square)
    u, v = 0.6, 0.4
    middles = (np.arange(side) + 0.5) / side
    away = np.hypot(middles - u, (middles - v)[:, None])
    face = flat(90, side).astype(float) + 120 * np.exp(-np.square(away / 0.05))[..., None]
    whole = levels(put_back(photo, one, face.clip(0, 255).astype(np.uint8)))[..., 0]
    change = whole - 90.0
    change[change < 15] = 0
    ys, xs = np.mgrid[:240, :240] + 0.5
    seen = np.array([(change * xs).sum(), (change * ys).sum()]) / change.sum()
    wanted = corner + u * right + v * down
    assert np.abs(seen - wanted).max() < 0.6
    u, v = np.moveaxis(square.fractions(np.stack([xs, ys], -1)), -1, 0)
    assert (whole[(u < 0) | (v < 0) | (u > 1) | (v > 1)] == 90).all()
    assert (whole[np.hypot((u - 0.5) / 0.47, (v - 0.5) / 0.55) > 1] == 90).all()


@pytest.mark.parametrize("centre", [(15.0, 35.0), (150.0, 100.0)])
def test_a_face_that_leaves_the_photo(centre):
    picture, old = noise(120, 160), flat(128, 64)
    one = Face(old, old, square=Square(centre, (50.0, 5.0)))  # the first one's corner: (-30, -20)
    face = flat(128, 64)
    face[24:40, 24:40] = 220
    whole = levels(put_back(picture, one, face))
    far = np.s_[100:, :] if centre[0] < 50 else np.s_[:, :80]
    assert whole.shape == (120, 160, 3) and np.array_equal(whole[far], picture[far])
    assert not np.array_equal(whole, picture)


def test_the_photo_is_turned_and_reduced_as_it_was_for_preparing(
    photos_with_detail, portraits, monkeypatch
):
    picture, exif = noise(80, 120), Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(picture), "PNG", exif=exif)
    one = prepare(data, 16, "center", full=512)
    whole = put_back(data, one, one.full)
    assert whole.size == (80, 120) and np.array_equal(np.asarray(whole), np.rot90(picture, -1))

    photo, other = photos_with_detail[0], portraits[1]
    data = encoded(photo, "PNG", compress_level=1)
    monkeypatch.setattr("glow_app.faces.opening.MAX_PIXELS", photo.width * photo.height // 2)
    one = prepare(data, 64, full=512)
    untouched = levels(open_picture(data))
    whole = levels(put_back(data, one, other.full, other.shape))
    assert one.aligned and whole.shape == (photo.height // 2, photo.width // 2, 3)
    changed = np.abs(whole - untouched).max(axis=-1)
    assert changed[changed > 0].mean() > 5
    assert np.abs(levels(put_back(data, one, one.full)) - untouched).mean() < 1


def test_a_large_photo_is_done_in_time(photos_with_detail, portraits):
    """Twelve megapixels with a face of about 1700 take 1 s on one core (limit: 2 s and slack)."""
    large, one = photos_with_detail[0].resize((3464, 3464)), portraits[0]
    scale = 3464 / photos_with_detail[0].width
    square = Square(*(tuple(scale * x for x in v) for v in (one.square.centre, one.square.half)))
    start = time.process_time()
    whole = put_back(large, replace(one, square=square), portraits[1].full)
    assert time.process_time() - start < 4
    assert whole.size == large.size


# -------------------------------------------------------------------------------------------- mask


def test_the_mask_is_that_of_both_faces_soft_and_within_the_square():
    square = np.array([[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]])
    both, one = seam_mask(square, square + 0.1), seam_mask(square)
    for mask in (both, one, seam_mask(square * 3 - 1), seam_mask()):
        assert mask.min() == 0 and mask.max() == 1
        assert max(np.abs(np.diff(mask, axis=k)).max() for k in (0, 1)) < 0.1
        assert mask[0].max() == mask[-1].max() == mask[:, 0].max() == mask[:, -1].max() == 0
    assert (both <= one + 1e-6).all() and both[128, 128] == 1
    side = len(one)
    assert one[: int(0.19 * side)].max() == 0 and both[:, int(0.25 * side)].max() == 0


def test_what_cannot_be_put_back_is_refused(portraits):
    one = portraits[0]
    small = Image.new("RGB", (50, 50))
    with pytest.raises(UserError, match="does not lie in that photo"):
        put_back(small, one, one.full)
    with pytest.raises(UserError, match="not known"):
        put_back(small, Face(one.pixels, one.crop), one.full)
    with pytest.raises(ValueError, match="a face must be"):
        put_back(small, one, one.full[:10])
    with pytest.raises(ValueError, match="uint8"):
        put_back(small, one, one.full.astype(float))


# ------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".PNG"])
def test_nothing_of_the_original_is_in_the_file(tmp_path, suffix):
    image, exif = Image.fromarray(noise(70, 90)), Image.Exif()
    exif[0x010F] = "SECRETCAMERA"
    exif.get_ifd(0x8825)[1] = "N"
    image.info = {"icc_profile": b"SECRETPROFILE", "comment": b"SECRETWORDS"}
    image.info["exif"] = exif.tobytes()
    file = save_photo(image, tmp_path / f"x{suffix}")
    assert b"SECRET" not in file.read_bytes()
    with Image.open(file) as again:
        assert again.size == (90, 70) and not dict(again.getexif())
        assert not {"exif", "icc_profile", "comment", "xmp"} & set(again.info)
        if suffix == ".PNG":
            assert np.array_equal(np.asarray(again), np.asarray(image))
        else:
            assert [layer[1:3] for layer in again.layer] == [(1, 1)] * 3  # 4:4:4
            assert np.abs(levels(again) - levels(image)).mean() < 6


def test_a_failed_file_leaves_the_old_one(tmp_path):
    image = Image.fromarray(noise(70, 90))
    before = save_photo(image, tmp_path / "a.jpg").read_bytes()
    with pytest.raises(UserError, match="Cannot write"):
        save_photo(Image.new("RGB", (70_000, 1)), tmp_path / "a.jpg")
    assert (tmp_path / "a.jpg").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg"]
    for wrong in ("c.gif", "c", "missing/c.jpg"):
        with pytest.raises(UserError):
            save_photo(image, tmp_path / wrong)


# ------------------------------------------------------------------------- squares chosen by hand


def scene(width: int = 360, height: int = 300) -> np.ndarray:
    """A smooth picture with grain: (height, width, 3) uint8."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(60, 200, (5, 6, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), float)
    return (smooth + rng.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)


def test_a_centre_crop_goes_back_to_the_middle() -> None:
    photo = scene()
    for full in (0, 1024):
        prepared = prepare(photo, 64, align="center", full=full)
        assert (prepared.full is None) == (full == 0)
        old = prepared.crop if prepared.full is None else prepared.full
        assert np.array_equal(put_back(photo, prepared, old), photo)
        out = levels(put_back(photo, prepared, 255 - old))
        assert np.array_equal(out[:, :30], photo[:, :30])
        assert np.array_equal(out[:, -30:], photo[:, -30:])
        assert np.abs(out[:, 30:-30] - photo[:, 30:-30]).mean() > 3


def test_a_face_needs_no_more_pixels_than_its_square_has() -> None:
    photo = Image.new("RGB", (300, 300))
    for side, expected in ((30.0, 64), (150.2, 150), (400.0, 256)):
        square = Square.at((150.0, 150.0), side, 17.0)
        assert prepare(photo, 64, full=256, square=square).native == expected
    assert Face.of_pixels(np.zeros((64, 64, 3), np.uint8), 128).native == 64


@pytest.mark.skipif(not finder.available(), reason="mediapipe is not installed")
def test_a_face_found_in_a_photo_takes_its_outline(face_folder: Path) -> None:
    """Pixels of the outline and beyond stay those of the photo, whatever the new face's shape."""
    files = list_pictures(face_folder)[:2]
    crops = [np.asarray(open_picture(file).resize((256, 256))) for file in files]
    assert all(find_shape(crop) is not None for crop in crops)
    photo = scene(400, 400)
    photo[60:316, 80:336] = crops[0]
    square = Square((208.0, 188.0), (128.0, 0.0))  # its corner: (80, 60)
    prepared = Face(crops[0], crops[0], full=crops[0], square=square)
    out = np.asarray(put_back(photo, prepared, crops[1]))[60:316, 80:336].astype(int)
    change = np.abs(out - crops[0])
    outline = find_shape(crops[0])[OUTLINE_POINTS]
    inside = outline[((outline > 0.01) & (outline < 0.99)).all(axis=1)]
    x, y = (inside * 256).astype(int).T
    assert change[y, x].mean() < 3
    x, y = (find_shape(crops[0])[4] * 256).astype(int)  # the nose
    assert change[y - 30 : y + 30, x - 30 : x + 30].mean() > 4
