"""Every kind of picture people have is opened right, or refused in one sentence."""

from __future__ import annotations

import errno
import io
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from benchmarks.faults.hostile import encoded, png_header, with_chunk
from glow_app.common.errors import UserError
from glow_app.faces import colour, opening
from glow_app.faces.face import prepare, prepare_all
from glow_app.faces.opening import RESAMPLE, list_pictures, open_picture

EXACT = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}  # nearly


@pytest.fixture(scope="module")
def colourful() -> Image.Image:
    """64 x 48, smooth, and different in every corner."""
    y, x = np.mgrid[0:48, 0:64]
    return Image.fromarray(np.stack([x * 4, y * 5, 255 - x * 2 - y * 2], -1).astype(np.uint8))


def far(a, b) -> int:
    """The largest difference of two pictures, in levels."""
    return int(np.abs(np.asarray(a).astype(int) - np.asarray(b)).max())


def halves(mode: str, left, right) -> Image.Image:
    """32 x 32, of two colours."""
    image = Image.new(mode, (32, 32), right)
    image.paste(left, (0, 0, 16, 32))
    return image


def opened_halves(source) -> list[list[int]]:
    """The two colours, once opened."""
    return np.asarray(open_picture(source))[5, [5, 20]].tolist()


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[274] = orientation
    return made


def complaint(source) -> str:
    """The one sentence with which a picture is refused."""
    with pytest.raises(UserError) as caught:
        open_picture(source)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and sentence.count(". ") == 0
    return sentence


def needs(kind: str) -> None:
    """Skip where this installation cannot read a format."""
    if kind == "HEIF":
        pytest.importorskip("pillow_heif")
        opening._register_heif()
    if kind == "AVIF" and "AVIF" not in opening._formats():
        pytest.skip("this Pillow cannot read AVIF")


# --------------------------------------------------------------------------------- kinds of source


def test_every_kind_of_source_gives_the_same_picture(tmp_path, colourful):
    path = tmp_path / "a.png"
    colourful.save(path)
    with path.open("rb") as file:
        sources = [path, str(path), path.read_bytes(), file, colourful, np.asarray(colourful)]
        for source in sources:
            opened = open_picture(source)
            assert opened.mode == "RGB" and far(opened, colourful) == 0
    with path.open(encoding="latin-1") as text:
        assert "damaged" in complaint(text)
    for wrong in (42, None):
        with pytest.raises(TypeError):
            open_picture(wrong)
    for shape in ((32, 32), (32, 32, 4), (3, 32, 32), (1, 32, 32, 3)):
        assert "(height, width, 3)" in complaint(np.zeros(shape, np.uint8))
    assert "float32" in complaint(np.zeros((32, 32, 3), np.float32))
    # The caller's picture is neither changed nor shared.
    own = Image.open(io.BytesIO(encoded(colourful, "PNG", exif=exif(6))))
    open_picture(own).paste((0, 0, 0), (0, 0, 48, 64))
    assert own.size == colourful.size and own.getexif()[274] == 6
    assert far(own, colourful) == 0
    array = np.asarray(colourful).copy()
    opened = open_picture(array)
    array[:] = 0
    assert far(opened, colourful) == 0


# ------------------------------------------------------------------------------------- bad sources


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("empty.png", b"", "empty"),
        ("two\nlines.jpg", b"", "two?lines.jpg is empty."),
        ("text.png", b"Dear diary, today I renamed a file.", "not a picture"),
        ("drawing.svg", b'<?xml version="1.0"?>\n<svg width="9"/>', "SVG"),
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
    assert says in sentence and sentence.startswith(name.replace("\n", "?"))


def test_damage_is_one_sentence_or_a_picture(colourful):
    """Cut off at any place, or with changed bytes."""
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "PPM", "AVIF"):
        whole = encoded(colourful, kind)
        for part in (0.3, 0.8):
            if kind not in ("JPEG2000", "PPM", "AVIF"):
                assert "damaged" in complaint(whole[: int(len(whole) * part)])
        for _ in range(25):
            data = np.frombuffer(whole, np.uint8).copy()
            data[rng.integers(0, len(data), 6)] = rng.integers(0, 256, 6)
            try:
                assert open_picture(data.tobytes()).mode == "RGB"
            except UserError as error:
                assert str(error).endswith(".")


