"""Shared by all writers: checks of the target, the write itself, and the comment in a file.

Files are written whole or not at all, see `glow_app.common.files`. The comment is one line of JSON
about how the file was made. GIF and MP4 have it as their comment, PNG as a text called "glow",
WebP as the EXIF image description.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from PIL import Image, PngImagePlugin

from glow_app.common.errors import UserError
from glow_app.common.files import check_writable, refuse_lfs_pointer, replacing
from glow_app.faces.opening import RESAMPLE, printable

FORMATS: tuple[str, ...] = (".gif", ".webp", ".png", ".mp4")  # .png is an animated PNG (APNG)
MAX_SIZE = 2048  # pixels a side of one frame; larger ones are typing errors
MP4_HINT = "Writing .mp4 needs PyAV: pip install av, or choose .gif or .webp."
MP4_KEY = "comment"  # of an MP4's metadata

_PNG_KEY = "glow"
_EXIF_TAG = 0x010E  # ImageDescription
_MAX_COMMENT = 100_000  # characters
_MAX_FILE = 200_000_000  # bytes of a file whose comment is read


def available_formats() -> tuple[str, ...]:
    """Return the suffixes of `FORMATS` that can be written here: `.mp4` needs PyAV."""
    return FORMATS if pyav() is not None else tuple(f for f in FORMATS if f != ".mp4")


@functools.cache
def pyav() -> Any | None:
    """Return the optional module PyAV, or None where it is not installed or does not load."""
    try:
        import av
    except (ImportError, OSError):
        return None
    return av


def need_pyav() -> Any:
    """Return PyAV, or raise `UserError` with how to install it."""
    av = pyav()
    if av is None:
        raise UserError(MP4_HINT)
    return av


def check_target(path: str | Path, formats: Sequence[str] = FORMATS) -> Path:
    """Refuse a path that could not be written, before any work is spent on its content.

    Args:
        path: where the file shall go; `~` is expanded and links are followed.
        formats: the suffixes allowed, lower case, with their dot.

    Returns:
        The resolved path.

    Raises:
        UserError: unknown suffix, PyAV missing for .mp4, no folder that can be written into, a
            name too long for it, or something in the way that is not a regular file.
    """
    try:
        target = Path(path).expanduser().resolve()
        if target.suffix.lower() not in formats:
            wanted = formats[0] if len(formats) == 1 else f"one of {', '.join(formats)}"
            raise UserError(f"Cannot write {path}: its ending must be {wanted}.")
        if target.suffix.lower() == ".mp4":
            need_pyav()
        if not target.parent.is_dir():
            raise UserError(f"Cannot write {path}: the folder {target.parent} does not exist.")
        if target.exists() and not target.is_file():
            raise UserError(f"Cannot write {path}: it exists and is not a file.")
        check_writable(target.parent)
    except (OSError, RuntimeError) as error:
        raise UserError(f"Cannot write {path}: {reason(error)}.") from error
    return target


def check_folder(path: str | Path) -> Path:
    """Make a folder to write into, or refuse it, before any work is spent on its content.
    Raises UserError: it cannot be made, or nothing can be written into it."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_writable(folder)
    except OSError as error:
        raise UserError(f"Cannot write into {path}: {reason(error)}.") from error
    return folder


@contextmanager
def writing(target: Path) -> Iterator[BinaryIO]:
    """Open a file that appears at `target`, a path from `check_target`, when the block ends."""
    try:
        with replacing(target) as temporary, open(temporary, "wb+") as file:
            yield file
    except OSError as error:
        raise UserError(f"Cannot write {target}: {reason(error)}.") from error


def write(target: Path, content: bytes) -> Path:
    """Write `content` to `target`, a path from `check_target`, and return that."""
    with writing(target) as file:
        file.write(content)
    return target


def reason(error: BaseException) -> str:
    """Return the message of an error of the system, without its number, on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split()).rstrip(".")


class Pictures(Protocol):
    """Pictures (T, S, S, 3) uint8: an array, or an object that makes each when iterated over."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


def check_pictures(pictures: Pictures) -> Pictures:
    """Return pictures as they are, (T, S, S, 3) uint8 with T ≥ 1; refuse anything else."""
    if not hasattr(pictures, "shape"):
        pictures = np.asarray(pictures)
    shape = pictures.shape
    square = len(shape) == 4 and shape[1] == shape[2] and shape[3] == 3
    if not square or pictures.dtype != np.uint8 or 0 in shape:
        raise UserError(
            f"Pictures must be (T, S, S, 3) uint8 and at least one, not {shape} {pictures.dtype}."
        )
    return pictures


def check_size(size: int | None, native: int) -> int:
    """Return the side to write in pixels: `size` within 1 and `MAX_SIZE`, None for `native`."""
    if size is None:
        return native
    if not 1 <= size <= MAX_SIZE:
        raise UserError(f"The size must lie between 1 and {MAX_SIZE} pixels, not {size}.")
    return size


def resized(pictures: Pictures, side: int) -> Iterator[Image.Image]:
    """Yield pictures with `side` pixels a side, one at a time to save memory."""
    for pixels in pictures:
        image = Image.fromarray(np.ascontiguousarray(pixels))
        yield image if image.width == side else image.resize((side, side), RESAMPLE)


def to_comment(metadata: dict[str, Any] | None) -> str:
    """Return metadata as one line of ASCII JSON, empty when there is none."""
    return json.dumps(metadata, ensure_ascii=True, sort_keys=True) if metadata else ""


def pillow_options(kind: str, comment: str) -> dict[str, Any]:
    """Return options for `Image.save` that put `comment` into a "WEBP" or "PNG"."""
    if kind == "WEBP":
        if not comment:
            return {}
        exif = Image.Exif()
        exif[_EXIF_TAG] = comment
        return {"exif": exif}
    text = PngImagePlugin.PngInfo()
    if comment:
        text.add_text(_PNG_KEY, comment)
    return {"pnginfo": text}


def read_comment(path: str | Path) -> Any:
    """Return the comment of a file as JSON data, None if there is none. No picture is decoded.

    Args:
        path: a .gif, .webp, .png or .mp4; the last needs PyAV.

    Raises:
        UserError: the file is missing, broken or of another kind, or PyAV is missing.
    """
    path = Path(path)
    name = printable(path.name)
    try:
        if not path.is_file():
            raise UserError(f"There is no file {name}.")
        if path.stat().st_size > _MAX_FILE:
            raise UserError(f"{name} is too large to be made by Glow Studio.")
        comment = _mp4_comment(path) if path.suffix.lower() == ".mp4" else _picture_comment(path)
    except UserError:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged files
        refuse_lfs_pointer(path)
        raise UserError(f"{name} is damaged or of a kind that cannot be read.") from error
    try:
        return json.loads(comment[:_MAX_COMMENT])
    except (ValueError, RecursionError):
        return None


def _picture_comment(path: Path) -> str:
    with Image.open(path, formats=("GIF", "WEBP", "PNG")) as image:
        if image.format == "GIF":
            return image.info.get("comment", b"").decode("ascii", "replace")
        if image.format == "WEBP":
            return str(image.getexif().get(_EXIF_TAG, ""))
        return str(image.info.get(_PNG_KEY, ""))


def _mp4_comment(path: Path) -> str:
    av = pyav()
    if av is None:
        raise UserError("Opening .mp4 needs PyAV: pip install av.")
    # As nothing but MP4: FFmpeg would take a playlist for one, and open what it names.
    with av.open(str(path), format="mov", options={"protocol_whitelist": "file"}) as container:
        return container.metadata.get(MP4_KEY, "")
