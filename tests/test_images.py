"""Every kind of picture people have is opened right, or refused in one sentence."""

from __future__ import annotations

import errno
import io
import os
import struct
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from benchmarks.faults.hostile import encoded, png_header, with_chunk
from glow_app.common.errors import UserError
from glow_app.faces import colour, opening
from glow_app.faces.face import prepare, prepare_all
from glow_app.faces.opening import RESAMPLE, list_pictures, open_picture

ORIENTATION = 274  # EXIF tag


@pytest.fixture(autouse=True)
def no_warnings_leak():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def colourful() -> Image.Image:
    """64 x 48, smooth, and different in every corner."""
    y, x = np.mgrid[0:48, 0:64]
    return Image.fromarray(np.stack([x * 4, y * 5, 255 - x * 2 - y * 2], -1).astype(np.uint8))


def far(a, b) -> int:
    """The largest difference of two pictures, in levels."""
    return int(np.abs(np.asarray(a).astype(int) - np.asarray(b)).max())


def complaint(source) -> str:
    """The one sentence with which a picture is refused."""
    with pytest.raises(UserError) as caught:
        open_picture(source)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and sentence.count(". ") == 0
    return sentence


# --------------------------------------------------------------------------------- kinds of source


def test_every_kind_of_source_gives_the_same_picture(tmp_path, colourful):
    path = tmp_path / "a.png"
    colourful.save(path)
    with path.open("rb") as file:
        sources = [path, str(path), path.read_bytes(), file, colourful, np.asarray(colourful)]
        for source in sources:
            opened = open_picture(source)
            assert opened.mode == "RGB"
            assert far(opened, colourful) == 0


def test_the_callers_picture_is_neither_changed_nor_shared(colourful):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    own = Image.open(io.BytesIO(encoded(colourful, "PNG", exif=exif)))
    opened = open_picture(own)
    opened.paste((0, 0, 0), (0, 0, 48, 64))
    assert own.size == colourful.size and own.getexif()[ORIENTATION] == 6
    assert far(own, colourful) == 0
    array = np.asarray(colourful).copy()
    opened = open_picture(array)
    array[:] = 0
    assert far(opened, colourful) == 0


@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 4), (3, 32, 32), (1, 32, 32, 3)])
def test_an_array_of_another_shape_is_refused(shape):
    assert "(height, width, 3)" in complaint(np.zeros(shape, np.uint8))


def test_a_float_array_is_refused():
    assert "float32" in complaint(np.zeros((32, 32, 3), np.float32))


def test_something_else_altogether_is_a_type_error():
    with pytest.raises(TypeError):
        open_picture(42)
    with pytest.raises(TypeError):
        open_picture(None)


# ------------------------------------------------------------------------------------- bad sources


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("empty.png", b"", "empty"),
        ("text.png", b"Dear diary, today I renamed a file.", "not a picture"),
        (
            "drawing.svg",
            b'<?xml version="1.0"?>\n<svg width="9"/>',
            "SVG",
        ),
        ("drawing.png", b"\xef\xbb\xbf<svg width='9'/>", "SVG"),
        ("page.html", b"<!doctype html><p>hello", "not a picture"),
        ("film.jpg", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "video"),
        ("broken.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "broken.heic"),
        ("plot.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "not a picture"),
        ("header.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF", "damaged"),
        ("photo.NEF", b"II*\0 whatever", "raw"),
    ],
)
def test_files_that_are_no_pictures(tmp_path, name, data, says):
    path = tmp_path / name
    path.write_bytes(data)
    sentence = complaint(path)
    assert says in sentence and sentence.startswith(name)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("part", [0.3, 0.8])
def test_truncated_files(kind, part, colourful):
    data = encoded(colourful, kind)
    assert "damaged" in complaint(data[: int(len(data) * part)])


def test_damage_anywhere_is_one_sentence_or_a_picture(colourful):
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "PPM", "AVIF"):
        whole = np.frombuffer(encoded(colourful, kind), np.uint8)
        for _ in range(25):
            data = whole.copy()
            data[rng.integers(0, len(data), 6)] = rng.integers(0, 256, 6)
            try:
                assert open_picture(data.tobytes()).mode == "RGB"
            except UserError as error:
                assert str(error).endswith(".")


