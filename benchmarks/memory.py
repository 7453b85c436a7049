"""Peak memory of a training step, each measured in a process of its own."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

import torch

from benchmarks.flows import FLOWS, OurGlow, Workload
from benchmarks.measuring import peak_bytes, seconds_of

__all__ = ["growth", "memory_curve", "step_memory", "step_memory_apart"]

_TOO_MUCH = ("out of memory", "can't allocate memory")  # messages of torch on GPU and CPU


def step_memory(
    workload: Workload,
    device: str,
    precision: str,
    flow: str = OurGlow.name,
    reversible: bool = False,
) -> dict[str, Any]:
    """Measure a training step in this process.

    Args:
        workload: architecture and batch.
        device: "cpu" or "cuda".
        precision: "float32" or "bfloat16".
        flow: a name in `flows.FLOWS`.
        reversible: recompute activations instead of storing them; only for "ours".

    Returns:
        ``step_s`` in seconds; in MB ``parameters_mb``, ``peak_mb`` beyond parameters and optimiser
        state, and ``activations_mb`` beyond the gradients, too. The last is a little too low for
        plain training, which peaks before all gradients exist.
    """
    where = torch.device(device)
    trained = FLOWS[flow](workload, where).for_training(precision)
    model = trained.model
    if reversible:
        model.set_reversible(True)
    step = trained.training_step(workload.pictures(workload.batch, where))
    step()  # allocates the optimiser's state
    seconds = seconds_of(step)
    gradients = sum(p.grad.nbytes for p in model.parameters() if p.grad is not None)
    model.zero_grad(set_to_none=True)  # so that the step allocates them while it is measured
    peak = peak_bytes(step, where)
    return {
        "activations_mb": (peak - gradients) / 1e6,
        "peak_mb": peak / 1e6,
        "parameters_mb": sum(p.nbytes for p in model.parameters()) / 1e6,
        "step_s": seconds,
    }


def step_memory_apart(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return `step_memory` measured in a new process; on failure one sentence in ``error``."""
    with ProcessPoolExecutor(1, get_context("spawn"), _silence) as pool:
        try:
            return pool.submit(step_memory, *args, **kwargs).result()
        except BrokenProcessPool:  # the kernel kills a process that asks for too much
            return {"error": "does not fit into memory"}
        except Exception as error:
            if any(words in str(error) for words in _TOO_MUCH):
                return {"error": "does not fit into memory"}
            return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}


def _silence() -> None:
    """Send stderr nowhere: the profiler prints notices."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def memory_curve(
    workload: Workload, device: str, precision: str, steps: Iterable[int]
) -> Iterator[dict[str, Any]]:
    """Yield `step_memory` for each number of steps of flow a level, plain and reversible."""
    for count in steps:
        shape = dataclasses.replace(workload, steps=count)
        for reversible in (False, True):
            measured = step_memory_apart(shape, device, precision, reversible=reversible)
            yield {"steps": count, "reversible": reversible, **measured}


def growth(curve: list[dict[str, Any]]) -> dict[str, float | None]:
    """Return activations at the most steps over those at the fewest, "plain" and "reversible"."""
    ratios = {}
    for name, reversible in (("plain", False), ("reversible", True)):
        kind = [m.get("activations_mb") for m in curve if m["reversible"] is reversible]
        ratios[name] = kind[-1] / kind[0] if kind[0] and kind[-1] else None
    return ratios
