#!/usr/bin/env python3
"""Measure speed and memory of a model on this machine, everything in one run.

python scripts/benchmark.py            # a table
python scripts/benchmark.py --json     # one JSON object
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from glow_app import cli

FRAMES = 33  # of one morph


def parser() -> argparse.ArgumentParser:
    p = cli.Parser(description=__doc__.split("\n")[0])
    cli.add_model_arguments(p)
    p.add_argument("--repeats", type=cli.whole(1), default=5, help="timed runs of each (5)")
    p.add_argument("--batch", type=cli.whole(1), default=32, help="pictures a training step (32)")
    p.add_argument("--json", action="store_true", help="one JSON object on stdout and no table")
    return p


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    results = measure(args)
    if args.json:
        print(json.dumps(results, indent=2))
    else:
        _table(results)
    return 0


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """All figures: medians in seconds, and what they were measured on."""
    import torch

    from glow_app.devices import pick_precision
    from models import Glow

    editor = cli.open_editor(args)
    model, device = editor.model, editor.device
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(FRAMES, model.dims, generator=generator) * 0.7
    pictures = editor.decode(z)

    def timed(work: Callable[[], Any]) -> float:
        work()  # caches, code paths and memory are warm
        seconds = []
        for _ in range(args.repeats):
            _wait(device)
            start = time.perf_counter()
            work()
            _wait(device)
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)

    decode = timed(lambda: editor.decode(z))
    a, b = pictures[0], pictures[-1]
    results: dict[str, Any] = {
        "hardware": _hardware(device),
        "checkpoint": editor.name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "gflop_per_frame": round(_flops(model) / 1e9, 3),
        f"decode_{FRAMES}_frames_s": decode,
        "decode_one_frame_s": timed(lambda: editor.decode(z[:1])),
        f"encode_{FRAMES}_pictures_s": timed(lambda: _encode(editor, pictures)),
        "morph_of_two_pictures_s": timed(lambda: editor.morph_frames(a, b, FRAMES)),
        "train_images_per_s": {},
    }
    trained = Glow(model.config).to(device)
    trained.load_state_dict(model.state_dict())
    rates: dict[str, float] = {}
    for precision in sorted({"float32", pick_precision("auto", device)}):
        rates[precision] = args.batch / timed(_training_step(trained, precision, args.batch))
    results["train_images_per_s"] = rates
    if "bfloat16" in rates:
        results["train_bfloat16_over_float32"] = rates["bfloat16"] / rates["float32"]
    if device.type == "cuda":
        results["peak_gpu_memory_mb"] = torch.cuda.max_memory_allocated(device) / 1e6
    results["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return results


def _encode(editor: Any, pictures: Any) -> None:
    import torch

    from models import bin_centers

    levels = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(editor.device)
    with torch.inference_mode():  # past the editor's cache of codes
        editor.model.f(bin_centers(levels))


def _training_step(model: Any, precision: str, batch: int) -> Callable[[], None]:
    import torch

    from models import bits_per_dim

    size = model.config.image_size
    device = model.top.mean.device
    x = torch.rand(batch, 3, size, size, device=device)
    model.train().set_training_dtype(torch.bfloat16 if precision == "bfloat16" else None)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        bits_per_dim(model(x), model.dims).mean().backward()
        optimizer.step()

    return step


def _flops(model: Any) -> int:
    """Floating point operations of decoding one frame, a multiply-add counted as two."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    device = model.top.mean.device
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.g(torch.zeros(1, model.dims, device=device))
    return counter.get_total_flops()


def _wait(device: Any) -> None:
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)


def _hardware(device: Any) -> dict[str, Any]:
    import torch

    facts: dict[str, Any] = {
        "device": str(device),
        "cpu": _cpu_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _table(results: dict[str, Any], indent: str = "") -> None:
    for name, value in results.items():
        label = f"{indent}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            print(label)
            _table(value, indent + "  ")
        else:
            shown = f"{value:.3f}" if isinstance(value, float) else str(value)
            print(f"{label:<36}{shown:>24}")


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
