"""Which files of a folder are pictures."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from glow_app.common.errors import UserError
from glow_app.faces.opening import printable

__all__ = ["PICTURE_SUFFIXES", "list_pictures"]

PICTURE_SUFFIXES: Final = frozenset((
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfif", ".jp2",
    ".jpe", ".jpeg", ".jpg", ".jpx", ".mpo", ".pbm", ".pfm", ".pgm", ".png", ".pnm", ".ppm",
    ".qoi", ".tif", ".tiff", ".webp",
))  # fmt: skip
_NAMED: Final = 3  # endings of files that are no pictures


def list_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """All files below a folder whose names end like a picture's, sorted by path.

    Hidden files and folders are skipped; links to folders are followed, each folder once.

    Raises:
        UserError: the folder is missing or holds no picture.
    """
    root = Path(folder)
    if not root.exists():
        raise UserError(f"There is no folder {printable(str(folder))}.")
    if not root.is_dir():
        raise UserError(f"{printable(str(folder))} is not a folder.")
    if not os.access(root, os.R_OK | os.X_OK):
        raise UserError(f"{printable(str(folder))} may not be read: permission denied.")
    files = list(_walk(root))
    found = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    if not found:
        raise UserError(f"There is no picture in {printable(str(folder))}{_others(files)}.")
    return sorted(found, key=lambda path: path.relative_to(root).parts)


def _others(files: list[Path]) -> str:
    """What a folder without pictures holds instead, to stand at the end of a sentence."""
    if not files:
        return ""
    endings = Counter(printable(path.suffix) or "none" for path in files)
    named = ", ".join(ending for ending, _ in endings.most_common(_NAMED))
    more = ", ..." if len(endings) > _NAMED else ""
    what = (
        "one file has another ending"
        if len(files) == 1
        else (f"{len(files):,} files have other endings")
    )
    return f", as far as names tell: {what} ({named}{more})"


def _walk(root: Path) -> Iterator[Path]:
    seen = {os.path.realpath(root)}
    for here, folders, files in os.walk(root, followlinks=True):
        real = {name: os.path.realpath(os.path.join(here, name)) for name in sorted(folders)}
        folders[:] = []
        for name, target in real.items():
            if not name.startswith(".") and target not in seen:
                seen.add(target)
                folders.append(name)
        for name in files:
            path = Path(here, name)
            if not name.startswith(".") and path.is_file():
                yield path
