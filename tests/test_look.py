"""Looks: faces in the mean shape, coded as the training pictures, exact under the flow."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import models
from glow_app.common.errors import UserError
from glow_app.editing.editor import Editor
from glow_app.editing.options import MorphOptions
from glow_app.faces import finder, landmarks
from glow_app.faces.coding import Coding, code_and_reduce, resized
from glow_app.faces.face import Face
from glow_app.faces.landmarks import find_shape
from glow_app.faces.looks import CROPS, Looks, ReferenceFrame, require_crops
from glow_app.faces.opening import list_pictures

pytest_plugins = ["tests.full_size_faces"]

pytestmark = pytest.mark.skipif(not finder.available(), reason="mediapipe is not installed")

SKIN, BEHIND = (205, 150, 125), (200, 30, 30)
INNER = [33, 133, 362, 263, 468, 473, 61, 291, 4, 1, 13, 14, 105, 334]  # eyes, brows, nose, lips


def test_a_look_has_its_landmarks_at_the_mean_shape_and_comes_back(released, examples, portraits):
    mean = landmarks.mean_shape()
    assert released.model.coding == Coding()
    for face in examples:
        assert np.array_equal(face.pixels, code_and_reduce(face.crop, 64, Coding()))
        look = released.model.looks.of(face)
        assert look.shape == (64, 64, 3) and look.dtype == np.uint8
        found = find_shape(resized(look, 256))
        assert np.abs(found - mean)[INNER].max() < 0.02
        assert np.abs(face.shape - mean)[INNER].max() > 0.02  # where they were
    looks = np.stack([released.model.looks.of(face) for face in examples + portraits])
    np.testing.assert_array_equal(released.model.decode(released.model.encode(looks)), looks)
    reading = released.read(examples[0])
    assert reading.roundtrip_max_levels == 0
    assert reading == released.read(looks[0])  # it is the look that is read


def test_a_look_is_made_once_for_each_model_and_coded_like_its_training_pictures(painted):
    face = painted(SKIN, BEHIND)
    face.full[::2, :, 1] ^= 31  # detail for the coding to lose
    looks = Looks(64, Coding(), face.shape)
    expected = code_and_reduce(resized(face.full, 128), 64, Coding())
    assert np.array_equal(looks.of(face), expected) and looks.of(face) is looks.of(face)
    plain = Looks(64, None, face.shape).of(face)
    assert np.array_equal(plain, resized(face.full, 64)) and not np.array_equal(plain, expected)
    wide = Looks(96, Coding(), landmarks.mean_shape())
    assert wide.of(face).shape == (96, 96, 3)


# ----------------------------------------------------------------------------------------- facts


def test_the_mean_shape_travels_with_the_weights(tiny_checkpoint, tmp_path):
    mean = 0.5 + 0.9 * (np.asarray(landmarks.mean_shape(), np.float64) - 0.5)
    facts = {**Coding().to_facts(), **Looks.to_facts(mean)}
    path = models.save(models.load(tiny_checkpoint), tmp_path / "looks.safetensors", facts)
    editor = Editor(path, device="cpu")
    np.testing.assert_allclose(editor.model.looks.mean, mean, atol=1e-5)
    assert editor.model.looks.size == editor.image_size and editor.model.looks.coding == Coding()
    looks = Looks.from_facts({}, 64)  # weights that know no shape take the program's
    assert np.array_equal(looks.mean, np.float64(landmarks.mean_shape())) and looks.coding is None


@pytest.mark.parametrize(
    "wrong",
    [
        [], "a shape", 7, {"x": 1}, [[0.5, 0.5]] * 477, [[0.5, 0.5, 0.5]] * 478,
        [[0.5, math.nan]] * 478, [[0.5, math.inf]] * 478, [[0.5, 0.5]] * 477 + [[0.5]],
        [["left", "right"]] * 478, [[None, None]] * 478,
    ],
)  # fmt: skip
def test_facts_that_hold_no_shape_are_refused_in_one_sentence(wrong):
    with pytest.raises(UserError, match=r"^The weights hold a mean shape that is not one\.$"):
        Looks.from_facts({"mean_shape": wrong}, 64)


# ------------------------------------------------------------------------------------- the frame


def test_weights_say_their_frame():
    looks = ReferenceFrame.looks()
    assert ReferenceFrame.from_facts(looks.to_facts()).same_as(looks)
    # Weights of whole crops keep the mean shape at which the page warps for them.
    for facts in ({}, {"shape": "crop"}, Looks.to_facts(landmarks.mean_shape())):
        assert ReferenceFrame.from_facts(facts) is CROPS
    other = ReferenceFrame(looks.mean * 0.9)
    assert not other.same_as(looks) and not CROPS.same_as(looks) and CROPS.same_as(CROPS)
    assert [frame.words for frame in (CROPS, looks, other)] == [
        "whole crops", "looks in the mean shape", "looks in another mean shape",
    ]  # fmt: skip
    for wrong in ({"shape": "round"}, {"shape": 1}, {"shape": "mean", "mean_shape": [[0.5]]}):
        with pytest.raises(UserError, match=r"^The weights are of pictures in a shape that is"):
            ReferenceFrame.from_facts(wrong)


def test_folders_say_their_frame(tmp_path):
    def frame_of(folder: Path) -> ReferenceFrame:
        return ReferenceFrame.of_pictures(folder, list_pictures(folder))

    for name in ("a/1", "a/2/b", "c"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("RGB", (16, 16)).save(tmp_path / name / "x.png")
    assert frame_of(tmp_path) is CROPS
    ReferenceFrame.looks().write(tmp_path / "a")
    said = (tmp_path / "a" / "frame.json").stat().st_mtime_ns
    ReferenceFrame.looks().write(tmp_path / "a")
    assert (tmp_path / "a" / "frame.json").stat().st_mtime_ns == said
    assert frame_of(tmp_path / "a").same_as(ReferenceFrame.looks())  # said above its pictures
    with pytest.raises(UserError, match=r"mixes looks in the mean shape \(1\) with whole crops"):
        frame_of(tmp_path)
    with pytest.raises(UserError, match="holds looks in the mean shape; give the photos"):
        require_crops(tmp_path / "a", list_pictures(tmp_path / "a"))
    require_crops(tmp_path / "c", list_pictures(tmp_path / "c"))
    for wrong in ("", "[]", "{", '{"shape": "mean", "mean_shape": 3}', '{"shape": "x"}'):
        (tmp_path / "c" / "frame.json").write_text(wrong)
        with pytest.raises(UserError, match=r"frame\.json is damaged\.$"):
            frame_of(tmp_path / "c")
    CROPS.write(tmp_path / "c")
    assert frame_of(tmp_path / "c") is CROPS


# -------------------------------------------------------------------------------------- the face


def test_a_face_of_one_picture_is_all_there_is(monkeypatch):
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    face = Face.of_pixels(picture, 128, source="drawn", seed=3)
    assert face.native == 64 and face.crop.shape == (128, 128, 3) and face.full is None
    assert face.at(64) is face.pixels and face.at(200).shape == (200, 200, 3)
    assert face.fine.shape == (256, 256, 3)
    assert (face.source, face.seed, face.square, face.shape) == ("drawn", 3, None, None)
    # Without landmarks it is its own look; those that are known are not looked for.
    assert Looks(64, Coding(), landmarks.mean_shape()).of(face) is face.pixels
    monkeypatch.setattr("glow_app.faces.face.find_shape", lambda _: pytest.fail("was looked for"))
    known = landmarks.mean_shape()
    face = Face.of_pixels(picture, landmarks=known)
    assert face.shape.dtype == np.float64 and np.array_equal(face.shape, known)


def test_pictures_are_resized_as_everywhere():
    picture = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    assert resized(picture, 60) is picture
    for side, how in ((30, Image.Resampling.LANCZOS), (90, Image.Resampling.BICUBIC)):
        wanted = np.asarray(Image.fromarray(picture).resize((side, side), how))
        assert np.array_equal(resized(picture, side), wanted)


def test_codes_of_faces_are_those_of_their_looks(released, painted):
    """Where all can be warped; where one cannot, and alone, those of the crops as they are."""
    a = painted(SKIN, BEHIND, scale=0.95)
    b = painted((120, 85, 65), (30, 160, 40), scale=0.95, mouth=0.05)
    assert b.mouth - a.mouth == pytest.approx(0.05 * 0.95)
    looks = released.model.encode(np.stack([released.model.looks.of(face) for face in (a, b)]))
    crops = released.model.encode(np.stack([a.pixels, b.pixels]))
    assert not torch.allclose(looks[0], crops[0], atol=0.1)
    none = Face.of_pixels(np.full((64, 64, 3), 90, np.uint8), 128)
    torch.testing.assert_close(released.walk((a, b), MorphOptions()).coded.z, looks)
    torch.testing.assert_close(released.walk((a, b), MorphOptions(alone=True)).coded.z, crops)
    torch.testing.assert_close(released.walk((a, none), MorphOptions()).coded.z[0], crops[0])
