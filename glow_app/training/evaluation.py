"""What a run measures: its steps, in ``stats.jsonl``, TensorBoard and on the terminal; and the
averaged weights, which are saved with held-out bits/dim, samples and a morph.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import models
from glow_app.common.files import write_text
from glow_app.export import sheets
from glow_app.faces.coding import to_pictures
from glow_app.training.config import TrainConfig
from glow_app.training.data import PackedPictures, means_of, reduced
from glow_app.training.distributed import World
from glow_app.training.run_folder import RunFolder, TrainState
from models import Glow, StateRange, bin_centers, bits_by_part, dequantize, to_levels, usual_range


class Meter:
    """Mean bits/dim, mean gradient norm and time since the last line of the log.

    Sums stay on the device until they are read, so the host never waits in between. ``minutes``
    are those of training until now.
    """

    def __init__(self, device: torch.device, minutes: float) -> None:
        self._steps = 0
        self._began, self._minutes = time.monotonic(), minutes
        self._sums = torch.zeros(2, device=device)
        self._counts = torch.zeros(2, device=device)

    def add(self, bits: Tensor, norm: Tensor) -> None:
        """Add one step: its bits/dim and its gradient norm, scalars on the device."""
        self._steps += 1
        values = torch.stack([bits, norm])
        finite = values.isfinite()
        self._sums += torch.where(finite, values, 0)
        self._counts += finite

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time spent inside out of the training time."""
        began = time.monotonic()
        yield
        self._began += time.monotonic() - began

    def minutes(self) -> float:
        """Return the minutes of training until now, over all resumes."""
        return self._minutes + (time.monotonic() - self._began) / 60

    def values(self, world: World, batch: int) -> tuple[dict[str, float], float]:
        """Return entries of a log line, and the minutes when the device had finished them.

        Means are over the steps where they were finite, and left out where none was; bits/dim is
        that of the whole batch of ``batch`` pictures. Every process must call this.
        """
        if not self._steps:
            return {}, self._minutes
        bits, norm = (self._sums / self._counts).tolist()  # here the host waits for the device
        minutes = self.minutes()
        rate = self._steps * batch / max((minutes - self._minutes) * 60, 1e-9)
        bits = world.all_sum([bits])[0] / world.size
        values = {"images_per_s": round(rate, 2)}
        if math.isfinite(bits):
            values["train_bits_per_dim"] = round(bits, 5)
        if math.isfinite(norm):
            values["grad_norm"] = round(norm, 4)
        return values, minutes


class RunLog:
    """Writes each record to ``stats.jsonl`` and to TensorBoard, and prints it as one line.

    Records after ``first_step``, from which the run starts, are dropped: those steps are taken
    again. Without a ``folder``, as in all processes but the main one, it does nothing.
    """

    def __init__(self, folder: Path | None, first_step: int) -> None:
        self._file = self._board = self._bar = None
        if folder is None:
            return
        path = folder / "stats.jsonl"
        _drop_after(path, first_step)
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed in close()
        with suppress(ImportError):  # a convenience; stats.jsonl has everything
            from torch.utils.tensorboard import SummaryWriter

            purge_step = first_step + 1 if first_step else None
            self._board = SummaryWriter(str(folder), purge_step=purge_step)

    def record(self, values: dict[str, Any]) -> None:
        """Write one record; ``values`` has at least ``step`` and ``images``."""
        if self._file is not None:
            self._file.write(json.dumps(values) + "\n")
            self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, int | float) and name != "step":
                    self._board.add_scalar(name, value, values["step"])
        self.print(_line(values))

    def picture(self, name: str, pixels: Any, step: int) -> None:
        """Show a picture (H, W, 3) uint8 in TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, pixels, step, dataformats="HWC")

    def print(self, text: str) -> None:
        """Print one line, above the progress bar where there is one."""
        if self._bar is not None:
            self._bar.write(text)
        elif self._file is not None:
            print(text, flush=True)

    def advance(self, done: float) -> None:
        """Move the progress bar to ``done`` (0 to 1); on a terminal only."""
        if self._file is None or not sys.stdout.isatty():
            return
        if self._bar is None:
            from tqdm import tqdm

            form = "{percentage:5.1f} %|{bar}| {elapsed} < {remaining}"
            self._bar = tqdm(total=1.0, bar_format=form, file=sys.stdout, dynamic_ncols=True)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        for part in (self._file, self._board, self._bar):
            if part is not None:
                part.close()


_FORMATS = {
    "images_per_s": "{:7.1f} images/s",
    "train_bits_per_dim": "train {:.4f}",
    "val_bits_per_dim": "val {:.4f} bits/dim",
    "grad_norm": "grad {:.2f}",
    "lr": "lr {:.2e}",
}


def _line(values: dict[str, Any]) -> str:
    parts = [f"step {values['step']:>7,}", f"{values['images']:>10,} images"]
    parts += [form.format(values[name]) for name, form in _FORMATS.items() if name in values]
    return " | ".join([*parts, f"skipped {values.get('skipped', 0)}"])


def _drop_after(path: Path, step: int) -> None:
    """Remove the records after ``step``, and a line that a kill cut in two."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError, KeyError):
            if json.loads(line)["step"] <= step:
                kept.append(f"{line}\n")
    write_text(path, "".join(kept))


