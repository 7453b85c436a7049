"""More steps, or a detail level, for a trained flow, which goes on doing what it did."""

from __future__ import annotations

from collections.abc import Collection

import torch

from models.config import GlowConfig
from models.glow import Glow
from models.step import FlowStep

__all__ = ["add_attention", "add_detail_level", "grow", "put_on_base"]


@torch.no_grad()
def grow(model: Glow, steps: tuple[int, ...]) -> Glow:
    """A copy of ``model`` with ``steps`` steps in each level, finest first, and the same f and g.

    Training then goes on from what was learned, with more to learn with (Chen et al. 2016,
    Net2Net: function-preserving growth). The new steps are spread evenly among the old ones. With
    more states to know, the copy has no ``usual_range``.

    Raises:
        ValueError: another number of levels, or fewer steps than there are; one sentence.
    """
    before = model.config.steps
    if len(steps) != len(before) or any(n < b for n, b in zip(steps, before, strict=False)):
        raise ValueError(f"A flow with {before} steps cannot grow to {tuple(steps)}.")
    grown = Glow(model.config.replace(steps=tuple(steps))).to(model.top.mean.device)
    for new_level, old_level in zip(grown.details, model.details, strict=True):
        new_level.context.load_state_dict(old_level.context.state_dict())
        new_level.prior.load_state_dict(old_level.prior.state_dict())
    grown.splits.load_state_dict(model.splits.state_dict())
    grown.top.load_state_dict(model.top.state_dict())
    for old_steps, new_steps in zip(model.chains, grown.chains, strict=True):
        added, old_count, free = len(new_steps) - len(old_steps), len(old_steps), iter(new_steps)
        for i, old in enumerate(old_steps):
            here = (i + 1) * added // old_count - i * added // old_count
            _extend([next(free) for _ in range(here + 1)], old)
    grown.facts = dict(model.facts)
    return grown.train(model.training)


@torch.no_grad()
def add_detail_level(base: Glow, config: GlowConfig) -> Glow:
    """A flow of ``config`` whose parts behind the finest detail level are those of ``base``.

    The new level starts from its random weights. The usual range of states of ``base`` does not
    know it, so the result has none.

    Raises:
        ValueError: ``base`` is no flow of the means that ``config`` leaves; one sentence.
    """
    if not config.details or config.behind_finest() != base.config:
        raise ValueError("Its configuration is not that of the flow behind the detail level.")
    model = Glow(config).to(base.top.mean.device)
    for new, old in zip(model.details[1:], base.details, strict=True):
        new.load_state_dict(old.state_dict())
    for name in ("levels", "splits", "top"):
        getattr(model, name).load_state_dict(getattr(base, name).state_dict())
    return model.train(base.training)


@torch.no_grad()
def add_attention(model: Glow, levels: Collection[int]) -> Glow:
    """A copy of ``model`` whose nets of ``levels`` attend after their blocks; the same f and g.

    Attention starts as the identity. The copy has no ``usual_range``.

    Raises:
        ValueError: the nets of those levels are none that attention can be added to.
    """
    nets = list(model.config.nets)
    for level in levels:
        if not model.config.details <= level < len(nets) or nets[level] != "residual":
            raise ValueError(f"Level {level} has no residual nets to add attention to.")
        nets[level] = "attention"
    attentive = Glow(model.config.replace(net=tuple(nets))).to(model.top.mean.device)
    attentive.load_state_dict(model.state_dict(), strict=False)
    attentive.facts = dict(model.facts)
    return attentive.train(model.training)


@torch.no_grad()
def put_on_base(model: Glow, base: Glow) -> Glow:
    """A copy of ``model`` on another ``base`` behind its finest detail level, with no range.

    Details are conditioned on the means alone, whatever flow those have.

    Raises:
        ValueError: ``base`` has another configuration than what ``model`` stands on; one sentence.
    """
    moved = add_detail_level(base, model.config)
    moved.details[0].load_state_dict(model.details[0].state_dict())
    moved.facts = dict(model.facts)
    return moved.train(model.training)


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
