#!/usr/bin/env python3
"""Morph photo A into photo B, through several photos, or into an edited self.

python scripts/morph.py a.jpg b.jpg --out morph.gif
python scripts/morph.py a.jpg b.jpg c.jpg --out round.webp --loop
python scripts/morph.py a.jpg --edit smile=2 --out smile.gif --there-and-back
python scripts/morph.py a.jpg b.jpg --out morph.mp4 --size native --put-back a_with_b.jpg --at 0.4

The photos carry the picture, warped to the shape in between, and the model decides what changes.
The first and the last frame are the photos themselves, as sharp as they are.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

import _project  # noqa: F401

from glow_app.common import cli
from glow_app.common.errors import UserError

if TYPE_CHECKING:
    from glow_app.editing.directions import Direction
    from glow_app.editing.editor import Editor, Morph
    from glow_app.faces.face import Face


_USUAL = 512  # pixels a side where nothing is asked for and the photos have as many
_PIXELS = 64_000_000  # of all frames together, then


def parser() -> cli.Parser:
    p = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("photos", nargs="+", metavar="PHOTO", help="A, B and perhaps more, in order")
    p.add_argument(
        "--out", required=True, metavar="FILE", help=".gif, .webp, .png (animated) or .mp4"
    )
    p.add_argument("--strip", metavar="PNG", help="also write a film strip of the stages")
    p.add_argument("--sheet", metavar="PNG", help="also write a contact sheet of all frames")
    p.add_argument(
        "--put-back",
        metavar="PHOTO",
        help="also write the whole photo with the face at T in it, .jpg or .png without metadata: "
        "the first photo, or the second from T = 0.5 on; two photos, or one with --edit",
    )
    p.add_argument(
        "--at",
        type=cli.number(0, 1),
        metavar="T",
        help="which face --put-back takes, 0 to 1 (default 0.5; with --edit 1, the edited one)",
    )
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
        choices=("linear", "spherical", "cubic"),
        help="of the codes: straight, on an arc, or cubic: through several photos without a turn "
        "(default: linear from A to B, cubic through more and round a loop)",
    )
    path.add_argument(
        "--ground",
        choices=("switch", "a", "b"),
        default="switch",
        help="whose hair, clothes and background are shown: A's up to the middle and B's after "
        "it (switch, the default), or one of them all the way",
    )
    path.add_argument(
        "--kappa",
        type=cli.number(0, 1),
        metavar="K",
        help="how much of the change the model decides, 0 (only the photos) to 1 (default 0.5)",
    )
    path.add_argument(
        "--alone",
        action="store_true",
        help="the model alone: the straight line between the codes of both crops, decoded; no "
        "photo, no warp",
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
        metavar="SLIDER=S",
        help="one photo only: morph it into itself with a slider of the Edit tab (smile=2, "
        "age=+20, turn=10, in its unit) or a direction of your own (a file); more than once for "
        "several",
    )
    path.add_argument(
        "--expression-of",
        metavar="PHOTO",
        help="one photo only: morph it into itself with the expression and pose of another",
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
        "--loop", action="store_true", help="then from the last photo on to A, to play forever"
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
        type=_size,
        metavar="PX",
        help="side of a frame in the animation, strip and sheet, 8 to 1024, or native: as sharp "
        "as the sharpest photo (default: native, but at most 512)",
    )
    look.add_argument(
        "--fps", type=cli.number(0.1, 100), default=25.0, help="frames a second (default 25)"
    )
    cli.add_model_arguments(p)
    return p


def main(argv: list[str] | None = None) -> None:
    p = parser()
    args = p.parse_args(argv)
    edited = bool(args.edit or args.expression_of)
    if edited and len(args.photos) != 1:
        p.error("--edit and --expression-of take one photo")
    if edited and (args.alone or args.ground != "switch" or args.kappa is not None):
        p.error("--ground, --kappa and --alone need two photos")
    if not edited and len(args.photos) < 2:
        p.error("give at least two photos, or one with --edit")
    travels = args.loop or len(args.photos) > 2
    if travels and args.range:
        p.error("--range needs two photos and no --loop")
    if args.put_back and travels:
        p.error("--put-back needs two photos and no --loop, or one with --edit")
    if args.at is not None and not args.put_back:
        p.error("--at goes with --put-back")
    if args.path == "cubic" and not travels:
        p.error("--path cubic needs three photos or --loop")

    import numpy as np

    from glow_app.editing.editor import Editor
    from glow_app.editing.options import MorphOptions
    from glow_app.export import animation, sheets
    from glow_app.export.recipes import Origin, Recipe
    from glow_app.export.sheets import PHOTO_FORMATS
    from glow_app.export.writing import check_target

    out = check_target(args.out)
    asked = {"strip": args.strip, "sheet": args.sheet}
    stills = {kind: check_target(name, (".png",)) for kind, name in asked.items() if name}
    whole = check_target(args.put_back, PHOTO_FORMATS) if args.put_back else None
    photos = [Path(photo) for photo in args.photos]
    written = [out, *stills.values(), *([whole] if whole else [])]
    like = Path(args.expression_of) if args.expression_of else None
    taken = {photo.resolve() for photo in [*photos, *([like] if like else [])]}
    if taken.intersection(written) or len(set(written)) < len(written):
        p.error("a written file would replace a photo or another written file")

    editor = Editor(args.checkpoint, args.device)
    edits = _edits(editor, args.edit)
    pictures = [_prepare(editor, photo, args.align) for photo in photos]
    if like:
        given = dict(edits)
        for slider, strength in editor.expression(pictures[0], _prepare(editor, like, args.align)):
            given[slider] = given.get(slider, 0.0) + strength
        edits = list(given.items())
    options = MorphOptions(
        kind="journey" if travels else "morph",
        path="linear" if edited else args.path or ("cubic" if travels else "linear"),
        t_range=tuple(args.range or (0.0, 1.0)),
        alone=args.alone,
        ground=args.ground,
        kappa=args.kappa,
        constant_speed=args.constant_speed,
        loop=args.loop,
        frames=args.frames,
    )
    walk = editor.edit_walk(pictures[0], edits) if edited else editor.walk(pictures, options)
    u = options.positions(walk.legs)
    if "sheet" in stills and isinstance(args.size, int):
        sheets.check_sheet(len(u), args.size, captions=True)
    report = cli.reporter("decoding")
    *_, morph = editor.along(walk, u, options.constant_speed, report, kappa=options.kappa)
    size = _chosen_size(args.size, morph)
    if "sheet" in stills:
        sheets.check_sheet(len(morph.frames), size, captions=True)
    recipe = Recipe.of_morph(
        editor,
        options,
        [Origin()] * len(photos),
        size=size,
        fps=args.fps,
        there_and_back=args.there_and_back,
        directions=tuple((direction.name, strength) for direction, strength in edits),
    )
    frames = morph.each(size)  # made anew for each file: all at once would not fit everywhere
    animation.save_animation(
        frames,
        out,
        size=size,
        fps=args.fps,
        there_and_back=args.there_and_back,
        metadata=recipe.to_metadata(),
        progress=cli.reporter("writing"),
    )
    clamped = f", {morph.clamped:.1%} of the values clamped" if morph.clamped >= 0.001 else ""
    print(f"{out.name}: {len(morph.frames)} frames decoded, {size} pixels a side{clamped}")
    facts = {"size": size, "metadata": recipe.to_metadata()}
    if "strip" in stills:
        sheets.save_strip(frames, stills["strip"], **facts)
    if "sheet" in stills:
        captions = [f"{t:.2f}" for t in morph.t]
        sheets.save_sheet(frames, stills["sheet"], captions=captions, **facts)
    for target in stills.values():
        print(f"{target.name}: written")
    if whole:
        at = args.at if args.at is not None else 1.0 if edits else 0.5
        which = 0 if edits or at < 0.5 else 1
        *_, one = editor.along(walk, np.array([at]), kappa=args.kappa)
        _put_back(one, at, photos[which], pictures[which], whole)


def _chosen_size(asked: int | str | None, morph: Morph) -> int:
    """Return the pixels a side: what was asked for, or what the photos have, up to a limit."""
    side = morph.frames.shape[1]
    if isinstance(asked, int):
        return asked
    if asked == "native":
        return morph.native
    fits = math.isqrt(_PIXELS // len(morph.frames))
    return max(side, min(morph.native, _USUAL, fits) // 2 * 2)  # even, as videos need it


def _put_back(one: Morph, at: float, photo: Path, picture: Face, target: Path) -> None:
    """Write the whole photo with the face of a single frame in the place of its own."""
    from glow_app.export.sheets import save_photo
    from glow_app.faces.put_back import put_back

    face = one.enlarged(picture.native)[0]
    image = put_back(photo, picture, face, one.points[0].shape)
    save_photo(image, target)
    print(f"{target.name}: {image.width} x {image.height} pixels, with the face at {at:g}")


def _size(text: str) -> int | str:
    """Parse a number of pixels, or the word native."""
    return text if text == "native" else cli.whole(8, 1024)(text)


def _edits(editor: Editor, texts: list[str]) -> list[tuple[Direction, float]]:
    """Return the directions and strengths that `--edit` names, none of them twice."""
    edits: list[tuple[Direction, float]] = []
    for text in texts:
        edit = _direction(editor, text)
        if edit[0].name in [direction.name for direction, _ in edits]:
            raise UserError(f"{edit[0].name} is asked for twice: give a slider one --edit.")
        edits.append(edit)
    return edits


def _direction(editor: Editor, text: str) -> tuple[Direction, float]:
    """Return the direction and the strength of `FILE=S`, or of `NAME=S` for one of ours."""
    where, _, strength = text.rpartition("=")
    try:
        amount = float(strength)
    except ValueError:
        where = ""
    if not where:
        raise UserError(f"{text!r} is not a direction and its strength, such as smile=2.")
    file, own = Path(where), {d.name: d for d in editor.directions()}
    name = where.replace("_", " ")
    if name in own and not file.is_file():
        if not own[name].low <= amount <= own[name].high:
            ends = f"{own[name].low:g} to {own[name].high:g} {own[name].unit}".strip()
            raise UserError(f"{name} goes from {ends}, not to {amount:g}.")
        return own[name], amount
    if not file.suffix and not file.is_file():
        names = ", ".join(d.replace(" ", "_") for d in own)
        raise UserError(f"There is no slider {where!r}; there are: {names}.")
    return editor.load_direction(file), amount


def _prepare(editor: Editor, photo: Path, align: str) -> Face:
    """Return a photo prepared for the model; print what was made of it."""
    from glow_app.faces.opening import printable

    prepared = editor.prepare(photo, align=align)
    reading = editor.read(prepared)
    levels = reading.roundtrip_max_levels
    exact = "exact" if levels == 0 else f"off by up to {levels} levels"
    crop = "face aligned" if prepared.aligned else "centre crop"
    facts = [crop, f"{reading.bits_per_dim:.2f} bits/dim", f"round trip {exact}", *prepared.notes]
    print(f"{printable(photo.name)}: {'; '.join(facts)}", flush=True)
    return prepared


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
