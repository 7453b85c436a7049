"""Our flow and that of `normflows`, built alike and driven by the same few calls."""

from __future__ import annotations

import copy
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measuring import Work, adamw_step
from glow_app.training.optimization import Objective, graphed
from models import PRESETS, Glow, GlowConfig, bits_per_dim

__all__ = ["FLOWS", "Flow", "NormflowsGlow", "OurGlow", "Workload"]

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
        """Return our configuration; split priors are the published single convolution."""
        return PRESETS["paper"].replace(
            image_size=self.image_size,
            steps=(self.steps,) * self.levels,
            widths=(self.width,) * self.levels,
            blocks=(0,) * self.levels,
            prior_width=0,
        )

    def pictures(self, n: int, device: torch.device) -> Tensor:
        """Return random pictures (n, 3, S, S) in [0, 1), the same ones each time."""
        generator = torch.Generator().manual_seed(0)
        return torch.rand(n, 3, self.image_size, self.image_size, generator=generator).to(device)


class Flow:
    """A flow to be measured, with its actnorms initialised from data.

    Attributes:
        name: in results.
        model: the module.
    """

    name: str
    model: nn.Module

    def __init__(self, workload: Workload, device: torch.device) -> None:
        raise NotImplementedError

    def loss(self, x: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of ``x``, up to scale and shift."""
        raise NotImplementedError

    def encode(self, x: Tensor) -> Any:
        """Return the codes of pictures."""
        raise NotImplementedError

    def decode(self, z: Any) -> Tensor:
        """Return the pictures of codes that `encode` gave."""
        raise NotImplementedError

    def for_training(self, precision: str) -> Flow:
        """Return a copy that trains in "float32" or "bfloat16" in the way meant for this flow."""
        other = copy.deepcopy(self)
        other.model.train()
        return other

    def training_step(self, x: Tensor) -> Work:
        """Return a step of AdamW on the pictures ``x``."""
        return adamw_step(self.model, lambda: self.loss(x))

    def encoding(self, x: Tensor) -> Work:
        """Return work that encodes the pictures ``x``."""
        return torch.no_grad()(lambda: self.encode(x))

    def decoding(self, x: Tensor) -> Work:
        """Return work that decodes the codes of the pictures ``x``."""
        z = self.encoding(x)()
        return torch.no_grad()(lambda: self.decode(z))


class OurGlow(Flow):
    """`models.Glow`; with "bfloat16" its coupling nets alone compute in it."""

    name = "ours"
    model: Glow

    def __init__(self, workload: Workload, device: torch.device) -> None:
        self.model = Glow(workload.config()).to(device)
        self.model.initialize(workload.pictures(_INIT_IMAGES, device))
        self.model.eval()

    def loss(self, x: Tensor) -> Tensor:
        return bits_per_dim(self.model(x), self.model.dims).mean()

    def encode(self, x: Tensor) -> Tensor:
        return self.model.f(x)[0]

    def decode(self, z: Tensor) -> Tensor:
        return self.model.g(z)

    def for_training(self, precision: str, compiled: bool = False) -> OurGlow:
        """As `Flow.for_training`; ``compiled``: with the couplings compiled, as in train.py."""
        other = super().for_training(precision)
        other.model.set_training_dtype(torch.bfloat16 if precision == "bfloat16" else None)
        if compiled:
            other.model.compile_couplings()
        return other

    def captured_step(self, x: Tensor) -> Work:
        """Return `training_step` with forward and backward replayed as CUDA graphs."""
        objective = graphed(Objective(self.model), x)
        return adamw_step(self.model, lambda: objective(x).mean())


class NormflowsGlow(Flow):
    """The multiscale Glow of `normflows` (Stimper et al. 2023), built as in its own example.

    With "bfloat16" it trains under autocast and channels last, the best that a user gets without
    changing its code. Raises ImportError where normflows is not installed.
    """

    name = "normflows"

    def __init__(self, workload: Workload, device: torch.device) -> None:
        self.autocast = nullcontext
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated calls inside normflows
            self.model = _normflows_model(workload).to(device)
        with torch.no_grad():  # the first pictures initialise its actnorms
            self.model.log_prob(workload.pictures(_INIT_IMAGES, device), None)
        self.model.to(device)  # flags that the initialisation made on the CPU

    def loss(self, x: Tensor) -> Tensor:
        with self.autocast():
            return self.model.forward_kld(x)

    def encode(self, x: Tensor) -> list[Tensor]:
        return self.model.inverse_and_log_det(x)[0]

    def decode(self, z: list[Tensor]) -> Tensor:
        return self.model.forward_and_log_det(z)[0]

    def for_training(self, precision: str) -> NormflowsGlow:
        other = super().for_training(precision)
        if precision == "bfloat16":
            device = next(other.model.parameters()).device.type
            other.autocast = lambda: torch.autocast(device, torch.bfloat16)
            other.model.to(memory_format=torch.channels_last)
        return other


def _normflows_model(workload: Workload) -> nn.Module:
    """Build it from the coarse level to the fine one, the order that normflows takes."""
    import normflows as nf

    priors, merges, levels = [], [], []
    for shape in reversed(workload.config().shapes()):  # of what the steps of a level see
        blocks = [nf.flows.GlowBlock(shape[0], workload.width) for _ in range(workload.steps)]
        levels.append([*blocks, nf.flows.Squeeze()])
        if len(levels) > 1:
            merges.append(nf.flows.Merge())
            shape = (shape[0] // 2, *shape[1:])
        priors.append(nf.distributions.GlowBase(shape))
    return nf.MultiscaleFlow(priors, levels, merges, class_cond=False)


FLOWS: dict[str, type[Flow]] = {flow.name: flow for flow in (OurGlow, NormflowsGlow)}
