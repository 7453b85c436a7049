#!/usr/bin/env python3
"""Make a release of a training run: half-precision weights, measured after the rounding.

The coding of the training pictures and the range of the flow's states on them are stored, too
(`training.evaluation.calibrate`).

python scripts/dev/release.py runs/mine --data faces/train --val faces/val --coding 128 86 4:2:0 \
    --out models/pretrained/faces64.safetensors
python scripts/dev/release.py runs/details --data faces/train --val faces/val \
    --base models/pretrained/faces64.safetensors --out models/pretrained/faces128.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

import _project  # noqa: F401

from glow_app.common import cli
from glow_app.common.errors import UserError

_MEASURED = 4096  # training pictures, evenly chosen


def parser() -> cli.Parser:
    p = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run", metavar="RUN", help="run folder, or a weights file")
    p.add_argument("--val", required=True, metavar="DIR", help="held-out pictures, or packed .npy")
    p.add_argument(
        "--data", required=True, metavar="DIR", help="training pictures, to measure codes on"
    )
    p.add_argument(
        "--coding",
        nargs=3,
        metavar=("SIZE", "QUALITY", "CHROMA"),
        help="the JPEG that all training pictures were (default: what the weights say)",
    )
    p.add_argument("--out", required=True, metavar="FILE", help=".safetensors to write")
    p.add_argument(
        "--base",
        metavar="FILE",
        help="released weights in the folder of --out for what lies behind the detail level, "
        "which alone is stored then",
    )
    p.add_argument("--data-name", metavar="TEXT", help="what to call the training data")
    p.add_argument("--float32", action="store_true", help="do not store float16")
    return p


def main(argv: list[str] | None = None) -> None:
    p = parser()
    args = p.parse_args(argv)
    if args.base and Path(args.base).resolve().parent != Path(args.out).resolve().parent:
        p.error("--base must lie in the folder of --out")

    import tempfile

    import models
    from glow_app.common.devices import pick_device
    from glow_app.export.writing import check_target
    from glow_app.faces.coding import Coding
    from glow_app.faces.looks import ReferenceFrame
    from glow_app.training import World, from_source, held_out_bits
    from glow_app.training.evaluation import calibrate

    target = check_target(args.out, (".safetensors",))
    source = Path(args.run)
    source = source / "model.safetensors" if source.is_dir() else source
    model = models.load(source)
    if args.coding:
        chroma = args.coding[2]
        model.facts |= Coding(int(args.coding[0]), int(args.coding[1]), chroma).to_facts()
    size, coding = model.config.image_size, Coding.from_facts(model.facts)
    frame = ReferenceFrame.from_facts(model.facts)

    def check_frame(other: ReferenceFrame, what: str) -> None:
        if not other.same_as(frame):
            raise UserError(f"{source.name} learned {frame.words}; {what} {other.words}.")

    device, half = pick_device(), not args.float32
    with tempfile.TemporaryDirectory() as folder:
        model = models.load(models.save(model, Path(folder, "rounded.safetensors"), half=half))
        if args.base:
            base = models.load(args.base)
            check_frame(ReferenceFrame.from_facts(base.facts), "--base learned")
            try:
                model = models.put_on_base(model, base)
            except ValueError as error:
                raise UserError(f"--base does not fit {source.name}. {error}") from error
        model.to(device)
        with tempfile.TemporaryDirectory() as cache:
            pictures = from_source(args.val, size, Path(cache), cli.say, coding=coding)
            check_frame(pictures.frame, "--val holds")
            bits, parts = held_out_bits(model, pictures, World(device))
        measured = from_source(args.data, size, Path(folder), cli.say, coding=coding)
        check_frame(measured.frame, "--data holds")
        calibrate(model, measured, _MEASURED)
        model.to("cpu")
    facts = {**model.facts, "val_bits_per_dim": round(bits, 4), "val_images": len(pictures)}
    if len(parts) > 1:
        facts["val_bits_by_part"] = [round(part, 4) for part in parts]
    if args.data_name:
        facts["data"] = args.data_name
    out = models.save(model, target, facts, half=half, base=args.base)
    size_mb = out.stat().st_size / 1e6
    print(f"{out}: {bits:.4f} bits/dim on {len(pictures)} pictures, {size_mb:.1f} MB")
    if len(parts) > 1:
        *details, means = (f"{part:.4f}" for part in parts)
        print(f"bits a detail number {', '.join(details)}; bits/dim of the means {means}")


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
