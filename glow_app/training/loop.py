"""The training loop: maximise the exact log-likelihood of dequantised pictures."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

import models
from glow_app.common.errors import UserError
from glow_app.faces.looks import ReferenceFrame
from glow_app.training.config import TrainConfig
from glow_app.training.data import Batches, PackedPictures, means_of, mixture
from glow_app.training.distributed import World
from glow_app.training.evaluation import Evaluation, Meter, RunLog
from glow_app.training.optimization import (
    Ema,
    GradientGuard,
    Objective,
    ema_decay,
    graphed,
    learning_rate,
    make_optimizer,
    progress,
    tuned_convolutions,
)
from glow_app.training.run_folder import RunFolder, TrainState
from models import Glow, GlowConfig, dequantize

_INIT_IMAGES = 512  # for actnorm; at least 256
_GIVE_UP_AFTER = 200  # skipped steps in a row


def train(
    config: TrainConfig,
    out: Path,
    training: PackedPictures,
    held_out: PackedPictures,
    world: World,
    init: Path | None = None,
    base: Path | None = None,
    facts: dict[str, Any] | None = None,
    from_constant: bool = False,
) -> Path:
    """Train, or resume the run in ``out``.

    The same call again after any interruption, kill -9 included, continues from the last
    checkpoint; on one CPU it ends with the same numbers as an uninterrupted run (by steps). The
    state before the cooldown stays in ``checkpoint/constant.safetensors``.

    Args:
        out: the run folder: config.json, stats.jsonl, samples/, checkpoint/, model.safetensors.
        held_out: pictures for validation.
        init: weights to start a new run from; with fewer steps of flow they are grown. Their facts
            stay in the new ones as "started_from". They may be of another frame than the pictures
            (`glow_app.faces.looks`), which is logged.
        base: weights of the flow behind the finest detail level, for a new run to start from;
            of the frame of the pictures.
        facts: facts about the data, to be saved with the weights.
        from_constant: continue from the state before the last cooldown, not from the one after.

    Returns:
        the path of ``out/model.safetensors``, the averaged weights.

    Raises:
        UserError: the run in ``out`` is another one or still at work, the batch cannot be shared
            by the processes, looks and whole crops would be mixed, ``init`` or ``base`` does not
            fit, or training diverged.
        CheckpointError: the run cannot go on, as all its checkpoints are damaged.
        KeyboardInterrupt: SIGINT or SIGTERM; the state is saved.
        OSError: the disk is full; the last good checkpoint is kept.
    """
    if config.batch % world.size:
        raise UserError(f"A batch of {config.batch} cannot be shared by {world.size} processes.")
    frame = training.frame
    if len(held_out) and not (other := held_out.frame).same_as(frame):
        raise UserError(f"--data holds {frame.words}, and --val {other.words}.")
    folder = RunFolder(out)
    with folder.locked() if world.is_main else nullcontext():
        if world.is_main:
            folder.open(config, training.fingerprint, frame)
        world.barrier()
        state, trained, notice = _start(config, folder, training, world, init, base, from_constant)
        if world.is_main:
            folder.write_settings(config, training.fingerprint, frame)
        evaluation = Evaluation(config, folder, training, held_out, world, facts or {})
        _run(state, trained, evaluation, notice)
    return folder.weights


def _run(
    state: TrainState, trained: nn.Module, evaluation: Evaluation, notice: str | None
) -> None:
    """Take the steps that are left; ``trained`` and ``notice`` as :func:`_start` returns them."""
    config, folder, world = evaluation.config, evaluation.folder, evaluation.world
    training, held_out = evaluation.training, evaluation.held_out
    crop, grid = config.crops * 2**config.means, 4 * 2**config.means
    batches = Batches(training, config.batch, config.seed, world, crop, grid)

    def images(step: int) -> Tensor:
        """Return this process's part of the batch of ``step``, in [0, 1]."""
        # Everything random in a step follows from its number: resuming needs no RNG state.
        seed = (config.seed * 1_000_003 + step) * 2 + 1
        generator = torch.Generator(world.device).manual_seed(seed)
        levels = batches.at(step, generator)
        # For the whole batch: what one process sees must not depend on how many there are.
        shape = (config.batch, *levels.shape[1:])
        noise = world.shard(torch.rand(shape, generator=generator, device=world.device))
        n_bits = config.model.n_bits
        if config.mixed:
            return mixture(levels, config.means, n_bits, noise)
        return means_of(dequantize(levels, n_bits, noise=noise), config.means)

    def loss(step: int) -> Tensor:
        return trained(images(step)).mean()

    def done() -> float:
        return progress(state.step, state.minutes, config.steps, config.minutes)

    def record(meter: Meter) -> dict[str, Any]:
        """Return a record for the log; the host waits for the device."""
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
    log_to = RunLog(folder.path if world.is_main else None, state.step)
    with closing(log_to) as log, tuned_convolutions(world.device):
        log.print(
            f"{state.model.parameter_count:,} parameters, {len(training):,} pictures, "
            f"{len(held_out):,} held out, {world}, {config.precision}, "
            f"from step {state.step:,}."
        )
        if notice is not None:
            log.print(notice)
        if config.compile:  # paid for before the clock of the run starts
            began = time.monotonic()
            state.model.compile_couplings()
            loss(state.step).backward()
            if on_gpu:
                torch.cuda.synchronize(world.device)
            log.print(f"Compiled in {time.monotonic() - began:.0f} s.")
        if config.graph and on_gpu and world.size == 1:
            trained = graphed(trained, images(state.step))

        meter, saved_at = Meter(world.device, state.minutes), time.monotonic()
        with stop_on_signal() as stop:
            while True:
                # All processes stop together, and go by the clock of the main one.
                clock_of_main = state.minutes if world.is_main else 0.0
                stops, state.minutes = world.all_sum([float(stop.made), clock_of_main])
                stop.made = stops > 0
                if stop.made or done() >= 1.0:
                    break

                rate = learning_rate(
                    config.lr, state.lr, done(), config.warmup_steps, config.cooldown
                )
                if world.is_main and state.lr == config.lr > rate:  # the cooldown begins
                    with meter.paused():
                        folder.save(state, folder.constant)
                state.lr = rate
                for group in state.optimizer.param_groups:
                    group["lr"] = rate

                state.optimizer.zero_grad(set_to_none=True)
                bits = loss(state.step)
                bits.backward()
                norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), config.clip)
                # How GradScaler tells a fused optimizer, on the device, to leave a step out.
                skip = state.guard.should_skip(norm)
                state.optimizer.found_inf = skip  # pyright: ignore[reportAttributeAccessIssue]
                state.optimizer.step()
                state.ema.update(state.model, ema_decay(config.ema, state.step))
                state.step += 1
                meter.add(bits.detach(), norm)

                evaluated = state.step % config.eval_steps == 0
                if evaluated or state.step % config.log_steps == 0:
                    if (skipped := int(state.guard.in_a_row)) >= _GIVE_UP_AFTER:
                        raise UserError(
                            f"Training diverged: {skipped} steps in a row had a gradient that is "
                            "not finite or far too large; try a lower --lr."
                        )
                    values = record(meter)
                    if evaluated:
                        values |= evaluation.run(state, log, final=False)
                    log.record(values)
                    meter = Meter(world.device, state.minutes)
                else:
                    state.minutes = meter.minutes()
                log.advance(done())
                if world.is_main and time.monotonic() - saved_at >= config.checkpoint_minutes * 60:
                    with meter.paused():
                        folder.save(state, folder.latest)
                    saved_at = time.monotonic()

        if world.is_main:
            folder.save(state, folder.latest)
        if stop.made:
            log.print(f"Stopped at step {state.step:,}; the same command continues.")
            raise KeyboardInterrupt
        log.record(record(meter) | evaluation.run(state, log, final=True))
        log.print(f"Done: {folder.weights}")