def test_missing_file_folder_and_pipe(tmp_path):
    assert complaint(tmp_path / "no.jpg") == "There is no file no.jpg."
    assert "folder" in complaint(tmp_path)
    assert "cannot be read" in complaint("x" * 5000)
    assert complaint("nul\0.jpg").endswith(".")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")
        assert "not a file" in complaint(tmp_path / "pipe.jpg")


def test_permission_denied(tmp_path, monkeypatch):
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"x")

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "permission denied" in complaint(path)


def test_an_unprintable_name_stays_on_one_line(tmp_path):
    path = tmp_path / "two\nlines.jpg"
    path.write_bytes(b"")
    assert complaint(path) == "two?lines.jpg is empty."


def test_too_many_bytes_are_not_even_read(tmp_path, monkeypatch, colourful):
    path = tmp_path / "large.png"
    colourful.save(path)
    monkeypatch.setattr(opening, "MAX_BYTES", 100)
    with path.open("rb") as file:
        for source in (path, path.read_bytes(), file):
            assert "too large" in complaint(source)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("was opened"))
    assert "too large" in complaint(path)


@pytest.mark.parametrize("side", [7100, 10_000, 20_000, 60_000])  # around Pillow's own
def test_bombs_are_refused_from_the_header(side):
    pillows = Image.MAX_IMAGE_PIXELS
    assert "megapixels" in complaint(png_header(side, side))
    assert pillows == Image.MAX_IMAGE_PIXELS  # which is left alone


def test_photos_of_108_megapixels_are_taken_in_reduced_form():
    """A half of each side, by the decoder of the JPEG; the other limits are what they were."""
    y = np.linspace(0, 255, 9024).astype(np.uint8)
    large = Image.fromarray(np.broadcast_to(y[:, None], (9024, 12032)))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    opened = opening.open_source(encoded(large, "JPEG", exif=exif))
    assert opened.image.size == (4512, 6016) and opened.reduced == 2 and opened.jpeg is None
    assert far(np.asarray(opened.image)[100, ::-1, 0], y.reshape(-1, 2).mean(axis=1)) <= 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "HEIF", "AVIF", "JPEG", "array", "image"])
def test_what_is_larger_than_worked_with_is_reduced(kind, colourful, monkeypatch):
    """48 megapixels of any kind that a telephone makes; here with a smaller limit."""
    image = colourful.resize((256, 192), Image.Resampling.BICUBIC)
    if kind == "HEIF":
        pytest.importorskip("pillow_heif")
        opening._register_heif()
    if kind == "AVIF" and "AVIF" not in opening._formats():
        pytest.skip("this Pillow cannot read AVIF")
    source = {"array": np.asarray(image), "image": image}.get(kind)
    source = encoded(image, kind) if source is None else source
    monkeypatch.setattr(opening, "MAX_PIXELS", 128 * 96)
    opened = opening.open_source(source)
    assert opened.image.size == (128, 96) and opened.reduced == 2
    assert far(opened.image, image.reduce(2)) < 40
    (*_, note) = prepare(source, 32).notes
    assert note == "The photo is very large, so it is used with 128 x 96 pixels."
    monkeypatch.setattr(opening, "_LARGE", {})
    assert "megapixels" in complaint(source)


@pytest.mark.parametrize(("size", "says"), [((15, 400), "small"), ((20, 400), "narrow")])
def test_tiny_and_narrow_pictures(size, says):
    for oriented in (size, size[::-1]):
        assert says in complaint(Image.new("RGB", oriented))


# ------------------------------------------------------------------------------------- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation(kind, orientation, colourful):
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = colourful.transpose(undo[orientation]) if orientation > 1 else colourful
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    if kind == "JPEG":
        options = {"quality": 100, "subsampling": 0}
    opened = open_picture(encoded(stored, kind, exif=exif, **options))
    assert opened.size == colourful.size
    assert far(opened, colourful) <= 4


