"""What the levels of a flow are made of, by its configuration."""

from __future__ import annotations

from models.config import GlowConfig
from models.coupling import AffineCoupling, SplitPrior
from models.detail import DetailLevel
from models.networks import NETS, LinearNet, Net, ResidualNet
from models.prior import ContextPrior
from models.step import FlowStep
from models.steps import FlowSteps

__all__ = ["detail_level", "level_steps", "split_prior"]


def detail_level(config: GlowConfig, level: int) -> DetailLevel:
    channels, _, _ = config.shapes()[level]
    half, known = channels // 2, config.context_width

    def net() -> Net:
        net = ResidualNet(
            half,
            config.widths[level],
            2 * (channels - half),
            size=None,
            blocks=config.blocks[level],
            context=4 * known,
        )
        net.input_bound = config.input_bound
        return net

    features = ResidualNet(config.channels, known, known, size=None, blocks=config.context_blocks)
    features.conv_out.reset_parameters()  # from zero nobody would learn at first
    features.input_bound = config.input_bound
    steps = [
        FlowStep(channels, AffineCoupling(net(), config.scale_bound))
        for _ in range(config.steps[level])
    ]
    prior = ContextPrior(LinearNet(4 * known, 2 * channels))
    return DetailLevel(config.channels, features, steps, prior)


def level_steps(config: GlowConfig, level: int) -> FlowSteps:
    channels, _, _ = config.shapes()[level]

    def step() -> FlowStep:
        net = _net(config, level, config.widths[level], config.blocks[level])
        return FlowStep(channels, AffineCoupling(net, config.scale_bound))

    return FlowSteps(step() for _ in range(config.steps[level]))


def split_prior(config: GlowConfig, level: int) -> SplitPrior:
    if config.prior_width:
        return SplitPrior(_net(config, level, config.prior_width, blocks=0))
    channels, _, _ = config.shapes()[level]
    half = channels // 2
    net = LinearNet(half, 2 * (channels - half))
    net.input_bound = config.input_bound
    return SplitPrior(net)


def _net(config: GlowConfig, level: int, width: int, blocks: int) -> Net:
    """A net that sees the first half of the channels and speaks of the rest, twice."""
    channels, size, _ = config.shapes()[level]
    half = channels // 2
    net = NETS[config.nets[level]](half, width, 2 * (channels - half), size=size, blocks=blocks)
    net.input_bound = config.input_bound
    return net
