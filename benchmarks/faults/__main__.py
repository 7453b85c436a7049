"""Make faults on purpose and print one table of how often the program survived them.

python -m benchmarks.faults                     # all of it: about 25 minutes
python -m benchmarks.faults uploads training    # some of it
python -m benchmarks.faults --short             # in a small size, two minutes
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults import Row, table
from glow_app.common import cli


def parser() -> cli.Parser:
    description = __doc__.split("\n")[0]
    p = cli.Parser(prog="python -m benchmarks.faults", description=description)
    p.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(_PARTS)} (default: all)")
    p.add_argument("--short", action="store_true", help="a small size of everything")
    p.add_argument("--files", type=cli.whole(1), help="mutated files (default 10,000)")
    p.add_argument("--seed", type=cli.whole(0), default=0, help="of mutations and kills")
    p.add_argument("--users", type=cli.whole(1), help="visitors at once (default 50)")
    p.add_argument("--seconds", type=cli.number(1), help="of load (default 120)")
    p.add_argument("--kills", type=cli.whole(1), help="kill -9 in one run (default 50)")
    p.add_argument("--checkpoint", metavar="P", help="of the page under load")
    p.add_argument("--keep", metavar="DIR", help="leave all files in this folder")
    p.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return p


def main(argv: list[str] | None = None) -> int:
    p = parser()
    args = p.parse_args(argv)
    if strange := sorted(set(args.parts) - set(_PARTS)):
        p.error(f"there is no part {strange[0]!r}: choose among {', '.join(_PARTS)}")
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        folder = Path(args.keep or temporary)
        rows = [row for name in args.parts or _PARTS for row in _PARTS[name](args, folder / name)]
    if args.json:
        machine = {"system": platform.platform(), "cores": os.cpu_count()}
        print(json.dumps({"machine": machine, "faults": [row.record() for row in rows]}, indent=2))
    else:
        print(table(rows))
    return 1 if any(row.lost for row in rows) else 0


def _uploads(args: argparse.Namespace, folder: Path) -> list[Row]:
    from benchmarks.faults.uploads import fuzz, hostile

    count = args.files or (60 if args.short else 10_000)
    rows, findings = hostile(folder / "corpus", huge=not args.short)
    fuzzed, more = fuzz(folder / "mutated", count, args.seed)
    for finding in findings + more:
        cli.say(f"{finding.name}: {finding.why}")
    return rows + fuzzed


def _load(args: argparse.Namespace, folder: Path) -> list[Row]:
    from benchmarks.faults.load import under_load

    users = args.users or (10 if args.short else 50)
    seconds = args.seconds or (15 if args.short else 120)
    return under_load(folder, users, seconds, args.checkpoint)


def _training(args: argparse.Namespace, folder: Path) -> list[Row]:
    from benchmarks.faults.interruptions import Trainings

    trainings = Trainings(folder)
    return [
        trainings.killed(args.kills or (3 if args.short else 50), args.seed),
        trainings.full_disk(),
        trainings.damaged(),
        trainings.poisoned(),
        trainings.worker_lost(1 if args.short else 4),
    ]


_PARTS: dict[str, Callable[[argparse.Namespace, Path], list[Row]]] = {
    "uploads": _uploads,
    "load": _load,
    "training": _training,
}

if __name__ == "__main__":
    raise SystemExit(cli.run(main))
