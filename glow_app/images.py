"""Every picture enters the project here: open, turn upright, flatten, align or crop, resize.

`open_picture` makes a plain RGB picture of whatever people have, or says in one sentence why not;
`prepare` makes the square of pixels that a model takes. Nothing else in the project decodes,
crops or resizes pictures, because bits/dim is very sensitive to how that is done.

A JPEG is always decoded in full. Pillow's draft mode would be faster for large photos, but it
scales with another filter, so the same face would get other bits from a larger file.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

import numpy as np
from PIL import Image, ImageCms, ImageOps

if TYPE_CHECKING:
    from glow_app.faces import Face

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "PICTURE_SUFFIXES",
    "RESAMPLE",
    "PictureError",
    "Prepared",
    "list_pictures",
    "open_picture",
    "prepare",
    "prepare_all",
    "printable",
]

Source = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray

RESAMPLE: Final = Image.Resampling.LANCZOS
MAX_PIXELS: Final = 40_000_000
MAX_BYTES: Final = 100_000_000  # a scan of 30 megapixels without compression is 90 MB
MIN_SIDE: Final = 16  # pixels
MAX_ASPECT: Final = 16  # long side / short side

PICTURE_SUFFIXES: Final = frozenset((
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfif", ".jp2",
    ".jpe", ".jpeg", ".jpg", ".jpx", ".mpo", ".pbm", ".pfm", ".pgm", ".png", ".pnm", ".ppm",
    ".qoi", ".tif", ".tiff", ".webp",
))  # fmt: skip

# Pillow knows more formats. Those left out run other programs (EPS), or have no signature and so
# take any file for theirs (TGA, PCX).
_FORMATS: Final = (
    "AVIF", "BMP", "DIB", "GIF", "HEIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "QOI", "TIFF",
    "WEBP",
)  # fmt: skip
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

_SOFT: Final = 0.75  # a face or picture below this fraction of the target side looks soft
_MUCH_INVENTED: Final = 0.15  # of the crop
_FAR_TURNED: Final = 20.0  # degrees of yaw; hardly any training picture is beyond

_NO_FACE: Final = "No face was found, so the middle of the picture is used."


class PictureError(ValueError):
    """A picture or folder that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture as a model takes it.

    Attributes:
        pixels: (S, S, 3) uint8, sRGB.
        aligned: whether the face lies on the template.
        faces: how many faces were found; 0 where none was looked for.
        notes: sentences for the user, most important first.
    """

    pixels: np.ndarray
    aligned: bool
    faces: int
    notes: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------- for a model


def prepare(
    source: Source, size: int, align: Literal["auto", "face", "center"] = "auto"
) -> Prepared:
    """Open a picture and make the square that a model takes, with one antialiased resize.

    A square picture whose face lies on the template already, as our own exports do, is not aligned
    again but only resized: the same picture keeps the same bits however often it goes round. A
    centre crop that has `size` already is returned as it is.

    Args:
        source: what `open_picture` takes.
        size: side S of the result in pixels.
        align: "auto": the largest face on the template, or the middle of the picture and a note
            if there is none. "face": the same, but no face is an error. "center": the largest
            square in the middle; no face is looked for.

    Raises:
        PictureError: the picture cannot be used.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, not {size}")
    if align not in ("auto", "face", "center"):
        raise ValueError(f'align must be "auto", "face" or "center", not {align!r}')
    image = open_picture(source)
    if align == "center":
        return _centred(image, size)

    from glow_app import faces  # it takes RESAMPLE from here

    if not faces.available():
        if align == "face":
            raise PictureError(faces.MISSING)
        return _centred(image, size, f"The middle of the picture is used. {faces.MISSING}")
    found = faces.find_faces(image)
    if not found:
        if align == "face":
            raise PictureError(f"{_name_of(source)} shows no face that could be found.")
        return _centred(image, size, _NO_FACE)
    return _on_template(image, found[0], size, len(found))


def prepare_all(source: Source, size: int) -> list[Prepared]:
    """Like `prepare` with align="face", but every face of the picture, largest first."""
    from glow_app import faces

    image = open_picture(source)
    if not faces.available():
        raise PictureError(faces.MISSING)
    found = faces.find_faces(image)
    if not found:
        raise PictureError(f"{_name_of(source)} shows no face that could be found.")
    return [_on_template(image, face, size) for face in found]


