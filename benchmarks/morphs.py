"""Measure how good the frames half way between two faces are, made in several ways.

    python -m benchmarks.morphs --data faces/val
    python -m benchmarks.morphs --data faces/val --photos photos --frames middles

Pairs are drawn from one half of the faces. Photos are taken as they are uploaded, any size.

    mark        how far frames pass as photographs of one person, 0 to 8.6; the column to go by
    contrast    over that of the two ends
    ghosting    share of a frame's detail that is both ends laid over each other
    face found  share of frames in which exactly one face is found, in its place
    saturated   share of values at 0 or 255
    ms          for one frame more at the model's size, both faces being encoded already

The mark is a formula that was fitted to the marks of blind judges (benchmarks/realism.py).
Over frames its rank correlation with them is 0.8 to 0.9. Of two ways whose means differ by less
than half a mark it cannot tell the better one, and a copy of one photo gets 8.6, the highest mark
there is. To decide more closely, let people judge what --frames writes.

Frames are made and marked at 384 pixels a side; those of smaller pictures, such as a set of faces
of 128 pixels, are enlarged to that. Contrast, ghosting, saturated and ms are of frames at the
model's size. "real faces" is A of each pair, marked as if it were a frame between A and B: a copy,
so its mark is about the highest there is.

The same command gives the same figures, but for the times. With --json the last line of stdout is
one JSON object and nothing else is printed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from PIL import Image
from scipy.optimize import nnls

from benchmarks import realism
from benchmarks.measuring import markdown
from glow_app.common import cli
from glow_app.common.errors import UserError
from glow_app.editing.editor import Editor
from glow_app.export.sheets import save_still
from glow_app.export.writing import check_folder
from glow_app.faces import finder
from glow_app.faces.alignment import is_aligned
from glow_app.faces.coding import resized
from glow_app.faces.face import Face, prepare
from glow_app.faces.landmarks import SHAPE_POINTS, find_shape
from glow_app.faces.looks import require_crops
from glow_app.faces.opening import list_pictures
from glow_app.faces.warp import between

SIDE: Final = 384  # pixels a side of the frames that are marked, like those that judges marked
REAL: Final = "real faces"
_SEARCHED: Final = 256  # pixels a side at least, in which a face is searched
_HINT: Final = "Marks less than half a mark apart cannot be told apart."
_INNER: Final = (0.25, 0.5, 0.75)
_LUMA: Final = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as JPEG has it
_COLUMNS: Final = {  # title, format, factor
    "mark": ("mark", "{:.1f}", 1),
    "contrast": ("contrast", "{:.0f} %", 100),
    "ghosting": ("ghosting", "{:.2f}", 1),
    "found": ("face found", "{:.1f} %", 100),
    "saturated": ("saturated", "{:.2f} %", 100),
    "ms": ("ms", "{:.1f}", 1),
}

Pair = tuple[Face, Face]
# Makes frames (T, S, S, 3) uint8 from A to B at positions T; None is the model's size.
Way = Callable[[Face, Face, Sequence[float], int | None], np.ndarray]


def parser() -> cli.Parser:
    p = cli.Parser(
        prog="python -m benchmarks.morphs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--data", required=True, metavar="DIR", help="aligned faces, held out")
    p.add_argument("--pairs", type=cli.whole(1, 10_000), default=200, metavar="N", help="(200)")
    p.add_argument("--photos", metavar="DIR", help="unaligned photos, for a second table")
    p.add_argument("--seed", type=cli.whole(0, 4000), default=0, help="of half and pairs (0)")
    p.add_argument(
        "--frames",
        metavar="DIR",
        help='write middle frames there, as "WAY/A-B.png" with the names of both files',
    )
    p.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    cli.add_model_arguments(p)
    return p


def main(argv: list[str] | None = None) -> None:
    p = parser()
    args = p.parse_args(argv)
    start = time.monotonic()
    drawn = Path(args.frames).resolve() if args.frames else None
    for source in filter(None, (args.data, args.photos)):
        if drawn is not None and drawn.is_relative_to(Path(source).resolve()):
            p.error(f"--frames must lie outside {source}: the next run would take them for faces")
    if drawn is not None:
        check_folder(args.frames)
    editor = Editor(args.checkpoint, args.device)
    ways = all_ways(editor)

    def measured(faces: list[Face], what: str) -> dict[str, Any]:
        pairs = draw_pairs(faces, args.pairs, args.seed)
        names = cli.shown(ways, len(ways), what)
        rows = {name: measure_way(ways[name], pairs, drawn and drawn / name) for name in names}
        for key in ("ghosting", "ms"):  # mean nothing of a copy
            del rows[REAL][key]
        return rows

    faces = read_faces(Path(args.data), editor, "center")
    if len(faces) < 4:
        raise UserError(f"{args.data} holds fewer than four pictures: a half must have a pair.")
    result = {"data": measured([faces[i] for i in one_half(len(faces), args.seed)], "faces")}
    if args.photos is not None:
        result["photos"] = measured(read_faces(Path(args.photos), editor, "auto"), "photos")

    text = "\n\n".join([*map(morph_table, result.values()), _HINT])
    result |= {
        "pairs": args.pairs,
        "seed": args.seed,
        "checkpoint": editor.name,
        "device": str(editor.model.device),
        "seconds": round(time.monotonic() - start, 1),
    }
    if not args.json:
        print(f"{text}\n\n{result['seconds']:.0f} s")
    print(json.dumps(result, allow_nan=False))


def morph_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table of figures by way; columns without any figure are left out."""
    columns = [key for key in _COLUMNS if any(row.get(key) is not None for row in rows.values())]

    def cell(value: float | None, form: str, factor: float) -> str:
        return "-" if value is None else form.format(factor * value)

    lines = [
        [name, *(cell(row.get(key), *_COLUMNS[key][1:]) for key in columns)]
        for name, row in rows.items()
    ]
    return markdown(["middle frame", *(_COLUMNS[key][0] for key in columns)], lines)


