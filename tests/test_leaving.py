"""What ends with a visit: work, within one pass, and files, in time, on a short clock here."""

from __future__ import annotations

import mmap
import os
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.faults.hostile import encoded, picture
from benchmarks.faults.visitor import Visitor
from glow_app.common import memory
from glow_app.common.progress import Steps, Stopped, stopped_when
from glow_app.editing.editor import Editor
from glow_app.ui import page as page_module
from glow_app.ui import visitors
from glow_app.ui.events import JOBS, Jobs, event_handler
from tests.page_tools import serving


@pytest.fixture
def editor(tiny_checkpoint: Path) -> Editor:
    return Editor(tiny_checkpoint, device="cpu")


def test_work_ends_after_the_pass_in_which_it_was_stopped(editor: Editor) -> None:
    """By its callback, or where there is none."""
    codes, passes, asked = torch.zeros(33, editor.model.flow.dims), [], []

    def progress(done: int, total: int) -> None:
        passes.append(done)
        if done:
            raise Stopped

    with pytest.raises(Stopped):
        editor.model.bits_per_dim(np.zeros((33, 16, 16, 3), np.uint8), progress=progress)
    assert passes == [0, editor.model.batch] and editor.model.batch <= 8

    with pytest.raises(Stopped), stopped_when(lambda: asked.append(1) or len(asked) > 2):
        editor.model.decode(codes)
    assert len(asked) == 3
    assert len(editor.model.decode(codes)) == 33  # outside nothing stops


def test_only_the_work_of_the_one_who_left_is_stopped() -> None:
    jobs = Jobs()
    with (
        jobs.run(session="one") as first,
        jobs.run(session="one") as second,
        jobs.run(session="other") as other,
        jobs.run() as nobodys,
    ):
        jobs.leave("one")
        jobs.leave("nobody")
        jobs.leave(None)
        assert first.stopped and second.stopped and not other.stopped and not nobodys.stopped
        with jobs.run(session="one") as later:  # the connection came back
            assert not later.stopped
    assert not jobs._running


@pytest.mark.parametrize("kind", ["function", "generator"])
def test_handlers_end_quietly_when_their_visitor_leaves(kind: str, monkeypatch) -> None:
    monkeypatch.setattr("glow_app.ui.events._session_here", lambda: "visitor")
    done = []

    def work() -> None:
        steps = Steps(100)
        for i in range(100):
            if i == 3:
                JOBS.leave("visitor")
            done.append(i)
            steps.advance()

    @event_handler
    def generator():
        yield "first"
        work()
        yield "last"

    shown = list(generator()) if kind == "generator" else [event_handler(work)()]
    assert done == [0, 1, 2, 3] and "last" not in shown
    assert not any(job.session == "visitor" for job in JOBS._running)


def test_a_client_that_hangs_up_frees_the_model(editor: Editor) -> None:
    """A real page, a real connection, and a morph of many passes."""
    decode, passes, begun = editor.model._decode, [], threading.Event()

    def slow(*args):
        passes.append(time.monotonic())
        begun.set()
        time.sleep(0.1)
        return decode(*args)

    with serving(editor) as (_, url), closing(Visitor(url)) as visitor:
        photos = [visitor.upload(f"{n}.png", encoded(picture(n, n), "PNG")) for n in (64, 72)]
        editor.model._decode, editor.model.batch = slow, 1
        with visitor.present():
            how = (129, "linear", "gif", 16, 0, 1, False, 25, True, "switch", None, True)
            visitor.begin("morph", *photos, *how)
            assert begun.wait(30)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and time.monotonic() - passes[-1] < 1.5:
            time.sleep(0.1)
        assert time.monotonic() - passes[-1] >= 1.5, "it still works for nobody"
        assert len(passes) < 60
        assert visitor.http.get("/health").text == "ok"


@pytest.mark.skipif(memory._trim is None, reason="only glibc can be told to give memory back")
def test_memory_that_a_job_used_goes_back_to_the_system(monkeypatch) -> None:
    """Freed blocks below one that stays, in pools of several threads: as after morphs at once."""
    monkeypatch.setattr(memory, "_DELAY", 0.1)
    staying, all_in = [], threading.Barrier(4)

    def work() -> None:
        with JOBS.run():
            blocks = [bytearray(b"x" * 50_000) for _ in range(1000)]
            all_in.wait(30)  # so that each thread has a pool of its own
            staying.append(bytearray(b"x" * 50_000))
            del blocks

    before = _resident_mib()
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    deadline = time.monotonic() + 20
    while _resident_mib() > before + 50 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(staying) == 4 and _resident_mib() < before + 50  # of 190 that were used


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE / 2**20


# ---- temporary files ----------------------------------------------------------------------------


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
    editor: Editor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    monkeypatch.setattr(visitors.tempfile, "tempdir", str(tmp_path))
    for module in (page_module, visitors):
        monkeypatch.setattr(module, "DELETE_CACHE", (0.5, 2))
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