def test_what_is_no_readable_file(tmp_path, colourful, monkeypatch):
    assert complaint(tmp_path / "no.jpg") == "There is no file no.jpg."
    assert "folder" in complaint(tmp_path)
    assert "cannot be read" in complaint("x" * 5000)
    assert complaint("nul\0.jpg").endswith(".")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "not a file" in complaint(tmp_path / "pipe.jpg")
    for size, says in (((15, 400), "small"), ((20, 400), "narrow")):
        for oriented in (size, size[::-1]):
            assert says in complaint(Image.new("RGB", oriented))

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    path = tmp_path / "large.png"
    colourful.save(path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        assert "permission denied" in complaint(path)
    monkeypatch.setattr(opening, "MAX_BYTES", 100)
    with path.open("rb") as file:
        for source in (path, path.read_bytes(), file):
            assert "too large" in complaint(source)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("was opened"))
    assert "too large" in complaint(path)


def test_photos_of_108_megapixels_are_reduced_and_larger_ones_refused():
    """To a half of each side, by the decoder of the JPEG; bombs are seen in the header."""
    pillows = Image.MAX_IMAGE_PIXELS
    for side in (7100, 10_000, 20_000, 60_000):  # around Pillow's own limit
        assert "megapixels" in complaint(png_header(side, side))
    assert pillows == Image.MAX_IMAGE_PIXELS  # which is left alone
    y = np.linspace(0, 255, 9024).astype(np.uint8)
    large = Image.fromarray(np.broadcast_to(y[:, None], (9024, 12032)))
    opened = opening.open_source(encoded(large, "JPEG", exif=exif(6)))
    assert opened.image.size == (4512, 6016) and opened.reduced == 2 and opened.jpeg is None
    assert far(np.asarray(opened.image)[100, ::-1, 0], y.reshape(-1, 2).mean(axis=1)) <= 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "HEIF", "AVIF", "JPEG", "array", "image"])
def test_what_is_larger_than_worked_with_is_reduced(kind, colourful, monkeypatch):
    """48 megapixels of any kind that a telephone makes; here with a smaller limit."""
    needs(kind)
    image = colourful.resize((256, 192), Image.Resampling.BICUBIC)
    source = {"array": np.asarray(image), "image": image}.get(kind)
    source = encoded(image, kind) if source is None else source
    monkeypatch.setattr(opening, "MAX_PIXELS", 128 * 96)
    opened = opening.open_source(source)
    assert opened.image.size == (128, 96) and opened.reduced == 2
    assert far(opened.image, image.reduce(2)) < 40
    (*_, note) = prepare(source, 32, "center").notes
    assert note == "The photo is very large, so it is used with 128 x 96 pixels."
    monkeypatch.setattr(opening, "_LARGE", {})
    assert "megapixels" in complaint(source)


# ------------------------------------------------------------------------- orientation, animations


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "GIF"])
def test_exif_orientation_and_the_first_frame_of_several(kind, colourful):
    if kind != "JPEG":
        first, *rest = (Image.new("RGB", colourful.size, c) for c in ("green", "red", "blue"))
        data = encoded(first, kind, save_all=True, append_images=rest, **EXACT.get(kind, {}))
        assert Image.open(io.BytesIO(data)).n_frames == 3
        assert far(open_picture(data), first) == 0
    if kind == "GIF":
        return
    T = Image.Transpose
    undo = (
        T.FLIP_LEFT_RIGHT, T.ROTATE_180, T.FLIP_TOP_BOTTOM, T.TRANSPOSE, T.ROTATE_90, T.TRANSVERSE,
        T.ROTATE_270,
    )  # fmt: skip
    for orientation in range(1, 9):
        stored = colourful.transpose(undo[orientation - 2]) if orientation > 1 else colourful
        data = encoded(stored, kind, exif=exif(orientation), **EXACT.get(kind, {}))
        opened = open_picture(data)
        assert opened.size == colourful.size and far(opened, colourful) <= 4
        assert not opened.info and far(open_picture(opened), opened) == 0  # not turned again
    for broken in (b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"\0"):
        assert far(open_picture(encoded(colourful, "PNG", exif=broken)), colourful) == 0


