"""Pictures that a browser asks for one by one, beside Gradio's queue, which would be too slow.

These are the frames of a morph at full size, and the mix or edit that follows its sliders. Anybody
can send such a request, so it names its subject by an unguessable key, everything in it is
checked, its work is bounded, and it never raises: the answer says what went wrong.
"""

from __future__ import annotations

import base64
import functools
import logging
import secrets
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from glow_app.common.errors import UserError
from glow_app.editing.editor import Editor, Still
from glow_app.editing.frames import Morph
from glow_app.export.recipes import Recipe
from glow_app.faces.face import Face
from glow_app.ui import limits
from glow_app.ui.encoding import photo_uri, picture_uri

_PATIENCE = 5.0  # seconds that a request waits for others

_log = logging.getLogger(__name__)

Subject = TypeVar("Subject")


class _Busy(UserError):
    """Others are being served; it is worth asking again."""


def _answers(what: str, failed: str) -> Callable[..., Any]:
    """Decorate a method so that, instead of raising, it returns ``{"error": one sentence}``, with
    ``"busy": True`` where it is worth asking again. An unexpected error is logged as one in
    ``what``, and its sentence is ``failed``."""

    def decorate(method: Callable[[Any, Any], dict[str, Any]]) -> Callable[[Any, Any], Any]:
        @functools.wraps(method)
        def answer(self: Any, question: Any) -> dict[str, Any]:
            try:
                return method(self, question)
            except _Busy as error:
                return {"error": str(error), "busy": True}
            except UserError as error:
                return {"error": str(error)}
            except Exception as error:
                _log.error("unexpected error in %s", what, exc_info=error)
                return {"error": failed}

        return answer

    return decorate


class _OnDemand(Generic[Subject]):
    """Subjects that can be asked about, one request at a time.

    It holds weak references: what is in no visitor's session any more cannot be asked about.
    """

    def __init__(self) -> None:
        self._subjects: weakref.WeakValueDictionary[str, Subject] = weakref.WeakValueDictionary()
        self._keys: weakref.WeakKeyDictionary[Subject, str] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def key(self, subject: Subject) -> str:
        """Return the unguessable key by which ``subject`` can be asked about from now on."""
        with self._lock:
            key = self._keys.setdefault(subject, secrets.token_urlsafe(16))
            self._subjects[key] = subject
        return key

    def _subject(self, question: Any, needed: str, expired: str) -> Subject:
        if not isinstance(question, dict) or not isinstance(question.get("key"), str):
            raise UserError(needed)
        subject = self._subjects.get(question["key"])
        if subject is None:
            raise UserError(expired)
        return subject

    @contextmanager
    def _one_at_a_time(self, busy: str) -> Iterator[None]:
        if not self._turn.acquire(timeout=_PATIENCE):
            raise _Busy(busy)
        try:
            yield
        finally:
            self._turn.release()


def full_sizes(native: int, model: int) -> list[int]:
    """Return the sizes above that of the model's pictures at which one can be asked for, smallest
    first; none where its photos have no such detail (``native`` pixels a side)."""
    sizes = {min(size, native) for size in limits.FULL_SIZES if size > model}
    return sorted(sizes) if native > model else []


def _check_size(size: Any, native: int, model: int) -> None:
    # Not `isinstance`: True is an int, too.
    if type(size) is not int or size not in full_sizes(native, model):
        raise UserError("The size must be one of those that were offered.")


class FullFrames(_OnDemand[Morph]):
    """Frames at full size, which a player asks for after the model's own have arrived.

    They need no model: the photos' own detail is laid on frames that are there already.
    """

    def offer(self, morph: Morph) -> dict[str, Any] | None:
        """Return ``{"key", "sizes", "native"}`` for a player that is to ask for frames of
        ``morph``; None where its photos have no more than the model's size."""
        sizes = full_sizes(morph.native, morph.frames.shape[1])
        return {"key": self.key(morph), "sizes": sizes, "native": morph.native} if sizes else None

    @_answers("frames at full size", "The frames could not be made at full size.")
    def frames(self, question: Any) -> dict[str, Any]:
        """Return ``{"frames": [[number, data URI], …]}``, photos themselves lossless, for
        ``{"key": …, "frames": [numbers], "size": …}``, which can be anything."""
        morph = self._subject(
            question,
            "A key, frames and a size are needed.",
            "These frames have expired: make them again.",
        )
        rows, size, most = question.get("frames"), question.get("size"), limits.FULL_FRAMES
        if not isinstance(rows, list) or not 1 <= len(rows) <= most:
            raise UserError(f"One to {most} frames can be asked for at a time.")
        if not all(type(row) is int and 0 <= row < len(morph.frames) for row in rows):
            raise UserError(f"Frames have whole numbers from 0 to {len(morph.frames) - 1}.")
        _check_size(size, morph.native, morph.frames.shape[1])
        with self._one_at_a_time("The server is busy: full size comes later."):
            made = morph.enlarged(size, rows)
        encode = [picture_uri if row in morph.stops else photo_uri for row in rows]  # PNG or JPEG
        return {"frames": [[i, uri(p)] for i, uri, p in zip(rows, encode, made, strict=True)]}


