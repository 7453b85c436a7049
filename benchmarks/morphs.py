"""Several ways of making a morph, measured on the same pairs of faces."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import cv2
import numpy as np
from scipy.optimize import nnls

from benchmarks import realism, recognition
from benchmarks.report import table
from glow_app.common.errors import UserError
from glow_app.editing.editor import Editor
from glow_app.editing.model import FaceModel
from glow_app.faces.coding import resized
from glow_app.faces.face import Face, prepare
from glow_app.faces.landmarks import SHAPE_POINTS, find_shape
from glow_app.faces.warp import between

SIDE = 384  # pixels a side of the frames that are marked, like those that judges marked
_INNER: Final = (0.25, 0.5, 0.75)
_HALF: Final = _INNER.index(0.5)

Row = dict[str, Any]
Keep = Callable[[Face, Face, np.ndarray], None]
_LUMA: Final = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as JPEG has it
# Key, title, format, factor.
_COLUMNS: Final = (
    ("mark", "mark", "{:.1f}", 1),
    ("contrast", "contrast", "{:.0f} %", 100),
    ("ghosting", "ghosting", "{:.2f}", 1),
    ("found", "face found", "{:.1f} %", 100),
    ("saturated", "saturated", "{:.2f} %", 100),
    ("ms", "ms", "{:.1f}", 1),
)


# --------------------------------------------------------------------------------- faces and pairs


def read_faces(
    files: Iterable[Path], model: FaceModel, align: str, skipped: Callable[[str], None]
) -> list[Face]:
    """Return pictures prepared for a model; `Face.photo` is the file of each.

    Args:
        files: of pictures.
        model: for which they are prepared.
        align: "auto", "face" or "center", as for `prepare`.
        skipped: gets a sentence for each file that cannot be used.

    Raises:
        UserError: fewer than two can be used.
    """
    faces = []
    for file in files:
        try:
            face = prepare(file, model.image_size, align, model.coding, full=SIDE)
            faces.append(replace(face, photo=file))
        except UserError as error:
            skipped(str(error))
    if len(faces) < 2:
        raise UserError("A morph needs two pictures, and fewer could be read.")
    return faces


def one_half(count: int, seed: int) -> np.ndarray:
    """Return a random half of `count` indices, from which the pairs of docs/results.md come."""
    return np.sort(np.random.default_rng(seed).permutation(count)[count // 2 :])


def draw_pairs(faces: Sequence[Face], at_most: int, seed: int) -> list[tuple[Face, Face]]:
    """Return random pairs of different faces, either way round, none of them twice.

    Args:
        faces: N ≥ 2 of them.
        at_most: how many pairs; there are no more than N·(N - 1) / 2.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(np.stack(np.triu_indices(len(faces), 1), axis=1))[:at_most]
    return [(faces[i], faces[k]) for i, k in rng.permuted(chosen, axis=1)]


# ----------------------------------------------------------------------------- ways to make frames


class Made(Protocol):
    """Frames of a morph, as the editor's `Morph` has them: `frames` (T, S, S, 3) uint8 at the
    model's size, `enlarged(size)` the same at another size."""

    @property
    def frames(self) -> np.ndarray: ...

    def enlarged(self, size: int) -> np.ndarray: ...


Way = Callable[[Face, Face, Sequence[float]], Made]


@dataclass(frozen=True, eq=False)
class Dissolve:
    """(1 - t)·A + t·B, pixel by pixel: the two baselines that need no model.

    Attributes:
        a, b: the faces, of one model size S.
        t: T positions, 0 to 1.
        warped: both photos are first warped to the shape a + t·(b - a), which is the classical
            landmark morph. Faces without landmarks are left as they are.
    """

    a: Face
    b: Face
    t: Sequence[float]
    warped: bool = False

    @property
    def frames(self) -> np.ndarray:
        """(T, S, S, 3) uint8."""
        return self.enlarged(len(self.a.pixels))

    def enlarged(self, size: int) -> np.ndarray:
        """(T, size, size, 3) uint8, of photos that are enlarged where they are smaller."""
        side = min(size, max(self.a.native, self.b.native))
        photos = [face.at(side) for face in (self.a, self.b)]
        shapes = [self.a.shape, self.b.shape] if self.warped else [None]
        mesh = None
        if all(shape is not None for shape in shapes):
            a, b = (shape[SHAPE_POINTS] for shape in shapes)
            mesh = between(a, b)
        made = []
        for t in self.t:
            left, right = photos
            if mesh is not None:
                goal = a + t * (b - a)
                left, right = mesh.warp(left, a, goal), mesh.warp(right, b, goal)
            mixed = (1 - t) * left.astype(np.float32) + t * right.astype(np.float32)
            made.append(resized((mixed + 0.5).astype(np.uint8), size))
        return np.stack(made)


