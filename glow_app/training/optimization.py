"""The parts of one training step: loss, optimizer, schedules, gradient guard and weight average.

None of them makes the host wait for a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from glow_app.training.config import TrainConfig
from models import Glow, bits_per_dim

_FLOOR = 0.01  # the cooldown ends at this fraction of the base rate
_WINDOW = 100  # gradient norms of which the median is usual
_EXPLODES = 10.0  # times the usual norm: the step is skipped (STARFlow's grad_skip)


# ---------------------------------------------------------------------- loss and optimizer


class Objective(nn.Module):
    """The loss of each image of a batch, in bits per dimension.

    With ``details_only`` only the finest detail level learns, given the means, and all else is
    frozen; the loss is then in bits per detail number, and images may be crops.
    """

    def __init__(self, model: Glow, details_only: bool = False) -> None:
        super().__init__()
        self.model, self.details_only = model, details_only
        if details_only:
            model.requires_grad_(False)
            model.levels[0].requires_grad_(True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the bits (N,) of ``x`` (N, C, H, W) in [0, 1]."""
        n_bits = self.model.config.n_bits
        if not self.details_only:
            return bits_per_dim(self.model(x), self.model.dims, n_bits)
        detail_numbers = x[0].numel() * 3 // 4
        return bits_per_dim(self.model.detail_log_prob(x), detail_numbers, n_bits)


def make_optimizer(model: Glow, config: TrainConfig) -> torch.optim.Optimizer:
    """Return AdamW for the parameters that require gradients; it decays convolutions in nets."""
    # By the names and in the order of files, to which the states of a saved optimizer belong.
    tensors = model.state_dict(keep_vars=True).items()
    learned = {name: p for name, p in tensors if p.requires_grad}
    kernels = [n for n, p in learned.items() if p.ndim == 4 and not n.endswith("position")]
    decayed = {n for n in kernels if ".net." in n or ".context." in n}
    # One group for each kind, in the order of files within it.
    groups = [
        {"params": [p for n, p in learned.items() if n in decayed]},
        {"params": [p for n, p in learned.items() if n not in decayed], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=config.lr, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=True
    )


# ---------------------------------------------------------------------- schedules


def progress(
    step: int, minutes: float, total_steps: int | None, total_minutes: float | None
) -> float:
    """Return how much of the run is done, 0 to 1: by steps or minutes, whichever is further."""
    by_steps = step / total_steps if total_steps else 0.0
    by_minutes = minutes / total_minutes if total_minutes else 0.0
    return min(1.0, max(by_steps, by_minutes))


def learning_rate(
    base: float, last: float, done: float, warmup_steps: int, cooldown: float
) -> float:
    """Return the rate of the next step: linear warm-up, constant, linear cooldown to 1 %.

    The rate never rises by more than ``base / warmup_steps`` a step, so a run that had cooled
    down and is given more time warms up again (Wen et al. 2024, WSD-S).

    Args:
        base: the full rate.
        last: the rate of the step before; 0 at the start.
        done: the :func:`progress`; the last ``cooldown`` of it cools down.
    """
    left = (1.0 - done) / cooldown if cooldown > 0 else 1.0
    target = base * max(_FLOOR, min(1.0, left))
    return min(target, last + base / warmup_steps) if warmup_steps else target


def ema_decay(decay: float, step: int) -> float:
    """Return the decay of the weight average at ``step``: it rises from 0.1 to ``decay``."""
    return min(decay, (1 + step) / (10 + step))


# ---------------------------------------------------------------------- guard and average


class GradientGuard:
    """Finds the steps to skip: a gradient that is not finite, or ten times as large as usual.

    Usual is the median of the last 100 finite norms, those of skipped steps included: when
    all gradients have become larger, training continues.

    Attributes:
        skipped: steps skipped so far, a scalar tensor on the device.
        in_a_row: steps skipped since the last sound one, likewise.
    """

    def __init__(self, device: torch.device) -> None:
        self._norms = torch.full((_WINDOW,), float("nan"), device=device)
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)
        self.in_a_row = torch.zeros((), dtype=torch.int64, device=device)

    @torch.no_grad()
    def should_skip(self, norm: Tensor) -> Tensor:
        """Judge the step with gradient norm ``norm``: 1.0 to skip it, else 0.0 (scalars)."""
        finite = norm.isfinite()
        warm = ~self._norms.isnan().any()
        sound = finite & (~warm | (norm <= _EXPLODES * self._norms.median()))
        shifted = torch.cat([self._norms[1:], norm.view(1).float()])
        self._norms = torch.where(finite, shifted, self._norms)
        self.skipped += ~sound
        self.in_a_row = torch.where(sound, 0, self.in_a_row + 1)
        return (~sound).float()

    def norms(self) -> list[float]:
        """Return the last finite norms, oldest first, for the checkpoint."""
        return [n for n in self._norms.tolist() if n == n]

    def restore(self, norms: list[float], skipped: int) -> None:
        """Set the state to that of a checkpoint."""
        last = torch.tensor(norms[-_WINDOW:], dtype=torch.float32)
        self._norms.fill_(float("nan"))
        self._norms[_WINDOW - len(last) :] = last.to(self._norms.device)
        self.skipped.fill_(skipped)


class Ema:
    """Exponential moving average of a model's parameters, as a model of its own.

    Not an ``AveragedModel``: that one copies the first step, has a fixed decay, and waits for the
    device at every update. Buffers do not change after initialisation; they are copied once.
    """

    def __init__(self, model: Glow) -> None:
        self.model = Glow(model.config)
        self.model.load_state_dict(model.state_dict())
        self.model.to(model.device).eval().requires_grad_(False)

    def update(self, model: Glow, decay: float) -> None:
        """Move the average towards the parameters of ``model`` by ``1 - decay``."""
        averages, current = ([p.detach() for p in m.parameters()] for m in (self.model, model))
        get_ema_multi_avg_fn(decay)(averages, current, 0)


# ---------------------------------------------------------------------- speed on a GPU


def graphed(objective: nn.Module, x: Tensor) -> nn.Module:
    """Capture forward and backward of ``objective`` as CUDA graphs and return what replays them.

    A flow is many small kernels, and a fast GPU is done with each before the host has launched the
    next; with graphs the host launches two. Shapes stay those of the example ``x``, on the GPU,
    and parameters where they are in memory. Compile and move the model before.
    """
    # Gradients pass between the graphs' stream and that of the optimizer, once a step.
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    replayed: Any = torch.cuda.make_graphed_callables(objective, (x.detach().clone(),))
    return replayed


@contextmanager
def tuned_convolutions(device: torch.device) -> Iterator[None]:
    """Let cuDNN try its algorithms for each shape once and keep the fastest, in training only:
    which one that is may differ from run to run, and so do last bits.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = device.type == "cuda" or before
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