@dataclass(frozen=True)
class Slider:
    """One slider of a live picture."""

    id: str  # the same while the slider means the same, so that its place is kept
    label: str
    min: float = 0.0
    max: float = 1.0
    step: float = 0.01
    first: float = 0.0  # where it stands at first
    detail: str = ""  # small words beside the label
    low: str = ""  # words for its lower end
    high: str = ""  # words for its upper end
    weak: str = ""  # a warning below it
    percent: bool = False  # its value is a share
    group: str = ""  # heading under which it stands with its like
    unit: str = ""  # of its value, in a word


@dataclass(frozen=True, eq=False)
class Scene:
    """Faces, and the picture that some sliders make of them."""

    editor: Editor
    faces: tuple[Face, ...]
    sliders: tuple[Slider, ...]
    _last: dict[tuple[float, ...], Still] = field(default_factory=dict, init=False)

    def render(self, values: list[float]) -> Still:
        """Draw the picture at checked values, one for each slider."""
        raise NotImplementedError

    def recipe(self, values: list[float], **more: Any) -> Recipe:
        """Return what a file of it says; ``more`` are further fields."""
        raise NotImplementedError

    def check(self, values: Any) -> list[float]:
        """Return ``values``, which can be anything, if they are one for each slider in its range;
        raise `UserError` otherwise."""
        if not isinstance(values, list) or len(values) != len(self.sliders):
            raise UserError(f"{len(self.sliders)} slider values are needed.")
        return [
            limits.between(value, "A slider's value", slider.min, slider.max)
            for value, slider in zip(values, self.sliders, strict=True)
        ]

    def still(self, values: list[float]) -> Still:
        """As `render`; the last picture is kept, so that it can be enlarged and saved."""
        key = tuple(values)
        still = self._last.get(key)
        if still is None:
            still = self.render(values)
            self._last.clear()
            self._last[key] = still
        return still

    @property
    def native(self) -> int:
        """Pixels a side up to which its photos have detail."""
        return max(face.native for face in self.faces)

    @property
    def full_sizes(self) -> list[int]:
        return full_sizes(self.native, self.editor.image_size)


class Scenes(_OnDemand[Scene]):
    """The scenes of all visitors."""

    def __init__(self) -> None:
        super().__init__()
        self._enlarging = threading.Lock()

    @_answers("a live picture", "The picture could not be drawn.")
    def picture(self, question: Any) -> dict[str, Any]:
        """Draw ``{"key": …, "values": […]}``, which can be anything.

        Returns:
            ``{"rgb": base64 of (S, S, 3) uint8, "size": S, "clamped": share}``; with ``"full"``,
            one of `Scene.full_sizes`, at that size and with ``"src": data URI`` for ``"rgb"``.
        """
        scene = self._subject(
            question,
            "A key and values are needed.",
            "This picture has expired: choose the face again.",
        )
        values, full = scene.check(question.get("values")), question.get("full")
        if full is not None:
            _check_size(full, scene.native, scene.editor.image_size)
        with self._one_at_a_time("The model is busy: the picture comes later."):
            still = scene.still(values)
        if full is None:
            pixels = still.pixels
            drawn = {"rgb": base64.b64encode(pixels.tobytes()).decode("ascii")}
        else:
            with self._enlarging:  # one at a time, and no small picture waits for it
                pixels = still.at(full)
            drawn = {"src": picture_uri(pixels)}
        return {**drawn, "size": len(pixels), "clamped": round(still.clamped, 4)}
