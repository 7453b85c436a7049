"""Seconds, memory and floating point operations of pieces of work, and tables of them."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.benchmark import timer  # waits for a GPU before it looks at the clock
from torch.utils.flop_counter import FlopCounterMode

from models.layers import exact_float32

Work = Callable[[], object]
Name = TypeVar("Name", bound=Hashable)

_CONVOLUTIONS = (
    torch.ops.aten.convolution.default,
    torch.ops.aten.convolution_backward.default,
    torch.ops.aten.conv2d.default,  # in inference mode
)


def adamw_step(model: nn.Module, loss: Callable[[], Tensor]) -> Work:
    """Return a training step on ``model``: ``loss``, its gradients, and a step of AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return step


def seconds_of(work: Work) -> float:
    """Return the seconds of one call, until the device is done with it."""
    start = timer()
    work()
    return timer() - start


def interleaved(works: Mapping[Name, Work], repeats: int, warmup: int = 2) -> dict[Name, float]:
    """Return the median seconds of each work over ``repeats`` turns: A B C, A B C, ...

    When something else slows the machine for a while, it slows all of them, and ratios hold.
    """
    for work in works.values():
        for _ in range(warmup):
            work()
    turns = [{name: seconds_of(work) for name, work in works.items()} for _ in range(repeats)]
    return {name: statistics.median(turn[name] for turn in turns) for name in works}


def flops_of(work: Work) -> int:
    """Return the floating point operations of ``work``; a multiply-add counts as two."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def convolutions_of(work: Work, device: torch.device) -> Work:
    """Return work that runs the convolutions that ``work`` runs, backward ones too, and no more.

    Inputs, weights, precision, memory formats and order are the same. In a flow these are the
    convolutions of its coupling nets, since 1x1 convolutions are matrix products here. Their time
    is a lower bound for the flow around them.
    """
    recorder = _Recorder()
    with recorder:
        work()

    @torch.no_grad()
    def convolutions() -> None:
        with exact_float32(device):  # as in the flow
            for function, arguments in recorder.calls:
                function(*arguments)

    return convolutions


class _Recorder(TorchDispatchMode):
    """Keep the arguments of each convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in _CONVOLUTIONS:
            # An in-place ReLU afterwards changes the outputs, which are not kept.
            self.calls.append((func, args))
        return func(*args, **(kwargs or {}))


def peak_bytes(work: Work, device: torch.device) -> int:
    """Return the most memory in tensors during ``work``, beyond what is allocated before.

    On a GPU it is what PyTorch's allocator counts. On a CPU it is summed from the profiler's list
    of allocations, because the size of the process includes what malloc keeps for later.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
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


def hardware(device: torch.device) -> dict[str, str | int]:
    """Return the device, processor, threads and versions, for a report."""
    facts: dict[str, str | int] = {
        "device": str(device),
        "cpu": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    cpuinfo = Path("/proc/cpuinfo")  # of Linux, where `platform` does not know the model
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    for line in lines:
        if line.startswith("model name"):
            facts["cpu"] = line.split(":", 1)[1].strip()
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
        facts["cuda"] = torch.version.cuda or ""
    return facts


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with columns padded to equal widths; all but the first to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        return f"| {' | '.join([cells[0].ljust(widths[0]), *padded[1:]])} |"

    rule = "|".join("-" * (w + 1) + (":" if i else "-") for i, w in enumerate(widths))
    return "\n".join([line(head), f"|{rule}|", *map(line, rows)])
