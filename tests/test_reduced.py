"""Means and reduced pictures, learned by one model."""

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
from glow_app.training.loop import train
from glow_app.training.objective import means_of
from glow_app.training.reduced import mixture, reduced
from models import PRESETS, dequantize


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
    rows = np.arange(12)

    def last_line(out: str, **changes) -> dict:
        config = TrainConfig(PRESETS["tiny"], means=1, batch=4, log_steps=1, **changes)
        world = World(torch.device("cpu"))
        train(config, tmp_path / out, (packed, rows[:8]), (packed, rows[8:]), world)
        lines = (tmp_path / out / "stats.jsonl").read_text().splitlines()
        return json.loads(lines[-1])

    whole = last_line("whole", steps=4, mixed=True)
    last_line("parts", steps=2, mixed=True)
    parts = last_line("parts", steps=4, mixed=True)
    names = ("val_bits_per_dim", "val_bits_reduced")
    assert [parts[n] for n in names] == [whole[n] for n in names]
    assert last_line("means", steps=4)[names[0]] != whole[names[0]]
    assert whole[names[0]] != whole[names[1]]


def test_only_means_can_be_mixed() -> None:
    with pytest.raises(ValueError, match="Only means"):
        TrainConfig(PRESETS["tiny"], mixed=True)
