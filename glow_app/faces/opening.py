"""Open any picture that people have as a plain upright RGB one, or say in a sentence why not.

What is larger than MAX_PIXELS, as telephones make it, is taken at a half of its size or less: a
JPEG by its decoder, which skips the finest frequencies, all else once it is decoded. Below that a
JPEG is always decoded in full: its decoder scales with another filter, so the same face would get
other bits from a larger file.
"""

from __future__ import annotations

import errno
import io
import math
import os
import re
import stat
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin

from glow_app.common.errors import UserError
from glow_app.common.files import LFS_HINT, is_lfs_pointer
from glow_app.faces.colour import (
    CODES,
    code_points,
    deep_to_srgb,
    eight_bits,
    is_hdr,
    split_alpha,
    to_srgb,
)

Source = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray

RESAMPLE: Final = Image.Resampling.LANCZOS
MAX_PIXELS: Final = 40_000_000  # of an opened picture; what has more is reduced
MAX_BYTES: Final = 100_000_000  # a scan of 30 megapixels without compression is 90 MB
MAX_SCANS: Final = 32  # of a JPEG; progressive ones have ten
MIN_SIDE: Final = 16  # pixels
MAX_ASPECT: Final = 16  # long side / short side

# Pillow knows more formats. Those left out run other programs (EPS), or have no signature and so
# take any file for theirs (TGA, PCX).
_FORMATS: Final = (
    "AVIF", "BMP", "DIB", "GIF", "HEIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "QOI", "TIFF",
    "WEBP",
)  # fmt: skip
# Pixels that take two seconds (four of a slow core) or a gigabyte at most, by format or mode: 108
# megapixels of a JPEG take 110 MiB, progressive and with all colours 730.
_IN_MEMORY: Final = "memory"
_LARGE: Final = {
    _IN_MEMORY: 110_000_000,
    "JPEG": 110_000_000, "MPO": 110_000_000, "HEIF": 50_000_000, "AVIF": 50_000_000,
    "PNG": 50_000_000, "TIFF": 50_000_000,
}  # fmt: skip
_SLOW: Final = {"JPEG2000": 16_000_000, "WEBP": 30_000_000, "RGBA": 30_000_000}
_MAX_DEEP: Final = 26_000_000  # pixels of which more than 8 bits are read, which takes 800 MiB
_SIGNATURES: Final = (
    b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP", b"qoif",
)  # fmt: skip
_HEIF_BRANDS: Final = frozenset((  # ISO/IEC 23008-12
    b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1",
))  # fmt: skip
# Pillow would open the thumbnail in these, as if it were the picture.
_RAW_SUFFIXES: Final = frozenset((
    ".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2",
))  # fmt: skip

PICTURE_SUFFIXES: Final = frozenset((
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfif", ".jp2",
    ".jpe", ".jpeg", ".jpg", ".jpx", ".mpo", ".pbm", ".pfm", ".pgm", ".png", ".pnm", ".ppm",
    ".qoi", ".tif", ".tiff", ".webp",
))  # fmt: skip


@dataclass(frozen=True)
class JpegTables:
    """How a JPEG file was coded, as far as that shows in its pixels."""

    quantization: tuple[tuple[int, tuple[int, ...]], ...]  # number and 64 values of each
    sampling: int  # of the chroma: 0 for 4:4:4, 1 for 4:2:2, 2 for 4:2:0, -1 for anything else


@dataclass(frozen=True, eq=False)
class Opened:
    """An opened picture, and what its pixels alone do not tell.

    Attributes:
        image: upright, mode RGB, without metadata.
        jpeg: how it was coded, if it comes straight from a JPEG file (or from a Pillow picture
            of one); else None.
        alpha: mode L, as large as the image, where it is transparent; None: nowhere.
        reduced: what its width and height were divided by, since it was so large; 1: by nothing.
    """

    image: Image.Image
    jpeg: JpegTables | None = None
    alpha: Image.Image | None = None
    reduced: int = 1


# ----------------------------------------------------------------------------------------- opening


def open_picture(source: Source) -> Image.Image:
    """Return the picture of `open_source` alone; arguments and errors are the same."""
    return open_source(source).image


