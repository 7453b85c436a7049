#!/usr/bin/env python3
"""Morph photo A into photo B, through several photos, or into an edited self.

python scripts/morph.py a.jpg b.jpg --out morph.gif
python scripts/morph.py a.jpg b.jpg c.jpg --out round.webp --loop
python scripts/morph.py a.jpg --edit smile=2 --out smile.gif --there-and-back
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from glow_app.common import cli

if TYPE_CHECKING:
    from glow_app.editing.directions import Direction
    from glow_app.editing.editor import Editor, Morph
    from glow_app.keeping.recipes import Recipe
    from glow_app.pictures.prepare import Prepared


def parser() -> cli.Parser:
    p = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("photos", nargs="+", metavar="PHOTO", help="A, B and perhaps more, in order")
    p.add_argument(
        "--out", required=True, metavar="FILE", help=".gif, .webp, .png (animated) or .mp4"
    )
    p.add_argument("--strip", metavar="PNG", help="also write a film strip of the stages")
    p.add_argument("--sheet", metavar="PNG", help="also write a contact sheet of all frames")
    path = p.add_argument_group("path")
    path.add_argument(
        "--frames",
        type=cli.whole(2, 1000),
        default=33,
        metavar="N",
        help="frames from one photo to the next, both included (default 33)",
    )
    path.add_argument(
        "--path",
        choices=("shell", "linear", "spherical", "cubic"),
        help="shell: straight ahead with the length that codes have, so that contrast stays; "
        "linear: the bare straight line; cubic: through several photos without a turn "
        "(default: shell from A to B, cubic through more and round a loop)",
    )
    path.add_argument(
        "--sharpness",
        type=cli.number(0, 1),
        metavar="S",
        help="how much of the codes' length to keep half way, 0 to 1 (default 1; linear: 0)",
    )
    path.add_argument(
        "--guide",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="warp the faces to the shape in between (default: where all have landmarks)",
    )
    path.add_argument(
        "--range",
        nargs=2,
        type=cli.number(-0.5, 1.5),
        metavar=("T0", "T1"),
        help="go from T0 to T1 instead of 0 (A) to 1 (B); two photos only",
    )
    path.add_argument(
        "--constant-speed", action="store_true", help="equal change of the picture in every step"
    )
    path.add_argument(
        "--edit",
        action="append",
        default=[],
        metavar="DIRECTION=S",
        help="one photo only: morph it into itself with a direction (a file, or the name of one "
        "that comes with the program) of strength S; more than once for several",
    )
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
    if args.edit and len(args.photos) != 1:
        p.error("--edit takes one photo")
    if not args.edit and len(args.photos) < 2:
        p.error("give at least two photos, or one with --edit")
    travels = args.loop or len(args.photos) > 2
    if travels and args.range:
        p.error("--range needs two photos and no --loop")
    if args.path == "cubic" and not travels:
        p.error("--path cubic needs three photos or --loop")

    from glow_app.keeping import animation, sheets
    from glow_app.keeping.writing import check_target

    out = check_target(args.out)
    stills = {
        kind: check_target(target, (".png",))
        for kind, target in (("strip", args.strip), ("sheet", args.sheet))
        if target
    }
    photos = [Path(photo).expanduser() for photo in args.photos]
    written = [out, *stills.values()]
    taken = {photo.resolve() for photo in photos}
    if taken.intersection(written) or len(set(written)) < len(written):
        p.error("a written file would replace a photo or another written file")

    editor = cli.open_editor(args)
    edits = [_direction(editor, text) for text in args.edit]
    pictures = [_prepare(editor, photo, args.align) for photo in photos]
    morph = _morph(editor, pictures, edits, travels, args)
    recipe = _recipe(editor, edits, len(photos), morph, travels, args)
    animation.save_animation(
        morph.frames,
        out,
        size=args.size,
        fps=args.fps,
        there_and_back=args.there_and_back,
        metadata=recipe.to_metadata(),
        progress=cli.reporter("writing"),
    )
    clamped = f", {morph.clamped:.1%} of the values clamped" if morph.clamped >= 0.001 else ""
    print(f"{out.name}: {len(morph.frames)} frames decoded{clamped}")
    facts = {"size": args.size, "metadata": recipe.to_metadata()}
    if "strip" in stills:
        sheets.save_strip(morph.frames, stills["strip"], **facts)
    if "sheet" in stills:
        captions = [f"{t:.2f}" for t in morph.t]
        sheets.save_sheet(morph.frames, stills["sheet"], captions=captions, **facts)
    for target in stills.values():
        print(f"{target.name}: written")


def _morph(
    editor: Editor,
    pictures: list[Prepared],
    edits: list[tuple[Direction, float]],
    travels: bool,
    args: argparse.Namespace,
) -> Morph:
    from glow_app.editing.frames import journey_positions, morph_positions

    options = {"sharpness": args.sharpness, "guide": args.guide}
    if travels:
        walk = editor.journey_walk(pictures, args.path or "cubic", args.loop, **options)
        u = journey_positions(walk, args.frames)
    else:
        u = morph_positions(args.frames, tuple(args.range or (0.0, 1.0)))
        if edits:
            walk = editor.edit_walk(pictures[0], edits)
        else:
            walk = editor.morph_walk(*pictures, args.path or "shell", **options)
    *_, morph = editor.along(walk, u, args.constant_speed, cli.reporter("decoding"))
    return morph


def _recipe(
    editor: Editor,
    edits: list[tuple[Direction, float]],
    photos: int,
    morph: Morph,
    travels: bool,
    args: argparse.Namespace,
) -> Recipe:
    from glow_app.keeping.recipes import Origin, Recipe

    return Recipe.of(
        editor,
        "journey" if travels else "morph",
        faces=(Origin(),) * photos,
        path=morph.path or "linear",  # an edit adds its directions straight ahead
        guide=morph.guided,
        sharpness=args.sharpness,
        t_range=tuple(args.range or (0.0, 1.0)),
        constant_speed=args.constant_speed,
        loop=args.loop,
        frames=args.frames,
        size=args.size,
        fps=args.fps,
        there_and_back=args.there_and_back,
        directions=tuple((direction.name, strength) for direction, strength in edits),
    )


def _direction(editor: Editor, text: str) -> tuple[Direction, float]:
    """A direction and its strength from `FILE=S`, or from `NAME=S` for one of ours."""
    from glow_app.common.errors import UserError

    where, _, strength = text.rpartition("=")
    try:
        amount = float(strength)
    except ValueError:
        where = ""
    if not where:
        raise UserError(f"{text!r} is not a direction and its strength, such as smile=2.")
    file, own = Path(where).expanduser(), {d.name: d for d in editor.directions()}
    name = where.replace("_", " ")
    if name in own and not file.is_file():
        return own[name], amount
    return editor.load_direction(file), amount


def _prepare(editor: Editor, photo: Path, align: str) -> Prepared:
    """One photo at the model's size; prints what was made of it."""
    from glow_app.pictures.opening import printable

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
    return prepared


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
