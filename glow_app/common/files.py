"""Writing a file whole or not at all: readers never see half of one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from glow_app.common.errors import UserError

__all__ = [
    "LFS_HINT",
    "check_writable",
    "is_lfs_pointer",
    "refuse_lfs_pointer",
    "replacing",
    "write_bytes",
    "write_text",
]

#: What to say behind the name of a file that Git LFS has not fetched.
LFS_HINT = "is a pointer of Git LFS and not the file itself: fetch it with git lfs pull."

_SHOWN = 40  # characters of the target in the temporary name, which must not become too long


def is_lfs_pointer(content: bytes) -> bool:
    """Whether a file that begins so only says where its content is to be had."""
    return content.startswith(b"version https://git-lfs")


def refuse_lfs_pointer(path: Path) -> None:
    """Say of a file that could not be understood that Git LFS has not fetched it, if it is so.

    Raises:
        UserError: it is so.
    """
    with suppress(OSError), path.open("rb") as file:
        if is_lfs_pointer(file.read(100)):
            raise UserError(f"{path.name} {LFS_HINT}")


def check_writable(folder: Path) -> None:
    """Make a file in ``folder`` and remove it: permissions do not tell of all that may fail.

    Raises:
        OSError: there can be no file.
    """
    probe = folder / f".{secrets.token_hex(8)}.tmp"
    probe.open("xb").close()
    probe.unlink()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write beside ``path`` and take its place at the end, flushed to the disk.

    Where anything fails, Ctrl-C included, the temporary file is gone and an older file at
    ``path`` is as it was. A link at ``path`` is replaced itself: resolve it first to keep it.

    Yields:
        the path to write to, in the folder of ``path``, where there is no file yet. It ends in
        ".tmp", so writers that go by suffixes must be told the format.

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
    """The whole content of a file, see :func:`replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """As :func:`write_bytes`, in UTF-8."""
    write_bytes(path, text.encode("utf-8"))
