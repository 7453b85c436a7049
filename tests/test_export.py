"""Every format is opened again and compared with the frames that went in."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import full_disk
from PIL import Image, ImageSequence

from glow_app.common.errors import UserError
from glow_app.export import animation, sheets, writing

SIDE = 24
LOOPING = (".gif", ".webp", ".png")  # what Pillow can open again
needs_av = pytest.mark.skipif(".mp4" not in writing.available_formats(), reason="PyAV missing")
FACTS = {"checkpoint": "faces64", "path": "linear", "temperature": 0.7, "note": "é"}


def drawn(phase: float, side: int = SIDE) -> np.ndarray:
    """A smooth colour picture, as different from the next phase as a face from another."""
    y, x = np.mgrid[0:side, 0:side] / side
    waves = [np.sin(2 * np.pi * (x + phase)), np.cos(2 * np.pi * (y - phase)), np.sin(7 * x * y)]
    return np.stack([128 + 100 * w for w in waves], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """(9, 24, 24, 3), all different."""
    return np.stack([drawn(t) for t in np.linspace(0, 0.6, 9)])


def encoded(frames: np.ndarray, suffix: str, **how: object) -> bytes:
    """The bytes of the file that `save_animation` writes."""
    with tempfile.TemporaryDirectory() as folder:
        return animation.save_animation(frames, Path(folder, f"m{suffix}"), **how).read_bytes()


def enlarged(picture: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))


def opened(content: bytes, loops: bool = True) -> tuple[list[np.ndarray], list[float | None]]:
    """All frames as RGB, and their durations in milliseconds (a still has none)."""
    pictures, durations = [], []
    with Image.open(io.BytesIO(content)) as image:
        assert not loops or image.info["loop"] == 0  # 0 = for ever
        for frame in ImageSequence.Iterator(image):
            pictures.append(np.asarray(frame.convert("RGB")))
            durations.append(frame.info.get("duration"))
    return pictures, durations


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB; 30 is a good JPEG."""
    error = np.mean((a.astype(float) - b) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


def likeness(picture: np.ndarray, frame: np.ndarray) -> float:
    """`psnr` to an enlarged frame in 4 x 4 means: what the eye sees of a dithered picture."""
    pair = (picture, enlarged(frame, len(picture)))
    side = len(picture) // 4
    return psnr(*(p.astype(float).reshape(side, 4, side, 4, 3).mean(axis=(1, 3)) for p in pair))


def there_and_back(count: int) -> list[int]:
    return [*range(count), *range(count - 2, 0, -1)]


# ------------------------------------------------------------------------------------ animations


@pytest.mark.parametrize("suffix", LOOPING)
def test_frames_look_like_the_originals(frames, suffix):
    """A PNG holds them exactly; others are nearest to their own frame, and close."""
    for size in (None, 96) if suffix == ".png" else (96,):
        pictures, durations = opened(encoded(frames, suffix, size=size))
        order = there_and_back(len(frames))
        assert len(pictures) == len(order) and durations == [40] * len(order)
        for picture, i in zip(pictures, order, strict=True):
            if suffix == ".png":
                np.testing.assert_array_equal(picture, enlarged(frames[i], size or SIDE))
                continue
            assert picture.shape == (96, 96, 3) and likeness(picture, frames[i]) > 38
            assert int(np.argmax([likeness(picture, frame) for frame in frames])) == i


@pytest.mark.parametrize("suffix", LOOPING)
def test_loop_has_no_jump_and_no_stop(frames, suffix):
    pictures, _ = opened(encoded(frames, suffix, size=48))
    count = len(frames)
    assert len(pictures) == 2 * count - 2
    for i in range(1, count - 1):  # the way back is the way there, mirrored
        np.testing.assert_array_equal(pictures[i], pictures[-i])
    moves = [np.abs(a.astype(int) - b).mean() for a, b in pairwise([*pictures, pictures[0]])]
    assert min(moves) > 0.5  # no frame twice in a row, the seam included
    assert moves[-1] < 2 * np.median(moves) and moves[count - 1] < 2 * np.median(moves)
    one_way, _ = opened(encoded(frames, suffix.upper(), size=48, there_and_back=False))
    np.testing.assert_array_equal(one_way, pictures[:count])


@pytest.mark.parametrize("suffix", LOOPING)
def test_equal_frames_become_one_and_keep_their_time(frames, suffix):
    for count in (1, 5):  # a morph of A into A: GIF keeps its time; in the others a still has none
        still = np.repeat(drawn(0.2)[None], count, axis=0)
        pictures, durations = opened(encoded(still, suffix, size=48), loops=suffix == ".gif")
        assert len(pictures) == 1 and likeness(pictures[0], still[0]) > 35
        lasts = 40 * len(there_and_back(count)) if suffix == ".gif" else 0
        assert (durations[0] or 0) == lasts
    pictures, durations = opened(encoded(frames[[0, 0, 0, 4, 8, 8]], suffix, size=48))
    assert durations == [120, 40, 120, 40, 80]  # played: 0 0 0, 4, 8 8 8, 4, 0 0
    for picture, i in zip(pictures, [0, 4, 8, 4, 0], strict=True):
        assert likeness(picture, frames[i]) > 35
    flat = np.zeros((3, SIDE, SIDE, 3), np.uint8)  # palettes of one entry and clamped overshoot
    flat[1] = 255
    flat[2, :, SIDE // 2 :] = 255
    pictures, _ = opened(encoded(flat, suffix, size=48, there_and_back=False))
    for picture, expected in zip(pictures, flat, strict=True):
        assert psnr(picture, enlarged(expected, 48)) > 35


@pytest.mark.parametrize("suffix", LOOPING)
def test_the_clip_keeps_time(frames, suffix):
    for fps in (7, 30, 50):
        _, durations = opened(encoded(frames, suffix, size=8, fps=fps))
        unit = 10 if suffix == ".gif" else 1  # milliseconds
        assert abs(sum(durations) - len(durations) * 1000 / fps) <= unit / 2
        assert max(durations) - min(durations) <= unit
    if suffix == ".gif":  # browsers ignore shorter delays
        assert set(opened(encoded(frames, ".gif", size=8, fps=100))[1]) == {20}
    with pytest.raises(UserError, match="could not be made"):  # beyond the format
        encoded(frames, suffix, fps=1e-9)


def test_gif_frames_are_written_as_quantised(frames):
    """Each in its own 256 colours, not quantised again, also where only a patch is stored."""
    patched = np.full((4, SIDE, SIDE, 3), 90, np.uint8)
    for n in range(1, 4):
        patched[n, 4 * n : 4 * n + 4, 4:8] = 60 * n
    for clip in (frames, patched):
        pictures, _ = opened(encoded(clip, ".gif", size=None))
        gif = animation._Gif(io.BytesIO(), SIDE, "")
        quantised = [np.asarray(gif.to_colours(Image.fromarray(f)).convert("RGB")) for f in clip]
        wanted = [quantised[i] for i in there_and_back(len(clip))]
        np.testing.assert_array_equal(pictures, wanted)


@needs_av
@pytest.mark.parametrize("size", [96, 95])
def test_mp4_plays_the_frames(frames, tmp_path, size):
    import av

    path = animation.save_animation(frames, tmp_path / "m.mp4", size=size, fps=30, metadata=FACTS)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 30
        assert json.loads(container.metadata["comment"]) == FACTS
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    order = there_and_back(len(frames))
    assert len(pictures) == len(order)
    for picture, i in zip(pictures, order, strict=True):
        assert psnr(picture, enlarged(frames[i], 96)) > 30
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # plays before it has arrived whole
    still = np.repeat(frames[:1], 5, axis=0)  # lasts as long
    animation.save_animation(still, path, size=48, there_and_back=False)
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5


def test_without_pyav_mp4_is_not_offered(frames, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)  # import av now raises ImportError
    writing.pyav.cache_clear()
    try:
        assert writing.available_formats() == (".gif", ".webp", ".png")
        with pytest.raises(UserError, match="PyAV"):
            animation.save_animation(frames, tmp_path / "m.mp4")
    finally:
        monkeypatch.undo()
        writing.pyav.cache_clear()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", LOOPING)
@pytest.mark.parametrize("count", [1, 9])
def test_metadata_comes_back(frames, suffix, count):
    facts = {**FACTS, "words": "x" * 1000}  # in a GIF more than one 255-byte block
    content = encoded(frames[:count], suffix, size=8, metadata=facts)
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        note = {
            ".gif": lambda: image.info["comment"].decode("ascii"),
            ".webp": lambda: image.getexif()[0x010E],
            ".png": lambda: image.text["glow"],
        }[suffix]()
        assert json.loads(note) == facts
        assert getattr(image, "n_frames", 1) == len(there_and_back(count))


# ----------------------------------------------------------------------------------------- stills


def read_png(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG" and image.mode == "RGB"
        return np.asarray(image)


@pytest.mark.parametrize(
    ("count", "columns", "shown"),
    [
        (33, None, [0, 4, 8, 12, 16, 20, 24, 28, 32]), (33, 3, [0, 16, 32]),
        (5, None, [0, 1, 2, 3, 4]), (4, 10, [0, 1, 2, 3]), (4, 2, [0, 3]), (1, None, [0]),
    ],
)  # fmt: skip
def test_strip_shows_even_stages_with_both_ends(tmp_path, count, columns, shown):
    frames = np.stack([drawn(t) for t in np.linspace(0, 0.9, count)])
    sheet = read_png(sheets.save_strip(frames, tmp_path / "s.png", columns=columns))
    np.testing.assert_array_equal(sheet, np.concatenate(frames[shown], axis=1))


def test_stills_and_grids_whose_rest_is_white(frames, tmp_path):
    path = sheets.save_still(frames[3], tmp_path / "a.png", metadata=FACTS)
    np.testing.assert_array_equal(read_png(path), frames[3])
    with Image.open(path) as image:
        assert json.loads(image.text["glow"]) == FACTS
    sheets.save_still(frames[3], path, size=60)
    np.testing.assert_array_equal(read_png(path), enlarged(frames[3], 60))
    sheet = read_png(sheets.save_grid(frames[:7], tmp_path / "g.png"))
    assert sheet.shape == (3 * SIDE, 3 * SIDE, 3)
    for i in range(9):
        y, x = divmod(i, 3)
        tile = sheet[y * SIDE : (y + 1) * SIDE, x * SIDE : (x + 1) * SIDE]
        np.testing.assert_array_equal(tile, frames[i] if i < 7 else np.full_like(tile, 255))
    tiles = sheets.tiled(frames[:7], 3)  # for the page, whose sheets are black there
    np.testing.assert_array_equal(tiles[: 2 * SIDE], sheet[: 2 * SIDE])
    assert tiles.shape == sheet.shape and not tiles[2 * SIDE :, SIDE:].any()
    wide = read_png(sheets.save_grid(frames[:7], tmp_path / "g.png", columns=5, size=10))
    assert wide.shape == (20, 50, 3)
    np.testing.assert_array_equal(wide[10:, 10:20], enlarged(frames[6], 10))


def test_contact_sheet_shows_every_frame_apart_with_words_below(frames, tmp_path):
    path = sheets.save_sheet(frames, tmp_path / "c.png", columns=4, size=48)
    sheet = read_png(path)
    margin, letters = 4, 10
    wide, high = 48 + margin, 48 + letters + margin
    assert sheet.shape == (3 * high + margin, 4 * wide + margin, 3)
    for i, frame in enumerate(frames):
        y, x = margin + i // 4 * high, margin + i % 4 * wide
        np.testing.assert_array_equal(sheet[y : y + 48, x : x + 48], enlarged(frame, 48))
        below = sheet[y + 48 : y + 48 + letters, x : x + 48]
        assert (sheet[y : y + 48, x + 48 : x + 48 + margin] == 255).all() and below.min() < 128
    other = read_png(sheets.save_sheet(frames[:2], path, captions=["t = 0", ""], size=48))
    assert (other[margin + 48 :, margin + wide :] == 255).all()  # no words there
    with pytest.raises(UserError, match="captions"):
        sheets.save_sheet(frames, path, captions=["one"])


# ---------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f, d: animation.save_animation(f, d / "m.bmp"), "ending"),
        (lambda f, d: animation.save_animation(f, d / "m"), "ending"),
        (lambda f, d: animation.save_animation(f, d / "m.avi"), "ending"),
        (lambda f, d: sheets.save_grid(f, d / "g.gif"), "ending must be .png"),
        (lambda f, d: animation.save_animation(f, d / "no" / "m.gif"), "does not exist"),
        (lambda f, d: animation.save_animation(f, d / "folder.gif"), "not a file"),
        (lambda f, d: animation.save_animation(f[:0], d / "m.gif"), "at least one"),
        (lambda f, d: animation.save_animation(f / 255, d / "m.gif"), "uint8"),
        (lambda f, d: animation.save_animation(f[0], d / "m.gif"), "uint8"),
        (lambda f, d: animation.save_animation(f[:, :5], d / "m.gif"), "uint8"),
        (lambda f, d: animation.save_animation(f, d / "m.gif", fps=0), "second"),
        (lambda f, d: animation.save_animation(f, d / "m.gif", fps=float("nan")), "second"),
        (lambda f, d: animation.save_animation(f, d / "m.gif", size=0), "size"),
        (lambda f, d: animation.save_animation(f, d / "m.gif", size=10**6), "size"),
        (lambda f, d: sheets.save_grid(f, d / "g.png", columns=0), "column"),
        (lambda f, d: sheets.save_strip(f, d / "g.png", columns=0), "column"),
        (lambda f, d: sheets.save_sheet(f, d / "g.png", columns=0), "column"),
        (lambda f, d: sheets.save_grid(np.repeat(f, 9, 0), d / "g.png", size=2048), "too large"),
    ],
)
def test_refusals_are_one_sentence_and_leave_nothing(frames, tmp_path, call, words):
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(UserError, match=words) as caught:
        call(frames, tmp_path)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
    assert [p.name for p in tmp_path.iterdir()] == ["folder.gif"]


def test_a_link_stays_and_its_file_is_written_unless_it_is_special(frames, tmp_path):
    """os.replace on a device node would turn it into a picture."""
    target, link, device = (tmp_path / name for name in ("real.png", "link.png", "full.png"))
    target.write_bytes(b"old")
    link.symlink_to(target)
    sheets.save_still(frames[0], link)
    assert link.is_symlink()
    np.testing.assert_array_equal(read_png(target), frames[0])
    device.symlink_to("/dev/full")
    with pytest.raises(UserError):
        sheets.save_grid(frames, device)
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


@pytest.mark.parametrize("suffix", writing.available_formats())
def test_full_disk_leaves_the_old_file_and_no_rubbish(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    target = tmp_path / f"m{suffix}"
    target.write_bytes(b"the old one")
    noise = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    with full_disk(4096), pytest.raises(UserError) as caught:
        animation.save_animation(noise, target)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    assert target.read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.iterdir()] == [target.name]
