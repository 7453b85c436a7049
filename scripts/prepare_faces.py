#!/usr/bin/env python3
"""Cut the faces out of photos and align them, ready for training or for the page.

    python scripts/prepare_faces.py holiday/ --out faces/ --size 128

Writes one picture for each photo (its largest face), under the same name in the same subfolder.
Photos that lie on their side or head are turned upright. Run it again to go on after a stop: what
is there already in the right size is skipped. Photos without a face, and those of which it is not
clear which way up they are, are listed at the end and in DIR/left_out.txt.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from glow_app.common import cli
from glow_app.common.errors import UserError
from glow_app.common.files import replacing, write_text

if TYPE_CHECKING:
    import numpy as np

    from glow_app.faces.face import Face

LEFT_OUT = "left_out.txt"
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
        default="png",
        help="png is exact; jpg is written at quality 95 without chroma subsampling (default png)",
    )
    p.add_argument(
        "--all-faces",
        action="store_true",
        help="every face of a group picture: NAME-face1 (the largest), NAME-face2 ...",
    )
    return p


def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)

    from glow_app.faces import finder
    from glow_app.faces.opening import printable

    source, out = Path(args.src).expanduser(), Path(args.out).expanduser()
    photos = find_photos(source, out)
    if not finder.available():
        raise UserError(finder.MISSING)
    targets = name_targets(list(photos), args.format, args.all_faces)
    originals = {path.resolve() for path in photos.values()}
    if any((out / target).resolve() in originals for target in targets.values()):
        raise UserError("--out must be another folder: a photo would be overwritten.")
    out.mkdir(parents=True, exist_ok=True)
    (out / LEFT_OUT).unlink(missing_ok=True)

    written = there = turned = missed = 0
    left_out: list[str] = []
    for name in cli.shown(photos, len(photos), "aligning"):
        target = out / targets[name]
        if is_done(target, args.size):
            there += 1
            continue
        try:
            faces, more = write_faces(photos[name], target, args.size, args.all_faces)
        except UserError as error:
            left_out.append(_complaint(printable(str(name)), str(error)))
            continue
        written += len(faces)
        turned += sum(face.turned for face in faces)
        missed += more
    report(out, written, there, left_out, turned, missed)
    if not written and not there:
        only = left_out[0] if len(left_out) == 1 else f"None of {len(photos)} photos can be used."
        raise UserError(only)


def find_photos(source: Path, out: Path) -> dict[Path, Path]:
    """Photos by their path relative to `source`, without those that this script wrote.

    Raises:
        UserError: there is none, or `out` is `source`, whose photos would be overwritten.
    """
    from glow_app.faces.folders import list_pictures
    from glow_app.faces.opening import printable

    if not source.is_dir():
        if not source.exists():
            raise UserError(f"There is no file or folder {printable(str(source))}.")
        if out.exists() and os.path.samefile(source.parent, out):
            raise UserError("--out must not be the folder of the photo itself.")
        return {Path(source.name): source}
    if out.exists() and os.path.samefile(source, out):
        raise UserError("--out must not be the folder of the photos itself.")
    files, own = list_pictures(source), out.resolve()
    if source.resolve() in own.parents:
        files = [path for path in files if own not in path.resolve().parents]
    if not files:
        raise UserError(f"There is no picture in {printable(str(source))}.")
    return {path.relative_to(source): path for path in files}


def name_targets(names: list[Path], suffix: str, all_faces: bool = False) -> dict[Path, Path]:
    """A name to write for each photo, all different even where letter case does not count.

    a.jpg becomes a.png; where that would be taken twice, a.jpg.png. With `all_faces` it is the
    name of the first face.
    """
    ending = f"-face1.{suffix}" if all_faces else f".{suffix}"
    short = {name: name.with_name(name.stem + ending) for name in names}
    uses: dict[str, int] = {}
    for target in short.values():
        uses[_key(target)] = uses.get(_key(target), 0) + 1
    targets: dict[Path, Path] = {}
    taken = {_key(target) for target in short.values() if uses[_key(target)] == 1}
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


def is_done(target: Path, size: int) -> bool:
    """Whether an earlier run wrote this picture, in this size."""
    from PIL import Image

    try:
        with Image.open(target) as image:
            return image.size == (size, size)
    except OSError:
        return False


def write_faces(photo: Path, target: Path, size: int, all_faces: bool) -> tuple[list[Face], int]:
    """Write the largest face of a photo, or all of them.

    Returns:
        the faces, and how many more the photo may show that were left out.

    Raises:
        UserError: no face, or not a picture.
        OSError: the disk is full, or the folder may not be written to.
    """
    from glow_app.faces.prepare import prepare, prepare_all

    if all_faces:
        found, left = prepare_all(photo, size)
    else:
        found, left = [prepare(photo, size, align="face")], 0
    # Face 1 comes last: its file tells the next run that this photo is done.
    for number in range(len(found), 0, -1):
        name = target
        if number > 1:
            name = target.with_name(target.stem.removesuffix("1") + f"{number}{target.suffix}")
        save(found[number - 1].pixels, name)
    return found, left


def save(pixels: np.ndarray, target: Path) -> None:
    """Write a picture whole or not at all."""
    from PIL import Image

    target.parent.mkdir(parents=True, exist_ok=True)
    jpeg = target.suffix == ".jpg"
    options = {"quality": 95, "subsampling": 0} if jpeg else {}
    try:
        with replacing(target) as temporary:
            Image.fromarray(pixels).save(temporary, "JPEG" if jpeg else "PNG", **options)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UserError("The name is too long to be written.") from error
        raise


def _complaint(path: str, sentence: str) -> str:
    """The sentence about a photo, with its whole path in place of its name."""
    name = path.rsplit(os.sep, 1)[-1]
    if sentence.startswith(name):
        return path + sentence.removeprefix(name)
    return f"{path}: {sentence}"


def report(
    out: Path, written: int, there: int, left_out: list[str], turned: int = 0, missed: int = 0
) -> None:
    """Say what was done, and list what was left out here and in a file.

    Args:
        turned: how many of the written faces lay on their side or head in their photo.
        missed: how many more faces the photos may show.
    """
    parts = [_count(written, "face") + " written"]
    if turned:
        parts.append(f"{turned} of them turned upright")
    if there:
        parts.append(_count(there, "photo") + " done before")
    if left_out:
        parts.append(_count(len(left_out), "photo") + " left out")
    if missed:
        parts.append(_count(missed, "place") + " left out that may show a face")
    print(f"{', '.join(parts)}.")
    if not left_out:
        return
    for line in left_out[:_LISTED]:
        print(f"  {line}")
    if len(left_out) > _LISTED:
        print(f"  ... and {len(left_out) - _LISTED} more in {LEFT_OUT}")
    write_text(out / LEFT_OUT, "".join(f"{line}\n" for line in left_out))


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
