"""Several ways of making a morph, measured on the same pairs of faces."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from benchmarks import recognition
from benchmarks.morphs import realism
from benchmarks.morphs.figures import (
    PatchReference,
    contrast,
    frechet_distance,
    ghosting,
    saturated,
)
from benchmarks.report import table
from glow_app.common.errors import UserError
from glow_app.editing.editor import Editor
from glow_app.editing.model import FaceModel
from glow_app.faces.coding import resized
from glow_app.faces.face import Face, prepare
from glow_app.faces.landmarks import SHAPE_POINTS, find_shape
from glow_app.faces.warp import between

__all__ = [
    "SIDE",
    "Dissolve",
    "Row",
    "Scale",
    "Way",
    "all_ways",
    "draw_pairs",
    "halves",
    "measure_real",
    "measure_way",
    "morph_table",
    "read_faces",
    "real_face",
]

SIDE = 384  # pixels a side of the frames that are marked, like those that judges marked
_INNER: Final = (0.25, 0.5, 0.75)
_HALF: Final = _INNER.index(0.5)
_SOME: Final = 40  # pairs whose identity is followed from A to B, which takes 0.4 s a pair
_ENOUGH: Final = 150  # pictures: a covariance of 128 numbers needs more than these

Row = dict[str, Any]
Keep = Callable[[Face, Face, np.ndarray], None]
# Key, title, format, factor.
_COLUMNS: Final = (
    ("mark", "mark", "{:.1f}", 1),
    ("swd", "SWD", "{:.0f}", 1),
    ("contrast", "contrast", "{:.0f} %", 100),
    ("ghosting", "ghosting", "{:.2f}", 1),
    ("found", "face found", "{:.1f} %", 100),
    ("identity", "identity", "{:.0f} %", 100),
    ("frechet", "Fréchet", "{:.0f}", 1),
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


def halves(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return indices of two random halves of `count` pictures: the reference, and the others."""
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[: count // 2]), np.sort(order[count // 2 :])


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


class Scale:
    """Real faces that frames are compared with.

    Args:
        reference: (N, S, S, 3) uint8 real faces, best such as are not morphed.
        describe: pictures to descriptors, or None to leave them out, which take most of the time.
    """

    def __init__(
        self, reference: np.ndarray, describe: Callable[[np.ndarray], np.ndarray] | None
    ) -> None:
        self._patches = PatchReference(reference)
        self.describe = describe
        self._described: np.ndarray | None = None
        if describe is not None and len(reference) >= _ENOUGH:
            self._described = describe(reference)

    def swd(self, pictures: np.ndarray) -> float:
        """Return the sliced Wasserstein distance of pictures, the mean of its three levels."""
        return float(self._patches.distance(pictures).mean())

    def frechet(self, described: np.ndarray) -> float | None:
        """Return the Fréchet distance of descriptors times 1000; None for too few pictures."""
        if self._described is None or len(described) < _ENOUGH:
            return None
        return 1000 * frechet_distance(described, self._described)


def measure_real(
    pairs: Sequence[tuple[Face, Face]], scale: Scale, keep: Keep | None = None
) -> Row:
    """Return the figures of photo A itself as a frame between A and B, where they mean something.

    Args and returns: as `measure_way`, without ghosting, identity and ms.
    """
    row = measure_way(real_face, pairs, scale, keep)
    return {key: row[key] for key in row if key not in ("ghosting", "identity", "ms")}


def measure_way(
    way: Way, pairs: Sequence[tuple[Face, Face]], scale: Scale, keep: Keep | None = None
) -> Row:
    """Return all figures of one way.

    Args:
        way: makes frames of a pair.
        pairs: P ≥ 1 pairs A, B.
        scale: real faces to compare with.
        keep: gets A, B and the middle frame (384, 384, 3) uint8 of each pair.

    Returns:
        Means over the middle frames. Of frames of 384 pixels: mark, see `realism`, of the pairs
        whose faces have landmarks (None if there are none), and found, the share with one face in
        place (None without a face finder). Of frames of the model's size: swd; contrast, over
        that of all A and B; ghosting; saturated, a share of their values. ms for a frame at the
        model's size in passes of three, both faces being encoded and their landmarks found. With
        descriptors: frechet, and identity, the share of pairs that leave A and come to B all the
        way.
    """
    small, marks, found, seconds = [], [], [], 0.0
    for a, b in pairs:
        frame = way(a, b, (0.5,)).enlarged(SIDE)[0]
        if keep is not None:
            keep(a, b, frame)
        marks.append(_mark(frame, a, b))
        found.append(recognition.one_face_in_place(frame[None]))
        start = time.perf_counter()
        small.append(way(a, b, _INNER).frames)
        seconds += time.perf_counter() - start
    frames = np.stack(small)
    middle = frames[:, _HALF]
    ends = [np.stack([face.pixels for face in faces]) for faces in zip(*pairs, strict=True)]
    row: Row = {
        "mark": _mean(marks),
        "swd": scale.swd(middle),
        "contrast": float(contrast(middle).mean() / contrast(np.concatenate(ends)).mean()),
        "ghosting": float(ghosting(middle, *ends).mean()),
        "found": _mean(found),
        "saturated": float(saturated(middle).mean()),
        "ms": 1000 * seconds / (len(pairs) * len(_INNER)),
    }
    if scale.describe is None:
        return row
    described = scale.describe(middle)
    path = [scale.describe(frames[:_SOME, k]) for k in range(len(_INNER))]
    from_ends = (
        np.linalg.norm(np.stack(path, axis=1) - scale.describe(end[:_SOME])[:, None], axis=2)
        for end in ends
    )
    identity = float(recognition.identity_goes_along(*from_ends).mean())
    return row | {"frechet": scale.frechet(described), "identity": identity}


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
