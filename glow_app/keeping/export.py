"""Write animations, stills, film strips, contact sheets and grids.

GIF, WebP and APNG are Pillow's work, MP4 is PyAV's. Pillow merges equal neighbours (in WebP also
those that differ by a level or two) into one frame that stands as long as all of them, so the
clip keeps its play time; one picture throughout becomes a plain still in WebP and APNG.

Every file is written whole or not at all, see `glow_app.common.files`.
"""

from __future__ import annotations

import functools
import io
import json
import math
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from glow_app.common.errors import UserError
from glow_app.common.files import write_bytes
from glow_app.common.progress import Progress, Steps
from glow_app.pictures.opening import RESAMPLE

__all__ = [
    "FORMATS",
    "MAX_SIZE",
    "MP4_HINT",
    "available_formats",
    "check_target",
    "encode_animation",
    "pyav",
    "save_animation",
    "save_grid",
    "save_sheet",
    "save_still",
    "save_strip",
]

FORMATS: tuple[str, ...] = (".gif", ".webp", ".png", ".mp4")  # .png is an animated PNG (APNG)
MAX_SIZE = 2048  # pixels a side of one frame; a larger one is a slip of the finger
STRIP_COLUMNS = 9
SHEET_COLUMNS = 8
MP4_HINT = "Writing .mp4 needs PyAV: pip install av, or choose .gif or .webp."

_MAX_SHEET = 178_000_000  # pixels of a strip or grid; Pillow takes larger ones for attacks

_WEBP_QUALITY = 90
_MP4_CRF = "18"  # x264's "visually lossless"
_GIF_SAMPLE = 64  # pixels a side that the palette of a frame is chosen on
_GIF_PALETTE = Image.Quantize.MAXCOVERAGE  # keeps catch-lights; median cut drops rare colours


def available_formats() -> tuple[str, ...]:
    """The suffixes of `FORMATS` that can be written here: `.mp4` needs PyAV."""
    return FORMATS if pyav() is not None else tuple(f for f in FORMATS if f != ".mp4")


@functools.cache
def pyav() -> Any | None:
    """The optional module PyAV, or None where it is not installed or does not load."""
    try:
        import av
    except (ImportError, OSError):
        return None
    return av


def check_target(path: str | Path, formats: Sequence[str] = FORMATS) -> Path:
    """Refuse a path that could not be written, before any work is spent on its content.

    Args:
        path: where the file shall go; `~` is expanded and links are followed.
        formats: the suffixes allowed, lower case, with their dot.

    Returns:
        The resolved path.

    Raises:
        UserError: unknown suffix, PyAV missing for .mp4, no such folder, or something that is
            not a regular file in the way.
    """
    try:
        target = Path(path).expanduser().resolve()
        _check_suffix(target.suffix, formats, str(path))
        if not target.parent.is_dir():
            raise UserError(f"Cannot write {path}: the folder {target.parent} does not exist.")
        if target.exists() and not target.is_file():
            raise UserError(f"Cannot write {path}: it exists and is not a file.")
    except (OSError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"Cannot write {path}: {_reason(error)}.") from error
    return target


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
    return _write(target, content)


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
    _check_suffix(suffix, FORMATS, suffix)
    frames = _check_frames(frames)
    side = _check_size(size, frames.shape[1])
    if not (math.isfinite(fps) and 0 < fps <= 100):
        raise UserError(f"Frames a second must lie above 0 and at most at 100, not {fps}.")
    order = _play_order(len(frames), there_and_back)
    encoder = {".gif": _gif, ".webp": _webp, ".png": _apng, ".mp4": _mp4}[suffix]
    steps = Steps(len(frames) + len(order), progress)
    content = encoder(frames, order, side, fps, _note(metadata), steps)
    steps.finish()  # a still is not counted
    return content


