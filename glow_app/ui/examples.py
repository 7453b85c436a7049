"""The example faces, and the morph between two of them that a visitor sees first.

The faces come with the program and were made by it: nobody real.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from glow_app.common.errors import UserError
from glow_app.common.progress import Progress, Steps, Stopped, stopped_when
from glow_app.editing.editor import Editor
from glow_app.editing.options import MorphOptions
from glow_app.faces import finder
from glow_app.faces.face import Face
from glow_app.ui.jobs import JOBS
from glow_app.ui.page_faces import (
    EXAMPLE,
    TEMPERATURE,
    Result,
    drawn_face,
    morph_steps,
    photo_face,
)
from glow_app.ui.sessions import SHARED

_FOLDER = Path(__file__).resolve().parent.parent / "examples"
_MOST = 8
_EXAMPLES = (0, 1)  # numbers of the example faces
SEEDS = (22, 14)  # chosen by eye among the faces of the released model
_LOOK_S = 0.2  # how often one who waits looks how far it is


def example_files() -> tuple[Path, ...]:
    """Return the pictures in order; none where the program comes without them."""
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
        self._faces: dict[int, Face] = {}

    def face(self, index: int) -> Face:
        """Return face ``index``, from 0."""
        with self._lock:
            if index not in self._faces:
                self._faces[index] = photo_face(self._editor, self.files[index], EXAMPLE)
                SHARED.add(self._faces[index])
            return self._faces[index]


class OpeningMorph:
    """Two faces and their morph, made on first use and then there for everyone.

    Args:
        editor: the model.
        seeds: of face A and face B. None: they are two of the example faces, or drawn where the
            program comes without those.
        examples: the example faces, which all tabs offer; None for those of the program.
    """

    def __init__(
        self,
        editor: Editor,
        seeds: tuple[int, int] | None = None,
        examples: Examples | None = None,
    ) -> None:
        self._editor = editor
        self._seeds = seeds
        self.examples = examples or Examples(editor)
        # Two, since a morph takes its time, and whoever opens the page wants to see the faces.
        self._drawing, self._morphing = threading.Lock(), threading.Lock()
        self._faces: tuple[Face, Face] | None = None
        self._morph: Result | None = None
        self._far = (0, 1)
        self._closed = False

    def faces(self) -> tuple[Face, Face]:
        with self._drawing:
            if self._faces is None:
                if self._seeds is None and len(self.examples.files) > max(_EXAMPLES):
                    a, b = (self.examples.face(index) for index in _EXAMPLES)
                else:
                    seeds = self._seeds or SEEDS
                    a, b = (drawn_face(self._editor, seed, TEMPERATURE) for seed in seeds)
                self._faces = a, b
                SHARED.update(self._faces)
            return self._faces

    @property
    def ready(self) -> bool:
        """True once `morph` has nothing more to do."""
        return self._morph is not None

    def morph(self, progress: Progress | None = None) -> Result:
        """Return their morph, all frames and what was measured on them.

        Args:
            progress: told how far it is, also while it is another thread that makes it.
        """

        def report(before: int, done: int, total: int) -> None:
            self._far = before * total + done, 2 * total
            if progress is not None:
                progress(*self._far)

        a, b = self.faces()
        while not self._morphing.acquire(timeout=_LOOK_S):
            Steps(1)  # ends here if nobody waits any more
            if progress is not None:
                progress(*self._far)
        try:
            if self._morph is None:
                making, measuring = partial(report, 0), partial(report, 1)
                *_, (whole, _) = morph_steps(self._editor, (a, b), MorphOptions(), making)
                self._morph = whole.measured(self._editor, measuring)
                SHARED.add(self._morph)
            return self._morph
        finally:
            self._morphing.release()

    def is_for(self, a: Face, b: Face, how: MorphOptions) -> bool:
        """Return whether these are the two faces, morphed as they are here."""
        return self._faces == (a, b) and how == MorphOptions()

    def warm_up(self) -> None:
        """Prepare in the background, while the browser still loads the page.

        The face finder is built on its first use, which takes a second or two: here as well, so
        that the first photo does not wait for it.
        """
        threading.Thread(target=self._warm_up, name="warm-up").start()

    def close(self) -> None:
        """End the warm-up within a pass, so that nobody waits for it who ends the program."""
        self._closed = True

    def _warm_up(self) -> None:
        try:
            with JOBS.run() as job, stopped_when(lambda: job.stopped or self._closed):
                self.morph()
        except (UserError, Stopped):
            return  # the page will say so when it asks
        if finder.available():
            finder.find_faces(Image.new("RGB", (64, 64)))