def test_an_opened_picture_is_not_turned_again(colourful):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    once = open_picture(encoded(colourful, "PNG", exif=exif))
    assert once.size == (48, 64) and not once.info
    assert far(open_picture(once), once) == 0


def test_broken_exif_is_ignored(colourful):
    for exif in (b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"\0"):
        assert far(open_picture(encoded(colourful, "PNG", exif=exif)), colourful) == 0


# ------------------------------------------------------------------------------------ transparency


def test_transparent_parts_become_white():
    rgba = Image.new("RGBA", (32, 32), (0, 255, 0, 0))
    rgba.paste((200, 0, 0, 255), (0, 0, 16, 32))
    rgba.paste((0, 0, 0, 128), (24, 0, 32, 32))
    la = Image.new("LA", (32, 32), (90, 0))
    la.paste((50, 255), (0, 0, 16, 32))
    for picture in (rgba, rgba.convert("RGBa")):
        pixels = np.asarray(open_picture(picture))
        assert pixels[5, 5].tolist() == [200, 0, 0]
        assert pixels[5, 20].tolist() == [255, 255, 255]
        assert far(pixels[5, 30], [127, 127, 127]) <= 1
    pixels = np.asarray(open_picture(encoded(la, "PNG")))
    assert pixels[5, 5].tolist() == [50, 50, 50] and pixels[5, 20].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_transparency_in_files(kind):
    rgba = Image.new("RGBA", (32, 32), (0, 255, 0, 0))
    rgba.paste((200, 0, 0, 255), (0, 0, 16, 32))
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = np.asarray(open_picture(encoded(rgba, kind, **options)))
    assert pixels[5, 5].tolist() == [200, 0, 0] and pixels[5, 20].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("mode", "colour", "clear"), [("L", 7, 7), ("RGB", (1, 2, 3), (1, 2, 3)), ("P", 1, 1)]
)
def test_a_colour_that_stands_for_transparent(mode, colour, clear):
    image = Image.new(mode, (32, 32))
    if mode == "P":
        image.putpalette([0, 0, 0, 9, 9, 9])
    image.paste(colour, (0, 0, 16, 32))
    pixels = np.asarray(open_picture(encoded(image, "PNG", transparency=clear)))
    assert pixels[5, 5].tolist() == [255, 255, 255] and pixels[5, 20].tolist() == [0, 0, 0]


def test_a_palette_with_degrees_of_transparency():
    image = Image.new("P", (32, 32), 0)
    image.putpalette([0, 0, 0, 0, 0, 0])
    image.paste(1, (0, 0, 16, 32))
    pixels = np.asarray(open_picture(encoded(image, "PNG", transparency=b"\xff\x80")))
    assert far(pixels[5, 5], [127] * 3) <= 1 and pixels[5, 20].tolist() == [0, 0, 0]


def test_grey_of_16_bits_with_a_transparent_value():
    values = np.full((32, 32), 30000, np.uint16)
    values[:, :16] = 5
    data = encoded(Image.fromarray(values), "PNG")
    at = data.index(b"IDAT") - 4  # the tRNS chunk goes before the pixels
    body = b"tRNS" + struct.pack(">H", 5)
    trns = struct.pack(">I", 2) + body + struct.pack(">I", zlib.crc32(body))
    pixels = np.asarray(open_picture(data[:at] + trns + data[at:]))
    assert pixels[5, 5].tolist() == [255] * 3 and pixels[5, 20].tolist() == [117] * 3


# --------------------------------------------------------------------------------------- animation


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_several(kind, colourful):
    rest = [Image.new("RGB", colourful.size, c) for c in ("red", "blue")]
    first = Image.new("RGB", colourful.size, (0, 128, 0))
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(first, kind, save_all=True, append_images=rest, **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert far(open_picture(data), first) == 0


# -------------------------------------------------------------------------------------- grey depth


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_16_bits_is_scaled(kind):
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    pixels = np.asarray(open_picture(encoded(Image.fromarray(ramp), kind)))
    assert far(pixels[..., 0], np.round(ramp / 257)) == 0
    assert (pixels[..., 0] == pixels[..., 2]).all()


def test_grey_of_8_bits_in_16_is_not_black():
    ramp = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) % 256
    assert far(np.asarray(open_picture(Image.fromarray(ramp)))[..., 0], ramp) == 0


