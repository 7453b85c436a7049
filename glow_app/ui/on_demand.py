"""Pictures that a browser asks for one by one, beside Gradio's queue, which would be too slow.

These are the frames of a morph at full size, and the mix or edit that follows its sliders. Such a
call comes from anywhere, so it names what it wants by an unguessable key, everything in it is
checked, its work is bounded, one is answered at a time, and it never raises: the answer says what
went wrong.
"""

from __future__ import annotations

import base64
import logging
import secrets
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from glow_app.common.errors import UserError
from glow_app.editing.directions import Direction
from glow_app.editing.editor import Editor, Still
from glow_app.editing.frames import Morph
from glow_app.export.recipes import Origin, Recipe
from glow_app.faces.face import Face
from glow_app.ui import limits
from glow_app.ui.encoding import photo_uri, picture_uri

_PATIENCE = 5.0  # seconds to wait for pictures of others

_log = logging.getLogger(__name__)


class _Busy(UserError):
    """Others are being served; it is worth asking again."""


def _answered(answer: Callable[[], dict[str, Any]], what: str, failed: str) -> dict[str, Any]:
    """Return ``answer()``, or ``{"error": one sentence}`` and ``"busy": True`` where it helps.

    Args:
        what: names it in the log.
        failed: the sentence for an error of ours.
    """
    try:
        return answer()
    except _Busy as error:
        return {"error": str(error), "busy": True}
    except UserError as error:
        return {"error": str(error)}
    except Exception as error:
        _log.error("unexpected error in %s", what, exc_info=error)
        return {"error": failed}


@contextmanager
def _turn_of(lock: threading.Lock, busy: str) -> Iterator[None]:
    """Hold ``lock`` inside the ``with``; refuse with ``busy`` where others hold it for long."""
    if not lock.acquire(timeout=_PATIENCE):
        raise _Busy(busy)
    try:
        yield
    finally:
        lock.release()


def offered_sizes(native: int, model: int) -> list[int]:
    """Return the sizes at which a picture can be asked for, smallest first; none where its photos
    have no detail beyond the pixels that the model draws.

    Args:
        native, model: pixels a side of those and of these.
    """
    if native <= model:
        return []
    return sorted({min(size, native) for size in limits.FULL_SIZES if size > model})


# ---- frames of a morph --------------------------------------------------------------------------


class FullFrames:
    """Frames at full size, which a player pulls after the model's own have arrived.

    They need no model: the photos' own detail is laid on frames that are there already. This only
    points to the morphs of visitors: one that its visitor no longer has is gone from here, too.
    """

    def __init__(self) -> None:
        self._morphs: weakref.WeakValueDictionary[str, Morph] = weakref.WeakValueDictionary()
        self._keys: weakref.WeakKeyDictionary[Morph, str] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def offer(self, morph: Morph) -> dict[str, Any] | None:
        """Return what a player has to know, so that it can ask for frames of ``morph``.

        Returns:
            ``{"key", "sizes", "native"}``, the same key for the same morph; None where its photos
            have no more than the model's size.
        """
        sizes = offered_sizes(morph.native, morph.frames.shape[1])
        if not sizes:
            return None
        with self._lock:
            key = self._keys.setdefault(morph, secrets.token_urlsafe(16))
            self._morphs[key] = morph
        return {"key": key, "sizes": sizes, "native": morph.native}

    def frames(self, question: Any) -> dict[str, Any]:
        """Make ``{"key": …, "frames": [numbers], "size": …}``, which can be anything.

        Returns:
            ``{"frames": [[number, data URI], …]}``, photos themselves lossless, or
            ``{"error": one sentence}``, and ``"busy": True`` where it is worth asking again.
        """

        def answer() -> dict[str, Any]:
            morph, rows, size = self._asked(question)
            with _turn_of(self._turn, "The server is busy: full size comes later."):
                made = morph.enlarged(size, rows)
            # Photos themselves are exact.
            uri = {i: picture_uri if i in morph.stops else photo_uri for i in rows}
            return {"frames": [[i, uri[i](p)] for i, p in zip(rows, made, strict=True)]}

        failed = "The frames could not be made at full size."
        return _answered(answer, "frames at full size", failed)

    def _asked(self, question: Any) -> tuple[Morph, list[int], int]:
        if not isinstance(question, dict) or not isinstance(question.get("key"), str):
            raise UserError("A key, frames and a size are needed.")
        morph = self._morphs.get(question["key"])
        if morph is None:
            raise UserError("These frames have expired: make them again.")
        rows, size, most = question.get("frames"), question.get("size"), limits.FULL_FRAMES
        if not isinstance(rows, list) or not 1 <= len(rows) <= most:
            raise UserError(f"One to {most} frames can be asked for at a time.")
        if not all(type(row) is int and 0 <= row < len(morph.frames) for row in rows):
            raise UserError(f"Frames have whole numbers from 0 to {len(morph.frames) - 1}.")
        if type(size) is not int or size not in offered_sizes(morph.native, morph.frames.shape[1]):
            raise UserError("The size must be one of those that were offered.")
        return morph, rows, size


