"""Write still pictures: a single one, a film strip, a grid, a contact sheet, a photo.

All but the photo are square tiles, row by row, in one PNG, and take the same options: `size`, the
side of each tile in pixels (None: S), and `metadata` as for `animation.save_animation`, whose
errors they raise.
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
    return save_grid(np.asarray(pixels)[None], path, columns=1, size=size, metadata=metadata)


def save_strip(
    frames: Pictures,
    path: str | Path,
    *,
    columns: int | None = None,
    size: int | None = None,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """Write a film strip: evenly spaced frames, (T, S, S, 3) uint8, side by side.

    Args:
        columns: how many, first and last among them; None for 9. Never more than T.
    """
    chosen = frames[strip_frames(len(frames), columns)]
    return save_grid(chosen, path, columns=len(chosen), size=size, metadata=metadata)


def strip_frames(count: int, columns: int | None = None) -> np.ndarray:
    """Return the numbers of the frames of a strip, of `count` frames in all."""
    columns = STRIP_COLUMNS if columns is None else _check_columns(columns)
    return np.linspace(0, count - 1, min(columns, count)).round().astype(int)


def save_sheet(
    frames: Pictures,
    path: str | Path,
    *,
    captions: Sequence[str] | None = None,
    columns: int | None = None,
    size: int | None = None,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """Write a contact sheet: all frames, (T, S, S, 3) uint8, with white between and words below.

    Args:
        captions: one for each frame, such as its t; None for numbers from 1.
        columns: frames a row; None for 8. Never more than T.
    """
    if captions is None:
        captions = [str(i + 1) for i in range(len(frames))]
    return save_grid(
        frames, path, columns=columns, size=size, metadata=metadata, captions=captions
    )


def save_grid(
    pictures: Pictures,
    path: str | Path,
    *,
    columns: int | None = None,
    size: int | None = None,
    metadata: dict[str, Any] | None = None,
    captions: Sequence[str] | None = None,
) -> Path:
    """Write pictures, (N, S, S, 3) uint8, edge to edge in rows, as samples are shown; with
    captions as `save_sheet` does.

    Args:
        columns: pictures a row; None for about a square. Never more than N.
    """
    target = check_target(path, (".png",))
    pictures = check_pictures(pictures)
    side, count = check_size(size, pictures.shape[1]), len(pictures)
    if captions is not None and len(captions) != count:
        raise UserError(f"{count} frames need as many captions, not {len(captions)}.")
    sheet = Image.new("RGB", check_sheet(count, side, columns, captions is not None), "white")
    margin, letters = _gaps(side, captions is not None)
    columns = (sheet.width - margin) // (side + margin)
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


def check_sheet(
    count: int, side: int, columns: int | None = None, captions: bool = False
) -> tuple[int, int]:
    """Return the width and height in pixels of a grid, or with captions of a contact sheet, of
    `count` pictures with `side` pixels each. Raises UserError: it would be too large."""
    if columns is None:
        columns = SHEET_COLUMNS if captions else math.ceil(math.sqrt(count))
    columns = min(_check_columns(columns), count)
    margin, letters = _gaps(side, captions)
    width = columns * (side + margin) + margin
    height = math.ceil(count / columns) * (side + letters + margin) + margin
    if width * height > _MAX_SHEET:
        raise UserError(f"A sheet of {width}x{height} pixels is too large: choose a smaller size.")
    return width, height


def tiled(pictures: np.ndarray, columns: int) -> np.ndarray:
    """Lay pictures (N, H, W, C) row by row in one array (rows·H, columns·W, C); the rest of the
    last row is black."""
    count, height, width, channels = pictures.shape
    cells = np.pad(pictures, ((0, -count % columns), (0, 0), (0, 0), (0, 0)))
    rows = len(cells) // columns
    grid = cells.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * height, columns * width, channels)


def save_photo(image: Image.Image, path: str | Path) -> Path:
    """Write a photo as JPEG (quality 95, 4:4:4) or PNG, by its suffix, without any metadata.

    Colours are sRGB, which a file without a profile implies.

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
    if image.mode == "RGBA" and not png:
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.getchannel("A"))
        image = white
    image = image if image.mode == "RGBA" else image.convert("RGB")
    plain = Image.frombytes(image.mode, image.size, image.tobytes())  # without metadata
    options = {"compress_level": 4} if png else {"quality": 95, "subsampling": 0, "optimize": True}
    buffer = io.BytesIO()
    try:
        plain.save(buffer, "PNG" if png else "JPEG", **options)
    except (OSError, ValueError) as error:  # more than 65535 pixels a side
        raise UserError(f"Cannot write {path}: {reason(error)}.") from error
    return write(target, buffer.getvalue())


def _gaps(side: int, captions: bool) -> tuple[int, int]:
    """Return the pixels around each picture, and of the letters below it."""
    return (max(4, side // 16), max(10, side // 9)) if captions else (0, 0)


def _check_columns(columns: int) -> int:
    if columns < 1:
        raise UserError(f"There must be at least one column, not {columns}.")
    return columns
