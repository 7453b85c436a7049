"""What all tabs of the page share: photo A and photo B, the face to edit, and who serves them.

A face chosen in one tab is there in the others.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from glow_app.common.errors import UserError
from glow_app.editing.editor import Editor
from glow_app.faces import finder
from glow_app.faces.alignment import Square
from glow_app.faces.face import Face
from glow_app.faces.opening import open_picture
from glow_app.ui import limits
from glow_app.ui.components.faces import (
    card_value,
    crop_editor,
    crop_value,
    example_row,
    photo_card,
)
from glow_app.ui.events import LIGHT, QUIET, connect, event_handler, field, visitor_state
from glow_app.ui.on_demand import FullFrames, Scenes
from glow_app.ui.page_faces import OpeningMorph, drawn_face, photo_face
from glow_app.ui.visitors import uploaded_file

_MOST_FOUND = 8  # faces of a photo to choose from
_turns = itertools.count(1)


@dataclass(frozen=True)
class PageContext:
    """The things that all tabs of one page share; the page's context must be open."""

    editor: Editor  # the model
    opening: OpeningMorph  # what a visitor sees first, and the example faces
    scenes: Scenes  # pictures that follow their sliders
    full_frames: FullFrames  # frames that players ask for at full size
    pair: Pair  # photo A and photo B
    edited: FaceHolder  # the face on the edit tab
    downloads: gr.HTML  # saves the file that it is given


# ---- faces --------------------------------------------------------------------------------------


class FaceHolder:
    """One face of the page: its state, and a card for it in each place that shows it.

    ``name`` and ``tag`` are those of `photo_card`, ``cards`` the elem_id of each card, which a tab
    puts where it belongs with ``holder.cards[elem_id].render()``.
    """

    def __init__(
        self, editor: Editor, name: str, cards: tuple[str, ...], tag: str | None = None
    ) -> None:
        self.editor = editor
        self.name = name
        self.state = visitor_state()
        self.turn = visitor_state(0)  # grows each time the face is set
        look = {"elem_classes": ["photo-card"], "render": False}
        self.cards = {one: photo_card(name, tag, elem_id=one, **look) for one in cards}
        self.cropper = crop_editor(name, f"photo {name}", elem_id=f"crop-{cards[0]}", render=False)

    @property
    def outputs(self) -> list[Any]:
        """The components that an event which changes the face must set."""
        return [self.state, self.turn, *self.cards.values()]

    def values(self, face: Face | None) -> list[Any]:
        """Return the values that `outputs` get for a face, or for none."""
        shown = None if face is None else card_value(self.editor, face)
        return [face, next(_turns), *[shown for _ in self.cards]]

    def wire(self, temperature: gr.Slider) -> None:
        """Add the events of the cards and of the crop editor, once all cards are rendered;
        ``temperature`` is that of random faces."""

        @event_handler
        def photo(event: gr.EventData) -> list[Any]:
            return self.values(photo_face(self.editor, uploaded_file(field(event, "path"))))

        @event_handler
        def draw(temperature: float, event: gr.EventData) -> list[Any]:
            seed = limits.seed(field(event, "seed"))
            return self.values(drawn_face(self.editor, seed, limits.temperature(temperature)))

        @event_handler
        def use(face: Face | None, event: gr.EventData) -> list[Any]:
            return self.values(crop_again(self.editor, face, event))

        self.cropper.render()
        for elem_id, card in self.cards.items():
            connect(
                card,
                f"#{elem_id} .card",
                photo=(photo, None, self.outputs, {"trigger_mode": "multiple", **LIGHT}),
                draw=(draw, temperature, self.outputs, LIGHT),
                crop=(event_handler(crop_choices), self.state, self.cropper, LIGHT),
            )
            card.remove(lambda: self.values(None), None, self.outputs, **QUIET)
        cropper = f'.cropper[data-name="{self.name}"]'
        connect(self.cropper, cropper, use=(use, self.state, self.outputs, LIGHT))


