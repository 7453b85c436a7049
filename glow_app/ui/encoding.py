"""Numbers and pictures as values that a browser takes: JSON, and pictures inside of URLs."""

from __future__ import annotations

import base64
import dataclasses
import io
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from glow_app.export.sheets import tiled
from glow_app.faces.face import Face

_COLUMNS = 9  # tiles a row of the sheet: keeps 129 frames of 64 pixels below any texture limit
_SMALL = 256  # pixels a side, at most, of a photo in a small place
_revisions = itertools.count(1)


def next_revision() -> int:
    """Return a new number: the browser acts on a value only when it differs from the last one."""
    return next(_revisions)


def finite(bits: float) -> float | None:
    """Return ``bits`` with four decimals; None off the scale, for which JSON has no word."""
    return round(float(bits), 4) if math.isfinite(bits) else None


def packed(value: Any) -> Any:
    """Return ``value`` as JSON data; ``unpack`` of requests.js is its inverse.

    Dataclasses become objects, arrays ``{"f32": base64, "shape": …}``: float32 holds more digits
    than a screen has pixels, and infinities, which JSON has not.
    """
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        data = np.ascontiguousarray(value, dtype="<f4")
        return {"f32": base64.b64encode(data.tobytes()).decode("ascii"), "shape": data.shape}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: packed(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: packed(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [packed(item) for item in value]
    return value


def picture_uri(pixels: np.ndarray) -> str:
    """Return one picture (S, S, 3) uint8 as the data URI of a PNG."""
    return _data_uri(_encoded(Image.fromarray(pixels), "PNG", compress_level=1), "png")


def jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """Return one picture (H, W, 3) uint8 as a JPEG with full-resolution colours."""
    return _encoded(Image.fromarray(pixels), "JPEG", quality=quality, subsampling=0)


def photo_uri(pixels: np.ndarray, quality: int = 92) -> str:
    """Return one picture (H, W, 3) uint8 as the data URI of a `jpeg`."""
    return _data_uri(jpeg(pixels, quality), "jpeg")


def face_uri(face: Face) -> str:
    """Return a face for a small place of the page as a data URI: as its photo has it, or exactly
    as the model sees it where there is no more detail."""
    if face.full is None:
        return picture_uri(face.pixels)
    image = Image.fromarray(face.full)
    image.thumbnail((_SMALL, _SMALL), Image.Resampling.LANCZOS)
    return photo_uri(np.asarray(image))


def sheet(pictures: np.ndarray) -> dict[str, Any]:
    """Return pictures (N, S, S, 3) uint8 row by row in one, for ``cutSheet`` of pictures.js."""
    # quality is effort here: at 0 a sheet takes milliseconds, and stays exact
    image = Image.fromarray(tiled(pictures, _COLUMNS))
    uri = _data_uri(_encoded(image, "WEBP", lossless=True, quality=0, method=0), "webp")
    return {"sheet": uri, "n": len(pictures), "cols": _COLUMNS, "size": pictures.shape[1]}


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
