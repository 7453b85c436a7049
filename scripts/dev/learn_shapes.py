#!/usr/bin/env python3
"""Learn to predict the shape of a drawn face from the coarse levels of its code.

    python scripts/dev/learn_shapes.py --data FACES --cache CACHE [--out FILE]

FACES and CACHE are those of `learn_edits.py`, whose landmarks and codes are used. It prints how
much of the variance of held-out shapes the code explains at several penalties, and keeps the best.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import _project  # noqa: F401
import numpy as np

from glow_app.common import cli

_RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0)
_HELD_OUT = 8  # every eighth
_LEVELS = 2  # coarsest levels of the flow that predict a shape


def main(argv: list[str] | None = None) -> None:
    p = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True, metavar="DIR", help="aligned faces with both tables")
    p.add_argument("--cache", required=True, metavar="DIR", help="of learn_edits.py")
    p.add_argument("--codes", type=cli.whole(500), default=8000, help="faces encoded (8000)")
    p.add_argument("--out", metavar="FILE", help="default: beside the program's weights")
    cli.add_model_arguments(p)
    args = p.parse_args(argv)

    import learn_edits

    from benchmarks.edit_judge import read_tables
    from glow_app.editing.sampling import ShapePrior, pretrained_file

    editor = cli.open_editor(args)
    data, cache = Path(args.data).expanduser(), Path(args.cache).expanduser()
    table = read_tables(data)
    names, shapes = learn_edits.landmarks(data, sorted(table), cache)
    chosen = learn_edits.with_labels(names, table, args.codes)
    codes, _ = learn_edits.codes_of(editor, data, [names[i] for i in chosen], cache)
    coarse = sum(int(np.prod(shape)) for shape in editor.model.level_shapes[-_LEVELS:])
    x, y = codes[:, -coarse:].astype(np.float64), shapes[chosen]
    held = np.arange(len(x)) % _HELD_OUT == 0
    explained = {}
    for ridge in _RIDGES:
        prior = ShapePrior.fitted(y[~held], x[~held], ridge)
        left = (y[held] - prior.mean).reshape(held.sum(), -1) @ prior.components.T
        told = prior.offset + x[held] @ prior.weights.T
        explained[ridge] = 1 - np.square(left - told).sum() / np.square(left - left.mean(0)).sum()
        print(f"penalty {ridge:g}: explains {explained[ridge]:.3f} of held-out shapes", flush=True)
    best = max(explained, key=explained.get)
    prior = ShapePrior.fitted(y, x, best, editor.fingerprint)
    out = Path(args.out) if args.out else pretrained_file(editor.name)
    out.parent.mkdir(parents=True, exist_ok=True)
    prior.save(out)
    print(f"{out.name}: {out.stat().st_size / 1e6:.2f} MB, penalty {best:g}")


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