# ------------------------------------------------------------------------------------ transparency

CUTOUT = halves("RGBA", (200, 0, 0, 255), (0, 255, 0, 0))
PALETTE = halves("P", 1, 0)
PALETTE.putpalette([0, 0, 0, 9, 9, 9])
GREY16 = encoded(Image.fromarray(np.repeat(np.uint16([[5, 30000]]), 16, 1).repeat(32, 0)), "PNG")


@pytest.mark.parametrize(
    ("source", "left", "right"),
    [
        (CUTOUT, [200, 0, 0], 255),
        (CUTOUT.convert("RGBa"), [200, 0, 0], 255),
        (encoded(CUTOUT, "PNG"), [200, 0, 0], 255),
        (encoded(CUTOUT, "GIF"), [200, 0, 0], 255),
        (encoded(CUTOUT, "WEBP", lossless=True), [200, 0, 0], 255),
        (halves("RGBA", (0, 0, 0, 128), (0, 0, 0, 255)), 127, 0),
        (encoded(halves("LA", (50, 255), (90, 0)), "PNG"), 50, 255),
        # A colour that stands for transparent.
        (encoded(halves("L", 7, 0), "PNG", transparency=7), 255, 0),
        (encoded(halves("RGB", (1, 2, 3), 0), "PNG", transparency=(1, 2, 3)), 255, 0),
        (encoded(PALETTE, "PNG", transparency=1), 255, 0),
        (encoded(PALETTE, "PNG", transparency=b"\xff\x80"), 131, 0),
        (with_chunk(GREY16, b"tRNS", struct.pack(">H", 5)), 255, 117),
    ],
)  # fmt: skip
def test_transparent_parts_become_white(source, left, right):
    assert far(opened_halves(source), [np.broadcast_to(c, 3) for c in (left, right)]) <= 1


# -------------------------------------------------------------------------------------- grey depth


@pytest.mark.parametrize(
    ("dtype", "low", "high", "black", "white"),
    [
        (np.uint16, 0, 65535, 0, 65535), (np.uint16, 0, 255, 0, 255),
        (np.int32, 0, 255, 0, 255), (np.int32, 0, 65535, 0, 65535), (np.int32, 0, 10**6, 0, 10**6),
        (np.float32, 0, 1, 0, 1), (np.float32, 0, 255, 0, 255), (np.float32, -0.01, 1.01, 0, 1),
        (np.float32, 0, 65535, 0, 65535), (np.float32, -1, 1, -1, 1), (np.float32, 0, 0.5, 0, 1),
        (np.float32, -300, 70000, -300, 70000),
    ],
)  # fmt: skip
def test_greys_of_more_than_8_bits_are_scaled(dtype, low, high, black, white):
    ramp = np.linspace(low, high, 32 * 32).astype(dtype).reshape(32, 32)
    expected = np.clip((ramp - float(black)) / (white - black) * 255, 0, 255)
    exact = dtype == np.uint16
    for kind in ("TIFF", "PNG") if exact else ("TIFF",):
        pixels = np.asarray(open_picture(encoded(Image.fromarray(ramp), kind)))
        off = far(pixels[..., 0], expected.round() if exact else expected)
        assert off <= (0 if exact else 1) and np.ptp(pixels, axis=-1).max() == 0


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.int32])
def test_greys_are_scaled_by_the_plain_formula(dtype):
    values = np.random.default_rng(0).uniform(0, 3e4, (600, 40)).astype(dtype)
    if dtype == np.float32:
        values[50, :3] = np.nan, np.inf, -np.inf
        assert "no numbers" in complaint(Image.fromarray(np.full_like(values, np.nan)))
    numbers = np.nan_to_num(values.astype(np.float32), nan=0, posinf=65535, neginf=0)
    expected = (np.clip(numbers * (255 / 65535.0), 0, 255) + 0.5).astype(np.uint8)
    made = colour.eight_bits(Image.fromarray(values), "x")
    assert made.mode == "L" and np.array_equal(np.asarray(made), expected)


