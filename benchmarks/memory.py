"""Peak memory of a training step, each in a process of its own so that nothing else counts.

`python -m benchmarks.memory JOB`, a JSON object, measures one and prints JSON.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.contenders import CONTENDERS, OurGlow, Workload
from benchmarks.timing import Work, seconds_of, wait

__all__ = ["MemoryJob", "growth", "memory_curve", "peak_bytes"]

_TOO_MUCH = ("out of memory", "can't allocate memory")  # as torch says it, on GPU and CPU
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class MemoryJob:
    """What to measure.

    Attributes:
        workload: architecture and batch.
        device: "cpu" or "cuda".
        precision: "float32" or "bfloat16".
        contender: a name in `contenders.CONTENDERS`.
        reversible: activations are recomputed instead of stored; ours only.
    """

    workload: Workload
    device: str
    precision: str
    contender: str = OurGlow.name
    reversible: bool = False

    def measure(self) -> dict[str, Any]:
        """In this process: MB and seconds of a training step.

        ``peak_mb`` is beyond parameters and the optimiser's state, ``activations_mb`` beyond the
        gradients, too. The latter is a little too kind to plain training, whose peak comes when
        few gradients exist yet.
        """
        device = torch.device(self.device)
        contender = CONTENDERS[self.contender](self.workload, device).for_training(self.precision)
        model = contender.model
        if self.reversible:
            model.set_reversible(True)
        step = contender.training_step(self.workload.pictures(self.workload.batch, device))
        step()  # the optimiser has its state now
        seconds = seconds_of(step, device)
        gradients = sum(p.grad.nbytes for p in model.parameters() if p.grad is not None)
        model.zero_grad(set_to_none=True)  # so that the step allocates them where it is counted
        peak = peak_bytes(step, device)
        return {
            "activations_mb": (peak - gradients) / 1e6,
            "peak_mb": peak / 1e6,
            "parameters_mb": sum(p.nbytes for p in model.parameters()) / 1e6,
            "step_s": seconds,
        }

    def measure_apart(self) -> dict[str, Any]:
        """In a new process. What cannot be measured has one sentence in ``error`` instead."""
        done = subprocess.run(
            [sys.executable, "-m", __name__, json.dumps(dataclasses.asdict(self))],
            cwd=_ROOT,
            capture_output=True,
            text=True,
        )
        if done.returncode == 0:
            return json.loads(done.stdout)
        complaints = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        # The kernel kills a process that asks for more than there is.
        if done.returncode == -signal.SIGKILL or any(w in done.stderr for w in _TOO_MUCH):
            return {"error": "does not fit into memory"}
        return {"error": complaints[-1]}


def peak_bytes(work: Work, device: torch.device) -> int:
    """Most memory in tensors, above what is held already, at any time during ``work``.

    On a GPU as PyTorch's allocator counts it; on the CPU from the profiler's list of every
    allocation, which unlike the size of the process knows nothing of what malloc keeps.
    """
    if device.type == "cuda":
        wait(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        wait(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events = profiler.profiler.kineto_results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    held = peak = 0
    for _, change in sorted(changes, key=lambda c: c[0]):
        held += change
        peak = max(peak, held)
    return peak


def memory_curve(
    workload: Workload, device: str, precision: str, steps: Iterable[int]
) -> Iterator[dict[str, Any]]:
    """One result after the other: each number of steps a level, plain and reversible."""
    for count in steps:
        for reversible in (False, True):
            shape = dataclasses.replace(workload, steps=count)
            job = MemoryJob(shape, device, precision, reversible=reversible)
            yield {"steps": count, "reversible": reversible, **job.measure_apart()}


def growth(curve: list[dict[str, Any]]) -> dict[str, float | None]:
    """Activations at the most steps over those at the fewest, "plain" and "reversible"."""
    ratios = {}
    for name, reversible in (("plain", False), ("reversible", True)):
        kind = [m.get("activations_mb") for m in curve if m["reversible"] is reversible]
        ratios[name] = kind[-1] / kind[0] if kind[0] and kind[-1] else None
    return ratios


def _main(text: str) -> None:
    values = json.loads(text)
    job = MemoryJob(**{**values, "workload": Workload(**values["workload"])})
    print(json.dumps(job.measure()))


if __name__ == "__main__":
    _main(sys.argv[1])
