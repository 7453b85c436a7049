"""scripts/prepare_faces.py: a folder of photos becomes a folder of aligned faces."""

from __future__ import annotations

import errno
import math
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glow_app.common import cli
from glow_app.common.devices import spread
from glow_app.common.errors import UserError
from glow_app.faces import finder
from glow_app.faces.coding import Coding
from glow_app.faces.face import FULL, prepare
from glow_app.faces.looks import Looks, ReferenceFrame
from glow_app.faces.opening import list_pictures, open_picture, open_source
from glow_app.training import from_source
from scripts import prepare_faces


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


def test_a_folder_and_going_on_where_it_stopped(album, tmp_path, capsys):
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

    (out / "trip" / "ben.png").unlink()
    before = (out / "anna.png").stat().st_mtime_ns
    (album / "broken.jpg").unlink()
    (album / "trip" / "leaf.png").unlink()
    assert run(album, "--out", out, "--size", 64) == 0
    assert (out / "anna.png").stat().st_mtime_ns == before
    assert files(out) == {"anna.png", "trip/ben.png"}  # and no list of what was left out
    assert "1 face written, 1 photo done before." in capsys.readouterr().out
    assert run(album, "--out", out, "--size", 32) == 0  # of another size: made again
    assert Image.open(out / "anna.png").size == (32, 32)


def test_what_stops_it_leaves_nothing_half_done(album, tmp_path, monkeypatch, capsys):
    """Ctrl-C, and a full disk, which is one line."""
    out = tmp_path / "faces"

    def stop(*_):
        raise KeyboardInterrupt

    def full(self, path, *_, **__):
        Path(path).write_bytes(b"half a pict")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    for owner, name, fault, status in ((os, "replace", stop, 130), (Image.Image, "save", full, 2)):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fault)
            assert run(album, "--out", out) == status
        assert files(out) == set()
        error = capsys.readouterr().err
        assert "Traceback" not in error
    assert "No space left on device" in error.splitlines()[-1]
    assert run(album, "--out", out) == 0
    assert "anna.png" in files(out)


def test_every_face_and_none_that_left_the_picture(photo, tmp_path):
    group = Image.new("RGB", (960, 400))
    group.paste(photo, (0, 0))
    group.paste(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((360, 300)), (520, 20))
    source, out = tmp_path / "group.png", tmp_path / "faces"
    group.save(source)
    command = [source, "--out", out, "--all-faces", "--size", 64, "--format", "jpg"]
    assert run(*command) == 0
    assert files(out) == {"group-face1.jpg", "group-face2.jpg"}
    with Image.open(out / "group-face1.jpg") as first:
        assert first.format == "JPEG" and first.size == (64, 64)
        largest = prepare(source, 64).pixels
        assert np.abs(np.asarray(first).astype(int) - largest).mean() < 4
    before = (out / "group-face2.jpg").stat().st_mtime_ns
    assert run(*command) == 0
    assert (out / "group-face2.jpg").stat().st_mtime_ns == before
    photo.save(source)
    assert run(*command) == 0
    assert files(out) == {"group-face1.jpg"}


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


def test_how_many_faces_were_left_out_is_said(photo, tmp_path, monkeypatch, capsys):
    photo.save(tmp_path / "a.png")
    search = finder.search
    monkeypatch.setattr(finder, "search", lambda image: finder.Search(search(image).faces, 2))
    assert run(tmp_path / "a.png", "--out", tmp_path / "out", "--all-faces") == 0
    printed = capsys.readouterr().out
    assert "1 face written, 2 places left out that may show a face." in printed


def test_output_and_source_may_lie_in_each_other(album):
    for _ in range(2):
        assert run(album, "--out", album / "faces") == 0
        assert files(album / "faces") == {"anna.png", "trip/ben.png", "left_out.txt"}
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