def test_other_depths_and_modes(colourful):
    white = Image.fromarray(np.full((32, 32), 4095, np.uint16))
    white.tag_v2 = TiffImagePlugin.ImageFileDirectory_v2()
    white.tag_v2[258] = (12,)  # bits
    assert colour.eight_bits(white, "it").getextrema() == (255, 255)
    assert open_picture(Image.new("F", (32, 32), 1e20)).mode == "RGB"
    for kind in ("PNG", "TIFF", "BMP", "PPM"):
        assert opened_halves(encoded(halves("1", 1, 0), kind)) == [[255] * 3, [0] * 3]
    for mode in ("L", "P", "CMYK", "YCbCr", "HSV", "RGBX"):
        image = colourful.convert(mode)
        assert far(open_picture(image), image.convert("RGB")) == 0
    # Pure red is L* = 53, a* = 80, b* = 67, and L* is stored in 255 steps for 100.
    lab = Image.frombytes("LAB", (32, 32), bytes([136, 80, 67]) * 1024)
    assert far(opened_halves(encoded(lab, "TIFF")), [[255, 0, 0]] * 2) <= 12
    cyan = Image.new("CMYK", (32, 32), (255, 0, 0, 0))
    for data in (encoded(cyan, "JPEG", quality=100), encoded(cyan, "TIFF")):
        assert far(opened_halves(data), [[0, 255, 255]] * 2) <= 3  # and no negative


# ------------------------------------------------------------------------- colour modes, profiles


SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile(**primaries: tuple[float, float, float]) -> bytes:
    """That of sRGB with other primaries, in XYZ (D50)."""
    data = bytearray(SRGB_PROFILE)
    for name, xyz in primaries.items():
        (place,) = struct.unpack_from(">I", data, data.index(f"{name}XYZ".encode()) + 4)
        struct.pack_into(">3i", data, place + 8, *(round(v * 65536) for v in xyz))
    return bytes(data)


P3 = profile(r=(0.5151, 0.2412, -0.0011), g=(0.2920, 0.6922, 0.0419), b=(0.1571, 0.0666, 0.7841))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_display_p3_is_converted(kind):
    image = Image.new("RGB", (32, 32), (200, 100, 100))
    opened = open_picture(encoded(image, kind, icc_profile=P3, **EXACT.get(kind, {})))
    red, green, _ = (int(v) for v in np.asarray(opened)[0, 0])
    assert red > 210 and green < 98  # the same red needs more of sRGB's
    assert "icc_profile" not in opened.info
    assert far(open_picture(opened), opened) == 0
    clear = halves("RGBA", (200, 100, 100, 255), 0)
    left, right = opened_halves(encoded(clear, "PNG", icc_profile=P3))
    assert left[0] > 210 and right == [255] * 3


def test_useless_profiles_and_those_of_srgb_change_nothing(colourful):
    for data in (b"garbage", P3[:200], P3[:128] + b"\0" * 300, SRGB_PROFILE):
        for picture in (colourful, colourful.convert("L")):
            opened = open_picture(encoded(picture, "PNG", icc_profile=data))
            assert far(opened, picture.convert("RGB")) == 0
    cmyk = colourful.convert("CMYK")  # with the profile of another kind of picture
    assert open_picture(encoded(cmyk, "TIFF", icc_profile=P3)).mode == "RGB"


# ----------------------------------------------------------------------- colours without a profile

