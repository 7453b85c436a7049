#!/usr/bin/env python3
"""Learn a direction that changes one attribute of a face, from pictures with it and without it.

From two folders:

    python scripts/find_direction.py --with smiling/ --without neutral/ --out smile.safetensors

From a table of labels (TSV or CSV, with a column "file" relative to the table):

    python scripts/find_direction.py --labels faces.tsv --with "age>=50" --without "age<=30" \\
        --balance source,gender --out age.safetensors

The page loads the result, and so does `morph.py --edit`. Held-out accuracy says how much there is
to a direction: near 50 % it is called weak.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import _project  # noqa: F401

from glow_app.common import cli
from glow_app.common.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from glow_app.editing.editor import Editor


def parser() -> cli.Parser:
    p = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = p.add_argument_group("pictures")
    for side, what in (("with", "that have the attribute"), ("without", "that lack it")):
        which.add_argument(
            f"--{side}",
            required=True,
            metavar="DIR",
            dest=f"given_{side}",
            help=f"folder of pictures {what}; with --labels a condition, such as age>=50",
        )
    which.add_argument("--labels", metavar="TABLE", help="table of labels to choose from")
    which.add_argument(
        "--balance",
        default="",
        metavar="COLUMNS",
        help="with --labels: as many pictures of either class wherever these columns, separated "
        "by commas, are alike (numbers by decades)",
    )
    which.add_argument(
        "--limit", type=cli.whole(5), metavar="N", help="at most N pictures a class, at random"
    )
    which.add_argument(
        "--align",
        choices=("auto", "face", "center"),
        default="auto",
        help="center for pictures that are aligned already, which is much faster (default auto)",
    )
    result = p.add_argument_group("result")
    result.add_argument("--out", required=True, metavar="FILE", help=".safetensors")
    result.add_argument("--name", help="of the attribute (default: the name of the file)")
    result.add_argument(
        "--words",
        nargs=2,
        metavar=("WITH", "WITHOUT"),
        help="what to call the two ends (default: as given above)",
    )
    result.add_argument(
        "--method",
        choices=("mean", "lda"),
        default="mean",
        help="difference of the class means, or linear discriminant analysis (default mean)",
    )
    result.add_argument("--seed", type=cli.whole(0, 2**32 - 1), default=0, help="default 0")
    cli.add_model_arguments(p)
    return p


def main(argv: list[str] | None = None) -> None:
    p = parser()
    args = p.parse_args(argv)
    if args.balance and not args.labels:
        p.error("--balance needs --labels")

    from glow_app.editing import directions
    from glow_app.editing.editor import Editor
    from glow_app.export.writing import check_target

    out = check_target(args.out, (".safetensors",))
    files = _choose(args)
    editor = Editor(args.checkpoint, args.device)
    (z_with, shapes_with), (z_without, shapes_without) = (
        _codes(editor, paths, args.align, f"pictures {side}")
        for side, paths in zip(("with", "without"), files, strict=True)
    )
    words = args.words or [Path(args.given_with).name, Path(args.given_without).name]
    direction = directions.learn(
        z_with,
        z_without,
        editor.model.level_shapes,
        shapes=(shapes_with, shapes_without),
        name=args.name or out.stem,
        fingerprint=editor.fingerprint,
        method=args.method,
        facts={
            "checkpoint": editor.name,
            "with": words[0],
            "without": words[1],
            "balance": args.balance,
        },
        seed=args.seed,
    )
    directions.save(direction, out)
    weak = "; weak: hardly better than chance" if direction.weak else ""
    print(
        f"{out.name}: {len(z_with)} pictures with and {len(z_without)} without, held-out accuracy "
        f"{direction.accuracy:.1%}, effect size {direction.facts['effect_size']:.2f}{weak}"
    )


def _choose(args: argparse.Namespace) -> Sequence[list[str]]:
    """Return the files of the two classes."""
    import random

    from glow_app.editing import labels
    from glow_app.faces.looks import require_crops
    from glow_app.faces.opening import list_pictures

    if args.labels:
        rows = labels.read_labels(Path(args.labels))
        given = args.given_with, args.given_without
        tests = [labels.condition(text, list(rows[0])) for text in given]
        columns = [column.strip() for column in args.balance.split(",") if column.strip()]
        return labels.balanced(rows, *tests, columns, args.limit, args.seed)
    chance, chosen = random.Random(args.seed), []
    for folder in (args.given_with, args.given_without):
        pictures = list_pictures(Path(folder))
        require_crops(Path(folder), pictures)
        files = [str(file) for file in pictures]
        chosen.append(sorted(chance.sample(files, min(args.limit or len(files), len(files)))))
    return chosen


def _codes(editor: Editor, files: list[str], align: str, what: str) -> tuple[Tensor, np.ndarray]:
    """Return codes (N, D) of the looks and landmarks (N, 478, 2) of the faces on the pictures.

    Those that cannot be read, or have no landmarks, are named on stderr.
    """
    import numpy as np
    import torch

    codes, looks, shapes = [], [], []
    for place, file in enumerate(cli.shown(files, len(files), what), start=1):
        try:
            face = editor.prepare(file, align=align)
            if face.shape is None:
                cli.say(f"skipped: {Path(file).name} shows no face whose landmarks were found.")
            else:
                looks.append(editor.model.looks.of(face))
                shapes.append(face.shape)
        except UserError as error:  # its sentence names the file
            cli.say(f"skipped: {error}")
        if looks and (len(looks) == editor.model.batch or place == len(files)):
            codes.append(editor.model.encode(np.stack(looks)))
            looks = []
    if not codes:
        raise UserError(f"None of the {what} could be read.")
    return torch.cat(codes), np.stack(shapes)


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
