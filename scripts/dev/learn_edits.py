#!/usr/bin/env python3
"""Learn the sliders of the Edit tab from aligned faces and tables of what they show.

    python scripts/dev/learn_edits.py --data FACES --cache CACHE [--out FOLDER]

FACES holds aligned pictures, `attributes.tsv` (a column `file`, the others probabilities) and
`sources.tsv` (columns file, age, gender). Landmarks are regressed on numbers measured on them, and
codes of looks on such numbers, light, attributes, age and gender at once, so that a slider moves
one of them and holds the others. One unit is scaled so that the independent judge of
`benchmarks/edit_judge.py` sees three quarters of a deviation (of age: 12 of 16 years) on training
faces. What the tables do not know of any face is not held, and sliders that need it are left out;
`attributes.tsv` may have `file` alone. Landmarks and codes, which take most of the time, are kept
in the cache, from which the same command resumes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import _project  # noqa: F401
import numpy as np
import torch
from PIL import Image

from benchmarks.edit_judge import LIGHT, YEARS, Judge, fitted_on, light, read_tables
from glow_app.common import cli
from glow_app.common.files import replacing
from glow_app.editing import directions
from glow_app.editing.directions import Direction, without_noise
from glow_app.editing.editor import Editor
from glow_app.editing.sampling import ShapePrior
from glow_app.export.writing import check_folder
from glow_app.faces.face import Face
from glow_app.faces.landmarks import MEASURES, RIGID, find_shape, measured, mirror, pose

POSE = ("turn", "nod", "tilt")
_SEEN = 0.75  # deviations that the judge sees for one unit; at 1 people see that it is painted
_CALIBRATED_ON = 32  # faces

# Of the prior of shapes.
_RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0)  # penalties
_HELD_OUT = 8  # every eighth
_LEVELS = 2  # coarsest levels of the flow that predict a shape


@dataclass(frozen=True)
class Slider:
    """How one slider is learned.

    Attributes:
        name, group, low, high, unit, words: as in `directions.Direction`.
        shape: the measured number, "eyes" for both, or the label "age", that one unit moves by a
            deviation; None leaves the shape.
        free: numbers that may go along; all others are held.
        look: the number along which the code is moved; None leaves the look.
        judged: the judge's number that sets the scale of the look.
        scale: of the look without such a number.
        turn: degrees of turn, nod and tilt.
        gain: of the shape, because the face finder sees less than was moved.
        seen: deviations that the judge is to see for one unit.
        everywhere: the tint also falls on the background, as light does.
    """

    name: str
    group: str
    low: float
    high: float
    shape: str | None = None
    free: tuple[str, ...] = ()
    look: str | None = None
    judged: str = ""
    scale: float = 1.0
    unit: str = "deviations"
    words: tuple[str, str] = ("", "")
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    gain: float = 1.0
    seen: float = _SEEN
    everywhere: bool = False

    @property
    def measure(self) -> tuple[list[str], int]:
        """The judge's numbers that measure it, and the sign with which they count."""
        if self.judged:
            return [self.judged], 1
        if self.shape == "eyes":
            return ["left eye", "right eye"], 1
        return [self.shape or self.name], -1 if self.name.startswith("wink") else 1