def open_source(source: Source) -> Opened:
    """Open any picture as plain 8-bit sRGB.

    Upright by its EXIF orientation, the first frame of an animation, transparency on white, 16-bit
    and floating-point greys scaled and not clipped, wide gamuts and high dynamic ranges converted
    by their colour profile or code points.

    Args:
        source: a path; the bytes of a file; a binary file, read from where it stands; a Pillow
            picture, which is left as it is and whose current frame counts; or an array
            (H, W, 3) uint8.

    Returns:
        A new picture, mode RGB, without metadata and with MAX_PIXELS at most; the tables of a
        JPEG; where it is transparent.

    Raises:
        UserError: what was given is no picture that can be used: not there, not a picture,
            damaged, larger than MAX_BYTES or than what its format may have (known before it is
            decoded; 110 megapixels of a JPEG), smaller than MIN_SIDE or narrower than 1 :
            MAX_ASPECT.
        TypeError: `source` is none of the above.
    """
    name = name_of(source)
    try:
        with _no_warnings():
            image, jpeg, reduced = _load(source, name)
            colour, alpha = _to_rgb(image, name)
            return Opened(colour, jpeg, alpha, reduced)
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"There is not enough memory for {name}.") from error
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(name) from error
    except TypeError as error:
        if not _is_source(source):
            raise
        raise _damaged(name) from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise _damaged(name) from error


def _is_source(source: object) -> bool:
    kinds = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image, np.ndarray)
    return isinstance(source, kinds) or hasattr(source, "read")


def _load(source: Any, name: str) -> tuple[Image.Image, JpegTables | None, int]:
    """Return the decoded first frame in its own mode, upright, how it was coded, and by how much
    it was reduced; never the caller's own object."""
    jpeg, reduced = None, 1
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3:
            raise UserError(
                f"A picture as an array must be (height, width, 3) uint8,"
                f" not {source.shape} {source.dtype}."
            )
        height, width = source.shape[:2]
        _check_size((width, height), name, _IN_MEMORY, "RGB")
        image = Image.fromarray(np.ascontiguousarray(source))
    elif isinstance(source, Image.Image):
        _check_size(source.size, name, _IN_MEMORY, source.mode)
        image = source.copy()
        jpeg = jpeg_tables(source)
    elif _is_source(source):
        image, jpeg, reduced = _decode(_read(source, name), name)
    else:
        raise TypeError(f"cannot open a picture from {type(source).__name__}")
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # broken metadata is no reason to refuse a picture
        image.info.pop("exif", None)
    by = _too_large_by(image.size)
    if by > 1:
        image, jpeg, reduced = image.reduce(by), None, by * reduced
    return image, jpeg, reduced


def _too_large_by(size: tuple[int, int]) -> int:
    """Return by what width and height have to be divided for MAX_PIXELS."""
    return max(1, math.ceil(math.sqrt(size[0] * size[1] / MAX_PIXELS)))


def _read(source: Any, name: str) -> bytes:
    """Return the bytes of a file, at most MAX_BYTES."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    elif hasattr(source, "read"):
        data = source.read(MAX_BYTES + 1)
        if not isinstance(data, bytes):
            raise TypeError("the file must be opened in binary mode")
    else:
        data = _read_path(Path(source), name)
    if len(data) > MAX_BYTES:
        raise _too_many_bytes(name)
    if not data:
        raise UserError(f"{name} is empty.")
    return data


def _read_path(path: Path, name: str) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UserError(f"{name} is a folder, not a picture.")
        if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
            raise UserError(f"{name} is not a file.")
        if status.st_size > MAX_BYTES:
            raise _too_many_bytes(name)
        if path.suffix.lower() in _RAW_SUFFIXES:
            raise UserError(
                f"{name} is a camera's raw file, which is not supported; please export it as JPEG."
            )
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise UserError(f"There is no file {name}.") from error
    except PermissionError as error:
        raise UserError(f"{name} may not be read: permission denied.") from error
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO).lower()
        raise UserError(f"{name} cannot be read: {reason}.") from error


def _decode(data: bytes, name: str) -> tuple[Image.Image, JpegTables | None, int]:
    """Return the first frame of a file as it is stored, how it was coded, and by how much it was
    reduced."""
    if _brand(data) in _HEIF_BRANDS:
        _register_heif()
    scans = _scans(data)
    if scans > MAX_SCANS:
        raise UserError(f"{name} is too laborious: a JPEG of more than {MAX_SCANS} scans.")
    try:
        image = Image.open(io.BytesIO(data), formats=_formats())
    except Image.UnidentifiedImageError as error:
        raise _unidentified(data, name) from error
    with image:
        size = image.size
        _check_size(size, name, image.format, image.mode)  # nothing has been decoded yet
        most = MAX_SCANS * MAX_PIXELS // (size[0] * size[1])
        if scans > most:
            raise UserError(f"{name} is too laborious: {scans} scans of a JPEG of its size.")
        by = _too_large_by(size)
        if by > 1 and isinstance(image, JpegImagePlugin.JpegImageFile):
            image.draft(image.mode, (size[0] // by, size[1] // by))
        drafted = image.size != size
        if image.format == "HEIF" and is_hdr(image.info) and size[0] * size[1] <= _MAX_DEEP:
            deep = _deep(data) if image.info.get("bit_depth", 8) > 8 else None
            if deep is not None:
                return deep_to_srgb(deep, image.info), None, 1
        image.load()
        _check_size(image.size, name, image.format, image.mode)
        codes = code_points(data) if image.format in ("PNG", "AVIF") else None
        if codes is not None:
            image.info[CODES] = codes
            if image.format == "PNG":  # there it has precedence (PNG, third edition)
                image.info.pop("icc_profile", None)
        if drafted:
            return image, None, round(size[0] / image.width)
        return image, jpeg_tables(image), 1


_MARKER: Final = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)  # but stuffing, restarts


def _scans(data: bytes) -> int:
    """Count how often a JPEG goes over its whole picture, up to MAX_SCANS + 1; 0 for other files.

    Each takes time for all pixels and may have no more than some bytes: a file of 0.2 MB with
    thousand scans of 40 megapixels took 26 s.
    """
    count, place = 0, 2
    while data.startswith(b"\xff\xd8") and count <= MAX_SCANS:
        found = _MARKER.search(data, place)
        if found is None or found[1] == b"\xd9":  # the end; an appended picture or film may follow
            break
        count += found[1] == b"\xda"
        place = found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2], "big"))
    return count


def jpeg_tables(image: Image.Image) -> JpegTables | None:
    """Return how the file of a picture was coded; None unless Pillow read it from a JPEG file."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return None
    tables = sorted((number, tuple(table)) for number, table in image.quantization.items())
    return JpegTables(tuple(tables), JpegImagePlugin.get_sampling(image))