P3_D65, BT2020, SRGB, PQ, HLG = 12, 9, 13, 16, 18  # code points of H.273
P3_POINTS = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)  # of a cHRM chunk
SRGB_POINTS = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def with_codes(image: Image.Image, kind: str, primaries: int, curve: int) -> bytes:
    """A file whose levels mean what these code points say; it has no profile."""
    needs(kind)
    if kind == "PNG":
        return with_chunk(encoded(image, "PNG"), b"cICP", bytes([primaries, curve, 0, 1]))
    if kind == "HEIF":
        options = {"color_primaries": primaries, "transfer_characteristics": curve}
        return encoded(image, "HEIF", quality=100, subsampling="4:4:4", **options)
    data = encoded(image, "AVIF", quality=100, subsampling="4:4:4")
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">HH", primaries, curve) + data[at + 4 :]


def test_code_points_are_those_of_the_picture_that_is_shown():
    """An AVIF file may begin with the properties of another one, such as a gain map."""

    def box(kind: bytes, *content: bytes) -> bytes:
        inside = b"".join(content)
        return struct.pack(">I4s", 8 + len(inside), kind) + inside

    def colours(*codes: int) -> bytes:
        return box(b"colr", b"nclx", struct.pack(">HHHB", *codes, 9, 128))

    properties = box(b"ipco", colours(BT2020, PQ), colours(P3_D65, SRGB))
    of_items = struct.pack(">I HBB HBB", 2, 1, 1, 1, 2, 1, 2)  # item 1 has the first, 2 the second
    has = box(b"iprp", properties, box(b"ipma", bytes(4), of_items))
    for item, codes in ((1, (BT2020, PQ)), (2, (P3_D65, SRGB))):
        primary = box(b"pitm", bytes(4), struct.pack(">H", item))
        file = box(b"ftyp", b"avif") + box(b"meta", bytes(4), primary, has)
        assert colour.code_points(file) == (*codes, True)


def code_of(curve: int, light: np.ndarray) -> np.ndarray:
    """Codes from 0 to 1 of light in reference whites: SMPTE ST 2084 or ARIB STD-B67, by their own
    letters."""
    if curve == PQ:
        y = (203 * light / 10_000) ** (2610 / 16384)
        return ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)
    scene, a = 0.26496 * light, 0.17883277
    low, high = np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - (1 - 4 * a), 1e-9))
    return np.where(scene <= 1 / 12, low, high + 0.5 - a * np.log(4 * a))


def in_8_bits(codes: np.ndarray) -> Image.Image:
    return Image.fromarray((codes * 255 + 0.5).clip(0, 255).astype(np.uint8))


def linear(image) -> np.ndarray:
    """Of sRGB levels, 0 to 1."""
    codes = np.asarray(image) / 255
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


TO_BT2020 = np.array(  # of linear light, ITU-R BT.2087
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)


@pytest.mark.parametrize("kind", ["PNG", "HEIF", "AVIF"])
def test_code_points_are_converted(kind, colourful):
    """Wide gamuts as by a profile; of a high dynamic range, what is not brighter than reference
    white as in the picture it was made of."""
    image = Image.new("RGB", (32, 32), (200, 100, 100))
    opened = open_picture(with_codes(image, kind, P3_D65, SRGB))
    by_profile = open_picture(encoded(image, "PNG", icc_profile=P3))
    assert far(opened, by_profile) <= 3 and far(opened, image) >= 10
    assert far(open_picture(with_codes(image, kind, 1, SRGB)), image) <= 2
    for curve in (PQ, HLG):
        stored = in_8_bits(code_of(curve, linear(colourful) @ TO_BT2020.T))
        opened = open_picture(with_codes(stored, kind, BT2020, curve))
        off = np.abs(np.asarray(opened).astype(int) - np.asarray(colourful))
        assert off.mean() < 4 and np.quantile(off, 0.95) < 12  # of 8 bits


