"""Write pictures that stand still, as PNG: one, a film strip, a grid, a contact sheet.

All four are sheets of square tiles, row by row, and differ in what lies between the tiles.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glow_app.common.errors import UserError
from glow_app.keeping import notes
from glow_app.keeping.writing import (
    Pictures,
    check_pictures,
    check_size,
    check_target,
    resized,
    write,
)

__all__ = [
    "check_sheet",
    "save_grid",
    "save_sheet",
    "save_still",
    "save_strip",
    "strip_frames",
    "tiled",
]

STRIP_COLUMNS = 9
SHEET_COLUMNS = 8

_MAX_SHEET = 178_000_000  # pixels of a sheet; Pillow takes larger ones for attacks


def save_still(
    pixels: np.ndarray,
    path: str | Path,
    *,
    size: int | None = None,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """Write one picture, (S, S, 3) uint8, as PNG with `size` pixels a side (None: S).

    Raises UserError as `save_animation` does.
    """
    return _save(np.asarray(pixels)[None], path, 1, size, metadata)


def save_strip(
    frames: Pictures,
    path: str | Path,
    *,
    columns: int | None = None,
    size: int | None = None,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """Write a film strip: evenly spaced frames side by side in one PNG, first and last among them.

    Args:
        frames: (T, S, S, 3) uint8.
        path: target, .png.
        columns: how many pictures; None for 9. Never more than T.
        size: side of each picture in pixels, None for S. Picture i begins at column i·size.
        metadata: as for `animation.save_animation`.

    Raises:
        UserError: as `save_animation`.
    """
    frames = check_pictures(frames)
    chosen = strip_frames(len(frames), columns)
    return _save(frames[chosen], path, len(chosen), size, metadata)


def strip_frames(count: int, columns: int | None = None) -> np.ndarray:
    """Which of `count` frames a film strip shows, evenly spaced, both ends among them."""
    columns = STRIP_COLUMNS if columns is None else _check_columns(columns)
    return np.linspace(0, count - 1, min(columns, count)).round().astype(int)


def save_grid(
    pictures: Pictures,
    path: str | Path,
    *,
    columns: int | None = None,
    size: int | None = None,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """Write pictures row by row on one white PNG, without gaps.

    Args:
        pictures: (N, S, S, 3) uint8, N ≥ 1.
        path: target, .png.
        columns: pictures a row; None for about a square. Never more than N.
        size: side of each picture in pixels, None for S. Picture i has its corner at
            (i mod columns, i div columns)·size.
        metadata: as for `animation.save_animation`.

    Raises:
        UserError: as `save_animation`.
    """
    if columns is None:
        columns = _about_square(len(pictures))
    return _save(pictures, path, columns, size, metadata)


def save_sheet(
    frames: Pictures,
    path: str | Path,
    *,
    captions: Sequence[str] | None = None,
    columns: int | None = None,
    size: int | None = None,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """Write a contact sheet: all frames in rows, with white between them and words below each.

    Args:
        frames: (T, S, S, 3) uint8.
        path: target, .png.
        captions: one for each frame, such as its t; None for numbers from 1.
        columns: frames a row; None for 8. Never more than T.
        size: side of each frame in pixels, None for S.
        metadata: as for `animation.save_animation`.

    Raises:
        UserError: as `save_animation`, or another number of captions.
    """
    words = [str(i + 1) for i in range(len(frames))] if captions is None else captions
    if columns is None:
        columns = SHEET_COLUMNS
    return _save(frames, path, columns, size, metadata, words)


def check_sheet(
    count: int, side: int, columns: int | None = None, captions: bool = False
) -> tuple[int, int]:
    """Refuse a grid, or with captions a contact sheet, before its pictures are made.

    Args:
        count: of the pictures.
        side: of each, in pixels.
        columns: pictures a row, None for what `save_grid` or `save_sheet` takes.

    Returns:
        Its width and height in pixels.

    Raises:
        UserError: it would be too large.
    """
    if columns is None:
        columns = SHEET_COLUMNS if captions else _about_square(count)
    columns = min(_check_columns(columns), count)
    margin, letters = _gaps(side, captions)
    width = columns * (side + margin) + margin
    height = math.ceil(count / columns) * (side + letters + margin) + margin
    if width * height > _MAX_SHEET:
        raise UserError(f"A sheet of {width}x{height} pixels is too large: choose a smaller size.")
    return width, height


def _gaps(side: int, captions: bool) -> tuple[int, int]:
    """Pixels around each picture, and of the letters below it."""
    return (max(4, side // 16), max(10, side // 9)) if captions else (0, 0)


def _about_square(count: int) -> int:
    return math.ceil(math.sqrt(count))


def _save(
    pictures: Pictures,
    path: str | Path,
    columns: int,
    size: int | None,
    metadata: dict[str, Any] | None,
    captions: Sequence[str] | None = None,
) -> Path:
    """Tiles row by row; with captions there are margins around them, too."""
    target = check_target(path, (".png",))
    pictures = check_pictures(pictures)
    side, count = check_size(size, pictures.shape[1]), len(pictures)
    columns = min(_check_columns(columns), count)
    if captions is not None and len(captions) != count:
        raise UserError(f"{count} frames need as many captions, not {len(captions)}.")
    sheet = Image.new("RGB", check_sheet(count, side, columns, captions is not None), "white")
    margin, letters = _gaps(side, captions is not None)
    wide, high = side + margin, side + letters + margin
    corners = [(margin + i % columns * wide, margin + i // columns * high) for i in range(count)]
    for tile, corner in zip(resized(pictures, side), corners, strict=True):
        sheet.paste(tile, corner)
    if captions is not None:
        pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(letters)
        for (x, y), text in zip(corners, captions, strict=True):
            pen.text((x + side / 2, y + side), text, fill="black", font=font, anchor="ma")
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", **notes.pillow_options("PNG", notes.to_note(metadata)))
    return write(target, buffer.getvalue())


def _check_columns(columns: int) -> int:
    if columns < 1:
        raise UserError(f"There must be at least one column, not {columns}.")
    return columns


def tiled(pictures: np.ndarray, columns: int) -> np.ndarray:
    """Pictures (N, H, W, C) row by row in one array, what is left of the last row black.

    Returns:
        (rows·H, columns·W, C) in the dtype of `pictures`.
    """
    count, height, width, channels = pictures.shape
    rows = -(-count // columns)
    cells = np.zeros((rows * columns, height, width, channels), pictures.dtype)
    cells[:count] = pictures
    grid = cells.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * height, columns * width, channels)
