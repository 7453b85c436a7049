"""Put a face back into the whole photo that its square was cut out of.

The new face is first warped to the outline of the photo's own, so that jaw and cheeks end where
they did. Then the square is blended in by the inverse of the alignment, through a soft mask inside
that outline. Its colours are first matched to the photo along the seam: the difference there is
interpolated inside by a smooth field, the idea of Poisson image editing (Pérez et al. 2003) in the
closed form of Farbman et al. 2009, "Coordinates for instant image cloning", with a simpler kernel.

Mask and field are smooth, so they are computed on a small grid over the square. Only the part of
the photo that the square covers is changed, in strips.
"""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from PIL import Image

from glow_app.common.errors import UserError
from glow_app.faces.alignment import Square
from glow_app.faces.coding import resized
from glow_app.faces.face import Face
from glow_app.faces.landmarks import OUTLINE_POINTS, find_shape
from glow_app.faces.opening import RESAMPLE, Source, open_source
from glow_app.faces.regions import smoothstep
from glow_app.faces.warp import reshaped

_GRID: Final = 256  # pixels a side of the mask and of the field
_STRIP: Final = 256  # rows of the photo at a time

_FEATHER: Final = 0.10  # of the square: width of the seam
_MARGIN: Final = 0.01  # of the square: along its border the photo stays as it is
_ELLIPSE: Final = (0.5, 0.5, 0.46, 0.54)  # centre and radii of a face without landmarks

_LEVEL: Final = 0.03  # of the square: finer than this, the field does not follow the seam
_ODD: Final = 40.0  # levels: where the seam differs by more it is not skin, and counts less
_STILL: Final = 0.005  # of the square: precision of landmarks
_CHANGED: Final = (1.5, 5.0)  # levels: change of a place at which the photo's own grain goes


def put_back(
    photo: Source, own: Face, face: np.ndarray, shape: np.ndarray | None = None
) -> Image.Image:
    """Return the whole photo with another face in the place of its own.

    The face that was cut out changes nothing, bit for bit. Where the face changed little, finer
    detail of the photo stays. A photo in black and white or sepia gets no other colours.

    Args:
        photo: the one that `own` was cut out of.
        own: the face of the photo.
        face: (F, F, 3) uint8, the new content of the square; with F = `own.native` it loses no
            detail.
        shape: (478, 2) landmarks of that in fractions of the square; None: they are looked for.
            Without landmarks of both the mask is an ellipse.

    Returns:
        Upright, as large as the photo as it was opened; mode RGB, or RGBA if it is transparent
        anywhere. Outside the mask it is the photo, bit for bit.

    Raises:
        UserError: the photo cannot be opened, or the square does not lie in it.
    """
    if face.dtype != np.uint8 or face.ndim != 3 or face.shape != (len(face), len(face), 3):
        raise ValueError(f"a face must be (F, F, 3) uint8, not {face.shape} {face.dtype}")
    opened = open_source(photo)
    image = opened.image
    if own.square is None:
        raise UserError("Where in its photo this face lies is not known.")
    box = _box(own.square, image.size)
    old = own.crop if own.full is None else own.full
    side = min(len(face), max(1, math.ceil(own.square.side)))  # antialiased where it shrinks
    new, old = (resized(picture, side, enlarging=RESAMPLE) for picture in (face, old))
    if shape is None:  # found anew, the landmarks of the same face would differ a little
        shape = own.shape if np.array_equal(new, old) else find_shape(new)
    new, outline = _outlined(new, shape, own.shape)
    if own.tone is not None:
        shown = old + own.tone.of(new) - own.tone.of(old)
        new = (shown + 0.5).clip(0, 255).astype(np.uint8)
    mask = seam_mask() if outline is None else seam_mask(outline)
    _lay(image, own.square, box, new, old, _blending(new, old, mask))
    return image if opened.alpha is None else _off_white(image, opened.alpha)


def seam_mask(*meshes: np.ndarray) -> np.ndarray:
    """Compute the weight of the new face in each place of the square: (G, G) float32 in [0, 1].

    It is 1 well inside the hulls of all meshes, (M, 2) points in fractions of the square, and 0
    outside of any and along the border of the square. Without a mesh there is an ellipse.
    """
    from scipy.spatial import ConvexHull

    middles = (np.arange(_GRID) + 0.5) / _GRID
    points = np.stack(np.meshgrid(middles, middles), -1)
    depths = [np.minimum(points, 1 - points).min(axis=-1) - _MARGIN]
    for mesh in meshes:
        sides = ConvexHull(np.asarray(mesh, np.float64)).equations
        depths.append(-(points @ sides[:, :2].T + sides[:, 2]).max(axis=-1))
    if not meshes:
        x, y, wide, high = _ELLIPSE
        away = np.hypot((points[..., 0] - x) / wide, (points[..., 1] - y) / high)
        depths.append((1 - away) * wide)
    return np.prod([smoothstep(depth / _FEATHER) for depth in depths], axis=0).astype(np.float32)


