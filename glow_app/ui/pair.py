"""Photo A and photo B, which all tabs share: a face chosen in one tab is there in the others."""

from __future__ import annotations

import itertools
from typing import Any

import gradio as gr

from glow_app.editing.editor import Editor
from glow_app.faces.face import Face
from glow_app.ui import limits
from glow_app.ui.components import card_value, crop_editor, photo_card
from glow_app.ui.cropping import wire_crop
from glow_app.ui.downloads import field
from glow_app.ui.errors import in_words
from glow_app.ui.events import LIGHT, QUIET, STATE_SECONDS, settle
from glow_app.ui.page_faces import drawn_face, photo_face
from glow_app.ui.uploads import uploaded_file

__all__ = ["FaceHolder", "Pair"]

_turns = itertools.count(1)


class FaceHolder:
    """One face of the page: its state, and a card for it in each place that shows it.

    Args:
        name: as for `components.photo_card`.
        cards: elem_id of each of its cards; a tab puts its own where it belongs with
            ``holder.cards[elem_id].render()``.
        tag: as for `components.photo_card`.
    """

    def __init__(
        self, editor: Editor, name: str, cards: tuple[str, ...], tag: str | None = None
    ) -> None:
        self.editor = editor
        self.name = name
        self.state = gr.State(None, time_to_live=STATE_SECONDS)
        self.turn = gr.State(0, time_to_live=STATE_SECONDS)  # grows each time the face is set
        self.cards = {
            elem_id: photo_card(
                name, tag, elem_id=elem_id, elem_classes=["photo-card"], render=False
            )
            for elem_id in cards
        }
        self.cropper = crop_editor(name, f"photo {name}", elem_id=f"crop-{cards[0]}", render=False)

    @property
    def outputs(self) -> list[Any]:
        """The components that an event which changes the face must set."""
        return [self.state, self.turn, *self.cards.values()]

    def values(self, side: Face | None) -> list[Any]:
        """What to set ``outputs`` to."""
        look = None if side is None else self.editor.model.looks.of(side)
        shown = card_value(side, look, self.editor.model.facts)
        return [side, next(_turns), *[shown for _ in self.cards]]

    def wire(self, temperature: gr.Slider) -> None:
        """Add the events of the cards, once all of them are rendered."""

        @in_words
        def photo(event: gr.EventData) -> list[Any]:
            """A photo was chosen: show the crop that the model sees, and its reading."""
            return self.values(photo_face(self.editor, uploaded_file(field(event, "path"))))

        @in_words
        def draw(temperature: float, event: gr.EventData) -> list[Any]:
            """Draw a random face by seed."""
            seed = limits.seed(field(event, "seed"))
            return self.values(drawn_face(self.editor, seed, limits.temperature(temperature)))

        for elem_id, card in self.cards.items():
            chosen = card.photo(photo, None, self.outputs, trigger_mode="multiple", **LIGHT)
            drawn = card.draw(draw, temperature, self.outputs, **LIGHT)
            for event, name in ((chosen, "photo"), (drawn, "draw")):
                settle(event, f"#{elem_id} .card", name)
            card.remove(lambda: self.values(None), None, self.outputs, **QUIET)
        self.cropper.render()
        wire_crop(self)


class Pair:
    """Photo A and photo B."""

    def __init__(self, editor: Editor) -> None:
        self.a = FaceHolder(editor, "A", ("photo-a", "mix-photo-a"))
        self.b = FaceHolder(editor, "B", ("photo-b", "mix-photo-b"))

    @property
    def states(self) -> list[gr.State]:
        """Of A and B."""
        return [self.a.state, self.b.state]

    @property
    def outputs(self) -> list[Any]:
        """The components that an event which changes both faces must set."""
        return [*self.a.outputs, *self.b.outputs]

    def values(self, a: Face | None, b: Face | None) -> list[Any]:
        """What to set ``outputs`` to."""
        return [*self.a.values(a), *self.b.values(b)]

    def wire(self, temperature: gr.Slider) -> None:
        """Add the events of all cards."""
        self.a.wire(temperature)
        self.b.wire(temperature)
