#!/usr/bin/env python3
"""Draw new faces from the model and write them as one grid.

    python scripts/sample.py --out grid.png --n 64 --temperature 0.7 --seed 0
    python scripts/sample.py --out rows.png --n 8 --temperature 0.5 0.7 0.9 1
    python scripts/sample.py --out near.png --n 15 --near 0.3 --seed 22

Picture i of a grid, counted from 0 row by row, is the picture of `--n 1 --seed SEED+i`. Several
temperatures make a row each, of the same seeds. `--near` draws the face of one seed and then
neighbours of it.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import _project  # noqa: F401

from glow_app.common import cli

if TYPE_CHECKING:
    import numpy as np

    from glow_app.editing.editor import Editor


def parser() -> cli.Parser:
    p = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", required=True, metavar="PNG")
    p.add_argument("--n", type=cli.whole(1, 4096), default=64, help="how many (default 64)")
    p.add_argument(
        "--temperature",
        type=cli.number(0, 10),
        nargs="+",
        default=[0.7],
        metavar="T",
        help="standard deviation of the code: 1 is the model's own, less is tamer (default 0.7)",
    )
    p.add_argument("--seed", type=cli.whole(0, 2**32 - 1), default=0, help="default 0")
    p.add_argument(
        "--near",
        type=cli.number(0, 1),
        metavar="R",
        help="the face of the seed and neighbours of it, from 0 (itself) to 1 (any other)",
    )
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
    p = parser()
    args = p.parse_args(argv)
    temperatures = args.temperature
    if args.near is not None and len(temperatures) > 1:
        p.error("--near takes one temperature")
    if len(temperatures) > 1 and args.columns:
        p.error("several temperatures make a row each: leave --columns out")
    if args.n * len(temperatures) > 4096:
        p.error("more than 4096 faces are too many for one grid")

    import numpy as np

    from glow_app.editing.editor import Editor
    from glow_app.export.recipes import Origin, Recipe
    from glow_app.export.sheets import check_sheet, save_grid
    from glow_app.export.writing import check_target

    out = check_target(args.out, (".png",))
    editor = Editor(args.checkpoint, args.device)
    size = args.size or editor.image_size
    columns = args.n if len(temperatures) > 1 else args.columns
    check_sheet(args.n * len(temperatures), size, columns)
    if args.near is None:
        pictures = np.concatenate([_drawn(editor, t, args) for t in temperatures])
    else:
        pictures = editor.sampler.sample(1, temperatures[0], args.seed)
        if args.n > 1:
            chosen = args.seed, args.n - 1, args.near, temperatures[0]
            pictures = np.concatenate([pictures, editor.sampler.neighbours(*chosen)])
    recipe = Recipe.of(
        editor,
        "samples",
        faces=(Origin(args.seed, temperatures[0]),),
        temperatures=tuple(temperatures),
        radius=args.near,
        size=size,
    )
    save_grid(pictures, out, columns=columns, size=size, metadata=recipe.to_metadata())
    warmth = ", ".join(f"{t:g}" for t in temperatures)
    print(f"{out.name}: {len(pictures)} faces, temperature {warmth}, from seed {args.seed}")


def _drawn(editor: Editor, temperature: float, args: argparse.Namespace) -> np.ndarray:
    """Draw `args.n` faces (N, S, S, 3) in passes, with a progress bar."""
    import numpy as np

    from glow_app.editing.sampling import SAMPLE_PASS

    starts = range(0, args.n, SAMPLE_PASS)
    return np.concatenate(
        [
            editor.sampler.sample(min(SAMPLE_PASS, args.n - first), temperature, args.seed + first)
            for first in cli.shown(starts, len(starts), "sampling")
        ]
    )


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