def save_still(
    pixels: np.ndarray,
    path: str | Path,
    *,
    size: int | None = None,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """Write one picture, (S, S, 3) uint8, as PNG with `size` pixels a side (None: S).

    Raises UserError as `save_animation` does.
    """
    return save_grid(np.asarray(pixels)[None], path, columns=1, size=size, metadata=metadata)


def save_strip(
    frames: np.ndarray,
    path: str | Path,
    *,
    columns: int | None = None,
    size: int | None = None,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """Write a film strip: evenly spaced frames side by side in one PNG, first and last among them.

    Args:
        frames: (T, S, S, 3) uint8.
        path: target, .png.
        columns: how many pictures; None for 9. Never more than T.
        size: side of each picture in pixels, None for S. Picture i begins at column i·size.
        metadata: as for `save_animation`.

    Raises:
        UserError: as `save_animation`.
    """
    frames = _check_frames(frames)
    columns = STRIP_COLUMNS if columns is None else _check_columns(columns)
    count = min(columns, len(frames))
    chosen = np.linspace(0, len(frames) - 1, count).round().astype(int)
    return save_grid(frames[chosen], path, columns=count, size=size, metadata=metadata)


def save_grid(
    pictures: np.ndarray,
    path: str | Path,
    *,
    columns: int | None = None,
    size: int | None = None,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """Write pictures row by row on one white PNG, without gaps.

    Args:
        pictures: (N, S, S, 3) uint8, N ≥ 1.
        path: target, .png.
        columns: pictures a row; None for about a square. Never more than N.
        size: side of each picture in pixels, None for S. Picture i has its corner at
            (i mod columns, i div columns)·size.
        metadata: as for `save_animation`.

    Raises:
        UserError: as `save_animation`.
    """
    target = check_target(path, (".png",))
    pictures = _check_frames(pictures)
    side = _check_size(size, pictures.shape[1])
    if columns is None:
        columns = math.ceil(math.sqrt(len(pictures)))
    sheet, corners = _sheet(len(pictures), columns, side, side)
    for tile, corner in zip(_resized(pictures, side), corners, strict=True):
        sheet.paste(tile, corner)
    return _write_png(sheet, target, metadata)


def save_sheet(
    frames: np.ndarray,
    path: str | Path,
    *,
    captions: Sequence[str] | None = None,
    columns: int | None = None,
    size: int | None = None,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """Write a contact sheet: all frames in rows, with white between them and words below each.

    Args:
        frames: (T, S, S, 3) uint8.
        path: target, .png.
        captions: one for each frame, such as its t; None for numbers from 1.
        columns: frames a row; None for 8. Never more than T.
        size: side of each frame in pixels, None for S.
        metadata: as for `save_animation`.

    Raises:
        UserError: as `save_animation`, or another number of captions.
    """
    target = check_target(path, (".png",))
    frames = _check_frames(frames)
    side = _check_size(size, frames.shape[1])
    words = [str(i + 1) for i in range(len(frames))] if captions is None else captions
    if len(words) != len(frames):
        raise UserError(f"{len(frames)} frames need as many captions, not {len(words)}.")
    margin, letters = max(4, side // 16), max(10, side // 9)
    wide, high = side + margin, side + letters + margin
    sheet, corners = _sheet(
        len(frames), SHEET_COLUMNS if columns is None else columns, wide, high, margin
    )
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(letters)
    for tile, (x, y), text in zip(_resized(frames, side), corners, words, strict=True):
        sheet.paste(tile, (x, y))
        pen.text((x + side / 2, y + side), text, fill="black", font=font, anchor="ma")
    return _write_png(sheet, target, metadata)


def _sheet(
    count: int, columns: int, wide: int, high: int, margin: int = 0
) -> tuple[Image.Image, list[tuple[int, int]]]:
    """An empty sheet for `count` tiles, and the top left corner of each."""
    columns = min(_check_columns(columns), count)
    size = columns * wide + margin, math.ceil(count / columns) * high + margin
    if size[0] * size[1] > _MAX_SHEET:
        raise UserError(
            f"A sheet of {size[0]}x{size[1]} pixels is too large: choose a smaller size."
        )
    corners = [(margin + i % columns * wide, margin + i // columns * high) for i in range(count)]
    return Image.new("RGB", size, "white"), corners


def _write_png(image: Image.Image, target: Path, metadata: dict[str, Any] | None) -> Path:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=_png_text(_note(metadata)))
    return _write(target, buffer.getvalue())


# ---------------------------------------------------------------------------------------- checks


def _check_suffix(suffix: str, formats: Sequence[str], shown: str) -> None:
    if suffix.lower() not in formats:
        wanted = formats[0] if len(formats) == 1 else f"one of {', '.join(formats)}"
        raise UserError(f"Cannot write {shown}: its ending must be {wanted}.")
    if suffix.lower() == ".mp4" and pyav() is None:
        raise UserError(MP4_HINT)


def _check_frames(frames: np.ndarray) -> np.ndarray:
    frames = np.asarray(frames)
    square = frames.ndim == 4 and frames.shape[1] == frames.shape[2] and frames.shape[3] == 3
    if not square or frames.dtype != np.uint8 or frames.size == 0:
        raise UserError(
            f"Pictures must be (T, S, S, 3) uint8 and at least one, not {frames.shape} "
            f"{frames.dtype}."
        )
    return frames


def _check_size(size: int | None, native: int) -> int:
    if size is None:
        return native
    if not 1 <= size <= MAX_SIZE:
        raise UserError(f"The size must lie between 1 and {MAX_SIZE} pixels, not {size}.")
    return size


def _check_columns(columns: int) -> int:
    if columns < 1:
        raise UserError(f"There must be at least one column, not {columns}.")
    return columns


def _note(metadata: dict[str, Any] | None) -> str:
    """The metadata as one line of ASCII JSON, empty when there is none."""
    return json.dumps(metadata, ensure_ascii=True, sort_keys=True) if metadata else ""


# ---------------------------------------------------------------------------------------- frames


def _play_order(count: int, there_and_back: bool) -> list[int]:
    """Frame numbers as played: 0 1 2 3, or 0 1 2 3 2 1."""
    return [*range(count), *(range(count - 2, 0, -1) if there_and_back else ())]


def _resized(frames: np.ndarray, side: int, steps: Steps | None = None) -> Iterator[Image.Image]:
    """One picture at a time: the caller may keep something smaller than all large frames."""
    for frame in frames:
        image = Image.fromarray(np.ascontiguousarray(frame))
        if image.width != side:
            image = image.resize((side, side), RESAMPLE)
        yield image
        if steps is not None:
            steps.advance()


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
    return _looped("GIF", images, order, delays, steps, comment=note, optimize=False)


def _gif_quantised(frames: np.ndarray, side: int, steps: Steps) -> Iterator[Image.Image]:
    """256 colours a frame, chosen on every k-th pixel, dithered.

    A thinned picture names its colours as well as the whole and is many times faster: for a 64 px
    face written at 256 px this takes half the time of Pillow's default (median cut of the whole,
    no dither) and leaves 7 dB less error after 4x4 averaging, which is about what the eye does.
    """
    for image in _resized(frames, side, steps):
        thinned = image.resize((min(side, _GIF_SAMPLE),) * 2, Image.Resampling.NEAREST)
        palette = thinned.quantize(256, method=_GIF_PALETTE, kmeans=2)
        yield image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def _webp(
    frames: np.ndarray, order: list[int], side: int, fps: float, note: str, steps: Steps
) -> bytes:
    """Key frames only (kmax=1): others drift, by 5 dB over a morph, and save 5 % of the file."""
    options: dict[str, Any] = {"quality": _WEBP_QUALITY, "method": 4, "kmax": 1}
    if note:
        options["exif"] = Image.Exif()
        options["exif"][0x010E] = note  # ImageDescription
    delays = _delays(len(order), fps, 1 / 1000)
    return _looped("WEBP", list(_resized(frames, side, steps)), order, delays, steps, **options)


def _apng(
    frames: np.ndarray, order: list[int], side: int, fps: float, note: str, steps: Steps
) -> bytes:
    """Lossless; the first frame is also what viewers without APNG show."""
    delays = _delays(len(order), fps, 1 / 1000)
    images = list(_resized(frames, side, steps))
    return _looped("PNG", images, order, delays, steps, pnginfo=_png_text(note))


def _looped(
    kind: str,
    images: Sequence[Image.Image],
    order: list[int],
    delays: list[int],
    steps: Steps,
    **options: Any,
) -> bytes:
    """Pillow's animation of `images` in this order, endless, delays in milliseconds."""
    left = iter(order)
    for image in images:
        image.seek = _counted(image.seek, left, steps)
    first, *others = (images[i] for i in order)
    buffer = io.BytesIO()
    try:
        first.save(
            buffer, kind, save_all=True, append_images=others, duration=delays, loop=0, **options
        )
    # What Pillow raises for delays beyond the range of a format.
    except (ValueError, OverflowError, RuntimeError, OSError, struct.error) as error:
        raise UserError(f"The animation could not be made: {_reason(error)}.") from error
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


def _png_text(note: str) -> PngImagePlugin.PngInfo:
    text = PngImagePlugin.PngInfo()
    if note:
        text.add_text("glow", note)
    return text


# ------------------------------------------------------------------------------------------- MP4


def _mp4(
    frames: np.ndarray, order: list[int], side: int, fps: float, note: str, steps: Steps
) -> bytes:
    """H.264, yuv420p, index first (faststart). MP4 cannot ask for a loop: it plays once."""
    av = pyav()
    images = [np.asarray(image) for image in _resized(frames, side + side % 2, steps)]
    # FFmpeg moves the index to the front by reading its own output again, which needs a file.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        try:
            with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
                if note:
                    container.metadata["comment"] = note
                _mp4_encode(av, container, (images[i] for i in order), fps, steps)
            return path.read_bytes()
        except (av.error.FFmpegError, OSError) as error:
            raise UserError(f"The video could not be made: {_reason(error)}.") from error


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


# --------------------------------------------------------------------------------------- writing


def _write(target: Path, content: bytes) -> Path:
    """Put `content` at `target` whole or not at all."""
    try:
        write_bytes(target, content)
    except OSError as error:
        raise UserError(f"Cannot write {target}: {_reason(error)}.") from error
    return target


def _reason(error: BaseException) -> str:
    """The system's own words, without numbers and quotes, on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split()).rstrip(".")