@pytest.mark.parametrize("curve", [PQ, HLG])
def test_a_high_dynamic_range_is_rolled_off_and_its_ten_bits_are_used(curve, tmp_path):
    """Up to 760 cd/m² nothing is clipped, and what is dark stays as it is. One code of 256 is
    four levels here: it gave skin and grey walls a cast."""
    light = np.repeat(np.linspace(0, 3.74, 256)[None, :], 32, 0)
    stored = in_8_bits(np.repeat(code_of(curve, light)[..., None], 3, -1))
    opened = np.asarray(open_picture(with_codes(stored, "PNG", BT2020, curve))).astype(int)
    assert np.ptp(opened, axis=-1).max() <= 2  # grey stays grey
    row = opened[5, :, 0]
    assert (np.diff(row) >= -3).all() and row[-1] >= 248 and 205 < row[68] < 245
    assert np.abs(linear(row[:24]) - light[0, :24]).max() < 0.02

    needs("HEIF")
    heif = pytest.importorskip("pillow_heif")
    rng = np.random.default_rng(0)
    flats = rng.integers(150, 220, (4, 4, 1)) + rng.integers(-12, 13, (4, 4, 3))
    image = np.kron(flats, np.ones((32, 32, 1))).astype(np.uint8)
    code = code_of(curve, linear(image) @ TO_BT2020.T)
    data = (code * 65535 + 0.5).astype("<u2").tobytes()
    codes = {"color_primaries": BT2020, "transfer_characteristics": curve}
    file = io.BytesIO()
    stored = heif.from_bytes(mode="RGB;16", size=(128, 128), data=data)
    stored.save(file, quality=100, chroma="444", matrix_coefficients=9, full_range_flag=1, **codes)
    (tmp_path / "as_cameras_name_it.hif").write_bytes(file.getvalue())
    opened = np.asarray(open_picture(*list_pictures(tmp_path))).astype(float)
    off = opened.reshape(4, 32, 4, 32, 3).mean(axis=(1, 3)) - flats
    assert np.abs(off).max() < 3.5 and np.abs(off).mean() < 0.8


def test_gamma_and_chromaticities_of_a_png_count_as_in_browsers(colourful):
    plain, straight = encoded(colourful, "PNG"), struct.pack(">I", 100_000)  # linear light
    light = np.asarray(colourful) / 255
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert far(open_picture(with_chunk(plain, b"gAMA", straight)), in_8_bits(expected)) <= 1
    grey = with_chunk(encoded(colourful.convert("L"), "PNG"), b"gAMA", straight)
    assert np.ptp(np.asarray(open_picture(grey)), axis=-1).max() == 0
    image = Image.new("RGB", (32, 32), (200, 100, 100))
    wide = with_chunk(encoded(image, "PNG"), b"cHRM", struct.pack(">8I", *P3_POINTS))
    assert far(open_picture(wide), open_picture(encoded(image, "PNG", icc_profile=P3))) <= 3
    # Code points come before a profile, and that before gamma.
    profiled = encoded(colourful, "PNG", icc_profile=P3)
    both = with_chunk(profiled, b"gAMA", straight)
    assert far(open_picture(both), open_picture(profiled)) == 0
    for data in (
        with_chunk(profiled, b"cICP", bytes([1, 13, 0, 1])),
        with_chunk(with_chunk(plain, b"gAMA", straight), b"sRGB", b"\0"),
        *(with_chunk(plain, b"gAMA", struct.pack(">I", gamma)) for gamma in (45_455, 0)),
        *(with_chunk(plain, b"cHRM", struct.pack(">8I", *points))
          for points in (SRGB_POINTS, [0] * 8, [30_000] * 8)),
    ):  # fmt: skip
        assert far(open_picture(data), colourful) == 0
    image = Image.new("RGB", (32, 32), (235, 16, 126))  # a narrow range is widened
    opened = open_picture(with_chunk(encoded(image, "PNG"), b"cICP", bytes([1, 13, 0, 0])))
    assert far(np.asarray(opened)[0, 0], [255, 0, 128]) <= 1


