"""The edit tab: one face, moved along learned directions and towards an average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from glow_app.common.errors import UserError
from glow_app.editing.directions import Direction
from glow_app.editing.editor import Editor, Still
from glow_app.export.recipes import Origin, Recipe
from glow_app.faces.face import Face
from glow_app.ui import limits
from glow_app.ui.components.pictures import Setting, live_picture, live_value
from glow_app.ui.context import PageContext, try_example
from glow_app.ui.downloads import wire_live
from glow_app.ui.events import (
    JOBS,
    LIGHT,
    LONG,
    connect,
    each_of,
    event_handler,
    field,
    files_of,
    visitor_state,
)
from glow_app.ui.on_demand import Scene, Slider

AVERAGE_ID = "average"  # of the slider towards the average
_MAX_DIRECTIONS = 48  # on the page at once
_NONE_YET = (
    "No directions come with this model. Load one that scripts/find_direction.py has learned "
    "for it from two folders of faces, or move towards an average."
)
_ABOUT = (
    "One deviation is how much the training faces differ among themselves. Double-click a slider "
    "to put it back. A direction of your own carries what else differs between its two groups of "
    "pictures; strength 1 is their difference."
)
_PRESETS: dict[str, dict[str, float]] = {
    "Happy": {"smile": 1.6, "eyes wide": -0.4, "brows up": 0.3},
    "Surprised": {"brows up": 1.4, "eyes wide": 1.2},
    "Stern": {"smile": -0.7, "frown": 1.0, "brow slant": 0.8, "brows up": -0.4},
    "Younger": {"age": -12, "eye size": 0.4},
    "Slimmer": {"face width": -1, "jaw": -0.5, "cheekbones": -0.4},
}
_STEPS = {"years": 1.0, "degrees": 0.5}


def build_edit_tab(context: PageContext) -> gr.State:
    """Add the tab's components and events to the page, whose context is open; return a state that
    takes a `Setting` for the sliders."""
    editor = context.editor
    shipped = tuple(editor.directions())
    scene = visitor_state()
    setting = visitor_state()
    loaded = visitor_state(())
    average = visitor_state()  # the average face, or None
    edited = context.edited
    with gr.Column(elem_classes=["stage", "stage-edit", "brief"]):
        try_example(context, "edit-examples", edited.values, [], edited.outputs)
        edited.cards["edit-photo"].render()
        screen = live_picture(context.scenes, "edit", editor.image_size)

    @event_handler
    def follow(face: Face | None, loaded: Any, average: Any, setting: Any) -> tuple[Any, Any]:
        """Edit anew when face, directions or average have changed; sliders keep their places."""
        if face is None:
            return None, None
        scene = EditScene.of(editor, face, (*shipped, *loaded), average)
        value = live_value(
            context.scenes,
            scene,
            shortcuts=_presets(scene),
            compare=True,
            about=_ABOUT if scene.directions else _NONE_YET,
            average=None if average is None else average.pixels,
            setting=setting,
        )
        return scene, value

    @event_handler
    def load(loaded: tuple[Direction, ...], event: gr.EventData) -> tuple[Direction, ...]:
        """Add directions of the visitor's own; one of the same name replaces the other."""
        paths = files_of(event, _MAX_DIRECTIONS - len(shipped), "directions fit on the page")
        fresh = each_of(paths, editor.load_direction)
        names = {direction.name for direction in fresh}
        kept = [direction for direction in loaded if direction.name not in names]
        if len(shipped) + len(kept) + len(fresh) > _MAX_DIRECTIONS:
            raise UserError(f"At most {_MAX_DIRECTIONS} directions fit on the page.")
        return (*kept, *fresh)

    @event_handler
    def take_average(event: gr.EventData) -> Any:
        paths = files_of(event, limits.MAX_AVERAGE, "photos make an average here")
        with JOBS.run(field(event, "job")) as job:
            return editor.average(each_of(paths, editor.prepare, job.progress))

    @event_handler
    def take_expression(face: Face | None, event: gr.EventData) -> Setting:
        """Set the sliders of expression and pose as on another photo."""
        if face is None:
            raise UserError("There is no face to edit yet: choose one first.")
        (like,) = each_of(files_of(event, 1, "photo at a time"), editor.prepare)
        strengths = editor.expression(face, like)
        return Setting({direction_id(d.name): round(s, 2) for d, s in strengths}, keep=True)

    inputs = [edited.state, loaded, average, setting]
    wire_live(context, screen, scene, "An edited face", follow, inputs)
    connect(
        screen,
        "#edit .live",
        directions=(load, loaded, loaded, LIGHT),
        average=(take_average, None, average, LONG),
        expression=(take_expression, edited.state, setting, LIGHT),
    )
    return setting