@lru_cache(maxsize=1)
def _register_heif() -> None:
    """Teach Pillow HEIC, where the optional plug-in is installed; takes a moment, so on demand."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()


def _deep(data: bytes) -> np.ndarray | None:
    """Return all bits of a HEIC file, (H, W, 3) uint16 from 0 to 65535; None if it has alpha."""
    from pillow_heif import open_heif

    file = open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    return np.asarray(file) if file.mode == "RGB;16" else None


def _formats() -> list[str]:
    """Return the formats that this installation of Pillow can read, of those we want."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _check_size(size: tuple[int, int], name: str, kind: str | None, mode: str) -> None:
    """Refuse what is too large for its format and mode, too small or too narrow."""
    width, height = size
    most = min(_SLOW.get(of or "", MAX_PIXELS) for of in (kind, mode))
    if most == MAX_PIXELS and mode in ("L", "RGB", "CMYK"):
        most = _LARGE.get(kind or "", MAX_PIXELS)
    if width * height > most:
        raise _too_many_pixels(name, most)
    if min(width, height) < MIN_SIDE:
        raise UserError(
            f"{name} is too small: {width} x {height} pixels, and the smallest that works is"
            f" {MIN_SIDE} x {MIN_SIDE}."
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UserError(f"{name} is too narrow: {width} x {height} pixels.")


def _to_rgb(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None]:
    """Convert any mode to RGB: greys to 8 bits, colours to sRGB, transparency on white, without
    metadata; the second picture is that transparency (mode L)."""
    info = image.info
    if image.mode == "F" or image.mode.startswith("I"):
        image = eight_bits(image, name)
    colour, alpha = split_alpha(image)
    colour = to_srgb(colour, info)
    if alpha is not None and alpha.getextrema()[0] == 255:
        alpha = None
    if alpha is not None:
        background = Image.new("RGB", colour.size, (255, 255, 255))
        background.paste(colour, mask=alpha)
        colour = background
    # A profile or an orientation that stays behind would be applied once more by the next reader.
    colour.info = {}
    return colour, alpha


# ----------------------------------------------------------------------------- names and sentences


def name_of(source: object) -> str:
    """Return what to call a source in a sentence: its file name, or "The picture"."""
    if isinstance(source, (bytes, bytearray, memoryview, np.ndarray)):
        return "The picture"
    if not isinstance(source, (str, os.PathLike)):
        source = getattr(source, "filename", None) or getattr(source, "name", None)
    name = Path(source).name if isinstance(source, (str, os.PathLike)) else ""
    return printable(name) or "The picture"


def printable(text: str) -> str:
    """Shape a file name for a sentence: on one line, not too long, and fit for any terminal."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= 120 else f"{text[:60]}…{text[-50:]}"


def _too_many_bytes(name: str) -> UserError:
    return UserError(f"{name} is too large: more than {MAX_BYTES // 1_000_000} MB.")


def _too_many_pixels(name: str, most: int = max(_LARGE.values())) -> UserError:
    return UserError(f"{name} is too large: more than {most // 1_000_000} megapixels.")


def _damaged(name: str) -> UserError:
    return UserError(f"{name} is damaged, incomplete or of a kind that cannot be read.")


def _unidentified(data: bytes, name: str) -> UserError:
    """Say why Pillow did not know a file."""
    if is_lfs_pointer(data):
        return UserError(f"{name} {LFS_HINT}")
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    brand = _brand(data)
    if head.startswith((b"<svg", b"<?xml", b"<!doctype svg", b"<!--")) and b"<svg" in head:
        return UserError(
            f"{name} is an SVG drawing, which is not supported; please export it as PNG."
        )
    if brand and b"avif" in data[8:64] and "AVIF" not in Image.OPEN:
        return UserError(f"{name} is an AVIF picture, which needs a newer Pillow.")
    if brand in _HEIF_BRANDS and "HEIF" not in Image.OPEN:
        return UserError(
            f"{name} is a HEIC picture, which needs pillow-heif: pip install pillow-heif."
        )
    if brand and brand not in _HEIF_BRANDS | {b"avif", b"avis"}:
        return UserError(f"{name} is a video, not a picture.")
    if brand or data.startswith(_SIGNATURES) or data[8:12] == b"WEBP":
        return _damaged(name)
    return UserError(f"{name} is not a picture in a format that is known here.")


def _brand(data: bytes) -> bytes:
    """Return the brand of an ISO media file (HEIC, AVIF, MP4 ...); empty for other files."""
    return data[8:12] if data[4:8] == b"ftyp" else b""


# ----------------------------------------------------------------------------------------- folders


def list_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """List all files below a folder whose names end like a picture's, sorted by path.

    Hidden files and folders are skipped; links to folders are followed, each folder once.

    Raises:
        UserError: the folder is missing or holds no picture.
    """
    root = Path(folder)
    if not root.exists():
        raise UserError(f"There is no folder {printable(str(folder))}.")
    if not root.is_dir():
        raise UserError(f"{printable(str(folder))} is not a folder.")
    if not os.access(root, os.R_OK | os.X_OK):
        raise UserError(f"{printable(str(folder))} may not be read: permission denied.")
    files = list(_walk(root))
    found = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    if not found:
        raise UserError(f"There is no picture in {printable(str(folder))}{_others(files)}.")
    return sorted(found, key=lambda path: path.relative_to(root).parts)


def _others(files: list[Path]) -> str:
    """Say what a folder without pictures holds instead, at the end of a sentence."""
    if not files:
        return ""
    endings = Counter(printable(path.suffix) or "none" for path in files)
    named = ", ".join(ending for ending, _ in endings.most_common(3))
    more = ", ..." if len(endings) > 3 else ""
    many = f"{len(files):,} files have other endings"
    what = "one file has another ending" if len(files) == 1 else many
    return f", as far as names tell: {what} ({named}{more})"


def _walk(root: Path) -> Iterator[Path]:
    seen = {os.path.realpath(root)}
    for here, folders, files in os.walk(root, followlinks=True):
        unseen = []
        for name in sorted(folders):
            target = os.path.realpath(os.path.join(here, name))
            if not name.startswith(".") and target not in seen:
                seen.add(target)
                unseen.append(name)
        folders[:] = unseen
        paths = (Path(here, name) for name in files if not name.startswith("."))
        yield from (path for path in paths if path.is_file())


# ---------------------------------------------------------------------------------------- warnings

_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_filters: warnings.catch_warnings | None = None


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Keep Pillow's warnings (odd metadata, many pixels) from the user.

    The filters belong to the whole process, so the first thread to come in sets them and the last
    to leave restores them; `catch_warnings` alone could leave them set for ever.
    """
    global _quiet_depth, _quiet_filters
    with _quiet_lock:
        if _quiet_depth == 0:
            _quiet_filters = warnings.catch_warnings()
            _quiet_filters.__enter__()
            warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\b")
        _quiet_depth += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0 and _quiet_filters is not None:
                _quiet_filters.__exit__(None, None, None)
                _quiet_filters = None