# ---- mixes and edits ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class MixScene:
    """A and B mixed scale by scale; its values are a weight a level, finest first.

    Where both faces have landmarks, one more is the shape to which both are warped first, 0 for
    A's and 1 for B's.
    """

    a: Face
    b: Face
    levels: int
    shaped: bool = False
    key: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    last: dict[tuple[float, ...], Still] = field(default_factory=dict)  # of these values

    @property
    def faces(self) -> tuple[Face, ...]:
        return self.a, self.b

    def check(self, values: Any) -> list[float]:
        """Return the weights in ``values``, which can be anything; refuse all but one number from
        0 to 1 for each slider."""
        return _row(values, [(0.0, 1.0)] * (self.levels + self.shaped))

    def render(self, editor: Editor, values: list[float]) -> Still:
        """Return the picture at checked values."""
        weights, shape = self._parts(values)
        return editor.mix(self.a, self.b, weights, shape)

    def recipe(self, editor: Editor, values: list[float], **more: Any) -> Recipe:
        """Return what a file of it says."""
        weights, shape = self._parts(values)
        return Recipe.of(
            editor,
            "mix",
            faces=(Origin.of(self.a), Origin.of(self.b)),
            weights=tuple(weights),
            shape=shape,
            **more,
        )

    def _parts(self, values: list[float]) -> tuple[list[float], float | None]:
        return values[: self.levels], values[self.levels] if self.shaped else None


@dataclass(frozen=True, eq=False)
class EditScene:
    """A face moved along directions; its values are how far to the average, then strengths."""

    face: Face
    directions: tuple[Direction, ...] = ()
    average: Face | None = None  # of the visitor's photos
    key: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    last: dict[tuple[float, ...], Still] = field(default_factory=dict)  # of these values

    @property
    def faces(self) -> tuple[Face, ...]:
        return (self.face,)

    def check(self, values: Any) -> list[float]:
        """Return the values, which can be anything; refuse all but one number in range for each
        slider."""
        return _row(values, [(0.0, 1.0), *[(d.low, d.high) for d in self.directions]])

    def render(self, editor: Editor, values: list[float]) -> Still:
        """Return the picture at checked values."""
        toward, *strengths = values
        return editor.edit(
            self.face,
            [*zip(self.directions, strengths, strict=True)],
            toward=toward,
            average=self.average,
        )

    def recipe(self, editor: Editor, values: list[float], **more: Any) -> Recipe:
        """Return what a file of it says."""
        toward, *strengths = values
        return Recipe.of(
            editor,
            "edit",
            faces=(Origin.of(self.face),),
            toward=toward,
            average="photos" if toward and self.average is not None else "",
            directions=tuple(
                (direction.name, strength)
                for direction, strength in zip(self.directions, strengths, strict=True)
                if strength
            ),
            **more,
        )


def _row(values: Any, ranges: list[tuple[float, float]]) -> list[float]:
    if not isinstance(values, list) or len(values) != len(ranges):
        raise UserError(f"{len(ranges)} slider values are needed.")
    return [
        limits.between(value, "A slider's value", low, high)
        for value, (low, high) in zip(values, ranges, strict=True)
    ]


Scene = MixScene | EditScene


class Scenes:
    """The scenes of all visitors, by key.

    It only points to them: a scene that its visitor no longer has is gone from here, too.
    """

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        self._scenes: weakref.WeakValueDictionary[str, Scene] = weakref.WeakValueDictionary()
        self._turn, self._enlarging = threading.Lock(), threading.Lock()

    def add(self, scene: Scene) -> None:
        """Let pictures of ``scene`` be asked for by its key."""
        self._scenes[scene.key] = scene

    def sizes(self, scene: Scene) -> list[int]:
        """Return the sizes at which it can be asked for beyond that of the model."""
        native = max(face.native for face in scene.faces)
        return offered_sizes(native, self._editor.image_size)

    def picture(self, question: Any) -> dict[str, Any]:
        """Draw ``{"key": …, "values": […]}``, which can be anything.

        With ``"full": size``, one of `sizes`, it is drawn with all that the photos have.

        Returns:
            ``{"rgb": base64 of (S, S, 3) uint8, "size": S, "clamped": share}``, at full size
            ``"src": data URI`` in place of ``"rgb"``, or ``{"error": one sentence}``, with
            ``"busy": True`` where it is worth asking again.
        """

        def answer() -> dict[str, Any]:
            scene, values, full = self._asked(question)
            with _turn_of(self._turn, "The model is busy: the picture comes later."):
                still = self._still(scene, values)
            if full is None:
                pixels = still.pixels
                drawn = {"rgb": base64.b64encode(pixels.tobytes()).decode("ascii")}
            else:
                with self._enlarging:  # one at a time, and no small picture waits for it
                    pixels = still.at(full)
                drawn = {"src": picture_uri(pixels)}
            return {**drawn, "size": len(pixels), "clamped": round(still.clamped, 4)}

        return _answered(answer, "a live picture", "The picture could not be drawn.")

    def _still(self, scene: Scene, values: list[float]) -> Still:
        """Return the picture; the last one of a scene stays, so that it can be enlarged."""
        key = tuple(values)
        if key not in scene.last:
            still = scene.render(self._editor, values)
            scene.last.clear()
            scene.last[key] = still
        return scene.last[key]

    def _asked(self, question: Any) -> tuple[Scene, list[float], int | None]:
        if not isinstance(question, dict) or not isinstance(question.get("key"), str):
            raise UserError("A key and values are needed.")
        scene = self._scenes.get(question["key"])
        if scene is None:
            raise UserError("This picture has expired: choose the face again.")
        values, full = scene.check(question.get("values")), question.get("full")
        if full is not None and (type(full) is not int or full not in self.sizes(scene)):
            raise UserError("The size must be one of those that were offered.")
        return scene, values, full
