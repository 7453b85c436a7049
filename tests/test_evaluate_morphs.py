"""Morphs are measured by what they look like: each figure on cases whose answer is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from benchmarks import realism, recognition
from benchmarks.morphs import (
    SIDE,
    Dissolve,
    all_ways,
    contrast,
    draw_pairs,
    ghosting,
    morph_table,
    one_half,
    read_faces,
    real_face,
    saturated,
)
from benchmarks.recognition import one_face_in_place
from glow_app.faces.face import Face
from glow_app.faces.landmarks import find_shape
from glow_app.faces.opening import list_pictures


@pytest.fixture
def evaluate_morphs(here) -> Callable[..., int]:
    """`evaluate_morphs(*arguments)` runs the script in this process and returns its status."""
    return partial(here, "evaluate_morphs")


def noise(count: int, seed: int, side: int = 64, spread: float = 40.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = 128 + spread * rng.standard_normal((count, side, side, 3))
    return values.clip(0, 255).astype(np.uint8)


def faded(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return ((a.astype(np.float64) + b) / 2 + 0.5).astype(np.uint8)


# ------------------------------------------------------------------------------------- the figures


def test_contrast_and_saturation_of_made_pictures():
    half = np.zeros((8, 8, 3), np.uint8)
    half[:, 4:] = 255
    both = np.stack([half, np.full((8, 8, 3), 100, np.uint8)])
    np.testing.assert_allclose(contrast(both), [127.5, 0], atol=1e-9)
    np.testing.assert_allclose(saturated(both), [1, 0])


def test_ghosting_is_one_for_pictures_laid_over_each_other():
    a, b, other = noise(3, 1), noise(3, 2), noise(3, 3)
    assert ghosting(faded(a, b), a, b) == pytest.approx(1, abs=1e-3)
    assert ghosting(a, a, b) == pytest.approx(1)
    assert (ghosting(other, a, b) < 0.01).all()
    # Half of the detail is A's and half is nobody's.
    half = 128.0 + (a - 128.0) / 2 + (other - 128.0) / 2
    assert ghosting(half.astype(np.uint8), a, b) == pytest.approx(0.5, abs=0.05)
    # A negative is no ghost.
    assert (ghosting(255 - a, a, b) < 0.01).all()
    flat = np.full_like(a, 9)
    assert (ghosting(flat, a, b) == 0).all() and np.isfinite(ghosting(a, flat, flat)).all()


def test_a_face_counts_only_alone_and_in_its_place(faces):
    if one_face_in_place(faces[:1]) is None:
        pytest.skip("mediapipe is not installed")
    shifted = np.roll(faces, 16, axis=2)
    twice = np.stack([np.vstack([np.hstack([f[::2, ::2]] * 2)] * 2) for f in faces])
    assert one_face_in_place(faces).mean() > 0.8
    assert not one_face_in_place(np.concatenate([noise(2, 0), shifted, twice])).any()


def test_descriptors_tell_people_apart(faces):
    if not recognition.available():
        pytest.skip("dlib is not installed")
    alone = recognition.describe(faces[:4])
    assert alone.shape == (4, 128)
    mirrored = recognition.describe(faces[:4, :, ::-1])
    others = np.linalg.norm(alone - np.roll(alone, 1, axis=0), axis=1)
    assert (np.linalg.norm(alone - mirrored, axis=1) < others).all()  # the same four people


# ---------------------------------------------------------------------------------------- the mark


@pytest.fixture(scope="module")
def people(face_folder, small) -> list[Face]:
    """Four faces, read as the command reads them."""
    return read_faces(list_pictures(face_folder)[:4], small.model, "center", pytest.fail)


@pytest.fixture(scope="module")
def with_landmarks(people) -> list[Face]:
    if any(face.shape is None for face in people):
        pytest.skip("mediapipe is not installed")
    return people


def test_mark_is_highest_for_a_photo(with_landmarks):
    marks = []
    for a, b in pairwise(with_landmarks):
        photos = a.at(SIDE), b.at(SIDE)
        photo = photos[0]
        beside = np.roll(photo, 9, axis=1)  # doubles every edge
        specks, chance = photo.copy(), noise(1, 0, SIDE)[0, ..., 0]
        specks[chance > 208], specks[chance < 48] = 255, 0  # 2 of 100 pixels each
        frames = [photo, faded(*photos), faded(photo, beside), specks, noise(1, 1, SIDE)[0]]
        found = [realism.faults(f, photos, (a.shape, b.shape), find_shape(f)) for f in frames]
        marks.append([realism.mark(faults) for faults in found])
    real, *worse = np.transpose(marks)
    assert (real > 8).all()
    for faulty in worse:
        assert (faulty < real - 0.5).all()
    assert np.min(marks) >= 0 and np.max(marks) <= 8.6


def test_mark_is_never_below_zero():
    assert realism.mark(realism.Faults(0, 0, 0, 0)) == 8.6
    assert realism.mark(realism.Faults(9, 9, 1, 9)) == 0


# --------------------------------------------------------------------------------- pairs and ways


def test_half_and_pairs_are_fair_and_repeat():
    half = one_half(21, seed=3)
    assert len(half) == 11 and len({*half} & {*range(21)}) == 11
    every = draw_pairs(range(5), 100, seed=1)
    assert sorted(map(sorted, every)) == [[i, j] for i in range(5) for j in range(i + 1, 5)]
    assert {a < b for a, b in every} == {True, False}  # either way round
    assert draw_pairs(range(5), 3, seed=1) == draw_pairs(range(5), 3, seed=1) == every[:3]


def test_every_way_meets_both_photos(people, small):
    a, b = people[:2]
    for name, way in all_ways(small).items():
        made = way(a, b, (0, 0.5, 1))
        assert made.frames.shape == (3, 64, 64, 3) and made.enlarged(80).shape == (3, 80, 80, 3)
        for k, face in ((0, a), (2, b)):
            np.testing.assert_array_equal(made.frames[k], face.pixels, err_msg=name)
    np.testing.assert_array_equal(Dissolve(a, b, [0.5]).frames[0], faded(a.pixels, b.pixels))
    np.testing.assert_array_equal(real_face(a, b, (0.2, 1)).enlarged(80)[1], a.at(80))


def test_landmark_morph_lies_half_way(with_landmarks):
    a, b = with_landmarks[:2]
    found = find_shape(Dissolve(a, b, [0.5], warped=True).enlarged(SIDE)[0])
    half = (a.shape + b.shape) / 2
    assert np.abs(found - half).mean() < np.abs(a.shape - half).mean() / 2


def test_faces_without_landmarks_are_only_faded():
    a, b = map(Face.of_pixels, noise(2, 0))
    fade, warped = (Dissolve(a, b, [0.3], warped).frames for warped in (False, True))
    np.testing.assert_array_equal(fade, warped)


# ------------------------------------------------------------------------------- table and command


def test_table_leaves_out_what_nobody_measured():
    rows = {
        "real faces": {"mark": 8.44, "found": None},
        "cross-fade": {"mark": None, "found": None, "contrast": 0.8, "ms": 0.25},
    }
    head, _, real, fade = (line.split("|")[2:-1] for line in morph_table(rows).splitlines())
    assert [title.strip() for title in head] == ["mark", "contrast", "ms"]
    assert [cell.strip() for cell in real] == ["8.4", "-", "-"]
    assert [cell.strip() for cell in fade] == ["-", "80 %", "0.2"]


def test_command_measures_and_repeats(
    evaluate_morphs, face_folder, small_checkpoint, tmp_path, capsys
):
    data, photos, frames = (tmp_path / name for name in ("data", "photos", "frames"))
    for folder, chosen in ((data, slice(0, 8)), (photos, slice(8, 11))):
        folder.mkdir()
        for file in list_pictures(face_folder)[chosen]:
            (folder / file.name).write_bytes(file.read_bytes())
    (photos / "broken.png").write_bytes(b"no picture")
    arguments = ["--data", data, "--pairs", 2, "--device", "cpu", "--json"]
    arguments += ["--checkpoint", small_checkpoint]
    outputs = ["--photos", photos, "--frames", frames]
    results = []
    for more in (outputs, []):
        assert evaluate_morphs(*arguments, *more) == 0
        told = capsys.readouterr()
        assert told.err.count("skipped: broken.png") == (1 if more else 0)
        results.append(json.loads(told.out))
    first, again = (
        [{k: v for k, v in row.items() if k != "ms"} for row in r["data"].values()]
        for r in results
    )
    assert first == again
    ways = ["cross-fade", "classical landmark morph", "model alone", "photos only, κ = 0"]
    ways = ["real faces", *ways, "default"]
    assert list(results[0]["data"]) == list(results[0]["photos"]) == ways
    assert results[0]["data"]["cross-fade"]["ghosting"] == pytest.approx(1, abs=0.01)
    marks = [row["mark"] for row in results[0]["data"].values()]
    assert None in marks or marks[0] > max(marks[1:])  # None: mediapipe is not installed
    names = [sorted(path.name for path in (frames / way).iterdir()) for way in ways]
    assert len(names[0]) == 4 and all(own == names[0] for own in names)
    stems = [file.stem for file in list_pictures(data) + list_pictures(photos)]
    assert set(names[0]) <= {f"{a}-{b}.png" for a in stems for b in stems}
    for path in (frames / "default").iterdir():
        with Image.open(path) as frame:
            assert frame.size == (SIDE, SIDE)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data", "missing"],
        ["--data", "empty"],
        ["--data", "one"],
        ["--data", "one", "--frames", "one/a.png"],  # a file
        ["--data", "one", "--frames", "one/frames"],  # the next run would take them for faces
        ["--data", "empty", "--photos", "one", "--frames", "one"],
        ["--data", "one", "--pairs", "0"],
    ],
)
def test_command_refuses_in_one_line(evaluate_morphs, tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "one").mkdir()
    Image.fromarray(noise(1, 0)[0]).save(tmp_path / "one" / "a.png")
    assert evaluate_morphs(*arguments, "--device", "cpu") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Traceback" not in error
