"""Open any picture as an upright 8-bit RGB one, or say in one sentence why that fails.

Pictures larger than MAX_PIXELS are reduced by a whole number: JPEGs by their decoder, others after
decoding. Smaller JPEGs are always decoded in full, because the decoder reduces with another filter
and the same face would get other bits from a larger file.
"""

from __future__ import annotations

import errno
import io
import math
import os
import re
import stat
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin

from glow_app.common.errors import UserError
from glow_app.common.files import LFS_HINT, is_lfs_pointer
from glow_app.faces.colour import CODES, code_points, deep_to_srgb, is_hdr, to_rgb

# Number and 64 values of each table; sampling of the chroma as Pillow counts it, 2 for 4:2:0.
JpegTables = tuple[tuple[tuple[int, tuple[int, ...]], ...], int]
Source = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray

RESAMPLE: Final = Image.Resampling.LANCZOS
MAX_PIXELS: Final = 40_000_000  # of an opened picture; what has more is reduced
MAX_BYTES: Final = 100_000_000  # a scan of 30 megapixels without compression is 90 MB
MAX_SCANS: Final = 32  # of a JPEG; progressive ones have ten
MIN_SIDE: Final = 16  # pixels
MAX_ASPECT: Final = 16  # long side / short side

warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\b")  # odd metadata, many pixels

# Left out are formats that run other programs (EPS) or have no signature (TGA, PCX).
_FORMATS: Final = (
    "AVIF", "BMP", "DIB", "GIF", "HEIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "QOI", "TIFF",
    "WEBP",
)  # fmt: skip
# Most pixels by format or mode, which take at most two seconds (a slow core: four) and a gigabyte.
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
# Of these Pillow would open the thumbnail.
_RAW_SUFFIXES: Final = frozenset((
    ".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2",
))  # fmt: skip

PICTURE_SUFFIXES: Final = frozenset((
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfif", ".jp2",
    ".jpe", ".jpeg", ".jpg", ".jpx", ".mpo", ".pbm", ".pfm", ".pgm", ".png", ".pnm", ".ppm",
    ".qoi", ".tif", ".tiff", ".webp",
))  # fmt: skip


@dataclass(frozen=True, eq=False)
class Opened:
    """An opened picture.

    Attributes:
        image: upright, mode RGB, without metadata.
        jpeg: its tables, if it comes unreduced from a JPEG file (or a Pillow picture of one).
        alpha: mode L, as large as the image; None where nothing is transparent.
        reduced: what width and height were divided by because the picture was so large.
    """

    image: Image.Image
    jpeg: JpegTables | None = None
    alpha: Image.Image | None = None
    reduced: int = 1


# ----------------------------------------------------------------------------------------- opening


def open_picture(source: Source) -> Image.Image:
    """Return the image of `open_source`; arguments and errors are the same."""
    return open_source(source).image


def open_source(source: Source) -> Opened:
    """Open any picture as plain 8-bit sRGB.

    Upright by its EXIF orientation, the first frame of an animation, transparency on white, 16-bit
    and floating-point greys scaled and not clipped, wide gamuts and high dynamic ranges converted
    by their colour profile or code points.

    Args:
        source: a path; the bytes of a file; a binary file, read from its current position; a
            Pillow picture, which is not changed and whose current frame counts; or an array
            (H, W, 3) uint8.

    Returns:
        A new picture of at most MAX_PIXELS.

    Raises:
        UserError: the file is missing, damaged, not a picture, larger than MAX_BYTES or than its
            format may be (checked before decoding), smaller than MIN_SIDE, or narrower than
            1 : MAX_ASPECT.
        TypeError: `source` is none of the above.
    """
    name = name_of(source)
    kinds = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image, np.ndarray)
    if not isinstance(source, kinds) and not hasattr(source, "read"):
        raise TypeError(f"cannot open a picture from {type(source).__name__}")
    try:
        image, jpeg, reduced = _load(source, name)
        colour, alpha = to_rgb(image, name)
        return Opened(colour, jpeg, alpha, reduced)
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"There is not enough memory for {name}.") from error
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(name) from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise _damaged(name) from error


def _load(source: Any, name: str) -> tuple[Image.Image, JpegTables | None, int]:
    """Return the upright first frame in its own mode, its JPEG tables, and what it was reduced by.
    The picture is never the caller's own object."""
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
        image, jpeg = source.copy(), jpeg_tables(source)
    else:
        image, jpeg, reduced = _decode(_read(source, name), name)
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # broken metadata is no reason to refuse a picture
        image.info.pop("exif", None)
    factor = _reduction(image.size)
    if factor > 1:
        image, jpeg, reduced = image.reduce(factor), None, factor * reduced
    return image, jpeg, reduced


def _reduction(size: tuple[int, int]) -> int:
    """Return what width and height must be divided by for MAX_PIXELS."""
    return max(1, math.ceil(math.sqrt(size[0] * size[1] / MAX_PIXELS)))


