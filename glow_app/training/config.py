"""The settings of a training run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from glow_app.faces.coding import Coding
from models import GlowConfig


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training run, all of which are in ``config.json`` of its folder.

    Those named in ``_MAY_CHANGE`` may differ when the run is resumed.
    """

    model: GlowConfig
    steps: int | None = None  # optimizer steps in all; with minutes, whichever ends first
    minutes: float | None = None  # training time in all, over all resumes
    batch: int = 32  # pictures a step, over all processes
    lr: float = 1e-3  # AdamW, betas 0.9 and 0.99
    weight_decay: float = 1e-4  # on the convolutions of the nets only
    warmup_steps: int = 100
    cooldown: float = 0.25  # last part of the run, in which the learning rate falls to 1 %
    clip: float = 1.0  # largest gradient norm
    ema: float = 0.999
    seed: int = 0
    coding: Coding | None = None  # JPEG coding of the pictures, kept with the weights
    details_only: bool = False  # train only the finest detail level
    crops: int = 0  # pixels a side of random crops to train details on; 0: whole images
    means: int = 0  # halvings of the pictures by means of 2x2, as behind detail levels
    mixed: bool = False  # halve every other picture as small photos are, and not by means
    precision: str = "float32"  # inside the nets while training: "float32" or "bfloat16"
    reversible: bool = False  # recompute activations: memory does not grow with the steps
    compile: bool = False  # the couplings, by torch.compile
    graph: bool = False  # replay forward and backward as CUDA graphs; one process on a GPU
    log_steps: int = 20
    eval_steps: int = 500
    checkpoint_minutes: float = 2.0
    eval_images: int = 512  # held-out pictures measured at each evaluation; all at the end

    def __post_init__(self) -> None:
        if self.details_only and not self.model.details:
            raise ValueError("This model has no detail level to train.")
        if self.crops and not self.details_only:
            raise ValueError("Only a detail level by itself can be trained on crops.")
        if self.crops % 4 or self.crops > self.model.image_size:
            raise ValueError("Crops have a side that 4 divides, and are no larger than pictures.")
        if self.mixed and not self.means:
            raise ValueError("Only means can be mixed with pictures of their size.")

    _MAY_CHANGE = frozenset({
        "steps", "minutes", "cooldown", "reversible", "compile", "graph",
        "log_steps", "eval_steps", "eval_images", "checkpoint_minutes",
    })  # fmt: skip

    @property
    def picture_size(self) -> int:
        """Pixels a side of the training pictures, before any halving."""
        return self.model.image_size * 2**self.means

    def fixed(self) -> dict[str, Any]:
        """Return the settings that must stay the same when a run is resumed."""
        everything = dataclasses.asdict(self)
        return {k: v for k, v in everything.items() if k not in self._MAY_CHANGE}
