"""Faces are found, and come to lie on the template whatever the photo."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.faults.hostile import encoded
from glow_app.common.errors import UserError
from glow_app.faces import finder
from glow_app.faces.alignment import FoundFace, cut, is_aligned
from glow_app.faces.face import Face, prepare, prepare_all
from glow_app.faces.finder import find_faces
from glow_app.faces.landmarks import find_shape
from glow_app.faces.opening import RESAMPLE, list_pictures, open_picture

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = ROOT.parent / "shared" / "photos"

pytestmark = pytest.mark.skipif(not finder.available(), reason="mediapipe is not installed")

# Where the faces lie that the released model was trained on.
TEMPLATE = np.array([(0.30, 0.29), (0.70, 0.29), (0.33, 0.71), (0.67, 0.71)])

# Frontal, with a mouth that sets the scale neither way: 2.0·|E| = 1.8·|M|, |E| = 36, |M| = 40.
PLAIN = FoundFace((82, 100), (118, 100), (85, 140), (115, 140))


@pytest.fixture(scope="module")
def portraits(face_folder) -> list[Image.Image]:
    """Photos of one face each, not aligned: real ones, or aligned faces put into a larger one."""
    if PHOTOS.is_dir() and not os.environ.get("GLOW_DRAWN_FACES"):
        return [open_picture(file) for file in sorted(PHOTOS.glob("[ps]*_0[0-4].jpg"))]
    crops = [open_picture(file) for file in list_pictures(face_folder)[:8]]
    return [in_a_photo(crop, turn=5.0 * i - 15) for i, crop in enumerate(crops)]


@pytest.fixture(scope="module")
def found(portraits) -> list[FoundFace]:
    return [find_faces(photo)[0] for photo in portraits]


@pytest.fixture(scope="module")
def upright(portraits) -> list[Face]:
    return [prepare(photo, 128, "face") for photo in portraits]


def in_a_photo(face: Image.Image, turn: float, side: int = 260) -> Image.Image:
    """A face on a plain canvas of 640 x 480, turned by `turn` degrees counterclockwise."""
    face = face.resize((side, side), Image.Resampling.BICUBIC)
    mask = Image.new("L", face.size, 255).rotate(turn, expand=True)
    canvas = Image.new("RGB", (640, 480), (150, 155, 160))
    canvas.paste(face.rotate(turn, Image.Resampling.BICUBIC, expand=True), (170, 60), mask)
    return canvas


def points(face: FoundFace) -> np.ndarray:
    """(4, 2)"""
    return np.array([face.left_eye, face.right_eye, face.mouth_left, face.mouth_right])


def corners(face: FoundFace) -> np.ndarray:
    """(4, 2), of its square."""
    c, x, y = face.square.centre, face.square.right, face.square.down
    return np.array([c - x - y, c + x - y, c + x + y, c - x + y])


def face_at(four: np.ndarray, **more) -> FoundFace:
    return FoundFace(*(tuple(v) for v in four), **more)


def moved(face: FoundFace, scale: float = 1.0, degrees: float = 0.0, by=(0.0, 0.0)) -> FoundFace:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return face_at(points(face) @ (scale * np.array([[c, s], [-s, c]])) + by, yaw=face.yaw)


def centred(face: FoundFace, at) -> FoundFace:
    return moved(face, by=np.subtract(at, face.square.centre))


# ------------------------------------------------------------------------------------ the template


def test_the_formula_by_hand():
    square = PLAIN.square
    centre, x, y = square.centre, square.right, square.down
    half = 0.62 * 72  # 0.62 · max(2.0 · 36, 1.8 · 40)
    assert np.allclose([centre, x, y], [(100, 100 + 0.42 * half), (half, 0), (0, half)])
    assert PLAIN.size == pytest.approx(2 * half)
    in_square = (points(PLAIN) - (centre - x - y)) / PLAIN.size
    assert np.allclose(in_square[:2], [[0.298, 0.29], [0.702, 0.29]], atol=0.005)
    assert np.allclose(in_square[2:], [[0.332, 0.738], [0.668, 0.738]], atol=0.005)
    for degrees, scale in ((0, 0.3), (20, 7.0), (90, 0.3), (200, 7.0)):
        face = moved(PLAIN, scale, degrees, by=(30, -10))
        expected = moved(face_at(corners(PLAIN)), scale, degrees, by=(30, -10))
        assert np.allclose(corners(face), points(expected))


def test_exactly_the_square_is_cut_antialiased_and_mirrored_beyond_the_border():
    """A square that is the middle of the picture comes out as plain cropping and resizing does."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (25, 25, 3), np.uint8))
    picture = noise.resize((400, 400), Image.Resampling.BICUBIC)
    square = FoundFace((164, 184), (236, 184), (170, 264), (230, 264)).square  # 99.2..300.8
    (left, top), side = square.corner, square.side
    crop, outside = cut(picture, square, 64)
    plain = picture.resize((64, 64), RESAMPLE, box=(left, top, left + side, top + side))
    assert outside == 0
    assert np.abs(np.asarray(crop).astype(int) - np.asarray(plain)).max() <= 4

    fine = np.zeros((1200, 1200, 3), np.uint8)
    fine[::2, ::2] = 255  # a mean of 64
    crop, outside = cut(Image.fromarray(fine), moved(PLAIN, 6, 10, by=(100, -130)).square, 64)
    assert outside == 0
    assert np.abs(np.asarray(crop).astype(int) - 64).max() <= 6

    picture = Image.fromarray(rng.integers(100, 200, (128, 128, 3), np.uint8))
    face = centred(moved(PLAIN, 128 / PLAIN.size, by=(-64, 0)), (0, 64))  # on the left edge
    crop, outside = cut(picture, face.square, 64)
    pixels = np.asarray(crop).astype(int)
    assert outside == pytest.approx(0.5, abs=0.02)
    assert pixels.min() > 80  # nothing black
    assert np.abs(pixels[:, 31:15:-1] - pixels[:, 32:48]).mean() < 15
    picture = Image.new("RGB", (40, 30), (50, 60, 70))
    crop, outside = cut(picture, moved(PLAIN, 2, by=(500, 900)).square, 32)
    assert crop.size == (32, 32) and outside == 1
    assert (np.asarray(crop) == (50, 60, 70)).all()


