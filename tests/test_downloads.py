"""Downloads of the player at full size: sizes, memory, progress and Stop."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from glow_app.common.errors import UserError
from glow_app.common.progress import Stopped
from glow_app.editing.options import MorphOptions
from glow_app.export import writing
from glow_app.export.recipes import read_recipe
from glow_app.ui import limits
from glow_app.ui.components.base import size_options
from glow_app.ui.downloads import animated, save_result
from glow_app.ui.page_faces import Result

pytest_plugins = ["tests.full_size_faces"]

NO_AV = ".mp4" not in writing.available_formats()


@pytest.fixture(scope="module")
def shown(small, portraits) -> Result:
    """A morph of three frames between two photos."""
    faces = tuple(portraits[:2])
    return Result(faces, MorphOptions(), small.morph_frames(*faces, 3))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


def saved(small, shown, folder: Path, **event) -> Path:
    before = set(folder.rglob("*.*"))
    event = {"fps": 10, "back": True, "place": 1, "job": None, **event}
    save_result(small, shown, SimpleNamespace(**event))
    (file,) = (f for f in folder.rglob("*.*") if f.is_file() and f not in before)
    return file


def test_the_way_back_is_that_of_the_swapped_pair(small, portraits):
    """What was asked of A is asked of B then: its ground, and how far the path goes beyond."""
    a, b = portraits[:2]
    frames = {"frames": 6, "ground": "a", "t_range": (0.0, 1.25)}
    how = MorphOptions(ground="a", t_range=(0.0, 1.25))
    back = Result((a, b), how, small.morph_frames(a, b, **frames)).reversed()
    other = MorphOptions(ground="b", t_range=(-0.25, 1.0))
    assert back.is_for((b, a), other) and not back.is_for((b, a), how)
    fresh = small.morph_frames(b, a, 6, ground="b", t_range=(-0.25, 1.0))
    np.testing.assert_allclose(back.morph.t, fresh.t, atol=1e-6)
    assert back.morph.stops == fresh.stops == (1, 5)
    wrong = small.morph_frames(b, a, 6, ground="a", t_range=(-0.25, 1.0))
    off = [np.abs(m.frames.astype(int) - back.morph.frames).mean() for m in (fresh, wrong)]
    assert off[0] < off[1] / 20  # triangles may lie otherwise, which shifts a few pixels
    plain = Result((a, b), MorphOptions(), back.morph)
    assert plain.reversed().is_for((b, a), MorphOptions())


@pytest.mark.parametrize("kind", ["gif", "webp", "apng", "png", "strip", "sheet"])
def test_every_kind_is_written_at_full_size(small, shown, folder, kind):
    file = saved(small, shown, folder, kind=kind, size=150)
    frames = shown.morph.enlarged(150)
    assert read_recipe(file).size == 150
    with Image.open(file) as image:
        if kind == "strip":
            assert np.array_equal(np.asarray(image), np.concatenate(frames, axis=1))
        elif kind == "sheet":
            pixels = np.asarray(image.convert("RGB"))
            margin = max(4, 150 // 16)
            assert np.array_equal(pixels[margin : margin + 150, margin : margin + 150], frames[0])
        else:
            assert image.size == (150, 150)
            if kind == "apng":
                assert np.array_equal(np.asarray(image.convert("RGB")), frames[0])
            if kind == "png":
                assert np.array_equal(np.asarray(image), frames[1])


def test_a_picture_between_frames_has_full_size_too(small, shown, folder):
    file = saved(small, shown, folder, kind="png", size=150, place=0.5)
    t = read_recipe(file).t
    assert t == pytest.approx(0.25)
    own = small.morph_frames(*shown.faces, [0.25])
    with Image.open(file) as image:
        assert np.array_equal(np.asarray(image), own.enlarged(150)[0])


def test_native_is_a_size(small, shown, folder):
    file = saved(small, shown, folder, kind="png", size="native", place=0)
    native = shown.morph.native
    assert read_recipe(file).size == native
    with Image.open(file) as image:
        assert image.size == (native, native)
    for wrong in ("natively", "", None, 15, 1025, 99.5):
        with pytest.raises(UserError, match="size"):
            limits.download_size(wrong, native)
    with pytest.raises(UserError, match="size"):
        limits.download_size("native")
    assert limits.download_size("native", 4) == limits.MIN_SIZE
    assert limits.download_size("native", 9999) == limits.MAX_SIZE == 1024
    assert size_options(64).count("<option") == 5 and "1024" in size_options(64)
    assert size_options(128).count("<option") == 4
    assert size_options(64).count("selected") == 1


def test_too_much_for_memory_is_refused_with_a_way_out():
    limits.affordable(61, 1024)
    with pytest.raises(UserError, match="at most 704, or fewer") as caught:
        limits.affordable(129, 1024)
    most = int(str(caught.value).split("at most ")[1].split(",")[0])
    limits.affordable(129, most)
    with pytest.raises(UserError):
        limits.affordable(129, most + 1)


@pytest.fixture
def recipe(small, shown):
    how = {"size": 100, "fps": 10.0, "there_and_back": True}
    return Result((), shown.how, shown.morph).recipe(small, **how)


def test_progress_counts_frames_as_they_are_written(shown, recipe):
    calls: list[tuple[int, int]] = []
    animated(shown.morph, recipe, ".gif", lambda *call: calls.append(call))
    assert calls == [(done, 4) for done in range(5)]  # three there, one of them back


@pytest.mark.parametrize("at", [1, 4])
def test_stop_ends_it_in_either_part(shown, recipe, folder, at):
    def report(done: int, total: int) -> None:
        if done >= at:
            raise Stopped

    with pytest.raises(Stopped):
        animated(shown.morph, recipe, ".gif", report)
    assert not [f for f in folder.rglob("*") if f.is_file()]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells")
@pytest.mark.parametrize(
    ("ending", "count"),
    [(".webp", 65), pytest.param(".mp4", 129, marks=pytest.mark.skipif(NO_AV, reason="no PyAV"))],
)
def test_the_memory_of_an_animation_does_not_grow_with_its_length(small, folder, ending, count):
    """It stays below what the frames have together, and the way back is as many again. GIF and
    APNG are written by the loop that writes WebP."""
    a, b = (small.model.face(face) for face in small.sampler.sample(2, 0.7))
    morph = small.morph_frames(a, b, count, alone=True)
    recipe = Result((a, b), MorphOptions(alone=True), morph).recipe(
        small, size=256, fps=25.0, there_and_back=True
    )
    animated(small.morph_frames(a, b, 3, alone=True), recipe, ending)  # libraries are there now
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory_mib("VmRSS")
    file = animated(morph, recipe, ending)
    more = memory_mib("VmHWM") - before
    print(f"{ending}: {more:.0f} MiB more for a file of {file.stat().st_size / 2**20:.1f} MiB")
    assert more < count * 256**2 * 3 / 2**20


def memory_mib(kind: str) -> float:
    """Memory of this process, what is in use (VmRSS) or was at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(kind))
