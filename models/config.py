"""The configuration of a flow, and the named presets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.nets import NETS

# Fields that older files still have, each with the one value that is still supported.
_REMOVED: dict[str, Any] = {"dropout": 0.0, "scale_map": "tanh"}


@dataclass(frozen=True)
class GlowConfig:
    """Everything that determines the architecture of a :class:`models.Glow`.

    Tuples have one entry for each level, finest first.

    Raises:
        ValueError: the numbers do not fit together; one sentence.
    """

    image_size: int = 64  # height and width of the images in pixels
    channels: int = 3
    steps: tuple[int, ...] = (4, 6, 8, 6)  # steps of flow
    widths: tuple[int, ...] = (64, 96, 160, 192)  # channels inside the coupling nets
    blocks: tuple[int, ...] = ()  # residual blocks in each coupling net; () is one a net
    net: str = "residual"  # a name in models.NETS
    prior_width: int = 64  # channels inside the nets of the split priors; 0: one convolution only
    scale_bound: float = 2.0  # largest |log s| of a coupling
    input_bound: float = 3.0  # nets see their inputs, of unit variance, clamped to this
    n_bits: int = 8  # bits of a pixel's channel; 8 is an ordinary picture
    squeeze: bool = True  # False: levels keep the resolution, for 2-D points as 1x1 images
    details: int = 0  # so many of the first levels are detail levels, each on half the size
    context_width: int = 32  # channels of the features that details are conditioned on
    context_blocks: int = 3  # residual blocks of the net that computes them

    def __post_init__(self) -> None:
        for name in ("steps", "widths", "blocks"):  # JSON has lists only
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.blocks:
            object.__setattr__(self, "blocks", (1,) * len(self.steps))
        if not self.steps or len({len(self.steps), len(self.widths), len(self.blocks)}) != 1:
            raise ValueError("steps, widths and blocks need one entry for each level.")
        if min(self.steps) < 1 or min(self.widths) < 1 or min(self.blocks) < 0:
            raise ValueError("steps and widths are at least 1, blocks at least 0.")
        if self.net not in NETS:
            raise ValueError(f"net is one of {', '.join(sorted(NETS))}, not {self.net!r}.")
        if self.prior_width < 0:
            raise ValueError("prior_width is at least 0.")
        if not 0 <= self.details < self.levels or (self.details and not self.squeeze):
            raise ValueError("details is below the number of levels, and 0 without squeeze.")
        if self.details and (self.context_width < 1 or self.context_blocks < 0):
            raise ValueError("context_width is at least 1, context_blocks at least 0.")
        for name in () if self.details else ("context_width", "context_blocks"):
            object.__setattr__(self, name, getattr(type(self), name))  # unused: compare equal
        if self.squeeze and self.image_size % 2**self.levels:
            raise ValueError(f"image_size {self.image_size} cannot be halved {self.levels} times.")
        if min(c for c, _, _ in self.shapes()) < 2:
            raise ValueError("A level is left with less than two channels to couple.")
        if self.scale_bound <= 0 or self.input_bound <= 0:
            raise ValueError("scale_bound and input_bound are above 0.")
        if not 1 <= self.n_bits <= 8:
            raise ValueError("n_bits is between 1 and 8.")

    @property
    def levels(self) -> int:
        return len(self.steps)

    @property
    def dims(self) -> int:
        """Number of values in one image, and in its code z."""
        return self.channels * self.image_size**2

    def shapes(self) -> list[tuple[int, int, int]]:
        """Return (C, H, W) of the inputs of the steps of each level, finest first."""
        shapes, channels, size = [], self.channels, self.image_size
        for _ in range(self.details):
            size //= 2
            shapes.append((12 * channels, size // 2, size // 2))  # squeezed
        for level in range(self.details, self.levels):
            if self.squeeze:
                channels, size = channels * 4, size // 2
            shapes.append((channels, size, size))
            if level < self.levels - 1:
                channels //= 2  # the split keeps the first half
        return shapes

    def code_shapes(self) -> list[tuple[int, int, int]]:
        """Return (C, H, W) of the part of z that leaves the flow at each level, finest first."""
        shapes = self.shapes()
        details = [(c // 4, 2 * h, 2 * w) for c, h, w in shapes[: self.details]]
        split = [(c - c // 2, h, w) for c, h, w in shapes[self.details : -1]]
        return [*details, *split, shapes[-1]]

    def behind_finest(self) -> GlowConfig:
        """Return the configuration of the flow behind the finest detail level."""
        parts = {name: getattr(self, name)[1:] for name in ("steps", "widths", "blocks")}
        return self.replace(image_size=self.image_size // 2, details=self.details - 1, **parts)

    def state_channels(self) -> tuple[int, ...]:
        """Return the channels of the state after each step of flow, finest level first."""
        each = zip(self.steps, self.shapes(), strict=True)
        return tuple(channels for steps, (channels, _, _) in each for _ in range(steps))

    def replace(self, **changes: Any) -> GlowConfig:
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> GlowConfig:
        """Undo :meth:`to_dict`; files may still have the fields of ``_REMOVED``.

        Raises:
            ValueError: a field has a value that is not supported.
            TypeError: a field is unknown.
        """
        fields = dict(fields)
        for name, neutral in _REMOVED.items():
            if (value := fields.pop(name, neutral)) != neutral:
                raise ValueError(f"{name} {value!r} is no longer supported.")
        return cls(**fields)


PRESETS: dict[str, GlowConfig] = {
    # The released model. Most steps at 8x8 and 4x4, where they are cheap (docs/architecture.md).
    # Reached 2.732 bits/dim on 1,281 held-out faces after 515,520 images on two CPU cores, the
    # first 340,000 of them with 2/4/8/10 steps.
    "faces64": GlowConfig(image_size=64, steps=(6, 6, 8, 10), widths=(64, 96, 160, 128)),
    # faces64 and a detail level on it, which is half of the work for each picture.
    "faces128": GlowConfig(
        image_size=128, steps=(6, 6, 6, 8, 10), widths=(64, 64, 96, 160, 128), details=1
    ),
    # Under half of the parameters and of the work of faces64, for a few thousand pictures.
    "small64": GlowConfig(image_size=64, steps=(4, 4, 6, 8), widths=(48, 64, 96, 96)),
    # small64 and a detail level on it.
    "small128": GlowConfig(
        image_size=128, steps=(4, 4, 4, 6, 8), widths=(48, 48, 64, 96, 96), details=1
    ),
    # faces128 and a second detail level, half as wide: sharp pictures of that size are few.
    "faces256": GlowConfig(
        image_size=256, steps=(6, 6, 6, 6, 8, 10), widths=(32, 64, 64, 96, 160, 128), details=2
    ),
    # Kingma & Dhariwal (2018): 32 steps a level, published nets of width 512. For comparison
    # only: at 64x64 it costs about twenty times as much a frame as faces64.
    "paper": GlowConfig(
        image_size=64,
        steps=(32, 32, 32, 32),
        widths=(512, 512, 512, 512),
        blocks=(0, 0, 0, 0),
        net="conv",
    ),
    # Trains in seconds on a laptop; for tests and for trying things out.
    "tiny": GlowConfig(image_size=16, steps=(2, 2), widths=(16, 16), prior_width=16),
}
