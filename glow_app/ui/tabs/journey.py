"""The journey tab: a morph through two to eight faces, open or round and round."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from glow_app.common.errors import UserError
from glow_app.editing.paths import JOURNEYS
from glow_app.faces.face import Face
from glow_app.ui import limits
from glow_app.ui.components.faces import crop_editor, journey_faces, journey_faces_value
from glow_app.ui.components.pictures import player, player_value
from glow_app.ui.context import PageContext, choice, crop_again, crop_choices, try_example
from glow_app.ui.downloads import wire_player
from glow_app.ui.events import (
    HEAVY,
    JOBS,
    LIGHT,
    LONG,
    connect,
    each_of,
    event_handler,
    field,
    files_of,
    notify_ended,
    visitor_state,
)
from glow_app.ui.page_faces import TEMPERATURE, Result, drawn_face, photo_face
from glow_app.ui.tabs.morph import WAY_LABELS, morph_options, player_steps

_PATH_LABELS = {"cubic": "Smooth curve", "linear": "Straight legs", "spherical": "Arcs"}
_GROUND_LABELS = {
    "switch": "Change over half way",
    "a": "Keep the first face's",
    "b": "Take the second's",
}
_WORDS: dict[str, dict[str, Any]] = {  # of each option
    "path": {
        "label": "Path",
        "info": "The smooth curve turns softly at every face; straight legs have corners.",
    },
    "loop": {
        "label": "Closed loop",
        "info": "From the last face back to the first, without a jump.",
    },
    "leg": {"label": "Frames from face to face"},
    "steady": {
        "label": "Even speed",
        "info": "The same change of the picture from frame to frame. Takes twice as long.",
    },
    "way": {"label": "What the frames are made of"},
    "ground": {"label": "Hair, clothes and background of each leg"},
}
_FULL = f"A journey has room for {limits.MAX_FACES} faces: remove one first."
_ids = itertools.count(1)


Stop = tuple[int, Face]  # a face of a journey; the number tells the browser's tiles apart


def new_stop(face: Face) -> Stop:
    return next(_ids), face


@dataclass(frozen=True)
class JourneyTab:
    """The components of this tab that other parts of the page need."""

    stops: gr.State  # tuple of Stop
    faces: gr.HTML  # the list of them
    options: list[Any]  # path, loop, frames of a leg, even speed, way, ground

    @property
    def outputs(self) -> list[Any]:
        """The components that an event which changes the faces must set."""
        return [self.stops, self.faces]

    @staticmethod
    def values(stops: tuple[Stop, ...]) -> list[Any]:
        """Return the values that `outputs` get for these stops."""
        if len(stops) > limits.MAX_FACES:
            raise UserError(_FULL)
        return [stops, journey_faces_value(list(stops))]


def build_journey_tab(context: PageContext) -> JourneyTab:
    """Add the tab's components and events to the page, whose context is open."""
    stops = visitor_state(())
    fresh = visitor_state(())  # photos that are to join
    shown = visitor_state()
    with gr.Column(elem_classes=["stage", "stage-journey"]):
        faces = journey_faces(elem_id="faces", elem_classes=["faces-area"])
        cropper = crop_editor("journey", "a photo of the journey", elem_id="crop-journey")
        try_example(
            context,
            "journey-examples",
            lambda face, stops: JourneyTab.values((*stops, new_stop(face))),
            [stops],
            [stops, faces],
        )
        screen = player(context.full_frames, "journey", context.editor.image_size, "journey")
        with gr.Column(elem_classes=["side-area"]):
            go = gr.Button("Make the journey", variant="primary", elem_classes=["primary-action"])
            path = choice(_PATH_LABELS, **_WORDS["path"], elem_id="journey-path")
            loop = gr.Checkbox(True, **_WORDS["loop"])
            leg = gr.Slider(5, 33, limits.LEG_FRAMES, step=4, **_WORDS["leg"], elem_id="leg")
            steady = gr.Checkbox(False, **_WORDS["steady"])
            way = choice(WAY_LABELS, **_WORDS["way"], elem_id="journey-way")
            ground = choice(_GROUND_LABELS, **_WORDS["ground"], elem_id="journey-ground")

    tab = JourneyTab(stops, faces, [path, loop, leg, steady, way, ground])
    handlers = _Handlers(context)
    connect(
        faces,
        "#faces .face-list",
        draw=(handlers.draw, stops, tab.outputs, LIGHT),
        pair=(handlers.pair, [stops, *context.pair.states], tab.outputs, LIGHT),
        arrange=(handlers.arrange, stops, tab.outputs, LIGHT),
        crop=(handlers.crop, stops, cropper, LIGHT),
    )
    # Two events: while photos are prepared, which takes long, others may join.
    photos = faces.photos(handlers.prepare, stops, fresh, **LONG)
    joined = photos.success(handlers.join, [stops, fresh], [*tab.outputs, fresh], **LIGHT)
    notify_ended(joined, "#faces .face-list", "photos", first=photos)
    connect(cropper, "#crop-journey .cropper", use=(handlers.use_crop, stops, tab.outputs, LIGHT))
    press = go.click(handlers.make, [stops, *tab.options, shown], [screen, shown], **HEAVY)
    notify_ended(press, "#journey .player", "make")
    wire_player(context, screen, shown)
    return tab