_MOUTH = (
    "mouth width", "chin", "lips", "upper lip", "lower lip", "jaw", "nose width", "nose length",
    "face width", "cheekbones", "chin width", "mouth height",
)  # fmt: skip
_EYES = ("left eye", "right eye", "eye width", "eye slant")
_BROWS = ("brows", "frown", "brow slant", "brow distance", "brow thickness")
_OUTLINE = ("face width", "jaw", "cheekbones", "chin width")
SLIDERS = (
    Slider("smile", "Expression", -0.8, 2, "smile", (*_MOUTH, *_EYES, "forehead"), "smile",
           scale=1.25, words=("serious", "smiling")),
    Slider("lips spread", "Expression", -1.5, 2, "mouth width",
           (*_OUTLINE, "nose width", "smile", "upper lip", "lower lip"),
           words=("rounded, as in oo", "spread, as in ee"), gain=1.1),
    Slider("brows up", "Expression", -1.2, 1.5, "brows", ("forehead", *_BROWS),
           words=("down", "up"), gain=1.1),
    Slider("brow slant", "Expression", -1.3, 1.3, "brow slant", _BROWS, words=("worried", "stern"),
           gain=1.05),
    Slider("frown", "Expression", -1.5, 1.5, "frown", _BROWS, words=("open", "drawn together"),
           gain=1.15),
    Slider("eyes wide", "Expression", -1.3, 1.3, "eyes", _EYES, words=("narrow", "wide"),
           gain=1.15),
    Slider("wink left", "Expression", 0, 1.2, "left eye", words=("", "shut"), gain=1.15),
    Slider("wink right", "Expression", 0, 1.2, "right eye", words=("", "shut"), gain=1.15),
    Slider("gaze", "Expression", -1, 1, "gaze", words=("left", "right"), gain=1.3),
    Slider("gaze height", "Expression", -1.2, 1.2, "gaze height", ("left eye", "right eye"),
           words=("up", "down"), gain=1.2),
    Slider("face width", "Shape", -1.5, 1.6, "face width", _OUTLINE, words=("slim", "wide"),
           gain=1.2),
    Slider("jaw", "Shape", -1.5, 1.8, "jaw", _OUTLINE, words=("narrow", "wide"), gain=1.15),
    Slider("cheekbones", "Shape", -1.5, 1.5, "cheekbones", _OUTLINE, words=("narrow", "wide")),
    Slider("chin", "Shape", -1.5, 1.5, "chin", words=("short", "long"), gain=1.15),
    Slider("chin width", "Shape", -1.5, 1.5, "chin width", _OUTLINE, words=("pointed", "broad")),
    Slider("nose width", "Shape", -1.5, 1.5, "nose width", words=("narrow", "wide"), gain=1.2),
    Slider("nose length", "Shape", -2, 2, "nose length", words=("short", "long")),
    Slider("lips", "Shape", -1.5, 1.5, "lips", ("upper lip", "lower lip"), words=("thin", "full"),
           gain=1.15),
    Slider("upper lip", "Shape", -1.5, 1.5, "upper lip", ("lips", "lower lip"),
           words=("thin", "full"), gain=1.2),
    Slider("lower lip", "Shape", -1.5, 1.5, "lower lip", ("lips", "upper lip"),
           words=("thin", "full"), gain=1.15),
    Slider("mouth height", "Shape", -1.5, 1.5, "mouth height", ("chin", "chin width"),
           words=("high", "low"), gain=1.1),
    Slider("eye size", "Shape", -1.5, 1.5, "eye width", _EYES, words=("small", "large"),
           gain=1.25),
    Slider("eye slant", "Shape", -1.5, 1.5, "eye slant", _EYES, words=("falling", "rising"),
           gain=1.15),
    Slider("brow distance", "Shape", -1.5, 1.5, "brow distance", _BROWS, words=("close", "apart"),
           gain=1.1),
    Slider("brow thickness", "Shape", -1.3, 1.3, "brow thickness", _BROWS, words=("thin", "thick"),
           gain=1.35),
    Slider("forehead", "Shape", -1.5, 1.5, "forehead", words=("low", "high"), gain=1.4),
    Slider("turn", "Pose", -5, 5, unit="degrees", turn=(1, 0, 0), words=("left", "right")),
    Slider("nod", "Pose", -5, 5, unit="degrees", turn=(0, 1.45, 0), words=("down", "up")),
    Slider("tilt", "Pose", -3, 3, unit="degrees", turn=(0, 0, 1),
           words=("anticlockwise", "clockwise")),
    Slider("age", "Look", -13, 7, "age", look="age", judged="age", unit="years", seen=0.88,
           gain=1.17, words=("younger", "older")),
    Slider("rosy cheeks", "Look", -0.8, 0.8, look="redness", judged="redness",
           words=("pale", "rosy")),
    Slider("skin", "Look", -0.5, 0.6, look="texture", judged="texture",
           words=("smooth", "marked")),
    Slider("light side", "Light", -1.2, 1.2, look="light side", judged="light side",
           words=("from the left", "from the right")),
    Slider("warmth", "Light", -1, 1, look="warmth", judged="warmth", words=("cool", "warm"),
           everywhere=True),
)  # fmt: skip

# Held beside each other in the regression of looks. Attributes that say nearly the same as another
# (a goatee, a beard) would share its effect, and are left out.
HELD = (
    "Eyeglasses", "Bangs", "Bags_Under_Eyes", "age", "gender", "smile", "mouth open", "left eye",
    "brows", "gaze", "turn", "nod", "light side", "contrast", "warmth", "texture", "brightness",
    "redness", "Wearing_Lipstick", "No_Beard",
)  # fmt: skip


