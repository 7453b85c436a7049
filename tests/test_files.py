"""Files are written whole or not at all, under every name that the disk takes."""

from __future__ import annotations

import contextlib
import os
import re
import stat

import pytest

import models
from glow_app.common.errors import UserError
from glow_app.common.files import replacing, write_bytes, write_text
from glow_app.editing import directions
from glow_app.editing.labels import read_labels
from glow_app.export.recipes import read_recipe
from glow_app.faces.opening import open_picture
from glow_app.training import from_source

POINTER = b"""version https://git-lfs.github.com/spec/v1
oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
size 12345
"""


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("a.jpg", open_picture), ("a.heic", open_picture), ("a.safetensors", models.load),
        ("a.safetensors", directions.load), ("a.tsv", read_labels), ("a.gif", read_recipe),
        ("a.mp4", read_recipe), ("a.npy", lambda path: from_source(path, 16, path.parent)),
    ],
)  # fmt: skip
def test_a_file_that_git_has_not_fetched_says_so(tmp_path, name, read):
    (tmp_path / name).write_bytes(POINTER)
    said = f"{name} is a pointer of Git LFS and not the file itself: fetch it with git lfs pull."
    with pytest.raises((UserError, models.CheckpointError), match=f"^{re.escape(said)}$"):
        read(tmp_path / name)


@pytest.mark.parametrize("stop", [ValueError, OSError, KeyboardInterrupt, None])
def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path, stop):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with contextlib.nullcontext() if stop is None else pytest.raises(stop):
        with replacing(target) as temporary:
            assert temporary.parent == tmp_path and not temporary.exists()
            temporary.write_text("new")
            assert target.read_text() == "old"
            if stop is not None:
                raise stop
    assert target.read_text() == ("new" if stop is None else "old")
    with pytest.raises(FileNotFoundError), replacing(target):
        pass  # nothing is written
    assert [*tmp_path.iterdir()] == [target]


def test_two_writers_do_not_meet(tmp_path):
    target = tmp_path / "a.txt"
    with replacing(target) as one, replacing(target) as other:
        one.write_text("one")
        other.write_text("other")
    assert target.read_text() == "one" and [*tmp_path.iterdir()] == [target]  # it ended last


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127, "𝔤" * 63])
def test_names_may_be_as_long_as_the_disk_allows(tmp_path, name):
    write_bytes(tmp_path / name, b"content")
    assert (tmp_path / name).read_bytes() == b"content"
    with pytest.raises(OSError, match="too long"):
        write_bytes(tmp_path / (name + "aaaa"), b"content")
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_text_is_utf_8_with_ordinary_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "né\n")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").read_bytes() == b"n\xc3\xa9\n"
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640
