"""Visitors' files are gone in time, whoever made them: on a short clock."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.faults.hostile import encoded, picture
from benchmarks.faults.visitor import Visitor
from glow_app.editing.editor import Editor
from glow_app.ui import page as page_module
from glow_app.ui import visitors
from tests.page_tools import serving


def left_in(folder: Path) -> list[Path]:
    return list(folder.rglob("*"))


def test_only_what_is_old_and_ours_is_swept(tmp_path: Path) -> None:
    for name in ("glow-studio-x/photo.jpg", "other/photo.jpg", "kept.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    visitors.sweep(tmp_path, 60)
    assert len(left_in(tmp_path)) == 5
    visitors.sweep(tmp_path, -1, "glow-studio-*")
    assert {path.name for path in left_in(tmp_path)} == {"other", "photo.jpg", "kept.png"}
    visitors.sweep(tmp_path, -1, keep={str(tmp_path / "kept.png")})
    assert left_in(tmp_path) == [tmp_path / "kept.png"]


def test_everything_goes_when_its_time_has_come(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    monkeypatch.setattr(visitors.tempfile, "tempdir", str(tmp_path))
    for module in (page_module, visitors):
        monkeypatch.setattr(module, "DELETE_CACHE", (0.5, 2))
    editor = Editor(tiny_checkpoint, device="cpu")
    with serving(editor) as (_, url), closing(Visitor(url)) as visitor:
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        photo = visitor.upload("photo.png", encoded(picture(64, 64), "PNG"))
        visitor.upload("never used.png", encoded(picture(72, 72), "PNG"))
        made, _ = visitor.call("edit", photo, {}, 0, 64)
        assert visitor.file(made)
        download = visitors.outgoing("saved.png")  # as a component's own download
        download.write_bytes(b"x")
        assert len([path for path in left_in(folder) if path.is_file()]) >= 4
        deadline = time.monotonic() + 15
        while left_in(folder) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not left_in(folder)
        photo = visitor.upload("photo.png", encoded(picture(64, 64), "PNG"))  # and goes on
        visitor.call("edit", photo, {}, 0, 64)