@dataclass
class StopRequest:
    """Whether the run is to stop after the current step."""

    made: bool = False  # and no threading.Event: its lock could be held when a signal comes


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Take the first SIGINT or SIGTERM inside the block as a request; the second stops at once."""
    stop = StopRequest()

    def request(signum: int, frame: FrameType | None) -> None:
        if stop.made:
            raise KeyboardInterrupt
        stop.made = True

    before = {s: signal.signal(s, request) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


# ---------------------------------------------------------------------- how a run starts


def _start(
    config: TrainConfig,
    folder: RunFolder,
    training: PackedPictures,
    world: World,
    init: Path | None,
    base: Path | None,
    from_constant: bool,
) -> tuple[TrainState, nn.Module, str | None]:
    """Build the state to train from: new, from given weights, or from a checkpoint.

    A run that is resumed does not look at ``init`` and ``base``.

    Returns:
        the state; its objective, as it is called in training; a notice for the log or None.
    """
    resumed, notice = bool(folder.checkpoints(from_constant)), None
    torch.manual_seed(config.seed)
    model = Glow(config.model).to(world.device)
    given = init or base
    if given is not None and not resumed:
        weights = models.load(given, world.device)
        folder.set_origin(weights.facts)
        if init is not None and not _differ_by_steps_only(weights.config, config.model):
            raise UserError(f"{init.name} has another configuration than this run.")
        notice = _change_of_frame(weights, given, config, training.frame, as_base=init is None)
        try:
            if init is not None:
                model = models.grow(weights, config.model.steps)
            else:
                model = models.add_detail_level(weights, config.model)
        except ValueError as error:
            raise UserError(f"{given.name} does not fit this run. {error}") from error
    model.train()
    model.set_training_dtype(torch.bfloat16 if config.precision == "bfloat16" else None)
    model.set_reversible(config.reversible)
    if not resumed and world.is_main:
        model.initialize(_initial_images(config, training, world.device))
    objective = Objective(model, config.details_only)
    trained = world.data_parallel(objective)  # from here on all ranks have rank 0's weights
    optimizer = make_optimizer(model, config)
    state = TrainState(model, Ema(model), optimizer, GradientGuard(world.device))
    if resumed:
        notice = folder.resume(state, from_constant)
    return state, trained, notice


def _differ_by_steps_only(a: GlowConfig, b: GlowConfig) -> bool:
    return {**a.to_dict(), "steps": None} == {**b.to_dict(), "steps": None}


def _change_of_frame(
    weights: Glow, path: Path, config: TrainConfig, frame: ReferenceFrame, as_base: bool
) -> str | None:
    """Return a notice if weights of one frame go on in another, None if they do not.
    Raises UserError: a part of them does not learn and would stay in its own."""
    learned = ReferenceFrame.from_facts(weights.facts)
    if learned.same_as(frame):
        return None
    both = f"{path.name} learned {learned.words}, and the pictures are {frame.words}"
    if as_base:
        raise UserError(f"{both}: train a base on them first, with --init.")
    if config.details_only:
        raise UserError(
            f"{both}: what lies behind the detail level has to learn them, too, with --joint or "
            "as a --base."
        )
    return f"{path.name} learned {learned.words}; from here on it learns {frame.words}."


def _initial_images(config: TrainConfig, training: PackedPictures, device: torch.device) -> Tensor:
    """Return dequantised pictures, or their means, that initialise the actnorms."""
    generator = torch.Generator().manual_seed(config.seed)
    batches = Batches(training, min(_INIT_IMAGES, len(training)), config.seed, World(device))
    levels = batches.at(0, generator).cpu()
    x = dequantize(levels, config.model.n_bits, generator)
    return means_of(x, config.means).to(device)
