"""The command lines as a user runs them: real files, exit statuses, what is printed.

A process that imports PyTorch takes seconds: what needs none of its own runs `main` in this one.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from glow_app.common import cli
from glow_app.common.errors import UserError
from glow_app.editing import directions
from glow_app.editing.directions import Direction
from glow_app.editing.editor import Editor
from glow_app.editing.model import RELEASED
from glow_app.editing.sampling import Sampler
from glow_app.export.recipes import Origin, read_recipe
from glow_app.faces.coding import Coding
from glow_app.faces.face import FULL, prepare
from glow_app.faces.looks import ReferenceFrame
from glow_app.faces.opening import list_pictures
from glow_app.faces.put_back import put_back
from glow_app.ui.page_faces import example_files

pytest_plugins = ["tests.full_size_faces"]

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture(scope="module")
def photos(face_folder: Path, tmp_path_factory) -> list[Path]:
    """Copies of four faces."""
    folder = tmp_path_factory.mktemp("photos")
    files = list_pictures(face_folder)[:4]
    return [Path(shutil.copy(file, folder / f"{i}_{file.name}")) for i, file in enumerate(files)]


@pytest.fixture(scope="module")
def sharp(photos_with_detail: list[Image.Image], tmp_path_factory) -> list[Path]:
    """Two photos of faces with more detail than the models here draw, each its own."""
    folder = tmp_path_factory.mktemp("sharp")
    files = [folder / f"{name}.png" for name in "ab"]
    for file, photo in zip(files, photos_with_detail, strict=False):
        photo.save(file)
    return files


def frames_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.stack([np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(image)])


# ------------------------------------------------------------------------------------------- morph


TINY = "--size 16 --align center"


@pytest.fixture
def morph(here, tmp_path):
    """`morph(checkpoint, photos, options)` returns the frames and the file of the command."""

    def run(checkpoint: Path, photos: list[Path], options: str = "", out: str = "m.png"):
        file = tmp_path / out
        files = [*photos, "--out", file, "--checkpoint", checkpoint]
        assert here("morph", *files, *options.split()) == 0
        return frames_of(file), file

    return run


def test_morph_starts_on_a_and_ends_on_b(morph, photos, tiny_checkpoint, tmp_path, capfd):
    """Through a third one."""
    options = f"{TINY} --frames 5 --strip {tmp_path}/s.png"
    frames, _ = morph(tiny_checkpoint, photos[:3], options)
    printed = capfd.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    assert len(lines) == 3 + 2  # the photos, the animation, the strip
    for photo, line in zip(photos[:3], lines[:3], strict=True):
        assert line.startswith(photo.name) and "bits/dim" in line and "round trip exact" in line
    assert len(frames) == 9
    for k in range(3):
        expected = prepare(photos[k], 16, align="center").pixels
        np.testing.assert_array_equal(frames[4 * k], expected)
    strip = frames_of(tmp_path / "s.png")[0]
    np.testing.assert_array_equal(strip, np.concatenate(frames, axis=1))


def test_morph_with_all_defaults(morph, photos, small_checkpoint):
    """The command of the manual, but for its model: a GIF, 33 frames as sharp as the photos."""
    frames, file = morph(small_checkpoint, photos[:2], out="m.gif")
    # A photo that has no more than the model shows comes out as the model sees it.
    prepared = [prepare(photo, 64, coding=Coding(), full=FULL) for photo in photos[:2]]
    sharp = [p.pixels if p.full is None else p.full for p in prepared]
    side = min(max(map(len, sharp)), 512) // 2 * 2
    with Image.open(file) as image:
        assert image.n_frames == 33 and image.size == (side, side) and image.info["loop"] == 0
        assert json.loads(image.info["comment"])["checkpoint"] == small_checkpoint.stem
    for frame, photo in ((frames[0], sharp[0]), (frames[-1], sharp[1])):
        whole = Image.fromarray(photo).resize((side, side), Image.Resampling.LANCZOS)
        expected, seen = (np.asarray(i.reduce(4), float) for i in (whole, Image.fromarray(frame)))
        assert np.abs(seen - expected).mean() < 3


def test_the_ends_are_the_photos_and_a_face_is_put_back(
    morph, sharp, small, small_checkpoint, tmp_path
):
    """In all detail that the photos have; what is put back is the second from the middle on."""
    whole, faces = tmp_path / "whole.png", [small.prepare(photo) for photo in sharp]
    side = max(face.native for face in faces)
    options = f"--frames 3 --size native --put-back {whole}"
    frames, file = morph(small_checkpoint, sharp, options)
    assert faces[0].native > 2 * small.image_size
    assert frames.shape == (3, side, side, 3) and read_recipe(file).size == side
    for k, face in ((0, faces[0]), (2, faces[1])):
        np.testing.assert_array_equal(frames[k], face.at(side))
        assert np.abs(frames[1].astype(float) - frames[k]).mean() > 3
    for own, t, how in ((1, 0.5, {}), (0, 0.4, {"ground": "b", "kappa": 0.0})):
        if own == 0:
            options = f"--frames 2 --size 64 --put-back {whole} --at 0.4 --ground b --kappa 0"
            morph(small_checkpoint, sharp, options)
        one = small.morph_frames(*faces, [t], **how)
        face, shape = one.enlarged(faces[own].native)[0], one.points[0].shape
        expected = np.asarray(put_back(sharp[own], faces[own], face, shape))
        np.testing.assert_array_equal(frames_of(whole)[0], expected)


def test_the_ways_from_a_to_b(morph, sharp, small, small_checkpoint):
    """Each is that of the editor, says so in its file, and is none of the others."""
    faces, middles = [small.prepare(photo) for photo in sharp], []
    for words, how in (
        ("", {}),
        ("--ground b --kappa 0", {"ground": "b", "kappa": 0.0}),
        ("--alone", {"alone": True}),
        ("--path spherical", {"path": "spherical"}),
    ):
        frames, file = morph(small_checkpoint, sharp, f"--frames 3 --size 64 {words}")
        np.testing.assert_array_equal(frames, small.morph_frames(*faces, 3, **how).frames)
        assert all(np.abs(frames[1].astype(int) - other).max() > 1 for other in middles), words
        middles.append(frames[1])
        recipe = read_recipe(file)
        assert recipe.way == ("model" if how.get("alone") else "photos")
        assert (recipe.ground, recipe.kappa) == (how.get("ground", "switch"), how.get("kappa"))
        assert recipe.path == how.get("path", "linear")


@pytest.mark.parametrize(
    ("option", "count"), [("--one-way", 9), ("--there-and-back", 16), ("--loop", 12)]
)
def test_ways_round(morph, photos, tiny_checkpoint, option, count):
    frames, _ = morph(tiny_checkpoint, photos[:3], f"{TINY} --frames 5 {option}")
    assert len(frames) == count
    keys = {frame.tobytes() for frame in frames[[0, 4, 8]]}
    assert len(keys) == 3
    assert frames[-1].tobytes() not in keys or option == "--one-way"


def test_morph_through_more_photos_is_cubic_and_opens_again(
    morph, photos, tiny_checkpoint, tmp_path
):
    options = f"{TINY} --frames 5 --loop --ground a --kappa 0.25 --constant-speed"
    options += f" --sheet {tmp_path}/sheet.png"
    frames, file = morph(tiny_checkpoint, photos[:3], options, out="m.webp")
    assert len(frames) == 12
    for written in (file, tmp_path / "sheet.png"):
        recipe = read_recipe(written)
        assert (recipe.kind, recipe.path, recipe.loop) == ("journey", "cubic", True)
        assert (recipe.way, recipe.ground, recipe.kappa) == ("photos", "a", 0.25)
        assert (recipe.constant_speed, recipe.frames) == (True, 5)
        assert recipe.faces == (Origin(), Origin(), Origin()) and recipe.fps == 25
        assert recipe.checkpoint == tiny_checkpoint.stem


def test_morph_beyond_its_ends(morph, photos, tiny_checkpoint):
    options = f"{TINY} --frames 9 --range -0.5 1.5"
    frames, file = morph(tiny_checkpoint, photos[:2], options)
    for place, photo in ((2, photos[0]), (6, photos[1])):
        expected = prepare(photo, 16, align="center").pixels
        np.testing.assert_array_equal(frames[place], expected)
    assert read_recipe(file).t_range == (-0.5, 1.5)


@pytest.fixture(scope="module")
def tiny_direction(tiny_checkpoint, tmp_path_factory) -> Path:
    """A direction of the tiny model that does something."""
    editor = Editor(tiny_checkpoint, device="cpu")
    vector = torch.randn(editor.model.flow.dims, generator=torch.Generator().manual_seed(0)) / 20
    facts = {"accuracy": 0.8, "effect_size": 1.0, "counts": [9, 9]}
    made = Direction("made up", vector, fingerprint=editor.fingerprint, facts=facts)
    return directions.save(made, tmp_path_factory.mktemp("directions") / "made.safetensors")


def test_one_photo_into_its_edited_self(morph, photos, tiny_checkpoint, tiny_direction):
    options = f"{TINY} --frames 5 --edit {tiny_direction}=2"
    frames, file = morph(tiny_checkpoint, photos[:1], options)
    editor = Editor(tiny_checkpoint, device="cpu")
    photo = editor.prepare(photos[0], align="center")
    edited = editor.edit(photo, [(editor.load_direction(tiny_direction), 2.0)]).pixels
    np.testing.assert_array_equal(frames[0], photo.pixels)
    assert not np.array_equal(edited, photo.pixels)
    np.testing.assert_array_equal(frames[-1], edited)
    recipe = read_recipe(file)
    assert recipe.directions == (("made up", 2.0),) and recipe.faces == (Origin(),)


def test_sliders_are_named_and_the_last_frame_is_the_edit(here, default, tmp_path):
    """A look, a shape and a unit of its own, each within its ends, and with the name as typed."""
    known = {direction.name: direction for direction in default.directions()}
    asked = {"smile": 2.0, "age": 5.0, "nose width": -1.0, "eyes wide": 0.0}
    words = [f"--edit={name.replace('e w', 'e_w')}={s:+g}" for name, s in asked.items()]
    out, photo = tmp_path / "m.png", example_files()[0]
    assert here("morph", photo, *words, "--out", out, "--frames", 3, "--size", 192) == 0
    face = default.prepare(photo)
    edited = default.edit(face, [(known[name], s) for name, s in asked.items()])
    frames = frames_of(out)
    assert frames.shape == (3, 192, 192, 3)
    np.testing.assert_array_equal(frames[0], face.at(192))
    # Decoded with other frames, which may round otherwise.
    assert np.abs(frames[-1].astype(int) - edited.at(192)).max() <= 1
    assert np.abs(frames[1].astype(int) - frames[0]).mean() > 0.5
    recipe = read_recipe(out)
    assert recipe.directions == tuple(asked.items()) and recipe.kind == "morph"
    assert recipe.checkpoint == RELEASED


def test_the_expression_of_another_photo_after_a_slider(morph, small, small_checkpoint, capsys):
    photo, like = example_files()[:2]
    options = f"--frames 2 --size 64 --edit chin=1 --expression-of {like}"
    frames, file = morph(small_checkpoint, [photo], options)
    assert len(capsys.readouterr().out.splitlines()) == 3  # both photos, the animation
    face, other = (small.prepare(file) for file in (photo, like))
    chin = [(d, 1.0) for d in small.directions() if d.name == "chin"]
    expected = [*chin, *small.expression(face, other)]
    np.testing.assert_array_equal(frames[0], face.pixels)
    np.testing.assert_array_equal(frames[1], small.edit(face, expected).pixels)
    assert not np.array_equal(frames[0], frames[1])
    names = [(d.name, pytest.approx(s)) for d, s in expected]
    assert list(read_recipe(file).directions) == names


# ------------------------------------------------------------------------------------------ sample


def test_sample_grid_is_reproducible_tile_by_tile(here, tiny_checkpoint, tmp_path):
    options = ["--checkpoint", tiny_checkpoint, "--temperature", 0.8]
    assert here("sample", "--out", tmp_path / "g.png", "--n", 11, "--seed", 5, *options) == 0
    grid = frames_of(tmp_path / "g.png")[0]
    assert grid.shape == (3 * 16, 4 * 16, 3)
    one = tmp_path / "one.png"
    for i in (0, 7, 10):
        assert here("sample", "--out", one, "--n", 1, "--seed", 5 + i, *options) == 0
        y, x = divmod(i, 4)
        tile = grid[16 * y : 16 * y + 16, 16 * x : 16 * x + 16]
        np.testing.assert_array_equal(frames_of(one)[0], tile)
    assert (grid[2 * 16 :, 3 * 16 :] == 255).all()  # the empty place
    more = ["--n", 4, "--size", 32, "--columns", 4]
    assert here("sample", "--out", one, *more, *options) == 0
    assert frames_of(one)[0].shape == (32, 4 * 32, 3)


def test_sample_rows_of_temperatures_and_neighbours(here, tiny_checkpoint, tmp_path):
    out, sampler = tmp_path / "g.png", Editor(tiny_checkpoint, "cpu").sampler
    options = ["--out", out, "--seed", 4, "--checkpoint", tiny_checkpoint]
    assert here("sample", "--n", 3, "--temperature", 0.4, 0.9, *options) == 0
    rows = frames_of(out)[0].reshape(2, 16, 3, 16, 3).swapaxes(1, 2)
    np.testing.assert_array_equal(rows, sampler.sample_temperatures([0.4, 0.9], 3, 4))
    recipe = read_recipe(out)
    assert recipe.faces == (Origin(4, 0.4),) and recipe.temperatures == (0.4, 0.9)

    assert here("sample", "--n", 4, "--columns", 4, "--near", 0.2, *options) == 0
    tiles = frames_of(out)[0].reshape(16, 4, 16, 3).swapaxes(0, 1)
    np.testing.assert_array_equal(tiles[:1], sampler.sample(1, 0.7, 4))
    np.testing.assert_array_equal(tiles[1:], sampler.neighbours(4, 3, 0.2, 0.7))
    assert read_recipe(out).radius == 0.2


# ---------------------------------------------------------------------------------- find_direction


@pytest.fixture(scope="module")
def two_classes(small, tmp_path_factory) -> Path:
    """Light and dark faces in two folders, and a table that says which is which."""
    folder = tmp_path_factory.mktemp("classes")
    drawn = iter(small.sampler.sample(24, temperature=0.7, seed=1))
    rows = ["file\tlight\tset"]
    for name, low in (("light", 120), ("dark", 0)):
        (folder / name).mkdir()
        for i in range(12):
            file = Path(name, f"{i}.png")
            Image.fromarray((low + 0.53 * next(drawn)).astype(np.uint8)).save(folder / file)
            rows.append(f"{file}\t{low}\t{i % 2}")
    (folder / "dark" / "broken.png").write_bytes(b"no picture")
    (folder / "labels.tsv").write_text("\n".join(rows))
    return folder


def test_find_direction_from_two_folders(
    here, two_classes, small, small_checkpoint, tmp_path, capsys
):
    out = tmp_path / "light.safetensors"
    status = here(
        "find_direction", "--with", two_classes / "light", "--without", two_classes / "dark",
        "--out", out, "--align", "center", "--checkpoint", small_checkpoint,
    )  # fmt: skip
    said = capsys.readouterr()
    assert status == 0 and "broken.png" in said.err
    assert "12 pictures with and 12 without" in said.out and "weak" not in said.out
    direction = small.load_direction(out)
    words = direction.name, direction.with_words, direction.without_words
    assert words == ("light", "light", "dark")
    assert direction.accuracy > 0.9 and direction.facts["counts"] == [12, 12]
    assert direction.shape is not None and direction.low < 0 < direction.high
    # What it does to a look, by the model itself: an edit holds back what its photo has not.
    look = small.model.looks.of(small.model.face(small.sampler.sample(1, 0.7, 99)[0]))
    z = small.model.encode(look[None])
    levels = [float(small.model.decode(z + s * direction.vector).mean()) for s in (-1, 0, 1)]
    assert levels == sorted(levels) and levels[2] > levels[0] + 20


def test_find_direction_from_labels(here, two_classes, small_checkpoint, tmp_path, capsys):
    out = tmp_path / "d.safetensors"
    status = here(
        "find_direction", "--labels", two_classes / "labels.tsv", "--with", "light>=100",
        "--without", "light<100", "--balance", "set", "--limit", 8, "--method", "lda",
        "--name", "brightness", "--words", "bright", "dim",
        "--out", out, "--align", "center", "--checkpoint", small_checkpoint,
    )  # fmt: skip
    assert status == 0
    assert "8 pictures with and 8 without" in capsys.readouterr().out
    direction = directions.load(out)
    assert (direction.name, direction.with_words) == ("brightness", "bright")
    assert direction.facts["method"] == "lda" and direction.facts["balance"] == "set"


# ---------------------------------------------------------------------------------------- evaluate


@pytest.fixture(scope="module")
def mixed_folder(photos, tmp_path_factory) -> Path:
    """Four faces and, sorted between them, a picture that is none."""
    folder = shutil.copytree(photos[0].parent, tmp_path_factory.mktemp("mixed") / "in")
    (folder / "1_broken.jpg").write_bytes(b"\xff\xd8 no picture")
    return folder


@pytest.fixture
def evaluate(here, capsys):
    """`evaluate(checkpoint, data, *options)` returns the JSON object and what was printed."""

    def run(checkpoint: Path, data: Path, *options: object):
        assert here("evaluate", "--checkpoint", checkpoint, "--data", data, *options) == 0
        printed = capsys.readouterr()
        return json.loads(printed.out.splitlines()[-1]), printed

    return run


def test_evaluate_measures_and_skips(evaluate, mixed_folder, photos, tiny_checkpoint):
    result, printed = evaluate(tiny_checkpoint, mixed_folder)
    assert result["images"] == 4 and result["skipped"] == 1 and "1_broken.jpg" in printed.err
    assert result["image_size"] == 16 and result["dims"] == 768
    assert result["checkpoint"] == tiny_checkpoint.stem
    assert result["roundtrip_max_levels"] == 0
    editor = Editor(tiny_checkpoint, device="cpu")
    places = [i for i, f in enumerate(sorted(mixed_folder.iterdir())) if "broken" not in f.name]
    pictures = np.stack([prepare(photo, 16, align="center").pixels for photo in photos])
    bits = editor.model.bits_per_dim(pictures, places)
    assert result["bits_per_dim"] == pytest.approx(bits.mean(), rel=1e-6)
    assert result["bits_per_dim_sem"] == pytest.approx(bits.std(ddof=1) / 2, rel=1e-4)
    again, printed = evaluate(tiny_checkpoint, mixed_folder, "--batch", 1, "--json")
    assert len(printed.out.splitlines()) == len(printed.err.splitlines()) == 1  # the skipped one
    assert again["bits_per_dim"] == pytest.approx(result["bits_per_dim"], rel=1e-6)
    first, other = (
        evaluate(tiny_checkpoint, mixed_folder, "--limit", 1, "--seed", seed)[0] for seed in (0, 1)
    )
    assert first["images"] == other["images"] == 1 and first["bits_per_dim_sem"] is None
    assert first["bits_per_dim"] != other["bits_per_dim"]


def test_a_folder_of_unreadable_pictures(here, tiny_checkpoint, tmp_path, capsys):
    (tmp_path / "x.jpg").write_bytes(b"no picture")
    status = here("evaluate", "--data", tmp_path, "--checkpoint", tiny_checkpoint, "--json")
    printed = capsys.readouterr()
    assert status == 2 and printed.out == ""
    assert ["x.jpg" in line for line in printed.err.splitlines()] == [True, False]


def test_evaluate_by_the_groups_of_a_table(
    evaluate, here, mixed_folder, tiny_checkpoint, tmp_path, capsys
):
    names = [file.name for file in list_pictures(mixed_folder)]
    table = tmp_path / "sources.tsv"
    rows = [f"some/where/{name}\t{'one' if i % 2 else 'two'}" for i, name in enumerate(names[1:])]
    table.write_text("\n".join(["file\tsource", *rows]))
    result, printed = evaluate(tiny_checkpoint, mixed_folder, "--by", table, "source")
    groups = result["bits_by_group"]
    assert set(groups) <= {"one", "two", "unknown"} and len(groups) >= 2
    assert sum(own["images"] for own in groups.values()) == result["images"]
    mean = sum(own["images"] * own["bits_per_dim"] for own in groups.values()) / result["images"]
    assert mean == pytest.approx(result["bits_per_dim"], rel=1e-6)
    for name, own in groups.items():
        assert f"{name}: {own['bits_per_dim']:.3f}" in printed.out
    command = ["--data", mixed_folder, "--checkpoint", tiny_checkpoint, "--by", table, "no such"]
    line = refused(here("evaluate", *command), capsys.readouterr())
    assert "needs the columns file and no such" in line


def test_evaluate_says_which_frame_it_measures(here, evaluate, tmp_path, tiny_checkpoint, capsys):
    faces, looks = tmp_path / "faces", tmp_path / "looks"
    for folder in (faces, looks):
        folder.mkdir()
    example = shutil.copy(example_files()[0], faces / "1.jpg")
    Image.new("RGB", (64, 64), "green").save(faces / "2.png")
    result, printed = evaluate(tiny_checkpoint, faces, "--align", "face", "--shape", "mean")
    assert "tiny learned whole crops; what is measured is looks in the mean shape." in printed.err
    assert "over 1 pictures (looks in the mean shape)" in printed.out
    assert (result["shape"], result["model_shape"], result["skipped"]) == ("mean", "crop", 1)
    editor = Editor(tiny_checkpoint, device="cpu")
    look = editor.model.looks.of(editor.prepare(example, align="face"))
    (expected,) = editor.model.bits_per_dim(look[None], [0]).tolist()
    assert result["bits_per_dim"] == pytest.approx(expected)

    Image.fromarray(look).save(looks / "1.png")
    ReferenceFrame.looks().write(looks)
    for more in ([], ["--shape", "mean"]):  # what are looks already is measured as it lies
        again, _ = evaluate(tiny_checkpoint, looks, *more)
        assert again["shape"] == "mean" and again["bits_per_dim"] == pytest.approx(expected)
    out = tmp_path / "d.safetensors"
    for command in (
        ["evaluate", "--data", looks, "--shape", "crop"],
        ["find_direction", "--with", looks, "--without", faces, "--out", out],
    ):
        line = refused(here(*command, "--checkpoint", tiny_checkpoint), capsys.readouterr())
        assert "holds looks in the mean shape" in line


def test_evaluate_says_the_bits_of_the_parts(evaluate, mixed_folder, detailed_checkpoint):
    result, printed = evaluate(detailed_checkpoint, mixed_folder)
    parts, words = result["bits_by_part"], printed.out.splitlines()[-2]
    assert list(parts) == ["details 1", "details 2", "base"]
    assert all(f"{name} {bits:.3f}" in words for name, bits in parts.items())
    # Of 16 numbers of a picture 12 and 3 are details; a mean is half a coefficient, each time.
    first, second, base = parts.values()
    total = (12 * first + 3 * second + base + 4 + 1) / 16
    assert result["bits_per_dim"] == pytest.approx(total, rel=1e-5)
    assert result["roundtrip_max_levels"] == 0


# ---------------------------------------------------------------------------------------- refusals


def test_wrong_arguments_answer_at_once(tmp_path):
    """One line, status 2, and no PyTorch loaded for it."""
    names = ["morph", "sample", "evaluate", "find_direction"]
    program = (
        f"import runpy, sys; folder = sys.path[0] = {str(SCRIPTS)!r}\n"
        f"for name in {names}:\n"
        "    sys.argv = [f'{folder}/{name}.py', '--frobnicate']\n"
        "    sys.modules.pop('_project', None)\n"
        "    try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "    except SystemExit as stop: print(stop.code, {'torch', 'gradio'} & {*sys.modules})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["2 set()"] * len(names), done.stderr
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == [f"{n}.py" for n in names]


def refused(status: int, printed) -> str:
    """The one line of a refusal."""
    assert status == 2
    assert len(printed.err.splitlines()) == 1, printed.err
    assert "Traceback" not in printed.err
    return printed.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("morph {a} --out m.gif", "two photos"),
        ("morph {a} {b} --out m.gif --frames 1", "--frames"),
        ("morph {a} {b} --out m.gif --fps nan", "--fps"),
        ("morph {a} {b} --out m.xyz", "ending"),
        ("morph {a} {b} --out m.gif --strip s.gif", "ending"),
        ("morph {a} {b} --out no/m.gif", "does not exist"),
        ("morph {a} {p} --out {p}", "replace a photo"),
        ("morph {a} {b} --out m.png --strip m.png", "replace"),
        ("morph {a} gone.jpg --out m.gif", "gone.jpg"),
        ("morph {a} {broken} --out m.gif", "broken.jpg"),
        ("morph {a} --edit smile --out m.gif", "such as smile=2."),
        ("morph {a} --edit =1 --out m.gif", "such as smile=2."),
        ("morph {a} --edit nose_width=much --out m.gif", "such as smile=2."),
        ("morph {a} --edit grin=1 --out m.gif", "no slider 'grin' … nose_width … gaze_height"),
        ("morph {a} --edit nose_width=9 --out m.gif", "nose width goes … deviations, not to 9."),
        ("morph {a} --edit nose_width=nan --out m.gif", "nose width goes … not to nan."),
        ("morph {a} --edit nose_width=0.5 --edit nose_width=1 --out m.gif", "asked for twice"),
        ("morph {a} --edit gone.safetensors=1 --out m.gif", "gone.safetensors"),
        ("morph {a} {b} --edit smile=1 --out m.gif", "one photo"),
        ("morph {a} --edit smile=1 --out m.gif --alone", "need two photos"),
        ("morph {a} --edit s=1 --out m.gif --kappa 0", "need two photos"),
        ("morph {a} --edit s=1 --out m.gif --ground b", "need two photos"),
        ("morph {a} {b} --expression-of {b} --out m.gif", "one photo"),
        ("morph {a} --expression-of gone.jpg --out m.gif", "gone.jpg"),
        ("morph {a} --expression-of {p} --out {p}", "replace a photo"),
        ("morph {a} {b} --out m.gif --path cubic", "three photos"),
        ("morph {a} {b} --out m.gif --kappa nan", "--kappa"),
        ("morph {a} {b} --out m.gif --sharpness 0.5", "--sharpness"),
        ("morph {a} {b} --out m.gif --loop --range 0 1", "no --loop"),
        ("morph {a} {b} --out m.gif --range 1 0", "go up"),
        ("morph {a} {b} --out m.gif --sheet {p} --strip {p}", "replace"),
        ("morph {a} {b} --loop --out m.gif --put-back x.jpg", "--put-back needs two photos"),
        ("morph {a} {b} {a} --out m.gif --put-back x.jpg", "--put-back needs two photos"),
        ("sample --out g.png --near 0.1 --temperature 1 2", "--near"),
        ("sample --out g.png --columns 2 --temperature 1 2", "--columns"),
        ("sample --out g.gif", "ending must be .png"),
        ("sample --out g.png --device warp", "device"),
        ("find_direction --with empty --without empty --out d.pt", "ending"),
        ("find_direction --with empty --without x --out d.safetensors", "empty"),
        ("find_direction --with a=1 --without a=2 --out d.safetensors --labels p.png", "p.png"),
        ("find_direction --with a --without b --out d.safetensors --balance age", "--labels"),
        ("evaluate --data nowhere", "nowhere"),
        ("evaluate --data empty", "empty"),
        ("sample --n 4000 --size 2048 --out g.png", "too large"),
        ("sample --n 2000 --columns 1 --size 2048 --out g.png", "too large"),
        ("morph {a} {b} --sheet s.png --frames 1000 --size 1024 --out m.png", "too large"),
    ],
)
def test_refusals(here, photos, tiny_checkpoint, tmp_path, monkeypatch, capsys, line, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Sampler, "sample", None)  # what cannot be had is not begun
    monkeypatch.setattr(Editor, "along", None)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    Image.new("RGB", (70, 70), "tan").save("p.png")
    names = {"a": photos[0], "b": photos[1], "p": "p.png", "broken": "broken.jpg"}
    filled = [argument.format(**names) for argument in line.split()]
    before = sorted(p.name for p in tmp_path.iterdir()), Path("p.png").read_bytes()
    status = here(*filled, "--checkpoint", tiny_checkpoint)
    said = refused(status, capsys.readouterr())
    assert all(part in said for part in words.split(" … ")), said
    assert (sorted(p.name for p in tmp_path.iterdir()), Path("p.png").read_bytes()) == before


@pytest.fixture
def unwritable(tmp_path):
    """A folder that is there and takes no file; permissions do not stop root."""
    folder = tmp_path / "shut"
    folder.mkdir()
    folder.chmod(0o500)
    yield folder if os.geteuid() else Path("/proc")
    folder.chmod(0o700)


@pytest.mark.parametrize(
    "line",
    [
        "morph {a} {b} --out {shut}/m.gif",
        "morph {a} {b} --out {free}/m.gif --strip {shut}/s.png",
        "morph {a} {b} --out {free}/m.gif --sheet {shut}/s.png",
        "morph {a} {b} --out {free}/m.gif --put-back {shut}/p.jpg",
        "morph {a} {b} --out {free}/" + 260 * "m" + ".gif",
        "sample --out {shut}/g.png",
        "find_direction --with {free} --without {free} --out {shut}/d.safetensors",
        "learn --out {shut}",
        "learn --out {free} --save-flow {shut}/f.safetensors",
        "learn --out {free} --save-flow {free}/none/f.safetensors",
        "train --data {free} --steps 1 --out {shut} --cache {free}",
        "add_user {shut}/users ann",
    ],
    ids=lambda line: line[:60],
)
def test_unwritable_targets_are_refused_before_the_work(
    here, photos, unwritable, tmp_path, monkeypatch, capsys, line
):
    """Before photos are read, models loaded or anything is asked."""
    free = tmp_path / "free"
    free.mkdir()
    names = {"a": photos[0], "b": photos[1], "shut": unwritable, "free": free}
    monkeypatch.setattr(Editor, "prepare", None)
    monkeypatch.setattr("models.load", None)
    monkeypatch.setattr(sys, "stdin", None)
    filled = [argument.format(**names) for argument in line.split()]
    said = refused(here(*filled), capsys.readouterr())
    assert str(unwritable) in said or str(free) in said
    assert not list(free.iterdir())


# ------------------------------------------------------------------------------------- cli helpers


def test_a_tilde_is_home_in_every_way_of_writing_it(
    here, photos, tiny_checkpoint, tiny_direction, tmp_path, monkeypatch
):
    """Shells leave `--out=~/x` and quoted words as they are."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny_checkpoint, "tiny.safetensors")
    shutil.copy(tiny_direction, "direction.safetensors")
    shutil.copy(photos[0], "a.png")
    model = "--checkpoint=~/tiny.safetensors"
    assert here("sample", "--out=~/g.png", "--n", 1, model) == 0
    edit = ["--edit=~/direction.safetensors=0.5", "--out=~/m.png", "--strip", "~/s.png"]
    assert here("morph", "~/a.png", *edit, "--frames", 3, "--align", "center", model) == 0
    assert all(Path(name).is_file() for name in ("g.png", "m.png", "s.png"))
    parser = cli.Parser()
    parser.add_argument("several", nargs="+")
    parser.add_argument("--one", default="~/default")
    parser.add_argument("--more", action="append", type=Path)
    found = parser.parse_args(["~/a", "b~", "x/~/y", "--more=~/c"])
    assert found.several == [f"{tmp_path}/a", "b~", "x/~/y"]
    assert (found.one, found.more) == (f"{tmp_path}/default", [tmp_path / "c"])