def test_grey_of_12_bits(tmp_path):
    white = Image.fromarray(np.full((32, 32), 4095, np.uint16))
    white.tag_v2 = TiffImagePlugin.ImageFileDirectory_v2()
    white.tag_v2[258] = (12,)
    assert colour.eight_bits(white, "it").getextrema() == (255, 255)


@pytest.mark.parametrize("top", [255, 65535, 1_000_000])
def test_grey_of_32_bits(top):
    ramp = np.linspace(0, top, 32 * 32).astype(np.int32).reshape(32, 32)
    pixels = np.asarray(open_picture(encoded(Image.fromarray(ramp), "TIFF")))[..., 0]
    assert far(pixels, ramp / top * 255) <= 1


@pytest.mark.parametrize(
    ("low", "high", "black", "white"),
    [(0, 1, 0, 1), (0, 255, 0, 255), (-0.01, 1.01, 0, 1), (0, 65535, 0, 65535),
     (-1, 1, -1, 1), (0, 0.5, 0, 1), (-300, 70000, -300, 70000)],
)  # fmt: skip
def test_floating_point_greys(low, high, black, white):
    ramp = np.linspace(low, high, 32 * 32).astype(np.float32).reshape(32, 32)
    pixels = np.asarray(open_picture(encoded(Image.fromarray(ramp), "TIFF")))[..., 0]
    expected = np.clip((ramp - black) / (white - black) * 255, 0, 255)
    assert far(pixels, expected) <= 1


def test_not_a_number_is_black_and_infinity_white():
    grey = np.full((32, 32), 0.5, np.float32)
    grey[0], grey[1], grey[2] = np.nan, np.inf, -np.inf
    pixels = np.asarray(open_picture(encoded(Image.fromarray(grey), "TIFF")))[..., 0]
    assert pixels[:4, 0].tolist() == [0, 255, 0, 128]
    assert "no numbers" in complaint(Image.fromarray(np.full((32, 32), np.nan, np.float32)))


def test_a_flat_floating_point_picture():
    assert open_picture(Image.new("F", (32, 32), 1e20)).mode == "RGB"


def test_one_bit():
    bits = Image.new("1", (32, 32), 0)
    bits.paste(1, (0, 0, 16, 32))
    for kind in ("PNG", "TIFF", "BMP", "PPM"):
        pixels = np.asarray(open_picture(encoded(bits, kind)))
        assert pixels[5, 5].tolist() == [255] * 3 and pixels[5, 20].tolist() == [0] * 3


# ------------------------------------------------------------------------------------ colour modes


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "YCbCr", "HSV", "RGBX"])
def test_modes_without_a_profile(mode, colourful):
    image = colourful.convert(mode)
    assert far(open_picture(image), image.convert("RGB")) == 0


def test_lab():
    # Pure red is L* = 53, a* = 80, b* = 67, and L* is stored in 255 steps for 100.
    lab = Image.frombytes("LAB", (32, 32), bytes([136, 80, 67]) * 1024)
    red = np.asarray(open_picture(encoded(lab, "TIFF")))[0, 0].astype(int)
    assert far(red, [255, 0, 0]) <= 12


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_files_are_not_negatives(kind):
    cyan = Image.new("CMYK", (32, 32), (255, 0, 0, 0))
    options = {"quality": 100} if kind == "JPEG" else {}
    data = encoded(cyan, kind, **options)
    assert far(np.asarray(open_picture(data))[5, 5], [0, 255, 255]) <= 3


# --------------------------------------------------------------------------------- colour profiles


