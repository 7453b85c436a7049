"""Measuring a model on held-out pictures while it trains, and saving its averaged weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import models
from glow_app.export import sheets
from glow_app.faces.coding import to_pictures
from glow_app.training.batches import means_of, reduced
from glow_app.training.config import TrainConfig
from glow_app.training.data import PackedPictures
from glow_app.training.distributed import World
from glow_app.training.log import RunLog
from glow_app.training.run_folder import RunFolder, TrainState
from models import (
    Glow,
    StateRange,
    bin_centers,
    bits_by_part,
    dequantize,
    to_levels,
    usual_range,
)

_GRID = (4, 8)  # rows and columns of the sample grid
_STRIP = 9  # frames of the morph strip
_CALIBRATED_ON = 1024  # training pictures, at most
_PASS = 64  # pictures at a time; with another number the noise would be another


@dataclass(frozen=True)
class Evaluation:
    """Measures the weight average and writes samples, a morph strip and model.safetensors.

    Every process measures its share of the pictures; the main one writes.

    Attributes:
        facts: facts about the data, to be saved with the weights.
    """

    config: TrainConfig
    folder: RunFolder
    training: PackedPictures
    held_out: PackedPictures
    world: World
    facts: dict[str, Any]

    def quick(self, state: TrainState, log: RunLog) -> dict[str, Any]:
        """Evaluate on ``config.eval_images`` held-out pictures; return entries for the log."""
        every = max(1, len(self.held_out) // self.config.eval_images)
        return self._evaluate(self.held_out.subset(slice(None, None, every)), state, log)

    def final(self, state: TrainState, log: RunLog) -> dict[str, Any]:
        """Calibrate the average and evaluate on all held-out pictures; return entries likewise."""
        if self.world.is_main:
            calibrate_on(state.ema.model, self.training, means=self.config.means)
        return self._evaluate(self.held_out, state, log)

    def _evaluate(
        self, pictures: PackedPictures, state: TrainState, log: RunLog
    ) -> dict[str, Any]:
        model = state.ema.model
        values: dict[str, Any] = {}
        if len(pictures):
            means = self.config.means
            total, parts = held_out_bits(model, pictures, self.world, means=means)
            values = {"val_bits_per_dim": total}
            if len(parts) > 1:
                values["val_bits_by_part"] = parts
            if self.config.mixed:
                of_reduced, _ = held_out_bits(model, pictures, self.world, reduce=means)
                values["val_bits_reduced"] = of_reduced
        if self.world.is_main:
            self._write_pictures(state, log)
            self._save(state, values)
        return values

    def _write_pictures(self, state: TrainState, log: RunLog) -> None:
        model = state.ema.model
        between = self.held_out if len(self.held_out) > 1 else self.training
        for name, frames, columns in (
            ("grid", sample_grid(model, _GRID[0] * _GRID[1]), _GRID[1]),
            ("morph", morph_strip(model, between, _STRIP, self.config.means), _STRIP),
        ):
            path = self.folder.samples / f"{name}_{state.step:08d}.png"
            sheets.save_grid(frames, path, columns=columns)
            log.picture(name, sheets.tiled(frames, columns), state.step)

    def _save(self, state: TrainState, measured: dict[str, Any]) -> None:
        """Write model.safetensors with all that is known about the weights."""
        coding = self.config.coding
        facts = {
            **state.ema.model.facts,
            **(coding.to_facts() if coding is not None else {}),
            **self.training.frame.to_facts(),
            **self.facts,
            "steps": state.step,
            "images_seen": state.step * self.config.batch,
            "minutes": round(state.minutes, 1),
            "val_bits_per_dim": None,
            **measured,
            "device": self.world.device.type,
            **self.folder.origin,
        }
        models.save(state.ema.model, self.folder.weights, facts)


@torch.inference_mode()
def calibrate(model: Glow, images: Iterable[torch.Tensor]) -> None:
    """Measure the usual range of states, and keep it with the weights.

    Args:
        model: in evaluation mode; its `usual_range` is set.
        images: batches (N, C, H, W) of bin centres on the model's device, a thousand or so.
    """
    ranges = [model.f_with_range(x)[2].to("cpu") for x in images]
    model.usual_range = usual_range(StateRange.cat(ranges))


def calibrate_on(
    model: Glow, pictures: PackedPictures, most: int = _CALIBRATED_ON, means: int = 0
) -> None:
    """Measure the usual range of states of ``model`` on up to ``most`` of the pictures.

    Args:
        means: halvings of the pictures by means before the model sees them.
    """
    chosen = pictures.subset(slice(None, None, -(-len(pictures) // most)))
    device, n_bits = model.device, model.config.n_bits

    def images(first: int) -> torch.Tensor:
        levels = chosen.tensor(slice(first, first + _PASS)).to(device)
        return means_of(bin_centers(levels, n_bits), means)

    calibrate(model, (images(first) for first in range(0, len(chosen), _PASS)))


@torch.no_grad()
def held_out_bits(
    model: Glow,
    pictures: PackedPictures,
    world: World,
    means: int = 0,
    reduce: int = 0,
) -> tuple[float, list[float]]:
    """Measure ``pictures`` with fixed dequantisation noise, the same on any ``world``.

    Args:
        means: halvings of the pictures by means before the model sees them.
        reduce: halvings by the filter that makes small photos.

    Returns:
        mean bits/dim of the whole, and mean bits a number of its parts as in
        `models.bits_by_part`.
    """
    sums = torch.zeros(2 + model.config.details, dtype=torch.float64)
    for start in range(world.rank * _PASS, len(pictures), world.size * _PASS):
        generator = torch.Generator().manual_seed(start)
        levels = reduced(pictures.tensor(slice(start, start + _PASS)), reduce)
        x = means_of(dequantize(levels, model.config.n_bits, generator), means)
        total, parts = bits_by_part(model, x.to(world.device))
        sums += torch.cat([total[:, None], parts], dim=1).sum(dim=0).cpu()
    mean, *by_part = (value / len(pictures) for value in world.all_sum(sums.tolist()))
    return mean, by_part


def sample_grid(model: Glow, n: int) -> np.ndarray:
    """Draw ``n`` samples at temperature 0.7, of the same seeds each time: uint8 (n, S, S, 3)."""
    generator = torch.Generator().manual_seed(0)
    return to_pictures(to_levels(model.sample(n, 0.7, generator), model.config.n_bits))


@torch.no_grad()
def morph_strip(model: Glow, pictures: PackedPictures, frames: int, means: int = 0) -> np.ndarray:
    """Morph between the first and the middle one of the pictures: uint8 (frames, S, S, 3)."""
    n_bits = model.config.n_bits
    pair = pictures.tensor([0, len(pictures) // 2]).to(model.device)
    z, _ = model.f(means_of(bin_centers(pair, n_bits), means))
    t = torch.linspace(0, 1, frames, device=z.device)[:, None]
    return to_pictures(to_levels(model.g(torch.lerp(z[:1], z[1:], t)), n_bits))
