"""The training loop: maximise the exact log-likelihood of dequantised pictures."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

import models
from glow_app import export
from glow_app.training.data import Batches, PackedPictures
from glow_app.training.log import RunLog
from glow_app.training.schedule import ema_decay, learning_rate, progress
from glow_app.training.state import Ema, TrainState
from models import Glow, GlowConfig, bin_centers, bits_per_dim, dequantize, to_levels

__all__ = ["TrainConfig", "TrainingError", "held_out_bits_per_dim", "train"]

_INIT_IMAGES = 512  # for actnorm; at least 256
_GRAD_WINDOW = 100  # good gradient norms that say what is usual
_GRAD_EXPLODES = 10.0  # times the usual norm: the step is skipped (STARFlow's grad_skip)
_GIVE_UP_AFTER = 200  # skipped steps in a row
_GRID = (4, 8)  # rows and columns of the sample grid
_STRIP = 9  # frames of the morph strip


class TrainingError(RuntimeError):
    """Training cannot start or go on; the message is one sentence."""


@dataclass(frozen=True)
class TrainConfig:
    """What a run does. All of it is in ``config.json`` of the run folder.

    Only ``steps``, ``minutes``, ``cooldown`` and the intervals may change between sittings.
    """

    model: GlowConfig
    steps: int | None = None  # optimiser steps in all; with minutes, whichever ends first
    minutes: float | None = None  # training time in all, over all sittings
    batch: int = 32  # pictures a step
    lr: float = 1e-3  # AdamW, betas 0.9 and 0.99
    weight_decay: float = 1e-4  # on the convolutions of the nets only
    warmup_steps: int = 100
    cooldown: float = 0.25  # last part of the run, in which the learning rate falls to 1 %
    clip: float = 1.0  # largest gradient norm
    ema: float = 0.999
    seed: int = 0
    precision: str = "float32"  # inside the nets while training: "float32" or "bfloat16"
    log_steps: int = 20
    eval_steps: int = 500
    checkpoint_minutes: float = 2.0
    eval_images: int = 512  # held-out pictures measured on the way; all of them at the end

    _MAY_CHANGE = (
        "steps",
        "minutes",
        "cooldown",
        "log_steps",
        "eval_steps",
        "checkpoint_minutes",
        "eval_images",
    )

    def fixed(self) -> dict[str, Any]:
        """The part that must stay the same when a run is resumed."""
        everything = dataclasses.asdict(self)
        return {k: v for k, v in everything.items() if k not in self._MAY_CHANGE}


def train(
    config: TrainConfig,
    out: Path,
    training: tuple[PackedPictures, np.ndarray],
    held_out: tuple[PackedPictures, np.ndarray],
    device: torch.device,
    init: Path | None = None,
    facts: dict[str, Any] | None = None,
) -> Path:
    """Train, or go on with what lies in ``out``; returns the path of ``out/model.safetensors``.

    The same call again after any interruption, kill -9 included, continues from the last
    checkpoint; on one CPU it ends with the very numbers of an unbroken run (by steps).

    Args:
        out: the run folder: config.json, stats.jsonl, samples/, checkpoint/, model.safetensors.
        training: pictures and the rows of them to train on.
        held_out: pictures and rows for validation; nothing is learned from them.
        init: weights to start a new run from, instead of random ones.
        facts: what to say of the data in the saved weights.

    Raises:
        TrainingError: the run in ``out`` is another one, or training diverged.
        OSError: the disk is full; the last good checkpoint is kept.
    """
    (out / "checkpoint").mkdir(parents=True, exist_ok=True)
    (out / "samples").mkdir(exist_ok=True)
    _claim(out / "config.json", config, training[0].fingerprint)
    run = _Run(config, out, training, held_out, device, facts or {})
    run.start(init)
    with RunLog(out, run.state.step) as log:
        run.loop(log)
    return out / "model.safetensors"


def _claim(path: Path, config: TrainConfig, data: str) -> None:
    """Write config.json; refuse a folder that holds another run."""
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise TrainingError(f"{path} is damaged; remove it to go on.") from error
        now = json.loads(json.dumps({**config.fixed(), "data": data}))
        different = sorted(k for k in now if before.get(k) != now[k])
        if different:
            raise TrainingError(
                f"{path.parent} holds a run with another {', '.join(different)}; "
                "choose another --out or the same settings."
            )
    text = json.dumps({**dataclasses.asdict(config), "data": data}, indent=2) + "\n"
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


class _Run:
    """One sitting of a training run."""

    def __init__(
        self,
        config: TrainConfig,
        out: Path,
        training: tuple[PackedPictures, np.ndarray],
        held_out: tuple[PackedPictures, np.ndarray],
        device: torch.device,
        facts: dict[str, Any],
    ) -> None:
        self.config, self.out, self.device, self.facts = config, out, device, facts
        self.training, self.held_out = training, held_out
        self.batches = Batches(*training, config.batch, config.seed, device)
        self.checkpoint = out / "checkpoint" / "state.safetensors"
        self.stop = False
        self.in_a_row = 0  # skipped steps
        self.last_val: float | None = None

    # ------------------------------------------------------------------ start

    def start(self, init: Path | None) -> None:
        """Build or restore the state."""
        config = self.config
        torch.manual_seed(config.seed)
        model = Glow(config.model).to(self.device)
        if init is not None and not self.checkpoint.exists():
            given = models.load(init, self.device)
            if given.config.replace(dropout=config.model.dropout) != config.model:
                raise TrainingError(f"{init.name} has another configuration than this run.")
            model.load_state_dict(given.state_dict())
        model.train()
        dtype = {"float32": None, "bfloat16": torch.bfloat16}[config.precision]
        model.set_training_dtype(dtype)
        if not self.checkpoint.exists():
            model.initialize(self._initial_images())
        self.state = TrainState(model, Ema(model), _optimizer(model, config))
        if self.checkpoint.exists():
            self.state.load(self.checkpoint)

    def _initial_images(self) -> Tensor:
        pictures, rows = self.training
        generator = torch.Generator().manual_seed(self.config.seed)
        order = torch.randperm(len(rows), generator=generator)[:_INIT_IMAGES]
        levels = pictures.tensor(rows[order.numpy()])
        return dequantize(levels, self.config.model.n_bits, generator).to(self.device)

    # ------------------------------------------------------------------ loop

    def loop(self, log: RunLog) -> None:
        config, state = self.config, self.state
        parameters = sum(p.numel() for p in state.model.parameters())
        log.say(
            f"{parameters:,} parameters, {len(self.training[1]):,} pictures, "
            f"{len(self.held_out[1]):,} held out, {self.device}, {config.precision}, "
            f"from step {state.step:,}."
        )
        recent = _Recent()
        last_checkpoint = time.monotonic()
        with _graceful_stop(self):
            while not self.stop and self._done() < 1.0:
                began = time.monotonic()
                recent.add(*self._step(), config.batch)
                spent = time.monotonic() - began
                recent.seconds += spent
                state.minutes += spent / 60
                evaluated = state.step % config.eval_steps == 0
                if evaluated or state.step % config.log_steps == 0:
                    log.record(self._values(recent, self.evaluate(log) if evaluated else None))
                    recent = _Recent()
                log.advance(self._done())
                if time.monotonic() - last_checkpoint >= config.checkpoint_minutes * 60:
                    self._keep()
                    last_checkpoint = time.monotonic()
        self._keep()
        if self.stop:
            log.say(f"Stopped at step {state.step:,}; the same command continues.")
            raise KeyboardInterrupt
        log.record(self._values(recent, self.evaluate(log, everything=True)))
        log.say(f"Done: {self.out / 'model.safetensors'}")

    def _keep(self) -> None:
        """Save the state, unless it is just going wrong: the last good one stays."""
        if self.in_a_row == 0:
            self.state.save(self.checkpoint)

    def _done(self) -> float:
        c, s = self.config, self.state
        return progress(s.step, s.minutes, c.steps, c.minutes)

    def _step(self) -> tuple[float, float]:
        """One optimiser step; returns (bits/dim, gradient norm) of the batch."""
        config, state = self.config, self.state
        # Everything random in this step follows from its number: resuming needs no RNG state.
        seed = (config.seed * 1_000_003 + state.step) * 2 + 1
        generator = torch.Generator(self.device).manual_seed(seed)
        torch.manual_seed(seed)  # dropout
        levels = self.batches.at(state.step, generator)
        x = dequantize(levels, config.model.n_bits, generator)
        done = self._done()
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(
                config.lr, state.step, done, config.warmup_steps, config.cooldown
            )
        state.optimizer.zero_grad(set_to_none=True)
        loss = bits_per_dim(state.model(x), state.model.dims, config.model.n_bits).mean()
        loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_(state.model.parameters(), config.clip))
        bits = float(loss.detach())
        if self._is_sound(bits, norm):
            state.optimizer.step()
            state.ema.update(state.model, ema_decay(config.ema, state.step))
            state.grad_norms = [*state.grad_norms, norm][-_GRAD_WINDOW:]
            self.in_a_row = 0
        else:
            state.skipped += 1
            self.in_a_row += 1
            if self.in_a_row >= _GIVE_UP_AFTER:
                raise TrainingError(
                    f"Training diverged: {self.in_a_row} steps in a row had a gradient that is "
                    "not finite or far too large; try a lower --lr."
                )
        state.step += 1
        return bits, norm

    def _is_sound(self, bits: float, norm: float) -> bool:
        if not (math.isfinite(bits) and math.isfinite(norm)):
            return False
        known = self.state.grad_norms
        return len(known) < _GRAD_WINDOW or norm <= _GRAD_EXPLODES * statistics.median(known)

    def _values(self, recent: _Recent, val: float | None) -> dict[str, Any]:
        config, state = self.config, self.state
        values: dict[str, Any] = {"step": state.step, "images": state.step * config.batch}
        if recent.steps:
            values |= recent.summary()
            values["lr"] = state.optimizer.param_groups[0]["lr"]
        if val is not None:
            values["val_bits_per_dim"] = val
        values |= {"skipped": state.skipped, "minutes": round(state.minutes, 3)}
        return values

    # ------------------------------------------------------------------ evaluation

    def evaluate(self, log: RunLog, everything: bool = False) -> float | None:
        """Validation bits/dim of the average; writes samples, strip and model.safetensors."""
        ema, (pictures, rows) = self.state.ema.model, self.held_out
        rows = rows if everything else rows[:: max(1, len(rows) // self.config.eval_images)]
        val = held_out_bits_per_dim(ema, pictures, rows, self.device) if len(rows) else None
        self.last_val = val if val is not None else self.last_val
        name = f"{self.state.step:08d}.png"
        grid = self._sample_grid(ema)
        export.save_grid(grid, self.out / "samples" / f"grid_{name}", columns=_GRID[1])
        log.picture("samples", _tiled(grid, _GRID[1]), self.state.step)
        strip = self._morph_strip(ema)
        export.save_grid(strip, self.out / "samples" / f"morph_{name}", columns=_STRIP)
        log.picture("morph", _tiled(strip, _STRIP), self.state.step)
        models.save(ema, self.out / "model.safetensors", self._facts())
        return val

    def _facts(self) -> dict[str, Any]:
        state = self.state
        return {
            **self.facts,
            "steps": state.step,
            "images_seen": state.step * self.config.batch,
            "minutes": round(state.minutes, 1),
            "val_bits_per_dim": self.last_val,
            "device": self.device.type,
        }

    def _sample_grid(self, ema: Glow) -> np.ndarray:
        generator = torch.Generator().manual_seed(0)
        rows, columns = _GRID
        return _pixels(ema.sample(rows * columns, 0.7, generator), self.config.model.n_bits)

    def _morph_strip(self, ema: Glow) -> np.ndarray:
        pictures, rows = self.held_out if len(self.held_out[1]) > 1 else self.training
        n_bits = self.config.model.n_bits
        pair = pictures.tensor(rows[[0, len(rows) // 2]]).to(self.device)
        with torch.no_grad():
            z, _ = ema.f(bin_centers(pair, n_bits))
            t = torch.linspace(0, 1, _STRIP, device=z.device)[:, None]
            return _pixels(ema.g(torch.lerp(z[:1], z[1:], t)), n_bits)


@torch.no_grad()
def held_out_bits_per_dim(
    model: Glow,
    pictures: PackedPictures,
    rows: np.ndarray,
    device: torch.device,
    batch: int = 64,
) -> float:
    """Mean bits/dim of ``rows`` under uniform dequantisation with fixed noise."""
    total, n_bits = 0.0, model.config.n_bits
    for start in range(0, len(rows), batch):
        generator = torch.Generator().manual_seed(start)
        levels = pictures.tensor(rows[start : start + batch])
        x = dequantize(levels, n_bits, generator).to(device)
        total += float(bits_per_dim(model(x), model.dims, n_bits).double().sum())
    return total / len(rows)


class _Recent:
    """Sums since the last log line."""

    def __init__(self) -> None:
        self.steps, self.images, self.seconds = 0, 0, 0.0
        self.bits: list[float] = []
        self.norms: list[float] = []

    def add(self, bits: float, norm: float, images: int) -> None:
        self.steps += 1
        self.images += images
        self.bits += [bits] if math.isfinite(bits) else []
        self.norms += [norm] if math.isfinite(norm) else []

    def summary(self) -> dict[str, float]:
        values = {"images_per_s": round(self.images / max(self.seconds, 1e-9), 2)}
        if self.bits:
            values["train_bits_per_dim"] = round(statistics.fmean(self.bits), 5)
        if self.norms:
            values["grad_norm"] = round(statistics.fmean(self.norms), 4)
        return values


def _optimizer(model: Glow, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW; only the convolutions inside nets decay, never the flow's own scales."""
    decayed = {id(p) for n, p in model.named_parameters() if ".net." in n and p.ndim == 4}
    decayed -= {id(p) for n, p in model.named_parameters() if n.endswith("position")}
    # One group for each kind, in the order of model.parameters() within it.
    groups = [
        {"params": [p for p in model.parameters() if id(p) in decayed]},
        {"params": [p for p in model.parameters() if id(p) not in decayed], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=config.lr, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=True
    )


def _pixels(x: Tensor, n_bits: int) -> np.ndarray:
    return to_levels(x, n_bits).permute(0, 2, 3, 1).cpu().numpy()


def _tiled(pictures: np.ndarray, columns: int) -> np.ndarray:
    """(N, H, W, 3) as one picture of full rows."""
    n, h, w, c = pictures.shape
    rows = n // columns
    grid = pictures[: rows * columns].reshape(rows, columns, h, w, c)
    return grid.transpose(0, 2, 1, 3, 4).reshape(rows * h, columns * w, c)


@contextmanager
def _graceful_stop(run: _Run) -> Iterator[None]:
    """Ctrl-C and SIGTERM finish the step in hand, save, and stop; a second one stops at once."""

    def ask(signum: int, frame: FrameType | None) -> None:
        if run.stop:
            raise KeyboardInterrupt
        run.stop = True

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
