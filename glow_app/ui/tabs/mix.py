"""The mix tab: coarse structure of one face with the fine detail of another, scale by scale."""

from __future__ import annotations

from typing import Any

import gradio as gr

from glow_app.editing import paths
from glow_app.faces.face import Face
from glow_app.ui.components.pictures import Setting, Slider, live_picture, live_value
from glow_app.ui.context import PageContext, pair_examples
from glow_app.ui.downloads import wire_live
from glow_app.ui.events import QUIET, STATE_SECONDS, event_handler
from glow_app.ui.on_demand import MixScene

SHAPE_ID = "shape"  # of the slider of the shape

_SOURCE = "A mix of two faces"


def build_mix_tab(context: PageContext) -> gr.State:
    """Add the tab's components and events to the page, whose context is open; return a state that
    takes a `Setting` for the sliders."""
    pair = context.pair
    scene = gr.State(None, time_to_live=STATE_SECONDS)
    setting = gr.State(None, time_to_live=STATE_SECONDS)
    with gr.Column(elem_classes=["stage", "stage-pair", "brief"]):
        pair_examples(context, "mix-examples")
        pair.a.cards["mix-photo-a"].render()
        pair.b.cards["mix-photo-b"].render()
        screen = live_picture(context.scenes, "mix", context.editor.image_size)

    @event_handler
    def follow(a: Face | None, b: Face | None, setting: Setting | None) -> tuple[Any, Any]:
        """Mix the new pair when a face has changed; the sliders keep their places."""
        if a is None or b is None:
            return None, None
        shaped = context.editor.have_landmarks(a, b)
        scene = MixScene(a, b, len(context.editor.model.level_shapes), shaped)
        return scene, _value(context, scene, setting)

    gr.on(
        [state.change for state in (*pair.states, setting)],
        follow,
        [*pair.states, setting],
        [scene, screen],
        trigger_mode="always_last",
        **QUIET,
    )
    wire_live(context, screen, scene, _SOURCE)
    return setting


def level_id(level: int) -> str:
    return f"level-{level}"


def _value(context: PageContext, scene: MixScene, setting: Setting | None) -> dict[str, Any]:
    """Return the value of the picture: at first the finer half of the levels comes from B."""
    editor = context.editor
    shapes = editor.model.level_shapes
    count = len(shapes)
    first = paths.coarse_fine(count, count // 2)
    names = {0: "Finest detail", count - 1: "Coarse structure"}
    sliders = [
        Slider(
            level_id(level),
            names.get(level, f"Level {level + 1}"),
            first=first[level],
            detail=f"level {level + 1}, " * (level in names) + f"{shape[1]}×{shape[2]}",
            percent=True,
        )
        for level, shape in enumerate(shapes)
    ]
    if scene.shaped:
        words = {"detail": "both are warped to it", "low": "A", "high": "B"}
        sliders.append(Slider(SHAPE_ID, "Shape of the face", percent=True, **words))
    shortcuts = [
        {
            "label": {0: "All A", count: "All B"}.get(cut, str(cut)),
            "title": {0: "Everything from A", count: "Everything from B"}.get(
                cut, f"The {cut} finest levels from B, the rest from A"
            ),
            # All B is B itself, in its own shape.
            "values": (*paths.coarse_fine(count, cut), *[float(cut == count)] * scene.shaped),
        }
        for cut in range(count + 1)
    ]
    return live_value(
        context.scenes, scene, editor.image_size, sliders, shortcuts=shortcuts, setting=setting
    )
