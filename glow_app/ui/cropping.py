"""Changing the crop of a photo: what the card's button and the editor's dialog do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from glow_app.common.errors import UserError
from glow_app.pictures import faces
from glow_app.pictures.crop import Crop
from glow_app.pictures.opening import open_picture
from glow_app.ui.components import crop_value
from glow_app.ui.downloads import field
from glow_app.ui.errors import in_words
from glow_app.ui.events import LIGHT, settle
from glow_app.ui.page_faces import PageFace, photo_face

if TYPE_CHECKING:
    from PIL import Image

    from glow_app.ui.pair import FaceHolder

__all__ = ["wire_crop"]

_MOST = 8  # faces to choose from


def wire_crop(holder: FaceHolder) -> None:
    """Add the events ``crop`` of the cards and ``use`` of the editor, all of them rendered."""

    @in_words
    def edit(side: PageFace | None) -> dict[str, Any]:
        """The whole photo, its faces and its crop, for the editor."""
        side, photo = _photo(side)
        found = faces.find_faces(photo) if faces.available() else []
        return crop_value(
            photo, side.prepared.place.crop, [Crop.of_face(f) for f in found[:_MOST]]
        )

    @in_words
    def use(side: PageFace | None, event: gr.EventData) -> list[Any]:
        """The same photo, cut out as the editor says."""
        side, photo = _photo(side)
        crop = Crop.read(field(event, "crop"), photo.size)
        return holder.values(photo_face(holder.editor, side.photo, side.source, crop))

    selector = f'.card[data-name="{holder.name}"]'
    for card in holder.cards.values():
        settle(card.crop(edit, holder.state, holder.cropper, **LIGHT), selector)
    done = holder.cropper.use(use, holder.state, holder.outputs, **LIGHT)
    settle(done, f'.cropper[data-name="{holder.name}"]')


def _photo(side: PageFace | None) -> tuple[PageFace, Image.Image]:
    """A face that has a photo, and the photo."""
    if side is None or side.photo is None or side.prepared is None:
        raise UserError("This face has no photo whose crop could be changed.")
    if not side.photo.is_file():
        raise UserError("The photo is no longer here: choose it again.")
    return side, open_picture(side.photo)
