"""Variations of training pictures: by the same reduction as uploads, and never too wild."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from glow_app.pictures.prepare import prepare
from glow_app.training.augment import Augment


def picture(size: int = 64) -> np.ndarray:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return np.asarray(small.resize((size, size), Image.Resampling.BICUBIC))


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]


def test_reduction_is_that_of_uploads() -> None:
    pixels = picture()
    augment = Augment(64, 32, torch.device("cpu"))
    expected = prepare(Image.fromarray(pixels), 32, align="center").pixels
    reduced = augment.reduced(as_tensor(pixels).float())[0].permute(1, 2, 0).numpy()
    # Pillow rounds once more, between its two passes.
    assert np.abs(reduced.astype(int) - expected.astype(int)).max() <= 1


def test_without_a_draw_nothing_moves() -> None:
    augment = Augment(64, 32, torch.device("cpu"))
    levels = as_tensor(picture())
    still = augment(levels, torch.zeros(1, 8))
    difference = still.int() - augment.reduced(levels.float()).int()
    assert difference.abs().max() <= 1


def test_variations_are_small_and_follow_the_draws() -> None:
    augment = Augment(64, 32, torch.device("cpu"))
    levels = as_tensor(picture()).expand(200, -1, -1, -1)
    generator = torch.Generator().manual_seed(1)
    draws = augment.draws(200, generator)
    assert draws.min() < -0.9 and draws.max() > 0.9
    varied = augment(levels, draws)
    assert varied.dtype == torch.uint8 and varied.shape == (200, 3, 32, 32)
    assert torch.equal(varied, augment(levels, draws))
    still = augment.reduced(levels[:1].float()).float()
    apart = (varied.float() - still).abs().mean(dim=(1, 2, 3))
    assert apart.min() > 1 and apart.max() < 40  # all differ, none is another picture
    brighter = augment(levels[:1], torch.tensor([[0.0, 0, 0, 0, 1, 0, 0, 0]]))
    assert 1.05 < float(brighter.float().mean() / still.mean()) < 1.09  # 8 %, less what clips
