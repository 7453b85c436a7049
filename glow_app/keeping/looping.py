"""The files of pictures that move: GIF, WebP and animated PNG, frame after frame.

Pillow codes each picture; how they follow each other is put together here, because its own
writers hold all frames of an animation, and for GIF and PNG several copies of them, until the end.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

import numpy as np
from PIL import GifImagePlugin, Image

from glow_app.keeping import notes

__all__ = ["LOOPING", "Box", "Looping", "changed"]

Box = tuple[int, int, int, int]  # left, top, right, bottom

_GIF_SAMPLE: Final = 64  # pixels a side that the palette of a frame is chosen on
_GIF_PALETTE: Final = Image.Quantize.MAXCOVERAGE  # keeps catch-lights; median cut drops rare ones
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_QUALITY: Final = {"WEBP": {"quality": 90, "method": 4}}


class Looping:
    """One kind of file: what all have in common.

    `start` writes what comes before the frames, `frame` one of them, `end` the rest. Where only
    one came, `still` writes a plain picture instead, if the format tells the two apart.

    Args:
        out: where to write; it can be read and sought.
        side: pixels a side.
        note: what is kept in the file, see `notes`.

    Attributes:
        unit: of its delays, in seconds.
        shortest: delay that players respect, in units.
        patches: whether a frame may be no more than the box that has changed.
        plain: Pillow's name of a plain picture of this kind; "" for none.
    """

    unit, shortest, patches, plain = 1 / 1000, 1, True, ""

    def __init__(self, out: BinaryIO, side: int, note: str) -> None:
        self.out, self.side, self.note = out, side, note
        self.frames = 0

    def prepared(self, image: Image.Image) -> Image.Image:
        """A frame in the colours that the file can hold."""
        return image

    def coded(self, image: Image.Image) -> bytes:
        """A frame, or a part of one, as it stands in the file."""
        raise NotImplementedError

    def start(self, first: Image.Image) -> None:
        """Write the head; `first` is the first frame, prepared."""
        raise NotImplementedError

    def frame(self, coded: bytes, box: Box, delay: int) -> None:
        """Write one frame: what `coded` made of this box of it, and how long it stands.

        Raises:
            struct.error, OverflowError: the file cannot hold such a delay.
        """
        raise NotImplementedError

    def end(self) -> None:
        """Write what follows the frames."""

    def still(self, image: Image.Image) -> None:
        """Write a plain picture in place of all that was written."""
        self.out.seek(0)
        self.out.truncate()
        self.out.write(_saved(image, self.plain, self.note))


class Gif(Looping):
    """Each frame has its own 256 colours, chosen on every k-th pixel, dithered.

    A thinned picture names its colours as well as the whole and is many times faster: for a 64 px
    face written at 256 px this takes half the time of Pillow's default (median cut of the whole,
    no dither) and leaves 7 dB less error after 4x4 averaging, which is about what the eye does.
    """

    unit, shortest = 1 / 100, 2

    def prepared(self, image: Image.Image) -> Image.Image:
        thinned = image.resize((min(self.side, _GIF_SAMPLE),) * 2, Image.Resampling.NEAREST)
        palette = thinned.quantize(256, method=_GIF_PALETTE, kmeans=2)
        return image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)

    def coded(self, image: Image.Image) -> bytes:
        """Palette and pixels; what stands before them, the box, is written with the frame."""
        whole = b"".join(GifImagePlugin.getdata(image, include_color_table=True))
        return whole[9:]  # "," and the box: two bytes each

    def start(self, first: Image.Image) -> None:
        note = self.note.encode("ascii")
        blocks = [note[i : i + 255] for i in range(0, len(note), 255)]
        self.out.write(b"GIF89a" + struct.pack("<HHBBB", self.side, self.side, 0x70, 0, 0))
        self.out.write(b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0")  # for ever
        if blocks:
            self.out.write(b"!\xfe" + b"".join(bytes([len(b)]) + b for b in blocks) + b"\0")

    def frame(self, coded: bytes, box: Box, delay: int) -> None:
        left, top, right, bottom = box
        self.out.write(b"!\xf9\x04\x04" + struct.pack("<HBB", delay, 0, 0))  # it stays
        self.out.write(b"," + struct.pack("<4H", left, top, right - left, bottom - top) + coded)
        self.frames += 1

    def end(self) -> None:
        self.out.write(b";")


class Apng(Looping):
    """Lossless; the first frame is also what viewers without APNG show."""

    plain = "PNG"

    def coded(self, image: Image.Image) -> bytes:
        return b"".join(
            data for kind, data in _png_chunks(_saved(image, "PNG")) if kind == b"IDAT"
        )

    def start(self, first: Image.Image) -> None:
        self.out.write(_PNG)
        tiny = first.crop((0, 0, 1, 1))  # for the kind of its pixels, and how the note is kept
        for kind, data in _png_chunks(_saved(tiny, "PNG", self.note)):
            if kind == b"IHDR":
                self._chunk(kind, struct.pack(">2I", self.side, self.side) + data[8:])
                self._count = self.out.tell()
                self._chunk(b"acTL", bytes(8))  # how many frames shows at the end
            elif kind not in (b"IDAT", b"IEND"):
                self._chunk(kind, data)
        self._number = 0  # of the chunk, counted over all frames

    def frame(self, coded: bytes, box: Box, delay: int) -> None:
        left, top, right, bottom = box
        where = (right - left, bottom - top, left, top)
        self._chunk(b"fcTL", struct.pack(">5I2H2B", self._next(), *where, delay, 1000, 0, 0))
        if self.frames:
            self._chunk(b"fdAT", struct.pack(">I", self._next()) + coded)
        else:
            self._chunk(b"IDAT", coded)
        self.frames += 1

    def end(self) -> None:
        self._chunk(b"IEND", b"")
        self.out.seek(self._count)
        self._chunk(b"acTL", struct.pack(">2I", self.frames, 0))  # for ever

    def _next(self) -> int:
        self._number += 1
        return self._number - 1

    def _chunk(self, kind: bytes, data: bytes) -> None:
        check = zlib.crc32(data, zlib.crc32(kind))
        self.out.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check))


class Webp(Looping):
    """Each frame whole and by itself: what is coded as a change drifts, by 5 dB over a morph, and
    saves 5 % of the file."""

    patches, plain = False, "WEBP"

    def coded(self, image: Image.Image) -> bytes:
        chunks = dict(_webp_chunks(_saved(image, "WEBP")))
        return _webp_chunk(b"VP8 ", chunks[b"VP8 "])

    def start(self, first: Image.Image) -> None:
        flags = 2 | (8 if self.note else 0)  # it moves, it has a note
        size = struct.pack("<I", self.side - 1)[:3]
        self.out.write(b"RIFF\0\0\0\0WEBP")  # its length shows at the end
        self.out.write(_webp_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + size + size))
        self.out.write(_webp_chunk(b"ANIM", bytes(6)))  # for ever

    def frame(self, coded: bytes, box: Box, delay: int) -> None:
        if delay >= 1 << 24:
            raise OverflowError
        left, top, right, bottom = box
        numbers = (left // 2, top // 2, right - left - 1, bottom - top - 1, delay)
        where = b"".join(struct.pack("<I", number)[:3] for number in numbers)
        self.out.write(_webp_chunk(b"ANMF", where + b"\x02" + coded))  # in place of what was there
        self.frames += 1

    def end(self) -> None:
        if self.note:
            exif = notes.pillow_options("WEBP", self.note)["exif"].tobytes()
            self.out.write(_webp_chunk(b"EXIF", exif.removeprefix(b"Exif\0\0")))
        length = self.out.tell() - 8
        self.out.seek(4)
        self.out.write(struct.pack("<I", length))


def changed(before: Image.Image, after: Image.Image) -> Box | None:
    """The box of the pixels in which two pictures of one size differ; None: in none."""
    different = (np.asarray(before.convert("RGB")) != np.asarray(after.convert("RGB"))).any(axis=2)
    rows, columns = (np.flatnonzero(different.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _saved(image: Image.Image, kind: str, note: str = "") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **_QUALITY.get(kind, {}), **notes.pillow_options(kind, note))
    return buffer.getvalue()


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG)
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        yield content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        at += 12 + length


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at < len(content):
        (length,) = struct.unpack_from("<I", content, at + 4)
        yield content[at : at + 4], content[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _webp_chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


LOOPING: Final = {".gif": Gif, ".webp": Webp, ".png": Apng}  # by suffix