def profile(*primaries: float, gamma: float = 2.2) -> bytes:
    """A minimal ICC v2 display profile; primaries are the XYZ (D50) of red, green and blue."""

    def fixed(v: float) -> bytes:
        return struct.pack(">i", round(v * 65536))

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(fixed(v) for v in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 79
    tags = {b"wtpt": xyz(0.9642, 1, 0.8249), b"desc": name, b"cprt": b"text\0\0\0\0none\0\0\0\0"}
    for i, c in enumerate(b"rgb"):
        tags[bytes([c]) + b"XYZ"] = xyz(*primaries[3 * i : 3 * i + 3])
        tags[bytes([c]) + b"TRC"] = curve
    table, body, at = b"", b"", 128 + 4 + 12 * len(tags)
    for key, value in tags.items():
        value += b"\0" * (-len(value) % 4)
        table += key + struct.pack(">II", at + len(body), len(value))
        body += value
    header = b"lcms" + struct.pack(">I", 0x02100000) + b"mntrRGB XYZ " + b"\0" * 12 + b"acsp"
    header += b"\0" * 28 + fixed(0.9642) + fixed(1) + fixed(0.8249)
    header = header.ljust(124, b"\0")
    rest = header + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(rest) + 4) + rest


P3 = profile(0.5151, 0.2412, -0.0011, 0.2920, 0.6922, 0.0419, 0.1571, 0.0666, 0.7841)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_display_p3_is_converted(kind):
    image = Image.new("RGB", (32, 32), (200, 100, 100))
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    opened = open_picture(encoded(image, kind, icc_profile=P3, **options.get(kind, {})))
    red, green, _ = (int(v) for v in np.asarray(opened)[0, 0])
    assert red > 210 and green < 98  # the same red needs more of sRGB's
    assert "icc_profile" not in opened.info
    assert far(open_picture(opened), opened) == 0


def test_transparency_survives_a_profile():
    image = Image.new("RGBA", (32, 32), (200, 100, 100, 255))
    image.paste((0, 0, 0, 0), (0, 0, 16, 32))
    pixels = np.asarray(open_picture(encoded(image, "PNG", icc_profile=P3)))
    assert pixels[0, 0].tolist() == [255] * 3 and pixels[0, 20][0] > 210


def test_srgb_pictures_keep_their_bytes(colourful):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for picture in (colourful, colourful.convert("L")):
        opened = open_picture(encoded(picture, "PNG", icc_profile=srgb))
        assert far(opened, picture.convert("RGB")) == 0


def test_useless_profiles_are_ignored(colourful):
    for data in (b"garbage", P3[:200], P3[:128] + b"\0" * 300):
        assert far(open_picture(encoded(colourful, "PNG", icc_profile=data)), colourful) == 0
    cmyk = colourful.convert("CMYK")  # with the profile of another kind of picture
    opened = open_picture(encoded(cmyk, "TIFF", icc_profile=P3))
    assert opened.mode == "RGB"


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.int32])
def test_greys_of_more_than_8_bits_are_scaled_by_the_plain_formula(dtype, monkeypatch):
    """However it is made fast: in bands, by a table, with and without what is no number."""
    monkeypatch.setattr(colour, "_BAND", 1000)
    values = np.random.default_rng(0).uniform(0, 3e4, (99, 70)).astype(dtype)
    if dtype == np.float32:
        values[50, :3] = np.nan, np.inf, -np.inf
    numbers = np.nan_to_num(values.astype(np.float32), nan=0, posinf=65535, neginf=0)
    expected = (np.clip(numbers * (255 / 65535.0), 0, 255) + 0.5).astype(np.uint8)
    made = colour.eight_bits(Image.fromarray(values), "x")
    assert made.mode == "L" and np.array_equal(np.asarray(made), expected)


def test_the_middle_of_a_huge_picture_is_as_if_resampled_at_once(colourful, monkeypatch):
    image = colourful.resize((900, 1100), Image.Resampling.BICUBIC)
    plain = prepare(image, 64, "center", full=200)
    monkeypatch.setattr("glow_app.faces.face._HUGE", 800)
    fast = prepare(image, 64, "center", full=200)
    assert far(fast.full, plain.full) <= 3 and far(fast.crop, plain.crop) <= 3
    assert not np.array_equal(fast.crop, plain.crop)


