"""The source code that lessons show: the functions that run, as they stand in their files."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Listing:
    """The source of a function or class."""

    name: str  # qualified, such as ``AffineCoupling.forward``
    path: str  # of its file, from the root of the repository
    line: int  # its first line there, counted from 1
    text: str  # the source, without the indentation of its class


def file_text(path: str) -> str:
    """Return the whole file at ``path``, one of those that a :class:`Listing` may name.

    Raises:
        ValueError: it is not one of the files that lessons show; one sentence.
    """
    shown = [*(_ROOT / "models").glob("*.py"), *Path(__file__).parent.glob("*.py")]
    for file in shown:
        if file.relative_to(_ROOT).as_posix() == path:
            return file.read_text(encoding="utf-8")
    raise ValueError("This file is not among those that the lessons show.")


def listing(thing: Callable[..., Any]) -> Listing:
    """Return the source of a function, a method or a class of this project."""
    lines, first = inspect.getsourcelines(inspect.unwrap(thing))
    path = Path(inspect.getsourcefile(inspect.unwrap(thing)) or "").resolve()
    return Listing(
        name=thing.__qualname__,
        path=path.relative_to(_ROOT).as_posix(),
        line=first,
        text=inspect.cleandoc("\n" + "".join(lines)) if lines[0][:1].isspace() else "".join(lines),
    )
