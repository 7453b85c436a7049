"""Several files at once: how many is checked first, the good ones are used, the others named."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from glow_app.common.errors import UserError
from glow_app.common.progress import Progress, Steps, Stopped
from glow_app.ui.downloads import field
from glow_app.ui.uploads import uploaded_file

__all__ = ["each_of", "files_of"]

_NAMED = 3  # files of which a message says what is wrong with them
_SECONDS = 12

Made = TypeVar("Made")


def files_of(event: gr.EventData, most: int, what: str) -> list[Any]:
    """What an event names as its uploaded files, 1 to ``most``; nothing is looked at yet.

    Args:
        what: the rest of the sentence "At most 64 …", without its full stop.
    """
    paths = field(event, "paths")
    if not isinstance(paths, list) or not paths:
        raise UserError("The upload did not arrive: please try again.")
    if len(paths) > most:
        raise UserError(f"At most {most} {what}.")
    return paths


def each_of(
    paths: Sequence[Any],
    use: Callable[[Path], Made],
    progress: Progress | None = None,
    partly: bool = False,
) -> list[Made]:
    """What ``use`` makes of each uploaded file; those that it refuses are left out and named.

    Args:
        progress: counts files.
        partly: when it is stopped, what there is so far is of use.

    Raises:
        UserError: all are refused.
    """
    made: list[Made] = []
    wrong: list[str] = []
    try:
        steps = Steps(len(paths), progress)
        for path in paths:
            try:
                made.append(use(uploaded_file(path)))
            except UserError as error:
                wrong.append(str(error))
            steps.advance()
    except Stopped:
        if not (partly and made):
            raise
    if wrong and not made:
        raise UserError(wrong[0] if len(wrong) == 1 else f"None can be used: {_said(wrong)}")
    if wrong:
        gr.Warning(html.escape(f"Left out: {_said(wrong)}", quote=False), duration=_SECONDS)
    return made


def _said(wrong: list[str]) -> str:
    more = len(wrong) - _NAMED
    return " ".join([*wrong[:_NAMED], *([f"And {more} more."] if more > 0 else [])])
