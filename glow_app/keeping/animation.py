"""Write animations: GIF, WebP, animated PNG and MP4.

GIF, WebP and APNG are Pillow's work, MP4 is PyAV's. Pillow merges equal neighbours (in WebP also
those that differ by a level or two) into one frame that stands as long as all of them, so the
clip keeps its play time; one picture throughout becomes a plain still in WebP and APNG.
"""

from __future__ import annotations

import io
import math
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glow_app.common.errors import UserError
from glow_app.common.progress import Progress, Steps
from glow_app.keeping import notes
from glow_app.keeping.writing import (
    FORMATS,
    check_pictures,
    check_size,
    check_suffix,
    check_target,
    pyav,
    reason,
    resized,
    write,
)

__all__ = ["encode_animation", "save_animation", "steps_to_write"]

_WEBP_QUALITY = 90
_MP4_CRF = "18"  # x264's "visually lossless"
_GIF_SAMPLE = 64  # pixels a side that the palette of a frame is chosen on
_GIF_PALETTE = Image.Quantize.MAXCOVERAGE  # keeps catch-lights; median cut drops rare colours


def save_animation(
    frames: np.ndarray,
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
        frames: (T, S, S, 3) uint8, T ≥ 1. The first one is the first in the file.
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
        progress: counts frames, as they are enlarged and again as they are written.

    Returns:
        The written path.

    Raises:
        UserError: one sentence: unknown suffix, PyAV missing, folder missing, disk full, ...
    """
    target = check_target(path)
    content = encode_animation(
        frames,
        target.suffix,
        size=size,
        fps=fps,
        there_and_back=there_and_back,
        metadata=metadata,
        progress=progress,
    )
    return write(target, content)


def encode_animation(
    frames: np.ndarray,
    suffix: str,
    *,
    size: int | None = 256,
    fps: float = 25,
    there_and_back: bool = True,
    metadata: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> bytes:
    """The bytes of `save_animation`, for the format named by `suffix` (".gif", ...)."""
    suffix = suffix.lower()
    check_suffix(suffix, FORMATS, suffix)
    frames = check_pictures(frames)
    side = check_size(size, frames.shape[1])
    if not (math.isfinite(fps) and 0 < fps <= 100):
        raise UserError(f"Frames a second must lie above 0 and at most at 100, not {fps}.")
    order = _play_order(len(frames), there_and_back)
    total = steps_to_write(len(frames), there_and_back)
    encoder = {".gif": _gif, ".webp": _webp, ".png": _apng, ".mp4": _mp4}[suffix]
    steps = Steps(total, progress)
    content = encoder(frames, order, side, fps, notes.to_note(metadata), steps)
    steps.finish()  # a still is not counted
    return content


def steps_to_write(count: int, there_and_back: bool) -> int:
    """What `progress` of `save_animation` counts to, for so many frames."""
    return count + len(_play_order(count, there_and_back))


def _play_order(count: int, there_and_back: bool) -> list[int]:
    """Frame numbers as played: 0 1 2 3, or 0 1 2 3 2 1."""
    return [*range(count), *(range(count - 2, 0, -1) if there_and_back else ())]


def _delays(count: int, fps: float, unit: float, shortest: int = 1) -> list[int]:
    """Whole delays, in `unit` of a second, whose running sum stays within half a unit of time.

    At 30 frames a second GIF gets 3, 4, 3, 3, 4 ... hundredths instead of 3 throughout, which
    would play 11 % too fast.
    """
    step = max(1 / (fps * unit), shortest)
    ends = [round(i * step) for i in range(count + 1)]
    return [b - a for a, b in pairwise(ends)]


# ----------------------------------------------------------------------------- GIF, WebP, APNG


def _gif(
    frames: np.ndarray, order: list[int], side: int, fps: float, note: str, steps: Steps
) -> bytes:
    """Each frame with its own palette. Pillow stores only the box that changed."""
    images = list(_gif_quantised(frames, side, steps))
    delays = [10 * d for d in _delays(len(order), fps, 1 / 100, shortest=2)]  # milliseconds
    # optimize=False: Pillow writes pixels and palettes as they are.
    return _looped("GIF", images, order, delays, steps, note, optimize=False)


def _gif_quantised(frames: np.ndarray, side: int, steps: Steps) -> Iterator[Image.Image]:
    """256 colours a frame, chosen on every k-th pixel, dithered.

    A thinned picture names its colours as well as the whole and is many times faster: for a 64 px
    face written at 256 px this takes half the time of Pillow's default (median cut of the whole,
    no dither) and leaves 7 dB less error after 4x4 averaging, which is about what the eye does.
    """
    for image in resized(frames, side, steps):
        thinned = image.resize((min(side, _GIF_SAMPLE),) * 2, Image.Resampling.NEAREST)
        palette = thinned.quantize(256, method=_GIF_PALETTE, kmeans=2)
        yield image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def _webp(
    frames: np.ndarray, order: list[int], side: int, fps: float, note: str, steps: Steps
) -> bytes:
    """Key frames only (kmax=1): others drift, by 5 dB over a morph, and save 5 % of the file."""
    options = {"quality": _WEBP_QUALITY, "method": 4, "kmax": 1}
    delays = _delays(len(order), fps, 1 / 1000)
    images = list(resized(frames, side, steps))
    return _looped("WEBP", images, order, delays, steps, note, **options)


def _apng(
    frames: np.ndarray, order: list[int], side: int, fps: float, note: str, steps: Steps
) -> bytes:
    """Lossless; the first frame is also what viewers without APNG show."""
    delays = _delays(len(order), fps, 1 / 1000)
    images = list(resized(frames, side, steps))
    return _looped("PNG", images, order, delays, steps, note)


def _looped(
    kind: str,
    images: Sequence[Image.Image],
    order: list[int],
    delays: list[int],
    steps: Steps,
    note: str,
    **options: Any,
) -> bytes:
    """Pillow's animation of `images` in this order, endless, delays in milliseconds."""
    left = iter(order)
    for image in images:
        image.seek = _counted(image.seek, left, steps)
    first, *others = (images[i] for i in order)
    options |= notes.pillow_options(kind, note)
    buffer = io.BytesIO()
    try:
        first.save(
            buffer, kind, save_all=True, append_images=others, duration=delays, loop=0, **options
        )
    # What Pillow raises for delays beyond the range of a format.
    except (ValueError, OverflowError, RuntimeError, OSError, struct.error) as error:
        raise UserError(f"The animation could not be made: {reason(error)}.") from error
    return buffer.getvalue()


