"""The example faces that come with the program, made by it: nobody real."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glow_app.faces.face import Face
from glow_app.ui.page_faces import EXAMPLE, photo_face
from glow_app.ui.visitors import everyones

if TYPE_CHECKING:
    from glow_app.editing.editor import Editor

__all__ = ["Examples", "example_files"]

_FOLDER = Path(__file__).resolve().parent.parent / "examples"
_MOST = 8


def example_files() -> tuple[Path, ...]:
    """Their pictures in order; none where the program comes without them."""
    files = (_FOLDER / f"face_{number}.jpg" for number in range(1, _MOST + 1))
    return tuple(file for file in files if file.is_file())


class Examples:
    """The example faces as photos of the page, each prepared on its first use, for everyone.

    Args:
        editor: the model.
        files: their pictures; None for those that come with the program.
    """

    def __init__(self, editor: Editor, files: Sequence[Path] | None = None) -> None:
        self.files = example_files() if files is None else tuple(files)
        self._editor = editor
        self._lock = threading.Lock()
        self._sides: dict[int, Face] = {}

    def face(self, index: int) -> Face:
        """Face ``index``, from 0."""
        with self._lock:
            if index not in self._sides:
                self._sides[index] = photo_face(self._editor, self.files[index], EXAMPLE)
                everyones.add(self._sides[index])
            return self._sides[index]