def parser() -> cli.Parser:
    p = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True, metavar="DIR", help="aligned faces with both tables")
    p.add_argument("--cache", required=True, metavar="DIR", help="keeps landmarks and codes")
    p.add_argument(
        "--out", metavar="DIR", help="folder of the directions (default: the program's)"
    )
    p.add_argument("--codes", type=cli.whole(500), default=8000, help="faces encoded (8000)")
    p.add_argument("--judge-faces", type=cli.whole(500), default=5500, help="the judge's (5500)")
    p.add_argument(
        "--prior",
        metavar="FILE",
        help="only write the shapes of drawn faces, to lie at models/pretrained/shapes",
    )
    cli.add_model_arguments(p)
    return p


def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)
    editor = Editor(args.checkpoint, args.device)
    data, cache = Path(args.data), Path(args.cache)
    check_folder(cache)
    out = Path(args.out) if args.out else directions.pretrained_folder() / editor.name
    check_folder(out)
    table = read_tables(data)
    names, shapes = landmarks(data, sorted(table), cache)
    if args.prior:
        chosen = with_labels(names, table, args.codes)
        codes, _ = codes_of(editor, data, [names[i] for i in chosen], cache)
        learn_prior(editor, shapes[chosen], codes).save(args.prior)
        return
    numbers = measure(shapes)  # (N, M + 3)
    columns = (*MEASURES, *POSE)
    vectors = _look_vectors(editor, data, cache, names, numbers, table, args.codes)
    judge, some = fitted_on(data, args.judge_faces, dict(zip(names, shapes, strict=True)))
    faces = [editor.prepare(data / name, align="center") for name in some[:_CALIBRATED_ON]]
    for order, slider in enumerate(SLIDERS):
        vector = None
        if slider.look is not None:
            if slider.look not in vectors or slider.judged not in ("", *judge.names):
                print(f"{slider.name}: the tables know nothing of it; left out", flush=True)
                continue
            vector = slider.scale * vectors[slider.look]
        shape = None
        if slider.shape is not None:
            shape = regress_shape(slider, shapes, numbers, columns, names, table)
        direction = _direction(editor, slider, shape, vector, order)
        if slider.judged:
            direction = calibrated(editor, direction, faces, judge, slider)
        directions.save(direction, out / f"{slider.name.replace(' ', '_')}.safetensors")
        length = 0.0 if direction.vector is None else float(direction.vector.norm())
        print(f"{slider.name}: look {length:.2f} a unit", flush=True)


def _look_vectors(
    editor: Editor,
    data: Path,
    cache: Path,
    names: list[str],
    numbers: np.ndarray,
    table: dict[str, dict[str, float]],
    count: int,
) -> dict[str, np.ndarray]:
    """Return for each number of `HELD` the vector (D,) by which one deviation moves a code."""
    chosen = with_labels(names, table, count)
    codes, looks = codes_of(editor, data, [names[i] for i in chosen], cache)
    rows = [table[names[i]] for i in chosen]
    seen = {c: np.array([row[c] for row in rows]) for c in rows[0]}
    seen |= dict(zip((*MEASURES, *POSE), numbers[chosen].T, strict=True))
    seen |= dict(zip(LIGHT, np.stack([light(look) for look in looks]).T, strict=True))
    known = [c for c in HELD if c in seen and np.isfinite(seen[c]).any()]
    return regress_looks(codes, {c: _filled(seen, c) for c in known}, editor.model.level_shapes)


# ------------------------------------------------------------------------------------- material


def landmarks(data: Path, names: list[str], cache: Path) -> tuple[list[str], np.ndarray]:
    """Return the names of the pictures with landmarks, and the landmarks (N, 478, 2)."""
    file = cache / "landmarks.npz"
    if file.exists():
        known = np.load(file)
        return known["names"].tolist(), known["shapes"].astype(np.float64)
    kept, shapes = [], []
    for name in cli.shown(names, len(names), "landmarks"):
        mesh = find_shape(np.asarray(Image.open(data / name).convert("RGB")))
        if mesh is not None:
            kept.append(name)
            shapes.append(mesh)
    np.savez(file, names=np.array(kept), shapes=np.stack(shapes))
    return kept, np.stack(shapes).astype(np.float64)


def measure(shapes: np.ndarray) -> np.ndarray:
    """Return `MEASURES`, turn, nod and tilt (N, M + 3) of landmarks (N, 478, 2)."""
    return np.array([[*measured(shape), *pose(shape)] for shape in shapes])