def test_every_script_finds_the_project_first():
    """Before PyTorch is loaded, as OpenMP reads its switch then; and its parser knows home."""
    scripts = sorted(SCRIPTS.glob("**/[!_]*.py"))
    assert len(scripts) > 8
    for script in scripts:
        tree = ast.parse(script.read_text(encoding="utf-8"))
        imported = []
        for node in tree.body:
            if isinstance(node, ast.Import):
                imported += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                imported += [node.module]
        before = {name.partition(".")[0] for name in imported[: imported.index("_project")]}
        assert before <= sys.stdlib_module_names, script
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        names = [getattr(f, "attr", getattr(f, "id", "")) for f in calls]
        assert "ArgumentParser" not in names, script


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_standard_output():
    program = "from glow_app.common import cli; raise SystemExit(cli.run(print, argv=[]))"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdout=full, stderr=subprocess.PIPE, text=True, cwd=SCRIPTS.parent,
        )  # fmt: skip
    assert done.returncode == 2
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr


def test_run_reports_errors_of_others_and_lets_bugs_through(capsys):
    def fails(error: Exception):
        def main(argv):
            raise error

        return main

    assert cli.run(fails(UserError("Two\nlines."))) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("Two lines.")
    assert cli.run(fails(FileNotFoundError(2, "No such file", "x.jpg"))) == 2
    assert "x.jpg: No such file." in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        cli.run(fails(ZeroDivisionError()))
    assert cli.run(fails(KeyboardInterrupt())) == 130
    assert cli.run(lambda argv: None) == 0
    assert cli.run(lambda argv: 3) == 3


def test_progress_yields_everything_in_a_few_plain_lines(capsys):
    assert list(cli.shown(iter(range(1281)), 1281, "packing")) == list(range(1281))
    lines = capsys.readouterr().err.splitlines()
    assert 5 <= len(lines) <= 11
    assert lines[-1] == "packing: 1281/1281"
    assert list(cli.shown([], 0, "nothing")) == []