# --------------------------------------------------------------------------------- faces and pairs


def read_faces(folder: Path, editor: Editor, align: str) -> list[Face]:
    """Return the pictures of a folder, prepared for the model; `Face.photo` is the file of each.

    Files that cannot be used are named on stderr. Raises UserError: fewer than two can be used.
    """
    files, model = list_pictures(folder), editor.model
    require_crops(folder, files)
    faces = []
    for file in files:
        try:
            face = prepare(file, model.image_size, align, model.coding, full=SIDE)
            faces.append(replace(face, photo=file))
        except UserError as error:
            cli.say(f"skipped: {error}")
    if len(faces) < 2:
        raise UserError("A morph needs two pictures, and fewer could be read.")
    return faces


def one_half(count: int, seed: int) -> np.ndarray:
    """Return a random half of `count` indices, from which the pairs of docs/results.md come."""
    return np.sort(np.random.default_rng(seed).permutation(count)[count // 2 :])


def draw_pairs(faces: Sequence[Face], at_most: int, seed: int) -> list[Pair]:
    """Return random pairs of different faces, either way round, none of them twice."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(np.stack(np.triu_indices(len(faces), 1), axis=1))[:at_most]
    return [(faces[i], faces[k]) for i, k in rng.permuted(chosen, axis=1)]


# ----------------------------------------------------------------------------- ways to make frames


def all_ways(editor: Editor) -> dict[str, Way]:
    """Return by name: a copy of A, two baselines, the model and the photos alone, the default."""

    def morph(**options: object) -> Way:
        def frames(a: Face, b: Face, t: Sequence[float], size: int | None = None) -> np.ndarray:
            made = editor.morph_frames(a, b, t, **options)
            return made.frames if size is None else made.enlarged(size)

        return frames

    return {
        REAL: lambda a, b, t, size=None: dissolved(a, b, [0.0] * len(t), size),
        "cross-fade": dissolved,
        "classical landmark morph": partial(dissolved, warped=True),
        "model alone": morph(alone=True),
        "photos only, κ = 0": morph(kappa=0.0),
        "default": morph(),
    }


def dissolved(
    a: Face, b: Face, t: Sequence[float], size: int | None = None, warped: bool = False
) -> np.ndarray:
    """Return (1 - t)·A + t·B, pixel by pixel, (T, size, size, 3) uint8.

    With ``warped`` both photos are first warped to the shape a + t·(b - a), which is the classical
    landmark morph. Faces without landmarks are left as they are.
    """
    size = size or len(a.pixels)
    side = min(size, max(a.native, b.native))
    photos = [face.at(side) for face in (a, b)]
    mesh = None
    if warped and a.shape is not None and b.shape is not None:
        from_, to = (face.shape[SHAPE_POINTS] for face in (a, b))
        mesh = between(from_, to)
    made = []
    for share in t:
        left, right = photos
        if mesh is not None:
            goal = from_ + share * (to - from_)
            left, right = mesh.warp(left, from_, goal), mesh.warp(right, to, goal)
        mixed = (1 - share) * left.astype(np.float32) + share * right.astype(np.float32)
        made.append(resized((mixed + 0.5).astype(np.uint8), size))
    return np.stack(made)


# ----------------------------------------------------------------------------------------- figures


def measure_way(way: Way, pairs: Sequence[Pair], folder: Path | None = None) -> dict[str, Any]:
    """Return all figures of one way: means over the middle frames of pairs A, B.

    Of frames of 384 pixels, which are written into ``folder``: mark, of the pairs whose faces have
    landmarks (None if there are none), and found (None without a face finder). Of frames of the
    model's size: contrast, over that of all A and B; ghosting; saturated. ms for a frame at the
    model's size in passes of three, both faces being encoded and their landmarks found.
    """
    middle, marks, found, seconds = [], [], [], 0.0
    for a, b in pairs:
        (frame,) = way(a, b, (0.5,), SIDE)
        if folder is not None:
            folder.mkdir(exist_ok=True)
            save_still(frame, folder / f"{a.photo.stem}-{b.photo.stem}.png")
        marks.append(_mark(frame, a, b))
        found.append(one_face_in_place(frame))
        start = time.perf_counter()
        middle.append(way(a, b, _INNER, None)[_INNER.index(0.5)])
        seconds += time.perf_counter() - start
    middle = np.stack(middle)
    ends = [np.stack([face.pixels for face in faces]) for faces in zip(*pairs, strict=True)]
    return {
        "mark": _mean(marks),
        "contrast": float(contrast(middle).mean() / contrast(np.concatenate(ends)).mean()),
        "ghosting": float(ghosting(middle, *ends).mean()),
        "found": _mean(found),
        "saturated": float(saturated(middle).mean()),
        "ms": 1000 * seconds / (len(pairs) * len(_INNER)),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _mark(frame: np.ndarray, a: Face, b: Face) -> float | None:
    photos = a.at(SIDE), b.at(SIDE)
    # Not `Face.shape`, which was found on another picture, a pixel or two aside.
    meshes = find_shape(photos[0]), find_shape(photos[1])
    if meshes[0] is None or meshes[1] is None:
        return None
    return realism.mark(realism.faults(frame, photos, meshes, find_shape(frame)))


def one_face_in_place(picture: np.ndarray) -> bool | None:
    """Return whether a picture (S, S, 3) shows exactly one face, with eyes and mouth in place.

    Tolerances are those of uploads (`alignment.is_aligned`); 99 of 100 aligned photos pass. None
    if there is no face finder.
    """
    if not finder.available():
        return None
    image = Image.fromarray(picture)
    if image.width < _SEARCHED:
        image = image.resize((_SEARCHED, _SEARCHED), Image.Resampling.BICUBIC)
    found = finder.find_faces(image)
    return len(found) == 1 and is_aligned(image, found[0])


def contrast(pictures: np.ndarray) -> np.ndarray:
    """Return the deviation of luma, 0 to 127, in pictures (.., S, S, 3) (RMS, Peli 1990)."""
    return (pictures @ _LUMA).std(axis=(-2, -1))


def saturated(pictures: np.ndarray) -> np.ndarray:
    """Return the share of values that are 0 or 255 in pictures (.., S, S, 3)."""
    return ((pictures == 0) | (pictures == 255)).mean(axis=(-3, -2, -1))


def ghosting(frames: np.ndarray, ends_a: np.ndarray, ends_b: np.ndarray) -> np.ndarray:
    """Return the share of each frame's detail that is a non-negative mix of both ends' detail.

    With d the two finest bands of a Laplacian pyramid (forms below about a sixteenth of the
    picture), 1 - min ‖d(frame) - α·d(a) - β·d(b)‖² / ‖d(frame)‖² over α, β ≥ 0: the coefficient
    of determination of a non-negative least squares fit (Lawson & Hanson 1974, chapter 23). Two
    pictures laid over each other give 1, as a cross-fade does but for rounding; an unrelated face
    gives 0.06, because aligned faces all have their eyes in one place.

    Args:
        frames, ends_a, ends_b: (N, S, S, 3) uint8.

    Returns:
        (N,) float64 in [0, 1]. 0 for a frame without any detail.
    """
    explained = []
    for d, a, b in zip(*(map(_detail, x) for x in (frames, ends_a, ends_b)), strict=True):
        left, all_ = nnls(np.column_stack([a, b]), d)[1] ** 2, d @ d
        explained.append(1 - left / all_ if all_ > 0 else 0.0)
    return np.clip(explained, 0, 1)


def _detail(picture: np.ndarray) -> np.ndarray:
    """Return the two finest bands of a Laplacian pyramid (Burt & Adelson 1983) as one vector.

    Each has its own size; pixels of the coarser one count four.
    """
    fine = picture.astype(np.float64)
    middle = cv2.pyrDown(fine)
    bands = fine - cv2.pyrUp(middle), middle - cv2.pyrUp(cv2.pyrDown(middle))
    return np.concatenate([bands[0].ravel(), 2 * bands[1].ravel()])


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
