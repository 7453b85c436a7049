"""Faces put back into their whole photos, and what is written of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glow_app.common.errors import UserError
from glow_app.faces.alignment import Square
from glow_app.faces.face import Face
from glow_app.faces.prepare import FULL, prepare
from glow_app.faces.put_back import put_back, seam_mask
from glow_app.keeping.photos import save_photo


def _scene(width: int = 360, height: int = 300, seed: int = 0) -> np.ndarray:
    """A smooth picture with grain: (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(60, 200, (5, 6, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), float)
    return (smooth + rng.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)


def _turned(photo: np.ndarray, corner: tuple[float, float], side: float, angle: float) -> Face:
    """A square of 128 pixels cut out where no face says so."""
    right = side * np.cos(angle), side * np.sin(angle)
    down = -right[1], right[0]
    step = [v / 128 for v in (right[0], down[0], right[1], down[1])]
    data = (step[0], step[1], corner[0], step[2], step[3], corner[1])
    cut = Image.fromarray(photo).transform(
        (128, 128), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC
    )
    crop, middle = np.asarray(cut), np.array(corner) + np.add(right, down) / 2
    square = Square(tuple(middle), tuple(np.array(right) / 2))
    return Face(crop[::2, ::2].copy(), crop, True, 1, full=crop, square=square)


def test_what_was_cut_out_changes_nothing() -> None:
    photo = _scene()
    prepared = _turned(photo, (120.3, 60.8), 150.0, 0.2)
    assert np.array_equal(np.asarray(put_back(photo, prepared, prepared.full)), photo)
    # At another size it is a little softer, but the photo's grain is there to be seen.
    larger = Image.fromarray(prepared.full).resize((200, 200), Image.Resampling.BICUBIC)
    again = np.asarray(put_back(photo, prepared, np.asarray(larger)), int)
    assert np.abs(again - photo).mean() < 0.5


def test_another_face_comes_where_the_square_was_and_nowhere_else() -> None:
    photo = _scene()
    prepared = _turned(photo, (120.3, 60.8), 150.0, 0.2)
    face = prepared.full.copy()
    face[48:80, 48:80] = (250, 10, 10)  # a spot in the middle
    out = np.asarray(put_back(photo, prepared, face))
    x, y = np.round(prepared.square.centre).astype(int)
    assert np.abs(out[y, x].astype(int) - (250, 10, 10)).max() < 12

    ys, xs = np.mgrid[: len(photo), : photo.shape[1]] + 0.5
    square = prepared.square
    into = np.linalg.inv(np.stack([2 * square.x, 2 * square.y], axis=1))
    inside = np.stack([xs, ys], -1) - square.corner
    u, v = np.moveaxis(inside @ into.T, -1, 0)
    outside = (u < 0) | (v < 0) | (u > 1) | (v > 1)
    assert np.array_equal(out[outside], photo[outside])
    ellipse = np.hypot((u - 0.5) / 0.47, (v - 0.5) / 0.55) > 1
    assert np.array_equal(out[ellipse], photo[ellipse])


def test_colours_meet_along_the_seam() -> None:
    photo = _scene()
    prepared = _turned(photo, (120.0, 60.0), 150.0, 0.0)
    brighter = (prepared.full.astype(int) + 25).clip(0, 255).astype(np.uint8)
    out = np.asarray(put_back(photo, prepared, brighter), int)
    assert np.abs(out - photo).max() <= 12  # the same face in another light has no seam
    assert np.abs(out - photo).mean() < 1


def test_a_face_at_the_border_of_its_photo() -> None:
    photo = _scene()
    for corner in ((-40.0, -30.0), (280.0, 220.0)):
        prepared = _turned(photo, corner, 140.0, 0.1)
        out = put_back(photo, prepared, prepared.full[:, ::-1].copy())
        assert out.size == (360, 300)
        assert not np.array_equal(np.asarray(out), photo)
    with pytest.raises(UserError, match="does not lie in that photo"):
        put_back(photo, _turned(photo, (500.0, 20.0), 140.0, 0.0), prepared.full)
    with pytest.raises(UserError, match="not known"):
        put_back(photo, replace(prepared, square=None), prepared.full)
    with pytest.raises(ValueError, match="uint8"):
        put_back(photo, prepared, prepared.full.astype(float))


@pytest.mark.parametrize("full", [0, 1024])
def test_a_centre_crop_goes_back_to_the_middle(full: int) -> None:
    photo = _scene()
    prepared = prepare(photo, 64, align="center", full=full)
    assert (prepared.full is None) == (full == 0)
    old = prepared.crop if prepared.full is None else prepared.full
    assert np.array_equal(np.asarray(put_back(photo, prepared, old)), photo)
    out = np.asarray(put_back(photo, prepared, 255 - old))
    assert np.array_equal(out[:, :30], photo[:, :30])
    assert np.array_equal(out[:, -30:], photo[:, -30:])
    assert np.abs(out[:, 30:-30].astype(int) - photo[:, 30:-30]).mean() > 3


def test_a_face_needs_no_more_pixels_than_its_square_has() -> None:
    photo = Image.new("RGB", (4000, 4000))
    for side, expected in ((30.0, 64), (150.2, 150), (5000.0, 1024)):
        square = Square.at((2000.0, 2000.0), side, 17.0)
        assert prepare(photo, 64, full=FULL, square=square).native == expected
    assert Face.of_pixels(np.zeros((64, 64, 3), np.uint8), 128).native == 64


def test_the_mask_is_soft_and_stays_within_the_square() -> None:
    points = np.array([[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]])
    for meshes in ((points,), (points * 3 - 1,), (points, points + 0.1), ()):
        mask = seam_mask(*meshes)
        assert mask.min() == 0 and mask.max() == 1
        assert not mask[0].any() and not mask[:, -1].any()
        assert np.abs(np.diff(mask, axis=0)).max() < 0.1
    assert not seam_mask(points)[: int(0.19 * 256)].any()


def test_a_face_found_in_a_photo_takes_its_outline(face_folder: Path) -> None:
    """Pixels of the outline and beyond stay those of the photo, whatever the new face's shape."""
    from glow_app.faces import finder
    from glow_app.faces.landmarks import OUTLINE_POINTS, find_shape
    from glow_app.faces.opening import list_pictures

    if not finder.available():
        pytest.skip("mediapipe is not installed")
    crops = [
        np.asarray(Image.open(f).convert("RGB").resize((256, 256)))
        for f in list_pictures(face_folder)[:2]
    ]
    assert all(find_shape(crop) is not None for crop in crops)
    photo = _scene(400, 400)
    photo[60:316, 80:336] = crops[0]
    square = Square((208.0, 188.0), (128.0, 0.0))  # its corner: (80, 60)
    prepared = Face(crops[0], crops[0], True, 1, full=crops[0], square=square)
    out = np.asarray(put_back(photo, prepared, crops[1]))[60:316, 80:336].astype(int)
    outline = find_shape(crops[0])[OUTLINE_POINTS]
    inside = outline[((outline > 0.01) & (outline < 0.99)).all(axis=1)]
    x, y = (inside * 256).astype(int).T
    assert np.abs(out[y, x] - crops[0][y, x]).mean() < 3
    nose = find_shape(crops[0])[4]
    x, y = (nose * 256).astype(int)
    assert (
        np.abs(
            out[y - 30 : y + 30, x - 30 : x + 30] - crops[0][y - 30 : y + 30, x - 30 : x + 30]
        ).mean()
        > 4
    )


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_written_photo_says_nothing_of_its_making(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Camera", 6
    exif.get_ifd(0x8825)[1] = "N"
    source = tmp_path / "gps.jpg"
    Image.fromarray(_scene(360, 300)).save(
        source, exif=exif, icc_profile=b"", comment=b"home", quality=95
    )
    assert b"Camera" in source.read_bytes()
    prepared = prepare(source, 64, align="center", full=1024)
    out = put_back(source, prepared, prepared.full)
    assert out.size == (300, 360)  # upright
    file = save_photo(out, tmp_path / f"out{suffix}")
    with Image.open(file) as image:
        assert image.size == (300, 360)
        assert not image.getexif() and "comment" not in image.info
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        if suffix == ".png":
            assert np.array_equal(np.asarray(image), np.asarray(out))
        else:
            assert np.abs(np.asarray(image, int) - np.asarray(out)).mean() < 3
    assert b"Camera" not in file.read_bytes()
    with pytest.raises(UserError, match="ending"):
        save_photo(out, tmp_path / "out.gif")
