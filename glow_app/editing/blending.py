"""Blend photos, the change that the flow makes and one ground into a frame.

Pure functions on float32 pictures (N, N, 3) in levels 0 to 255, already warped to the shape of the
frame. The steps of a frame of a morph:

1. *average*: the photos, each with its weight. Where something covers one face (a fringe,
   glasses) the difference of that photo to the ground is filled in from around.
2. *matched*: averaging takes contrast away, and a flow adds specks. So in every band of a
   Laplacian pyramid, at every place, the luminance gets the energy that the photos have there.
3. *joined*: the face is laid into its ground band by band (Burt & Adelson 1983, "A multiresolution
   spline with application to image mosaics").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

_LOWEST: Final = 8  # pixels a side: a pyramid ends at a picture of no more
_WINDOW: Final = 4.0  # pixels of a band: deviation of the window in which energy is measured
_MOST_GAIN: Final = 1.6
_FLOOR: Final = 0.3  # levels: energy below this is not measured
_COLOURS: Final = 4.0  # pixels of a look: blur of the colours of a change
_SHARE: Final = 0.8  # of a photo's own contrast that a change of it may have
_ALWAYS: Final = 3.0  # levels that a change may have anywhere
_FILL: Final = 64  # pixels a side at which covered places are filled in
_BANDS: Final = 5  # number of bands in which a face is joined to its ground


def luminance(picture: np.ndarray) -> np.ndarray:
    """Return the luminance (N, N) of a picture (N, N, 3), ITU-R BT.601."""
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


def filled(difference: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Fill in a difference of two pictures (N, N, 3) from its surroundings where `seen` (N, N), 1
    where neither is covered, is below 1: a normalised convolution (Knutsson & Westin 1993) at two
    widths."""
    side = len(difference)
    share = seen[..., None]
    small = cv2.resize(difference * share, (_FILL, _FILL), interpolation=cv2.INTER_AREA)
    weight = cv2.resize(seen, (_FILL, _FILL), interpolation=cv2.INTER_AREA)
    around = np.zeros_like(small)
    for sigma in (16.0, 4.0):  # the narrow one last, where enough is seen
        total = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
        mean = cv2.GaussianBlur(small, (0, 0), sigma) / np.maximum(total, 1e-3)
        trust = np.clip(total / 0.05, 0, 1)
        around = trust * mean + (1 - trust) * around
    around = cv2.resize(around, (side, side), interpolation=cv2.INTER_LINEAR)
    return share * difference + (1 - share) * around


def matched(
    picture: np.ndarray,
    photos: Sequence[np.ndarray],
    weights: Sequence[Sequence[float]],
    size: int,
) -> np.ndarray:
    """Give every band of a luminance but the lowest, at every place, the energy of the photos.

    Args:
        picture: (N, N) luminance of the mixed face.
        photos: each (N, N), luminance of the photos in its shape.
        weights: of each photo at each level of a flow of ``size`` pixels, finest first; one
            number if they are the same for all. At each level the sum is 1.
    """
    bands, low = _laplacian(picture)
    energy = [np.zeros_like(band) for band in bands]
    for photo, weight in zip(photos, weights, strict=True):
        for total, band in zip(energy, _laplacian(photo)[0], strict=True):
            total += _at_level(weight, band, size) * np.square(band)
    for i, band in enumerate(bands):
        wanted = _windowed(energy[i]) + _FLOOR**2
        present = _windowed(np.square(band)) + _FLOOR**2
        bands[i] = band * np.minimum(np.sqrt(wanted / present), _MOST_GAIN)
    return _collapsed(bands, low)


def joined(ground: np.ndarray, change: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Add a change (N, N, 3) to the ground inside a mask (N, N), coarser bands blended wider."""
    bands, low = _laplacian(change, 2 * _LOWEST - 1, _BANDS)
    for i, band in enumerate(bands):
        bands[i] = band * mask[..., None]
        mask = cv2.pyrDown(mask)
    return ground + _collapsed(bands, low * mask[..., None])


def by_bands(difference: np.ndarray, shares: Sequence[float], size: int) -> np.ndarray:
    """Scale a difference of two pictures, each band of its luminance by a share of its own.

    Colours go with the coarsest scale, or fine structure would be tinted.

    Args:
        difference: (N, N, 3).
        shares: of each level of a flow of ``size`` pixels, 0 to 1, finest first; the first also
            of all finer bands, the last of all coarser ones.
    """
    grey = luminance(difference)
    colour = shares[-1] * (difference - grey[..., None])
    bands, low = _laplacian(grey)
    for i, band in enumerate(bands):
        bands[i] = band * _at_level(shares, band, size)
    return colour + _collapsed(bands, low * shares[-1])[..., None]


def limited(change: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Limit a change of a photo (N, N, 3), in every band, by the energy that the photo has there.

    On plain areas a flow must not invent much: the root mean square of the change stays below 0.8
    of the photo's, and 3 levels. Its colours are blurred: fine ones are specks.
    """
    grey = luminance(change)[..., None]
    change = grey + cv2.GaussianBlur(change - grey, (0, 0), _COLOURS)
    bands, low = _laplacian(change)
    for i, (band, own) in enumerate(zip(bands, _laplacian(photo)[0], strict=True)):
        allowed = _SHARE * np.sqrt(_windowed(np.square(own).mean(axis=-1))) + _ALWAYS
        present = np.sqrt(_windowed(np.square(band).mean(axis=-1)))
        bands[i] = band * np.minimum(allowed / np.maximum(present, 1e-3), 1)[..., None]
    return _collapsed(bands, low)


def _laplacian(
    picture: np.ndarray, lowest: int = _LOWEST, most: int = 99
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the bands of a picture, at most so many, finest first, and the rest below them."""
    bands = []
    while min(picture.shape[:2]) > lowest and len(bands) < most:
        small = cv2.pyrDown(picture)
        wide = (picture.shape[1], picture.shape[0])
        bands.append(picture - cv2.pyrUp(small, dstsize=wide))
        picture = small
    return bands, picture


def _at_level(shares: Sequence[float], band: np.ndarray, size: int) -> float:
    """Return the share of the level that a band belongs to, of a flow of ``size`` pixels."""
    level = round(np.log2(max(size / len(band), 1)))
    return shares[min(level, len(shares) - 1)]


def _collapsed(bands: list[np.ndarray], low: np.ndarray) -> np.ndarray:
    for band in reversed(bands):
        low = cv2.pyrUp(low, dstsize=(band.shape[1], band.shape[0])) + band
    return low


def _windowed(energy: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(energy, (0, 0), _WINDOW)
