"""Every way of making a morph, measured on the same pairs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from glow_app.benchmarks.morphs import descriptors
from glow_app.benchmarks.morphs.faces_found import one_face_in_place
from glow_app.benchmarks.morphs.frechet import frechet_distance
from glow_app.benchmarks.morphs.material import Pairs
from glow_app.benchmarks.morphs.sliced_wasserstein import PatchReference
from glow_app.benchmarks.morphs.transition import evenness, ghosting
from glow_app.benchmarks.morphs.ways import Way
from glow_app.faces.appearance import brightness, contrast, saturated, sharpness

__all__ = ["EVERY", "Row", "Scale", "measure_real", "measure_way"]

EVERY: Final = tuple(k / 8 for k in range(9))  # positions of a strip, both ends among them
INNER: Final = (0.25, 0.5, 0.75)
_HALF: Final = INNER.index(0.5)
_ALONG: Final = 40  # pairs of which whole paths are made, for evenness and identity
_ENOUGH: Final = 150  # pictures: a covariance of 128 numbers needs more than these

Row = dict[str, Any]


class Scale:
    """What frames are compared with.

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

    def swd(self, pictures: np.ndarray) -> np.ndarray:
        """(3,) sliced Wasserstein distance, finest level first."""
        return self._patches.distance(pictures)

    def frechet(self, described: np.ndarray) -> float | None:
        """Fréchet distance of descriptors, times 1000; None for too few pictures."""
        if self._described is None or len(described) < _ENOUGH:
            return None
        return 1000 * frechet_distance(described, self._described)


def measure_real(pairs: Pairs, scale: Scale) -> Row:
    """The floor: what the ends of the pairs, which are real faces, get themselves.

    Distances are means over the A's and the B's, so that they are those of as many pictures as
    there are frames. Ghosting is that of the faces of another pair: what all faces share.
    """
    a, b = pairs.ends
    row = _distances(np.mean([scale.swd(end) for end in (a, b)], axis=0))
    row |= {"brightness": 1.0, "contrast": 1.0, "sharpness": 1.0}
    row["ghosting"] = float(ghosting(np.roll(a, 1, axis=0), a, b).mean())
    row["saturated"] = float(saturated(np.concatenate([a, b])).mean())
    row["found"] = _share(one_face_in_place(np.concatenate([a, b])))
    if scale.describe is not None:
        described = [scale.describe(end) for end in (a, b)]
        distances = [scale.frechet(end) for end in described]
        row["frechet"] = None if None in distances else float(np.mean(distances))
    return row


def measure_way(way: Way, pairs: Pairs, scale: Scale) -> Row:
    """All figures of one way.

    Returns:
        swd_levels, finest first, and swd, their mean, of middle frames; swd_quarters, of those at
        1/4 and 3/4. brightness, contrast, sharpness of middle frames over those of the ends'
        mean. found, the share of frames at 1/4, 1/2, 3/4 with one face in place, and saturated,
        of their values. ghosting of middle frames. evenness over nine positions. ms of a frame
        more, with encoding and landmarks of the photos left out. With descriptors: frechet of
        middle frames and identity, the share of pairs that leave A and come to B all the way.
    """
    way.prepare(pairs)
    start = time.perf_counter()
    frames = way(pairs, INNER)
    seconds = time.perf_counter() - start
    a, b = pairs.ends
    middle = frames[:, _HALF]
    row = _distances(scale.swd(middle))
    quarters = [scale.swd(frames[:, k]) for k in range(len(INNER)) if k != _HALF]
    row["swd_quarters"] = float(np.mean(quarters))
    for figure in (brightness, contrast, sharpness):
        ends = (figure(a).mean() + figure(b).mean()) / 2
        row[figure.__name__] = float(figure(middle).mean() / ends)
    row["ghosting"] = float(ghosting(middle, a, b).mean())
    row["saturated"] = float(saturated(frames).mean())
    row["found"] = _share(one_face_in_place(frames.reshape(-1, *middle.shape[1:])))
    row["ms"] = 1000 * seconds / (len(pairs) * len(INNER))
    some = pairs[:_ALONG]
    row["evenness"] = float(evenness(way(some, EVERY)).mean())
    if scale.describe is not None:
        row |= _described(middle, frames[:_ALONG], some, scale)
    return row


def _described(middle: np.ndarray, frames: np.ndarray, some: Pairs, scale: Scale) -> Row:
    described = scale.describe(middle)
    row: Row = {"frechet": scale.frechet(described)}
    quarters = [scale.describe(frames[:, k]) for k in range(len(INNER)) if k != _HALF]
    path = np.stack([quarters[0], described[: len(some)], quarters[1]], axis=1)
    ends = [scale.describe(end)[:, None] for end in some.ends]
    from_a, from_b = (np.linalg.norm(path - end, axis=2) for end in ends)
    row["identity"] = float(descriptors.identity_goes_along(from_a, from_b).mean())
    return row


def _distances(levels: np.ndarray) -> Row:
    return {"swd_levels": levels.tolist(), "swd": float(levels.mean())}


def _share(found: np.ndarray | None) -> float | None:
    return None if found is None else float(found.mean())