def _outlined(
    new: np.ndarray, mesh: np.ndarray | None, own: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Warp the new face into the outline of the old one; return it and that outline (M, 2).

    All other landmarks follow the affine map nearest to the move of the outline. Without landmarks
    of both faces the new one stays as it is, and the outline is None.
    """
    if mesh is None or own is None:
        return new, None
    outline = own[OUTLINE_POINTS]
    points = np.column_stack([mesh, np.ones(len(mesh))])
    affine, *_ = np.linalg.lstsq(points[OUTLINE_POINTS], outline, rcond=None)
    goal = points @ affine
    goal[OUTLINE_POINTS] = outline
    if np.square(goal - mesh).sum(axis=1).mean() < _STILL**2:
        return new, outline
    return reshaped(new, mesh, goal), outline


def _blending(new: np.ndarray, old: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return on the grid the mask, how much of the photo's grain stays, in [0, 1], and by what the
    three colours of the new face are corrected, in levels: (G, G, 5) float32."""
    small, other = (resized(picture, _GRID, enlarging=RESAMPLE) for picture in (new, old))
    change = small.astype(np.float32) - other
    rim = 4 * mask * (1 - mask) / (1 + np.square(change / _ODD).mean(axis=-1)) ** 2
    field = _interpolated(change, rim) if rim.any() else np.zeros_like(change)
    fine = change - cv2.GaussianBlur(change, (0, 0), 4)
    rough = np.sqrt(cv2.GaussianBlur(np.square(fine).mean(axis=-1), (0, 0), 3).clip(0))
    low, high = _CHANGED
    keep = 1 - smoothstep((rough - low) / (high - low))
    return np.dstack([mask, keep.astype(np.float32), field.astype(np.float32)])


def _interpolated(change: np.ndarray, rim: np.ndarray) -> np.ndarray:
    """Extend the change along the rim to everywhere, by a normalised convolution (Knutsson and
    Westin 1993) whose kernel falls with the third power, as that of a membrane does."""
    offsets = np.arange(-_GRID, _GRID) / _GRID
    distance = np.hypot(offsets[:, None], offsets)
    kernel = (np.square(distance) + _LEVEL**2) ** -1.5
    spectrum = np.fft.rfft2(np.fft.ifftshift(kernel))

    def convolved(values: np.ndarray) -> np.ndarray:
        wide = np.fft.rfft2(values, (2 * _GRID, 2 * _GRID))
        return np.fft.irfft2(wide * spectrum, (2 * _GRID, 2 * _GRID))[:_GRID, :_GRID]

    share = convolved(rim)
    return np.stack([convolved(rim * one) / share for one in np.moveaxis(change, -1, 0)], -1)


def _box(square: Square, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the part of a photo that a square covers: left, top, right, bottom in pixels.
    Raises UserError: it covers none."""
    right, down = 2 * square.right, 2 * square.down
    corners = square.corner + np.array([0 * right, right, down, right + down])
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0).tolist()
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)).astype(int), size).tolist()
    if left >= right or top >= bottom:
        raise UserError("This face does not lie in that photo.")
    return left, top, right, bottom


def _lay(
    image: Image.Image,
    square: Square,
    box: tuple[int, int, int, int],
    new: np.ndarray,
    old: np.ndarray,
    blending: np.ndarray,
) -> None:
    """Change the photo itself to photo + mask·(new - field - old + (1 - keep)·(old - photo))."""
    into = np.linalg.inv(np.stack([2 * square.right, 2 * square.down], axis=1))
    matrix = np.column_stack([into, -into @ square.corner])  # (x, y, 1) to fractions of the square
    left, top, right, bottom = box

    def sampled(picture: np.ndarray, cubic: bool) -> np.ndarray:
        """Sample a square picture (N, N, c) float32 at the pixels of this strip."""
        to = matrix.copy()
        to[:, 2] += to[:, :2] @ (left + 0.5, first + 0.5)
        to *= len(picture)
        to[:, 2] -= 0.5
        how = cv2.WARP_INVERSE_MAP | (cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR)
        shape = right - left, last - first
        return cv2.warpAffine(picture, to, shape, flags=how, borderMode=cv2.BORDER_REPLICATE)

    change = new.astype(np.float32) - old
    old = old.astype(np.float32)
    for first in range(top, bottom, _STRIP):
        last = min(first + _STRIP, bottom)
        shown = np.asarray(image.crop((left, first, right, last)), np.float32)
        soft = sampled(blending, cubic=False)
        moved = sampled(change, cubic=True) - soft[..., 2:]
        moved += (1 - soft[..., 1:2]) * (sampled(old, cubic=True) - shown)
        shown += soft[..., :1] * moved
        strip = Image.fromarray((shown + 0.5).clip(0, 255).astype(np.uint8))
        image.paste(strip, (left, first))


def _off_white(image: Image.Image, alpha: Image.Image) -> Image.Image:
    """Return the RGBA picture that on white looks like the image; alpha: mode L."""
    share = np.asarray(alpha, np.float32)[..., None] / 255
    partly = ((share > 0) & (share < 1))[..., 0]
    levels = np.array(image)
    own = 255 - (255 - levels[partly].astype(np.float32)) / share[partly]
    levels[partly] = (own + 0.5).clip(0, 255).astype(np.uint8)
    whole = Image.fromarray(levels)
    whole.putalpha(alpha)
    return whole
