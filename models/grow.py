"""Flows made of trained flows: more steps, or a detail level on another base.

All functions return a new flow without a ``usual_range``, since its states are others.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn

from models.config import GlowConfig
from models.glow import Glow
from models.steps import FlowStep


@torch.no_grad()
def grow(model: Glow, steps: tuple[int, ...]) -> Glow:
    """Return a copy of ``model`` with more steps that computes the same f and g.

    Training then goes on from what was learned, with more to learn with (Chen et al. 2016,
    Net2Net: function-preserving growth). The new steps are spread evenly among the old ones.

    Args:
        steps: number of steps of each level, finest first.

    Raises:
        ValueError: another number of levels, or fewer steps than there are; one sentence.
    """
    before = model.config.steps
    if len(steps) != len(before) or any(n < b for n, b in zip(steps, before, strict=False)):
        raise ValueError(f"A flow with {before} steps cannot grow to {tuple(steps)}.")
    grown = _new(model.config.replace(steps=tuple(steps)), model)
    for old_level, new_level in zip(model.levels, grown.levels, strict=True):
        state = old_level.state_dict()
        others = {name: value for name, value in state.items() if not name.startswith("steps.")}
        new_level.load_state_dict(others, strict=False)
        added, old_count = len(new_level.steps) - len(old_level.steps), len(old_level.steps)
        free = iter(new_level.steps)
        for i, old in enumerate(old_level.steps):
            here = (i + 1) * added // old_count - i * added // old_count
            _extend([next(free) for _ in range(here + 1)], old)
    grown.facts = dict(model.facts)
    return grown


def _extend(chain: list[FlowStep], old: FlowStep) -> None:
    """Make ``chain`` compute what ``old`` does; all but its last step are new.

    The first step takes over the mixing of ``old``, so that new couplings see the numbers that
    its coupling saw, of unit variance; the last one takes over the coupling. In between the
    channels are only permuted: first the halves change places, so that the first new coupling
    changes the half that the old one looks at.
    """
    chain[-1].load_state_dict(old.state_dict())
    if len(chain) == 1:
        return
    channels = len(old.actnorm.bias)
    eye = torch.eye(channels, dtype=torch.float64, device=old.actnorm.bias.device)
    permutation = eye.roll(channels // 2, dims=0)
    chain[0].actnorm.load_state_dict(old.actnorm.state_dict())
    chain[0].conv.set_weight(permutation @ old.conv.weight(torch.float64))
    for step in chain[1:-1]:
        shuffle = eye[torch.randperm(channels)]
        step.conv.set_weight(shuffle)
        permutation = shuffle @ permutation
    chain[-1].conv.set_weight(permutation.T)
    for step in chain[1:]:
        step.actnorm.bias.zero_()
        step.actnorm.log_scale.zero_()
        step.actnorm.initialized.fill_(True)


def add_detail_level(base: Glow, config: GlowConfig) -> Glow:
    """Return a flow of ``config`` whose levels behind the finest one are those of ``base``.

    The new detail level starts from its random weights.

    Raises:
        ValueError: ``base`` is no flow of the means that ``config`` leaves; one sentence.
    """
    if not config.details or config.behind_finest() != base.config:
        raise ValueError("Its configuration is not that of the flow behind the detail level.")
    model = _new(config, base)
    _copy(base.levels, model.levels[1:])
    return model


def put_on_base(model: Glow, base: Glow) -> Glow:
    """Return a copy of ``model`` on another ``base`` behind its finest detail level.

    Details are conditioned on the means alone, whatever flow those have.

    Raises:
        ValueError: ``base`` has another configuration than the flow behind that level; one
            sentence.
    """
    moved = add_detail_level(base, model.config)
    _copy(model.levels[:1], moved.levels[:1])
    moved.facts = dict(model.facts)
    return moved.train(model.training)


def _new(config: GlowConfig, like: Glow) -> Glow:
    """Make an untrained flow on the device and in the mode of ``like``."""
    return Glow(config).to(like.device).train(like.training)


def _copy(source: Collection[nn.Module], target: Collection[nn.Module]) -> None:
    """Copy the weights of ``source`` into ``target``, level by level."""
    for old, new in zip(source, target, strict=True):
        new.load_state_dict(old.state_dict())
