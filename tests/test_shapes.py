"""The shapes of drawn faces: what is fitted, kept, and seen on the pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from glow_app.common.errors import UserError
from glow_app.editing.editor import Editor
from glow_app.editing.sampling import COMPONENTS, ShapePrior
from glow_app.faces.landmarks import find_shape, mean_shape
from glow_app.ui.page_faces import drawn_face
from models import pretrained_path


@pytest.fixture(scope="module")
def made() -> tuple[ShapePrior, np.ndarray, np.ndarray]:
    """A prior of faces whose width follows the first coarse number, and whose height is free."""
    chance = np.random.default_rng(0)
    codes = chance.normal(size=(600, 4))
    shapes = np.repeat(mean_shape()[None].astype(float), 600, axis=0)
    shapes += 2e-4 * chance.normal(size=shapes.shape)
    shapes[..., 1] += 0.03 * chance.normal(size=(600, 1)) * (shapes[..., 1] - 0.5)
    shapes[..., 0] += 0.05 * codes[:, :1] * (shapes[..., 0] - 0.5)
    return ShapePrior.fitted(shapes, codes, ridge=1e-3, fingerprint="abc"), shapes, codes


def width(shape: np.ndarray) -> float:
    return float(np.ptp(shape[:, 0]))


def test_the_code_tells_the_shape(made):
    prior, shapes, codes = made
    still = torch.zeros(COMPONENTS)
    wide, slim = (
        prior.at(torch.tensor([9.0, 9.0, s, 0.0, 0.0, 0.0]), still) for s in (2.0, -2.0)
    )  # only the last four numbers count
    mean = np.ptp(mean_shape()[:, 0])
    assert width(wide) - width(slim) == pytest.approx(0.05 * 4 * mean, rel=0.1)
    guessed = np.stack([prior.at(torch.from_numpy(z), still) for z in codes[:50]])
    assert np.abs(guessed - shapes[:50])[..., 0].mean() < 0.001


def test_noise_has_the_size_of_what_the_code_leaves_open(made):
    prior, *_ = made
    source = torch.Generator().manual_seed(0)
    noise = torch.randn(400, COMPONENTS, generator=source)
    drawn = np.stack([prior.at(torch.zeros(4), row) for row in noise])
    heights = np.ptp(drawn[..., 1], axis=1) / np.ptp(mean_shape()[:, 1])
    widths = np.ptp(drawn[..., 0], axis=1) / np.ptp(mean_shape()[:, 0])
    assert heights.std() == pytest.approx(0.03, rel=0.15) and widths.std() < 0.005


def test_kept_and_read_again(made, tmp_path):
    prior, *_ = made
    path = prior.save(tmp_path / "shapes.safetensors")
    back, noise = ShapePrior.load(path), torch.ones(COMPONENTS)
    z = torch.tensor([0.5, -1.0, 0.2, 0.1])
    np.testing.assert_allclose(back.at(z, noise), prior.at(z, noise), atol=1e-4)
    assert back.fingerprint == "abc"


def test_other_files_are_refused(tmp_path):
    empty, text = tmp_path / "empty.safetensors", tmp_path / "text.safetensors"
    empty.write_bytes(b"")
    text.write_bytes(b"no shapes")
    for path in (empty, text, pretrained_path("faces128")):
        with pytest.raises((UserError, ValueError), match=r"no shapes|damaged"):
            ShapePrior.load(path)


def test_released_faces_have_shapes_of_their_own(default, tiny_checkpoint):
    """What was drawn is what the face finder finds on the picture."""
    assert default.sampler.shapes is not None and default.sampler.shapes.size == COMPONENTS
    assert (
        pretrained_path().parent / f"shapes/{default.name}.safetensors"
    ).stat().st_size < 500_000
    near, far, shapes = [], [], []
    for seed in range(6):
        pixels, shape = default.sampler.draw(seed, 0.7)
        np.testing.assert_array_equal(pixels, default.sampler.sample(1, 0.7, seed)[0])
        shapes.append(shape)
        if (found := find_shape(pixels)) is not None:
            near.append(np.abs(found - shape).mean())
            far.append(np.abs(found - default.model.looks.mean).mean())
    assert len(near) >= 5 and np.mean(near) < 0.02
    assert np.mean(near) < 0.75 * np.mean(far)
    assert np.ptp([width(shape) for shape in shapes]) > 0.01
    assert Editor(tiny_checkpoint, device="cpu").sampler.draw(0)[1] is None


def test_drawn_faces_know_their_landmarks(default):
    face, (pixels, shape) = drawn_face(default, 3, 0.7), default.sampler.draw(3, 0.7)
    np.testing.assert_array_equal(face.pixels, pixels)
    np.testing.assert_array_equal(face.shape, shape)
    pixels, shape = default.sampler.draw(0, 0.0)  # without temperature it is the middle
    np.testing.assert_array_equal(pixels, default.sampler.draw(1, 0.0)[0])
    assert np.abs(shape - default.sampler.shapes.mean).mean() < 0.01


def test_details_and_shapes_have_temperatures_of_their_own(default):
    sampler, noise = default.sampler, torch.ones(default.model.flow.dims + COMPONENTS)
    z, shape = sampler._tempered(noise, 0.5).split([default.model.flow.dims, COMPONENTS])
    levels = default.model.flow.split_levels(z[None])
    assert [float(level.unique()) for level in levels] == [1 / 4, 1 / 8, 1 / 8, 1 / 8, 1 / 2]
    assert float(shape.unique()) == 1 / 4