class Pair:
    """Photo A and photo B, as two `FaceHolder`."""

    def __init__(self, editor: Editor) -> None:
        self.a = FaceHolder(editor, "A", ("photo-a", "mix-photo-a"))
        self.b = FaceHolder(editor, "B", ("photo-b", "mix-photo-b"))

    @property
    def states(self) -> list[gr.State]:
        return [self.a.state, self.b.state]

    @property
    def outputs(self) -> list[Any]:
        return [*self.a.outputs, *self.b.outputs]

    def values(self, a: Face | None, b: Face | None) -> list[Any]:
        return [*self.a.values(a), *self.b.values(b)]

    def values_at(self, to: Any, face: Face) -> list[Any]:
        """Return the values that `outputs` get where ``face`` becomes photo ``"a"`` or ``"b"``."""
        keep = [gr.skip() for _ in self.a.outputs]  # B has as many
        if limits.one_of(to, "Where to use it", ("a", "b")) == "a":
            return [*self.a.values(face), *keep]
        return [*keep, *self.b.values(face)]

    def wire(self, temperature: gr.Slider) -> None:
        self.a.wire(temperature)
        self.b.wire(temperature)


def choice(labels: Mapping[str, str], **kwargs: Any) -> gr.Radio:
    """Make radio buttons of ``{value: label}``; the first is chosen."""
    return gr.Radio(
        [(label, value) for value, label in labels.items()], value=next(iter(labels)), **kwargs
    )


# ---- the crop of a photo ------------------------------------------------------------------------


def crop_choices(face: Face | None, number: int | None = None) -> dict[str, Any]:
    """Return the whole photo of a face, all faces on it and its crop, for the crop editor;
    ``number`` is ``face`` of `components.faces.crop_value`."""
    _, file, crop = _photographed(face)
    photo = open_picture(file)
    found = finder.find_faces(photo) if finder.available() else []
    crops = [one.square for one in found[:_MOST_FOUND]]
    return crop_value(photo, crop, crops, number)


def crop_again(editor: Editor, face: Face | None, event: gr.EventData) -> Face:
    """Return the face cut out of the same photo as the crop editor's event says."""
    face, file, _ = _photographed(face)
    crop = Square.read(field(event, "crop"), open_picture(file).size)
    return photo_face(editor, file, face.source, crop)


def _photographed(face: Face | None) -> tuple[Face, Path, Square]:
    """Return a face, its photo and its crop. Raises UserError: it has none, or that is gone."""
    if face is None or face.photo is None or face.square is None:
        raise UserError("This face has no photo whose crop could be changed.")
    if not face.photo.is_file():
        raise UserError("The photo is no longer here: choose it again.")
    return face, face.photo, face.square


# ---- try an example -----------------------------------------------------------------------------


def try_example(
    context: PageContext,
    elem_id: str,
    use: Callable[..., list[Any]],
    inputs: list[Any],
    outputs: list[Any],
) -> None:
    """Add a row of example faces; ``use`` gets the chosen one and the values of ``inputs``, and
    returns those of ``outputs``."""
    examples = context.opening.examples
    row = example_row(examples.files, elem_id=elem_id, elem_classes=["examples-area"])
    if not examples.files:
        return

    @event_handler
    def pick(event: gr.EventData, *values: Any) -> list[Any]:
        last = len(examples.files) - 1
        index = limits.whole(field(event, "index"), "The example's number", 0, last)
        return use(examples.face(index), *values)

    connect(row, f"#{elem_id} .examples", pick=(pick, inputs, outputs, LIGHT))


def pair_examples(context: PageContext, elem_id: str) -> None:
    """Add a row whose faces become photo A or B, whichever is empty or was set longest ago."""
    pair = context.pair

    def use(face: Face, a: Any, b: Any, turn_a: int | None, turn_b: int | None) -> list[Any]:
        to_a = a is None or (b is not None and (turn_a or 0) <= (turn_b or 0))
        return pair.values_at("a" if to_a else "b", face)

    try_example(context, elem_id, use, [*pair.states, pair.a.turn, pair.b.turn], pair.outputs)
