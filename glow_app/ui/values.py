"""What values for the browser are made of: revisions, numbers, and pictures inside of URLs."""

from __future__ import annotations

import base64
import io
import itertools
import math
from typing import Any

import numpy as np
from PIL import Image

from glow_app.export.sheets import tiled

__all__ = ["face_uri", "finite", "next_revision", "photo_uri", "picture_uri", "sheet"]

_COLUMNS = 9  # tiles a row of the sheet: keeps 129 frames of 64 pixels below any texture limit
_revisions = itertools.count(1)


def next_revision() -> int:
    """A number of its own: the browser acts on a value only when it differs from the last one."""
    return next(_revisions)


def finite(bits: float) -> float | None:
    """JSON has no word for a number off the scale."""
    return round(float(bits), 4) if math.isfinite(bits) else None


def picture_uri(pixels: np.ndarray) -> str:
    """One picture (S, S, 3) uint8 as the data URI of a PNG."""
    return _data_uri(Image.fromarray(pixels), "PNG", compress_level=1)


def photo_uri(pixels: np.ndarray, quality: int = 92) -> str:
    """One picture (H, W, 3) uint8 as the data URI of a JPEG with full-resolution colours."""
    return _data_uri(Image.fromarray(pixels), "JPEG", quality=quality, subsampling=0)


def face_uri(pixels: np.ndarray, full: np.ndarray | None, side: int = 256) -> str:
    """A face for a small place of the page.

    Args:
        pixels: (S, S, 3) uint8, as the model sees it.
        full: (F, F, 3) uint8, as its photo has it; None where that is no more.
        side: pixels at most, where the photo is shown.
    """
    if full is None:
        return picture_uri(pixels)
    image = Image.fromarray(full)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return photo_uri(np.asarray(image))


def sheet(pictures: np.ndarray) -> dict[str, Any]:
    """Pictures (N, S, S, 3) uint8 row by row in one, for ``cutSheet`` of kit.js."""
    # quality is effort here: at 0 a sheet takes milliseconds, and stays exact
    image = Image.fromarray(tiled(pictures, _COLUMNS))
    uri = _data_uri(image, "WEBP", lossless=True, quality=0, method=0)
    return {"sheet": uri, "n": len(pictures), "cols": _COLUMNS, "size": pictures.shape[1]}


def _data_uri(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{encoded}"
