#!/usr/bin/env python3
"""Train a flow on a folder of pictures. The same command again resumes the run.

python scripts/train.py --data PICTURES --out runs/mine --minutes 60
torchrun --nproc_per_node=4 scripts/train.py ...            # the same on four GPUs
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import _project  # noqa: F401

from glow_app.common import cli
from glow_app.common.devices import pick_device, pick_precision
from glow_app.common.errors import UserError
from glow_app.export.writing import check_folder
from glow_app.training import (
    PackedPictures,
    TrainConfig,
    World,
    from_celeba,
    from_source,
    join_world,
    train,
)
from glow_app.training.run_folder import RunFolder, pick_coding
from models import NETS, PRESETS


def parser() -> argparse.ArgumentParser:
    p = cli.Parser(description=__doc__.split("\n")[0])
    data = p.add_argument_group("data")
    data.add_argument(
        "--data", required=True, metavar="DIR", help="folder of pictures, or a packed .npy file"
    )
    data.add_argument(
        "--dataset",
        choices=["folder", "celeba"],
        default="folder",
        help="celeba: DIR is the root that torchvision.datasets.CelebA reads",
    )
    data.add_argument("--val", metavar="DIR", help="held-out pictures; default: part of --data")
    data.add_argument(
        "--holdout",
        type=cli.number(0, 0.99),
        default=0.04,
        metavar="F",
        help="part of --data held out by a hash of the file name (default 0.04)",
    )
    data.add_argument("--cache", metavar="DIR", help="for packed pictures (default: RUN/data)")
    data.add_argument(
        "--coding",
        choices=["auto", "none"],
        default="auto",
        help="auto: put pictures through the JPEG that the weights of --init name, or the usual "
        "one for models of up to 128 pixels; not those that already are such crops",
    )
    run = p.add_argument_group("run")
    run.add_argument("--out", required=True, metavar="RUN", help="run folder, made or resumed")
    run.add_argument("--steps", type=cli.whole(1), help="optimiser steps in all")
    run.add_argument("--minutes", type=cli.number(0.01), help="minutes of training in all")
    run.add_argument(
        "--init",
        metavar="P",
        help="weights to start a new run from; they may have fewer steps, and may have learned "
        "whole crops where --data holds looks (prepare_faces.py --shape mean)",
    )
    run.add_argument(
        "--base",
        metavar="P",
        help="weights of the smaller flow behind a detail level, for a new run; without "
        "--joint it stays as it is",
    )
    run.add_argument(
        "--joint", action="store_true", help="the flow behind the detail level learns, too"
    )
    run.add_argument(
        "--from-constant",
        action="store_true",
        help="resume from the state before the last cooldown, not from the one after",
    )
    run.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    run.add_argument(
        "--precision",
        default="auto",
        choices=["auto", "float32", "bfloat16"],
        help="inside the coupling and prior nets, in training only",
    )
    run.add_argument(
        "--reversible",
        action="store_true",
        help="recompute activations: memory does not grow with the steps, a third more time",
    )
    run.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="torch.compile the couplings; minutes at the start (default: on CUDA)",
    )
    run.add_argument(
        "--graph",
        action=argparse.BooleanOptionalAction,
        help="replay each step as CUDA graphs (default: on a single CUDA device)",
    )
    run.add_argument("--seed", type=cli.whole(0), default=0)
    data.add_argument(
        "--crops",
        type=cli.whole(0),
        metavar="S",
        help="train a detail level on random crops of S pixels; 0: whole pictures (default 64)",
    )
    data.add_argument(
        "--means",
        type=cli.whole(0, 3),
        default=0,
        metavar="K",
        help="learn the means of pictures of 2^K times the size, as what lies behind K detail "
        "levels does",
    )
    data.add_argument(
        "--mixed",
        action="store_true",
        help="with --means: every other picture of a batch is reduced as small photos are, so "
        "that one model knows both",
    )
    model = p.add_argument_group("model")
    model.add_argument("--preset", default="faces64", choices=sorted(PRESETS))
    model.add_argument("--image-size", type=cli.whole(2), help="instead of the preset's, pixels")
    model.add_argument("--net", choices=sorted(NETS), help="instead of the preset's")
    model.add_argument(
        "--model-steps",
        type=cli.whole(1),
        nargs="+",
        metavar="K",
        help="steps of flow of each level, finest first, instead of the preset's",
    )
    tune = p.add_argument_group("tuning")
    for name, kind in _TUNING.items():
        default = TrainConfig.__dataclass_fields__[name].default
        option = f"--{name.replace('_', '-')}"
        tune.add_argument(option, type=kind, default=default, help=f"default {default}")
    return p


_CROPS = 64  # pixels a side
_AS_GIVEN = ("means", "mixed", "steps", "minutes", "seed", "reversible")  # options of that name

_TUNING = {
    "batch": cli.whole(1),
    "lr": cli.number(1e-9),
    "weight_decay": cli.number(0),
    "warmup_steps": cli.whole(0),
    "cooldown": cli.number(0, 1),
    "clip": cli.number(1e-9),
    "ema": cli.number(0, 1),
    "log_steps": cli.whole(1),
    "eval_steps": cli.whole(1),
    "eval_images": cli.whole(1),
    "checkpoint_minutes": cli.number(0),
}


def main(argv: list[str] | None = None) -> int:
    p = parser()
    args = p.parse_args(argv)
    if args.steps is None and args.minutes is None:
        p.error("give --steps or --minutes, so that the run knows its end")
    overrides = {k: getattr(args, k) for k in ("image_size", "net")}
    overrides["steps"] = args.model_steps
    overrides = {k: v for k, v in overrides.items() if v is not None}
    try:
        device = pick_device(args.device)
        shape = PRESETS[args.preset].replace(**overrides)
    except ValueError as error:
        p.error(str(error))
    alone = bool(shape.details) and not args.joint
    if args.crops and not alone:
        p.error("--crops is for a detail level by itself, without --joint")
    if (args.base or args.joint) and not shape.details:
        p.error("--base and --joint are for a preset with a detail level")
    if args.base and args.init:
        p.error("--base is for a run that starts without --init")
    out = Path(args.out)
    for source in (args.data, args.val):
        if source and _is_own(Path(source).resolve(), out.resolve()):
            p.error(f"--out must be another folder than that of the pictures, {source}")
    if alone and not (args.base or args.init or RunFolder(out).checkpoints()):
        p.error("a detail level by itself needs what lies behind it: --base, --init or --joint")
    init, base = (Path(given) if given else None for given in (args.init, args.base))
    crops = min(_CROPS, shape.image_size) if args.crops is None and alone else args.crops or 0
    settings: dict[str, Any] = dict(
        model=shape,
        details_only=alone,
        crops=crops,
        coding=pick_coding(args.coding, shape.image_size * 2**args.means, init or base, out),
        precision=pick_precision(args.precision, device),
        compile=device.type == "cuda" if args.compile is None else args.compile,
        graph=device.type == "cuda" if args.graph is None else args.graph,
        **{name: getattr(args, name) for name in (*_TUNING, *_AS_GIVEN)},
    )
    try:
        config = TrainConfig(**settings)
    except ValueError as error:
        p.error(str(error))
    facts = {"preset": args.preset, "data": Path(args.data).name}
    check_folder(out)  # before pictures are packed
    with join_world(device) as world:
        training, held_out = _shared_pictures(args, config, out, world)
        train(config, out, training, held_out, world, init, base, facts, args.from_constant)
    return 0


def _is_own(source: Path, out: Path) -> bool:
    """Whether `source` holds, or would hold, what the run in `out` draws."""
    return source == out or (source / "x").is_relative_to(RunFolder(out).samples)


def _shared_pictures(
    args: argparse.Namespace, config: TrainConfig, out: Path, world: World
) -> tuple[PackedPictures, PackedPictures]:
    """Return :func:`_pictures`, packed by one process and opened by all."""
    cache = Path(args.cache) if args.cache else out / "data"
    if world.is_main:
        pictures = _pictures(args, config, cache)
        world.barrier()
        return pictures
    world.barrier()
    return _pictures(args, config, cache)


def _pictures(
    args: argparse.Namespace, config: TrainConfig, cache: Path
) -> tuple[PackedPictures, PackedPictures]:
    """Return the pictures for training and the held-out ones."""
    size, coding = config.picture_size, config.coding

    def opened(source: str, split: str) -> PackedPictures:
        if args.dataset == "celeba":
            return from_celeba(source, size, cache, split, show=cli.shown, coding=coding)
        return from_source(source, size, cache, show=cli.shown, coding=coding)

    training = opened(args.data, "train")
    if args.val or args.dataset == "celeba":
        return training, opened(args.val or args.data, "valid")
    rest, held_out = training.split(args.holdout)
    if len(rest) == 0:
        raise UserError(
            "No picture is left to train on, as --holdout takes them all: add pictures, or hold "
            "none out by --holdout 0."
        )
    return rest, held_out


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
