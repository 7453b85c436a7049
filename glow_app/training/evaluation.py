"""What is measured and shown of a model while it trains, and the weights it leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import models
from glow_app.editing.calibration import calibrate
from glow_app.faces.tensors import to_pictures
from glow_app.keeping import sheets
from glow_app.training.config import TrainConfig
from glow_app.training.data import PackedPictures
from glow_app.training.distributed import World
from glow_app.training.log import QuietLog, RunLog
from glow_app.training.objective import bits_by_part, means_of
from glow_app.training.reduced import reduced
from glow_app.training.run_folder import RunFolder
from glow_app.training.state import TrainState
from models import Glow, bin_centers, dequantize, to_levels

__all__ = ["Evaluation", "calibrate_on", "held_out_bits", "morph_strip", "sample_grid"]

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
            calibrate_on(state.ema.model, *self._training, means=self._config.means)
        return self._of(self._held_out[1], state, log)

    def _of(self, rows: np.ndarray, state: TrainState, log: RunLog | QuietLog) -> dict[str, float]:
        model, pictures = state.ema.model, self._held_out[0]
        values: dict[str, Any] = {}
        if len(rows):
            means = self._config.means
            total, parts = held_out_bits(model, pictures, rows, self._world, means=means)
            values = {"val_bits_per_dim": total}
            if len(parts) > 1:
                values["val_bits_by_part"] = parts
            if self._config.mixed:
                of_reduced, _ = held_out_bits(model, pictures, rows, self._world, reduce=means)
                values["val_bits_reduced"] = of_reduced
        if self._world.first:
            self._show(state, log)
            models.save(model, self._folder.weights, self._facts_of(state, **values))
        return values

    def _show(self, state: TrainState, log: RunLog | QuietLog) -> None:
        model = state.ema.model
        between = self._held_out if len(self._held_out[1]) > 1 else self._training
        for name, frames, columns in (
            ("grid", sample_grid(model, _GRID[0] * _GRID[1]), _GRID[1]),
            ("morph", morph_strip(model, *between, _STRIP, self._config.means), _STRIP),
        ):
            path = self._folder.samples / f"{name}_{state.step:08d}.png"
            sheets.save_grid(frames, path, columns=columns)
            log.picture(name, _tiled(frames, columns), state.step)

    def _facts_of(
        self, state: TrainState, val_bits_per_dim: float | None = None, **measured: Any
    ) -> dict[str, Any]:
        coding = self._config.coding
        return {
            **state.ema.model.facts,
            **(coding.to_facts() if coding is not None else {}),
            **self._training[0].frame.to_facts(),
            **self._facts,
            "steps": state.step,
            "images_seen": state.step * self._config.batch,
            "minutes": round(state.minutes, 1),
            "val_bits_per_dim": val_bits_per_dim,
            **measured,
            "device": self._world.device.type,
            **self._folder.origin,
        }


def calibrate_on(
    model: Glow,
    pictures: PackedPictures,
    rows: np.ndarray,
    most: int = _CALIBRATED_ON,
    means: int = 0,
) -> None:
    """Give ``model`` the usual range of states and the shell of up to ``most`` of ``rows``.

    ``means``: the model is of the pictures halved so often.
    """
    chosen, device = rows[:: -(-len(rows) // most)], model.device
    parts = (chosen[first : first + _PASS] for first in range(0, len(chosen), _PASS))
    n_bits = model.config.n_bits

    def images(part: np.ndarray) -> torch.Tensor:
        return means_of(bin_centers(pictures.tensor(part).to(device), n_bits), means)

    calibrate(model, (images(part) for part in parts))


@torch.no_grad()
def held_out_bits(
    model: Glow,
    pictures: PackedPictures,
    rows: np.ndarray,
    world: World,
    batch: int = 64,
    means: int = 0,
    reduce: int = 0,
) -> tuple[float, list[float]]:
    """Mean bits/dim of ``rows`` with fixed dequantisation noise, the same on any ``world``.

    Args:
        means: the model is of the pictures halved so often.
        reduce: so often halved by the filter that makes small photos, and not by means.

    Returns:
        bits/dim of the whole, and bits a number of its parts as in
        `glow_app.training.objective.bits_by_part`.
    """
    sums = torch.zeros(2 + model.config.details, dtype=torch.float64)
    for start in range(world.rank * batch, len(rows), world.size * batch):
        generator = torch.Generator().manual_seed(start)
        levels = reduced(pictures.tensor(rows[start : start + batch]), reduce)
        x = means_of(dequantize(levels, model.config.n_bits, generator), means)
        total, parts = bits_by_part(model, x.to(world.device))
        sums += torch.cat([total[:, None], parts], dim=1).sum(dim=0).cpu()
    total, *parts = (value / len(rows) for value in world.total(sums.tolist()))
    return total, parts


def sample_grid(model: Glow, n: int, temperature: float = 0.7) -> np.ndarray:
    """The same ``n`` seeds each time: uint8 (n, S, S, 3)."""
    generator = torch.Generator().manual_seed(0)
    return to_pictures(to_levels(model.sample(n, temperature, generator), model.config.n_bits))


@torch.no_grad()
def morph_strip(
    model: Glow, pictures: PackedPictures, rows: np.ndarray, frames: int, means: int = 0
) -> np.ndarray:
    """A morph between the first and the middle one of ``rows``: uint8 (frames, S, S, 3)."""
    n_bits = model.config.n_bits
    pair = pictures.tensor(rows[[0, len(rows) // 2]]).to(model.device)
    z, _ = model.f(means_of(bin_centers(pair, n_bits), means))
    t = torch.linspace(0, 1, frames, device=z.device)[:, None]
    return to_pictures(to_levels(model.g(torch.lerp(z[:1], z[1:], t)), n_bits))


def _tiled(pictures: np.ndarray, columns: int) -> np.ndarray:
    """(N, H, W, 3) as one picture of full rows."""
    n, h, w, c = pictures.shape
    rows = n // columns
    grid = pictures[: rows * columns].reshape(rows, columns, h, w, c)
    return grid.transpose(0, 2, 1, 3, 4).reshape(rows * h, columns * w, c)