class _Handlers:
    def __init__(self, context: PageContext) -> None:
        self.context = context
        self.editor = context.editor

    @event_handler
    def prepare(self, stops: tuple[Stop, ...], event: gr.EventData) -> tuple[Stop, ...]:
        """Find the faces of added photos; those found when it is stopped stay."""
        room = limits.MAX_FACES - len(stops)
        if not room:
            raise UserError(_FULL)
        paths = files_of(event, room, f"more {'face fits' if room == 1 else 'faces fit'} here")
        with JOBS.run(field(event, "job")) as job:
            faces = each_of(paths, partial(photo_face, self.editor), job.progress, partly=True)
        return tuple(new_stop(face) for face in faces)

    @event_handler
    def join(self, stops: tuple[Stop, ...], fresh: tuple[Stop, ...]) -> list[Any]:
        room = limits.MAX_FACES - len(stops)
        if len(fresh) > room:  # others have joined meanwhile
            gr.Warning(f"Others have joined meanwhile: {len(fresh) - room} photos were left out.")
        return [*JourneyTab.values((*stops, *fresh[:room])), ()]

    @event_handler
    def draw(self, stops: tuple[Stop, ...], event: gr.EventData) -> list[Any]:
        side = drawn_face(self.editor, limits.seed(field(event, "seed")), TEMPERATURE)
        return JourneyTab.values((*stops, new_stop(side)))

    @event_handler
    def pair(self, stops: tuple[Stop, ...], a: Face | None, b: Face | None) -> list[Any]:
        if a is None or b is None:
            raise UserError("Choose photo A and photo B on the Morph tab first.")
        return JourneyTab.values((*stops, new_stop(a), new_stop(b)))

    @event_handler
    def arrange(self, stops: tuple[Stop, ...], event: gr.EventData) -> list[Any]:
        known = {stop[0]: stop for stop in stops}
        order = field(event, "order")
        numbers = isinstance(order, list) and all(isinstance(id, int) for id in order)
        if not numbers or len(set(order)) != len(order) or not set(order) <= set(known):
            raise UserError("These faces have changed meanwhile: please try again.")
        return JourneyTab.values(tuple(known[id] for id in order))

    @event_handler
    def crop(self, stops: tuple[Stop, ...], event: gr.EventData) -> dict[str, Any]:
        number, face = _asked(stops, event)
        return crop_choices(face, number)

    @event_handler
    def use_crop(self, stops: tuple[Stop, ...], event: gr.EventData) -> list[Any]:
        stop = _asked(stops, event)
        other = stop[0], crop_again(self.editor, stop[1], event)
        return JourneyTab.values(tuple(other if s is stop else s for s in stops))

    @event_handler
    def make(
        self,
        stops: tuple[Stop, ...],
        path: Any,
        loop: Any,
        leg: Any,
        steady: Any,
        way: Any,
        ground: Any,
        shown: Result | None,
    ) -> Iterator[tuple[Any, Any]]:
        """Decode the journey, and show it moving once."""
        if len(stops) < 2:
            raise UserError("A journey needs at least two faces: add some first.")
        how = morph_options(
            way,
            ground,
            steady,
            kind="journey",
            path=limits.one_of(path, "The path", JOURNEYS),
            loop=bool(loop),
            frames=limits.whole(leg, "Frames from face to face", 2, limits.FRAMES),
        )
        faces = tuple(face for _, face in stops)
        if shown is not None and shown.is_for(faces, how):
            yield player_value(shown, self.context.full_frames, final=True, play=True), gr.skip()
        else:
            yield from player_steps(self.context, "make", faces, how, play=True)


def _asked(stops: tuple[Stop, ...], event: gr.EventData) -> Stop:
    face = field(event, "face")
    for stop in stops:
        if stop[0] == face:
            return stop
    raise UserError("These faces have changed meanwhile: please try again.")