def direction_id(name: str) -> str:
    return f"direction-{name}"


@dataclass(frozen=True, eq=False)
class EditScene(Scene):
    """A face moved towards an average face (the first value), and along directions."""

    directions: tuple[Direction, ...] = ()
    average: Face | None = None  # of the visitor's photos; None: that of the model

    @classmethod
    def of(
        cls,
        editor: Editor,
        face: Face,
        directions: tuple[Direction, ...] = (),
        average: Face | None = None,
    ) -> EditScene:
        whose = "of your photos" if average is not None else "of the model"
        toward = Slider(AVERAGE_ID, "Towards the average face", detail=whose, percent=True)
        strengths = [
            Slider(
                direction_id(direction.name),
                direction.name.capitalize(),
                min=direction.low,
                max=direction.high,
                step=_STEPS.get(direction.unit, 0.05),
                detail=_truth(direction),
                low=direction.without_words,
                high=direction.with_words,
                weak=_warning(direction),
                group=direction.group,
                unit=direction.unit,
            )
            for direction in directions
        ]
        return cls(editor, (face,), (toward, *strengths), directions, average)

    def render(self, values: list[float]) -> Still:
        toward, *strengths = values
        moves = list(zip(self.directions, strengths, strict=True))
        return self.editor.edit(self.faces[0], moves, toward=toward, average=self.average)

    def recipe(self, values: list[float], **more: Any) -> Recipe:
        toward, *strengths = values
        named = zip(self.directions, strengths, strict=True)
        return Recipe.of(
            self.editor,
            "edit",
            [Origin.of(self.faces[0])],
            toward=toward,
            average="photos" if toward and self.average is not None else "",
            directions=tuple((direction.name, s) for direction, s in named if s),
            **more,
        )


def _presets(scene: EditScene) -> list[dict[str, Any]]:
    """Return the buttons whose sliders are here; each sets some and puts the others back."""
    names = [direction.name for direction in scene.directions]
    return [
        {
            "label": label,
            "title": ", ".join(f"{name} {value:+g}" for name, value in row.items()),
            "values": (0.0, *[row.get(name, 0.0) for name in names]),
        }
        for label, row in _PRESETS.items()
        if set(row) <= set(names)
    ]


def _truth(direction: Direction) -> str:
    """Return what was measured of it, for the label of its slider."""
    if direction.accuracy is not None:
        return f"accuracy {100 * direction.accuracy:.0f} %"
    truth = direction.facts.get("truth", {})
    if "slope" not in truth:
        return ""
    spread = f" ± {truth['spread']:.2f}" if "spread" in truth else ""
    return f"asked 1, measured {truth['slope']:.2f}{spread}"


def _warning(direction: Direction) -> str:
    """Return a warning about a direction that means little; "" for the others."""
    if not direction.weak or direction.accuracy is None:
        return ""
    rate = f"{100 * direction.accuracy:.0f} %"
    return (
        f"Weak: it tells held-out pictures apart only {rate} of the time (chance is 50 %), so "
        "expect it to change other things."
    )
