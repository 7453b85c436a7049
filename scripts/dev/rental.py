#!/usr/bin/env python3
"""Train for some minutes on a rented machine and leave results small enough to fetch.

    python scripts/dev/rental.py --data data/packed --val data/packed-val --minutes 9 --out "$OUT"

Goes on with the run in --run if it is there; else with the one whose pieces lie in --from, or from
its weights; else from nothing. Written to --out, in pieces of at most 15 MiB each: the averaged
weights in float32 and float16, the log and the newest pictures; with --state also everything that
an exact continuation elsewhere needs (four times the weights).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from glow_app.common import cli

PIECE = 15 * 2**20  # bytes
_STATE, _WEIGHTS = "state.safetensors", "model.safetensors"


def parser() -> cli.Parser:
    p = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True, metavar="DIR", help="pictures, or what pack.py made")
    p.add_argument("--val", required=True, metavar="DIR", help="held-out pictures, likewise")
    p.add_argument("--out", required=True, metavar="DIR", help="where the pieces go")
    p.add_argument("--minutes", required=True, type=cli.number(0.01), help="of training, now")
    p.add_argument("--from", dest="source", metavar="DIR", help="--out of an earlier machine")
    p.add_argument("--run", default="runs/rental", metavar="DIR", help="run folder (runs/rental)")
    p.add_argument("--state", action="store_true", help="write the whole state too")
    p.add_argument(
        "more", nargs="*", metavar="-- ...", help="after --, options of train.py: --batch 256 ..."
    )
    return p


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    import train as training_script  # beside this file

    run, out = Path(args.run), Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (run / "checkpoint").mkdir(parents=True, exist_ok=True)
    init = _take_over(run, Path(args.source)) if args.source else []
    minutes = _minutes_done(run / "checkpoint" / _STATE) + args.minutes
    data = ["--data", args.data, "--val", args.val, "--out", str(run)]
    training_script.main([*data, "--minutes", str(minutes), *init, *args.more])
    _write(run, out, args.state)
    return 0


def _take_over(run: Path, source: Path) -> list[str]:
    """Bring what an earlier machine left into ``run``; returns options for train.py."""
    from glow_app.common.errors import UserError
    from glow_app.training.parts import join_file

    state = run / "checkpoint" / _STATE
    if state.exists():
        return []
    try:
        join_file(source, _STATE, state)
    except UserError:
        given = join_file(source, _WEIGHTS, run / "given.safetensors")
        return ["--init", str(given)]
    for name in ("config.json", "stats.jsonl"):
        shutil.copyfile(source / name, run / name)
    return []


def _minutes_done(state: Path) -> float:
    from models.checkpoint import read_safetensors

    if not state.exists():
        return 0.0
    _, metadata = read_safetensors(state)
    return float(json.loads(metadata["counters"])["minutes"])


def _write(run: Path, out: Path, with_state: bool) -> None:
    """Everything worth fetching, in pieces."""
    import models
    from glow_app.training.parts import split_file

    for name in ("config.json", "stats.jsonl"):
        shutil.copyfile(run / name, out / name)
    for kind in ("grid", "morph"):
        newest = max((run / "samples").glob(f"{kind}_*.png"))
        shutil.copyfile(newest, out / newest.name)
    split_file(run / _WEIGHTS, out, PIECE)
    model = models.load(run / _WEIGHTS)
    with tempfile.TemporaryDirectory() as folder:
        half = models.save(model, Path(folder) / "model-half.safetensors", half=True)
        split_file(half, out, PIECE)
    if with_state:
        split_file(run / "checkpoint" / _STATE, out, PIECE)
    size = sum(file.stat().st_size for file in out.iterdir()) / 2**20
    print(f"{out}: {len(list(out.iterdir()))} files, {size:.1f} MiB")


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
