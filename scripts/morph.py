#!/usr/bin/env python3
"""Morph photo A into photo B, or through several photos, and write the animation.

python scripts/morph.py a.jpg b.jpg --out morph.gif
python scripts/morph.py a.jpg b.jpg c.jpg --out round.webp --loop
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from glow_app import cli

if TYPE_CHECKING:
    import numpy as np

    from glow_app.editor import Editor


def parser() -> cli.Parser:
    p = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("photos", nargs="+", metavar="PHOTO", help="A, B and perhaps more, in order")
    p.add_argument(
        "--out", required=True, metavar="FILE", help=".gif, .webp, .png (animated) or .mp4"
    )
    p.add_argument("--strip", metavar="PNG", help="also write a film strip of the stages")
    path = p.add_argument_group("path")
    path.add_argument(
        "--frames",
        type=cli.whole(2, 1000),
        default=33,
        metavar="N",
        help="frames from one photo to the next, both included (default 33)",
    )
    path.add_argument("--path", choices=("linear", "spherical"), default="linear")
    ends = path.add_mutually_exclusive_group()
    ends.add_argument(
        "--one-way",
        action="store_true",
        help="first frame A, last frame the last photo (the default)",
    )
    ends.add_argument(
        "--there-and-back", action="store_true", help="then back the way it came, to play forever"
    )
    ends.add_argument(
        "--loop",
        action="store_true",
        help="then from the last photo on to A, to play forever",
    )
    path.add_argument(
        "--align",
        choices=("auto", "face", "center"),
        default="auto",
        help="auto: by the face where one is found; face: refuse photos without one; "
        "center: crop only (default auto)",
    )
    look = p.add_argument_group("look")
    look.add_argument(
        "--size",
        type=cli.whole(8, 2048),
        default=256,
        metavar="PX",
        help="side of the animation (default 256)",
    )
    look.add_argument(
        "--fps", type=cli.number(0.1, 100), default=25.0, help="frames a second (default 25)"
    )
    cli.add_model_arguments(p)
    return p


def main(argv: list[str] | None = None) -> None:
    p = parser()
    args = p.parse_args(argv)
    if len(args.photos) < 2:
        p.error("give at least two photos")

    from glow_app import export

    out = export.check_target(args.out)
    strip = export.check_target(args.strip, (".png",)) if args.strip else None
    photos = [Path(photo).expanduser() for photo in args.photos]
    taken = {photo.resolve() for photo in photos}
    if out in taken or strip in taken or out == strip:
        p.error("a written file would replace a photo or another written file")

    editor = cli.open_editor(args)
    pictures = [_prepare(editor, photo, args.align) for photo in photos]
    morph = editor.journey(pictures, args.frames, args.path, loop=args.loop)
    facts = {
        **editor.made_with(),
        "path": args.path,
        "frames": args.frames,
        "pictures": len(pictures),
    }
    export.save_animation(
        morph.frames,
        out,
        size=args.size,
        fps=args.fps,
        there_and_back=args.there_and_back,
        metadata=facts,
    )
    clamped = f", {morph.clamped:.1%} of the values clamped" if morph.clamped >= 0.001 else ""
    print(f"{out.name}: {len(morph.frames)} frames decoded{clamped}")
    if strip is not None:
        export.save_strip(morph.frames, strip, size=args.size, metadata=facts)
        print(f"{strip.name}: written")


def _prepare(editor: Editor, photo: Path, align: str) -> np.ndarray:
    """The pixels of one photo at the model's size; prints what was made of it."""
    from glow_app.images import printable

    prepared = editor.prepare(photo, align=align)
    reading = editor.read(prepared.pixels)
    levels = reading.roundtrip_max_levels
    exact = "exact" if levels == 0 else f"off by up to {levels} levels"
    said = [
        "face aligned" if prepared.aligned else "centre crop",
        f"{reading.bits_per_dim:.2f} bits/dim",
        f"round trip {exact}",
        *prepared.notes,
    ]
    print(f"{printable(photo.name)}: {'; '.join(said)}", flush=True)
    return prepared.pixels


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
