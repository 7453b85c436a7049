"""The coarse levels of a flow as a flow of their own, to train them by themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from models.config import GlowConfig
from models.glow import Glow
from models.numerics import exact_float32
from models.prior import log_normal

__all__ = ["coarse_part", "entering", "put_back"]

_CENTRE = 0.5  # images in [0, 1] enter a flow as [-0.5, 0.5): what is no image is moved up first


@torch.no_grad()
def coarse_part(model: Glow, first: int) -> Glow:
    """A copy of the levels from ``first`` on, as a flow of the images that :func:`entering` makes.

    Raises:
        ValueError: there is no such level behind the detail levels of ``model``.
    """
    config = model.config
    if not config.details <= first < config.levels:
        raise ValueError(f"Level {first} is none behind the {config.details} detail levels.")
    channels, size, _ = config.shapes()[first]
    if config.squeeze:
        channels, size = channels // 4, size * 2
    parts = {name: values[first:] for name, values in _by_level(config).items()}
    config = config.replace(channels=channels, image_size=size, details=0, **parts)
    part = Glow(config).to(model.top.mean.device)
    _copy(model, part, first - model.config.details, 0, config.levels)
    part.top.load_state_dict(model.top.state_dict())
    return part.train(model.training)


def put_back(model: Glow, part: Glow) -> Glow:
    """A copy of ``model`` with the coarse levels of ``part``, of whatever nets and depth.

    The finer levels compute what they did. The copy has no ``usual_range``.

    Raises:
        ValueError: what enters ``part`` is not what enters that many levels of ``model``.
    """
    first = model.config.levels - part.config.levels
    old, new = model.config, part.config
    if first < old.details or old.shapes()[first:] != new.shapes():
        raise ValueError("The coarse levels are not of the size of those of the flow.")
    coarse = _by_level(new)
    parts = {name: values[:first] + coarse[name] for name, values in _by_level(old).items()}
    whole = Glow(old.replace(**parts)).to(model.top.mean.device)
    whole.details.load_state_dict(model.details.state_dict())
    with torch.no_grad():
        _copy(model, whole, 0, 0, first - old.details)
        _copy(part, whole, 0, first - old.details, part.config.levels)
    whole.top.load_state_dict(part.top.state_dict())
    whole.facts = dict(model.facts)
    return whole.train(model.training)


def entering(model: Glow, x: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """What of images ``x`` (N, C, H, W) in [0, 1] enters level ``first``, and the rest's share.

    Returns:
        Images (N, C', H', W') for :func:`coarse_part`, around 0.5 but not within [0, 1], and
        (N,) in nats: log p(x) is this and the part's ``log_prob`` of them.
    """
    h = x.to(torch.float32 if model.training else torch.float64) - _CENTRE
    codes, log_det = [], h.new_zeros(len(h))
    with exact_float32(x.device):
        for level in range(first):
            h, level_log_det = model._through(level, h, None)
            log_det = log_det + level_log_det
            codes.append(h[:, model._kept(level) :].flatten(1))
            h = h[:, : model._kept(level)]
    return h + _CENTRE, log_normal(torch.cat(codes, dim=1)) + log_det


def _by_level(config: GlowConfig) -> dict[str, tuple]:
    """The fields that have one entry for each level."""
    return {
        "steps": config.steps,
        "widths": config.widths,
        "blocks": config.blocks,
        "net": config.nets,
    }


def _copy(source: Glow, target: Glow, first: int, to: int, levels: int) -> None:
    """Copy ``levels`` levels of ``source``, from ``first``, to those of ``target`` from ``to``."""
    for i in range(levels):
        target.levels[to + i].load_state_dict(source.levels[first + i].state_dict())
        if to + i < len(target.splits):
            target.splits[to + i].load_state_dict(source.splits[first + i].state_dict())
