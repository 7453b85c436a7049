"""Write a whole photo, with nothing but its pixels inside."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from glow_app.common.errors import UserError
from glow_app.keeping.writing import check_target, reason, write

__all__ = ["PHOTO_FORMATS", "save_photo"]

PHOTO_FORMATS: tuple[str, ...] = (".jpg", ".jpeg", ".png")


def save_photo(image: Image.Image, path: str | Path, quality: int = 95) -> Path:
    """Write a photo as JPEG or PNG, by its suffix, without any metadata.

    Where and when it was taken, by whom and with what, is not in the file; colours are sRGB, which
    a file without a profile says by itself.

    Args:
        image: mode RGB or RGBA, sRGB, upright. A JPEG has no transparency: there it is on white.
        path: target, one of `PHOTO_FORMATS`.
        quality: of a JPEG, 1 to 95; its colours have full resolution (4:4:4).

    Returns:
        The written path.

    Raises:
        UserError: the target cannot be written, or the picture is too large for JPEG.
    """
    target = check_target(path, PHOTO_FORMATS)
    png = target.suffix.lower() == ".png"
    mode = "RGBA" if png and image.mode == "RGBA" else "RGB"
    if image.mode == "RGBA" and not png:
        ground = Image.new("RGB", image.size, (255, 255, 255))
        ground.paste(image, mask=image.getchannel("A"))
        image = ground
    plain = Image.frombytes(mode, image.size, image.convert(mode).tobytes())
    buffer = io.BytesIO()
    try:
        if png:
            plain.save(buffer, "PNG", compress_level=4)
        else:
            plain.save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
    except (OSError, ValueError) as error:  # more than 65535 pixels a side
        raise UserError(f"Cannot write {path}: {reason(error)}.") from error
    return write(target, buffer.getvalue())
