"""The note inside a file: where each format keeps it, written and read side by side.

A note is one line of JSON. PNG has it as a text called "glow", GIF as its comment, WebP as the
EXIF image description, MP4 as its comment.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from glow_app.common.errors import UserError
from glow_app.common.files import refuse_lfs_pointer
from glow_app.faces.opening import printable
from glow_app.keeping.writing import pyav

__all__ = ["MP4_KEY", "pillow_options", "read_note", "to_note"]

MP4_KEY = "comment"

_PNG_KEY = "glow"
_EXIF_TAG = 0x010E  # ImageDescription
_MAX_NOTE = 100_000  # characters
_MAX_FILE = 200_000_000  # bytes
_FORMATS = ("GIF", "WEBP", "PNG")


def to_note(metadata: dict[str, Any] | None) -> str:
    """The metadata as one line of ASCII JSON, empty when there is none."""
    return json.dumps(metadata, ensure_ascii=True, sort_keys=True) if metadata else ""


def pillow_options(kind: str, note: str) -> dict[str, Any]:
    """Options for `Image.save` that put `note` into a "GIF", "WEBP" or "PNG"."""
    if kind == "GIF":
        return {"comment": note}
    if kind == "WEBP":
        if not note:
            return {}
        exif = Image.Exif()
        exif[_EXIF_TAG] = note
        return {"exif": exif}
    text = PngImagePlugin.PngInfo()
    if note:
        text.add_text(_PNG_KEY, note)
    return {"pnginfo": text}


def read_note(path: str | Path) -> Any:
    """What the note of a file says, as JSON data, None where there is none of ours.

    No picture in the file is decoded.

    Args:
        path: a .gif, .webp, .png or .mp4; the last needs PyAV.

    Raises:
        UserError: the file is missing, broken or of another kind, or PyAV is missing.
    """
    path = Path(path)
    name = printable(path.name)
    try:
        if not path.is_file():
            raise UserError(f"There is no file {name}.")
        if path.stat().st_size > _MAX_FILE:
            raise UserError(f"{name} is too large to be made by Glow Studio.")
        note = _mp4_note(path) if path.suffix.lower() == ".mp4" else _picture_note(path)
    except UserError:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged files
        refuse_lfs_pointer(path)
        raise UserError(f"{name} is damaged or of a kind that cannot be read.") from error
    try:
        return json.loads(note[:_MAX_NOTE])
    except (ValueError, RecursionError):
        return None


def _picture_note(path: Path) -> str:
    with Image.open(path, formats=_FORMATS) as image:
        if image.format == "GIF":
            return image.info.get("comment", b"").decode("ascii", "replace")
        if image.format == "WEBP":
            return str(image.getexif().get(_EXIF_TAG, ""))
        return str(image.info.get(_PNG_KEY, ""))


def _mp4_note(path: Path) -> str:
    av = pyav()
    if av is None:
        raise UserError("Opening .mp4 needs PyAV: pip install av.")
    # As nothing but MP4: FFmpeg would take a playlist for one, and open what it names.
    with av.open(str(path), format="mov", options={"protocol_whitelist": "file"}) as container:
        return container.metadata.get(MP4_KEY, "")
