"""Everything a run needs to go on exactly, in one safetensors file.

Random numbers are drawn from generators seeded by (seed, step), so the step is the whole state
of shuffling, flips and dequantisation noise.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glow_app.training.guard import GradientGuard
from models import CheckpointError, Glow
from models.checkpoint import read_safetensors, write_safetensors

__all__ = ["Ema", "TrainState"]

_FORMAT = "glow-studio-training-state"
_DIGEST = "digest"


class Ema:
    """Exponential moving average of a model's parameters, as a model of its own.

    Buffers (permutations, signs, flags) do not change after initialisation and are shared by
    value.
    """

    def __init__(self, model: Glow) -> None:
        self.model = Glow(model.config)
        self.model.load_state_dict(model.state_dict())
        self.model.to(model.device).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: Glow, decay: float) -> None:
        averages = list(self.model.parameters())
        torch._foreach_lerp_(averages, [p.detach() for p in model.parameters()], 1.0 - decay)


@dataclass
class TrainState:
    """Model, average, optimiser, guard and counters of a run."""

    model: Glow
    ema: Ema
    optimizer: torch.optim.Optimizer
    guard: GradientGuard
    step: int = 0  # optimiser steps taken, skipped ones included: the position in the data
    minutes: float = 0.0  # time spent on steps, over all sittings
    lr: float = 0.0  # learning rate of the last step

    def save(self, path: Path) -> None:
        """Write atomically. Raises OSError; the file that was there survives."""
        tensors: dict[str, Tensor] = {}
        tensors.update(_named("model", self.model.state_dict()))
        tensors.update(_named("ema", self.ema.model.state_dict()))
        state = self.optimizer.state_dict()["state"]
        for index, values in state.items():
            tensors.update(_named(f"optimizer.{index}", values))
        counters = {
            "step": self.step,
            "skipped": int(self.guard.skipped),
            "minutes": self.minutes,
            "lr": self.lr,
            "grad_norms": self.guard.norms(),
        }
        metadata = {"format": _FORMAT, "counters": json.dumps(counters)}
        metadata[_DIGEST] = _digest(tensors, metadata["counters"])
        write_safetensors(tensors, metadata, path)

    def load(self, path: Path) -> None:
        """Take over what :meth:`save` wrote. Raises CheckpointError with one sentence."""
        tensors, metadata = read_safetensors(path)
        if metadata.get("format") != _FORMAT:
            raise CheckpointError(f"{path} is not a training state of this program.")
        known = metadata.get(_DIGEST)  # older states have none
        if known is not None and known != _digest(tensors, metadata.get("counters", "")):
            raise CheckpointError(f"{path} is damaged.")
        try:
            self.model.load_state_dict(_under("model", tensors))
            self.ema.model.load_state_dict(_under("ema", tensors))
            optimizer = self.optimizer.state_dict()
            parameters = [p for g in self.optimizer.param_groups for p in g["params"]]
            optimizer["state"] = {
                i: {k: _laid_out_like(p, v) for k, v in values.items()}
                for i, p in enumerate(parameters)
                if (values := _under(f"optimizer.{i}", tensors))
            }
            self.optimizer.load_state_dict(optimizer)
            counters: dict[str, Any] = json.loads(metadata["counters"])
            self.step, self.minutes = int(counters["step"]), float(counters["minutes"])
            self.lr = float(counters["lr"])
            self.guard.restore([float(g) for g in counters["grad_norms"]], counters["skipped"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise CheckpointError(f"{path} does not fit this model.") from error


def _digest(tensors: dict[str, Tensor], counters: str) -> str:
    """32 hexadecimal digits of all content: safetensors itself does not notice a flipped bit."""
    digest = hashlib.blake2b(counters.encode(), digest_size=16)
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{k}": v.detach().cpu().contiguous() for k, v in tensors.items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {k[len(start) :]: v for k, v in tensors.items() if k.startswith(start)}


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """``value`` with the strides of ``parameter``: fused optimisers pair them by memory."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, requires_grad=False).copy_(value)
