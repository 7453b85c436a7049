#!/usr/bin/env python3
"""Train the coarse levels of a flow by themselves, on the outputs of its frozen fine levels.

python benchmarks/research/coarse_levels.py --base P --data TRAIN.npy --val HELD_OUT.npy \
    --out RUN --cache CACHE --minutes 20 [--attention 3] [--model-steps 8 12]

The pictures have twice the size of the flow, which learns their means and reduced pictures in turn
(`glow_app.training.batches`). Each goes through the fine levels once, every other one flipped, and
the output is kept in CACHE as float16. RUN/model.safetensors is the whole flow again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import _project  # noqa: F401
import numpy as np
import torch
from torch import Tensor

import models
from glow_app.common import cli
from glow_app.export.writing import check_folder
from glow_app.faces.coding import Coding
from glow_app.training import PackedPictures, TrainConfig, from_source
from glow_app.training.batches import means_of, mixture, reduced
from glow_app.training.optimization import (
    Ema,
    GradientGuard,
    ema_decay,
    learning_rate,
    make_optimizer,
    progress,
)
from models import Glow, bits_per_dim, dequantize

_PASS = 64  # pictures at a time
_KINDS = ("means", "reduced")


def parser() -> argparse.ArgumentParser:
    p = cli.Parser(description=__doc__.split("\n")[0])
    p.add_argument("--base", required=True, metavar="P", help="weights of the whole flow")
    p.add_argument("--data", required=True, metavar="NPY", help="packed, of twice the size")
    p.add_argument("--val", required=True, metavar="NPY", help="held out, likewise")
    p.add_argument("--cache", required=True, metavar="DIR", help="of what enters; for one base")
    p.add_argument("--out", required=True, metavar="RUN")
    p.add_argument("--first", type=cli.whole(0), default=2, help="first level that learns (2)")
    p.add_argument("--minutes", type=cli.number(0), required=True, help="of training; 0: measure")
    p.add_argument("--attention", type=cli.whole(0), nargs="*", default=[], metavar="LEVEL")
    p.add_argument(
        "--model-steps", type=cli.whole(1), nargs="+", metavar="K", help="grow to these"
    )
    p.add_argument("--batch", type=cli.whole(1), default=64)
    p.add_argument("--lr", type=cli.number(1e-9), default=5e-4)
    p.add_argument("--cooldown", type=cli.number(0, 1), default=0.5)
    p.add_argument("--compile", action="store_true")
    p.add_argument("--seed", type=cli.whole(0), default=0)
    return p


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    base, cache, out = models.load(args.base), check_folder(args.cache), check_folder(args.out)
    size = 2 * base.config.image_size
    held_out = from_source(args.val, size, cache, coding=Coding())
    held = {kind: _held_out(base, held_out, args.first, kind, cache) for kind in _KINDS}
    part = models.coarse_part(base, args.first)
    part = models.grow(part, tuple(args.model_steps or part.config.steps))
    part = models.add_attention(part, [level - args.first for level in args.attention])
    print("before", json.dumps(_measure(part, base, held)), flush=True)
    if args.minutes:
        training = from_source(args.data, size, cache, coding=Coding())
        entered = _entered(base, training, args.first, cache, args.compile)
        part = _train(part, base, entered, held, args)
        print("after", json.dumps(_measure(part, base, held)), flush=True)
    whole = models.put_back(base, part)
    models.save(whole, out / "model.safetensors")
    print(f"{whole.parameter_count:,} parameters in {out / 'model.safetensors'}")
    return 0


@torch.no_grad()
def _entered(
    base: Glow, pictures: PackedPictures, first: int, cache: Path, compiled: bool
) -> np.ndarray:
    """Return the inputs (N, C, H, W) float16 of level ``first``, mapped from disk."""
    path = cache / "entered.npy"
    if path.exists():
        return np.load(path, mmap_mode="r")
    base.train().set_training_dtype(torch.bfloat16)  # as when the whole flow was trained
    if compiled:
        base.compile_couplings()
    rows, began = np.arange(len(pictures)), time.monotonic()
    parts = []
    for start in range(0, len(rows), _PASS):
        levels = pictures.tensor(rows[start : start + _PASS])
        # One half of the means flipped, and one half of the reduced pictures.
        flip = (torch.arange(len(levels)) // 2 % 2 == 1)[:, None, None, None]
        levels = torch.where(flip, levels.flip(3), levels)
        noise = torch.rand(levels.shape, generator=torch.Generator().manual_seed(start))
        h, _ = models.entering(base, mixture(levels, 1, base.config.n_bits, noise), first)
        parts.append(h.half().numpy())
        if start // _PASS % 20 == 0:
            print(f"{start:,} pictures cached in {time.monotonic() - began:.0f} s", flush=True)
    np.save(path.with_suffix(".part.npy"), np.concatenate(parts))
    path.with_suffix(".part.npy").rename(path)
    base.eval()
    return np.load(path, mmap_mode="r")


@torch.no_grad()
def _held_out(
    base: Glow, pictures: PackedPictures, first: int, kind: str, cache: Path
) -> tuple[Tensor, float]:
    """Return the exact inputs for held-out pictures, and the mean log-density of the rest."""
    path = cache / f"held_out_{kind}.npz"
    if not path.exists():
        each, rests, rows = [], [], np.arange(len(pictures))
        for start in range(0, len(rows), _PASS):  # the same images as in `held_out_bits`
            generator, n_bits = torch.Generator().manual_seed(start), base.config.n_bits
            levels = pictures.tensor(rows[start : start + _PASS])
            if kind == "reduced":
                x = dequantize(reduced(levels, 1), n_bits, generator)
            else:
                x = means_of(dequantize(levels, n_bits, generator), 1)
            h, rest = models.entering(base, x, first)
            each.append(h.float())
            rests.append(rest)
        np.savez(path, entered=torch.cat(each).numpy(), rest=torch.cat(rests).mean().item())
    with np.load(path) as kept:
        return torch.from_numpy(kept["entered"]), float(kept["rest"])


@torch.no_grad()
def _measure(
    part: Glow, base: Glow, held: dict[str, tuple[Tensor, float]], every: int = 1
) -> dict[str, float]:
    """Return held-out bits/dim of the coarse levels and of the whole flow.

    With ``every`` above 1 on one of so many pictures, and of the coarse levels only.
    """
    figures, n_bits = {}, base.config.n_bits
    for kind, (entered, rest) in held.items():
        entered = entered[::every]
        log_prob = torch.cat([part.log_prob(h) for h in entered.split(_PASS)]).mean()
        figures[f"coarse {kind}"] = round(bits_per_dim(log_prob, part.dims, n_bits).item(), 4)
        if every == 1:
            whole = bits_per_dim(log_prob + rest, base.dims, n_bits)
            figures[f"whole {kind}"] = round(whole.item(), 4)
    return figures


def _train(
    part: Glow,
    base: Glow,
    entered: np.ndarray,
    held: dict[str, tuple[Tensor, float]],
    args: argparse.Namespace,
) -> Glow:
    """Return the averaged coarse levels after ``args.minutes`` of training."""
    torch.manual_seed(args.seed)
    config = TrainConfig(part.config, minutes=args.minutes, batch=args.batch, lr=args.lr)
    part.train().set_training_dtype(torch.bfloat16)
    optimiser, ema = make_optimizer(part, config), Ema(part)
    guard, batches = GradientGuard(torch.device("cpu")), _batches(entered, args.batch, args.seed)
    if args.compile:
        part.compile_couplings()
        part(next(batches)).mean().backward()  # paid for before the clock starts
    step, rate, losses, began, shown = 0, 0.0, [], time.monotonic(), time.monotonic()
    while (done := progress(0, (time.monotonic() - began) / 60, None, args.minutes)) < 1:
        rate = learning_rate(args.lr, rate, done, config.warmup_steps, args.cooldown)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        loss = bits_per_dim(part(next(batches)), part.dims, base.config.n_bits).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(part.parameters(), config.clip)
        optimiser.found_inf = guard.should_skip(norm)
        optimiser.step()
        ema.update(part, ema_decay(config.ema, step))
        step += 1
        losses.append(loss.item())
        if (paused := time.monotonic()) - shown > 60:
            measured = _measure(ema.model, base, held, every=8)
            trained = round(sum(losses) / len(losses), 4)
            line = {"step": step, "images": step * args.batch, "train": trained, **measured}
            print(json.dumps({**line, "lr": round(rate, 6)}), flush=True)
            losses, shown = [], time.monotonic()
            began += shown - paused  # measuring is no training
    print(f"{step} steps, {step * args.batch:,} images, {int(guard.skipped)} skipped", flush=True)
    return ema.model


def _batches(entered: np.ndarray, batch: int, seed: int) -> Iterator[Tensor]:
    """Yield batches without end, in a new random order each epoch."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(entered))
        for start in range(0, len(order) - batch + 1, batch):
            yield torch.from_numpy(entered[np.sort(order[start : start + batch])]).float()


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
