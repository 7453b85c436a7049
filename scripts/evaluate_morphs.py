#!/usr/bin/env python3
"""Measure what the frames of a morph look like, made in several ways, on pairs of held-out faces.

    python scripts/evaluate_morphs.py --data faces/val
    python scripts/evaluate_morphs.py --data faces/val --photos photos --strips strips.png

One half of the faces is the reference, pairs are drawn from the other; its own row is the floor.
Photos are looked at as they are uploaded, any size, and every pair of them counts once.

    16, 32, 64 px   sliced Wasserstein distance of middle frames to the reference at each scale,
                    and SWD, their mean (Karras et al. 2018; lower is better)
    brightness, contrast, sharpness
                    of middle frames, over those of the two ends
    saturated       share of values at 0 or 255
    face found      share of frames in which exactly one face is found, in its place
    ghosting        share of a frame's detail that is both ends laid over each other
    unevenness      variation of the change from frame to frame; 0 is an even morph
    Fréchet         distance of face descriptors x 1000 } where dlib is installed, see
    identity        share that leave A and come to B    } requirements-benchmark.txt
    ms              for one frame more, photos being encoded and their landmarks found

The same command gives the same figures, but for the times. With --json the last line of stdout is
one JSON object and nothing else is printed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from glow_app.common import cli

if TYPE_CHECKING:
    import numpy as np

    from glow_app.benchmarks.morphs.material import Pairs
    from glow_app.benchmarks.morphs.ways import Way
    from glow_app.editing.codec import Codec

REAL = "real faces"
SMALLEST = 32  # pixels: a pyramid needs as many


def parser() -> cli.Parser:
    p = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True, metavar="DIR", help="aligned faces, held out")
    p.add_argument("--pairs", type=cli.whole(1, 10_000), default=200, metavar="N", help="(200)")
    p.add_argument("--photos", metavar="DIR", help="unaligned photos, for a second table")
    p.add_argument(
        "--descriptors",
        action=argparse.BooleanOptionalAction,
        help="Fréchet distance and identity, half of the time (default: where dlib is installed)",
    )
    p.add_argument("--seed", type=cli.whole(0, 4000), default=0, help="of halves and pairs (0)")
    p.add_argument("--out", metavar="FILE", help="write the tables there as well, as Markdown")
    p.add_argument("--strips", metavar="PNG", help="write strips of some pairs there")
    p.add_argument("--shown", type=cli.whole(1, 20), default=4, metavar="N", help="of strips (4)")
    p.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    cli.add_model_arguments(p)
    return p


def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)
    start = time.monotonic()

    from glow_app.benchmarks.morphs.material import Pairs, all_pairs, draw_pairs, halves
    from glow_app.benchmarks.morphs.table import morph_table
    from glow_app.benchmarks.morphs.ways import all_ways
    from glow_app.common.errors import UserError
    from glow_app.common.files import write_text
    from glow_app.editing.codec import Codec

    out, picture = (_target(path) for path in (args.out, args.strips))
    describe = _describer(args.descriptors)
    codec = Codec(args.checkpoint, args.device)
    ways = all_ways(codec)
    if codec.image_size < SMALLEST:
        raise UserError(f"Morphs are measured from {SMALLEST} pixels up: {codec.name} has fewer.")

    faces = _read(args.data, codec, "center")
    if len(faces) < 4:
        raise UserError(f"{args.data} holds fewer than four pictures: a half must have a pair.")
    reference, others = halves(len(faces), args.seed)
    pairs = Pairs(faces, draw_pairs(others, args.pairs, args.seed))
    rows = _rows(pairs, faces.pixels[reference], ways, describe, "faces")
    result: dict[str, Any] = {"data": rows}
    texts = [morph_table(rows, codec.image_size)]

    if args.photos is not None:
        photos = _read(args.photos, codec, "auto")
        pairs = Pairs(photos, all_pairs(len(photos), args.pairs, args.seed))
        rows = _rows(pairs, photos.pixels, ways, describe, "photos")
        result["photos"] = rows
        texts.append(morph_table(rows, codec.image_size))

    if out is not None:
        write_text(out, "\n\n".join(texts) + "\n")
    if picture is not None:
        _draw(picture, pairs[: args.shown], ways)
    result |= {
        "pairs": args.pairs,
        "reference": len(reference),
        "seed": args.seed,
        "checkpoint": codec.name,
        "device": str(codec.device),
        "seconds": round(time.monotonic() - start, 1),
    }
    if not args.json:
        print("\n\n".join(texts) + f"\n\n{result['seconds']:.0f} s")
    print(json.dumps(result, allow_nan=False))


def _rows(
    pairs: Pairs,
    reference: np.ndarray,
    ways: list[Way],
    describe: Callable[[np.ndarray], np.ndarray] | None,
    what: str,
) -> dict[str, dict[str, Any]]:
    """Figures by the name of the way, the real faces first."""
    from glow_app.benchmarks.morphs.evaluation import Scale, measure_real, measure_way

    scale = Scale(reference, describe)
    rows = {REAL: measure_real(pairs, scale)}
    for way in cli.shown(ways, len(ways), what):
        rows[way.name] = measure_way(way, pairs, scale)
    return rows


def _read(folder: str, codec: Codec, align: str) -> Any:
    from glow_app.benchmarks.morphs.material import read_faces
    from glow_app.faces.folders import list_pictures

    files = list_pictures(Path(folder).expanduser())
    faces = read_faces(files, codec.image_size, codec.coding, align)
    for sentence in faces.skipped:
        cli.say(f"skipped: {sentence}")
    return faces


def _describer(wanted: bool | None) -> Callable[[np.ndarray], np.ndarray] | None:
    from glow_app.benchmarks.morphs import descriptors
    from glow_app.common.errors import UserError

    if wanted is False:
        return None
    if descriptors.available():
        return descriptors.describe
    if wanted:
        raise UserError(descriptors.MISSING)
    cli.say(descriptors.MISSING)
    return None


def _target(path: str | None) -> Path | None:
    """A file that can be written, found out before the minutes of work."""
    from glow_app.common.errors import UserError

    if path is None:
        return None
    target = Path(path).expanduser()
    if target.is_dir() or not target.parent.is_dir():
        raise UserError(f"{path} cannot be written: there is no such folder, or it is one.")
    return target


def _draw(target: Path, pairs: Pairs, ways: list[Way]) -> None:
    import numpy as np

    from glow_app.benchmarks.morphs.evaluation import EVERY
    from glow_app.benchmarks.morphs.strips import strips
    from glow_app.common.files import replacing

    for way in ways:
        way.prepare(pairs)
    frames = np.stack([way(pairs, EVERY) for way in ways])
    with replacing(target) as temporary:
        strips(frames, [way.name for way in ways]).save(temporary, "PNG")


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
