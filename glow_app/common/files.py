"""Write files whole or not at all, and recognise pointers of Git LFS."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from glow_app.common.errors import UserError

#: Said after the name of a file that Git LFS has not fetched.
LFS_HINT = "is a pointer of Git LFS and not the file itself: fetch it with git lfs pull."

_SHOWN = 40  # characters of the target in the temporary name, which must not become too long


def is_lfs_pointer(content: bytes) -> bool:
    """Return whether a file that begins with ``content`` is a pointer of Git LFS."""
    return content.startswith(b"version https://git-lfs")


def refuse_lfs_pointer(path: Path) -> None:
    """Check that a file which could not be read is not a pointer of Git LFS.
    Raises UserError: it is one."""
    with suppress(OSError), path.open("rb") as file:
        if is_lfs_pointer(file.read(100)):
            raise UserError(f"{path.name} {LFS_HINT}")


def check_writable(folder: Path) -> None:
    """Check that ``folder`` takes a file, by making one: permissions do not show a full disk.
    Raises OSError: it takes none."""
    probe = folder / f".{secrets.token_hex(8)}.tmp"
    probe.open("xb").close()
    probe.unlink()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write to a temporary file, which replaces ``path`` at the end, flushed to the disk.

    Where anything fails, Ctrl-C included, the temporary file is removed and an older file at
    ``path`` stays as it was. A link at ``path`` is replaced itself: resolve it first to keep it.

    Yields:
        the temporary path, in the folder of ``path``; there is no file yet. It ends in ".tmp", so
        writers that choose a format by suffix need it named.

    Raises:
        OSError: the folder is missing, the disk is full, the name too long, ...
    """
    temporary = path.with_name(f".{path.name[:_SHOWN]}.{secrets.token_hex(8)}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())  # a full disk may show only here
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write the whole content of a file by :func:`replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write the whole content of a file by :func:`replacing`, in UTF-8."""
    write_bytes(path, text.encode("utf-8"))
