"""Frames at full size, which a player pulls from the server after the model's own have arrived.

They need no model: the photos' own detail is laid on frames that are there already. Calls come
beside Gradio's queue and from anywhere, so a morph has an unguessable key, everything in a call
is checked, its work is bounded, one is answered at a time, and it never raises.
"""

from __future__ import annotations

import logging
import secrets
import threading
import weakref
from typing import Any

import numpy as np

from glow_app.common.errors import UserError
from glow_app.editing.frames import Morph
from glow_app.ui.values import photo_uri, picture_uri

__all__ = ["MOST_FRAMES", "SIZES", "FullFrames", "offered_sizes"]

SIZES = (512, 1024)  # pixels a side: for ordinary and for dense screens
MOST_FRAMES = 4  # of one call

_PATIENCE = 5.0  # seconds to wait for frames of others

_log = logging.getLogger(__name__)


def offered_sizes(native: int, model: int) -> list[int]:
    """Sizes at which a picture can be asked for, smallest first.

    Args:
        native: pixels a side up to which its photos have detail.
        model: pixels a side that the model draws.

    Returns:
        none where the photos have no more than the model.
    """
    if native <= model:
        return []
    return sorted({min(size, native) for size in SIZES if size > model})


class FullFrames:
    """The morphs of all visitors, by key.

    It only points to them: a morph that its visitor no longer has is gone from here, too.
    """

    def __init__(self) -> None:
        self._morphs: weakref.WeakValueDictionary[str, Morph] = weakref.WeakValueDictionary()
        self._keys: weakref.WeakKeyDictionary[Morph, str] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def offer(self, morph: Morph) -> dict[str, Any] | None:
        """What a player is told, so that it can ask for frames of ``morph``.

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
        try:
            morph, rows, size = self._asked(question)
            if not self._turn.acquire(timeout=_PATIENCE):
                return {"error": "The server is busy: full size comes later.", "busy": True}
            try:
                made = morph.enlarged(size, rows)
            finally:
                self._turn.release()
            return {"frames": [[i, _uri(morph, i, made[k])] for k, i in enumerate(rows)]}
        except UserError as error:
            return {"error": str(error)}
        except Exception as error:
            _log.error("unexpected error in frames at full size", exc_info=error)
            return {"error": "The frames could not be made at full size."}

    def _asked(self, question: Any) -> tuple[Morph, list[int], int]:
        if not isinstance(question, dict) or not isinstance(question.get("key"), str):
            raise UserError("A key, frames and a size are needed.")
        morph = self._morphs.get(question["key"])
        if morph is None:
            raise UserError("These frames have expired: make them again.")
        rows, size = question.get("frames"), question.get("size")
        if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_FRAMES:
            raise UserError(f"One to {MOST_FRAMES} frames can be asked for at a time.")
        if not all(type(row) is int and 0 <= row < len(morph.frames) for row in rows):
            raise UserError(f"Frames have whole numbers from 0 to {len(morph.frames) - 1}.")
        if type(size) is not int or size not in offered_sizes(morph.native, morph.frames.shape[1]):
            raise UserError("The size must be one of those that were offered.")
        return morph, rows, size


def _uri(morph: Morph, row: int, picture: np.ndarray) -> str:
    """A frame (S, S, 3): exact where it is a photo itself."""
    return picture_uri(picture) if row in morph.stops else photo_uri(picture)
