"""Small flows, and images for them, that the tests of `models` share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from conftest import perturb
from torch import Tensor

from models import PRESETS, Glow, GlowConfig

POINTS = GlowConfig(image_size=1, channels=2, steps=(6,), widths=(16,), squeeze=False)
SMALL = GlowConfig(image_size=8, steps=(2, 2), widths=(8, 8), prior_width=8)
UNEVEN = GlowConfig(
    image_size=8, steps=(3, 2, 1), widths=(8, 8, 8), blocks=(0, 1, 1), prior_width=8
)
BEHIND = SMALL.replace(steps=(2, 1))  # what lies behind the detail levels of the next two
ONE_DETAIL = BEHIND.replace(
    image_size=16, details=1, steps=(2, 2, 1), widths=(8,) * 3, blocks=(1,) * 3,
    context_width=4, context_blocks=1,
)  # fmt: skip
TWO_DETAILS = ONE_DETAIL.replace(
    image_size=32, details=2, steps=(1, 2, 2, 1), widths=(8,) * 4, blocks=(1,) * 4
)


def made(config: GlowConfig, amount: float = 0.05, x: Tensor | None = None) -> Glow:
    """A flow in evaluation mode, initialised from images ``x``, by default noise, and perturbed
    by ``amount``: zero-initialised nets would hide their errors."""
    torch.manual_seed(0)
    model = Glow(config)
    if x is None:
        x = torch.rand(256, *shape(config))
    model.initialize(x)
    return perturb(model, amount).eval()


def shape(config: GlowConfig) -> tuple[int, int, int]:
    return config.channels, config.image_size, config.image_size


def smooth_images(config: GlowConfig, n: int, seed: int = 1) -> Tensor:
    """Smooth images with a little noise, as photos are: (n, C, S, S) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    channels, size, _ = shape(config)
    low = torch.rand(n, channels, 4, 4, generator=generator)
    smooth = F.interpolate(low, size, mode="bilinear")
    noise = torch.randn(n, channels, size, size, generator=generator) * 0.03
    return (0.1 + 0.8 * smooth + noise).clamp(0, 1)


CONFIGS = {
    "points": POINTS,
    "published net": SMALL.replace(net="conv"),
    "tiny": PRESETS["tiny"],
    "uneven": UNEVEN,
    "without residual blocks at first": GlowConfig(
        image_size=32, steps=(1, 1, 2), widths=(8, 8, 16), blocks=(0, 1, 1), prior_width=8
    ),
    "rgb without squeeze": GlowConfig(image_size=3, steps=(2,), widths=(8,), squeeze=False),
    "one detail level": ONE_DETAIL,
    "uneven with a detail level": UNEVEN.replace(
        image_size=16, details=1, context_width=4, context_blocks=1
    ),
    "two detail levels": TWO_DETAILS,
}
