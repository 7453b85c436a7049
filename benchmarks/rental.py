"""Train on a machine that is rented by the minute and takes and returns only small files.

    python -m benchmarks.rental pack --data FACES --out packed          # at home
    python -m benchmarks.rental pack --data HELD_OUT --out packed-val
    python -m benchmarks.rental train --data packed --val packed-val --minutes 9 --out "$OUT"

`pack` prepares pictures for a model of --size and writes them into a few files of bounded size.
train.py also takes such a folder as data, with the same pixels.

`train` resumes the run in --run if there is one; else the one whose pieces are in --from, or its
weights; else it starts anew. It writes to --out, in pieces of at most 15 MiB, the averaged weights
in float32 and float16, the log and the newest pictures; with --state also all that is needed to
resume exactly on another machine (four times the weights).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from glow_app.common import cli
from glow_app.common.errors import UserError
from glow_app.common.files import replacing, write_text

if TYPE_CHECKING:
    import numpy as np

PIECE, PART = 15 * 2**20, 60 * 2**20  # bytes of a file that is brought back, or packed
_TRAIN = Path(__file__).resolve().parents[1] / "scripts" / "train.py"
_MANIFEST = ".parts.json"
_STATE, _WEIGHTS = "state.safetensors", "model.safetensors"


def parser() -> cli.Parser:
    p = cli.Parser(
        prog="python -m benchmarks.rental",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = p.add_subparsers(required=True, metavar="{pack,train}")
    p_pack = commands.add_parser("pack", help="pictures into a few files, at home")
    p_pack.set_defaults(command=pack)
    add = p_pack.add_argument
    add("--data", required=True, metavar="DIR", help="folder of pictures")
    add("--out", required=True, metavar="DIR", help="where the parts go")
    add("--size", type=cli.whole(2, 1024), default=64, help="side in pixels (64)")
    add("--coding", choices=["auto", "none"], default="auto", help="as of train.py")
    add("--init", metavar="P", help="weights that the run starts from, for --coding")
    p_train = commands.add_parser("train", help="train on them for some minutes, there")
    p_train.set_defaults(command=train)
    add = p_train.add_argument
    add("--data", required=True, metavar="DIR", help="pictures, or what pack made")
    add("--val", required=True, metavar="DIR", help="held-out pictures, likewise")
    add("--out", required=True, metavar="DIR", help="where the pieces go")
    add("--minutes", required=True, type=cli.number(0.01), help="of training, now")
    add("--from", dest="source", metavar="DIR", help="--out of an earlier machine")
    add("--run", default="runs/rental", metavar="DIR", help="run folder (runs/rental)")
    add("--state", action="store_true", help="write the whole state too")
    add("more", nargs="*", metavar="-- ...", help="after --, options of train.py: --batch 256 ...")
    return p


def main(argv: list[str] | None = None) -> int | None:
    args = parser().parse_args(argv)
    return args.command(args)


def pack(args: argparse.Namespace) -> None:
    """Write the pictures, prepared as for training, into parts."""
    from glow_app.training import from_source
    from glow_app.training.run_folder import pick_coding

    coding = pick_coding(args.coding, args.size, Path(args.init) if args.init else None)
    with tempfile.TemporaryDirectory() as cache:
        pictures = from_source(
            args.data, args.size, Path(cache), cli.say, cli.shown, coding=coding
        )
        entries = zip(pictures.names, pictures.pixels, strict=True)
        shown = cli.shown(entries, len(pictures), "packing")
        parts = pack_pictures(shown, Path(args.out), PART)
        pictures.frame.write(Path(args.out))
    size = sum(part.stat().st_size for part in parts) / 2**20
    print(f"{args.out}: {len(pictures):,} pictures in {len(parts)} parts, {size:.1f} MiB")


def train(args: argparse.Namespace) -> int:
    """Resume the run for some minutes, write its results in pieces, return train.py's status."""
    from glow_app.export.writing import check_folder
    from models.checkpoint import read_safetensors

    run, out = Path(args.run), check_folder(args.out)
    (run / "checkpoint").mkdir(parents=True, exist_ok=True)
    state = run / "checkpoint" / _STATE
    init = _take_over(run, Path(args.source)) if args.source and not state.exists() else []
    minutes = args.minutes
    if state.exists():
        minutes += float(json.loads(read_safetensors(state)[1]["counters"])["minutes"])
    data = ["--data", args.data, "--val", args.val, "--out", run, "--minutes", str(minutes)]
    status = subprocess.call([sys.executable, _TRAIN, *data, *init, *args.more])
    if status == 0:
        _write(run, out, args.state)
    return status


