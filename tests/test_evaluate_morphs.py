"""Morphs are measured by what they look like: each figure on cases whose answer is known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import perturb
from PIL import Image

import models
from glow_app.benchmarks.morphs import descriptors
from glow_app.benchmarks.morphs.faces_found import one_face_in_place
from glow_app.benchmarks.morphs.frechet import frechet_distance
from glow_app.benchmarks.morphs.material import Faces, Pairs, all_pairs, draw_pairs, halves
from glow_app.benchmarks.morphs.sliced_wasserstein import PatchReference, laplacian_bands
from glow_app.benchmarks.morphs.strips import strips
from glow_app.benchmarks.morphs.table import morph_table
from glow_app.benchmarks.morphs.transition import evenness, ghosting
from glow_app.benchmarks.morphs.ways import CrossFade, Encoded, LandmarkMorph, LatentMorph
from glow_app.editing.codec import Codec
from glow_app.faces.appearance import brightness, contrast, saturated, sharpness
from models import PRESETS, Glow

SMALLEST = 32  # pixels, which the command measures


@pytest.fixture
def evaluate_morphs(here) -> Callable[..., int]:
    """`evaluate_morphs(*arguments)` runs the script in this process and returns its status."""
    return partial(here, "evaluate_morphs")


def noise(count: int, seed: int, side: int = 64, spread: float = 40.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = 128 + spread * rng.standard_normal((count, side, side, 3))
    return values.clip(0, 255).astype(np.uint8)


def faded(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return ((a.astype(np.float64) + b) / 2 + 0.5).astype(np.uint8)


# ------------------------------------------------------------------------------------- the figures


def test_bands_have_no_brightness_and_separate_scales():
    flat = torch.full((1, 3, 32, 32), 77.0)
    assert all(band.abs().max() < 1e-4 for band in laplacian_bands(flat))
    x = torch.arange(64.0)
    energy = []
    for period in (2, 16):  # pixels
        wave = torch.cos(2 * math.pi * x / period).expand(1, 3, 64, 64)
        energy.append([float(band.square().mean()) for band in laplacian_bands(wave)])
    assert np.argmax(energy[0]) == 0 and np.argmax(energy[1]) == 2
    assert [band.shape[-1] for band in laplacian_bands(flat)] == [32, 16, 8]


def test_sliced_wasserstein_distance_knows_like_from_unlike():
    reference = PatchReference(noise(40, 0), patches=4096)
    floor = reference.distance(noise(40, 1)).mean()
    weaker = reference.distance(noise(40, 2, spread=20.0))
    assert floor < weaker.min() / 5
    # Half the deviation moves every sorted projection of normal noise by half: E|N(0, 1)| / 2.
    assert weaker[0] == pytest.approx(1000 * math.sqrt(2 / math.pi) / 2, rel=0.05)
    assert (reference.distance(noise(40, 1)) == reference.distance(noise(40, 1))).all()


def test_sliced_wasserstein_distance_tells_at_which_scale():
    reference = PatchReference(noise(40, 0), patches=4096)
    smooth = noise(40, 1).astype(np.float64)
    smooth = (smooth + np.roll(smooth, 1, axis=1)) / 2
    smooth = (smooth + np.roll(smooth, 1, axis=2)) / 2
    fine, _, coarse = reference.distance(smooth.astype(np.uint8))
    assert fine > 2 * coarse


def test_appearance_of_made_pictures():
    left = np.zeros((8, 8, 3), np.uint8)
    left[:, 4:] = 255
    grey = np.full((8, 8, 3), 100, np.uint8)
    both = np.stack([left, grey])
    np.testing.assert_allclose(brightness(both), [127.5, 100])
    np.testing.assert_allclose(contrast(both), [127.5, 0], atol=1e-9)
    np.testing.assert_allclose(saturated(both), [1, 0])
    # |Laplacian| is 255 in the two columns beside the edge, of the six that have neighbours.
    np.testing.assert_allclose(sharpness(both), [255 / 3, 0], atol=1e-9)


def test_ghosting_is_one_for_pictures_laid_over_each_other():
    a, b, other = noise(3, 1), noise(3, 2), noise(3, 3)
    assert ghosting(faded(a, b), a, b) == pytest.approx(1, abs=1e-3)
    assert ghosting(a, a, b) == pytest.approx(1)
    assert (ghosting(other, a, b) < 0.01).all()
    # Half of the detail is A's and half is nobody's.
    half = 128.0 + (a - 128.0) / 2 + (other - 128.0) / 2
    assert ghosting(half.astype(np.uint8), a, b) == pytest.approx(0.5, abs=0.05)
    # A negative is no ghost.
    assert (ghosting(255 - a, a, b) < 0.01).all()
    flat = np.full_like(a, 9)
    assert (ghosting(flat, a, b) == 0).all() and np.isfinite(ghosting(a, flat, flat)).all()


def test_evenness_is_zero_only_for_equal_steps():
    levels = np.array([[0, 10, 20, 30], [0, 0, 30, 30], [5, 5, 5, 5]], np.uint8)
    frames = np.broadcast_to(levels[:, :, None, None, None], (3, 4, 8, 8, 3))
    np.testing.assert_allclose(evenness(frames), [0, math.sqrt(2), 0])


def test_frechet_distance_of_known_normals():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((200_000, 2))
    far, wide = z + np.array([3, 0]), z * [1, 2]
    assert frechet_distance(z, z) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(far, z) == pytest.approx(9)
    assert frechet_distance(wide, z) == pytest.approx(1, rel=0.02)  # (σ₁ - σ₂)²
    turned = z * [2, 1] @ np.array([[0.6, -0.8], [0.8, 0.6]])
    assert frechet_distance(turned, z * [2, 1]) == pytest.approx(
        frechet_distance(z * [2, 1], turned)
    )


def test_identity_must_go_all_the_way():
    from_a = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.1, 0.3, 0.2]])
    from_b = np.array([[0.3, 0.2, 0.1], [0.3, 0.2, 0.2], [0.3, 0.2, 0.1]])
    assert descriptors.identity_goes_along(from_a, from_b).tolist() == [True, False, False]


def test_a_face_counts_only_alone_and_in_its_place(faces):
    if one_face_in_place(faces[:1]) is None:
        pytest.skip("mediapipe is not installed")
    shifted = np.roll(faces, 16, axis=2)
    twice = np.stack([np.vstack([np.hstack([f[::2, ::2]] * 2)] * 2) for f in faces])
    assert one_face_in_place(faces).mean() > 0.8
    assert not one_face_in_place(np.concatenate([noise(2, 0), shifted, twice])).any()


def test_descriptors_are_the_same_from_one_process_or_many(faces, monkeypatch):
    if not descriptors.available():
        pytest.skip(descriptors.MISSING)
    alone = descriptors.describe(faces[:4])
    assert alone.shape == (4, 128)
    monkeypatch.setattr(descriptors, "_MANY", 2)
    np.testing.assert_allclose(descriptors.describe(faces[:4]), alone, atol=1e-6)
    mirrored = descriptors.describe(faces[:4, :, ::-1])
    others = np.linalg.norm(alone - np.roll(alone, 1, axis=0), axis=1)
    assert (np.linalg.norm(alone - mirrored, axis=1) < others).all()  # the same four people


# --------------------------------------------------------------------------------- pairs and ways


def test_halves_and_pairs_are_fair_and_repeat():
    reference, others = halves(21, seed=3)
    assert len(reference) == 10 and sorted([*reference, *others]) == list(range(21))
    pairs = draw_pairs(others, 12, seed=3)
    assert pairs.shape == (12, 2) and set(pairs.ravel()) <= set(others)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    uses = np.bincount(pairs.ravel(), minlength=21)[others]
    assert uses.max() - uses.min() <= 2  # one is left out of each round of eleven
    assert (pairs == draw_pairs(others, 12, seed=3)).all()
    every = all_pairs(5, 100, seed=1)
    assert sorted(map(tuple, np.sort(every, axis=1))) == [
        (i, j) for i in range(5) for j in range(i + 1, 5)
    ]
    assert len(all_pairs(5, 3, seed=1)) == 3


@pytest.fixture(scope="module")
def pairs(faces) -> Pairs:
    large = [Image.fromarray(f).resize((128, 128), Image.Resampling.BICUBIC) for f in faces]
    crops = np.stack([np.asarray(image) for image in large])
    return Pairs(Faces(faces, crops), np.array([[0, 1], [2, 3]]))


@pytest.fixture(scope="module")
def codec(released_checkpoint) -> Codec:
    return Codec(released_checkpoint, device="cpu")


def test_every_way_through_the_model_meets_both_photos(pairs, codec):
    encoded = Encoded(codec)
    for guarded, guided in ((False, False), (True, False), (True, True)):
        way = LatentMorph("way", encoded, "shell", guarded=guarded, guided=guided, fit=True)
        way.prepare(pairs)
        frames = way(pairs, (0, 0.5, 1))
        assert frames.shape == (2, 3, 64, 64, 3)
        for k, end in ((0, pairs.ends[0]), (2, pairs.ends[1])):
            np.testing.assert_array_equal(frames[:, k], end)


def test_a_walk_is_measured_as_the_editor_makes_it(pairs, codec, released):
    way = LatentMorph("way", Encoded(codec), "shell", guarded=True, fit=True)
    way.prepare(pairs)
    a, b = (end[0] for end in pairs.ends)
    expected = released.morph_frames(a, b, [0, 0.5, 1], guide=False).frames[1]
    off = np.abs(way(pairs, (0.5,))[0, 0].astype(int) - expected)
    assert off.max() <= 1  # another batch rounds otherwise


def test_baselines_need_no_model(pairs):
    half = CrossFade()(pairs, (0, 0.5, 1))
    np.testing.assert_array_equal(half[:, 0], pairs.ends[0])
    np.testing.assert_array_equal(half[:, 2], pairs.ends[1])
    np.testing.assert_array_equal(half[:, 1], faded(*pairs.ends))
    meshless = Pairs(Faces(pairs.faces.pixels, noise(8, 0, side=128)), pairs.index)
    np.testing.assert_array_equal(LandmarkMorph()(meshless, (0.5,))[:, 0], half[:, 1])


# ------------------------------------------------------------------------------- table and command


def test_table_leaves_out_what_nobody_measured():
    rows = {
        "real faces": {"swd_levels": [20.0, 21.0, 22.0], "swd": 21.0, "found": None},
        "cross-fade": {"swd_levels": [1.0, 2.0, 3.0], "swd": 2.0, "found": None, "ms": 0.25},
    }
    head, _, real, fade = morph_table(rows, 64).splitlines()
    assert "64 px" in head and "16 px" in head and "ms" in head and "found" not in head
    assert real.split()[-2] == "-" and "0.2" in fade


def test_strips_have_a_row_for_each_way_of_each_pair():
    frames = np.zeros((2, 3, 5, 8, 8, 3), np.uint8)
    frames[1] = 200
    page = np.asarray(strips(frames, ["dark", "light"]))
    right = page[:, -1, 0]
    changes = np.flatnonzero(np.diff(right.astype(int)))
    assert len(changes) == 3 * 2 + 2 - 1  # dark | light | gap, three times without the last gap


@pytest.fixture(scope="module")
def small_checkpoint(tmp_path_factory) -> Path:
    """An untrained model of 32 px, the fewest that are measured."""
    torch.manual_seed(0)
    model = Glow(PRESETS["tiny"].replace(image_size=SMALLEST))
    model.initialize(torch.rand(256, 3, SMALLEST, SMALLEST))
    return models.save(perturb(model), tmp_path_factory.mktemp("small") / "small.safetensors")


def test_command_measures_and_repeats(
    evaluate_morphs, face_folder, small_checkpoint, tmp_path, capsys, monkeypatch
):
    few = partial(PatchReference, patches=512)  # sorting the usual number is half of the time
    monkeypatch.setattr("glow_app.benchmarks.morphs.evaluation.PatchReference", few)
    data, photos = tmp_path / "data", tmp_path / "photos"
    for folder, chosen in ((data, slice(0, 8)), (photos, slice(8, 11))):
        folder.mkdir()
        for file in sorted(face_folder.iterdir())[chosen]:
            (folder / file.name).write_bytes(file.read_bytes())
    arguments = ["--data", data, "--pairs", 2, "--device", "cpu", "--json"]
    arguments += ["--checkpoint", small_checkpoint]
    outputs = ["--out", tmp_path / "table.md", "--strips", tmp_path / "strips.png"]
    results = []
    for more in (["--photos", photos, "--shown", 1, "--no-descriptors", *outputs], []):
        assert evaluate_morphs(*arguments, *more) == 0
        results.append(json.loads(capsys.readouterr().out))
    varying = {"ms", "frechet", "identity"}  # times, and what only one of them measured
    first, again = (
        [{k: v for k, v in row.items() if k not in varying} for row in r["data"].values()]
        for r in results
    )
    assert first == again
    ways = ["real faces", "cross-fade", "landmark morph", "linear", "shell", "shell, guard"]
    guided = ["guide, shell, guard", "guide, shell, guard, contrast"]
    assert list(results[0]["data"]) == [*ways, *guided]
    assert results[0]["data"]["cross-fade"]["ghosting"] == pytest.approx(1, abs=0.01)
    assert results[0]["data"]["real faces"]["contrast"] == 1
    described = ["identity" in r["data"]["linear"] for r in results]
    assert described == [False, descriptors.available()]
    assert (tmp_path / "table.md").read_text(encoding="utf-8").count("| cross-fade") == 2
    assert Image.open(tmp_path / "strips.png").format == "PNG"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data", "missing"],
        ["--data", "empty"],
        ["--data", "one"],
        ["--data", "one", "--out", "missing/table.md"],
        ["--data", "one", "--pairs", "0"],
        ["--data", "one", "--checkpoint", "tiny"],  # too small for a pyramid
    ],
)
def test_command_refuses_in_one_line(
    evaluate_morphs, tiny_checkpoint, tmp_path, monkeypatch, capsys, arguments
):
    arguments = [tiny_checkpoint if word == "tiny" else word for word in arguments]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "one").mkdir()
    Image.fromarray(noise(1, 0)[0]).save(tmp_path / "one" / "a.png")
    assert evaluate_morphs(*arguments, "--no-descriptors", "--device", "cpu") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Traceback" not in error