def test_heic_without_the_plug_in(tmp_path, monkeypatch):
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 99)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(Image, "OPEN", {k: v for k, v in Image.OPEN.items() if k != "HEIF"})
    opening._register_heif.cache_clear()
    assert "pip install pillow-heif" in complaint(path)
    opening._register_heif.cache_clear()


# ----------------------------------------------------------------------------------------- prepare


def test_the_centre_is_cut_out_and_resized_once(colourful, monkeypatch):
    prepared = prepare(colourful, 24, align="center")
    expected = colourful.crop((8, 0, 56, 48)).resize((24, 24), RESAMPLE)
    assert (prepared.pixels == np.asarray(expected)).all()
    assert not prepared.aligned and prepared.faces == 0 and prepared.notes == ()
    assert prepared.pixels.flags.writeable and prepared.pixels.flags.c_contiguous
    assert "48 pixels" in prepare(colourful, 256, align="center").notes[0]
    stripes = np.zeros((600, 600, 3), np.uint8)  # aliasing is filtered out
    stripes[:, ::2] = 255
    inside = prepare(stripes, 64, align="center").pixels[4:-4, 4:-4]
    assert far(inside, np.full_like(inside, 127)) <= 2
    # That of a huge picture is reduced first, and hardly differs.
    image = colourful.resize((900, 1100), Image.Resampling.BICUBIC)
    plain = prepare(image, 64, "center", full=200)
    monkeypatch.setattr("glow_app.faces.face._HUGE", 800)
    fast = prepare(image, 64, "center", full=200)
    assert far(fast.full, plain.full) <= 3 and far(fast.crop, plain.crop) <= 3
    assert not np.array_equal(fast.crop, plain.crop)


def test_a_picture_without_a_face(colourful):
    prepared = prepare(colourful, 32)
    assert not prepared.aligned and prepared.faces == 0
    assert len(prepared.notes) == 1 and "middle of the picture" in prepared.notes[0]
    assert (prepared.pixels == prepare(colourful, 32, align="center").pixels).all()
    with pytest.raises(UserError):
        prepare(colourful, 32, align="face")
    with pytest.raises(UserError):
        prepare_all(colourful, 32)
    for wrong in ({"size": 0}, {"size": 64, "align": "middle"}):
        with pytest.raises(ValueError):
            prepare(colourful, **wrong)


# ----------------------------------------------------------------------------------------- folders


def test_pictures_of_a_folder(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    outside.mkdir()
    for name in ("b.JPG", "a.png", "deep/er/c.WebP", "deep/.hidden.png", ".git/d.png", "notes.txt",
                 "e.heic", "._a.png"):  # fmt: skip
        path = inside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (inside / "folder.png").mkdir()
    (outside / "a.png").touch()
    (inside / "link").symlink_to(outside)  # links are followed once
    (outside / "back").symlink_to(inside)
    (inside / "gone.png").symlink_to(inside / "nothing")
    found = [path.relative_to(inside).as_posix() for path in list_pictures(inside)]
    assert found == ["a.png", "b.JPG", "deep/er/c.WebP", "e.heic", "link/a.png"]
    assert list_pictures(str(inside)) == list_pictures(inside)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([f"{i}.jpg_large" for i in range(10)], r"10 files have other endings \(\.jpg_large\)"),
        (["a.jpgg", "b.jpgg", "c.txt", "d", "e.x", "sub/f.x"],
         r"6 .* \(\.jpgg, \.x, \.txt, \.\.\.\)"),
        (["a"], r"one file has another ending \(none\)"),
        ([], r"There is no picture in \S+\.$"),
        ([".hidden.png"], r"There is no picture in \S+\.$"),
    ],
)  # fmt: skip
def test_what_a_folder_without_pictures_holds_is_counted(tmp_path, names, says):
    (tmp_path / "sub").mkdir()
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=says) as caught:
        list_pictures(tmp_path)
    assert str(caught.value).endswith(".")
    (tmp_path / "notes.txt").touch()
    for folder in (tmp_path / "missing", tmp_path / "notes.txt"):
        with pytest.raises(UserError, match=r"folder.*\.$"):
            list_pictures(folder)