def test_only_a_face_on_the_template_counts_as_aligned():
    on = centred(moved(PLAIN, 50 / PLAIN.square.half[0]), 50)
    picture = Image.new("RGB", (100, 100))
    assert is_aligned(picture, on)
    assert is_aligned(picture, moved(on, 1.03, 1, by=(-2, 0)))
    assert not is_aligned(Image.new("RGB", (100, 101)), on)
    for off in (
        moved(on, by=(8, 0)), moved(on, by=(0, -8)), moved(on, 0.8, by=(10, 10)),
        centred(moved(on, 1, 8), 50),
    ):  # fmt: skip
        assert not is_aligned(picture, off)


# -------------------------------------------------------------------------------------- the finder


def test_faces_come_to_lie_on_the_template_and_keep_their_bits(found, upright, face_folder):
    """Our own crops, and pictures laid out like the training data, are not aligned again."""
    off, kept = [], 0
    for face, prepared in zip(found, upright, strict=True):
        assert prepared.aligned and prepared.faces == 1 and prepared.yaw == face.yaw
        again = find_faces(Image.fromarray(prepared.pixels))
        assert len(again) == 1
        off.append(points(again[0]) / 128 - TEMPLATE)
        kept += (prepare(prepared.pixels, 128).pixels == prepared.pixels).all()
        # The landmarks of the photo, in fractions of the square, are those that the crop shows.
        square = prepared.square
        across = prepared.shape @ np.array([2 * square.right, 2 * square.down])
        np.testing.assert_allclose(across + square.corner, face.mesh, atol=0.01)
        assert np.abs(find_shape(prepared.crop) - prepared.shape).mean() < 0.02
    off = np.array(off)
    # How far apart the eyes are depends on the length of the face: long ones set the scale.
    assert np.abs(off[:, :2]).max() < 0.03 and np.abs(off[:, :2].mean(0)).max() < 0.01
    assert np.abs(off[:, 2:]).max() < 0.08 and np.abs(off[:, 2:].mean(0)).max() < 0.03
    assert kept >= len(found) - 1
    kept, files = 0, list_pictures(face_folder)
    files = files[:: max(1, len(files) // 6)][:6]
    for file in files:
        crop = prepare(file, 128, align="center").pixels
        prepared, small = prepare(crop, 128), prepare(crop, 64)
        expected = prepare(crop, 64, align="center").pixels
        same = (prepared.pixels == crop).all() and (small.pixels == expected).all()
        kept += prepared.faces > 0 and same
    assert kept >= len(files) - 1


def test_a_turned_photo_gives_the_same_crop(portraits, upright):
    photo, grey = portraits[1], (128, 128, 128)
    for turn in (-60, -25, 40):
        turned = photo.rotate(turn, Image.Resampling.BICUBIC, expand=True, fillcolor=grey)
        pixels = prepare(turned, 128, align="face").pixels.astype(int)
        assert np.abs(pixels - upright[1].pixels)[24:-24, 24:-24].mean() < 8


def test_a_photo_on_its_side_or_head_is_turned_upright(portraits, upright):
    turns = Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270
    for i, (photo, own) in enumerate(zip(portraits[:6], upright, strict=False)):
        face = prepare(photo.transpose(turns[i % 3]), 128, "face")
        # The wrong way up costs about 40 levels, a shift by one pixel about 12.
        assert np.abs(face.pixels.astype(int) - own.pixels).mean() < 8
        assert np.abs(face.shape - own.shape).max() < 0.03
        assert face.turned and face.notes[0] == "This face was turned upright."
        assert not own.turned and "This face was turned upright." not in own.notes


def test_left_is_left_in_the_picture_and_mirrors_agree(portraits, found):
    for photo, face in zip(portraits[:4], found, strict=False):
        mirrored = find_faces(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT))[0]
        back = points(mirrored)[[1, 0, 3, 2]]
        back[:, 0] = photo.width - back[:, 0]
        assert face.left_eye[0] < face.right_eye[0] and face.mouth_left[0] < face.mouth_right[0]
        assert np.abs(back - points(face)).max() < 0.02 * face.size
        assert mirrored.yaw == pytest.approx(-face.yaw, abs=3)


def test_finding_is_repeatable_in_any_order_and_thread(portraits, found):
    assert [find_faces(photo) for photo in portraits[2::-1]] == [[f] for f in found[2::-1]]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(find_faces, portraits[:3])) == [[face] for face in found[:3]]


