"""The training loop: maximise the exact log-likelihood of dequantised pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glow_app.common.errors import UserError
from glow_app.training.config import TrainConfig
from glow_app.training.data import Batches, PackedPictures
from glow_app.training.distributed import World
from glow_app.training.evaluation import Evaluation
from glow_app.training.graphs import graphed, tuned_convolutions
from glow_app.training.guard import GradientGuard
from glow_app.training.log import QuietLog, RunLog
from glow_app.training.meter import Meter
from glow_app.training.objective import means_of
from glow_app.training.reduced import mixture
from glow_app.training.run_folder import RunFolder
from glow_app.training.schedule import done_share, ema_decay, learning_rate
from glow_app.training.signals import wish_to_stop
from glow_app.training.start import begin
from models import dequantize

__all__ = ["train"]

_GIVE_UP_AFTER = 200  # skipped steps in a row


def train(
    config: TrainConfig,
    out: Path,
    training: tuple[PackedPictures, np.ndarray],
    held_out: tuple[PackedPictures, np.ndarray],
    world: World,
    init: Path | None = None,
    base: Path | None = None,
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
            are grown. What they say of themselves stays in the new ones as "started_from". They
            may be of another frame than the pictures (`glow_app.faces.looks`), which is said.
        base: weights of the flow behind the finest detail level, for a new run to start from;
            of the frame of the pictures.
        facts: what to say of the data in the saved weights.
        from_constant: continue from the state before the last cooldown, not from the one after.
        clock: seconds, for ``config.minutes`` and the rates that are reported.

    Raises:
        UserError: the run in ``out`` is another one or still at work, the batch cannot be shared
            by the processes, looks and whole crops would be mixed, or training diverged.
        OSError: the disk is full; the last good checkpoint is kept.
    """
    if config.batch % world.size:
        raise UserError(f"A batch of {config.batch} cannot be shared by {world.size} processes.")
    frame = training[0].frame
    if len(held_out[1]) and not (other := held_out[0].frame).same_as(frame):
        raise UserError(f"--data holds {frame.words}, and --val {other.words}.")
    folder = RunFolder(out)
    with folder.held() if world.first else nullcontext():
        _train(config, folder, training, held_out, world, init, base, facts, from_constant, clock)
    return folder.weights


def _train(
    config: TrainConfig,
    folder: RunFolder,
    training: tuple[PackedPictures, np.ndarray],
    held_out: tuple[PackedPictures, np.ndarray],
    world: World,
    init: Path | None,
    base: Path | None,
    facts: dict[str, Any] | None,
    from_constant: bool,
    clock: Callable[[], float],
) -> None:
    """`train`, once the folder is held."""
    data, frame = training[0].fingerprint, training[0].frame
    if world.first:
        folder.open(config, data, frame)
    world.wait()
    state, trained, warning = begin(config, folder, training, world, init, base, from_constant)
    if world.first:
        folder.claim(config, data, frame)
    crop, grid = config.crops * 2**config.means, 4 * 2**config.means
    batches = Batches(*training, config.batch, config.seed, world, crop, grid)
    evaluation = Evaluation(config, folder, training, held_out, world, facts or {})

    def images(step: int) -> Tensor:
        """This process's part of the batch of ``step``, in [0, 1]."""
        # Everything random in a step follows from its number: resuming needs no RNG state.
        seed = (config.seed * 1_000_003 + step) * 2 + 1
        generator = torch.Generator(world.device).manual_seed(seed)
        levels = batches.at(step, generator)
        # For the whole batch: what one process sees must not depend on how many there are.
        shape = (config.batch, *levels.shape[1:])
        noise = world.share(torch.rand(shape, generator=generator, device=world.device))
        n_bits = config.model.n_bits
        if config.mixed:
            return mixture(levels, config.means, n_bits, noise)
        return means_of(dequantize(levels, n_bits, noise=noise), config.means)

    def loss(step: int) -> Tensor:
        """Mean bits a number of those."""
        return trained(images(step)).mean()

    def done() -> float:
        return done_share(state.step, state.minutes, config.steps, config.minutes)

    def line(meter: Meter) -> dict[str, Any]:
        """A record of the log; the host waits for the device."""
        measured, state.minutes = meter.values(world, config.batch)
        if measured:
            measured["lr"] = state.lr
        return {
            "step": state.step,
            "images": state.step * config.batch,
            **measured,
            "skipped": int(state.guard.skipped),
            "minutes": round(state.minutes, 3),
        }

    on_gpu = world.device.type == "cuda"
    log_to = RunLog(folder.path, state.step) if world.first else QuietLog()
    with log_to as log, tuned_convolutions(world.device):
        log.say(
            f"{state.model.parameter_count:,} parameters, {len(training[1]):,} pictures, "
            f"{len(held_out[1]):,} held out, {world}, {config.precision}, "
            f"from step {state.step:,}."
        )
        if warning is not None:
            log.say(warning)
        if config.compile:  # paid for before the clock of the run starts
            began = time.monotonic()
            state.model.compile_couplings()
            loss(state.step).backward()
            if on_gpu:
                torch.cuda.synchronize(world.device)
            log.say(f"Compiled in {time.monotonic() - began:.0f} s.")
        if config.graph and on_gpu and world.size == 1:
            trained = graphed(trained, images(state.step))

        meter, kept_at = Meter(clock, state.minutes), time.monotonic()
        with wish_to_stop() as stop:
            while True:
                # All processes stop together, and go by the clock of the first.
                stop.there = world.total([float(stop.there)])[0] > 0
                state.minutes = world.told([state.minutes])[0]
                if stop.there or done() >= 1.0:
                    break

                rate = learning_rate(
                    config.lr, state.lr, done(), config.warmup_steps, config.cooldown
                )
                if world.first and state.lr == config.lr > rate:  # the cooldown begins
                    with meter.paused():
                        folder.keep(state, folder.constant)
                state.lr = rate
                for group in state.optimizer.param_groups:
                    group["lr"] = rate

                state.optimizer.zero_grad(set_to_none=True)
                bits = loss(state.step)
                bits.backward()
                norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), config.clip)
                # How GradScaler tells a fused optimiser, on the device, to leave a step out.
                state.optimizer.found_inf = state.guard.judge(norm)
                state.optimizer.step()
                state.ema.update(state.model, ema_decay(config.ema, state.step))
                state.step += 1
                meter.add(bits.detach(), norm)

                evaluated = state.step % config.eval_steps == 0
                if evaluated or state.step % config.log_steps == 0:
                    _give_up_if_diverged(state.guard)
                    values = line(meter)
                    if evaluated:
                        values |= evaluation.on_the_way(state, log)
                    log.record(values)
                    meter = Meter(clock, state.minutes)
                else:
                    state.minutes = meter.minutes()
                log.advance(done())
                if world.first and time.monotonic() - kept_at >= config.checkpoint_minutes * 60:
                    with meter.paused():
                        folder.keep(state, folder.newest)
                    kept_at = time.monotonic()

        if world.first:
            folder.keep(state, folder.newest)
        if stop.there:
            log.say(f"Stopped at step {state.step:,}; the same command continues.")
            raise KeyboardInterrupt
        log.record(line(meter) | evaluation.at_the_end(state, log))
        log.say(f"Done: {folder.weights}")


def _give_up_if_diverged(guard: GradientGuard) -> None:
    skipped = int(guard.in_a_row)
    if skipped >= _GIVE_UP_AFTER:
        raise UserError(
            f"Training diverged: {skipped} steps in a row had a gradient that is "
            "not finite or far too large; try a lower --lr."
        )