# ----------------------------------------------------------------------- colours without a profile

P3_D65, BT2020, SRGB, PQ, HLG = 12, 9, 13, 16, 18  # code points of H.273
P3_POINTS = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)  # of a cHRM chunk


def with_codes(image: Image.Image, kind: str, primaries: int, curve: int) -> bytes:
    """A file whose levels mean what these code points say; it has no profile."""
    if kind == "PNG":
        return with_chunk(encoded(image, "PNG"), b"cICP", bytes([primaries, curve, 0, 1]))
    if kind == "HEIF":
        pytest.importorskip("pillow_heif")
        opening._register_heif()
        options = {"color_primaries": primaries, "transfer_characteristics": curve}
        return encoded(image, "HEIF", quality=100, subsampling="4:4:4", **options)
    if "AVIF" not in opening._formats():
        pytest.skip("this Pillow cannot read AVIF")
    data = encoded(image, "AVIF", quality=100, subsampling="4:4:4")
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">HH", primaries, curve) + data[at + 4 :]


@pytest.mark.parametrize("kind", ["PNG", "HEIF", "AVIF"])
def test_wide_gamut_by_code_points_is_converted(kind):
    image = Image.new("RGB", (32, 32), (200, 100, 100))
    opened = open_picture(with_codes(image, kind, P3_D65, SRGB))
    by_profile = open_picture(encoded(image, "PNG", icc_profile=P3))
    assert far(opened, by_profile) <= 3 and far(opened, image) >= 10
    assert far(open_picture(with_codes(image, kind, 1, SRGB)), image) <= 2


def pq_code(nits):
    """SMPTE ST 2084, by its own letters."""
    y = (np.asarray(nits) / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)


def hlg_code(scene):
    """ARIB STD-B67, by its own letters."""
    a = 0.17883277
    low, high = np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - (1 - 4 * a), 1e-9))
    return np.where(scene <= 1 / 12, low, high + 0.5 - a * np.log(4 * a))


def linear(image) -> np.ndarray:
    """Of sRGB levels, 0 to 1."""
    codes = np.asarray(image) / 255
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


TO_BT2020 = np.array(  # of linear light, ITU-R BT.2087
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)


@pytest.mark.parametrize("kind", ["PNG", "HEIF", "AVIF"])
@pytest.mark.parametrize("curve", [PQ, HLG])
def test_high_dynamic_range_is_shown_as_it_was(kind, curve, colourful):
    """What is no brighter than reference white comes out as in the picture it was made of."""
    light = linear(colourful) @ TO_BT2020.T
    code = pq_code(203 * light) if curve == PQ else hlg_code(0.26496 * light)
    stored = Image.fromarray((code * 255 + 0.5).clip(0, 255).astype(np.uint8))
    opened = open_picture(with_codes(stored, kind, BT2020, curve))
    off = np.abs(np.asarray(opened).astype(int) - np.asarray(colourful))
    assert off.mean() < 4 and np.quantile(off, 0.95) < 12  # of 8 bits


@pytest.mark.parametrize("curve", [PQ, HLG])
def test_what_is_brighter_than_white_is_rolled_off(curve):
    """Up to 760 cd/m²: nothing is clipped, and what is dark stays as it is."""
    light = np.repeat(np.linspace(0, 3.74, 256)[None, :], 32, 0)
    code = pq_code(203 * light) if curve == PQ else hlg_code(0.26496 * light)
    grey = (code * 255 + 0.5).clip(0, 255).astype(np.uint8)
    stored = Image.fromarray(np.repeat(grey[..., None], 3, -1))
    opened = np.asarray(open_picture(with_codes(stored, "PNG", BT2020, curve))).astype(int)
    assert np.ptp(opened, axis=-1).max() <= 2  # grey stays grey
    row = opened[5, :, 0]
    assert (np.diff(row) >= -3).all() and row[-1] >= 248 and 205 < row[68] < 245
    assert np.abs(linear(row[:24]) - light[0, :24]).max() < 0.02


