"""Every way of making a morph, measured on the same pairs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from benchmarks.morphs import descriptors, realism
from benchmarks.morphs.appearance import contrast, saturated
from benchmarks.morphs.faces_found import one_face_in_place
from benchmarks.morphs.frechet import frechet_distance
from benchmarks.morphs.material import SIDE
from benchmarks.morphs.sliced_wasserstein import PatchReference
from benchmarks.morphs.transition import ghosting
from benchmarks.morphs.ways import Way, real_face
from glow_app.faces.face import Face
from glow_app.faces.landmarks import find_mesh

__all__ = ["Row", "Scale", "measure_real", "measure_way"]

_INNER: Final = (0.25, 0.5, 0.75)
_HALF: Final = _INNER.index(0.5)
_SOME: Final = 40  # pairs whose identity is followed from A to B, which takes 0.4 s a pair
_ENOUGH: Final = 150  # pictures: a covariance of 128 numbers needs more than these

Row = dict[str, Any]
Keep = Callable[[Face, Face, np.ndarray], None]


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
        """Sliced Wasserstein distance, the mean of its three levels."""
        return float(self._patches.distance(pictures).mean())

    def frechet(self, described: np.ndarray) -> float | None:
        """Fréchet distance of descriptors, times 1000; None for too few pictures."""
        if self._described is None or len(described) < _ENOUGH:
            return None
        return 1000 * frechet_distance(described, self._described)


def measure_real(
    pairs: Sequence[tuple[Face, Face]], scale: Scale, keep: Keep | None = None
) -> Row:
    """The figures that photo A itself gets as a frame between A and B, where they mean something.

    Args and returns: as `measure_way`, without ghosting, identity and ms.
    """
    row = measure_way(real_face, pairs, scale, keep)
    return {key: row[key] for key in row if key not in ("ghosting", "identity", "ms")}


def measure_way(
    way: Way, pairs: Sequence[tuple[Face, Face]], scale: Scale, keep: Keep | None = None
) -> Row:
    """All figures of one way.

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
        found.append(one_face_in_place(frame[None]))
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
    identity = float(descriptors.identity_goes_along(*from_ends).mean())
    return row | {"frechet": scale.frechet(described), "identity": identity}


def _mark(frame: np.ndarray, a: Face, b: Face) -> float | None:
    photos = a.at(SIDE), b.at(SIDE)
    # Not `Face.shape`, which was found on another picture, a pixel or two aside.
    meshes = find_mesh(photos[0]), find_mesh(photos[1])
    if meshes[0] is None or meshes[1] is None:
        return None
    return realism.mark(realism.faults(frame, photos, meshes, find_mesh(frame)))


def _mean(values: Sequence[Any]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return float(np.mean(known)) if known else None
