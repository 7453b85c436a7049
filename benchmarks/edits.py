"""Measure the sliders of the Edit tab: asked against measured, on held-out faces.

    python -m benchmarks.edits --train FACES --data FACES/val --photos PHOTOS

An independent judge measures them (`benchmarks/edit_judge.py`): landmarks are followed from the
untouched picture into the edited one by optical flow, poses are found anew, and looks are
regressed on gradients and colours of the unedited pictures of --train (aligned, with
`attributes.tsv` and `sources.tsv`). For each slider, at four strengths:

    slope    measured over asked, by least squares; 1 is true
    finder   the same with landmarks found anew, which tend towards those of a usual face
    spread   deviation of what is measured at one unit (10 years, 5 degrees)
    person   distance of dlib descriptors to the untouched face there, where dlib is installed
             (requirements-benchmark.txt); below 0.35 it is the same person
    along    what else moves by more than 0.3 of what was asked for

With --keep the slope and the spread are written into the files of the directions, from where the
page has them. The last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.edit_judge import YEARS, Judge, fitted_on, tracked
from benchmarks.measuring import markdown
from glow_app.common import cli
from glow_app.common.errors import UserError
from glow_app.editing import directions
from glow_app.editing.directions import Direction
from glow_app.editing.editor import Editor
from glow_app.export.writing import check_folder
from glow_app.faces.face import Face
from glow_app.faces.landmarks import MEASURES, find_shape
from glow_app.faces.looks import require_crops
from glow_app.faces.opening import list_pictures

_SIDE = 384  # pixels a side of the pictures that are measured
_ALONG = 0.3  # of what was asked for: what moves as much is named
_ORDINARY = {"years": 10.0, "degrees": 5.0}  # one unit of the others
_CHIP = 150  # pixels a side of what dlib's network takes

Describe = Callable[[np.ndarray], np.ndarray]


def parser() -> cli.Parser:
    p = cli.Parser(
        prog="python -m benchmarks.edits",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--train", required=True, metavar="DIR", help="aligned faces with tables")
    p.add_argument("--data", required=True, metavar="DIR", help="aligned faces, held out")
    p.add_argument("--photos", metavar="DIR", help="unaligned photos as well")
    p.add_argument("--faces", type=cli.whole(4), default=100, metavar="N", help="of --data (100)")
    p.add_argument("--most-photos", type=cli.whole(1), default=40, metavar="N", help="(40)")
    p.add_argument("--judge-faces", type=cli.whole(200), default=5500, metavar="N", help="(5500)")
    p.add_argument("--only", nargs="+", metavar="NAME", help="only these sliders")
    p.add_argument("--keep", action="store_true", help="write slope and spread into the files")
    p.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    cli.add_model_arguments(p)
    return p


def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)
    editor = Editor(args.checkpoint, args.device)
    sliders = [d for d in editor.directions() if not args.only or d.name in args.only]
    if not sliders:
        raise UserError("There is no slider of that name.")
    folder = directions.pretrained_folder() / editor.name
    if args.keep:
        check_folder(folder)
    judge, _ = fitted_on(Path(args.train), args.judge_faces)
    faces = _faces(editor, args)
    describe = descriptor()
    rows = {}
    for slider in cli.shown(sliders, len(sliders), "sliders"):
        rows[slider.name] = row = measure(editor, judge, faces, slider, describe)
        if args.keep:
            truth = {**slider.facts.get("truth", {}), **{k: row[k] for k in ("slope", "spread")}}
            kept = replace(slider, facts={**slider.facts, "truth": truth})
            directions.save(kept, folder / f"{slider.name.replace(' ', '_')}.safetensors")
    if not args.json:
        print(table(rows))
    print(json.dumps({"faces": len(faces), "sliders": rows}, allow_nan=False))


def _faces(editor: Editor, args: argparse.Namespace) -> list[Face]:
    files = list_pictures(Path(args.data))
    require_crops(Path(args.data), files)
    chosen = [(f, "center") for f in files[:: max(1, len(files) // args.faces)][: args.faces]]
    if args.photos:
        photos = list_pictures(Path(args.photos))
        chosen += [(f, "auto") for f in photos[:: max(1, len(photos) // args.most_photos)]]
    faces = []
    for file, align in chosen:
        try:
            faces.append(editor.prepare(file, align=align))
        except UserError as error:
            cli.say(f"skipped: {error}")
    return [face for face in faces if face.shape is not None]


def measure(
    editor: Editor, judge: Judge, faces: list[Face], slider: Direction, describe: Describe | None
) -> dict[str, Any]:
    """Return the figures of one slider, a row of the table.

    Args:
        faces: untouched ones; those on which no face is found do not count.
        describe: see `descriptor`; None leaves the person out.
    """
    names, sign = slider.facts["measure"]
    columns = [judge.names.index(name) for name in names]
    # The judge counts in deviations: so many degrees or years is one.
    unit = {"years": YEARS, "degrees": float(judge.spread[columns[0]])}.get(slider.unit, 1.0)
    one = _ORDINARY.get(slider.unit, 1.0)
    strengths = [s for s in (slider.low, -one, one, slider.high) if s]
    asked, got, seen, others, away = [], [], [], [], []
    for face in faces:
        own = face.at(_SIDE)
        mesh = find_shape(own)
        if mesh is None:
            continue
        before = judge(own, mesh)
        for strength in strengths:
            picture = editor.edit(face, [(slider, strength)]).at(_SIDE)
            anew = find_shape(picture)
            if anew is None:
                continue
            followed = [] if slider.unit == "degrees" else [tracked(own, mesh, picture)]
            changes = judge.measure(picture, [anew, *followed]) - before
            found, moved = changes[0], changes[-1]  # of a pose the landmarks found anew count
            asked.append(strength)
            got.append(sign * unit * float(moved[columns].mean()))
            seen.append(sign * unit * float(found[columns].mean()))
            others.append(moved * unit / strength)  # for each deviation asked for
            if describe is not None and abs(strength) == one:
                away.append(float(np.linalg.norm(describe(own) - describe(picture))))
    asked, got, seen = (np.array(values) for values in (asked, got, seen))
    slope, finder = (float((asked * x).sum() / np.square(asked).sum()) for x in (got, seen))
    along = np.median(others, axis=0)

    def at(strength: float) -> float | None:
        here = got[asked == strength]
        return round(float(here.mean()), 2) if len(here) else None

    return {
        "group": slider.group,
        "unit": slider.unit,
        "slope": round(slope, 2),
        "spread": round(float((got - slope * asked)[np.abs(asked) == one].std() / one), 2),
        "finder": round(finder, 2) if set(names) <= set(MEASURES) else None,
        "at_low": at(slider.low),
        "at_high": at(slider.high),
        "person": round(float(np.mean(away)), 3) if away else None,
        "along": {
            judge.names[k]: round(float(along[k]), 2)
            for k in np.argsort(-np.abs(along))
            if abs(along[k]) > _ALONG and k not in columns
        },
    }


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    head = ["slider", "unit", "slope", "spread", "finder", "at its ends", "person", "goes along"]
    lines = []
    for name, row in rows.items():
        ends = " … ".join("-" if x is None else f"{x:g}" for x in (row["at_low"], row["at_high"]))
        along = ", ".join(f"{k} {v:+.1f}" for k, v in list(row["along"].items())[:4])
        finder, person = ("-" if row[k] is None else f"{row[k]:.2f}" for k in ("finder", "person"))
        figures = [f"{row['slope']:.2f}", f"{row['spread']:.2f}", finder, ends, person, along]
        lines.append([name, row["unit"], *figures])
    return markdown(head, lines)


def descriptor() -> Describe | None:
    """Return a function from aligned faces (S, S, 3) uint8 to descriptors (128,); None without
    dlib and the weights.

    Faces of one person lie within about 0.6 of each other (Euclidean), those of strangers mostly
    beyond. The whole picture is taken for the face: our template cuts nearly where dlib's own
    alignment does, and aligning each anew would hide faults. It takes 0.1 s each on one core.
    """
    # Only located: its __init__ needs pkg_resources, which new releases of setuptools lack.
    package = importlib.util.find_spec("face_recognition_models")
    if package is None or importlib.util.find_spec("dlib") is None:
        return None
    import dlib

    weights = Path(package.origin).parent / "models/dlib_face_recognition_resnet_model_v1.dat"
    network = dlib.face_recognition_model_v1(str(weights))

    def describe(picture: np.ndarray) -> np.ndarray:
        chip = Image.fromarray(picture).resize((_CHIP, _CHIP), Image.Resampling.BICUBIC)
        return np.array(network.compute_face_descriptor(np.array(chip)))

    return describe


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
