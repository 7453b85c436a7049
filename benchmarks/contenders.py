"""The two flows that are compared, built alike and driven by the same few calls."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.timing import Work, adamw_step
from glow_app.training.optimization import Objective, graphed
from models import PRESETS, Glow, GlowConfig, bits_per_dim

__all__ = ["CONTENDERS", "Contender", "NormflowsGlow", "OurGlow", "Workload"]

_INIT_IMAGES = 256  # for the actnorms


@dataclass(frozen=True)
class Workload:
    """The architecture and the batch of a comparison: the `paper` preset, scaled down.

    Attributes:
        steps: steps of flow in each level, K.
        levels: number of levels, L.
        width: channels inside the coupling nets.
        image_size: height and width of the pictures.
        batch: pictures a training step.
    """

    steps: int
    levels: int
    width: int
    image_size: int = 32
    batch: int = 32

    def config(self) -> GlowConfig:
        """Ours; the split priors are the published single convolution."""
        return PRESETS["paper"].replace(
            image_size=self.image_size,
            steps=(self.steps,) * self.levels,
            widths=(self.width,) * self.levels,
            blocks=(0,) * self.levels,
            prior_width=0,
        )

    def pictures(self, n: int, device: torch.device) -> Tensor:
        """Random ones (n, 3, S, S) in [0, 1), always the same."""
        generator = torch.Generator().manual_seed(0)
        return torch.rand(n, 3, self.image_size, self.image_size, generator=generator).to(device)


class Contender:
    """A flow to be timed. Subclasses say how it is called; all calls are ready to repeat.

    Attributes:
        model: the module, initialised from data.
        device: where it is.
    """

    name: str
    model: nn.Module
    device: torch.device

    def __init__(self, workload: Workload, device: torch.device) -> None:
        raise NotImplementedError

    def loss(self, x: Tensor) -> Tensor:
        """Mean negative log-likelihood of ``x``, up to scale and shift."""
        raise NotImplementedError

    def encode(self, x: Tensor) -> Any:
        """Pictures to their codes."""
        raise NotImplementedError

    def decode(self, z: Any) -> Tensor:
        """Codes, as :meth:`encode` gives them, to pictures."""
        raise NotImplementedError

    def for_training(self, precision: str) -> Contender:
        """A copy that trains in "float32" or "bfloat16" in the way meant for this flow."""
        raise NotImplementedError

    def training_step(self, x: Tensor) -> Work:
        """Loss, gradients and AdamW on the pictures ``x``."""
        return adamw_step(self.model, lambda: self.loss(x))

    def encoding(self, x: Tensor) -> Work:
        """Encodes the pictures ``x``."""

        @torch.no_grad()
        def work() -> None:
            self.encode(x)

        return work

    def decoding(self, x: Tensor) -> Work:
        """Decodes the codes of ``x``."""
        with torch.no_grad():
            z = self.encode(x)

        @torch.no_grad()
        def work() -> None:
            self.decode(z)

        return work


class OurGlow(Contender):
    """:class:`models.Glow`, which trains with bfloat16 inside the nets only."""

    name = "ours"

    model: Glow

    def __init__(self, workload: Workload, device: torch.device) -> None:
        self.device = device
        self.model = Glow(workload.config()).to(device)
        self.model.initialize(workload.pictures(_INIT_IMAGES, device))
        self.model.eval()

    def loss(self, x: Tensor) -> Tensor:
        return bits_per_dim(self.model(x), self.model.dims).mean()

    def captured_step(self, x: Tensor) -> Work:
        """:meth:`training_step` with forward and backward replayed as CUDA graphs."""
        objective = graphed(Objective(self.model), x)
        return adamw_step(self.model, lambda: objective(x).mean())

    def encode(self, x: Tensor) -> Tensor:
        return self.model.f(x)[0]

    def decode(self, z: Tensor) -> Tensor:
        return self.model.g(z)

    def for_training(self, precision: str) -> OurGlow:
        other = copy.deepcopy(self)
        other.model.train()
        other.model.set_training_dtype(torch.bfloat16 if precision == "bfloat16" else None)
        return other


class NormflowsGlow(Contender):
    """The multiscale Glow of `normflows` (Stimper et al. 2023), built as in its own example.

    With "bfloat16" it trains under autocast and channels last, the best that a user of it gets
    without changing its code.

    Raises ImportError where normflows is not installed.
    """

    name = "normflows"

    def __init__(self, workload: Workload, device: torch.device) -> None:
        self.device, self.autocast = device, False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated calls inside normflows
            self.model = _normflows_model(workload).to(device)
        with torch.no_grad():  # the first pictures initialise its actnorms
            self.model.log_prob(workload.pictures(_INIT_IMAGES, device), None)
        self.model.to(device)  # flags that the initialisation made on the CPU

    def loss(self, x: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16) if self.autocast else nullcontext():
            return self.model.forward_kld(x)

    def encode(self, x: Tensor) -> Sequence[Tensor]:
        return self.model.inverse_and_log_det(x)[0]

    def decode(self, z: Sequence[Tensor]) -> Tensor:
        return self.model.forward_and_log_det(z)[0]

    def for_training(self, precision: str) -> NormflowsGlow:
        other = copy.deepcopy(self)
        other.model.train()
        other.autocast = precision == "bfloat16"
        if other.autocast:
            other.model.to(memory_format=torch.channels_last)
        return other


def _normflows_model(workload: Workload) -> nn.Module:
    """Levels from coarse to fine, as normflows counts them."""
    import normflows as nf

    priors, merges, levels = [], [], []
    for shape in reversed(workload.config().shapes()):  # what the steps of a level see
        blocks = [nf.flows.GlowBlock(shape[0], workload.width) for _ in range(workload.steps)]
        levels.append([*blocks, nf.flows.Squeeze()])
        if len(levels) > 1:
            merges.append(nf.flows.Merge())
            shape = (shape[0] // 2, *shape[1:])
        priors.append(nf.distributions.GlowBase(shape))
    return nf.MultiscaleFlow(priors, levels, merges, class_cond=False)


#: By the name in a report.
CONTENDERS: dict[str, type[Contender]] = {c.name: c for c in (OurGlow, NormflowsGlow)}
