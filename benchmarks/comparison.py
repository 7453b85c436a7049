"""Ours against normflows with equal architecture, and both against what the machine can do."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.ceiling import ceilings
from benchmarks.contenders import Contender, NormflowsGlow, OurGlow, Workload
from benchmarks.convolutions import convolutions_of
from benchmarks.hardware import version_of
from benchmarks.memory import MemoryJob
from benchmarks.timing import Work, interleaved, seconds_of

__all__ = ["compare"]

MISSING = "normflows is not installed: pip install --no-deps -r requirements-benchmark.txt"
_CONVOLUTIONS = "convolutions"


def compare(
    workload: Workload,
    device: torch.device,
    precisions: list[str],
    frames: int,
    repeats: int,
    compiled: bool,
) -> dict[str, Any]:
    """All figures of the comparison, by contender, and ratios above 1 where ours is better.

    Args:
        workload: what both are built like.
        precisions: to train in, "float32" first.
        frames: pictures to encode and to decode.
        repeats: timed turns of each piece of work.
        compiled: also measure our training with its couplings compiled, and on a GPU replayed
            as CUDA graphs, as train.py does by default; normflows trains through methods that
            `torch.compile` and graphs do not reach without changing its code.
    """
    ours = OurGlow(workload, device)
    contenders: list[Contender] = [ours]
    results: dict[str, Any] = {
        **dataclasses.asdict(workload),
        "frames": frames,
        "normflows_version": version_of("normflows"),
    }
    try:
        contenders.append(NormflowsGlow(workload, device))
    except ImportError:
        results["normflows_missing"] = MISSING
    flops = {c.name: _training_flops(c.for_training("float32"), workload) for c in contenders}
    training, results["ceiling_gflops"], results["compile_s"] = _training(
        contenders, workload, precisions, repeats, compiled
    )
    using = _using(contenders, ours, workload, frames, repeats)
    convolutions = {
        "decode_s": using.pop((_CONVOLUTIONS, "decode")),
        "train_s": {p: training.pop((_CONVOLUTIONS, p)) for p in precisions},
    }
    for contender in contenders:
        name = contender.name
        rates = {how: s for (who, how), s in training.items() if who == name}
        results[name] = {
            "train_images_per_s": {how: workload.batch / s for how, s in rates.items()},
            "train_gflop_per_image": flops[name] / workload.batch / 1e9,
            "train_gflops": {how: flops[name] / s / 1e9 for how, s in rates.items()},
            "encode_s": using[name, "encode"],
            "decode_s": using[name, "decode"],
            "train_memory": {p: _memory(name, workload, device, p) for p in precisions},
        }
    results[_CONVOLUTIONS] = convolutions
    results["ratios"] = _ratios(results)
    return results


def _training(
    contenders: list[Contender],
    workload: Workload,
    precisions: list[str],
    repeats: int,
    compiled: bool,
) -> tuple[dict[tuple[str, str], float], dict[str, float], float | None]:
    """Seconds of a step by (who, how); the ceilings, measured in between; compile time.

    Who is a contender or the convolutions of our step.
    """
    device = contenders[0].device
    x = workload.pictures(workload.batch, device)
    works: dict[tuple[str, str], Work] = {}
    for precision in precisions:
        for contender in contenders:
            works[contender.name, precision] = contender.for_training(precision).training_step(x)
        works[_CONVOLUTIONS, precision] = convolutions_of(works[OurGlow.name, precision], device)
    compile_s = None
    if compiled:
        ours = contenders[0].for_training(precisions[-1])
        ours.model.compile_couplings()
        step = ours.training_step(x)
        first = seconds_of(step, device)
        compile_s = first - seconds_of(step, device)
        works[ours.name, f"{precisions[-1]} compiled"] = step
        if device.type == "cuda":
            captured = ours.for_training(precisions[-1])
            captured.model.compile_couplings()
            works[ours.name, f"{precisions[-1]} compiled graph"] = captured.captured_step(x)
    tops = {(p, kind): c for p in precisions for kind, c in ceilings(device, p).items()}
    tasks = {**works, **{key: ceiling.work for key, ceiling in tops.items()}}
    seconds = interleaved(tasks, device, repeats)
    rates = {f"{p} {kind}": c.flops / seconds[p, kind] / 1e9 for (p, kind), c in tops.items()}
    return {key: seconds[key] for key in works}, rates, compile_s


def _using(
    contenders: list[Contender], ours: OurGlow, workload: Workload, frames: int, repeats: int
) -> dict[tuple[str, str], float]:
    """Seconds of encoding and decoding, and of our decoder's convolutions alone."""
    x = workload.pictures(frames, ours.device)
    works: dict[tuple[str, str], Work] = {}
    for contender in contenders:
        works[contender.name, "encode"] = contender.encoding(x)
        works[contender.name, "decode"] = contender.decoding(x)
    works[_CONVOLUTIONS, "decode"] = convolutions_of(works[ours.name, "decode"], ours.device)
    return interleaved(works, ours.device, repeats)


def _memory(name: str, workload: Workload, device: torch.device, precision: str) -> dict[str, Any]:
    return MemoryJob(workload, str(device), precision, name).measure_apart()


def _training_flops(contender: Contender, workload: Workload) -> int:
    """Of forward and backward on a batch, a multiply-add counted as two."""
    x = workload.pictures(workload.batch, contender.device)
    with FlopCounterMode(display=False) as counter:
        contender.loss(x).backward()
    return counter.get_total_flops()


def _ratios(results: dict[str, Any]) -> dict[str, float]:
    ours, theirs = results[OurGlow.name], results.get(NormflowsGlow.name)
    alone = results[_CONVOLUTIONS]
    ratios = {"decode_over_its_convolutions": ours["decode_s"] / alone["decode_s"]}
    for precision, seconds in alone["train_s"].items():
        step = results["batch"] / ours["train_images_per_s"][precision]
        ratios[f"train_{precision}_over_its_convolutions"] = step / seconds
    for how, rate in ours["train_gflops"].items():
        precision = how.split()[0]
        tops = [v for k, v in results["ceiling_gflops"].items() if k.startswith(precision)]
        ratios[f"train_{how.replace(' ', '_')}_of_ceiling"] = rate / max(tops)
    if theirs is None:
        return ratios
    mine, other = ours["train_images_per_s"], theirs["train_images_per_s"]
    for how, rate in mine.items():
        if how in other:
            ratios[f"train_{how}"] = rate / other[how]
    # As each is used: our fastest against float32, in which normflows comes.
    ratios["train_as_used"] = max(mine.values()) / other["float32"]
    ratios["train_best_of_each"] = max(mine.values()) / max(other.values())
    ratios["encode"] = theirs["encode_s"] / ours["encode_s"]
    ratios["decode"] = theirs["decode_s"] / ours["decode_s"]
    return ratios
