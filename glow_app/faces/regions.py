"""Masks over a crop: the face itself, and what covers it.

A morph mixes only what both people have: skin, eyes, brows, nose, lips. Hair, ears, clothes and
the background come from one photo at a time, and so does what covers a face: a fringe, a hand, a
scarf, a beard, glasses. Masks are float32 in [0, 1], soft at their borders.

Polygons are drawn from landmarks. Skin is recognised by colour: a Gaussian model (Vezhnevets et
al. 2003) is fitted to cheeks and nose of the one face. Glasses are recognised by a linear
classifier on histograms of gradients about the eyes (Dalal & Triggs 2005), fitted on the training
faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from glow_app.faces.landmarks import (
    EYES,
    INNER_LIPS,
    OUTER_LIPS,
    OUTLINE_POINTS,
    face_data,
    mean_shape,
)  # fmt: skip

_BROWS: Final = (
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (336, 296, 334, 293, 300, 276, 283, 282, 295, 285),
)
_NOSE: Final = (168, 193, 417, 122, 351, 98, 97, 2, 326, 327, 294, 278, 48, 64)
_CHEEKS: Final = (
    (117, 118, 101, 36, 205, 187, 123),
    (346, 347, 330, 266, 425, 411, 352),
    (6, 197, 195, 5, 45, 275, 122, 351),
)
_CORNERS: Final = ((33, 133), (362, 263))  # of the eyes, outer and inner

_GLASSES: Final = -0.3  # least score; it harms nothing that it includes some faces without
_MIRRORED: Final = -0.5  # the same where less than _LENS_SKIN of the lenses looks like skin
_LENS_SKIN: Final = 0.63
_SIDE: Final = 256  # pixels a side at which a photo is measured
_DARK: Final = 0.57  # of the skin's lightness: what is darker is hardly skin
_FAR: Final = 2.6  # deviations of colour: beyond this it is hardly skin
_LEAST_SPREAD: Final = 5.0  # of a and b in CIELAB, whose deviation on an even cheek is tiny


def face_mask(
    shape: np.ndarray, side: int, shrink: float = 0.93, feather: float = 1 / 28
) -> np.ndarray:
    """Draw the face of a shape (478, 2) inside its outline: (side, side).

    Args:
        shrink: of the outline about its middle.
        feather: width of the soft border inside the outline, in fractions of the side.
    """
    outline = shape[OUTLINE_POINTS]
    middle = (outline.max(axis=0) + outline.min(axis=0)) / 2
    return _soft(middle + shrink * (outline - middle), side, feather)


def inner_mouth_mask(shape: np.ndarray, side: int) -> np.ndarray:
    """Draw the inside of the lips: (side, side)."""
    return _filled([shape[list(INNER_LIPS)]], side, blur=0.006)


def glasses_score(look: np.ndarray) -> float:
    """Score a face in the mean shape (N, N, 3) uint8: above 0 it wears glasses.

    On 1,162 held-out faces 1 in 100 with glasses scores below 0, and 1 in 100 without above -0.1.
    """
    if len(look) != 128:
        look = cv2.resize(look, (128, 128), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(look, cv2.COLOR_RGB2GRAY)[24:72].astype(np.float32)
    gx, gy = (cv2.Sobel(grey, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1)))
    strength, angle = np.hypot(gx, gy), (np.arctan2(gy, gx) % np.pi) / np.pi * 6
    cells = []
    for k in range(6):
        off = np.abs(angle - k)
        share = np.maximum(0, 1 - np.minimum(off, 6 - off)) * strength
        cells.append(share.reshape(6, 8, 16, 8).sum(axis=(1, 3)))
    histogram = np.sqrt(np.stack(cells, -1))
    histogram = (histogram / (np.sqrt(np.square(histogram).mean()) + 1e-6)).ravel()
    return float((histogram - face_data()["glasses_middle"]) @ face_data()["glasses_weights"])


def wears_glasses(look: np.ndarray) -> bool:
    """Say whether a face in the mean shape (256, 256, 3) wears glasses or sunglasses. Mirrored
    lenses hide their frames from gradients, but do not look like skin."""
    score, shape = glasses_score(look), mean_shape()
    if not _MIRRORED < score <= _GLASSES:
        return score > _GLASSES
    lenses = cv2.erode(np.round(eyewear_mask(shape, _SIDE)), _disc(25))
    lenses *= 1 - np.maximum(_grown(EYES, shape, 5), _grown(_BROWS, shape, 7))
    skin = skin_likeness(look, shape)
    return float((skin * lenses).sum()) < _LENS_SKIN * float(lenses.sum())


def eyewear_mask(shape: np.ndarray, side: int) -> np.ndarray:
    """Draw the area of glasses on a face that wears some: (side, side)."""
    mask = np.zeros((side, side), np.float32)
    for outer, inner in _CORNERS:
        a, b = shape[outer] * side, shape[inner] * side
        wide = float(np.hypot(*(b - a)))
        turn = float(np.degrees(np.arctan2(*(b - a)[::-1])))
        centre = (a + b) / 2 + np.array([0, 0.25 * wide])
        axes = (round(1.3 * wide), round(1.12 * wide))
        x, y = np.round(centre).astype(int).tolist()
        cv2.ellipse(mask, (x, y), axes, turn, 0, 360, (1,), -1)
    left, right = (shape[[outer for outer, _ in _CORNERS]] * side).round().astype(int).tolist()
    cv2.line(mask, left, right, (1,), side // 12)
    return cv2.GaussianBlur(mask, (0, 0), 0.012 * side)


def skin_colour(crop: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measure the skin on a crop (N, N, 3) uint8: median and spread of CIELAB, (3,) each."""
    lab = _lab(crop)
    where = _filled([shape[list(points)] for points in _CHEEKS], len(crop), 0) > 0.5
    pixels = lab[where] if where.sum() > 50 else lab.reshape(-1, 3)
    middle = np.median(pixels, axis=0)
    spread = 1.4826 * np.median(np.abs(pixels - middle), axis=0)
    return middle, np.maximum(spread, _LEAST_SPREAD)