def _centred(image: Image.Image, size: int, *notes: str) -> Prepared:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    if side < _SOFT * size:
        notes += (f"The picture is only {side} pixels wide, so it looks soft.",)
    return Prepared(_resized(square, size), False, 0, notes)


def _on_template(image: Image.Image, face: Face, size: int, among: int = 1) -> Prepared:
    from glow_app import faces

    notes = []
    if among > 1:
        notes.append(f"{among} faces were found; the largest is used.")
    if abs(face.yaw) > _FAR_TURNED:
        notes.append("This face is turned far to the side; one that looks ahead works better.")
    if faces.is_aligned(image, face):
        pixels, side = _resized(image, size), float(image.width)
    else:
        crop, invented = faces.align(image, face, size)
        pixels, side = np.array(crop), face.size
        if invented > _MUCH_INVENTED:
            notes.append(
                "Much of this crop lies outside the photo; one with more room about the face"
                " works better."
            )
    if side < _SOFT * size:
        notes.append(f"The face is only {side:.0f} pixels wide, so it looks soft.")
    return Prepared(pixels, True, among, tuple(notes))


def _resized(square: Image.Image, size: int) -> np.ndarray:
    """A square picture as (size, size, 3) uint8; unchanged if it has that size."""
    if square.size != (size, size):
        square = square.resize((size, size), RESAMPLE)
    return np.array(square)


# ----------------------------------------------------------------------------------------- folders


def list_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """All files below a folder whose names end like a picture's, sorted by path.

    Hidden files and folders are skipped; links to folders are followed, each folder once.

    Raises:
        PictureError: the folder is missing or holds no picture.
    """
    root = Path(folder)
    if not root.exists():
        raise PictureError(f"There is no folder {printable(str(folder))}.")
    if not root.is_dir():
        raise PictureError(f"{printable(str(folder))} is not a folder.")
    if not os.access(root, os.R_OK | os.X_OK):
        raise PictureError(f"{printable(str(folder))} may not be read: permission denied.")
    found = [path for path in _walk(root) if path.suffix.lower() in PICTURE_SUFFIXES]
    if not found:
        raise PictureError(f"There is no picture in {printable(str(folder))}.")
    return sorted(found, key=lambda path: path.relative_to(root).parts)


def _walk(root: Path) -> Iterator[Path]:
    seen = {os.path.realpath(root)}
    for here, folders, files in os.walk(root, followlinks=True):
        real = {name: os.path.realpath(os.path.join(here, name)) for name in sorted(folders)}
        folders[:] = []
        for name, target in real.items():
            if not name.startswith(".") and target not in seen:
                seen.add(target)
                folders.append(name)
        for name in files:
            path = Path(here, name)
            if not name.startswith(".") and path.is_file():
                yield path


# ----------------------------------------------------------------------------------------- opening


def open_picture(source: Source) -> Image.Image:
    """Open any picture as plain 8-bit sRGB.

    Upright by its EXIF orientation, the first frame of an animation, transparency on white, 16-bit
    and floating-point greys scaled and not clipped, an embedded colour profile converted to sRGB.

    Args:
        source: a path; the bytes of a file; a binary file, read from where it stands; a Pillow
            picture, which is left as it is and whose current frame counts; or an array
            (H, W, 3) uint8.

    Returns:
        A new picture, mode RGB, without metadata.

    Raises:
        PictureError: what was given is no picture that can be used: not there, not a picture,
            damaged, larger than MAX_BYTES or MAX_PIXELS (known before it is decoded), smaller
            than MIN_SIDE or narrower than 1 : MAX_ASPECT.
        TypeError: `source` is none of the above.
    """
    name = _name_of(source)
    try:
        with _no_warnings():
            return _plain(_loaded(source, name), name)
    except PictureError:
        raise
    except MemoryError as error:
        raise PictureError(f"There is not enough memory for {name}.") from error
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


def _loaded(source: Any, name: str) -> Image.Image:
    """The decoded first frame in its own mode, upright; never the caller's own object."""
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3:
            raise PictureError(
                f"A picture as an array must be (height, width, 3) uint8,"
                f" not {source.shape} {source.dtype}."
            )
        height, width = source.shape[:2]
        _check_size(width, height, name)
        return Image.fromarray(np.ascontiguousarray(source))
    if isinstance(source, Image.Image):
        _check_size(*source.size, name)
        image = source.copy()
    elif _is_source(source):
        image = _decoded(_read(source, name), name)
    else:
        raise TypeError(f"cannot open a picture from {type(source).__name__}")
    _turn_upright(image)
    return image


def _read(source: Any, name: str) -> bytes:
    """The bytes of a file, at most MAX_BYTES."""
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
        raise PictureError(f"{name} is empty.")
    return data


def _read_path(path: Path, name: str) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise PictureError(f"{name} is a folder, not a picture.")
        if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
            raise PictureError(f"{name} is not a file.")
        if status.st_size > MAX_BYTES:
            raise _too_many_bytes(name)
        if path.suffix.lower() in _RAW_SUFFIXES:
            raise PictureError(
                f"{name} is a camera's raw file, which is not supported; please export it as JPEG."
            )
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise PictureError(f"There is no file {name}.") from error
    except PermissionError as error:
        raise PictureError(f"{name} may not be read: permission denied.") from error
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO).lower()
        raise PictureError(f"{name} cannot be read: {reason}.") from error


def _decoded(data: bytes, name: str) -> Image.Image:
    if _brand(data) in _HEIF_BRANDS:
        _register_heif()
    try:
        image = Image.open(io.BytesIO(data), formats=_formats())
    except Image.UnidentifiedImageError as error:
        raise _unidentified(data, name) from error
    with image:
        _check_size(*image.size, name)  # from the header: nothing has been decoded yet
        image.load()
        _check_size(*image.size, name)
        return image.copy()


@lru_cache(maxsize=1)
def _register_heif() -> None:
    """Teach Pillow HEIC, where the optional plug-in is installed; takes a moment, so on demand."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()


def _formats() -> list[str]:
    """The formats that this installation of Pillow can read, of those we want."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(name)
    if min(width, height) < MIN_SIDE:
        raise PictureError(
            f"{name} is too small: {width} x {height} pixels, and the smallest that works is"
            f" {MIN_SIDE} x {MIN_SIDE}."
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise PictureError(f"{name} is too narrow: {width} x {height} pixels.")


def _turn_upright(image: Image.Image) -> None:
    """By its EXIF orientation. Broken metadata is no reason to refuse a picture."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:
        image.info.pop("exif", None)


# -------------------------------------------------------------------------------- any mode to sRGB


def _plain(image: Image.Image, name: str) -> Image.Image:
    """Any mode to RGB: greys to 8 bits, colours to sRGB, transparency on white, no metadata."""
    profile = image.info.get("icc_profile")
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bits(image, name)
    colour, alpha = _split_alpha(image)
    colour = _to_srgb(colour, profile)
    if alpha is not None:
        background = Image.new("RGB", colour.size, (255, 255, 255))
        background.paste(colour, mask=alpha)
        colour = background
    # A profile or an orientation that stays behind would be applied once more by the next reader.
    colour.info = {}
    return colour


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Greys of more than 8 bits as mode L (or LA); Pillow's own conversion clips them to white.

    The range is the smallest usual one that holds the values; what fits none is stretched.
    """
    values = np.asarray(image).astype(np.float32)
    finite = np.isfinite(values)
    if not finite.any():
        raise PictureError(f"{name} holds no numbers.")
    low, high = float(values[finite].min()), float(values[finite].max())
    top = next((top for top in _usual_tops(image) if high <= 1.05 * top), None)
    if top is not None and low >= -0.05 * top:  # resampling overshoots a little
        low, high = 0.0, top
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    levels = np.clip((values - low) * (255 / max(high - low, 1e-30)), 0, 255)
    grey = Image.fromarray((levels + 0.5).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _usual_tops(image: Image.Image) -> tuple[float, ...]:
    """Values that stand for white, smallest first."""
    if image.mode == "F":
        return (1.0, 255.0, 65535.0)
    bits = getattr(image, "tag_v2", {}).get(258)  # BitsPerSample of a TIFF
    return (255.0, 4095.0) if bits == (12,) else (255.0, 65535.0)


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours, without alpha, and the alpha channel (mode L) if there is one."""
    if not image.has_transparency_data:
        return image, None
    if image.mode in ("1", "L", "LA", "La"):
        both = image if image.mode == "LA" else image.convert("LA")
        return both.convert("L"), both.getchannel("A")
    both = image.convert("RGBA")
    return both.convert("RGB"), both.getchannel("A")


def _to_srgb(colour: Image.Image, profile: bytes | None) -> Image.Image:
    """Colours of any mode without alpha to mode RGB, by the embedded profile if it is of use."""
    if colour.mode not in ("1", "L", "RGB", "CMYK", "LAB"):
        colour = colour.convert("RGB")
    if profile or colour.mode == "LAB":
        try:
            return _managed(colour, profile)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
            pass  # a broken profile, or a Pillow without LittleCMS
    return colour.convert("RGB")


def _managed(colour: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to sRGB by a profile; pictures that are sRGB already stay as they are."""
    if colour.mode == "LAB":
        source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    else:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        if source.profile.xcolor_space.strip() == "RGB":
            colour = colour.convert("RGB")  # greys are often tagged with an RGB profile
    transform = ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        colour.mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if colour.mode in ("L", "RGB") and _changes_nothing(transform, colour.mode):
        return colour.convert("RGB")
    converted = ImageCms.applyTransform(colour, transform)
    if converted is None:
        raise ValueError("the profile could not be applied")
    return converted


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a conversion is sRGB to sRGB up to rounding.

    There are dozens of sRGB profiles; going through one would cost a level here and there.
    """
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    probe = Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), -1).reshape(64, 64, 3))
    probe = probe if mode == "RGB" else probe.convert(mode)
    after = ImageCms.applyTransform(probe, transform)
    before = np.asarray(probe.convert("RGB")).astype(int)
    return after is not None and int(np.abs(np.asarray(after) - before).max()) <= 2


# ----------------------------------------------------------------------------- names and sentences


def _name_of(source: object) -> str:
    """How sentences call a source: its file name, or "the picture"."""
    if isinstance(source, (bytes, bytearray, memoryview, np.ndarray)):
        return "The picture"
    if not isinstance(source, (str, os.PathLike)):
        source = getattr(source, "filename", None) or getattr(source, "name", None)
    name = Path(source).name if isinstance(source, (str, os.PathLike)) else ""
    return printable(name) or "The picture"


def printable(text: str) -> str:
    """A file name for a sentence: on one line, not too long, and fit for any terminal."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= 120 else f"{text[:60]}…{text[-50:]}"


def _too_many_bytes(name: str) -> PictureError:
    return PictureError(f"{name} is too large: more than {MAX_BYTES // 1_000_000} MB.")


def _too_many_pixels(name: str) -> PictureError:
    return PictureError(f"{name} is too large: more than {MAX_PIXELS // 1_000_000} megapixels.")


def _damaged(name: str) -> PictureError:
    return PictureError(f"{name} is damaged, incomplete or of a kind that cannot be read.")


def _unidentified(data: bytes, name: str) -> PictureError:
    """Why Pillow did not know a file."""
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    brand = _brand(data)
    if head.startswith((b"<svg", b"<?xml", b"<!doctype svg", b"<!--")) and b"<svg" in head:
        return PictureError(
            f"{name} is an SVG drawing, which is not supported; please export it as PNG."
        )
    if brand and b"avif" in data[8:64] and "AVIF" not in Image.OPEN:
        return PictureError(f"{name} is an AVIF picture, which needs a newer Pillow.")
    if brand in _HEIF_BRANDS and "HEIF" not in Image.OPEN:
        return PictureError(
            f"{name} is a HEIC picture, which needs pillow-heif: pip install pillow-heif."
        )
    if brand and brand not in _HEIF_BRANDS | {b"avif", b"avis"}:
        return PictureError(f"{name} is a video, not a picture.")
    if brand or data.startswith(_SIGNATURES) or data[8:12] == b"WEBP":
        return _damaged(name)
    return PictureError(f"{name} is not a picture in a format that is known here.")


def _brand(data: bytes) -> bytes:
    """What an ISO media file (HEIC, AVIF, MP4 ...) says it is; empty for other files."""
    return data[8:12] if data[4:8] == b"ftyp" else b""


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
