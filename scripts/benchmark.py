#!/usr/bin/env python3
"""Measure speed and memory on this machine, with ratios within one run.

    python scripts/benchmark.py             # the released model, and ours against normflows
    python scripts/benchmark.py --latency   # the released model only, in seconds
    python scripts/benchmark.py --memory    # memory of training at several depths only
    python scripts/benchmark.py --json      # one JSON object instead of tables

normflows (pip install --no-deps -r requirements-benchmark.txt) gets the same K, L, width and
batch and the same threads. All work is timed in turns; figures are medians.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Any

import _project  # noqa: F401

from glow_app.common import cli

if TYPE_CHECKING:
    import torch

    from benchmarks.comparison import Workload

FRAMES = 33  # of one morph
MEMORY_STEPS = (8, 16, 32)  # of flow in each level
# K, L, width, picture size and batch where none is given: what takes a minute or two.
DEFAULTS = {"cpu": (8, 3, 64, 32, 32), "cuda": (32, 3, 512, 32, 64)}


def parser() -> argparse.ArgumentParser:
    p = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_model_arguments(p)
    parts = p.add_argument_group("parts (default: --latency and --compare)")
    parts.add_argument("--latency", action="store_true", help="the checkpoint, as on the page")
    parts.add_argument("--compare", action="store_true", help="ours against normflows")
    parts.add_argument("--memory", action="store_true", help="training, plain and reversible")
    shape = p.add_argument_group("architecture to compare and to measure memory of")
    shape.add_argument("--steps", type=cli.whole(1), metavar="K", help="of flow in each level")
    shape.add_argument("--levels", type=cli.whole(1), metavar="L")
    shape.add_argument("--width", type=cli.whole(1), help="channels inside the coupling nets")
    shape.add_argument("--image-size", type=cli.whole(2), help="pixels")
    shape.add_argument("--batch", type=cli.whole(1), help="pictures a training step")
    p.add_argument("--repeats", type=cli.whole(1), default=7, help="timed turns of each (7)")
    p.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="also train compiled (default: on a GPU)",
    )
    p.add_argument("--json", action="store_true", help="one JSON object on stdout and no table")
    return p


def main(argv: list[str] | None = None) -> None:
    p = parser()
    args = p.parse_args(argv)
    if not (args.latency or args.compare or args.memory):
        args.latency = args.compare = True

    from benchmarks.comparison import Workload
    from benchmarks.report import report
    from glow_app.common.devices import pick_device

    try:
        device = pick_device(args.device)
        workload = Workload(*DEFAULTS[device.type])
        given = {f.name: getattr(args, f.name) for f in dataclasses.fields(workload)}
        given = {name: value for name, value in given.items() if value is not None}
        workload = dataclasses.replace(workload, **given)
        workload.config()  # refuses what cannot be built
    except ValueError as error:
        p.error(str(error))
    results = measure(args, workload, device)
    print(json.dumps(results, indent=2) if args.json else report(results))


def measure(args: argparse.Namespace, workload: Workload, device: torch.device) -> dict[str, Any]:
    """Measure the parts that were asked for; facts of the machine are in "hardware"."""
    from benchmarks.comparison import compare, growth, memory_curve
    from benchmarks.measuring import hardware
    from benchmarks.released import measure_released
    from glow_app.common.devices import pick_precision
    from glow_app.editing.editor import Editor

    precisions = ["float32"]
    if pick_precision("auto", device) == "bfloat16":
        precisions.append("bfloat16")
    results: dict[str, Any] = {"hardware": hardware(device)}
    if args.latency:
        editor, batch = Editor(args.checkpoint, args.device), args.batch or 32
        cli.say(f"Measuring {editor.name} ...")
        results["released"] = measure_released(editor, precisions, batch, FRAMES, args.repeats)
    if args.compare:
        cli.say("Comparing with normflows ...")
        compiled = device.type == "cuda" if args.compile is None else args.compile
        results["comparison"] = compare(
            workload, device, precisions, FRAMES, args.repeats, compiled
        )
    if args.memory:
        jobs = memory_curve(workload, str(device), precisions[-1], MEMORY_STEPS)
        curve = list(cli.shown(jobs, 2 * len(MEMORY_STEPS), "memory"))
        shape = dataclasses.asdict(workload)
        del shape["steps"]
        facts = {"precision": precisions[-1], "curve": curve, "growth": growth(curve)}
        results["memory"] = {**shape, **facts}
    return results


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
