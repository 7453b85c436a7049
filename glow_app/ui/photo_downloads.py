"""*Put it back*: the face of a player or a live picture, blended into its whole photo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from glow_app.common.errors import UserError
from glow_app.export.sheets import save_photo
from glow_app.faces.face import Face
from glow_app.faces.put_back import put_back
from glow_app.ui import limits
from glow_app.ui.components import download_value
from glow_app.ui.downloads import field
from glow_app.ui.morphs import Result
from glow_app.ui.scenes import EditScene, MixScene
from glow_app.ui.uploads import outgoing

if TYPE_CHECKING:
    from glow_app.editing.editor import Editor

__all__ = ["put_result", "put_scene"]

_GONE = "The photo is no longer here: choose it again."


def put_result(editor: Editor, shown: Result | None, event: gr.EventData) -> dict[str, Any]:
    """Write a photo with the face that a player shows, as its ``put`` event asks.

    Raises:
        UserError: nothing is shown, the event is not sensible, or the photo is gone.
    """
    if shown is None:
        raise UserError("There is no face yet: make something first.")
    side, kind = _asked(shown.faces, event)
    most = len(shown.morph.frames)
    place = limits.between(field(event, "place"), "The place of the frame", 0, most)
    morph, row = shown.at(editor, place)
    face = morph.enlarged(side.native, [row])[0]
    name = shown.recipe(editor, t=float(morph.t[row])).file_name(f"-in-photo.{kind}")
    return _written(side, face, morph.points[row].shape, name)


def put_scene(
    editor: Editor, scene: MixScene | EditScene, values: list[float], event: gr.EventData
) -> dict[str, Any]:
    """Write a photo with the face of a live picture, as its ``put`` event asks.

    Raises:
        UserError: as `put_result`.
    """
    side, kind = _asked(scene.faces, event)
    still = scene.render(editor, values)
    name = scene.recipe(editor, values).file_name(f"-in-photo.{kind}")
    return _written(side, still.at(side.native), still.shape, name)


def _asked(faces: tuple[Face, ...], event: gr.EventData) -> tuple[Face, str]:
    """Whose photo, and the format."""
    which = limits.whole(field(event, "face"), "The face's number", 0, len(faces) - 1)
    side = faces[which]
    if side.photo is None or side.square is None:
        raise UserError("This face was made here: there is no photo to put it into.")
    if not side.photo.is_file():
        raise UserError(_GONE)
    return side, limits.one_of(field(event, "kind"), "The format", ("jpg", "png"))


def _written(side: Face, face: np.ndarray, shape: np.ndarray | None, name: str) -> dict[str, Any]:
    """The whole photo with this face in it, for the browser to save."""
    try:
        whole = put_back(side.photo, side, face, shape)
    except UserError as error:
        if not side.photo.is_file():  # it went just now
            raise UserError(_GONE) from error
        raise
    return download_value(save_photo(whole, outgoing(name)))
