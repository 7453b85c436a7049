"""Write animations: GIF, WebP, animated PNG and MP4, frame after frame.

Frames may be made while they are written (`frames.Enlarged`): only a few are there at a time,
however many there are. Equal neighbours become one frame that stands as long as all of them, so
the clip keeps its play time; one picture throughout becomes a plain still in WebP and APNG.
"""

from __future__ import annotations

import io
import math
import shutil
import struct
import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from glow_app.common.errors import UserError
from glow_app.common.progress import Progress, Steps
from glow_app.keeping import notes
from glow_app.keeping.looping import LOOPING, Box, Looping, changed
from glow_app.keeping.writing import (
    FORMATS,
    Pictures,
    check_pictures,
    check_size,
    check_suffix,
    check_target,
    pyav,
    reason,
    resized,
    writing,
)

__all__ = ["encode_animation", "save_animation"]

_MP4_CRF = "18"  # x264's "visually lossless"


def save_animation(
    frames: Pictures,
    path: str | Path,
    *,
    size: int | None = 256,
    fps: float = 25,
    there_and_back: bool = True,
    metadata: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write an animation in the format that the suffix of `path` names.

    Args:
        frames: (T, S, S, 3) uint8, T ≥ 1, or what has that shape and makes them one by one. The
            first one is the first in the file.
        path: target; one of `available_formats()`.
        size: side of the written frames in pixels, None for S. H.264 needs even sides: an odd
            one grows by one pixel in an .mp4.
        fps: frames a second, 0 < fps ≤ 100. GIF counts in 1/100 s and players distrust delays
            below 2 of them: delays are chosen so that the clip as a whole keeps time, and more
            than 50 frames a second become 50.
        there_and_back: append the inner frames in reverse, so that the endless loop has no jump.
        metadata: small JSON facts about how the clip was made, stored in the file (PNG text
            "glow", GIF comment, WebP EXIF image description, MP4 comment), see
            `glow_app.keeping.recipes`. Never put photos, names or paths in it.
        progress: counts frames as they are written, those of the way back as well.

    Returns:
        The written path.

    Raises:
        UserError: one sentence: unknown suffix, PyAV missing, folder missing, disk full, ...
    """
    target = check_target(path)
    how = (target.suffix.lower(), size, fps, there_and_back, metadata, progress)
    with writing(target) as out:
        _encode(out, frames, *how)
    return target


def encode_animation(
    frames: Pictures,
    suffix: str,
    *,
    size: int | None = 256,
    fps: float = 25,
    there_and_back: bool = True,
    metadata: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> bytes:
    """The bytes of `save_animation`, for the format named by `suffix` (".gif", ...)."""
    out = io.BytesIO()
    _encode(out, frames, suffix.lower(), size, fps, there_and_back, metadata, progress)
    return out.getvalue()


def _encode(
    out: BinaryIO,
    frames: Pictures,
    suffix: str,
    size: int | None,
    fps: float,
    there_and_back: bool,
    metadata: dict[str, Any] | None,
    progress: Progress | None,
) -> None:
    check_suffix(suffix, FORMATS, suffix)
    frames = check_pictures(frames)
    side = check_size(size, frames.shape[1])
    if not (math.isfinite(fps) and 0 < fps <= 100):
        raise UserError(f"Frames a second must lie above 0 and at most at 100, not {fps}.")
    note, count = notes.to_note(metadata), len(frames)
    played = count + max(count - 2, 0) * there_and_back
    steps = Steps(played, progress)
    if suffix == ".mp4":
        side += side % 2
        _mp4(out, resized(frames, side), side, played - count, fps, note, steps)
    else:
        kind = LOOPING[suffix](out, side, note)
        delays = _delays(played, fps, kind.unit, kind.shortest)
        _looped(kind, resized(frames, side), delays, played - count, steps)


def _delays(count: int, fps: float, unit: float, shortest: int = 1) -> list[int]:
    """Whole delays, in `unit` of a second, whose running sum stays within half a unit of time.

    At 30 frames a second GIF gets 3, 4, 3, 3, 4 ... hundredths instead of 3 throughout, which
    would play 11 % too fast.
    """
    step = max(1 / (fps * unit), shortest)
    ends = [round(i * step) for i in range(count + 1)]
    return [b - a for a, b in pairwise(ends)]


# ----------------------------------------------------------------------------- GIF, WebP, APNG


def _looped(
    kind: Looping, images: Iterable[Image.Image], delays: list[int], back: int, steps: Steps
) -> None:
    """Write the frames, then the inner ones in reverse where `back` is how many these are.

    Frames of the way back are coded on the way there, when the frame and the one after it are at
    hand, and wait on the disk.
    """
    with tempfile.TemporaryFile() as shelf:
        waiting: list[tuple[Box | None, int]] = []  # of the frames from the second on, and lengths
        try:
            shown = _Shown(kind, iter(delays), steps)
            before, coded, whole = None, b"", (0, 0, kind.side, kind.side)
            for i, image in enumerate(map(kind.prepared, images)):
                if before is None:
                    kind.start(image)
                    coded = kind.coded(image)
                    shown.next(coded, whole)
                    first = before = image
                    continue
                box = changed(before, image)
                if box is not None and not kind.patches:
                    box = whole
                if 2 <= i < back + 2:
                    waits = b"" if box is None else coded
                    if box is not None and kind.patches:
                        waits = kind.coded(before.crop(box))
                    waiting.append((box, shelf.write(waits)))
                if box is not None:
                    coded = kind.coded(image.crop(box))
                shown.next(coded, box)
                before = image
            for box, length in reversed(waiting):
                shelf.seek(-length, io.SEEK_CUR)
                shown.next(shelf.read(length), box)
                shelf.seek(-length, io.SEEK_CUR)
            if shown.count == 1 and kind.plain:
                kind.still(first)
            else:
                shown.end()
                kind.end()
        except (OverflowError, struct.error) as error:
            raise UserError(
                "The animation could not be made: its frames stand longer than the format can say."
            ) from error


class _Shown:
    """Writes frames with their delays; each waits for those after it that change nothing."""

    def __init__(self, kind: Looping, delays: Iterator[int], steps: Steps) -> None:
        self._kind, self._delays, self._steps = kind, delays, steps
        self._waits: tuple[bytes, Box] | None = None
        self._delay = self.count = 0

    def next(self, coded: bytes, box: Box | None) -> None:
        """One more frame; no box: it is like the one before."""
        if box is not None:
            self.end()
            self._waits, self._delay = (coded, box), 0
            self.count += 1
        self._delay += next(self._delays)
        self._steps.advance()

    def end(self) -> None:
        """Write the frame that waits, if one does."""
        if self._waits is not None:
            self._kind.frame(*self._waits, self._delay)
            self._waits = None


# ------------------------------------------------------------------------------------------- MP4


def _mp4(
    out: BinaryIO,
    images: Iterator[Image.Image],
    side: int,
    back: int,
    fps: float,
    note: str,
    steps: Steps,
) -> None:
    """H.264, yuv420p, index first (faststart). MP4 cannot ask for a loop: it plays once."""
    av = pyav()
    # FFmpeg moves the index to the front by reading its own output again, which needs a file; the
    # frames of the way back wait on the disk as well.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        try:
            with (
                open(Path(folder, "frames"), "wb+") as shelf,
                av.open(str(path), "w", options={"movflags": "+faststart"}) as container,
            ):
                if note:
                    container.metadata[notes.MP4_KEY] = note
                _mp4_encode(av, container, _there_and_back(images, back, shelf), side, fps, steps)
            with open(path, "rb") as made:
                shutil.copyfileobj(made, out)
        except av.error.FFmpegError as error:
            raise UserError(f"The video could not be made: {reason(error)}.") from error


def _there_and_back(
    images: Iterator[Image.Image], back: int, shelf: BinaryIO
) -> Iterator[np.ndarray]:
    """Frames (S, S, 3), then the last `back` of them but one in reverse."""
    for i, image in enumerate(images):
        pixels = np.asarray(image)
        if 1 <= i <= back:
            shelf.write(pixels.tobytes())
        yield pixels
    for i in reversed(range(back)):
        shelf.seek(i * pixels.nbytes)
        yield np.frombuffer(shelf.read(pixels.nbytes), np.uint8).reshape(pixels.shape)


def _mp4_encode(
    av: Any, container: Any, images: Iterable[np.ndarray], side: int, fps: float, steps: Steps
) -> None:
    stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
    stream.pix_fmt = "yuv420p"
    stream.options = {"crf": _MP4_CRF}
    stream.height = stream.width = side
    # Say which YCbCr this is (what swscale makes of RGB: BT.601, limited); players guess else.
    stream.codec_context.colorspace = av.video.reformatter.Colorspace.ITU601
    stream.codec_context.color_range = av.video.reformatter.ColorRange.MPEG
    for pixels in images:
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        steps.advance()
    container.mux(stream.encode(None))
