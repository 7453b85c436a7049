#!/usr/bin/env python3
"""Measure how good the frames half way between two faces are, made in several ways.

    python scripts/evaluate_morphs.py --data faces/val
    python scripts/evaluate_morphs.py --data faces/val --photos photos --frames middles

Pairs are drawn from one half of the faces. Photos are taken as they are uploaded, any size.

    mark        how far frames pass as photographs of one person, 0 to 8.6; the column to go by
    contrast    over that of the two ends
    ghosting    share of a frame's detail that is both ends laid over each other
    face found  share of frames in which exactly one face is found, in its place
    saturated   share of values at 0 or 255
    ms          for one frame more at the model's size, both faces being encoded already

The mark is a formula that was fitted to the marks of blind judges (benchmarks/realism.py).
Over frames its rank correlation with them is 0.8 to 0.9. Of two ways whose means differ by less
than half a mark it cannot tell the better one, and a copy of one photo gets 8.6, the highest mark
there is. To decide more closely, let people judge what --frames writes.

Frames are made and marked at 384 pixels a side; those of smaller pictures, such as a set of faces
of 128 pixels, are enlarged to that. Contrast, ghosting, saturated and ms are of frames at the
model's size. "real faces" is A of each pair, marked as if it were a frame between A and B: a copy,
so its mark is about the highest there is.

The same command gives the same figures, but for the times. With --json the last line of stdout is
one JSON object and nothing else is printed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _project  # noqa: F401

from glow_app.common import cli
from glow_app.common.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from glow_app.faces.face import Face

REAL = "real faces"
HINT = "Marks less than half a mark apart cannot be told apart."


def parser() -> cli.Parser:
    p = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True, metavar="DIR", help="aligned faces, held out")
    p.add_argument("--pairs", type=cli.whole(1, 10_000), default=200, metavar="N", help="(200)")
    p.add_argument("--photos", metavar="DIR", help="unaligned photos, for a second table")
    p.add_argument("--seed", type=cli.whole(0, 4000), default=0, help="of half and pairs (0)")
    p.add_argument(
        "--frames",
        metavar="DIR",
        help='write middle frames there, as "WAY/A-B.png" with the names of both files',
    )
    p.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    cli.add_model_arguments(p)
    return p


def main(argv: list[str] | None = None) -> None:
    p = parser()
    args = p.parse_args(argv)
    start = time.monotonic()
    drawn = Path(args.frames).resolve() if args.frames else None
    for source in filter(None, (args.data, args.photos)):
        if drawn is not None and drawn.is_relative_to(Path(source).resolve()):
            p.error(f"--frames must lie outside {source}: the next run would take them for faces")

    from benchmarks.morphs import (
        all_ways,
        draw_pairs,
        measure_way,
        morph_table,
        one_half,
        read_faces,
        real_face,
    )
    from glow_app.export.writing import check_folder
    from glow_app.faces.looks import require_crops
    from glow_app.faces.opening import list_pictures

    if args.frames:
        check_folder(args.frames)
    editor = cli.open_editor(args)
    ways = {REAL: real_face, **all_ways(editor)}
    keep = {name: _writer(args.frames, name) for name in ways}

    def read(folder: str, align: str) -> list[Face]:
        files = list_pictures(Path(folder))
        require_crops(Path(folder), files)
        return read_faces(files, editor.model, align, lambda why: cli.say(f"skipped: {why}"))

    def measured(faces: list[Face], what: str) -> dict[str, Any]:
        pairs, rows = draw_pairs(faces, args.pairs, args.seed), {}
        for name in cli.shown(ways, len(ways), what):
            rows[name] = measure_way(ways[name], pairs, keep[name])
        for key in ("ghosting", "ms"):  # mean nothing of a copy
            del rows[REAL][key]
        return rows

    faces = read(args.data, "center")
    if len(faces) < 4:
        raise UserError(f"{args.data} holds fewer than four pictures: a half must have a pair.")
    result = {"data": measured([faces[i] for i in one_half(len(faces), args.seed)], "faces")}
    if args.photos is not None:
        result["photos"] = measured(read(args.photos, "auto"), "photos")

    text = "\n\n".join([*map(morph_table, result.values()), HINT])
    result |= {
        "pairs": args.pairs,
        "seed": args.seed,
        "checkpoint": editor.name,
        "device": str(editor.model.device),
        "seconds": round(time.monotonic() - start, 1),
    }
    if not args.json:
        print(f"{text}\n\n{result['seconds']:.0f} s")
    print(json.dumps(result, allow_nan=False))


def _writer(path: str | None, way: str) -> Callable[[Face, Face, np.ndarray], None] | None:
    """Make the folder of a way and return a function that writes its frames there."""
    from glow_app.export.sheets import save_still

    if path is None:
        return None
    folder = Path(path) / way
    folder.mkdir(exist_ok=True)
    return lambda a, b, frame: save_still(frame, folder / f"{a.photo.stem}-{b.photo.stem}.png")


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