def with_labels(names: list[str], table: dict[str, dict[str, float]], count: int) -> np.ndarray:
    """Return indices of `count` random pictures, seven of eight with age and gender known."""
    known = np.array([all(table[n][c] == table[n][c] for c in ("age", "gender")) for n in names])
    order = np.random.default_rng(0).permutation(len(names))
    with_, without = order[known[order]], order[~known[order]]
    first = min(len(with_), count * 7 // 8)
    return np.concatenate([with_[:first], without[: count - first]])


def codes_of(
    editor: Editor, data: Path, names: list[str], cache: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Return codes of looks (N, D) float16, and the looks (N, S, S, 3)."""
    file = cache / f"looks-{editor.image_size}-{len(names)}.npy"
    if not file.exists():
        made = [
            editor.model.looks.of(editor.prepare(data / name, align="center"))
            for name in cli.shown(names, len(names), "looks")
        ]
        np.save(file, np.stack(made))
    looks = np.load(file)
    file = cache / f"codes-{editor.fingerprint}-{len(names)}.npy"
    if not file.exists():
        with replacing(file) as temporary:
            shape = (len(names), editor.model.flow.dims)
            codes = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
            firsts = range(0, len(names), editor.model.batch)
            for first in cli.shown(firsts, len(firsts), "codes"):
                chunk = looks[first : first + editor.model.batch]
                encoded = editor.model.encode_with_range(chunk, cache=False)
                codes[first : first + len(chunk)] = encoded.z
            codes.flush()
    return np.load(file, mmap_mode="r"), looks


def _filled(seen: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Return a column with its unknown values predicted from others by least squares."""
    values = seen[name].astype(float)
    known = np.isfinite(values)
    if known.all():
        return values
    others = [seen[c] for c in ("Young", "Male", "Gray_Hair", "Bags_Under_Eyes")]
    design = np.column_stack([*others, np.ones(len(values))])
    weights = np.linalg.lstsq(design[known], values[known], rcond=None)[0]
    return np.where(known, values, design @ weights)


# ------------------------------------------------------------------------------------- learning


def regress_shape(
    slider: Slider,
    shapes: np.ndarray,
    numbers: np.ndarray,
    columns: tuple[str, ...],
    names: list[str],
    table: dict[str, dict[str, float]],
) -> np.ndarray:
    """Return how one deviation of the slider's number moves the landmarks, (478, 2).

    The numbers in `Slider.free` may go along, all others are held. Mirror images of the faces are
    included.
    """
    numbers = numbers.copy()
    targets = [slider.shape]
    if slider.shape == "age":
        values = np.array([table[name]["age"] for name in names]) / YEARS
        numbers, columns = np.column_stack([numbers, values]), (*columns, "age")
        held = ["smile", "mouth open", "left eye", "right eye", *POSE]
    else:
        targets = ["left eye", "right eye"] if slider.shape == "eyes" else targets
        held = [c for c in columns if c not in (*targets, *slider.free)]
    usual = np.isfinite(numbers).all(axis=1)
    if slider.shape != "age":
        usual &= (np.abs(numbers[:, -3:]) < 25).all(axis=1)
    numbers, shapes = numbers[usual], shapes[usual]
    other = numbers.copy()
    left, right = columns.index("left eye"), columns.index("right eye")
    other[:, [left, right]] = other[:, [right, left]]
    for name in ("gaze", "turn", "tilt"):
        other[:, columns.index(name)] *= -1
    mirrored = shapes[:, mirror()]
    mirrored[..., 0] = 1 - mirrored[..., 0]
    x, y = np.concatenate([numbers, other]), np.concatenate([shapes, mirrored])
    unit = x.std(axis=0)
    if slider.shape == "age":
        unit[-1] = 1.0
    x = (x - x.mean(axis=0)) / unit
    chosen = [columns.index(c) for c in (*targets, *held)]
    design = np.column_stack([x[:, chosen], np.ones(len(x))])
    penalty = 1e-3 * np.eye(design.shape[1])
    weights = np.linalg.solve(design.T @ design + penalty, design.T @ y.reshape(len(y), -1))
    moved = weights[: len(targets)].sum(axis=0).reshape(-1, 2)
    if slider.name.startswith("gaze"):
        moved -= moved[RIGID].mean(axis=0)  # faces are aligned by their irises, which should move
    return slider.gain * (-moved if slider.name.startswith("wink") else moved)


def regress_looks(
    codes: np.ndarray, seen: dict[str, np.ndarray], levels: tuple[tuple[int, int, int], ...]
) -> dict[str, np.ndarray]:
    """Return the vector (D,) by which one deviation of each number moves a code of a look.

    It is one multiple regression, so the others are held, and it is denoised as directions are
    (`directions.without_noise`).
    """
    x = np.column_stack(list(seen.values()))
    x = np.clip((x - x.mean(axis=0)) / x.std(axis=0), -3, 3)
    x = np.column_stack([x, np.ones(len(x))])
    inverse = np.linalg.inv(x.T @ x + 0.002 * len(x) * np.eye(x.shape[1]))
    products, squares = np.zeros((x.shape[1], codes.shape[1])), np.zeros(codes.shape[1])
    for first in range(0, len(x), 500):
        z = codes[first : first + 500].astype(np.float64)
        products += x[first : first + 500].T @ z
        squares += np.square(z).sum(axis=0)
    weights = inverse @ products
    residual = (squares - (weights * products).sum(axis=0)) / (len(x) - x.shape[1])
    found = {}
    for k, name in enumerate(seen):
        parts = (torch.from_numpy(v).float() for v in (weights[k], residual * inverse[k, k]))
        found[name] = without_noise(*parts, levels)
    return found


def _direction(editor: Editor, slider: Slider, shape, vector, order: int) -> Direction:
    return Direction(
        slider.name,
        vector,
        None if shape is None else shape / (YEARS if slider.unit == "years" else 1),
        slider.turn,
        editor.fingerprint if vector is not None else "",
        slider.group,
        slider.unit,
        slider.low,
        slider.high,
        {
            "without": slider.words[0],
            "with": slider.words[1],
            "order": order,
            "measure": slider.measure,
            **({"everywhere": True} if slider.everywhere else {}),
        },
    )


def calibrated(
    editor: Editor, direction: Direction, faces: list[Face], judge: Judge, slider: Slider
) -> Direction:
    """Return the direction with its look scaled so that the judge sees `Slider.seen` of a unit.

    Four times, faces are edited by a unit either way and judged, and the scale is corrected.
    """
    column = judge.names.index(slider.judged)
    step = YEARS if slider.unit == "years" else 1.0  # one deviation
    if slider.unit == "years":
        direction = replace(direction, vector=direction.vector / YEARS)
    scale = 1.0
    for _ in range(4):
        tried = replace(direction, vector=scale * direction.vector)
        slopes = []
        for face in faces:
            for strength in (-step, step):
                moved = 0 if tried.shape is None else strength * tried.shape
                edited = editor.edit(face, [(tried, strength)]).pixels
                slopes.append(judge(edited, face.shape + moved)[column] * strength / step)
        slope = float(np.mean(slopes))
        print(f"  {slider.name}: scale {scale:.2f}, slope {slope:.2f}", flush=True)
        if not slope > 0.02:
            break
        scale *= min(max(slider.seen / slope, 0.4), 4.0) ** 0.9
    return replace(direction, vector=scale * direction.vector)


def learn_prior(editor: Editor, shapes: np.ndarray, codes: np.ndarray) -> ShapePrior:
    """Return the prior of shapes of drawn faces given the coarse levels of their codes.

    Of several penalties that is taken with which the code explains most of the variance of
    held-out shapes.

    Args:
        shapes: (N, 478, 2) landmarks.
        codes: (N, D) codes of their looks.
    """
    coarse = sum(int(np.prod(shape)) for shape in editor.model.level_shapes[-_LEVELS:])
    x, held = codes[:, -coarse:].astype(np.float64), np.arange(len(codes)) % _HELD_OUT == 0
    explained = {}
    for ridge in _RIDGES:
        prior = ShapePrior.fitted(shapes[~held], x[~held], ridge)
        left = (shapes[held] - prior.mean).reshape(held.sum(), -1) @ prior.components.T
        error = left - prior.offset - x[held] @ prior.weights.T
        explained[ridge] = 1 - np.square(error).sum() / np.square(left - left.mean(0)).sum()
        print(f"penalty {ridge:g}: explains {explained[ridge]:.3f} of held-out shapes", flush=True)
    best = max(explained, key=explained.get)
    return ShapePrior.fitted(shapes, x, best, editor.fingerprint)


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
