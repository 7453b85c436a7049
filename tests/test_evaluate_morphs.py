"""Morphs are measured by what they look like: each figure on cases whose answer is known."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from benchmarks import edits, morphs, realism
from benchmarks.morphs import (
    SIDE,
    all_ways,
    contrast,
    dissolved,
    draw_pairs,
    ghosting,
    morph_table,
    one_face_in_place,
    one_half,
    read_faces,
    saturated,
)
from glow_app.common import cli
from glow_app.faces.face import Face
from glow_app.faces.landmarks import find_shape
from glow_app.faces.opening import list_pictures
from glow_app.ui.page_faces import example_files


def evaluate_morphs(*arguments: object) -> int:
    try:
        return cli.run(morphs.main, argv=[str(a) for a in arguments])
    except SystemExit as stop:  # argparse
        return stop.code


def noise(count: int, seed: int, side: int = 64) -> np.ndarray:
    values = 128 + 40 * np.random.default_rng(seed).standard_normal((count, side, side, 3))
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
    # Half of the detail is A's and half is of another picture.
    half = 128.0 + (a - 128.0) / 2 + (other - 128.0) / 2
    assert ghosting(half.astype(np.uint8), a, b) == pytest.approx(0.5, abs=0.05)
    # A negative is no ghost.
    assert (ghosting(255 - a, a, b) < 0.01).all()
    flat = np.full_like(a, 9)
    assert (ghosting(flat, a, b) == 0).all() and np.isfinite(ghosting(a, flat, flat)).all()


def test_a_face_counts_only_alone_and_in_its_place(faces):
    shifted = np.roll(faces[:2], 16, axis=2)
    twice = [np.vstack([np.hstack([face[::2, ::2]] * 2)] * 2) for face in faces[:2]]
    assert np.mean([one_face_in_place(face) for face in faces]) > 0.8
    assert not any(one_face_in_place(picture) for picture in [noise(1, 0)[0], *shifted, *twice])


def test_descriptors_tell_people_apart(faces):
    describe = edits.descriptor()
    alone, mirrored = ([describe(f) for f in some] for some in (faces[:4], faces[:4, :, ::-1]))
    assert alone[0].shape == (128,)
    others = np.linalg.norm(np.subtract(alone, np.roll(alone, 1, axis=0)), axis=1)
    same = np.linalg.norm(np.subtract(alone, mirrored), axis=1)
    assert (same < others).all()


@pytest.fixture(scope="module")
def people(small) -> list[Face]:
    """Four faces, read as the command reads them."""
    return read_faces(example_files()[0].parent, small, "auto")[:4]


def test_mark_is_highest_for_a_photo(people):
    marks = []
    for a, b in pairwise(people):
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
    real, *ways = all_ways(small).values()
    for way in ways:
        frames = way(a, b, (0, 0.5, 1))
        assert frames.shape == (3, 64, 64, 3) and way(a, b, [0], 80).shape == (1, 80, 80, 3)
        for k, face in ((0, a), (2, b)):
            np.testing.assert_array_equal(frames[k], face.pixels)
    np.testing.assert_array_equal(dissolved(a, b, [0.5])[0], faded(a.pixels, b.pixels))
    np.testing.assert_array_equal(real(a, b, (0.2, 1), 80)[1], a.at(80))


def test_landmark_morph_lies_half_way(people):
    a, b = people[:2]
    found = find_shape(dissolved(a, b, [0.5], SIDE, warped=True)[0])
    half = (a.shape + b.shape) / 2
    assert np.abs(found - half).mean() < np.abs(a.shape - half).mean() / 2
    faceless = list(map(Face.of_pixels, noise(2, 0)))  # they are only faded
    np.testing.assert_array_equal(
        dissolved(*faceless, [0.3], warped=True), dissolved(*faceless, [0.3])
    )


# ------------------------------------------------------------------------------- table and command


def test_table_leaves_out_columns_without_figures():
    rows = {
        "real faces": {"mark": 8.44, "found": None},
        "cross-fade": {"mark": None, "found": None, "contrast": 0.8, "ms": 0.25},
    }
    head, _, real, fade = (line.split("|")[2:-1] for line in morph_table(rows).splitlines())
    assert [title.strip() for title in head] == ["mark", "contrast", "ms"]
    assert [cell.strip() for cell in real] == ["8.4", "-", "-"]
    assert [cell.strip() for cell in fade] == ["-", "80 %", "0.2"]


def test_command_measures(face_folder, small_checkpoint, tmp_path, capsys):
    data, photos, frames = (tmp_path / name for name in ("data", "photos", "frames"))
    for folder, chosen in ((data, slice(0, 4)), (photos, slice(8, 10))):
        folder.mkdir()
        for file in list_pictures(face_folder)[chosen]:
            shutil.copy(file, folder)
    (photos / "broken.png").write_bytes(b"no picture")
    options = ["--pairs", 1, "--device", "cpu", "--checkpoint", small_checkpoint, "--json"]
    assert evaluate_morphs("--data", data, "--photos", photos, "--frames", frames, *options) == 0
    printed = capsys.readouterr()
    assert printed.err.count("skipped: broken.png") == 1
    result = json.loads(printed.out)
    ways = ["cross-fade", "classical landmark morph", "model alone", "photos only, κ = 0"]
    ways = ["real faces", *ways, "default"]
    assert list(result["data"]) == list(result["photos"]) == ways
    assert result["data"]["cross-fade"]["ghosting"] == pytest.approx(1, abs=0.01)
    real, *marks = (row["mark"] for row in result["data"].values())
    assert real > max(marks)
    names = [sorted(path.name for path in (frames / way).iterdir()) for way in ways]
    assert len(names[0]) == 2 and all(own == names[0] for own in names)
    stems = [file.stem for file in list_pictures(data) + list_pictures(photos)]
    assert set(names[0]) <= {f"{a}-{b}.png" for a in stems for b in stems}
    for path in (frames / "default").iterdir():
        with Image.open(path) as frame:
            assert frame.size == (SIDE, SIDE)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data", "empty"],
        ["--data", "one"],
        ["--data", "one", "--frames", "one/frames"],  # the next run would take them for faces
        ["--data", "empty", "--photos", "one", "--frames", "one"],
        ["--data", "one", "--frames", "/proc"],  # takes no file
    ],
)
def test_command_refuses_in_one_line(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "one").mkdir()
    Image.fromarray(noise(1, 0)[0]).save(tmp_path / "one" / "a.png")
    assert evaluate_morphs(*arguments, "--device", "cpu") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Traceback" not in error
