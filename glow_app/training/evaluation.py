"""What is measured and shown of a model while it trains, and the weights it leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import models
from glow_app.editing.calibration import calibrate
from glow_app.keeping import sheets
from glow_app.pictures.tensors import to_pictures
from glow_app.training.config import TrainConfig
from glow_app.training.data import PackedPictures
from glow_app.training.distributed import World
from glow_app.training.log import QuietLog, RunLog
from glow_app.training.run_folder import RunFolder
from glow_app.training.state import TrainState
from models import Glow, bin_centers, bits_per_dim, dequantize, to_levels

__all__ = ["Evaluation", "calibrate_on", "held_out_bits_per_dim", "morph_strip", "sample_grid"]

_GRID = (4, 8)  # rows and columns of the sample grid
_STRIP = 9  # frames of the morph strip
_CALIBRATED_ON = 1024  # training pictures, at most
_PASS = 64  # of them at a time


class Evaluation:
    """Validation bits/dim of the average; writes samples, strip and model.safetensors.

    Args:
        training, held_out: pictures and the rows of them, as in `glow_app.training.train`.
        world: every process measures its share; the first one writes.
        facts: what to say of the data in the saved weights.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: RunFolder,
        training: tuple[PackedPictures, np.ndarray],
        held_out: tuple[PackedPictures, np.ndarray],
        world: World,
        facts: dict[str, Any],
    ) -> None:
        self._config, self._folder, self._world, self._facts = config, folder, world, facts
        self._training, self._held_out = training, held_out

    def on_the_way(self, state: TrainState, log: RunLog | QuietLog) -> dict[str, float]:
        """Of some of the held-out pictures; returns what the log is to keep."""
        rows = self._held_out[1]
        return self._of(rows[:: max(1, len(rows) // self._config.eval_images)], state, log)

    def at_the_end(self, state: TrainState, log: RunLog | QuietLog) -> dict[str, float]:
        """Of all held-out pictures, with weights that know where codes and states lie.

        Returns what the log is to keep.
        """
        if self._world.first:
            calibrate_on(state.ema.model, *self._training)
        return self._of(self._held_out[1], state, log)

    def _of(self, rows: np.ndarray, state: TrainState, log: RunLog | QuietLog) -> dict[str, float]:
        model, pictures = state.ema.model, self._held_out[0]
        values = {}
        if len(rows):
            bits = held_out_bits_per_dim(model, pictures, rows, self._world)
            values = {"val_bits_per_dim": bits}
        if self._world.first:
            self._show(state, log)
            models.save(model, self._folder.weights, self._facts_of(state, **values))
        return values

    def _show(self, state: TrainState, log: RunLog | QuietLog) -> None:
        model = state.ema.model
        between = self._held_out if len(self._held_out[1]) > 1 else self._training
        for name, frames, columns in (
            ("grid", sample_grid(model, _GRID[0] * _GRID[1]), _GRID[1]),
            ("morph", morph_strip(model, *between, _STRIP), _STRIP),
        ):
            path = self._folder.samples / f"{name}_{state.step:08d}.png"
            sheets.save_grid(frames, path, columns=columns)
            log.picture(name, _tiled(frames, columns), state.step)

    def _facts_of(
        self, state: TrainState, val_bits_per_dim: float | None = None
    ) -> dict[str, Any]:
        coding = self._config.coding
        return {
            **state.ema.model.facts,
            **(coding.to_facts() if coding is not None else {}),
            **self._facts,
            "steps": state.step,
            "images_seen": state.step * self._config.batch,
            "minutes": round(state.minutes, 1),
            "val_bits_per_dim": val_bits_per_dim,
            "device": self._world.device.type,
            **self._folder.origin,
        }


def calibrate_on(
    model: Glow, pictures: PackedPictures, rows: np.ndarray, most: int = _CALIBRATED_ON
) -> None:
    """Give ``model`` the usual range of states and the shell of up to ``most`` of ``rows``."""
    chosen, device = rows[:: -(-len(rows) // most)], model.top.mean.device
    parts = (chosen[first : first + _PASS] for first in range(0, len(chosen), _PASS))
    n_bits = model.config.n_bits
    calibrate(model, (bin_centers(pictures.tensor(part).to(device), n_bits) for part in parts))


@torch.no_grad()
def held_out_bits_per_dim(
    model: Glow,
    pictures: PackedPictures,
    rows: np.ndarray,
    world: World,
    batch: int = 64,
) -> float:
    """Mean bits/dim of ``rows`` with fixed dequantisation noise, the same on any ``world``."""
    bits, n_bits = torch.zeros((), dtype=torch.float64, device=world.device), model.config.n_bits
    for start in range(world.rank * batch, len(rows), world.size * batch):
        generator = torch.Generator().manual_seed(start)
        levels = pictures.tensor(rows[start : start + batch])
        x = dequantize(levels, n_bits, generator)
        bits += bits_per_dim(model(x.to(world.device)), model.dims, n_bits).double().sum()
    return world.total([float(bits)])[0] / len(rows)


def sample_grid(model: Glow, n: int, temperature: float = 0.7) -> np.ndarray:
    """The same ``n`` seeds each time: uint8 (n, S, S, 3)."""
    generator = torch.Generator().manual_seed(0)
    return to_pictures(to_levels(model.sample(n, temperature, generator), model.config.n_bits))


@torch.no_grad()
def morph_strip(
    model: Glow, pictures: PackedPictures, rows: np.ndarray, frames: int
) -> np.ndarray:
    """A morph between the first and the middle one of ``rows``: uint8 (frames, S, S, 3)."""
    n_bits = model.config.n_bits
    pair = pictures.tensor(rows[[0, len(rows) // 2]]).to(model.top.mean.device)
    z, _ = model.f(bin_centers(pair, n_bits))
    t = torch.linspace(0, 1, frames, device=z.device)[:, None]
    return to_pictures(to_levels(model.g(torch.lerp(z[:1], z[1:], t)), n_bits))


def _tiled(pictures: np.ndarray, columns: int) -> np.ndarray:
    """(N, H, W, 3) as one picture of full rows."""
    n, h, w, c = pictures.shape
    rows = n // columns
    grid = pictures[: rows * columns].reshape(rows, columns, h, w, c)
    return grid.transpose(0, 2, 1, 3, 4).reshape(rows * h, columns * w, c)
