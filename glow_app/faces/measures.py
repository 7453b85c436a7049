"""Numbers of a face's shape: how far it smiles, how wide its nose is, where its head is turned.

All are measured on landmarks (478, 2) in fractions of the crop; lengths are in distances between
the two irises, so that the size of a face does not count. Left and right are those of the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from glow_app.faces.regions import face_depth, mean_shape, measure_spread, mouth_opening

__all__ = ["MEASURES", "RIGID", "differences", "measured", "pose", "settled", "turned"]


def _length(shape: np.ndarray, a: int, b: int) -> float:
    return float(np.hypot(*(shape[b] - shape[a])))


def _unit(shape: np.ndarray) -> float:
    """Between the irises."""
    return max(_length(shape, 468, 473), 1e-6)


def _between(a: int, b: int) -> Callable[[np.ndarray], float]:
    return lambda shape: _length(shape, a, b) / _unit(shape)


def _mean(*pairs: tuple[int, int]) -> Callable[[np.ndarray], float]:
    return lambda shape: sum(_length(shape, a, b) for a, b in pairs) / len(pairs) / _unit(shape)


def _smile(shape: np.ndarray) -> float:
    """How far the corners of the mouth lie above the middle of the lips."""
    middle = (shape[13, 1] + shape[14, 1]) / 2
    return float(middle - (shape[61, 1] + shape[291, 1]) / 2) / _unit(shape)


def _brows(shape: np.ndarray) -> float:
    eyes = (shape[[33, 133], 1].mean() + shape[[362, 263], 1].mean()) / 2
    return float(eyes - shape[[70, 105, 107, 336, 334, 300], 1].mean()) / _unit(shape)


def _frown(shape: np.ndarray) -> float:
    """How near the inner ends of the brows are to each other, how low beside the outer ends."""
    lower = shape[[107, 336], 1].mean() - shape[[70, 300], 1].mean()
    return float(lower - _length(shape, 107, 336)) / _unit(shape)


def _brow_slant(shape: np.ndarray) -> float:
    """How far the inner ends of the brows lie below the outer ones."""
    return float(shape[[107, 336], 1].mean() - shape[[70, 300], 1].mean()) / _unit(shape)


def _eye_slant(shape: np.ndarray) -> float:
    """How far the outer corners of the eyes lie above the inner ones."""
    return float(shape[[133, 362], 1].mean() - shape[[33, 263], 1].mean()) / _unit(shape)


def _mouth_height(shape: np.ndarray) -> float:
    """From the tip of the nose down to the middle of the lips."""
    return float(shape[[13, 14], 1].mean() - shape[1, 1]) / _unit(shape)


def _gaze(axis: int) -> Callable[[np.ndarray], float]:
    def gaze(shape: np.ndarray) -> float:
        eyes = ((468, 33, 133), (473, 362, 263))
        off = [
            (shape[iris] - (shape[a] + shape[b]) / 2)[axis] / max(_length(shape, a, b), 1e-6)
            for iris, a, b in eyes
        ]
        return float(sum(off) / 2)

    return gaze


MEASURES: Final[dict[str, Callable[[np.ndarray], float]]] = {
    "smile": _smile,
    "mouth open": _between(13, 14),
    "mouth width": _between(61, 291),
    "lips": _mean((0, 13), (14, 17)),
    "brows": _brows,
    "frown": _frown,
    "left eye": _mean((159, 145), (158, 153), (160, 144)),
    "right eye": _mean((386, 374), (385, 380), (387, 373)),
    "gaze": _gaze(0),
    "gaze height": _gaze(1),
    "face width": _between(234, 454),
    "jaw": _mean((172, 397), (58, 288)),
    "chin": _between(17, 152),
    "nose width": _between(129, 358),
    "nose length": _between(168, 2),
    "eye width": _mean((33, 133), (362, 263)),
    "forehead": _between(10, 9),
    "brow slant": _brow_slant,
    "brow distance": _between(55, 285),
    "brow thickness": _mean((63, 53), (105, 52), (66, 65), (293, 283), (334, 282), (296, 295)),
    "eye slant": _eye_slant,
    "cheekbones": _mean((116, 345), (123, 352)),
    "upper lip": _between(0, 13),
    "lower lip": _between(14, 17),
    "mouth height": _mouth_height,
    "chin width": _mean((149, 378), (148, 377)),
}


def measured(shape: np.ndarray) -> np.ndarray:
    """All `MEASURES` of a shape (478, 2), in their order."""
    return np.array([measure(shape) for measure in MEASURES.values()])


def differences(own: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """What tells a shape (478, 2) from another: `MEASURES` in deviations of the training faces,
    and "turn", "nod" and "tilt" in degrees."""
    spread = np.append(measure_spread()[: len(MEASURES)], [1.0, 1.0, 1.0])
    a, b = (np.append(measured(shape), pose(shape)) for shape in (own, other))
    return dict(zip((*MEASURES, "turn", "nod", "tilt"), ((b - a) / spread).tolist(), strict=True))


def pose(shape: np.ndarray) -> tuple[float, float, float]:
    """Turn, nod and tilt of a head in degrees, from its landmarks (478, 2) alone.

    The mean face, with depth, is laid on the landmarks by the best affine map (weak perspective;
    Huttenlocher & Ullman 1990), and the rotation in it is read off.

    Returns:
        turn: positive towards the right of the picture; nod: positive upwards; tilt: clockwise.
    """
    solid = _solid()
    design = np.column_stack([solid, np.ones(len(solid))])
    rows = np.linalg.lstsq(design[RIGID], np.asarray(shape, float)[RIGID], rcond=None)[0][:3].T
    u, _, v = np.linalg.svd(rows, full_matrices=False)
    r1, r2 = u @ v
    r3 = np.cross(r1, r2)
    turn = -np.arctan2(r1[2], np.hypot(r1[0], r1[1]))
    nod = np.arctan2(r2[2], r3[2])
    tilt = np.arctan2(-r2[0], r1[0])
    return tuple(float(np.degrees(x)) for x in (turn, nod, -tilt))


def turned(shape: np.ndarray, turn: float, nod: float, tilt: float) -> np.ndarray:
    """A shape (478, 2) whose head is turned further, in degrees as `pose` measures them."""
    depth = face_depth() * (_unit(shape) / _unit(mean_shape()))
    middle = shape[RIGID].mean(axis=0)
    x, y = (shape - middle).T
    z = depth - depth[RIGID].mean()
    a, b, c = np.radians([-turn, nod, tilt])
    x, z = np.cos(a) * x + np.sin(a) * z, np.cos(a) * z - np.sin(a) * x
    y = np.cos(b) * y + np.sin(b) * z
    x, y = np.cos(c) * x - np.sin(c) * y, np.sin(c) * x + np.cos(c) * y
    return np.column_stack([x, y]) + middle


def settled(shape: np.ndarray, own: np.ndarray) -> np.ndarray:
    """A shape (478, 2) whose lips and lids do not cross: where they would, they meet half way.

    Lips that were shut and come apart only a little stay shut: a smile does not open a mouth.

    Args:
        own: the shape that it was made of. What is crossed there already, by the noise of finding,
            may stay so.
    """
    before, after = mouth_opening(own), mouth_opening(shape)
    # From half of it on they open after all, and all of it from there.
    shut = 1 - np.clip(2 * (after - before) / _HARDLY - 1, 0, 1)
    if before < _LIPS_SHUT and shut:
        shape = shape.copy()
        upper, lower = _LIDS[:_LIPS].T
        more = shut * (shape[lower] - shape[upper] - (own[lower] - own[upper])) / 2
        shape[upper] += more
        shape[lower] -= more
    upper, lower = _LIDS.T
    gap = shape[lower, 1] - shape[upper, 1]
    least = np.minimum(own[lower, 1] - own[upper, 1], _SHUT)
    short = np.maximum(least - gap, 0) / 2
    shape = shape.copy()
    shape[upper, 1] -= short
    shape[lower, 1] += short
    return shape


# Points of the upper lip or lid above their like on the lower one.
_LIDS: Final = np.array([
    (13, 14), (82, 87), (312, 317), (81, 178), (311, 402), (80, 88), (310, 318), (191, 95),
    (415, 324),
    (159, 145), (158, 153), (160, 144), (157, 154), (161, 163),
    (386, 374), (385, 380), (387, 373), (384, 381), (388, 390),
])  # fmt: skip
_LIPS: Final = 9  # of them are of the lips
_LIPS_SHUT: Final = 0.012  # of the crop: lips no farther apart show nothing between them
_HARDLY: Final = 0.02  # of the crop: less than that is no opening of the mouth
_SHUT: Final = 0.002  # of the crop: apart like that they are shut

# What keeps its place on the skull whatever the face does: corners of the eyes, bridge and root of
# the nose, temples.
RIGID: Final = np.array(
    [33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 127, 356, 234, 454]
)


def _solid() -> np.ndarray:
    """The mean face in space: (478, 3)."""
    return np.column_stack([mean_shape(), face_depth()])
