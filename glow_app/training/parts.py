"""Data and weights in files of bounded size, for machines that are reached through a narrow door.

Pictures travel as zip archives of lossless WebP at the model's size, about half of their raw
bytes; any other file is cut into pieces with a manifest that proves them when they are joined.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from glow_app.common.errors import UserError
from glow_app.common.files import refuse_lfs_pointer, replacing, write_text

__all__ = [
    "count_pictures",
    "join_file",
    "pack_pictures",
    "picture_parts",
    "read_pictures",
    "split_file",
]

_MANIFEST = ".parts.json"


def pack_pictures(pictures: Iterable[tuple[str, np.ndarray]], out: Path, limit: int) -> list[Path]:
    """Write ``pictures``, names and uint8 (S, S, 3), to ``out/part-000.zip`` and so on.

    Each is at most ``limit`` bytes. The folder can be given to training as data, and holds the
    very same pixels.
    """
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("part-*.zip"):
        old.unlink()
    parts: list[Path] = []
    archive: zipfile.ZipFile | None = None
    room = 0
    for name, pixels in pictures:
        content = _webp(pixels)
        needed = len(content) + 2 * len(name.encode()) + 256  # with its two headers
        if archive is None or needed > room:
            if archive is not None:
                archive.close()
            parts.append(out / f"part-{len(parts):03d}.zip")
            archive, room = zipfile.ZipFile(parts[-1], "w"), limit - 1024
        archive.writestr(f"{name}.webp", content)
        room -= needed
    if archive is not None:
        archive.close()
    return parts


def _webp(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True, method=4)
    return buffer.getvalue()


def picture_parts(folder: Path) -> list[Path]:
    """What :func:`pack_pictures` left in ``folder``, in order; empty if nothing."""
    return sorted(folder.glob("part-*.zip")) if folder.is_dir() else []


def count_pictures(parts: Iterable[Path]) -> int:
    """How many pictures are in ``parts``. Raises UserError for a damaged one."""
    return sum(len(names) for _, names in _opened(parts))


def read_pictures(parts: Iterable[Path]) -> Iterator[tuple[str, io.BytesIO]]:
    """(name, file) of every picture. Raises UserError for a damaged part."""
    for archive, names in _opened(parts):
        for name in names:
            try:
                content = archive.read(name)
            except (zipfile.BadZipFile, zlib.error, OSError) as error:
                raise _damaged(Path(archive.filename)) from error
            yield name.removesuffix(".webp"), io.BytesIO(content)


def _opened(parts: Iterable[Path]) -> Iterator[tuple[zipfile.ZipFile, list[str]]]:
    for part in parts:
        try:
            with zipfile.ZipFile(part) as archive:
                yield archive, archive.namelist()
        except (zipfile.BadZipFile, OSError) as error:
            raise _damaged(part) from error


def _damaged(part: Path) -> UserError:
    refuse_lfs_pointer(part)
    return UserError(f"{part.name} is damaged: copy it again.")


def split_file(path: Path, out: Path, limit: int) -> list[Path]:
    """Cut ``path`` into ``out/NAME.000`` and so on of at most ``limit`` bytes, and a manifest."""
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob(f"{path.name}.[0-9][0-9][0-9]"):
        old.unlink()
    digest, pieces = hashlib.sha256(), []
    with open(path, "rb") as file:
        while piece := file.read(limit):
            digest.update(piece)
            pieces.append(out / f"{path.name}.{len(pieces):03d}")
            pieces[-1].write_bytes(piece)
    manifest = {"pieces": len(pieces), "sha256": digest.hexdigest()}
    write_text(out / (path.name + _MANIFEST), json.dumps(manifest) + "\n")
    return pieces


def join_file(folder: Path, name: str, target: Path) -> Path:
    """Put together what :func:`split_file` made of ``name``; written only if it is whole.

    Raises:
        UserError: pieces are missing or damaged; one sentence.
    """
    try:
        manifest = json.loads((folder / (name + _MANIFEST)).read_text(encoding="utf-8"))
        count, expected = int(manifest["pieces"]), str(manifest["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"There is no whole {name} in {folder}.") from error
    digest = hashlib.sha256()
    try:
        with replacing(target) as temporary:
            with open(temporary, "wb") as file:
                for i in range(count):
                    piece = (folder / f"{name}.{i:03d}").read_bytes()
                    digest.update(piece)
                    file.write(piece)
            if digest.hexdigest() != expected:
                raise UserError(
                    f"The pieces of {name} in {folder} are not those that were written."
                )
    except FileNotFoundError as error:
        raise UserError(f"A piece of {name} is missing in {folder}.") from error
    return target