def skin_likeness(crop: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Return how much each pixel looks like the skin of this face: (N, N)."""
    lab = _lab(crop)
    middle, spread = skin_colour(crop, shape)
    away = np.sqrt(np.square((lab[..., 1:] - middle[1:]) / spread[1:]).mean(axis=-1))
    colour = falling(away / _FAR, 0.8, 1.4)
    light = falling(_DARK * middle[0] / np.maximum(lab[..., 0], 1), 0.88, 1.15)
    return colour * light


def visible_face(crop: np.ndarray, shape: np.ndarray, glasses: bool) -> np.ndarray:
    """Draw where nothing covers the face on a crop (N, N, 3) uint8: (256, 256). `glasses`: whether
    it wears some."""
    if len(crop) != _SIDE:
        how = cv2.INTER_AREA if len(crop) > _SIDE else cv2.INTER_CUBIC
        crop = cv2.resize(crop, (_SIDE, _SIDE), interpolation=how)
    seen = skin_likeness(crop, shape)
    # Single dark pixels are pores and lashes.
    seen = cv2.morphologyEx(seen, cv2.MORPH_CLOSE, _disc(7))
    seen = cv2.morphologyEx(seen, cv2.MORPH_OPEN, _disc(5))
    brows = _grown(_BROWS, shape, 9)  # dark like a fringe, but skin is on both sides of them
    brows *= cv2.morphologyEx(seen, cv2.MORPH_CLOSE, _disc(27))
    seen = cv2.GaussianBlur(cv2.erode(seen, _disc(9)), (0, 0), 2.5)
    # The colours of eyes, nose and lips are not those of skin.
    features = np.maximum(_grown(EYES, shape, 23), _grown((OUTER_LIPS, _NOSE), shape, 11))
    features, brows = (cv2.GaussianBlur(mask, (0, 0), 3) for mask in (features, brows))
    seen = np.maximum.reduce([seen, features, brows])
    if glasses:
        seen *= 1 - eyewear_mask(shape, _SIDE)
    # Of a head that is turned away, parts of eyes and lips lie beyond the outline.
    return (seen * face_mask(shape, _SIDE, shrink=1.0, feather=1 / 90)).astype(np.float32)


# ------------------------------------------------------------------------------------- inside


def _grown(areas: Sequence[tuple[int, ...]], shape: np.ndarray, by: int) -> np.ndarray:
    """Draw the hulls of some areas of a face, grown by a disc: (256, 256)."""
    return cv2.dilate(_filled([shape[list(points)] for points in areas], _SIDE, 0), _disc(by))


def _filled(polygons: list[np.ndarray], side: int, blur: float) -> np.ndarray:
    """Draw the convex hulls of polygons in fractions of the crop; blur: of the side."""
    mask = np.zeros((side, side), np.uint8)
    for polygon in polygons:
        points = np.round(np.asarray(polygon, np.float64) * side * 16 - 8).astype(np.int32)
        hull = cv2.convexHull(points)
        cv2.fillConvexPoly(mask, hull, (255,), cv2.LINE_AA, 4)
    soft = mask.astype(np.float32) / 255
    return cv2.GaussianBlur(soft, (0, 0), blur * side) if blur else soft


def _soft(polygon: np.ndarray, side: int, feather: float) -> np.ndarray:
    """Draw a polygon's hull whose border falls from 1 to 0 over `feather` of the side."""
    hard = np.zeros((side + 2, side + 2), np.uint8)
    points = cv2.convexHull(np.round(polygon * side + 0.5).astype(np.int32))
    cv2.fillConvexPoly(hard, points, (255,))
    hard[0], hard[-1], hard[:, 0], hard[:, -1] = 0, 0, 0, 0
    depth = cv2.distanceTransform(hard, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return smoothstep(depth / max(2 * feather * side, 1)).astype(np.float32)


def _lab(crop: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(crop.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _disc(wide: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide))


def falling(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Fall smoothly from 1 at `low` to 0 at `high`."""
    return smoothstep((high - x) / (high - low))


def smoothstep(x: np.ndarray) -> np.ndarray:
    """Rise smoothly from 0 at 0 to 1 at 1."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