def _read(source: Any, name: str) -> bytes:
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    elif hasattr(source, "read"):
        data = source.read(MAX_BYTES + 1)
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
        if not stat.S_ISREG(status.st_mode):  # a pipe would block
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
    """Return the first frame of a file, its JPEG tables, and what it was reduced by."""
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
        size, info, kind = image.size, image.info, image.format or ""
        pixels, factor = size[0] * size[1], _reduction(size)
        _check_size(size, name, kind, image.mode)  # nothing has been decoded yet
        if scans > MAX_SCANS * MAX_PIXELS // pixels:
            raise UserError(f"{name} is too laborious: {scans} scans of a JPEG of its size.")
        if factor > 1 and isinstance(image, JpegImagePlugin.JpegImageFile):
            image.draft(image.mode, (size[0] // factor, size[1] // factor))
        drafted = image.size != size
        deep = kind == "HEIF" and info.get("bit_depth", 8) > 8 and pixels <= _MAX_DEEP
        if deep and is_hdr(info):
            from pillow_heif import open_heif

            file = open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
            if file.mode == "RGB;16":  # without alpha
                return deep_to_srgb(np.asarray(file), info), None, 1
        image.load()
        _check_size(image.size, name, kind, image.mode)
        codes = code_points(data) if kind in ("PNG", "AVIF") else None
        if codes is not None:
            image.info[CODES] = codes
            if kind == "PNG":  # there it has precedence (PNG, third edition)
                image.info.pop("icc_profile", None)
        if drafted:
            return image, None, round(size[0] / image.width)
        return image, jpeg_tables(image), 1


# Neither byte stuffing nor restart markers.
_MARKER: Final = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)


def _scans(data: bytes) -> int:
    """Count the scans of a JPEG, up to MAX_SCANS + 1; 0 for other files.

    Each goes over all pixels and may have only some bytes: a file of 0.2 MB with a thousand scans
    of 40 megapixels took 26 s.
    """
    count, place = 0, 2
    while data.startswith(b"\xff\xd8") and count <= MAX_SCANS:
        found = _MARKER.search(data, place)
        if found is None or found[1] == b"\xd9":  # the end, though more may be appended
            break
        count += found[1] == b"\xda"
        place = found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2], "big"))
    return count


def jpeg_tables(image: Image.Image) -> JpegTables | None:
    """Return the tables of a picture that Pillow read from a JPEG file, None for others."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return None
    tables = sorted((number, tuple(table)) for number, table in image.quantization.items())
    return tuple(tables), JpegImagePlugin.get_sampling(image)


@lru_cache(maxsize=1)
def _register_heif() -> None:
    """Register the optional HEIC plug-in with Pillow; not at import, since it takes time."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()


def _formats() -> list[str]:
    """Return those of `_FORMATS` that this installation of Pillow can read."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _check_size(size: tuple[int, int], name: str, kind: str, mode: str) -> None:
    """Refuse pictures that are too large for their format and mode, too small or too narrow."""
    width, height = size
    most = min(_SLOW.get(kind, MAX_PIXELS), _SLOW.get(mode, MAX_PIXELS))
    if most == MAX_PIXELS and mode in ("L", "RGB", "CMYK"):
        most = _LARGE.get(kind, MAX_PIXELS)
    if width * height > most:
        raise _too_many_pixels(name, most)
    if min(width, height) < MIN_SIDE:
        raise UserError(
            f"{name} is too small: {width} x {height} pixels, and the smallest that works is"
            f" {MIN_SIDE} x {MIN_SIDE}."
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UserError(f"{name} is too narrow: {width} x {height} pixels.")


# ----------------------------------------------------------------------------- names and sentences


def name_of(source: object) -> str:
    """Return the file name of a source, or "The picture", for use in a sentence."""
    if isinstance(source, (bytes, bytearray, memoryview, np.ndarray)):
        return "The picture"
    if not isinstance(source, (str, os.PathLike)):
        source = getattr(source, "filename", None) or getattr(source, "name", None)
    name = Path(source).name if isinstance(source, (str, os.PathLike)) else ""
    return printable(name) or "The picture"


def printable(text: str) -> str:
    """Return a file name on one line, at most 120 characters, without control characters."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= 120 else f"{text[:60]}…{text[-50:]}"


def _too_many_bytes(name: str) -> UserError:
    return UserError(f"{name} is too large: more than {MAX_BYTES // 1_000_000} MB.")


def _too_many_pixels(name: str, most: int = max(_LARGE.values())) -> UserError:
    return UserError(f"{name} is too large: more than {most // 1_000_000} megapixels.")


def _damaged(name: str) -> UserError:
    return UserError(f"{name} is damaged, incomplete or of a kind that cannot be read.")


def _unidentified(data: bytes, name: str) -> UserError:
    """Say why Pillow did not recognise a file."""
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
    """List all files below a folder whose suffix is that of a picture, sorted by path.

    Hidden files and folders are skipped; links to folders are followed, each folder once.

    Raises:
        UserError: the folder is missing or holds no picture.
    """
    root, name = Path(folder), printable(str(folder))
    if not root.exists():
        raise UserError(f"There is no folder {name}.")
    if not root.is_dir():
        raise UserError(f"{name} is not a folder.")
    if not os.access(root, os.R_OK | os.X_OK):
        raise UserError(f"{name} may not be read: permission denied.")
    files = list(_walk(root))
    found = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    if not found:
        raise UserError(f"There is no picture in {name}{_suffixes(files)}.")
    return sorted(found, key=lambda path: path.relative_to(root).parts)


def _suffixes(files: list[Path]) -> str:
    """Return a clause with the suffixes of files that are no pictures."""
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
