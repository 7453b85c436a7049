"""Ours against normflows with equal architecture, and against our convolutions alone."""

from __future__ import annotations

import dataclasses
from importlib import metadata
from typing import Any

import torch

from benchmarks.flows import Flow, NormflowsGlow, OurGlow, Workload
from benchmarks.measuring import Work, convolutions_of, flops_of, interleaved, seconds_of
from benchmarks.memory import step_memory_apart

__all__ = ["compare"]

MISSING = "normflows is not installed: pip install --no-deps -r requirements-benchmark.txt"
_ALONE = "convolutions"


def compare(
    workload: Workload,
    device: torch.device,
    precisions: list[str],
    frames: int,
    repeats: int,
    compiled: bool,
) -> dict[str, Any]:
    """Return all figures by flow, and ratios that are above 1 where ours is better.

    Args:
        workload: what both flows are built like.
        precisions: to train in, "float32" first.
        frames: pictures to encode and to decode.
        repeats: timed turns of each piece of work.
        compiled: also measure our training with its couplings compiled and, on a GPU, replayed as
            CUDA graphs, as train.py does by default. normflows trains through methods that
            `torch.compile` and graphs do not reach without changing its code.
    """
    ours = OurGlow(workload, device)
    flows: list[Flow] = [ours]
    results: dict[str, Any] = {
        **dataclasses.asdict(workload),
        "frames": frames,
        "normflows_version": None,
        "compile_s": None,
    }
    try:
        flows.append(NormflowsGlow(workload, device))
        results["normflows_version"] = metadata.version("normflows")
    except ImportError:
        results["normflows_missing"] = MISSING

    x, some = (workload.pictures(n, device) for n in (workload.batch, frames))
    works: dict[tuple[str, str], Work] = {}  # by flow and piece of work; of training: how
    for precision in precisions:
        for flow in flows:
            works[flow.name, precision] = flow.for_training(precision).training_step(x)
        works[_ALONE, precision] = convolutions_of(works[ours.name, precision], device)
    if compiled:
        how = f"{precisions[-1]} compiled"
        step = ours.for_training(precisions[-1], compiled=True).training_step(x)
        results["compile_s"] = seconds_of(step) - seconds_of(step)
        works[ours.name, how] = step
        if device.type == "cuda":
            captured = ours.for_training(precisions[-1], compiled=True)
            works[ours.name, f"{how} graph"] = captured.captured_step(x)
    steps = list(works)
    for flow in flows:
        works[flow.name, "encode"] = flow.encoding(some)
        works[flow.name, "decode"] = flow.decoding(some)
    works[_ALONE, "decode"] = convolutions_of(works[ours.name, "decode"], device)
    seconds = interleaved(works, repeats)

    for flow in flows:
        learner = flow.for_training("float32")
        flops = flops_of(lambda learner=learner: learner.loss(x).backward())
        results[flow.name] = {
            "train_images_per_s": {
                how: workload.batch / seconds[name, how]
                for name, how in steps
                if name == flow.name
            },
            "train_gflop_per_image": flops / workload.batch / 1e9,
            "encode_s": seconds[flow.name, "encode"],
            "decode_s": seconds[flow.name, "decode"],
            "train_memory": {
                p: step_memory_apart(workload, str(device), p, flow.name) for p in precisions
            },
        }
    names = {"decode": "decode", **{p: f"train_{p}" for p in precisions}}
    results["ratios"] = {
        f"{name}_over_its_convolutions": seconds[ours.name, what] / seconds[_ALONE, what]
        for what, name in names.items()
    }
    if len(flows) > 1:
        results["ratios"] |= _against(results[NormflowsGlow.name], results[ours.name])
    return results


def _against(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, float]:
    mine, other = ours["train_images_per_s"], theirs["train_images_per_s"]
    return {
        **{f"train_{how}": mine[how] / other[how] for how in other},
        # As each comes: our fastest against float32, the only way of normflows by itself.
        "train_as_used": max(mine.values()) / other["float32"],
        "train_best_of_each": max(mine.values()) / max(other.values()),
        **{what: theirs[f"{what}_s"] / ours[f"{what}_s"] for what in ("encode", "decode")},
    }
