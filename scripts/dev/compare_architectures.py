#!/usr/bin/env python3
"""Train many architectures for the same time on the same pictures, and write a table of them.

python scripts/dev/compare_architectures.py --data FACES --val HELD_OUT --out runs/compare

Results are kept in OUT; the same command resumes. Seconds are of processor time on a CPU, so that
other work on the machine does not matter (run it on one thread: OMP_NUM_THREADS=1), and of the
clock on a GPU.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import _project  # noqa: F401

from benchmarks.measuring import flops_per_frame
from benchmarks.report import table
from glow_app.common import cli
from glow_app.common.devices import pick_device, pick_precision
from glow_app.common.files import write_text
from glow_app.export.writing import check_folder
from glow_app.training import TrainConfig, World, from_source, train
from models import Glow, GlowConfig

# Small enough to learn something in minutes on one core; all others differ from it in one thing.
_BASE = GlowConfig(image_size=32, steps=(3, 5, 6), widths=(48, 64, 64), prior_width=48)

#: name -> (what differs from the base, fields of TrainConfig that differ)
VARIANTS: dict[str, tuple[GlowConfig, dict[str, Any]]] = {
    "residual nets (base)": (_BASE, {}),
    "base, another seed": (_BASE, {"seed": 1}),
    "published nets, same GFLOP": (
        _BASE.replace(net="conv", blocks=(0, 0, 0), widths=(136, 176, 176)),
        {},
    ),
    "published nets, twice the steps": (
        _BASE.replace(net="conv", blocks=(0, 0, 0), steps=(6, 10, 12), widths=(80, 104, 104)),
        {},
    ),
    "residual nets with attention": (_BASE.replace(net="attention"), {}),
    "two blocks, fewer steps": (_BASE.replace(blocks=(2, 2, 2), steps=(2, 3, 4)), {}),
    "more steps at the fine level": (_BASE.replace(steps=(5, 4, 3)), {}),
    "more steps at the coarse levels": (_BASE.replace(steps=(2, 6, 14)), {}),
    "split priors of one convolution": (_BASE.replace(prior_width=0), {}),
}


def parser() -> argparse.ArgumentParser:
    p = cli.Parser(description=__doc__.split("\n")[0])
    p.add_argument("--data", required=True, metavar="DIR", help="folder of pictures")
    p.add_argument("--val", required=True, metavar="DIR", help="held-out pictures")
    p.add_argument("--out", required=True, metavar="DIR", help="results, resumed")
    p.add_argument("--seconds", type=cli.whole(1), default=150, help="of training each (150)")
    p.add_argument("--image-size", type=cli.whole(8), default=32, help="pixels (32)")
    p.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    return p


def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)
    out = check_folder(args.out)
    results = [_measured(name, args, out) for name in VARIANTS]
    head = [
        "architecture",
        "val bits/dim",
        "seconds",
        "images seen",
        "parameters",
        "GFLOP a frame",
    ]
    rows = [
        [
            r["name"],
            f"{r['val_bits_per_dim']:.3f}",
            str(r["seconds"]),
            f"{r['images']:,}",
            f"{r['parameters'] / 1e6:.2f} M",
            f"{r['gflop']:.3f}",
        ]
        for r in sorted(results, key=lambda r: r["val_bits_per_dim"])
    ]
    print(table(head, rows))


def _measured(name: str, args: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Train one variant, unless its result is there, and return that."""
    file = out / (name.replace(" ", "-").replace(",", "") + ".json")
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    shape, changes = VARIANTS[name]
    shape = shape.replace(image_size=args.image_size)
    device = pick_device(args.device)
    config = TrainConfig(
        model=shape,
        minutes=args.seconds / 60,
        precision=pick_precision("auto", device),
        warmup_steps=50,
        cooldown=0.3,
        log_steps=50,
        eval_steps=10**9,
        checkpoint_minutes=10**9,
        **changes,
    )
    size, cache = shape.image_size, out / "data"
    training = from_source(args.data, size, cache, show=cli.shown)
    held_out = from_source(args.val, size, cache, show=cli.shown)
    run = out / "run"
    shutil.rmtree(run, ignore_errors=True)
    print(f"-- {name}", flush=True)
    clock = time.process_time if device.type == "cpu" else time.monotonic
    train(config, run, training, held_out, World(device), clock=clock)
    records = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    model = Glow(shape)
    result = {
        "name": name,
        "val_bits_per_dim": records[-1]["val_bits_per_dim"],
        "images": records[-1]["images"],
        "seconds": args.seconds,
        "parameters": model.parameter_count,
        "gflop": flops_per_frame(model) / 1e9,
    }
    write_text(file, json.dumps(result, indent=2) + "\n")
    return result


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