def _counted(seek: Callable[[int], None], left: Iterator[int], steps: Steps) -> Callable:
    """`seek` of one picture, counting: the one call that each writer makes for every frame.

    `left` ends the count: a writer may wind back when it has written all.
    """

    def counting(frame: int) -> None:
        seek(frame)  # raises EOFError after the only frame of the picture
        if next(left, None) is not None:
            steps.advance()

    return counting


# ------------------------------------------------------------------------------------------- MP4


def _mp4(
    frames: np.ndarray, order: list[int], side: int, fps: float, note: str, steps: Steps
) -> bytes:
    """H.264, yuv420p, index first (faststart). MP4 cannot ask for a loop: it plays once."""
    av = pyav()
    images = [np.asarray(image) for image in resized(frames, side + side % 2, steps)]
    # FFmpeg moves the index to the front by reading its own output again, which needs a file.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        try:
            with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
                if note:
                    container.metadata[notes.MP4_KEY] = note
                _mp4_encode(av, container, (images[i] for i in order), fps, steps)
            return path.read_bytes()
        except (av.error.FFmpegError, OSError) as error:
            raise UserError(f"The video could not be made: {reason(error)}.") from error


def _mp4_encode(
    av: Any, container: Any, images: Iterable[np.ndarray], fps: float, steps: Steps
) -> None:
    stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
    stream.pix_fmt = "yuv420p"
    stream.options = {"crf": _MP4_CRF}
    # Say which YCbCr this is (what swscale makes of RGB: BT.601, limited); players guess else.
    stream.codec_context.colorspace = av.video.reformatter.Colorspace.ITU601
    stream.codec_context.color_range = av.video.reformatter.ColorRange.MPEG
    for n, pixels in enumerate(images):
        if n == 0:
            stream.height, stream.width = pixels.shape[:2]
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        steps.advance()
    container.mux(stream.encode(None))
