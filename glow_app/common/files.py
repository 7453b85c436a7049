"""Writing a file whole or not at all: readers never see half of one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["check_writable", "replacing", "write_bytes", "write_text"]

_SHOWN = 40  # characters of the target in the temporary name, which must not become too long


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
