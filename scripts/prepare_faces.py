#!/usr/bin/env python3
"""Cut the faces out of photos and align them, ready for training or for the page.

    python scripts/prepare_faces.py holiday/ --out faces/ --size 128
    python scripts/prepare_faces.py faces/ --out looks/ --shape mean --aligned
    python scripts/prepare_faces.py faces/ --out looks/ --shape mean --aligned --shard 3/20

Writes one picture for each photo (its largest face), under the same name in the same subfolder.
Run it again to go on after a stop: photos that are done are skipped, replaced ones are done anew,
and the face of a photo that has got another name since does not stay under the old one. Of files
that are copies of each other the first is taken. Photos that lie on their side or head are turned
upright. Those without a face, and those of which it is not clear which way up they are, are listed
at the end and in DIR/left_out.txt.

With --shape mean every face is warped to the mean shape: looks, as the page shows them to a model,
and as a model that draws only looks is trained on. DIR says so in frame.json.

--shard K/N does the K-th of N parts of the photos, told by their names: run one command with each
K, on as many machines as you like, all into the same DIR.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import _project  # noqa: F401

from glow_app.common import cli
from glow_app.common.errors import UserError
from glow_app.common.files import write_text

if TYPE_CHECKING:
    from glow_app.faces.prepared import Outcome, Plan

_EACH = 32  # photos a worker: below that its start, two seconds, is not worth it
_LISTED = 20  # names on the terminal; the file has all of them


def parser() -> cli.Parser:
    p = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("src", metavar="SRC", help="a photo, or a folder of photos, nested or not")
    p.add_argument("--out", required=True, metavar="DIR", help="where to write; made if missing")
    p.add_argument(
        "--size", type=cli.whole(16, 2048), default=128, metavar="PX", help="side (default 128)"
    )
    p.add_argument(
        "--format",
        choices=("png", "jpg"),
        help="png is exact; jpg is written at quality 95 without chroma subsampling (default "
        "png; looks of 128 pixels are the JPEGs that models learn from)",
    )
    p.add_argument(
        "--shape",
        choices=("crop", "mean"),
        default="crop",
        help="crop: faces as they are cut out (default); mean: looks, warped to the mean shape, "
        "of 128 to 256 pixels",
    )
    p.add_argument(
        "--aligned",
        action="store_true",
        help="with --shape mean: the photos are aligned crops already and taken as they lie, "
        "which is twice as fast",
    )
    p.add_argument(
        "--all-faces",
        action="store_true",
        help="every face of a group picture: NAME-face1 (the largest), NAME-face2 ...",
    )
    p.add_argument(
        "--workers",
        type=cli.whole(1, 1024),
        metavar="N",
        help="processes (default: one for each core, fewer for few photos)",
    )
    p.add_argument(
        "--shard",
        type=shard,
        metavar="K/N",
        help="only the K-th of N parts of the photos, of about equal size",
    )
    return p


def shard(text: str) -> tuple[int, int]:
    """Parse "3/20" to (3, 20)."""
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    k, n = (int(part) for part in found.groups()) if found else (0, 0)
    if not 1 <= k <= n:
        raise argparse.ArgumentTypeError(f"must be K/N, such as 3/20, K from 1 to N, not {text!r}")
    return k, n


def plan_of(p: cli.Parser, args: argparse.Namespace) -> Plan:
    """Return how the faces are to be written; `p.error` on arguments that do not go together."""
    from glow_app.faces.prepared import Plan

    if args.shape == "mean":
        if not 128 <= args.size <= 256:
            p.error("--shape mean makes pictures of 128 to 256 pixels; training reduces them")
        if args.size == 128 and args.format:
            p.error("looks of 128 pixels are JPEGs of their own kind: leave --format out")
        if args.aligned and args.all_faces:
            p.error("--aligned pictures show one face: leave --all-faces out")
    elif args.aligned:
        p.error("--aligned is for --shape mean")
    return Plan(args.size, args.format or "png", args.all_faces, args.shape, args.aligned)


def main(argv: list[str] | None = None) -> None:
    p = parser()
    args = p.parse_args(argv)
    plan = plan_of(p, args)

    from glow_app.common.devices import cores, spread
    from glow_app.export.writing import check_folder
    from glow_app.faces import finder
    from glow_app.faces.prepared import Job, Leftovers, write_faces

    source, out = Path(args.src), Path(args.out)
    photos = find_photos(source, out)
    if not finder.available():
        raise UserError(finder.MISSING)
    targets = name_targets(list(photos), plan.suffix, args.all_faces)
    originals = {path.resolve() for path in photos.values()}
    if any((out / target).resolve() in originals for target in targets.values()):
        raise UserError("--out must be another folder: a photo would be overwritten.")
    photos, copies = without_copies(photos)
    targets = {name: targets[name] for name in photos}
    before = find_pictures(source, out)
    check_frame(out, before, plan)
    check_folder(out)
    shard_ending = "-{}-of-{}".format(*args.shard) if args.shard else ""
    list_left_out = out / f"left_out{shard_ending}.txt"
    list_left_out.unlink(missing_ok=True)
    leftovers = Leftovers(out, before, targets)

    names = [name for name in photos if in_shard(name, args.shard)]
    jobs = (Job(photos[name], name, out, targets[name], plan) for name in names)
    workers = args.workers or min(cores(), -(-len(names) // _EACH))
    outcomes = spread(write_faces, jobs, min(workers, len(names)))
    tally = Tally(left_out=[line for name, line in copies.items() if in_shard(name, args.shard)])
    shown = cli.shown(zip(names, outcomes, strict=True), len(names), "aligning")
    for name, outcome in shown:
        tally.add(name, outcome)
        for picture in leftovers.of(name, outcome):
            tally.removed += (out / picture).exists()
            (out / picture).unlink(missing_ok=True)
    tally.report(list_left_out)
    if names and not tally.written and not tally.there:
        sentences = tally.left_out
        only = sentences[0] if len(sentences) == 1 else f"None of {len(names)} photos can be used."
        raise UserError(only)


def find_photos(source: Path, out: Path) -> dict[Path, Path]:
    """Return photos by their path relative to `source`, without what lies in `out`.

    Raises:
        UserError: there is none, they are looks already, or `out` is `source`, whose photos would
            be overwritten.
    """
    from glow_app.faces.looks import require_crops
    from glow_app.faces.opening import list_pictures, printable

    if not source.is_dir():
        if not source.exists():
            raise UserError(f"There is no file or folder {printable(str(source))}.")
        if out.exists() and os.path.samefile(source.parent, out):
            raise UserError("--out must not be the folder of the photo itself.")
        require_crops(source.parent, [source])
        return {Path(source.name): source}
    if out.exists() and os.path.samefile(source, out):
        raise UserError("--out must not be the folder of the photos itself.")
    files, own = list_pictures(source), out.resolve()
    if source.resolve() in own.parents:
        files = [path for path in files if own not in path.resolve().parents]
    if not files:
        raise UserError(f"There is no picture in {printable(str(source))}.")
    require_crops(source, files)
    return {path.relative_to(source): path for path in files}


def without_copies(photos: dict[Path, Path]) -> tuple[dict[Path, Path], dict[Path, str]]:
    """Return the photos without copies of an earlier one, and a line about each copy.

    Only files of one length are read for it.
    """
    from glow_app.faces.opening import printable
    from glow_app.faces.prepared import digest_of

    lengths: dict[int, list[Path]] = {}
    for name, path in photos.items():
        with suppress(OSError):  # the sentence comes when it is opened
            lengths.setdefault(path.stat().st_size, []).append(name)
    copies: dict[Path, str] = {}
    for names in lengths.values():
        first: dict[str, Path] = {}
        for name in names if len(names) > 1 else ():
            with suppress(OSError):
                original = first.setdefault(digest_of(photos[name]), name)
                if original != name:
                    about = (printable(str(one)) for one in (name, original))
                    copies[name] = "{} is a copy of {}.".format(*about)
    return {name: path for name, path in photos.items() if name not in copies}, copies


def find_pictures(source: Path, out: Path) -> list[Path]:
    """Return the pictures in `out`, relative to it, without the photos themselves."""
    from glow_app.faces.opening import list_pictures

    try:
        files = list_pictures(out)
    except UserError:  # no folder yet, or no picture in it
        return []
    own = source.resolve()
    if out.resolve() == own.parent or out.resolve() in own.parents:
        files = [path for path in files if own not in (path.resolve(), *path.resolve().parents)]
    return [path.relative_to(out) for path in files]


def check_frame(out: Path, before: list[Path], plan: Plan) -> None:
    """Raise UserError if pictures `before` in `out` are of another frame than the plan's."""
    from glow_app.faces.looks import ReferenceFrame

    if before:
        there = ReferenceFrame.of_pictures(out, [out / picture for picture in before])
        if not there.same_as(plan.frame):
            raise UserError(f"--out holds {there.words}; {plan.frame.words} need another folder.")


