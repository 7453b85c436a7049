"""What the live tabs draw: a mix or an edit, and the sliders' way to its picture.

Sliders call the server for each picture beside Gradio's queue, which would be too slow for it.
Such a call comes from anywhere, so it names its scene by an unguessable key, everything in it is
checked, one picture is drawn at a time, and it never raises: the answer says what went wrong.
A picture at full size is asked for when the sliders rest.
"""

from __future__ import annotations

import base64
import logging
import secrets
import threading
import weakref
from dataclasses import dataclass, field
from typing import Any

from glow_app.common.errors import UserError
from glow_app.editing.directions import Direction
from glow_app.editing.editor import Editor, Still
from glow_app.export.recipes import Origin, Recipe
from glow_app.faces.face import Face
from glow_app.ui import limits
from glow_app.ui.full_frames import offered_sizes
from glow_app.ui.values import picture_uri

__all__ = ["EditScene", "MixScene", "Scenes"]

_PATIENCE = 5.0  # seconds to wait for pictures of others

_log = logging.getLogger(__name__)


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
        """What it is made of."""
        return self.a, self.b

    def check(self, values: Any) -> list[float]:
        """The weights in ``values``, which can be anything.

        Raises:
            UserError: they are not one number from 0 to 1 for each slider.
        """
        return _row(values, [(0.0, 1.0)] * (self.levels + self.shaped))

    def render(self, editor: Editor, values: list[float]) -> Still:
        """The picture."""
        weights, shape = self._parts(values)
        return editor.mix(self.a, self.b, weights, shape)

    def recipe(self, editor: Editor, values: list[float], **more: Any) -> Recipe:
        """What a file of it says."""
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
        """What it is made of."""
        return (self.face,)

    def check(self, values: Any) -> list[float]:
        """The values, which can be anything.

        Raises:
            UserError: they are not one number in range for each slider.
        """
        return _row(values, [(0.0, 1.0), *[(d.low, d.high) for d in self.directions]])

    def render(self, editor: Editor, values: list[float]) -> Still:
        """The picture."""
        toward, *strengths = values
        return editor.edit(
            self.face,
            [*zip(self.directions, strengths, strict=True)],
            toward=toward,
            average=self.average,
        )

    def recipe(self, editor: Editor, values: list[float], **more: Any) -> Recipe:
        """What a file of it says."""
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


class Scenes:
    """The scenes of all visitors, by key.

    It only points to them: a scene that its visitor no longer has is gone from here, too.
    """

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        self._scenes: weakref.WeakValueDictionary[str, MixScene | EditScene]
        self._scenes = weakref.WeakValueDictionary()
        self._turn, self._enlarging = threading.Lock(), threading.Lock()

    def keep(self, scene: MixScene | EditScene) -> None:
        """Let pictures of ``scene`` be asked for by its key."""
        self._scenes[scene.key] = scene

    def sizes(self, scene: MixScene | EditScene) -> list[int]:
        """At which its pictures can be asked for, beyond that of the model; see `full_frames`."""
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
        try:
            scene, values, full = self._asked(question)
            if not self._turn.acquire(timeout=_PATIENCE):
                return {"error": "The model is busy: the picture comes later.", "busy": True}
            try:
                still = self._still(scene, values)
            finally:
                self._turn.release()
            if full is None:
                pixels = still.pixels
            else:
                with self._enlarging:  # one at a time, and no small picture waits for it
                    pixels = still.at(full)
        except UserError as error:
            return {"error": str(error)}
        except Exception as error:
            _log.error("unexpected error in a live picture", exc_info=error)
            return {"error": "The picture could not be drawn."}
        answer = {"size": len(pixels), "clamped": round(still.clamped, 4)}
        if full is None:
            return {"rgb": base64.b64encode(pixels.tobytes()).decode("ascii"), **answer}
        return {"src": picture_uri(pixels), **answer}

    def _still(self, scene: MixScene | EditScene, values: list[float]) -> Still:
        """The picture; the last one of a scene is still there, so that it can be enlarged."""
        key = tuple(values)
        if key not in scene.last:
            still = scene.render(self._editor, values)
            scene.last.clear()
            scene.last[key] = still
        return scene.last[key]

    def _asked(self, question: Any) -> tuple[MixScene | EditScene, list[float], int | None]:
        if not isinstance(question, dict) or not isinstance(question.get("key"), str):
            raise UserError("A key and values are needed.")
        scene = self._scenes.get(question["key"])
        if scene is None:
            raise UserError("This picture has expired: choose the face again.")
        values, full = scene.check(question.get("values")), question.get("full")
        if full is not None and (type(full) is not int or full not in self.sizes(scene)):
            raise UserError("The size must be one of those that were offered.")
        return scene, values, full
