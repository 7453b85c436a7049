"""What the writers of files share: formats, checks of what is asked for, and the write itself.

Everything that cannot be done is refused in one sentence, the target before any work is spent on
its content. Files are written whole or not at all, see `glow_app.common.files`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from PIL import Image

from glow_app.common.errors import UserError
from glow_app.common.files import check_writable, replacing
from glow_app.faces.opening import RESAMPLE

__all__ = [
    "FORMATS",
    "MAX_SIZE",
    "MP4_HINT",
    "Pictures",
    "available_formats",
    "check_folder",
    "check_pictures",
    "check_size",
    "check_suffix",
    "check_target",
    "pyav",
    "reason",
    "resized",
    "write",
    "writing",
]

FORMATS: tuple[str, ...] = (".gif", ".webp", ".png", ".mp4")  # .png is an animated PNG (APNG)
MAX_SIZE = 2048  # pixels a side of one frame; a larger one is a slip of the finger
MP4_HINT = "Writing .mp4 needs PyAV: pip install av, or choose .gif or .webp."


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
        UserError: unknown suffix, PyAV missing for .mp4, no such folder, one that cannot be
            written into, a name too long for it, or something that is not a regular file in the
            way.
    """
    try:
        target = Path(path).expanduser().resolve()
        check_suffix(target.suffix, formats, str(path))
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

    Raises:
        UserError: it cannot be made, or nothing can be written into it.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_writable(folder)
    except OSError as error:
        raise UserError(f"Cannot write into {path}: {reason(error)}.") from error
    return folder


def check_suffix(suffix: str, formats: Sequence[str], shown: str) -> None:
    """Refuse a suffix that is not among `formats`, or .mp4 without PyAV; `shown` is the file."""
    if suffix.lower() not in formats:
        wanted = formats[0] if len(formats) == 1 else f"one of {', '.join(formats)}"
        raise UserError(f"Cannot write {shown}: its ending must be {wanted}.")
    if suffix.lower() == ".mp4" and pyav() is None:
        raise UserError(MP4_HINT)


class Pictures(Protocol):
    """Pictures (T, S, S, 3) uint8: an array, or what makes each while they are gone through."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[np.ndarray]: ...

    def __getitem__(self, chosen: np.ndarray) -> Pictures: ...


def check_pictures(pictures: Pictures) -> Pictures:
    """The pictures, (T, S, S, 3) uint8 with T ≥ 1; anything else is refused."""
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
    """Pixels a side to write: `size` if it lies within 1 and `MAX_SIZE`, None for `native`."""
    if size is None:
        return native
    if not 1 <= size <= MAX_SIZE:
        raise UserError(f"The size must lie between 1 and {MAX_SIZE} pixels, not {size}.")
    return size


def resized(pictures: Pictures, side: int) -> Iterator[Image.Image]:
    """One picture at a time: the caller may keep something smaller than all large ones."""
    for pixels in pictures:
        image = Image.fromarray(np.ascontiguousarray(pixels))
        yield image if image.width == side else image.resize((side, side), RESAMPLE)


@contextmanager
def writing(target: Path) -> Iterator[BinaryIO]:
    """A file that stands at `target`, a path from `check_target`, once all is written to it."""
    try:
        with replacing(target) as temporary, open(temporary, "wb+") as file:
            yield file
    except OSError as error:
        raise UserError(f"Cannot write {target}: {reason(error)}.") from error


def write(target: Path, content: bytes) -> Path:
    """Put `content` at `target`, a path from `check_target`, and return that."""
    with writing(target) as file:
        file.write(content)
    return target


def reason(error: BaseException) -> str:
    """The system's own words, without numbers and quotes, on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split()).rstrip(".")
