"""The pair of faces that greets a visitor: morphed once, for everyone."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from glow_app.common.progress import Steps, Stopped, stopped_when
from glow_app.editing.options import MorphOptions
from glow_app.faces.face import Face
from glow_app.ui.examples import Examples
from glow_app.ui.morphs import Result, morph_steps
from glow_app.ui.page_faces import drawn_face
from glow_app.ui.visitors import everyones

if TYPE_CHECKING:
    from glow_app.common.progress import Progress
    from glow_app.editing.editor import Editor

__all__ = ["TEMPERATURE", "Welcome"]

_EXAMPLES = (0, 1)  # numbers of the example faces
SEEDS = (22, 14)  # chosen by eye among the faces of the released model
TEMPERATURE = 0.7
_LOOK_S = 0.2  # how often one who waits looks how far it is


class Welcome:
    """Prepares the welcoming pair on first use; later visitors get it at once.

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
        self._sides: tuple[Face, Face] | None = None
        self._morph: Result | None = None
        self._far = (0, 1)
        self._closed = threading.Event()

    def faces(self) -> tuple[Face, Face]:
        """The two faces."""
        with self._drawing:
            if self._sides is None:
                if self._seeds is None and len(self.examples.files) > max(_EXAMPLES):
                    a, b = (self.examples.face(index) for index in _EXAMPLES)
                else:
                    seeds = self._seeds or SEEDS
                    a, b = (drawn_face(self._editor, seed, TEMPERATURE) for seed in seeds)
                self._sides = a, b
                everyones.update(self._sides)
            return self._sides

    @property
    def ready(self) -> bool:
        """Whether `morph` has nothing more to do."""
        return self._morph is not None

    def morph(self, progress: Progress | None = None) -> Result:
        """Their morph, all frames and what was measured on them.

        Args:
            progress: told how far it is, also while it is another thread that makes it.
        """

        def told(before: int, done: int, total: int) -> None:
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
                making, measuring = partial(told, 0), partial(told, 1)
                *_, (whole, _) = morph_steps(self._editor, a, b, MorphOptions(), making)
                self._morph = whole.measured(self._editor, measuring)
                everyones.add(self._morph)
            return self._morph
        finally:
            self._morphing.release()

    def is_for(self, a: Face, b: Face, how: MorphOptions) -> bool:
        """Whether these are the welcoming pair, whose morph is already known."""
        return self._sides == (a, b) and how == MorphOptions()

    def warm_up(self) -> None:
        """Prepare in the background, while the browser still loads the page.

        The face finder is built on its first use, which takes a second or two: here as well, so
        that the first photo does not wait for it.
        """
        threading.Thread(target=self._warm_up, name="warm-up").start()

    def close(self) -> None:
        """End the warm-up within a pass, so that nobody waits for it who ends the program."""
        self._closed.set()

    def _warm_up(self) -> None:
        from PIL import Image

        from glow_app.common.errors import UserError
        from glow_app.faces import finder

        try:
            with stopped_when(self._closed.is_set):
                self.morph()
        except (UserError, Stopped):
            return  # the page will say so when it asks
        if finder.available():
            finder.find_faces(Image.new("RGB", (64, 64)))
