"""The training loop: maximise the exact log-likelihood of dequantised pictures."""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

import models
from glow_app.common.errors import UserError
from glow_app.common.files import write_text
from glow_app.common.measure import parameter_count
from glow_app.keeping import sheets
from glow_app.training.augment import Augment
from glow_app.training.data import Batches, PackedPictures
from glow_app.training.distributed import World
from glow_app.training.evaluation import held_out_bits_per_dim, morph_strip, noisy, sample_grid
from glow_app.training.guard import GradientGuard
from glow_app.training.log import RunLog
from glow_app.training.schedule import ema_decay, learning_rate, progress
from glow_app.training.state import Ema, TrainState
from models import Glow, GlowConfig, bits_per_dim, dequantize

__all__ = ["TrainConfig", "train"]

_ORIGIN = "started_from"  # the facts of the weights of --init
_INIT_IMAGES = 512  # for actnorm; at least 256
_GIVE_UP_AFTER = 200  # skipped steps in a row
_GRID = (4, 8)  # rows and columns of the sample grid
_STRIP = 9  # frames of the morph strip


@dataclass(frozen=True)
class TrainConfig:
    """What a run does. All of it is in ``config.json`` of the run folder.

    What is named in ``_MAY_CHANGE`` may be another in the next sitting.
    """

    model: GlowConfig
    steps: int | None = None  # optimiser steps in all; with minutes, whichever ends first
    minutes: float | None = None  # training time in all, over all sittings
    batch: int = 32  # pictures a step, over all processes
    lr: float = 1e-3  # AdamW, betas 0.9 and 0.99
    weight_decay: float = 1e-4  # on the convolutions of the nets only
    warmup_steps: int = 100
    cooldown: float = 0.25  # last part of the run, in which the learning rate falls to 1 %
    clip: float = 1.0  # largest gradient norm
    ema: float = 0.999
    seed: int = 0
    precision: str = "float32"  # inside the nets while training: "float32" or "bfloat16"
    noise: float = 0.0  # deviation on [-1, 1] of Gaussian noise; 0: uniform dequantisation
    augment: bool = False  # vary the pictures, which are then larger than the model's
    reversible: bool = False  # recompute activations: memory does not grow with the steps
    compile: bool = False  # the couplings, by torch.compile
    log_steps: int = 20
    eval_steps: int = 500
    checkpoint_minutes: float = 2.0
    eval_images: int = 512  # held-out pictures measured on the way; all of them at the end

    _MAY_CHANGE = (
        "steps",
        "minutes",
        "cooldown",
        "reversible",
        "compile",
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
    world: World,
    init: Path | None = None,
    facts: dict[str, Any] | None = None,
    from_constant: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Train, or go on with what lies in ``out``; returns the path of ``out/model.safetensors``.

    The same call again after any interruption, kill -9 included, continues from the last
    checkpoint; on one CPU it ends with the very numbers of an unbroken run (by steps). The state
    before the cooldown stays in ``checkpoint/constant.safetensors``.

    Args:
        out: the run folder: config.json, stats.jsonl, samples/, checkpoint/, model.safetensors.
        training: pictures and the rows of them to train on.
        held_out: pictures and rows for validation; nothing is learned from them.
        world: the processes that train together, and the device of this one.
        init: weights to start a new run from, instead of random ones; with fewer steps they
            are grown. What they say of themselves stays in the new ones as "started_from".
        facts: what to say of the data in the saved weights.
        from_constant: continue from the state before the last cooldown, not from the one after.
        clock: seconds, for ``config.minutes`` and the rates that are reported.

    Raises:
        UserError: the run in ``out`` is another one, the batch cannot be shared by the
            processes, or training diverged.
        OSError: the disk is full; the last good checkpoint is kept.
    """
    if config.batch % world.size:
        raise UserError(f"A batch of {config.batch} cannot be shared by {world.size} processes.")
    run = _Run(config, out, training, held_out, world, facts or {}, clock)
    if world.first:
        (out / "checkpoint").mkdir(parents=True, exist_ok=True)
        (out / "samples").mkdir(exist_ok=True)
        before = _settings_before(out / "config.json", config, training[0].fingerprint)
        run.origin = before.get(_ORIGIN)
    world.wait()
    run.start(init, from_constant)
    if world.first:  # not before it could start: what failed must not claim the folder
        settings = {**dataclasses.asdict(config), "data": training[0].fingerprint, **run.origins()}
        write_text(out / "config.json", json.dumps(settings, indent=2) + "\n")
    if not world.first:
        run.loop(None)
        return out / "model.safetensors"
    with RunLog(out, run.state.step) as log:
        run.loop(log)
    return out / "model.safetensors"


def _settings_before(path: Path, config: TrainConfig, data: str) -> dict[str, Any]:
    """What config.json holds, if it is there; refuses one of another run."""
    if not path.exists():
        return {}
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged; remove it to go on.") from error
    now = json.loads(json.dumps({**config.fixed(), "data": data}))
    different = sorted(k for k in now if before.get(k) != now[k])
    if different:
        raise UserError(
            f"{path.parent} holds a run with another {', '.join(different)}; "
            "choose another --out or the same settings."
        )
    return before


class _Run:
    """One sitting of a training run, in one process."""

    def __init__(
        self,
        config: TrainConfig,
        out: Path,
        training: tuple[PackedPictures, np.ndarray],
        held_out: tuple[PackedPictures, np.ndarray],
        world: World,
        facts: dict[str, Any],
        clock: Callable[[], float],
    ) -> None:
        self.config, self.out, self.world, self.facts = config, out, world, facts
        self.training, self.held_out, self.clock = training, held_out, clock
        size, source = config.model.image_size, training[0].pixels.shape[1]
        augment = Augment(source, size, world.device) if config.augment else None
        self.batches = Batches(*training, config.batch, config.seed, world, augment)
        self.checkpoint = out / "checkpoint" / "state.safetensors"
        self.constant = out / "checkpoint" / "constant.safetensors"
        self.origin: dict[str, Any] | None = None  # facts of the weights it started from
        self.stop = False
        self.last_val: float | None = None

    # ------------------------------------------------------------------ start

    def start(self, init: Path | None, from_constant: bool) -> None:
        """Build or restore the state."""
        config, device = self.config, self.world.device
        saved = self.constant if from_constant and self.constant.exists() else self.checkpoint
        resumed = saved.exists()
        torch.manual_seed(config.seed)
        model = Glow(config.model).to(device)
        if init is not None and not resumed:
            model.load_state_dict(self._given(init).state_dict())
        model.train()
        dtype = {"float32": None, "bfloat16": torch.bfloat16}[config.precision]
        model.set_training_dtype(dtype)
        try:
            model.set_reversible(config.reversible)
        except ValueError as error:
            raise UserError(str(error)) from error
        if not resumed and self.world.first:
            model.initialize(self._initial_images())
        self.trained = self.world.wrap(model)  # from here on every process has rank 0's weights
        optimizer = _optimizer(model, config)
        self.state = TrainState(model, Ema(model), optimizer, GradientGuard(device))
        if resumed:
            self.state.load(saved)

    def _given(self, init: Path) -> Glow:
        """The weights of ``init``, grown to the steps of this run."""
        given, wanted = models.load(init, self.world.device), self.config.model
        if given.config.replace(dropout=wanted.dropout, steps=wanted.steps) != wanted:
            raise UserError(f"{init.name} has another configuration than this run.")
        try:
            grown = models.grow(given, wanted.steps)
        except ValueError as error:
            raise UserError(f"{init.name} does not fit this run. {error}") from error
        self.origin = given.facts
        return grown

    def _initial_images(self) -> Tensor:
        generator = torch.Generator().manual_seed(self.config.seed)
        n, alone = min(_INIT_IMAGES, len(self.training[1])), World(self.world.device)
        batches = Batches(*self.training, n, self.config.seed, alone, self.batches.augment)
        levels = batches.at(0, generator).cpu()
        return dequantize(levels, self.config.model.n_bits, generator).to(self.world.device)

    def _compile(self, log: RunLog | None) -> None:
        """Compile, and pay for it before the clock of the run starts."""
        began = time.monotonic()
        self.state.model.compile_couplings()
        self._loss(self.state.step).backward()
        self.state.optimizer.zero_grad(set_to_none=True)
        if self.world.device.type == "cuda":
            torch.cuda.synchronize(self.world.device)
        if log is not None:
            log.say(f"Compiled in {time.monotonic() - began:.0f} s.")

    # ------------------------------------------------------------------ loop

    def loop(self, log: RunLog | None) -> None:
        """Until the end of the run or a signal; only the process with a ``log`` writes."""
        config, state = self.config, self.state
        if log is not None:
            log.say(
                f"{parameter_count(state.model):,} parameters, "
                f"{len(self.training[1]):,} pictures, {len(self.held_out[1]):,} held out, "
                f"{self._where()}, {config.precision}, "
                f"from step {state.step:,}."
            )
        if config.compile:
            self._compile(log)
        recent, last_checkpoint = self._recent(), time.monotonic()
        with _graceful_stop(self):
            while self._goes_on():
                recent.began += self._keep_constant()
                recent.add(*self._step())
                evaluated = state.step % config.eval_steps == 0
                if evaluated or state.step % config.log_steps == 0:
                    self._give_up_if_diverged()
                    # Everything since the last line is on the device: here the host waits for it.
                    values = self._values(recent)
                    if evaluated:
                        values |= self.evaluate(log)
                    if log is not None:
                        log.record(values)
                    recent = self._recent()
                else:
                    state.minutes = recent.minutes(self.clock())
                if log is not None:
                    log.advance(self._done())
                    if time.monotonic() - last_checkpoint >= config.checkpoint_minutes * 60:
                        recent.began += self._keep(self.checkpoint)
                        last_checkpoint = time.monotonic()
        if log is not None:
            self._keep(self.checkpoint)
        if self.stop:
            if log is not None:
                log.say(f"Stopped at step {state.step:,}; the same command continues.")
            raise KeyboardInterrupt
        values = self._values(recent) | self.evaluate(log, everything=True)
        if log is not None:
            log.record(values)
            log.say(f"Done: {self.out / 'model.safetensors'}")

    def _recent(self) -> _Recent:
        return _Recent(self.clock(), self.state.minutes)

    def _where(self) -> str:
        processes = f"{self.world.size} processes on " if self.world.size > 1 else ""
        return f"{processes}{self.world.device}"

    def _goes_on(self) -> bool:
        """Whether there is another step; all processes go by the clock of the first."""
        self.stop = self.world.total([float(self.stop)])[0] > 0
        self.state.minutes = self.world.told([self.state.minutes])[0]
        return not self.stop and self._done() < 1.0

    def _keep(self, path: Path) -> float:
        """Save the state, unless it is just going wrong: the last good one stays.

        Returns the seconds it took, which are no training time.
        """
        began = self.clock()
        if int(self.state.guard.in_a_row) == 0:
            self.state.save(path)
        return self.clock() - began

    def _keep_constant(self) -> float:
        """Keep the state at the full learning rate, from which another cooldown can branch."""
        ends = self.state.lr == self.config.lr > self._rate()
        return self._keep(self.constant) if ends and self.world.first else 0.0

    def _give_up_if_diverged(self) -> None:
        skipped = int(self.state.guard.in_a_row)
        if skipped >= _GIVE_UP_AFTER:
            raise UserError(
                f"Training diverged: {skipped} steps in a row had a gradient that is "
                "not finite or far too large; try a lower --lr."
            )

    def _done(self) -> float:
        c, s = self.config, self.state
        return progress(s.step, s.minutes, c.steps, c.minutes)

    def _rate(self) -> float:
        c = self.config
        return learning_rate(c.lr, self.state.lr, self._done(), c.warmup_steps, c.cooldown)

    def _step(self) -> tuple[Tensor, Tensor]:
        """One optimiser step; returns bits/dim and gradient norm, both still on the device."""
        config, state = self.config, self.state
        state.lr = self._rate()
        for group in state.optimizer.param_groups:
            group["lr"] = state.lr
        state.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(state.step)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), config.clip)
        # The way in which GradScaler tells a fused optimiser, on the device, to leave a step out.
        state.optimizer.found_inf = state.guard.judge(norm)
        state.optimizer.step()
        state.ema.update(state.model, ema_decay(config.ema, state.step))
        state.step += 1
        return loss.detach(), norm

    def _loss(self, step: int) -> Tensor:
        """Mean bits/dim of this process's part of the batch of ``step``."""
        config, world = self.config, self.world
        # Everything random in a step follows from its number: resuming needs no RNG state.
        seed = (config.seed * 1_000_003 + step) * 2 + 1
        generator = torch.Generator(world.device).manual_seed(seed)
        torch.manual_seed(seed + world.rank)  # dropout
        levels = self.batches.at(step, generator)
        # For the whole batch: what one process sees must not depend on how many there are.
        shape = (config.batch, *levels.shape[1:])
        draw = torch.randn if config.noise else torch.rand
        noise = world.share(draw(shape, generator=generator, device=world.device))
        if config.noise:
            x = noisy(levels, config.noise, noise)
        else:
            x = dequantize(levels, config.model.n_bits, noise=noise)
        return bits_per_dim(self.trained(x), self.state.model.dims, config.model.n_bits).mean()

    def _values(self, recent: _Recent) -> dict[str, Any]:
        config, state, world = self.config, self.state, self.world
        values: dict[str, Any] = {"step": state.step, "images": state.step * config.batch}
        if recent.steps:
            bits, norm = recent.means()
            now = self.clock()
            state.minutes = recent.minutes(now)
            rate = recent.steps * config.batch / max(now - recent.began, 1e-9)
            values["images_per_s"] = round(rate, 2)
            bits = world.total([bits])[0] / world.size
            values["train_bits_per_dim"] = round(bits, 5) if math.isfinite(bits) else None
            values["grad_norm"] = round(norm, 4) if math.isfinite(norm) else None
            values = {k: v for k, v in values.items() if v is not None}
            values["lr"] = state.lr
        skipped = int(state.guard.skipped)
        return values | {"skipped": skipped, "minutes": round(state.minutes, 3)}

    # ------------------------------------------------------------------ evaluation

    def evaluate(self, log: RunLog | None, everything: bool = False) -> dict[str, float]:
        """Validation bits/dim of the average; writes samples, strip and model.safetensors."""
        config, ema, (pictures, rows) = self.config, self.state.ema.model, self.held_out
        chosen = rows if everything else rows[:: max(1, len(rows) // config.eval_images)]
        values = {}
        if len(rows):
            bits = held_out_bits_per_dim(ema, pictures, chosen, self.world, config.noise)
            values = {"val_noisy_bits_per_dim" if config.noise else "val_bits_per_dim": bits}
        if log is None:
            return values
        self.last_val = values.get("val_bits_per_dim", self.last_val)
        between = self.held_out if len(rows) > 1 else self.training
        pictures_of = {
            "grid": (sample_grid(ema, _GRID[0] * _GRID[1]), _GRID[1]),
            "morph": (morph_strip(ema, *between, _STRIP), _STRIP),
        }
        for name, (frames, columns) in pictures_of.items():
            path = self.out / "samples" / f"{name}_{self.state.step:08d}.png"
            sheets.save_grid(frames, path, columns=columns)
            log.picture(name, _tiled(frames, columns), self.state.step)
        models.save(ema, self.out / "model.safetensors", self._facts())
        return values

    def origins(self) -> dict[str, Any]:
        """The entry that says what the run started from; empty if from nothing."""
        return {} if self.origin is None else {_ORIGIN: self.origin}

    def _facts(self) -> dict[str, Any]:
        state, noise = self.state, self.config.noise
        return {
            **self.facts,
            "steps": state.step,
            "images_seen": state.step * self.config.batch,
            "minutes": round(state.minutes, 1),
            "val_bits_per_dim": self.last_val,
            "device": self.world.device.type,
            **({"noise": noise} if noise else {}),
            **self.origins(),
        }


class _Recent:
    """What happened since the last log line; sums stay on the device until asked for.

    Args:
        began: the clock, in seconds; what is no training is to be added to it.
        minutes: of training before that.
    """

    def __init__(self, began: float, minutes: float) -> None:
        self.began, self.steps = began, 0
        self._minutes = minutes
        self._sums: Tensor | None = None
        self._counts: Tensor | None = None

    def add(self, bits: Tensor, norm: Tensor) -> None:
        self.steps += 1
        values = torch.stack([bits, norm])
        finite = values.isfinite()
        sums, counts = torch.where(finite, values, 0), finite.float()
        self._sums = sums if self._sums is None else self._sums + sums
        self._counts = counts if self._counts is None else self._counts + counts

    def minutes(self, now: float) -> float:
        """Minutes of training until ``now``, in all."""
        return self._minutes + (now - self.began) / 60

    def means(self) -> tuple[float, float]:
        """Mean bits/dim and gradient norm over the steps where they were finite, else NaN."""
        bits, norm = (self._sums / self._counts).tolist()
        return bits, norm


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
