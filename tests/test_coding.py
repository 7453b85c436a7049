"""Pictures reach a model coded like its training pictures, and none of them twice."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.faults.hostile import encoded
from glow_app.common.errors import UserError
from glow_app.faces import finder
from glow_app.faces.coding import Coding, code_and_reduce, coding_at, to_pictures, to_tensor
from glow_app.faces.face import prepare, prepare_all
from glow_app.faces.opening import RESAMPLE, open_picture, open_source

pytestmark = pytest.mark.skipif(not finder.available(), reason="mediapipe is not installed")

CODING = Coding()


@pytest.fixture(scope="module")
def sharp(faces) -> list[Image.Image]:
    """Faces of 256 x 256 whose colour changes from pixel to pixel of the 128 px crop."""
    pictures = []
    for seed, face in enumerate(faces):
        large = np.asarray(Image.fromarray(face).resize((256, 256), RESAMPLE)).astype(float)
        colour = np.random.default_rng(seed).normal(0, 6, (128, 128, 3))
        colour -= colour @ np.array([[0.299], [0.587], [0.114]])  # the luminance stays
        large += colour.repeat(2, 0).repeat(2, 1)
        pictures.append(Image.fromarray(large.round().clip(0, 255).astype(np.uint8)))
    return pictures


def training_file(image: Image.Image, size: int = 128, **options) -> bytes:
    """A file such as the training pictures are."""
    options = {"quality": 86, "subsampling": "4:2:0", **options}
    return encoded(image.resize((size, size), RESAMPLE), "JPEG", **options)


def detail_of_colour(pixels: np.ndarray) -> float:
    """How much the chroma of neighbouring pixels differs, in levels."""
    chroma = np.asarray(Image.fromarray(pixels).convert("YCbCr")).astype(int)[..., 1:]
    return float(np.abs(np.diff(chroma, axis=1)).mean())


# ---------------------------------------------------------------------------------- the parameters


def test_facts_there_and_back():
    coding = Coding(size=96, quality=70, subsampling="4:4:4")
    facts = {"preset": "tiny", **coding.to_facts()}
    assert Coding.from_facts(facts) == coding
    assert Coding.from_facts({"coding": {}}) == Coding(128, 86, "4:2:0")
    assert Coding.from_facts({"preset": "tiny"}) is Coding.from_facts({"coding": None}) is None
    # There is none for models of larger pictures.
    assert coding_at(CODING, 64) == coding_at(CODING, 128) == CODING
    assert coding_at(CODING, 129) is None and coding_at(None, 64) is None


@pytest.mark.parametrize(
    "wrong", [7, "JPEG", [128], {"size": 0}, {"quality": 101}, {"quality": 86.5}, {"size": True},
              {"subsampling": "4:1:1"}, {"kind": "WebP"}, {"size": 10**6}],
)  # fmt: skip
def test_facts_that_name_something_else_are_refused_in_one_sentence(wrong):
    with pytest.raises(UserError, match="not known"):
        Coding.from_facts({"coding": wrong})


# -------------------------------------------------------------------------------------- the coding


# ------------------------------------------------------------------------------------- preparation


@pytest.mark.parametrize("align", ["center", "auto"])
def test_a_sharp_picture_is_coded_then_reduced(sharp, align):
    for picture in sharp[:2]:
        plain, coded = (prepare(picture, 64, align, coding) for coding in (None, CODING))
        assert coded.crop.shape == (128, 128, 3) and coded.crop.dtype == np.uint8
        assert (coded.pixels == code_and_reduce(coded.crop, 64, CODING)).all()
        assert (plain.crop == plain.pixels).all()
        assert not (coded.pixels == plain.pixels).all()
        assert coded.notes == plain.notes and coded.aligned == plain.aligned


def test_chroma_is_reduced_and_the_picture_stays(sharp):
    for picture in sharp[:3]:
        plain, coded = (prepare(picture, 128, "center", c).pixels for c in (None, CODING))
        assert detail_of_colour(coded) < 0.5 * detail_of_colour(plain)
        assert np.abs(coded.astype(int) - plain).mean() < 8
    crop = prepare(sharp[0], 64, "center", CODING).crop  # which is not coded
    assert (crop == np.asarray(sharp[0].resize((128, 128), RESAMPLE))).all()
    # The coding is a JPEG file of these parameters.
    expected = np.asarray(Image.open(io.BytesIO(training_file(sharp[0]))))
    assert (CODING.apply(crop) == expected).all() and not (expected == crop).all()
    finer = Coding(quality=95, subsampling="4:4:4").apply(crop).astype(int)
    assert np.abs(finer - crop).mean() < np.abs(expected.astype(int) - crop).mean()


@pytest.mark.parametrize("align", ["center", "auto"])
def test_training_pictures_are_not_coded_again(sharp, align, tmp_path):
    """Whether a coding is asked for or not, they give the same bits, from every kind of source."""
    path = tmp_path / "face.jpg"
    for picture in sharp[: 1 if align == "auto" else 2]:
        data = training_file(picture)
        path.write_bytes(data)
        if align == "auto" and not prepare(data, 64).aligned:
            continue  # the finder did not see this one
        expected = prepare(data, 64, align="center").pixels
        for source in (data, path, io.BytesIO(data), Image.open(io.BytesIO(data))):
            prepared = prepare(source, 64, align, CODING)
            assert (prepared.pixels == expected).all()
            assert (prepared.crop == np.asarray(open_picture(data))).all()
    for optimize, progressive in ((True, False), (False, True), (True, True)):
        data = training_file(sharp[0], optimize=optimize, progressive=progressive)
        assert CODING.made(open_picture(data), open_source(data).jpeg)


@pytest.mark.parametrize(
    "options",
    [{"quality": 85}, {"quality": 92}, {"subsampling": "4:4:4"}, {"subsampling": "4:2:2"},
     {"size": 127}, {"size": 256}, "PNG", "BMP", "WEBP", "wide"],
)  # fmt: skip
def test_other_files_are_coded(sharp, options):
    """The square in the middle of a larger picture with the right tables is no training picture
    either."""
    picture = sharp[0].resize((128, 128), RESAMPLE)
    if options == "wide":
        wide = Image.new("RGB", (160, 128))
        wide.paste(picture, (16, 0))
        data = encoded(wide, "JPEG", quality=86, subsampling="4:2:0")
    elif isinstance(options, str):
        data = encoded(picture, options)
        assert open_source(data).jpeg is None
    else:
        data = training_file(sharp[0], **options)
    plain, coded = (prepare(data, 64, "center", coding).pixels for coding in (None, CODING))
    assert not (plain == coded).all()


def test_a_training_picture_that_must_be_aligned_is_coded(sharp):
    picture = sharp[0].resize((100, 100), RESAMPLE)
    canvas = Image.new("RGB", (128, 128), (150, 155, 160))
    canvas.paste(picture, (28, 28))
    data = training_file(canvas)
    prepared = prepare(data, 64, "face", CODING)
    assert (prepared.pixels == code_and_reduce(prepared.crop, 64, CODING)).all()
    assert (prepare_all(data, 64, CODING)[0][0].pixels == prepared.pixels).all()


def test_stills_and_frames_keep_their_bytes(faces):
    for face, align in zip(faces, ("center", "auto") * 2, strict=False):
        for source in (face, encoded(Image.fromarray(face), "PNG")):
            prepared = prepare(source, 64, align, CODING)
            assert (prepared.pixels == face).all()
            assert prepared.crop.shape == (128, 128, 3)
            back = Image.fromarray(prepared.crop).resize((64, 64), RESAMPLE)
            assert np.abs(np.asarray(back).astype(int) - face).mean() < 3
        assert (prepare(face, 64, align).pixels == face).all()


def test_sizes_beyond_the_coding_are_left_uncoded(sharp):
    for size in (129, 256):
        with_, without = (prepare(sharp[0], size, "center", c) for c in (CODING, None))
        assert (with_.pixels == without.pixels).all() and with_.crop.shape == (size, size, 3)
    at = prepare(sharp[0], 128, "center", CODING)
    assert (at.pixels == CODING.apply(at.crop)).all()
    # A picture of 90 pixels is soft for a coding of 128, and sharp enough for a model of 64.
    small = sharp[0].resize((90, 90), RESAMPLE)
    assert prepare(small, 64, "center", CODING).notes == ()
    assert "40 pixels" in prepare(sharp[0].resize((40, 40)), 64, "center", CODING).notes[0]


def test_the_released_model_knows_coded_pictures_better(sharp, released):
    bits = [
        released.model.bits_per_dim(
            np.stack([prepare(p, 64, "center", coding).pixels for p in sharp[:4]]), range(4)
        )
        for coding in (None, CODING)
    ]
    assert (bits[1] < bits[0]).all() and bits[0].mean() - bits[1].mean() > 0.3


# ---------------------------------------------------------------------------------- tensors


def test_pixels_and_planes_hold_the_same_levels_in_the_same_places():
    whole = np.random.default_rng(0).integers(0, 256, (9, 6, 6, 3), dtype=np.uint8)
    for pictures in (whole, whole[::-2, :, ::-1], whole[:0]):  # negative strides, no picture
        levels = to_tensor(pictures)
        assert levels.dtype == torch.uint8 and levels.is_contiguous()
        assert levels.shape == (len(pictures), 3, 6, 6)
        for channel in range(3):
            np.testing.assert_array_equal(levels[:, channel], pictures[..., channel])
        back = to_pictures(levels)
        np.testing.assert_array_equal(back, pictures)
        assert back.flags.c_contiguous
    before = whole.copy()  # packed pictures are mapped from disk: a batch must not write to them
    to_tensor(whole)[:] = 7
    np.testing.assert_array_equal(whole, before)
