"""How a run begins: from nothing, from given weights, or from where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import models
from glow_app.common.errors import UserError
from glow_app.faces.looks import ReferenceFrame
from glow_app.training.config import TrainConfig
from glow_app.training.data import Batches, PackedPictures
from glow_app.training.distributed import World
from glow_app.training.guard import GradientGuard
from glow_app.training.objective import Objective, means_of
from glow_app.training.optimiser import make_optimiser
from glow_app.training.run_folder import RunFolder
from glow_app.training.state import Ema, TrainState
from models import Glow, dequantize

__all__ = ["begin"]

_INIT_IMAGES = 512  # for actnorm; at least 256


def begin(
    config: TrainConfig,
    folder: RunFolder,
    training: tuple[PackedPictures, np.ndarray],
    world: World,
    init: Path | None,
    base: Path | None,
    from_constant: bool,
) -> tuple[TrainState, nn.Module, str | None]:
    """The state to train from, its objective as it is called in training, and what is to be said.

    Args:
        init: weights for a new run to start from; a run that goes on does not look at them.
        base: likewise of the flow behind the finest detail level.
        from_constant: go on from the state before the last cooldown.

    Raises:
        UserError: ``init`` or ``base`` does not fit this run.
        CheckpointError: the run cannot go on, as all its states are damaged.
    """
    saved, note = folder.states_to_resume(from_constant), None
    torch.manual_seed(config.seed)
    model = Glow(config.model).to(world.device)
    if init is not None and not saved:
        given = _given(init, config, world.device)
        note = _change_of_frame(init, given, config, training[0].frame)
        folder.starts_from(given.facts)
        model.load_state_dict(given.state_dict())
    if base is not None and not saved:
        given = models.load(base, world.device)
        if not (frame := ReferenceFrame.from_facts(given.facts)).same_as(training[0].frame):
            raise UserError(
                f"{base.name} learned {frame.words}, and the pictures are "
                f"{training[0].frame.words}: train a base on them first, with --init."
            )
        folder.starts_from(given.facts)
        model = _on_top_of(given, config, base)
    model.train()
    dtype = {"float32": None, "bfloat16": torch.bfloat16}[config.precision]
    model.set_training_dtype(dtype)
    model.set_reversible(config.reversible)
    if not saved and world.first:
        model.initialize(_initial_images(config, training, world.device))
    objective = Objective(model, config.details_only)
    trained = world.wrap(objective)  # from here on every process has rank 0's weights
    optimiser = make_optimiser(model, config)
    state = TrainState(model, Ema(model), optimiser, GradientGuard(world.device))
    if not saved:
        return state, trained, note
    return state, trained, folder.resume(state, from_constant)


def _given(init: Path, config: TrainConfig, device: torch.device) -> Glow:
    """The weights of ``init``, grown to the steps of this run."""
    given, wanted = models.load(init, device), config.model
    if {**given.config.to_dict(), "steps": None} != {**wanted.to_dict(), "steps": None}:
        raise UserError(f"{init.name} has another configuration than this run.")
    try:
        return models.grow(given, wanted.steps)
    except ValueError as error:
        raise UserError(f"{init.name} does not fit this run. {error}") from error


def _change_of_frame(
    init: Path, given: Glow, config: TrainConfig, frame: ReferenceFrame
) -> str | None:
    """What is to be said where weights of one frame go on in another.

    Raises:
        UserError: a part of them does not learn and would stay in its own.
    """
    known = ReferenceFrame.from_facts(given.facts)
    if known.same_as(frame):
        return None
    if config.details_only:
        raise UserError(
            f"{init.name} learned {known.words}, and the pictures are {frame.words}: what lies "
            "behind the detail level has to learn them, too, with --joint or as a --base."
        )
    return f"{init.name} learned {known.words}; from here on it learns {frame.words}."


def _on_top_of(base: Glow, config: TrainConfig, path: Path) -> Glow:
    """A model of this run with a fresh detail level on ``base``."""
    try:
        return models.add_detail_level(base, config.model)
    except ValueError as error:
        raise UserError(f"{path.name} does not fit this run. {error}") from error


def _initial_images(
    config: TrainConfig, training: tuple[PackedPictures, np.ndarray], device: torch.device
) -> Tensor:
    """Dequantised pictures (N, 3, S, S), or their means, that set the actnorms."""
    generator = torch.Generator().manual_seed(config.seed)
    batches = Batches(*training, min(_INIT_IMAGES, len(training[1])), config.seed, World(device))
    levels = batches.at(0, generator).cpu()
    x = dequantize(levels, config.model.n_bits, generator)
    return means_of(x, config.means).to(device)
