#!/usr/bin/env python3
"""Pack pictures into a few files of bounded size, to train on them on another machine.

python scripts/dev/pack.py --data FACES --out data/packed --size 64

The folder is then data for train.py and rental.py, with the very same pixels.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from glow_app.common import cli


def parser() -> cli.Parser:
    p = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True, metavar="DIR", help="folder of pictures")
    p.add_argument("--out", required=True, metavar="DIR", help="where the parts go")
    p.add_argument("--size", type=cli.whole(2, 1024), default=64, help="side in pixels (64)")
    p.add_argument(
        "--part-mib", type=cli.number(0.01, 4096), default=60, help="largest part, MiB (60)"
    )
    return p


def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)

    from glow_app.training import from_source
    from glow_app.training.parts import pack_pictures

    with tempfile.TemporaryDirectory() as cache:
        pictures = from_source(args.data, args.size, Path(cache), cli.say, cli.shown)
        entries = zip(pictures.names, pictures.pixels, strict=True)
        shown = cli.shown(entries, len(pictures), "packing")
        parts = pack_pictures(shown, Path(args.out), int(args.part_mib * 2**20))
    size = sum(part.stat().st_size for part in parts) / 2**20
    print(f"{args.out}: {len(pictures):,} pictures in {len(parts)} parts, {size:.1f} MiB")


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
