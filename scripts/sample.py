#!/usr/bin/env python3
"""Draw new faces from the model and write them as one grid.

    python scripts/sample.py --out grid.png --n 64 --temperature 0.7 --seed 0

Picture i of the grid, counted from 0 row by row, is the picture of `--n 1 --seed SEED+i`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from glow_app import cli


def parser() -> cli.Parser:
    p = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", required=True, metavar="PNG")
    p.add_argument("--n", type=cli.whole(1, 4096), default=64, help="how many (default 64)")
    p.add_argument(
        "--temperature",
        type=cli.number(0, 10),
        default=0.7,
        metavar="T",
        help="standard deviation of the code: 1 is the model's own, less is tamer (default 0.7)",
    )
    p.add_argument("--seed", type=cli.whole(0, 2**32 - 1), default=0, help="default 0")
    p.add_argument(
        "--columns", type=cli.whole(1), metavar="N", help="faces a row (default: about a square)"
    )
    p.add_argument(
        "--size",
        type=cli.whole(8, 2048),
        metavar="PX",
        help="side of each face (default: the model's own)",
    )
    cli.add_model_arguments(p)
    return p


def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)

    import numpy as np

    from glow_app import export
    from glow_app.editor import SAMPLE_PASS

    out = export.check_target(args.out, (".png",))
    editor = cli.open_editor(args)
    starts = range(0, args.n, SAMPLE_PASS)
    pictures = [
        editor.sample(min(SAMPLE_PASS, args.n - first), args.temperature, args.seed + first)
        for first in cli.progress(starts, len(starts), "sampling")
    ]
    facts = {
        **editor.made_with(),
        "temperature": args.temperature,
        "seed": args.seed,
    }
    export.save_grid(
        np.concatenate(pictures), out, columns=args.columns, size=args.size, metadata=facts
    )
    print(f"{out.name}: {args.n} faces, temperature {args.temperature:g}, from seed {args.seed}")


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