# ---------------------------------------------------------------------- the averaged weights

_GRID = (4, 8)  # rows and columns of the sample grid
_STRIP = 9  # frames of the morph strip
_CALIBRATED_ON = 1024  # training pictures, at most
_PASS = 64  # pictures at a time; with another number the noise would be another


@dataclass(frozen=True)
class Evaluation:
    """Measures the weight average and writes samples, a morph strip and model.safetensors.

    Every process measures its share of the pictures; the main one writes.
    """

    config: TrainConfig
    folder: RunFolder
    training: PackedPictures
    held_out: PackedPictures
    world: World
    facts: dict[str, Any]  # facts about the data, to be saved with the weights

    def run(self, state: TrainState, log: RunLog, final: bool) -> dict[str, Any]:
        """Return entries for the log, of ``config.eval_images`` held-out pictures.

        At the end the average is calibrated first, and all held-out pictures are measured.
        """
        model, means, pictures = state.ema.model, self.config.means, self.held_out
        if not final:
            every = max(1, len(pictures) // self.config.eval_images)
            pictures = pictures.subset(slice(None, None, every))
        elif self.world.is_main:
            calibrate(model, self.training, means=means)
        values: dict[str, Any] = {}
        if len(pictures):
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
            ("morph", morph_strip(model, between, self.config.means), _STRIP),
        ):
            path = self.folder.samples / f"{name}_{state.step:08d}.png"
            sheets.save_grid(frames, path, columns=columns)
            log.picture(name, sheets.tiled(frames, columns), state.step)

    def _save(self, state: TrainState, measured: dict[str, Any]) -> None:
        """Write model.safetensors with all facts about the weights."""
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
def calibrate(
    model: Glow, pictures: PackedPictures, most: int = _CALIBRATED_ON, means: int = 0
) -> None:
    """Set `usual_range` of ``model``, in evaluation mode, from up to ``most`` of the pictures.

    Args:
        means: halvings of the pictures by means before the model sees them.
    """
    chosen, ranges = pictures.subset(slice(None, None, -(-len(pictures) // most))), []
    for first in range(0, len(chosen), _PASS):
        levels = chosen.tensor(slice(first, first + _PASS)).to(model.device)
        x = means_of(bin_centers(levels, model.config.n_bits), means)
        ranges.append(model.f_with_range(x)[2].to("cpu"))
    model.usual_range = usual_range(StateRange.cat(ranges))


@torch.no_grad()
def held_out_bits(
    model: Glow, pictures: PackedPictures, world: World, means: int = 0, reduce: int = 0
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
def morph_strip(model: Glow, pictures: PackedPictures, means: int) -> np.ndarray:
    """Morph between the first and the middle one of the pictures: uint8 (9, S, S, 3)."""
    n_bits = model.config.n_bits
    pair = pictures.tensor([0, len(pictures) // 2]).to(model.device)
    z, _ = model.f(means_of(bin_centers(pair, n_bits), means))
    t = torch.linspace(0, 1, _STRIP, device=z.device)[:, None]
    return to_pictures(to_levels(model.g(torch.lerp(z[:1], z[1:], t)), n_bits))