def test_the_largest_of_several_comes_first_and_each_has_its_own_way_up(portraits):
    canvas = Image.new("RGB", (1500, 900), (150, 155, 160))
    for photo, side, at in zip(portraits[:3], (300, 520, 380), (20, 420, 1050), strict=True):
        canvas.paste(photo.resize((side, side)), (at, 100))
    prepared = prepare(canvas, 64)
    assert prepared.faces == 3 and "3 faces" in prepared.notes[0]
    everyone, left = prepare_all(canvas, 64)
    assert len(everyone) == 3 and left == 0 and (everyone[0].pixels == prepared.pixels).all()
    sizes = [face.square.side for face in everyone]
    assert sizes == sorted(sizes, reverse=True) and 420 < everyone[0].square.centre[0] < 940
    # None is left out or taken twice where two stand on their heads.
    canvas = Image.new("RGB", (1800, 700), (150, 155, 160))
    for i, photo in enumerate(portraits[:3]):
        small = photo.resize((520, 520), RESAMPLE)
        canvas.paste(small.rotate(180) if i else small, (40 + 600 * i, 80))
    found = sorted(find_faces(canvas), key=lambda face: face.left_eye)
    assert [round(abs(face.square.turn) / 180) for face in found] == [0, 1, 1]


def test_small_faces_in_a_large_photo(portraits, found):
    """Squares of 2.8 % of the long side, as in a photo of a class; a quarter of them was found."""
    canvas = Image.new("RGB", (3000, 1000), (150, 155, 160))
    for i in range(8):
        photo, scale = portraits[i % 4], 85 / found[i % 4].size
        small = photo.resize([round(scale * side) for side in photo.size], RESAMPLE)
        canvas.paste(small, (60 + 740 * (i % 4), 50 + 490 * (i // 4)))
    several = find_faces(canvas)
    assert 7 <= len(several) <= 8
    assert {int(face.left_eye[0] - 60) // 740 for face in several} == {0, 1, 2, 3}


def test_notes_tell_of_poor_crops_and_of_a_face_that_may_be_either_way_up(
    portraits, found, monkeypatch
):
    photo, four = portraits[0], points(found[0])
    turned = face_at(four, yaw=35.0)
    edge = moved(turned, by=(-turned.left_eye[0], 0))
    doubtful = face_at(four, confidence=0.3)
    for face, size, says in (
        (turned, 64, "turned far to the side"),
        (turned, 1024, "pixels wide"),
        (edge, 64, "outside the photo"),
        (doubtful, 64, "not clear which way up"),
    ):
        monkeypatch.setattr(finder, "find_faces", lambda _, face=face: [face])
        assert says in " ".join(prepare(photo, size).notes)
    monkeypatch.setattr(finder, "search", lambda _: finder.Search((doubtful,), 0))
    for refused in (lambda: prepare(photo, 64, "face"), lambda: prepare_all(photo, 64)):
        with pytest.raises(UserError, match="not clear which way up"):
            refused()
    monkeypatch.undo()
    noise = np.random.default_rng(0).integers(0, 256, (300, 500, 3), np.uint8)
    for picture in (noise, np.zeros((16, 16, 3), "u1"), np.full((250, 16, 3), 255, np.uint8)):
        assert find_faces(Image.fromarray(picture)) == []


def test_opening_and_finding_are_silent_and_need_no_network(portraits, tmp_path):
    """Nor does Pillow warn of odd metadata."""
    odd = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0e\x01\x02\0\xff\0\0\0\x1a\0\0\0"
    (tmp_path / "a.jpg").write_bytes(encoded(portraits[0], "JPEG", exif=odd))
    code = (
        "import socket, sys, warnings; warnings.simplefilter('error', UserWarning)\n"
        "def refuse(*_, **__): raise AssertionError('network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from glow_app.faces.face import prepare\n"
        "assert 'mediapipe' not in sys.modules\n"
        f"prepare({str(tmp_path / 'a.jpg')!r}, 64, 'face')\n"
        "print('done', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "done\n")


def test_without_mediapipe(monkeypatch):
    blank = Image.new("RGB", (64, 64))
    for name in [n for n in sys.modules if n.split(".")[0] == "mediapipe"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    finder._face_mesh_module.cache_clear()
    try:
        assert not finder.available() and find_shape(np.asarray(blank)) is None
        with pytest.raises(RuntimeError, match="pip install mediapipe"):
            find_faces(blank)
        prepared = prepare(blank, 32)
        assert not prepared.aligned and "pip install mediapipe" in prepared.notes[0]
        for align in (lambda: prepare(blank, 32, "face"), lambda: prepare_all(blank, 9)):
            with pytest.raises(UserError, match="pip install mediapipe"):
                align()
    finally:
        finder._face_mesh_module.cache_clear()