@pytest.mark.parametrize("curve", [PQ, HLG])
def test_ten_bits_of_a_high_dynamic_range_are_used(curve, tmp_path):
    """One code of 256 is four levels here: it gave skin and grey walls a cast."""
    heif = pytest.importorskip("pillow_heif")
    opening._register_heif()
    rng = np.random.default_rng(0)
    flats = rng.integers(150, 220, (4, 4, 1)) + rng.integers(-12, 13, (4, 4, 3))
    image = np.kron(flats, np.ones((32, 32, 1))).astype(np.uint8)
    light = linear(image) @ TO_BT2020.T
    code = pq_code(203 * light) if curve == PQ else hlg_code(0.26496 * light)
    data = (code * 65535 + 0.5).astype("<u2").tobytes()
    codes = {"color_primaries": BT2020, "transfer_characteristics": curve}
    file = io.BytesIO()
    stored = heif.from_bytes(mode="RGB;16", size=(128, 128), data=data)
    stored.save(file, quality=100, chroma="444", matrix_coefficients=9, full_range_flag=1, **codes)
    (tmp_path / "as_cameras_name_it.hif").write_bytes(file.getvalue())
    opened = np.asarray(open_picture(*list_pictures(tmp_path))).astype(float)
    off = opened.reshape(4, 32, 4, 32, 3).mean(axis=(1, 3)) - flats
    assert np.abs(off).max() < 3.5 and np.abs(off).mean() < 0.8


def test_gamma_of_a_png_counts_as_in_browsers(colourful):
    plain = encoded(colourful, "PNG")
    straight = struct.pack(">I", 100_000)  # levels are linear light
    opened = open_picture(with_chunk(plain, b"gAMA", straight))
    light = np.asarray(colourful) / 255
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert far(opened, (expected * 255 + 0.5).astype(np.uint8)) <= 1
    grey = with_chunk(encoded(colourful.convert("L"), "PNG"), b"gAMA", straight)
    assert np.ptp(np.asarray(open_picture(grey)), axis=-1).max() == 0
    usual = with_chunk(plain, b"gAMA", struct.pack(">I", 45_455))
    said = with_chunk(with_chunk(plain, b"gAMA", straight), b"sRGB", b"\0")
    none = with_chunk(plain, b"gAMA", struct.pack(">I", 0))
    for data in (usual, said, none):
        assert far(open_picture(data), colourful) == 0


def test_chromaticities_of_a_png_count_as_in_browsers():
    image = Image.new("RGB", (32, 32), (200, 100, 100))
    wide = struct.pack(">8I", *P3_POINTS)
    opened = open_picture(with_chunk(encoded(image, "PNG"), b"cHRM", wide))
    assert far(opened, open_picture(encoded(image, "PNG", icc_profile=P3))) <= 3
    usual = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    for points in (usual, struct.pack(">8I", *[0] * 8), struct.pack(">8I", *[30_000] * 8)):
        assert far(open_picture(with_chunk(encoded(image, "PNG"), b"cHRM", points)), image) == 0


def test_code_points_come_before_a_profile_and_that_before_gamma(colourful):
    data = encoded(colourful, "PNG", icc_profile=P3)
    assert far(open_picture(with_chunk(data, b"cICP", bytes([1, 13, 0, 1]))), colourful) == 0
    both = with_chunk(data, b"gAMA", struct.pack(">I", 100_000))
    assert far(open_picture(both), open_picture(data)) == 0


def test_the_narrow_range_of_a_png_is_widened():
    image = Image.new("RGB", (32, 32), (235, 16, 126))
    opened = open_picture(with_chunk(encoded(image, "PNG"), b"cICP", bytes([1, 13, 0, 0])))
    assert far(np.asarray(opened)[0, 0], [255, 0, 128]) <= 1


# -------------------------------------------------------------------------------------- HEIC, AVIF