def test_strange_names(photo, tmp_path, capsys):
    """Those that the disk takes; one is too long for the name of a face."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in ("x" * 251 + ".jpg", "caf\udce9.jpg", "two\nlines.jpg"):
        with suppress(OSError, UnicodeError):
            photo.save(source / name, "JPEG")
            photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((360, 300))
    photo.resize((300, 250)).save(source / "plain.jpg")
    assert run(source, "--out", out, "--all-faces") == 0
    assert "plain-face1.png" in files(out)
    assert capsys.readouterr().out.endswith("written.\n")


# ---------------------------------------------------------------------------------------- again


def test_a_replaced_photo_is_done_anew(album, tmp_path, capsys):
    """Even if its file is as old; and of one that shows no face any more none stays."""
    out, anna = tmp_path / "faces", album / "anna.jpg"
    assert run(album, "--out", out, "--size", 64) == 0
    before = anna.stat()
    with Image.open(anna) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(anna, quality=95)
    os.utime(anna, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.utime(album / "trip" / "ben.png")  # only touched
    ben = (out / "trip" / "ben.png").stat().st_mtime_ns
    capsys.readouterr()
    assert run(album, "--out", out, "--size", 64) == 0
    assert "1 face written, 1 photo done before, 2 photos left out." in capsys.readouterr().out
    expected = prepare(anna, 64, align="face").pixels
    assert (np.asarray(Image.open(out / "anna.png")) == expected).all()
    assert (out / "trip" / "ben.png").stat().st_mtime_ns == ben

    (album / "trip" / "leaf.png").replace(album / "trip" / "ben.png")
    assert run(album, "--out", out, "--size", 64) == 0
    assert files(out) == {"anna.png", "left_out.txt"}
    assert "1 outdated picture removed" in capsys.readouterr().out
    anna.chmod(0)
    if os.access(anna, os.R_OK):
        return  # nothing is unreadable for root
    run(album, "--out", out, "--size", 32)
    assert "anna.png" in files(out)  # what cannot be read now is not another photo


def faces_of(out: Path) -> set[str]:
    return {name for name in files(out) if name.endswith((".png", ".jpg"))}


@pytest.mark.parametrize(
    "change", ["neighbour", "format", "all faces", "renamed", "swapped", "copied"]
)
def test_no_face_stands_twice_under_two_names(photo, tmp_path, change):
    album, out = tmp_path / "album", tmp_path / "faces"
    album.mkdir()
    photo.save(album / "a.jpg", quality=95)
    more, expected = [], {"a.png"}
    if change == "swapped":
        photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(album / "b.jpg")
    assert run(album, "--out", out, "--size", 64) == 0
    (out / "best").mkdir()
    mine = [out / "best" / "a.png", out / "mine.png"]
    for path in mine:  # the user's own, one of them a copy
        path.write_bytes((out / "a.png").read_bytes())
    if change == "neighbour":
        photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(album / "a.webp")
        expected = {"a.jpg.png", "a.webp.png"}
    elif change == "format":
        more, expected = ["--format", "jpg"], {"a.jpg"}
    elif change == "all faces":
        more, expected = ["--all-faces"], {"a-face1.png"}
    elif change == "renamed":
        (album / "2024").mkdir()
        (album / "a.jpg").rename(album / "2024" / "z.jpg")
        expected = {"2024/z.png"}
    elif change == "copied":
        (album / "b.jpg").write_bytes((album / "a.jpg").read_bytes())
    else:
        (album / "a.jpg").rename(album / "c.jpg")
        (album / "b.jpg").rename(album / "a.jpg")
        expected = {"a.png", "c.png"}
    assert run(album, "--out", out, "--size", 64, *more) == 0
    assert faces_of(out) == expected | {"best/a.png", "mine.png"}
    if change == "swapped":
        for name in "ac":
            pixels = prepare(album / f"{name}.jpg", 64, align="face").pixels
            assert (np.asarray(Image.open(out / f"{name}.png")) == pixels).all()
    assert run(album, "--out", out, "--size", 64, *more) == 0
    assert faces_of(out) == expected | {"best/a.png", "mine.png"}


# ---------------------------------------------------------------------------------------- looks


def test_looks_are_those_that_the_page_shows_a_model(album, tmp_path):
    out = tmp_path / "looks"
    assert run(album, "--out", out, "--shape", "mean") == 0
    assert files(out) == {
        "anna.jpg", "frame.json", "trip/ben.jpg", "trip/frame.json", "left_out.txt",
    }  # fmt: skip
    looks = Looks.from_facts({**Coding().to_facts()}, 128)
    for photo, look in (("anna.jpg", "anna.jpg"), ("trip/ben.png", "trip/ben.jpg")):
        face = prepare(album / photo, 128, align="face", coding=Coding(), full=FULL)
        opened = open_source(out / look)
        assert Coding().made(opened.image, opened.jpeg)
        np.testing.assert_array_equal(np.asarray(opened.image), looks.of(face))
    packed = from_source(out, 128, tmp_path / "cache", lambda _: None, coding=Coding())
    np.testing.assert_array_equal(packed.pixels[1], looks.of(face))  # not coded once more
    assert packed.frame.same_as(ReferenceFrame.looks())
    part = from_source(out / "trip", 128, tmp_path / "cache", lambda _: None, coding=Coding())
    assert part.frame.same_as(ReferenceFrame.looks())  # a part says so, too
    time = (out / "anna.jpg").stat().st_mtime_ns
    assert run(album, "--out", out, "--shape", "mean") == 0
    assert (out / "anna.jpg").stat().st_mtime_ns == time


def test_looks_of_aligned_pictures(face_folder, tmp_path, capsys):
    source, face = tmp_path / "in", list_pictures(face_folder)[0]
    source.mkdir()
    (source / face.name).write_bytes(face.read_bytes())
    Image.new("RGB", (128, 128), "green").save(source / "leaf.png")
    options = [source, "--shape", "mean", "--aligned"]
    assert run(*options, "--out", tmp_path / "looks") == 0
    assert "leaf.png shows no face" in capsys.readouterr().out
    looks = Looks.from_facts({**Coding().to_facts()}, 128)
    expected = looks.of(prepare(face, 128, align="center", coding=Coding(), full=FULL))
    (written,) = list_pictures(tmp_path / "looks")
    np.testing.assert_array_equal(np.asarray(Image.open(written)), expected)
    assert run(*options, "--out", tmp_path / "sharp", "--size", 200) == 0
    with Image.open(tmp_path / "sharp" / f"{face.stem}.png") as sharp:
        assert sharp.size == (200, 200)


def test_looks_and_whole_crops_are_not_mixed(album, tmp_path, capsys):
    crops, looks = tmp_path / "crops", tmp_path / "looks"
    assert run(album, "--out", crops) == 0
    assert run(album, "--out", looks, "--shape", "mean") == 0
    capsys.readouterr()
    line = refused(capsys, album, "--out", crops, "--shape", "mean")
    assert "--out holds whole crops; looks in the mean shape need another folder." in line
    line = refused(capsys, album, "--out", looks)
    assert "--out holds looks in the mean shape; whole crops need another folder." in line
    for more in ([], ["--shape", "mean"]):
        line = refused(capsys, looks, "--out", tmp_path / "again", *more)
        assert "holds looks in the mean shape; give the photos" in line
    assert faces_of(crops) == {"anna.png", "trip/ben.png"}
    assert faces_of(looks) == {"anna.jpg", "trip/ben.jpg"}


# ------------------------------------------------------------------------- workers and machines


def test_shards_and_workers_write_what_one_run_writes(album, tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(album, "--out", whole, "--size", 64) == 0
    assert run(album, "--out", parts, "--size", 64, "--shard", "1/2") == 0
    first = faces_of(parts)
    assert run(album, "--out", parts, "--size", 64, "--shard", "2/2") == 0
    shared = tmp_path / "shared"
    assert run(album, "--out", shared, "--size", 64, "--workers", 2) == 0
    assert files(shared) == files(whole)
    assert faces_of(parts) == faces_of(whole) > first
    for name in faces_of(whole):
        content = (whole / name).read_bytes()
        assert (parts / name).read_bytes() == (shared / name).read_bytes() == content
    lines = [path.read_text() for path in sorted(parts.glob("left_out-*-of-2.txt"))]
    assert sorted("".join(lines).splitlines()) == sorted(
        (whole / "left_out.txt").read_text().splitlines()
    )


def test_results_of_workers_keep_their_order_and_their_errors():
    assert list(spread(math.sqrt, map(float, range(40)), 2)) == [math.sqrt(i) for i in range(40)]
    with pytest.raises(ValueError, match="math domain"):
        list(spread(math.sqrt, [1.0, -1.0, 4.0], 2))
    with pytest.raises(UserError, match="fewer --workers"):
        list(spread(os._exit, [3, 3], 2))


def test_every_photo_is_in_one_shard():
    names = [Path(f"{i % 7}/{i}.jpg") for i in range(2000)]
    shards = [[n for n in names if prepare_faces.in_shard(n, (k, 20))] for k in range(1, 21)]
    assert sorted(n for shard in shards for n in shard) == sorted(names)
    assert all(60 < len(shard) < 140 for shard in shards)


# ------------------------------------------------------------------------------- unusable input


def refused(capsys, *args: object) -> str:
    """The one line on stderr."""
    assert run(*args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_unusable_sources(album, tmp_path, photo, monkeypatch, capsys):
    out, empty, inner = tmp_path / "out", tmp_path / "empty", tmp_path / "in"
    empty.mkdir()
    (inner / "in").mkdir(parents=True)
    for path in (inner / "a.png", inner / "in" / "a.png"):
        photo.save(path)
    before = (inner / "a.png").read_bytes()
    for source, target, words in (
        (empty, out, "no picture"),
        (tmp_path / "nowhere", out, "nowhere"),
        (album, album, "--out"),
        (album / "anna.jpg", album, "--out"),
        (inner, tmp_path, "overwritten"),
    ):
        assert words in refused(capsys, source, "--out", target)
    assert not out.exists() and (inner / "a.png").read_bytes() == before
    monkeypatch.setattr(finder, "available", lambda: False)
    assert "pip install mediapipe" in refused(capsys, album, "--out", out)


def test_nothing_usable_is_an_error(album, tmp_path, capsys):
    assert run(album / "trip" / "leaf.png", "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.endswith("leaf.png shows no face that could be found.\n")
    (album / "anna.jpg").unlink()
    (album / "trip" / "ben.png").unlink()
    assert run(album, "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.endswith("None of 2 photos can be used.\n")
    assert len((tmp_path / "out" / "left_out.txt").read_text().splitlines()) == 2


def test_arguments_that_do_not_go_together(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    for options in (
        "", "x", *(f"x --out y {more}" for more in (
            "--shard 0/3", "--shard 4/3", "--shard 1", "--shard a/b", "--workers 0",
            "--format gif", "--shape mean --size 64", "--shape mean --size 512",
            "--shape mean --format png", "--aligned", "--shape mean --aligned --all-faces",
        )),
    ):  # fmt: skip
        with pytest.raises(SystemExit, match=r"^2$"):
            run(*options.split())
        assert len(capsys.readouterr().err.splitlines()) == 1, options
