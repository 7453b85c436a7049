"""scripts/prepare_faces.py: a folder of photos becomes a folder of aligned faces."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glow_app.common import cli
from glow_app.faces import finder
from glow_app.faces.folders import list_pictures
from glow_app.faces.opening import open_picture
from glow_app.faces.prepare import prepare
from scripts import prepare_faces

SCRIPT = Path(prepare_faces.__file__)

needs_mediapipe = pytest.mark.skipif(not finder.available(), reason="mediapipe is not installed")


@pytest.fixture(scope="session")
def photo(face_folder) -> Image.Image:
    """A face, somewhere in a larger picture."""
    face = open_picture(list_pictures(face_folder)[0]).resize((240, 240))
    canvas = Image.new("RGB", (480, 400), (150, 155, 160))
    canvas.paste(face, (90, 60))
    return canvas


@pytest.fixture
def album(tmp_path, photo) -> Path:
    """Two photos with a face, one without, one that is no picture, and a text."""
    folder = tmp_path / "album"
    (folder / "trip").mkdir(parents=True)
    photo.save(folder / "anna.jpg", quality=95)
    photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "trip" / "ben.png")
    Image.new("RGB", (64, 64), "green").save(folder / "trip" / "leaf.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("not a picture either")
    return folder


def run(*args: object) -> int:
    return cli.run(prepare_faces.main, argv=[str(a) for a in args])


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@needs_mediapipe
def test_a_folder(album, tmp_path, capsys):
    out = tmp_path / "faces"
    assert run(album, "--out", out, "--size", 64) == 0
    assert files(out) == {"anna.png", "trip/ben.png", "left_out.txt"}
    expected = prepare(album / "anna.jpg", 64, align="face").pixels
    assert (np.asarray(Image.open(out / "anna.png")) == expected).all()
    lines = (out / "left_out.txt").read_text().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("broken.jpg is not a picture")
    assert lines[1].startswith(f"trip{os.sep}leaf.png shows no face")
    printed = capsys.readouterr().out
    assert "2 faces written, 2 photos left out." in printed and lines[1] in printed


@needs_mediapipe
def test_the_same_command_goes_on_where_it_stopped(album, tmp_path, capsys):
    out = tmp_path / "faces"
    assert run(album, "--out", out) == 0
    (out / "trip" / "ben.png").unlink()
    before = (out / "anna.png").stat().st_mtime_ns
    (album / "broken.jpg").unlink()
    (album / "trip" / "leaf.png").unlink()
    capsys.readouterr()
    assert run(album, "--out", out) == 0
    assert (out / "anna.png").stat().st_mtime_ns == before
    assert files(out) == {"anna.png", "trip/ben.png"}  # and no list of what was left out
    assert "1 face written, 1 photo done before." in capsys.readouterr().out
    assert run(album, "--out", out, "--size", 32) == 0  # of another size: made again
    assert Image.open(out / "anna.png").size == (32, 32)


@needs_mediapipe
def test_ctrl_c_leaves_nothing_half_done(album, tmp_path, monkeypatch, capsys):
    out = tmp_path / "faces"
    replace = os.replace

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    assert run(album, "--out", out) == 130
    assert files(out) == set()
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setattr(os, "replace", replace)
    assert run(album, "--out", out) == 0
    assert "anna.png" in files(out)


@needs_mediapipe
def test_a_full_disk_stops_with_one_line(album, tmp_path, monkeypatch, capsys):
    out = tmp_path / "faces"

    def full(self, path, *_, **__):
        Path(path).write_bytes(b"half a pict")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", full)
        assert run(album, "--out", out) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "No space left on device" in last
    assert files(out) == set()


@needs_mediapipe
def test_every_face(photo, tmp_path):
    group = Image.new("RGB", (960, 400))
    group.paste(photo, (0, 0))
    group.paste(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((360, 300)), (520, 20))
    source, out = tmp_path / "group.png", tmp_path / "faces"
    group.save(source)
    assert run(source, "--out", out, "--all-faces", "--size", 64, "--format", "jpg") == 0
    assert files(out) == {"group-face1.jpg", "group-face2.jpg"}
    with Image.open(out / "group-face1.jpg") as first:
        assert first.format == "JPEG" and first.size == (64, 64)
        largest = prepare(source, 64).pixels
        assert np.abs(np.asarray(first).astype(int) - largest).mean() < 4
    before = (out / "group-face2.jpg").stat().st_mtime_ns
    assert run(source, "--out", out, "--all-faces", "--size", 64, "--format", "jpg") == 0
    assert (out / "group-face2.jpg").stat().st_mtime_ns == before


@needs_mediapipe
def test_turned_photos_are_written_upright_and_counted(photo, tmp_path, capsys):
    folder, out = tmp_path / "album", tmp_path / "faces"
    folder.mkdir()
    photo.save(folder / "0.png")
    for k, turn in enumerate((Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180)):
        photo.transpose(turn).save(folder / f"{k + 1}.png")
    assert run(folder, "--out", out, "--size", 64) == 0
    assert "3 faces written, 2 of them turned upright." in capsys.readouterr().out
    upright, *lying = (np.asarray(Image.open(out / f"{k}.png")).astype(int) for k in range(3))
    assert all(np.abs(one - upright).mean() < 4 for one in lying)


@needs_mediapipe
def test_how_many_faces_were_left_out_is_said(photo, tmp_path, monkeypatch, capsys):
    photo.save(tmp_path / "a.png")
    search = finder.search
    monkeypatch.setattr(finder, "search", lambda image: finder.Search(search(image).faces, 2))
    assert run(tmp_path / "a.png", "--out", tmp_path / "out", "--all-faces") == 0
    printed = capsys.readouterr().out
    assert "1 face written, 2 places left out that may show a face." in printed


@needs_mediapipe
def test_the_output_may_lie_in_the_source(album):
    for _ in range(2):
        assert run(album, "--out", album / "faces") == 0
        assert files(album / "faces") == {"anna.png", "trip/ben.png", "left_out.txt"}


@needs_mediapipe
def test_the_source_may_lie_in_the_output(album):
    assert run(album / "trip", "--out", album) == 0
    assert (album / "ben.png").exists()


@pytest.mark.parametrize(
    ("names", "written"),
    [
        (["a.jpg", "b.jpg"], ["a.png", "b.png"]),
        (["a.jpg", "a.png", "sub/a.jpg"], ["a.jpg.png", "a.png.png", "sub/a.png"]),
        (["A.jpg", "a.jpg"], ["A.jpg.png", "a.jpg_2.png"]),
        (["a.jpg", "a.jpg.webp", "a.png"], ["a.jpg_2.png", "a.jpg.png", "a.png.png"]),
    ],
)
def test_no_two_photos_share_a_name(names, written):
    targets = prepare_faces.name_targets([Path(n) for n in names], "png")
    assert [targets[Path(n)].as_posix() for n in names] == written


@pytest.mark.parametrize("name", ["x" * 251 + ".jpg", "caf\udce9.jpg", "two\nlines.jpg"])
@needs_mediapipe
def test_strange_names(photo, tmp_path, name, capsys):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    try:
        photo.save(source / name, "JPEG")
    except (OSError, UnicodeError):
        pytest.skip("no such names here")
    photo.save(source / "plain.jpg")
    assert run(source, "--out", out, "--all-faces") == 0
    assert "plain-face1.png" in files(out)
    assert capsys.readouterr().out.endswith(("2 faces written.\n", "written.\n"))


# ------------------------------------------------------------------------------- unusable input


def refused(capsys, *args: object) -> str:
    """The one line on stderr."""
    assert run(*args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_unusable_sources(album, tmp_path, capsys):
    out, empty = tmp_path / "out", tmp_path / "empty"
    empty.mkdir()
    assert "no picture" in refused(capsys, empty, "--out", out)
    assert "nowhere" in refused(capsys, tmp_path / "nowhere", "--out", out)
    assert not out.exists()
    assert "--out" in refused(capsys, album, "--out", album)
    assert "--out" in refused(capsys, album / "anna.jpg", "--out", album)


def test_photos_are_never_overwritten(tmp_path, photo, capsys):
    inner = tmp_path / "in"
    (inner / "in").mkdir(parents=True)
    for path in (inner / "a.png", inner / "in" / "a.png"):
        photo.save(path)
    before = (inner / "a.png").read_bytes()
    assert "overwritten" in refused(capsys, inner, "--out", tmp_path)
    assert (inner / "a.png").read_bytes() == before


@needs_mediapipe
def test_nothing_usable_is_an_error(album, tmp_path, capsys):
    assert run(album / "trip" / "leaf.png", "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.endswith("leaf.png shows no face that could be found.\n")
    (album / "anna.jpg").unlink()
    (album / "trip" / "ben.png").unlink()
    assert run(album, "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.endswith("None of 2 photos can be used.\n")
    assert len((tmp_path / "out" / "left_out.txt").read_text().splitlines()) == 2


def test_without_mediapipe(album, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(finder, "available", lambda: False)
    assert "pip install mediapipe" in refused(capsys, album, "--out", tmp_path / "out")


@pytest.mark.parametrize(
    "args", [[], ["x"], ["x", "--out", "y", "--size", "0"], ["x", "--out", "y", "--format", "gif"]]
)
def test_wrong_arguments_from_anywhere(args, tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *args], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr
