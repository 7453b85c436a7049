"""Hostile pictures, made by code, that an upload or a folder may hold."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin, features

Made = Iterator[tuple[str, str, bytes, str]]  # kind, name, content, and how reading must end

_ORIENTATION: Final = 274  # the EXIF tag
_HUGE: Final = (6600, 6000)  # just below what is opened in full
_PHONES: Final = ((8064, 6048), (12_032, 9024))  # what telephones make
_HUGE_SECONDS: Final = 4.0  # of 29 to 108 megapixels: decoding alone takes up to 1.5


@dataclass(frozen=True)
class Case:
    """One hostile input.

    Attributes:
        kind: of the trick, in the table.
        path: of the file, link, folder, pipe or device.
        wants: how reading it must end; "either" where decoders may differ.
        max_seconds: of processor time that reading it may take.
    """

    kind: str
    path: Path
    wants: Literal["works", "refused", "either"] = "either"
    max_seconds: float = 2.0


def picture(width: int = 96, height: int = 80) -> Image.Image:
    """Return a smooth RGB picture whose corners differ."""
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    levels = np.stack([255 * x, 255 * y, 255 * (1 - x) * (1 - y)], -1)
    return Image.fromarray(levels.astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the bytes of a file in Pillow's format ``kind``."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """Return a PNG file that claims a size and has no pixels."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    empty = _chunk(b"IDAT", zlib.compress(b"")) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + empty


def with_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    """Return a PNG file with one more chunk behind its header."""
    return png[:33] + _chunk(kind, body) + png[33:]


def wholes() -> dict[str, bytes]:
    """Return a sound file in every format that this installation reads and writes, by suffix."""
    image = picture()
    grey16 = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    kinds: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "jpg": (image, "JPEG", {}),
        "progressive.jpg": (image, "JPEG", {"progressive": True}),
        "cmyk.jpg": (image.convert("CMYK"), "JPEG", {}),
        "png": (image, "PNG", {}),
        "16.png": (grey16, "PNG", {}),
        "palette.png": (image.quantize(64), "PNG", {"transparency": bytes(range(64))}),
        "webp": (image, "WEBP", {}),
        "lossless.webp": (image.convert("RGBA"), "WEBP", {"lossless": True}),
        "gif": (image, "GIF", {}),
        "bmp": (image, "BMP", {}),
        "dib": (image, "DIB", {}),
        "tif": (image, "TIFF", {}),
        "lzw.tif": (image, "TIFF", {"compression": "tiff_lzw"}),
        "jpeg.tif": (image, "TIFF", {"compression": "jpeg"}),
        "ppm": (image, "PPM", {}),
        "pfm": (image.convert("F"), "PPM", {}),
        "mpo": (image, "MPO", {"save_all": True, "append_images": [image]}),
    }
    if features.check("jpg_2000"):
        kinds["jp2"] = (image, "JPEG2000", {})
    if features.check("avif"):
        kinds["avif"] = (image, "AVIF", {})
    files = {suffix: encoded(im, kind, **more) for suffix, (im, kind, more) in kinds.items()}
    files["qoi"] = _qoi(image)
    try:
        import pillow_heif
    except ImportError:
        return files
    heif = io.BytesIO()
    pillow_heif.from_pillow(image).save(heif)
    return files | {"heic": heif.getvalue()}


def corpus(folder: Path, huge: bool = True) -> list[Case]:
    """Make all hostile inputs in ``folder`` and return them.

    The huge ones, of 29 megapixels and more, take seconds to make and to read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Case] = []
    makers = [_damaged, _bombs, _shapes, _modes, _metadata, code_points, _names]
    for maker in makers + [_huge] * huge:
        limit = _HUGE_SECONDS if maker is _huge else Case.max_seconds
        for kind, name, data, wants in maker():
            path = folder / name
            path.write_bytes(data)
            made.append(Case(kind, path, wants, limit))
    return made + list(_no_files(folder))


# ---------------------------------------------------------------- files that are not what they say


def _damaged() -> Made:
    rng = np.random.default_rng(0)
    for suffix, data in wholes().items():
        yield "whole", f"whole.{suffix}", data, "works"
        for share in (0.02, 0.3, 0.7, 0.99):
            yield "truncated", f"cut-{share}.{suffix}", data[: int(share * len(data))], "either"
        for k in range(4):
            bad = np.frombuffer(data, np.uint8).copy()
            places = rng.integers(0, len(bad), 1 + 3 * k)
            bad[places] ^= np.left_shift(1, rng.integers(0, 8, len(places))).astype(np.uint8)
            yield "bit flips", f"flipped-{k}.{suffix}", bad.tobytes(), "either"
        other = "png" if not suffix.endswith("png") else "jpg"
        yield "wrong extension", f"{suffix}-called.{other}", data, "works"
        yield "rubbish behind", f"longer.{suffix}", data + b"\0" * 9999, "works"
    for name, data in {
        "empty.jpg": b"",
        "words.png": b"Dear diary, I renamed a file today." * 99,
        "noise.jpg": rng.bytes(99_999),
        "page.html.jpg": b"<!doctype html><script>alert(1)</script>",
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "plot.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n",
        "camera.nef": b"II*\0" + bytes(99),
    }.items():
        yield "no picture", name, data, "refused"


def _shapes() -> Made:
    for size in ((1, 1), (20_000, 10), (10, 20_000), (15, 15), (1, 16)):
        yield "shape", f"{size[0]}x{size[1]}.png", encoded(picture(*size), "PNG"), "refused"
    for size in ((16, 16), (256, 16), (16, 256), (4096, 300)):
        yield "shape", f"{size[0]}x{size[1]}.png", encoded(picture(*size), "PNG"), "works"


# -------------------------------------------------------------- small files that ask for much work


def _bombs() -> Made:
    for side in (7100, 30_000, 2**31 - 1):
        yield "bomb", f"bomb-{side}.png", png_header(side, side), "refused"
    square = bytearray(encoded(picture(), "GIF"))
    square[6:10] = struct.pack("<HH", 65_535, 65_535)
    yield "bomb", "bomb.gif", bytes(square), "refused"
    frame = bytearray(encoded(picture(), "GIF"))
    place = frame.rindex(b",", 0, 900)
    frame[place + 5 : place + 9] = struct.pack("<HH", 65_535, 65_535)
    yield "bomb", "bomb-frame.gif", bytes(frame), "either"
    moving = {"save_all": True, "append_images": [picture().rotate(90)]}
    webp = bytearray(encoded(picture(), "WEBP", **moving))
    webp[24:30] = (16_382).to_bytes(3, "little") * 2  # the canvas, less one
    yield "bomb", "bomb.webp", bytes(webp), "refused"
    bmp = bytearray(encoded(picture(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 2**30, 2**30)
    yield "bomb", "bomb.bmp", bytes(bmp), "refused"
    yield "bomb", "bomb.ppm", b"P6 99999 99999 255\n" + bytes(99), "refused"
    yield "bomb", "bomb-digits.ppm", b"P6 " + b"9" * 9_000_000, "refused"
    qoi = b"qoif" + struct.pack(">IIBB", 2**31, 2**31, 3, 0) + bytes(99)
    yield "bomb", "bomb.qoi", qoi, "refused"
    jpeg = encoded(Image.new("L", (6600, 6000), 128), "JPEG", progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    yield "bomb", "scans.jpg", jpeg[:-2] + jpeg[last:-2] * 1000 + b"\xff\xd9", "refused"
    png = encoded(picture(), "PNG")
    inflated = zlib.compress(bytes(300_000_000), 9)
    heads = {"zTXt": b"Comment\0\0", "iCCP": b"icc\0\0", "iTXt": b"C\0\1\0\0\0"}
    for kind, head in heads.items():
        data = with_chunk(png, kind.encode(), head + inflated)
        yield "bomb", f"inflate-{kind}.png", data, "either"
    many = _chunk(b"tEXt", b"a\0b") * 200_000
    yield "bomb", "many-chunks.png", png[:33] + many + png[33:], "either"
    gif = encoded(Image.new("P", (16, 16)), "GIF")
    body = gif[gif.index(b",", 13) : -1]
    yield "bomb", "many-frames.gif", gif[:-1] + body * 100_000 + b";", "works"
    tiff = bytearray(encoded(picture(), "TIFF"))
    place = struct.unpack("<I", tiff[4:8])[0]
    count = struct.unpack("<H", tiff[place : place + 2])[0]
    tiff[place + 2 + 12 * count : place + 6 + 12 * count] = struct.pack("<I", place)
    yield "bomb", "ring.tif", bytes(tiff), "works"
    for tag in range(count):  # each entry in turn claims four thousand million values
        bad = bytearray(tiff)
        bad[place + 2 + 12 * tag + 4 : place + 2 + 12 * tag + 8] = b"\xff\xff\xff\xff"
        yield "bomb", f"count-{tag}.tif", bytes(bad), "either"


def _huge() -> Made:
    rng = np.random.default_rng(0)
    rough = Image.fromarray(rng.integers(0, 256, (60, 66, 3), dtype=np.uint8))
    image = rough.resize(_HUGE, Image.Resampling.BICUBIC)
    grey = np.asarray(image.convert("L"))
    clear = image.convert("RGBA")
    clear.putalpha(Image.fromarray(grey))
    kind, fast = "40 megapixels", {"compress_level": 1}
    yield kind, "huge.jpg", encoded(image, "JPEG"), "works"
    yield kind, "huge-p.jpg", encoded(image, "JPEG", progressive=True), "works"
    yield kind, "huge-cmyk.jpg", encoded(image.convert("CMYK"), "JPEG"), "works"
    yield kind, "huge.png", encoded(clear, "PNG", **fast), "refused"
    yield kind, "huge-rgb.png", encoded(image, "PNG", **fast), "works"
    less = clear.crop((0, 0, 5400, 5400))
    yield kind, "large.png", encoded(less, "PNG", **fast), "works"
    yield kind, "large.webp", encoded(less, "WEBP", method=0, quality=50), "works"
    wide = Image.fromarray(grey.astype(np.uint16) * 257)
    yield kind, "huge-16.png", encoded(wide, "PNG", **fast), "works"
    numbers = Image.fromarray(np.zeros(grey.shape, np.float32))
    yield kind, "huge-f.tif", encoded(numbers, "TIFF", compression="tiff_lzw"), "works"
    yield kind, "huge-l.gif", encoded(Image.fromarray(grey), "GIF"), "works"
    yield kind, "huge.webp", encoded(clear, "WEBP", method=0, quality=50), "refused"
    if features.check("jpg_2000"):
        yield kind, "huge.jp2", encoded(Image.new("L", _HUGE), "JPEG2000"), "refused"
    if features.check("avif"):
        yield kind, "huge.avif", encoded(image, "AVIF", speed=10), "works"

    for width, height in _PHONES:
        kind, count = "48 and 108 megapixels", width * height // 1_000_000
        photo = rough.resize((width, height), Image.Resampling.BICUBIC)
        yield kind, f"{count}.jpg", encoded(photo, "JPEG", quality=90), "works"
        progressive = encoded(photo, "JPEG", quality=90, progressive=True)
        yield kind, f"{count}-p.jpg", progressive, "works"
        small = encoded(photo.convert("L"), "PNG", **fast)
        yield kind, f"{count}.png", small, "works" if count < 50 else "refused"
        if features.check("avif") and count < 50:
            yield kind, f"{count}.avif", encoded(photo, "AVIF", speed=10), "works"


# ----------------------------------------------------------------------- sound, and out of the way


def _modes() -> Made:
    image = picture()
    frames = [image.rotate(angle) for angle in (90, 180, 270)]
    animation: dict[str, Any] = {"save_all": True, "append_images": frames, "duration": 40}
    for kind, suffix in (("GIF", "gif"), ("WEBP", "webp"), ("PNG", "png"), ("TIFF", "tif")):
        yield "animated", f"animated.{suffix}", encoded(image, kind, **animation), "works"
    for kind, suffix in (("JPEG", "jpg"), ("TIFF", "tif")):
        yield "CMYK", f"cmyk.{suffix}", encoded(image.convert("CMYK"), kind), "works"
    grey = np.asarray(image.convert("L"))
    for kind, suffix in (("PNG", "png"), ("TIFF", "tif"), ("PPM", "pgm")):
        wide = Image.fromarray(grey.astype(np.uint16) * 257)
        yield "16 bits", f"16.{suffix}", encoded(wide, kind), "works"
    numbers = grey.astype(np.float32)
    numbers[::7] = np.nan
    numbers[::11] = np.inf
    yield "16 bits", "not-numbers.tif", encoded(Image.fromarray(numbers), "TIFF"), "works"
    nothing = Image.fromarray(np.full(grey.shape, np.nan, np.float32))
    yield "16 bits", "no-numbers.tif", encoded(nothing, "TIFF"), "refused"
    palette = image.quantize(256)
    for count in (1, 128, 256):
        data = encoded(palette, "PNG", transparency=bytes(range(count)))
        yield "palette", f"palette-{count}.png", data, "works"
    yield "palette", "palette.gif", encoded(palette, "GIF", transparency=3), "works"
    for mode in ("1", "L", "LA", "RGBA"):
        yield "other modes", f"{mode}.png", encoded(image.convert(mode), "PNG"), "works"
    lab = Image.merge("LAB", image.split())
    yield "other modes", "lab.tif", encoded(lab, "TIFF"), "works"


def _metadata() -> Made:
    image = picture()
    for orientation in range(10):  # 1 to 8 mean something
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
            data = encoded(image, kind, exif=exif)
            yield "orientation", f"turned-{orientation}.{kind.lower()}", data, "works"
    yield "orientation", "exif.jpg", encoded(image, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff"), "works"
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    profiles = {
        "srgb": srgb, "lab": lab, "cut": srgb[:200], "rubbish": srgb[::-1],
        "huge": srgb + bytes(9**7),
    }  # fmt: skip
    for name, profile in profiles.items():
        for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
            if name == "huge" and kind == "JPEG":
                continue  # a JPEG cannot hold it
            data = encoded(image, kind, icc_profile=profile)
            yield "ICC profile", f"profile-{name}.{kind.lower()}", data, "either"
    yield "metadata", "comment.jpg", encoded(image, "JPEG", comment=b"x" * 65_000), "works"
    jpeg = encoded(image, "JPEG")
    block = b"\xff\xe1" + struct.pack(">H", 65_000) + b"x" * 64_998
    yield "metadata", "many-blocks.jpg", jpeg[:2] + block * 400 + jpeg[2:], "works"
    scans = b"\xff\xe1" + struct.pack(">H", 20_002) + b"\xff\xda" * 10_000
    yield "metadata", "thumbnails.jpg", jpeg[:2] + scans + jpeg[2:], "works"
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "y" * 900_000)
    yield "metadata", "text.png", encoded(image, "PNG", pnginfo=info), "works"
    yield "metadata", "xmp.webp", encoded(image, "WEBP", xmp=b"<x/>" * 999_999), "works"


def code_points() -> Made:
    """Yield small files with colour spaces given by numbers: sound, senseless and cut off."""
    png = encoded(picture(), "PNG")
    for primaries, curve in ((9, 16), (9, 18), (12, 13), (0, 0), (255, 255), (4, 17), (8, 8)):
        for full in (0, 1):
            data = with_chunk(png, b"cICP", bytes([primaries, curve, 0, full]))
            yield "code points", f"cicp-{primaries}-{curve}-{full}.png", data, "works"
    for k, gamma in enumerate((0, 1, 45_455, 100_000, 2**31 - 1, 2**32 - 1)):
        data = with_chunk(png, b"gAMA", struct.pack(">I", gamma))
        yield "code points", f"gamma-{k}.png", data, "works"
    for k, value in enumerate((0, 1, 33_333, 2**31 - 1)):
        data = with_chunk(png, b"cHRM", struct.pack(">8I", *[value] * 8))
        yield "code points", f"points-{k}.png", data, "works"
    if not features.check("avif"):
        return
    avif = encoded(picture(), "AVIF")
    place = avif.index(b"colrnclx") + 8
    for codes in (0x0009_0010, 0x0009_0012, 0x000C_000D, 0, 0xFFFF_FFFF):
        data = avif[:place] + struct.pack(">I", codes) + avif[place + 4 :]
        yield "code points", f"nclx-{codes}.avif", data, "works"
    for box in (b"pitm", b"ipma", b"ipco", b"colr"):
        for size in (0, 1, 7, 2**31 - 1):
            data, at = bytearray(avif), avif.index(box) - 4
            data[at : at + 4] = struct.pack(">I", size)
            yield "code points", f"{box.decode()}-{size}.avif", bytes(data), "either"


def _names() -> Made:
    data = encoded(picture(), "PNG")
    names = [
        "Gesicht-ÄÖÜß.png", "写真.png", "😀.png", "صورة.png", "a b\tc.png", "two\nlines.png",
        "'\".png", "$(reboot).png", "-rf.png", "<b>bold<b>.png", "..png", "x" * 251 + ".png",
        "ü" * 125 + ".png",
    ]  # fmt: skip
    for name in names:
        yield "name", name, data, "works"
        yield "name", f"no {name}"[-120:], data[:50], "refused"
    yield "name", os.fsdecode(b"not-utf8-\xff\xfe.png"), data, "works"


def _no_files(folder: Path) -> Iterator[Case]:
    sound = folder / "whole.png"
    inner, pipe = folder / "folder.jpg", folder / "pipe.jpg"
    links = {
        "link.png": sound, "dangling.png": folder / "nowhere.png", "ring.png": folder / "ring.png",
        "to-folder.png": folder, "to-zero.png": Path("/dev/zero"), "to-pipe.jpg": pipe,
    }  # fmt: skip
    for name, target in links.items():
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        if target != pipe:
            yield Case("link", link, "works" if target == sound else "refused")
    inner.mkdir(exist_ok=True)
    yield Case("folder", inner, "refused")
    if not pipe.exists():
        os.mkfifo(pipe)
    for path in (pipe, folder / "to-pipe.jpg"):
        yield Case("pipe", path, "refused")
    for device in ("/dev/zero", "/dev/null", "/dev/urandom", "/dev/stdin"):
        yield Case("device", Path(device), "refused")
    yield Case("no file", folder / "missing.jpg", "refused")
    yield Case("no file", folder / ("long" * 2000 + ".jpg"), "refused")
    yield Case("no file", folder / "whole.png" / "below.jpg", "refused")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _qoi(image: Image.Image) -> bytes:
    """Return a QOI file, which Pillow reads and cannot write."""
    pixels = b"".join(b"\xfe" + bytes(pixel) for pixel in np.asarray(image).reshape(-1, 3))
    head = b"qoif" + struct.pack(">IIBB", *image.size, 3, 0)
    return head + pixels + bytes(7) + b"\x01"