def _take_over(run: Path, source: Path) -> list[str]:
    """Copy the results of an earlier machine into ``run``; return more options for train.py."""
    try:
        join_file(source, _STATE, run / "checkpoint" / _STATE)
    except UserError:
        given = join_file(source, _WEIGHTS, run / "given.safetensors")
        return ["--init", str(given)]
    for name in ("config.json", "stats.jsonl"):
        shutil.copyfile(source / name, run / name)
    return []


def _write(run: Path, out: Path, with_state: bool) -> None:
    """Write log, newest pictures and weights, large files in pieces."""
    import models

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


# ---------------------------------------------------------------------- files of bounded size


def pack_pictures(pictures: Iterable[tuple[str, np.ndarray]], out: Path, limit: int) -> list[Path]:
    """Write ``pictures``, names and uint8 (S, S, 3), to ``out/part-000.zip`` and so on.

    The archives hold lossless WebP, about half of the raw bytes, and have at most ``limit`` bytes
    each. `glow_app.training.from_source` reads the very same pixels from the folder.
    """
    from PIL import Image

    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("part-*.zip"):
        old.unlink()
    parts: list[Path] = []
    with ExitStack() as opened:
        room = 0
        for name, pixels in pictures:
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "WEBP", lossless=True, method=4)
            needed = buffer.tell() + 2 * len(name.encode()) + 256  # with its two headers
            if needed > room:
                opened.close()
                parts.append(out / f"part-{len(parts):03d}.zip")
                archive = opened.enter_context(zipfile.ZipFile(parts[-1], "w"))
                room = limit - 1024
            archive.writestr(f"{name}.webp", buffer.getvalue())
            room -= needed
    return parts


def split_file(path: Path, out: Path, limit: int) -> list[Path]:
    """Cut ``path`` into ``out/NAME.000`` and so on of at most ``limit`` bytes.

    A manifest beside them proves the pieces when they are joined.
    """
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob(f"{path.name}.[0-9][0-9][0-9]"):
        old.unlink()
    digest, pieces = hashlib.sha256(), []
    with open(path, "rb") as file:
        while piece := file.read(limit):
            digest.update(piece)
            pieces.append(out / f"{path.name}.{len(pieces):03d}")
            pieces[-1].write_bytes(piece)
    manifest = {"pieces": len(pieces), "sha256": digest.hexdigest()}
    write_text(out / (path.name + _MANIFEST), json.dumps(manifest) + "\n")
    return pieces


def join_file(folder: Path, name: str, target: Path) -> Path:
    """Join what :func:`split_file` made of ``name`` into ``target``, written only if it is whole.

    Raises:
        UserError: pieces are missing or damaged; one sentence.
    """
    digest = hashlib.sha256()
    try:
        manifest = json.loads((folder / (name + _MANIFEST)).read_text(encoding="utf-8"))
        pieces = [folder / f"{name}.{i:03d}" for i in range(manifest["pieces"])]
        with replacing(target) as temporary:
            with open(temporary, "wb") as file:
                for piece in map(Path.read_bytes, pieces):
                    digest.update(piece)
                    file.write(piece)
            if digest.hexdigest() != manifest["sha256"]:
                raise UserError(
                    f"The pieces of {name} in {folder} are not those that were written."
                )
    except (FileNotFoundError, KeyError, json.JSONDecodeError) as error:
        raise UserError(f"A piece of {name} is missing in {folder}.") from error
    return target


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
