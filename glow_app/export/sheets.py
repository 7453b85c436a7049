"""Write pictures that stand still: a single one, a film strip, a grid, a contact sheet, a photo.

All but the photo are sheets of square tiles, row by row, in one PNG, and take the same options:
`size`, the side of each tile in pixels (None: S, as it comes), and `metadata` as for
`animation.save_animation`, whose errors they raise.
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
from glow_app.export.writing import (
    Pictures,
    check_pictures,
    check_size,
    check_target,
    pillow_options,
    reason,
    resized,
    to_comment,
    write,
)

PHOTO_FORMATS: tuple[str, ...] = (".jpg", ".jpeg", ".png")
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
    """Write one picture, (S, S, 3) uint8, as PNG."""
    return _save(np.asarray(pixels)[None], path, 1, size, metadata)


def save_strip(
    frames: Pictures,
    path: str | Path,
    *,
    columns: int | None = None,
    size: int | None = None,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """Write a film strip: evenly spaced frames side by side, first and last among them.

    Args:
        frames: (T, S, S, 3) uint8.
        columns: how many frames; None for 9. Never more than T.
    """
    frames = check_pictures(frames)
    chosen = strip_frames(len(frames), columns)
    return _save(frames[chosen], path, len(chosen), size, metadata)


def strip_frames(count: int, columns: int | None = None) -> np.ndarray:
    """Return which of `count` frames a film strip shows: evenly spaced, with both ends."""
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
    """Write pictures row by row on white, without gaps.

    Args:
        pictures: (N, S, S, 3) uint8, N ≥ 1.
        columns: pictures a row; None for about a square. Never more than N.
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
        captions: one for each frame, such as its t; None for numbers from 1.
        columns: frames a row; None for 8. Never more than T.
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
        count: number of pictures.
        side: of each, in pixels.
        columns: pictures a row; None for the default of `save_grid` or `save_sheet`.

    Returns:
        Width and height of the sheet in pixels.

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


def tiled(pictures: np.ndarray, columns: int) -> np.ndarray:
    """Lay pictures (N, H, W, C) row by row in one array; the rest of the last row is black.

    Returns:
        (rows·H, columns·W, C) in the dtype of `pictures`.
    """
    count, height, width, channels = pictures.shape
    rows = -(-count // columns)
    cells = np.zeros((rows * columns, height, width, channels), pictures.dtype)
    cells[:count] = pictures
    grid = cells.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * height, columns * width, channels)


def save_photo(image: Image.Image, path: str | Path) -> Path:
    """Write a photo as JPEG (quality 95, 4:4:4) or PNG, by its suffix, without any metadata.

    The file does not say where, when, by whom or with what it was taken. Colours are sRGB, which a
    file without a profile implies.

    Args:
        image: mode RGB or RGBA, sRGB, upright. A JPEG has no transparency: there it is on white.
        path: target, one of `PHOTO_FORMATS`.

    Returns:
        The written path.

    Raises:
        UserError: the target cannot be written, or the picture is too large for JPEG.
    """
    target = check_target(path, PHOTO_FORMATS)
    png = target.suffix.lower() == ".png"
    mode = "RGBA" if png and image.mode == "RGBA" else "RGB"
    if image.mode == "RGBA" and not png:
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.getchannel("A"))
        image = white
    plain = Image.frombytes(mode, image.size, image.convert(mode).tobytes())
    buffer = io.BytesIO()
    try:
        if png:
            plain.save(buffer, "PNG", compress_level=4)
        else:
            plain.save(buffer, "JPEG", quality=95, subsampling=0, optimize=True)
    except (OSError, ValueError) as error:  # more than 65535 pixels a side
        raise UserError(f"Cannot write {path}: {reason(error)}.") from error
    return write(target, buffer.getvalue())


def _save(
    pictures: Pictures,
    path: str | Path,
    columns: int,
    size: int | None,
    metadata: dict[str, Any] | None,
    captions: Sequence[str] | None = None,
) -> Path:
    """Write tiles row by row; with captions there are margins around them, too."""
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
    sheet.save(buffer, "PNG", **pillow_options("PNG", to_comment(metadata)))
    return write(target, buffer.getvalue())


def _gaps(side: int, captions: bool) -> tuple[int, int]:
    """Return the pixels around each picture, and of the letters below it."""
    return (max(4, side // 16), max(10, side // 9)) if captions else (0, 0)


def _about_square(count: int) -> int:
    return math.ceil(math.sqrt(count))


def _check_columns(columns: int) -> int:
    if columns < 1:
        raise UserError(f"There must be at least one column, not {columns}.")
    return columns
