"""Faces and morphs as the page keeps them: how they are made, and those that a visitor sees first.

A visitor's morph is at most some hundred small frames. The example faces come with the program
and were drawn by its model.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glow_app.common.errors import UserError
from glow_app.common.progress import Progress, Steps, Stopped, stopped_when
from glow_app.editing.editor import Editor, Still
from glow_app.editing.frames import Morph
from glow_app.editing.options import MorphOptions
from glow_app.export.recipes import Origin, Recipe
from glow_app.faces import finder
from glow_app.faces.alignment import Square
from glow_app.faces.face import Face
from glow_app.ui.events import JOBS
from glow_app.ui.visitors import SHARED

PHOTO, DRAWN, EXAMPLE = "Your photo", "Drawn by the model", "An example face"
TEMPERATURE = 0.7  # of faces that are drawn where no other is asked for


# ---- faces --------------------------------------------------------------------------------------


def photo_face(
    editor: Editor, photo: Path, source: str = PHOTO, crop: Square | None = None
) -> Face:
    """Align a photo as the model saw its training faces, and read it; ``crop`` is the square that
    the visitor chose in place of the largest face."""
    return _read(editor, replace(editor.prepare(photo, crop=crop), source=source, photo=photo))


def drawn_face(editor: Editor, seed: int, temperature: float) -> Face:
    """Draw a face that does not exist from the prior."""
    pixels, shape = editor.sampler.draw(seed, temperature)
    about = {"seed": seed, "temperature": temperature, "landmarks": shape}
    return made_face(editor, pixels, source=DRAWN, **about)


def still_face(editor: Editor, still: Still, source: str) -> Face:
    """Return a mix or an edit as a face; the detail of its photos stays with it."""
    return _read(editor, editor.face_of(still, source=source))


def made_face(editor: Editor, pixels: np.ndarray, **about: Any) -> Face:
    """Return a face that was made here rather than photographed; ``about`` are fields of it."""
    return _read(editor, Face.of_pixels(pixels, editor.model.crop_size, **about))


def _read(editor: Editor, face: Face) -> Face:
    return replace(face, reading=editor.read(face), landmarks=face.shape)


# ---- morphs and journeys ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Result:
    """What a player shows, and what it was made from."""

    faces: tuple[Face, ...]  # A and B, or all faces of a journey
    how: MorphOptions  # the way between them
    morph: Morph  # its frames, and what was measured on them
    bits: np.ndarray | None = None  # (T,) bits/dim of the look on each frame, once it is measured

    def is_for(self, faces: tuple[Face | None, ...], how: MorphOptions) -> bool:
        """Return whether this is the way asked for, between these very faces."""
        return self.faces == faces and self.how == how

    def reversed(self) -> Result:
        """Return the morph walked from B to A: the same codes, so the same pictures.

        What was asked of A is now asked of B: the ground, and how far the path goes beyond.
        """
        bits = None if self.bits is None else self.bits[::-1]
        low, high = self.how.t_range
        ground = {"a": "b", "b": "a"}.get(self.how.ground, self.how.ground)
        how = replace(self.how, ground=ground, t_range=(1 - high, 1 - low))
        return Result(self.faces[::-1], how, self.morph.reversed(), bits)

    def recipe(self, editor: Editor, **more: object) -> Recipe:
        """Return what is stored in a file made of it; never the photos."""
        count = self.how.frames if self.how.kind == "journey" else len(self.morph.frames)
        origins = [Origin.of(face) for face in self.faces]
        return Recipe.of_morph(editor, self.how, origins, **{"frames": count, **more})

    def at(self, editor: Editor, place: float) -> tuple[Morph, int]:
        """Return the picture at a place counted in frames, as a morph and the number of its frame.

        Between two frames of a morph it is decoded anew. (The player fades between its frames;
        what is saved should be a picture of the model.) A journey gives its nearest frame.
        """
        last = len(self.morph.frames) - 1
        near = min(round(place), last)
        if place == near or self.how.kind == "journey":
            return self.morph, near
        t = np.interp([place], np.arange(last + 1), self.morph.t)
        walk = editor.walk(self.faces, self.how)
        *_, one = editor.along(walk, t, kappa=self.how.kappa)
        return one, 0

    def measured(self, editor: Editor, progress: Progress | None = None) -> Result:
        """Return the same with the bits/dim of the look on every frame."""
        return replace(self, bits=editor.model.bits_per_dim(self.morph.looks, progress=progress))


def morph_steps(
    editor: Editor, faces: tuple[Face, ...], how: MorphOptions, progress: Progress | None = None
) -> Iterator[tuple[Result, bool]]:
    """Yield a morph or a journey as ``how`` has it, rough first, and whether these are all its
    frames; nothing is decoded twice."""
    # Both ends must be among the rough frames; the last one of a loop lies short of the seam.
    rough = 4  # steps between them
    if how.kind == "journey":
        rough = 0 if how.loop or how.frames <= 5 else (how.frames - 1) // 2
    whole = len(how.positions(len(faces) if how.loop else len(faces) - 1))
    for morph in editor.travel(faces, how, progress, rough):
        yield Result(faces, how, morph), len(morph.frames) == whole


# ---- those that are seen first ------------------------------------------------------------------

_FOLDER = Path(__file__).resolve().parent.parent / "examples"
_EXAMPLES = (0, 1)  # numbers of the example faces of the first morph
SEEDS = (22, 14)  # chosen by eye among the faces of the released model
_LOOK_S = 0.2  # how often one who waits for a morph looks how far it is


def example_files() -> tuple[Path, ...]:
    """Return the pictures in order; none where the program comes without them."""
    return tuple(sorted(_FOLDER.glob("face_[1-8].jpg")))


class Examples:
    """The example faces as photos of the page, each prepared on its first use, for everyone.

    ``files`` are their pictures, by default those that come with the program.
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
        self.examples = examples or Examples(editor)
        self._editor, self._seeds = editor, seeds
        # Two, since a morph takes long, and a visitor who opens the page is to see the faces.
        self._drawing, self._morphing = threading.Lock(), threading.Lock()
        self._faces: tuple[Face, Face] | None = None
        self._morph: Result | None = None
        self._progress = (0, 1)
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
            progress: is called also while it is another thread that makes it.
        """

        def report(before: int, done: int, total: int) -> None:
            self._progress = before * total + done, 2 * total
            if progress is not None:
                progress(*self._progress)

        faces = self.faces()
        while not self._morphing.acquire(timeout=_LOOK_S):
            Steps(1)  # ends here if its visitor has left
            if progress is not None:
                progress(*self._progress)
        try:
            if self._morph is None:
                making, measuring = partial(report, 0), partial(report, 1)
                *_, (whole, _) = morph_steps(self._editor, faces, MorphOptions(), making)
                self._morph = whole.measured(self._editor, measuring)
                SHARED.add(self._morph)
            return self._morph
        finally:
            self._morphing.release()

    def is_for(self, a: Face, b: Face, how: MorphOptions) -> bool:
        """Return whether these are the two faces, morphed as they are here."""
        return self._faces == (a, b) and how == MorphOptions()

    def warm_up(self) -> None:
        """Prepare in the background, while the browser still loads the page."""
        threading.Thread(target=self._warm_up, name="warm-up").start()

    def close(self) -> None:
        """End the warm-up within a pass, so that the program can end."""
        self._closed = True

    def _warm_up(self) -> None:
        try:
            with JOBS.run() as job, stopped_when(lambda: job.stopped or self._closed):
                self.morph()
        except (UserError, Stopped):
            return  # the page will say so when it asks
        if finder.available():  # it is built on its first use, which takes a second or two
            finder.find_faces(Image.new("RGB", (64, 64)))
