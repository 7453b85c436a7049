"""Batches of training pictures: their order, flips and crops, means and reduced pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from glow_app.faces.coding import to_tensor
from glow_app.faces.face import prepare
from glow_app.training import PackedPictures, TrainConfig, World
from glow_app.training.data import Batches, means_of, mixture, reduced
from glow_app.training.loop import train
from models import PRESETS, dequantize

CPU = torch.device("cpu")


def numbered() -> PackedPictures:
    """23 pictures, each of one level: its number."""
    pixels = np.arange(23, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    return PackedPictures(pixels, tuple(map(str, range(23))), (), "x")


def ids(packed: PackedPictures, step: int, world: World) -> list[int]:
    """Which pictures a batch has."""
    batches = Batches(packed, 6, 7, world)
    return batches.at(step, torch.Generator().manual_seed(0))[:, 0, 0, 0].tolist()


def test_batches_visit_each_picture_once_an_epoch_and_depend_on_the_step_only() -> None:
    rows = np.arange(3, 23)
    packed = numbered().subset(rows)
    made = [ids(packed, step, World(CPU)) for step in range(13)]
    stream = [i for batch in made[:10] for i in batch]  # 60 pictures, three epochs
    assert sorted(stream) == sorted(rows.tolist() * 3)
    assert len(set(stream[:18])) == 18  # three batches into the first epoch, none came twice
    assert [ids(packed, step, World(CPU)) for step in (9, 0)] == [made[9], made[0]]
    assert set(map(tuple, made[:3])) != set(map(tuple, made[10:13]))


def test_processes_share_each_batch_without_overlap() -> None:
    for step in (0, 3, 4):
        shares = [ids(numbered(), step, World(CPU, rank, 3)) for rank in range(3)]
        assert [len(share) for share in shares] == [2, 2, 2]
        assert [i for share in shares for i in share] == ids(numbered(), step, World(CPU))


# ---------------------------------------------------------------------- crops


def places() -> PackedPictures:
    """Pictures of 24x24 whose pixels say which picture, row and column they are."""
    pixels = np.zeros((10, 24, 24, 3), np.uint8)
    pixels[..., 0] = np.arange(10)[:, None, None]
    pixels[..., 1] = np.arange(24)[:, None]
    pixels[..., 2] = np.arange(24)
    return PackedPictures(pixels, tuple(map(str, range(10))), (), "x")


@pytest.mark.parametrize("grid", [4, 8])
def test_crops_lie_on_the_grid_and_depend_on_the_step_only(grid: int) -> None:
    def crops(step: int, world: World) -> torch.Tensor:
        batches = Batches(places(), 6, 7, world, crop=8, grid=grid)
        return batches.at(step, torch.Generator().manual_seed(step))

    corners, flips = set(), 0
    for step in range(20):
        whole = crops(step, World(CPU))
        assert whole.shape == (6, 3, 8, 8)
        assert torch.equal(crops(step, World(CPU)), whole)
        shares = [crops(step, World(CPU, rank, 3)) for rank in range(3)]
        assert torch.equal(torch.cat(shares), whole)
        plain = Batches(places(), 6, 7, World(CPU))
        full = plain.at(step, torch.Generator().manual_seed(step))
        assert torch.equal(whole[:, 0, 0, 0], full[:, 0, 0, 0])  # of the same pictures
        assert torch.equal(whole[:, 2, 0, 0] > whole[:, 2, 0, 7], full[:, 2, 0, 0] > 0)  # flipped
        for crop in whole.int():
            top, left = int(crop[1, 0, 0]), int(crop[2].min())
            flipped = bool(crop[2, 0, 0] > crop[2, 0, 7])
            flips += flipped
            columns = torch.arange(left, left + 8)
            assert torch.equal(crop[2], (columns.flip(0) if flipped else columns).expand(8, 8))
            assert torch.equal(crop[1], torch.arange(top, top + 8)[:, None].expand(8, 8))
            corners.add((top, 24 - 8 - left if flipped else left))
    assert {c for corner in corners for c in corner} == set(range(0, 17, grid))
    assert len(corners) == (16 // grid + 1) ** 2
    assert 40 < flips < 80


# ---------------------------------------------------------------------- means and reduced pictures


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    large = [Image.fromarray(p).resize((32, 32), Image.Resampling.BICUBIC) for p in small]
    return np.stack([np.asarray(p) for p in large])


@pytest.mark.parametrize("halvings", [0, 1, 2])
def test_reduced_is_what_prepare_makes(pictures: np.ndarray, halvings: int) -> None:
    small = reduced(to_tensor(pictures), halvings)
    for picture, levels in zip(pictures, small, strict=True):
        expected = prepare(Image.fromarray(picture), 32 >> halvings, align="center").pixels
        np.testing.assert_array_equal(levels.permute(1, 2, 0).numpy(), expected)


def test_a_mixture_is_both_in_turn(pictures: np.ndarray) -> None:
    levels = to_tensor(pictures)
    noise = torch.rand(levels.shape, generator=torch.Generator().manual_seed(0))
    x = mixture(levels, 1, 8, noise)
    means = means_of(dequantize(levels, noise=noise), 1)
    torch.testing.assert_close(x[::2], means[::2])
    assert torch.equal((x[1::2] * 256).floor().to(torch.uint8), reduced(levels, 1)[1::2])
    spread = ((x[1::2] * 256) % 1).flatten()
    assert 0.45 < spread.mean() < 0.55 and 0.26 < spread.std() < 0.31  # uniform in each bin


def test_a_mixed_run_is_the_same_again_and_measures_both(
    pictures: np.ndarray, tmp_path: Path
) -> None:
    packed = PackedPictures(pictures, tuple(map(str, range(12))), (), "")

    def last_line(out: str, **changes) -> dict:
        config = TrainConfig(PRESETS["tiny"], means=1, batch=4, log_steps=1, **changes)
        world = World(CPU)
        train(config, tmp_path / out, packed.subset(range(8)), packed.subset(range(8, 12)), world)
        lines = (tmp_path / out / "stats.jsonl").read_text().splitlines()
        return json.loads(lines[-1])

    whole = last_line("whole", steps=4, mixed=True)
    last_line("parts", steps=2, mixed=True)
    parts = last_line("parts", steps=4, mixed=True)
    names = ("val_bits_per_dim", "val_bits_reduced")
    assert [parts[n] for n in names] == [whole[n] for n in names]
    assert last_line("means", steps=4)[names[0]] != whole[names[0]]
    assert whole[names[0]] != whole[names[1]]