def in_shard(name: Path, part: tuple[int, int] | None) -> bool:
    """Whether a photo belongs to part (K, N), by a hash of its name; None takes all photos."""
    if part is None:
        return True
    digest = hashlib.sha256(name.as_posix().encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") % part[1] == part[0] - 1


def name_targets(names: list[Path], suffix: str, all_faces: bool = False) -> dict[Path, Path]:
    """Return a name to write for each photo, all different even where letter case does not count.

    a.jpg becomes a.png; where that would be taken twice, a.jpg.png. With `all_faces` it is the
    name of the first face.
    """
    ending = f"-face1.{suffix}" if all_faces else f".{suffix}"
    short = {name: name.with_name(name.stem + ending) for name in names}
    uses = Counter(_key(target) for target in short.values())
    targets: dict[Path, Path] = {}
    taken = {key for key, count in uses.items() if count == 1}
    for name in names:
        target, number = short[name], 1
        if uses[_key(target)] > 1:
            target = name.with_name(name.name + ending)
            while _key(target) in taken:
                number += 1
                target = name.with_name(f"{name.name}_{number}{ending}")
            taken.add(_key(target))
        targets[name] = target
    return targets


def _key(path: Path) -> str:
    return str(path).casefold()


def _complaint(path: str, sentence: str) -> str:
    """Return the sentence about a photo with its whole path in place of its name."""
    name = path.rsplit(os.sep, 1)[-1]
    own = sentence.startswith(name)
    return path + sentence.removeprefix(name) if own else f"{path}: {sentence}"


@dataclass
class Tally:
    """Counts of what was done."""

    written: int = 0  # faces that were written
    turned: int = 0  # how many of these lay on their side or head in their photo
    there: int = 0  # photos that were done before
    removed: int = 0  # outdated pictures that were deleted
    missed: int = 0  # how many more faces the photos may show
    left_out: list[str] = field(default_factory=list)  # a sentence for each photo that was

    def add(self, name: Path, outcome: Outcome) -> None:
        """Count the outcome of the photo `name`."""
        from glow_app.faces.opening import printable

        self.written += len(outcome.pictures) if outcome.new else 0
        self.there += bool(outcome.pictures) and not outcome.new
        self.turned += outcome.turned
        self.missed += outcome.missed
        if outcome.left_out:
            self.left_out.append(_complaint(printable(str(name)), outcome.left_out))

    def report(self, listed: Path) -> None:
        """Print the counts, and list what was left out here and in the file `listed`."""
        parts = [
            (self.turned, f"{self.turned} of them turned upright"),
            (self.there, f"{_count(self.there, 'photo')} done before"),
            (self.removed, f"{_count(self.removed, 'outdated picture')} removed"),
            (len(self.left_out), f"{_count(len(self.left_out), 'photo')} left out"),
            (self.missed, f"{_count(self.missed, 'place')} left out that may show a face"),
        ]
        written = f"{_count(self.written, 'face')} written"
        print(f"{', '.join([written, *(text for number, text in parts if number)])}.")
        if not self.left_out:
            return
        for line in self.left_out[:_LISTED]:
            print(f"  {line}")
        if len(self.left_out) > _LISTED:
            print(f"  ... and {len(self.left_out) - _LISTED} more in {listed.name}")
        write_text(listed, "".join(f"{line}\n" for line in self.left_out))


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
