"""Time several pieces of work against each other on a machine that is never quite idle."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

__all__ = ["Work", "adamw_step", "interleaved", "seconds_of", "wait"]

Work = Callable[[], object]


def adamw_step(model: nn.Module, loss: Callable[[], Tensor]) -> Work:
    """A training step: ``loss``, its gradients and AdamW on the parameters of ``model``."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return step


def interleaved(
    works: Mapping[str, Work], device: torch.device, repeats: int, warmup: int = 2
) -> dict[str, float]:
    """Median seconds of each work, measured in turns: A B C, A B C, ...

    Whatever else slows the machine down for a while then slows all of them, and the ratios hold.

    Args:
        works: what to time, by name.
        device: where they run; it is waited for before and after each.
        repeats: timed turns.
        warmup: turns before those, for caches, code paths and memory.
    """
    for work in works.values():
        for _ in range(warmup):
            work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            seconds[name].append(seconds_of(work, device))
    return {name: statistics.median(values) for name, values in seconds.items()}


def seconds_of(work: Work, device: torch.device) -> float:
    """Seconds of one call, until the device is done with it."""
    wait(device)
    start = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - start


def wait(device: torch.device) -> None:
    """Until ``device`` has done everything it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
