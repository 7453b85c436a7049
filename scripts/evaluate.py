#!/usr/bin/env python3
"""Measure a model on a folder of pictures: bits/dim and exactness of the round trip.

    python scripts/evaluate.py --data faces/val
    python scripts/evaluate.py --checkpoint run/model.safetensors --data faces/val --json
    python scripts/evaluate.py --checkpoint run/model.safetensors --data faces/val --shape mean

The last line of stdout is one JSON object:

    bits_per_dim          mean over the pictures of bits/dim, uniform dequantisation
    bits_per_dim_sem      standard error of that mean (null for one picture)
    images, skipped       how many were measured, and how many could not be read
    roundtrip_max_levels  the largest |level - g(f(level))| over all of them; 0 is exact
    bits_by_part          of a model with detail levels: "details", bits a detail number given the
                          means, and "base", bits/dim of the means as a picture (with more levels
                          "details 1", the finest, "details 2" and so on)
    bits_by_group         with --by: for each value of that column the mean, and how many
    shape, model_shape    what was measured and what the model learned: "crop", whole crops, or
                          "mean", looks: faces warped to the mean shape
    image_size, dims, checkpoint, device, align, seed, seconds
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _project  # noqa: F401

from glow_app.common import cli
from glow_app.common.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from glow_app.editing.editor import Editor


def parser() -> cli.Parser:
    p = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True, metavar="DIR", help="folder of pictures")
    p.add_argument("--limit", type=cli.whole(1), metavar="N", help="only the first N pictures")
    p.add_argument("--batch", type=cli.whole(1), metavar="N", help="pictures a pass")
    p.add_argument(
        "--seed",
        type=cli.whole(0, 4000),
        default=0,
        help="of the dequantisation noise, which also depends on the place in the list, "
        "and on nothing else (default 0)",
    )
    p.add_argument(
        "--align",
        choices=("auto", "face", "center"),
        default="center",
        help="center for pictures that are aligned already (default)",
    )
    p.add_argument(
        "--shape",
        choices=("crop", "mean"),
        help="mean: measure looks, warped here if the pictures are whole crops, those without "
        "landmarks left out (default: the pictures as they lie)",
    )
    p.add_argument(
        "--by",
        nargs=2,
        metavar=("TABLE", "COLUMN"),
        help="also the mean for each value in a column of a table, whose column *file* has the "
        "names of the pictures",
    )
    p.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    cli.add_model_arguments(p)
    return p


def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)

    import numpy as np

    from glow_app.faces.looks import ReferenceFrame, require_crops
    from glow_app.faces.opening import list_pictures

    start = time.monotonic()
    folder = Path(args.data)
    files = list_pictures(folder)[: args.limit]
    frame = ReferenceFrame.of_pictures(folder, files)
    if args.shape == "crop":
        require_crops(folder, files)
    warp = args.shape == "mean" and frame.mean is None
    groups = _groups(*args.by, files) if args.by else {}

    from glow_app.editing.editor import Editor

    editor = Editor(args.checkpoint, args.device)
    learned = ReferenceFrame.from_facts(editor.model.facts)
    if warp:
        frame = ReferenceFrame(editor.model.looks.mean)
    if not frame.same_as(learned):
        cli.say(f"{editor.name} learned {learned.words}; what is measured is {frame.words}.")
    editor.model.batch = args.batch or editor.model.batch
    bits, levels, parts, measured = [], [], [], []
    for pixels, places in _batches(editor, files, args, warp):
        # By place, so that neither batch nor bad file shifts it; torch wants 32 bits.
        seeds = [args.seed * 1_000_000 + place for place in places]
        bits.append(editor.model.bits_per_dim(pixels, seeds))
        levels.append(editor.model.roundtrip(pixels))
        measured += places
        if editor.model.flow.config.details:
            parts.append(editor.model.bits_by_part(pixels, seeds))
    if not bits:
        raise UserError(f"None of the pictures in {args.data} could be read.")
    result = {
        **_summary(np.concatenate(bits), np.concatenate(levels), len(files)),
        **({"bits_by_part": _by_part(np.concatenate(parts))} if parts else {}),
        **({"bits_by_group": _by_group(np.concatenate(bits), measured, groups)} if groups else {}),
        "image_size": editor.image_size,
        "dims": editor.model.flow.dims,
        "checkpoint": editor.name,
        "device": str(editor.model.device),
        "align": args.align,
        "shape": frame.shape,
        "model_shape": learned.shape,
        "seed": args.seed,
        "seconds": round(time.monotonic() - start, 2),
    }
    if not args.json:
        print(_words(result, frame.words))
    print(json.dumps(result, allow_nan=False))


def _batches(
    editor: Editor, files: list[Path], args: argparse.Namespace, warp: bool
) -> Iterator[tuple[np.ndarray, list[int]]]:
    """Yield prepared pictures (N, S, S, 3), or looks, and their places in the list, by batches."""
    import numpy as np

    pixels, places = [], []
    listed = enumerate(files)
    for index, file in listed if args.json else cli.shown(listed, len(files), "evaluating"):
        try:
            face = editor.prepare(file, align=args.align)
            if warp and face.shape is None:
                raise UserError(f"{file.name} shows no face whose landmarks were found.")
            pixels.append(editor.model.looks.of(face) if warp else face.pixels)
            places.append(index)
        except UserError as error:  # its sentence names the file
            cli.say(f"skipped: {error}")
        if len(pixels) == editor.model.batch:
            yield np.stack(pixels), places
            pixels, places = [], []
    if pixels:
        yield np.stack(pixels), places


def _summary(bits: np.ndarray, levels: np.ndarray, found: int) -> dict[str, Any]:
    """Return the figures of (N,) bits/dim and (N,) largest errors of the round trip."""
    sem = float(bits.std(ddof=1)) / math.sqrt(len(bits)) if len(bits) > 1 else math.nan
    return {
        "bits_per_dim": _finite(float(bits.mean())),
        "bits_per_dim_sem": _finite(sem),
        "images": len(bits),
        "skipped": found - len(bits),
        "roundtrip_max_levels": int(levels.max()),
    }


def _by_part(bits: np.ndarray) -> dict[str, float | None]:
    """Return the means of (N, P) bits of the parts by their names."""
    *details, base = (_finite(mean) for mean in bits.mean(axis=0).tolist())
    names = ["details"] if len(details) == 1 else [f"details {i + 1}" for i in range(len(details))]
    return {**dict(zip(names, details, strict=True)), "base": base}


def _groups(table: str, column: str, files: list[Path]) -> dict[int, str]:
    """Return the value of a column of a table for each picture that it names, by place."""
    from glow_app.editing.labels import read_table

    values = {}
    for row in read_table(Path(table)):
        if column not in row:
            raise UserError(f"{table} needs the columns file and {column}.")
        values[Path(row["file"]).name] = row[column] or "unknown"
    found = {i: values[file.name] for i, file in enumerate(files) if file.name in values}
    if not found:
        raise UserError(f"{table} names none of the pictures.")
    return found


def _by_group(
    bits: np.ndarray, places: list[int], groups: dict[int, str]
) -> dict[str, dict[str, Any]]:
    """Return the mean of (N,) bits/dim for each group, and how many are in it."""
    members: dict[str, list[float]] = {}
    for place, value in zip(places, bits.tolist(), strict=True):
        members.setdefault(groups.get(place, "unknown"), []).append(value)
    return {
        name: {"bits_per_dim": _finite(sum(own) / len(own)), "images": len(own)}
        for name, own in sorted(members.items())
    }


def _finite(value: float) -> float | None:
    """Return None for NaN and infinity, which JSON does not have."""
    return value if math.isfinite(value) else None


def _words(result: dict[str, Any], frame: str) -> str:
    """Return the result as a line for people, and one for each group."""

    def figure(value: float | None) -> str:
        return "not finite" if value is None else f"{value:.3f}"

    sem, levels = result["bits_per_dim_sem"], result["roundtrip_max_levels"]
    spread = "" if sem is None else f" ± {sem:.3f}"
    bits = f"{figure(result['bits_per_dim'])}{spread} bits/dim over {result['images']} pictures"
    parts = [f"{name} {figure(x)}" for name, x in result.get("bits_by_part", {}).items()]
    exact = "exact" if levels == 0 else f"off by up to {levels} levels"
    ends = [f"round trip {exact}", f"{result['seconds']:.0f} s"]
    groups = [
        f"\n  {name}: {figure(own['bits_per_dim'])} over {own['images']}"
        for name, own in result.get("bits_by_group", {}).items()
    ]
    line = ", ".join([f"{result['checkpoint']}: {bits} ({frame})", *parts, *ends])
    return line + "".join(groups)


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