def real_face(a: Face, b: Face, t: Sequence[float]) -> Made:
    """Return photo A at every position, which has none of the faults of a morph."""
    return Dissolve(a, b, [0.0] * len(t))


def all_ways(editor: Editor) -> dict[str, Way]:
    """Return the ways by name: two baselines, the model alone, the photos alone, the default."""

    def morph(**options: object) -> Way:
        return lambda a, b, t: editor.morph_frames(a, b, t, **options)

    return {
        "cross-fade": Dissolve,
        "classical landmark morph": partial(Dissolve, warped=True),
        "model alone": morph(alone=True),
        "photos only, κ = 0": morph(kappa=0.0),
        "default": morph(),
    }


# ----------------------------------------------------------------------------------------- figures


def contrast(pictures: np.ndarray) -> np.ndarray:
    """Return the deviation of the luma within each picture, 0 to 127 (RMS contrast, Peli 1990).

    Args:
        pictures: (.., S, S, 3) uint8.

    Returns:
        (..) float64.
    """
    return (pictures @ _LUMA).std(axis=(-2, -1))


def saturated(pictures: np.ndarray) -> np.ndarray:
    """Return the share, 0 to 1, of a picture's values that are 0 or 255. Real photos have some.

    Args and returns: as `contrast`.
    """
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
    for d, a, b in zip(_details(frames), _details(ends_a), _details(ends_b), strict=True):
        left, all_ = nnls(np.column_stack([a, b]), d)[1] ** 2, d @ d
        explained.append(1 - left / all_ if all_ > 0 else 0.0)
    return np.clip(explained, 0, 1)


def _details(pictures: np.ndarray) -> np.ndarray:
    """Return the two finest bands (N, .) of a Laplacian pyramid (Burt & Adelson 1983).

    Each has its own size; pixels of the coarser one count four.
    """
    rows = []
    for fine in pictures.astype(np.float64):
        middle = cv2.pyrDown(fine)
        bands = fine - cv2.pyrUp(middle), middle - cv2.pyrUp(cv2.pyrDown(middle))
        rows.append(np.concatenate([bands[0].ravel(), 2 * bands[1].ravel()]))
    return np.stack(rows)


def measure_way(way: Way, pairs: Sequence[tuple[Face, Face]], keep: Keep | None = None) -> Row:
    """Return all figures of one way.

    Args:
        way: makes frames of a pair.
        pairs: P ≥ 1 pairs A, B.
        keep: gets A, B and the middle frame (384, 384, 3) uint8 of each pair.

    Returns:
        Means over the middle frames. Of frames of 384 pixels: mark, see `realism`, of the pairs
        whose faces have landmarks (None if there are none), and found, the share with one face in
        place (None without a face finder). Of frames of the model's size: contrast, over that of
        all A and B; ghosting; saturated, a share of their values. ms for a frame at the model's
        size in passes of three, both faces being encoded and their landmarks found.
    """
    middle, marks, found, seconds = [], [], [], 0.0
    for a, b in pairs:
        frame = way(a, b, (0.5,)).enlarged(SIDE)[0]
        if keep is not None:
            keep(a, b, frame)
        marks.append(_mark(frame, a, b))
        found.append(recognition.one_face_in_place(frame[None]))
        start = time.perf_counter()
        middle.append(way(a, b, _INNER).frames[_HALF])
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


def _mark(frame: np.ndarray, a: Face, b: Face) -> float | None:
    photos = a.at(SIDE), b.at(SIDE)
    # Not `Face.shape`, which was found on another picture, a pixel or two aside.
    meshes = find_shape(photos[0]), find_shape(photos[1])
    if meshes[0] is None or meshes[1] is None:
        return None
    return realism.mark(realism.faults(frame, photos, meshes, find_shape(frame)))


def _mean(values: Sequence[Any]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return float(np.mean(known)) if known else None


def morph_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a Markdown table with a row for each way; columns without any figure are left out.

    Args:
        rows: figures by the name of a way, from `measure_way`.
    """
    columns = [c for c in _COLUMNS if any(row.get(c[0]) is not None for row in rows.values())]
    lines = []
    for name, row in rows.items():
        values = [(row.get(key), form, factor) for key, _, form, factor in columns]
        lines.append([name, *("-" if v is None else f.format(k * v) for v, f, k in values)])
    return table(["middle frame", *(column[1] for column in columns)], lines)
