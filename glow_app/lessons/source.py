"""The code behind a lesson: the very functions that run, as they stand in their files."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Listing", "file_text", "listing"]

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Listing:
    """A function or class as written.

    Attributes:
        name: as one would call it, ``AffineCoupling.forward``.
        path: of its file, from the root of the repository.
        line: where it begins there, counted from 1.
        text: its source, with the indentation of its class taken away.
    """

    name: str
    path: str
    line: int
    text: str


def file_text(path: str) -> str:
    """The whole file at ``path``, as a :class:`Listing` names it.

    Raises:
        ValueError: it is not among the files that lessons show; one sentence.
    """
    shown = [*(_ROOT / "models").glob("*.py"), *Path(__file__).parent.glob("*.py")]
    for file in shown:
        if file.relative_to(_ROOT).as_posix() == path:
            return file.read_text(encoding="utf-8")
    raise ValueError("This file is not among those that the lessons show.")


def listing(thing: Callable[..., Any]) -> Listing:
    """Find the source of a function, a method or a class of this project."""
    lines, first = inspect.getsourcelines(inspect.unwrap(thing))
    path = Path(inspect.getsourcefile(inspect.unwrap(thing)) or "").resolve()
    return Listing(
        name=thing.__qualname__,
        path=path.relative_to(_ROOT).as_posix(),
        line=first,
        text=inspect.cleandoc("\n" + "".join(lines)) if lines[0][:1].isspace() else "".join(lines),
    )
