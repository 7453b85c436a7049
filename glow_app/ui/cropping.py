"""Changing the crop of a photo: what the card's button and the editor's dialog do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from glow_app.common.errors import UserError
from glow_app.faces import finder
from glow_app.faces.alignment import Square
from glow_app.faces.face import Face
from glow_app.faces.opening import open_picture
from glow_app.ui.components import crop_value
from glow_app.ui.downloads import field
from glow_app.ui.errors import in_words
from glow_app.ui.events import LIGHT, settle
from glow_app.ui.page_faces import photo_face

if TYPE_CHECKING:
    from PIL import Image

    from glow_app.editing.editor import Editor
    from glow_app.ui.pair import FaceHolder

__all__ = ["cut_anew", "to_change", "wire_crop"]

_MOST = 8  # faces to choose from


def to_change(side: Face | None, face: int | None = None) -> dict[str, Any]:
    """The whole photo of a face, all faces on it and its crop, for the editor.

    Args:
        face: as for `components.crop_value`.

    Raises:
        UserError: it has no photo, or that is gone.
    """
    side, photo = _photo(side)
    found = finder.find_faces(photo) if finder.available() else []
    crops = [one.square for one in found[:_MOST]]
    return crop_value(photo, side.square, crops, face)


def cut_anew(editor: Editor, side: Face | None, event: gr.EventData) -> Face:
    """The face cut out of the same photo as the editor's event says. Raises as `to_change`."""
    side, photo = _photo(side)
    crop = Square.read(field(event, "crop"), photo.size)
    return photo_face(editor, side.photo, side.source, crop)


def wire_crop(holder: FaceHolder) -> None:
    """Add the events ``crop`` of the cards and ``use`` of the editor, all of them rendered."""

    @in_words
    def edit(side: Face | None) -> dict[str, Any]:
        return to_change(side)

    @in_words
    def use(side: Face | None, event: gr.EventData) -> list[Any]:
        return holder.values(cut_anew(holder.editor, side, event))

    for elem_id, card in holder.cards.items():
        asked = card.crop(edit, holder.state, holder.cropper, **LIGHT)
        settle(asked, f"#{elem_id} .card", "crop")
    done = holder.cropper.use(use, holder.state, holder.outputs, **LIGHT)
    settle(done, f'.cropper[data-name="{holder.name}"]', "use")


def _photo(side: Face | None) -> tuple[Face, Image.Image]:
    """A face that has a photo, and the photo."""
    if side is None or side.photo is None or side.square is None:
        raise UserError("This face has no photo whose crop could be changed.")
    if not side.photo.is_file():
        raise UserError("The photo is no longer here: choose it again.")
    return side, open_picture(side.photo)
