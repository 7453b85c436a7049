"""A mark up to 10 for how well a frame of a morph passes as a photograph of one person.

A frame is compared with the two photos it was made of, both warped to the shape of the face in
the frame. Four faults are measured, and the mark is linear in them.

The formula is a ridge regression without negative costs, fitted on the marks of 144 frames
halfway between two photos (384 pixels; two rounds of 12 pairs; 2 and 4 judges). How well it agrees
with judges is in docs/results.md. A copy of one photo gets 8.6, the highest mark.

Limits: a copy of a photo has no faults, so a measure of how far a frame is between A and B must
stand beside the mark. Noise costs little (a deviation of 10 levels takes 0.1 to 0.3 marks from a
photo of 384 pixels) and blur less than it should (a photo blurred by 4 of 384 pixels gets 5.5); a
contrast raised by 0.3 over that of both photos costs too much (2.4 marks). A frame that shows
neither of the photos gets 0.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np

from glow_app.faces.landmarks import INNER_LIPS, SHAPE_POINTS
from glow_app.faces.warp import between

_SIDE: Final = 256  # pixels a side of what is measured; lengths below are in these
_EDGE: Final = 1.0  # standard deviation of the blur under a gradient
_NEARBY: Final = 5  # side of the square in which the photos may have the same edge
_FINE: Final = 3.0  # standard deviation of the windows in which skin and hair may be soft
_LIPS: Final = 8.0  # likewise for the mouth
_WIDE: Final = 20.0  # of the windows in which a frame is taken for a sum of both photos
_FLAT: Final = 4.0  # grey levels: contrast below which structure counts little
_MOST: Final = 1.5  # how much stronger than in a photo its structure may be in the sum
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)
_WIDENED: Final = 5  # side of the square by which the mouth is widened


class Faults(NamedTuple):
    """The faults of a frame, on average over it; all are near 0 in a copy of one of the photos.

    Attributes:
        edges: grey levels a pixel, 0 to 0.5; how much steeper edges of the frame are than the
            steepest of either photo nearby: specks, outlines, seams.
        softness: grey levels, 0 to 2; how far local contrast falls below that of the smoother
            photo: blurred skin and hair, edges that fade into the background.
        doubling: 0 to 0.6; the share of local contrast that belongs to a second picture under the
            first one: half-transparent hair, ears, collars, backgrounds.
        mouth: root of grey levels, 0 to 2.5; softness between the lips, in wider windows: teeth
            and lips that fade into each other. The root, because it differs a lot.
    """

    edges: float
    softness: float
    doubling: float
    mouth: float


# The mark of a frame without faults, and how much of it each unit of a fault takes away.
_BEST: Final = 8.6
_COSTS: Final = Faults(edges=12.5, softness=0.9, doubling=6.5, mouth=0.5)


def mark(found: Faults) -> float:
    """Return the mark that people would give to a frame: 0 (no photograph) to `_BEST` (no fault).

    On the scale 0 to 10 that the judges used, who gave untouched photos 8.5 on average.
    """
    lost = sum(cost * fault for cost, fault in zip(_COSTS, found, strict=True))
    return max(_BEST - lost, 0.0)


def faults(
    frame: np.ndarray,
    photos: tuple[np.ndarray, np.ndarray],
    meshes: tuple[np.ndarray, np.ndarray],
    mesh: np.ndarray | None = None,
) -> Faults:
    """Measure one frame, in 70 ms on one core.

    Args:
        frame: (N, N, 3) uint8, N best 256 or more; the marks were given to 384.
        photos: A and B, of which it was made: aligned crops of the same size as the frame.
        meshes: (478, 2) landmarks of A and B in fractions of the crop, from `find_shape`.
        mesh: those of the frame, from `find_shape` too. None: the shape halfway between A and B,
            which agrees less with people (correlations of frames are 0.05 lower).
    """
    if mesh is None:
        mesh = (meshes[0] + meshes[1]) / 2
    shape, *shapes = (np.asarray(m, np.float64)[SHAPE_POINTS] for m in (mesh, *meshes))
    grey, *greys = (_resized(picture) for picture in (frame, *photos))
    a, b = (
        between(own, shape).warp(photo, own, shape) @ _LUMA
        for photo, own in zip(greys, shapes, strict=True)
    )
    grey = grey @ _LUMA
    return Faults(
        edges=float(_edges(grey, a, b).mean()),
        softness=float(_softness(grey, a, b, _FINE).mean()),
        doubling=float(_doubling(grey, a, b).mean()),
        mouth=float(np.sqrt(_softness(grey, a, b, _LIPS)[_mouth(mesh)].mean())),
    )


def _edges(frame: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    steepest = cv2.dilate(np.maximum(_gradient(a), _gradient(b)), np.ones((_NEARBY, _NEARBY)))
    return np.maximum(_gradient(frame) - steepest, 0)


def _softness(frame: np.ndarray, a: np.ndarray, b: np.ndarray, sigma: float) -> np.ndarray:
    own, *others = (np.sqrt(_products(x, x, sigma)) for x in (frame, a, b))
    return np.maximum(np.minimum(*others) - own, 0)


def _doubling(frame: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the strength of the weaker of two pictures laid over each other, (S, S) in 0..1.

    In each window the frame is taken for p·A + q·B and a level, by least squares. What the photos
    have in common there is not seen twice, so the weaker part counts with sqrt(1 - r²), r being
    their correlation.
    """
    aa, bb = (_products(x, x, _WIDE) + _FLAT for x in (a, b))
    ab, fa, fb = (_products(x, y, _WIDE) for x, y in ((a, b), (frame, a), (frame, b)))
    both = aa * bb - ab * ab
    p = np.clip((fa * bb - fb * ab) / both, 0, _MOST) * np.sqrt(aa - _FLAT)
    q = np.clip((fb * aa - fa * ab) / both, 0, _MOST) * np.sqrt(bb - _FLAT)
    apart = np.sqrt(1 - np.clip(ab * ab / (aa * bb), 0, 1))
    return np.minimum(p, q) * apart / (np.maximum(p, q) + _FLAT)


def _mouth(mesh: np.ndarray) -> np.ndarray:
    """Return a mask (S, S) of the inside of the lips; a few pixels even if they are closed."""
    drawn = np.zeros((_SIDE, _SIDE), np.uint8)
    corners = np.round(np.asarray(mesh)[list(INNER_LIPS)] * _SIDE * 16 - 8).astype(np.int32)
    cv2.fillPoly(drawn, [corners], 1, shift=4)
    return cv2.dilate(drawn, np.ones((_WIDENED, _WIDENED), np.uint8)).astype(bool)


def _resized(picture: np.ndarray) -> np.ndarray:
    how = cv2.INTER_AREA if len(picture) > _SIDE else cv2.INTER_CUBIC
    return cv2.resize(picture, (_SIDE, _SIDE), interpolation=how).astype(np.float32)


def _gradient(grey: np.ndarray) -> np.ndarray:
    """Return the gradient of the slightly blurred picture, in grey levels a pixel."""
    blurred = _mean(grey, _EDGE)
    return np.hypot(*(cv2.Sobel(blurred, -1, dx, 1 - dx, scale=1 / 8) for dx in (0, 1)))


def _products(x: np.ndarray, y: np.ndarray, sigma: float) -> np.ndarray:
    """Return the local covariance of two pictures; of one with itself it is at least 0."""
    product = _mean(x * y, sigma) - _mean(x, sigma) * _mean(y, sigma)
    return np.maximum(product, 0) if x is y else product


def _mean(grey: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(grey, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