def test_heic_without_the_plug_in(tmp_path, monkeypatch):
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 99)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(Image, "OPEN", {k: v for k, v in Image.OPEN.items() if k != "HEIF"})
    opening._register_heif.cache_clear()
    assert "pip install pillow-heif" in complaint(path)
    opening._register_heif.cache_clear()


# ---------------------------------------------------------------------------------------- warnings


def test_threads_leave_the_warning_filters_as_they_were(colourful):
    data = encoded(colourful, "JPEG")
    before = list(warnings.filters)
    threads = [
        threading.Thread(target=lambda: [open_picture(data) for _ in range(20)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before


# ----------------------------------------------------------------------------------------- prepare


def test_the_centre_is_cut_out_and_resized_once(colourful):
    prepared = prepare(colourful, 24, align="center")
    expected = colourful.crop((8, 0, 56, 48)).resize((24, 24), RESAMPLE)
    assert (prepared.pixels == np.asarray(expected)).all()
    assert not prepared.aligned and prepared.faces == 0 and prepared.notes == ()
    assert prepared.pixels.flags.writeable and prepared.pixels.flags.c_contiguous


def test_aliasing_is_filtered_out():
    stripes = np.zeros((600, 600, 3), np.uint8)
    stripes[:, ::2] = 255
    inside = prepare(stripes, 64, align="center").pixels[4:-4, 4:-4]
    assert far(inside, np.full_like(inside, 127)) <= 2


def test_a_picture_without_a_face(colourful):
    prepared = prepare(colourful, 32)
    assert not prepared.aligned and prepared.faces == 0
    assert len(prepared.notes) == 1 and "middle of the picture" in prepared.notes[0]
    assert (prepared.pixels == prepare(colourful, 32, align="center").pixels).all()
    with pytest.raises(UserError):
        prepare(colourful, 32, align="face")
    with pytest.raises(UserError):
        prepare_all(colourful, 32)


def test_a_small_picture_gets_a_note(colourful):
    assert "48 pixels" in prepare(colourful, 256, align="center").notes[0]


@pytest.mark.parametrize("wrong", [{"size": 0}, {"size": 64, "align": "middle"}])
def test_wrong_arguments(wrong, colourful):
    with pytest.raises(ValueError):
        prepare(colourful, **wrong)


# ----------------------------------------------------------------------------------------- folders


def test_pictures_of_a_folder(tmp_path):
    for name in ("b.JPG", "a.png", "deep/er/c.WebP", "deep/.hidden.png", ".git/d.png", "notes.txt",
                 "e.heic", "._a.png"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "folder.png").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in list_pictures(tmp_path)]
    assert found == ["a.png", "b.JPG", "deep/er/c.WebP", "e.heic"]
    assert list_pictures(str(tmp_path)) == list_pictures(tmp_path)


def test_links_are_followed_once(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "a.png").touch()
    try:
        (inside / "link").symlink_to(outside)
        (outside / "back").symlink_to(inside)
        (inside / "gone.png").symlink_to(inside / "nothing")
    except OSError:
        pytest.skip("no links here")
    assert list_pictures(inside) == [inside / "link" / "a.png"]


def test_folders_that_cannot_be_used(tmp_path):
    (tmp_path / "notes.txt").touch()
    for folder in (tmp_path, tmp_path / "missing", tmp_path / "notes.txt"):
        with pytest.raises(UserError) as caught:
            list_pictures(folder)
        assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([f"{i}.jpg_large" for i in range(10)], r"10 files have other endings \(\.jpg_large\)"),
        (
            ["a.jpgg", "b.jpgg", "c.txt", "d", "e.x", "sub/f.x"],
            r"6 .* \(\.jpgg, \.x, \.txt, \.\.\.\)",
        ),
        (["a"], r"one file has another ending \(none\)"),
        ([], r"There is no picture in \S+\.$"),
        ([".hidden.png"], r"There is no picture in \S+\.$"),
    ],
)
def test_what_a_folder_without_pictures_holds_is_counted(tmp_path, names, says):
    (tmp_path / "sub").mkdir()
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=says) as caught:
        list_pictures(tmp_path)
    assert str(caught.value).endswith(".")
