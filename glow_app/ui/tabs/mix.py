"""The mix tab: coarse structure of one face with the fine detail of another, scale by scale."""

from __future__ import annotations

from typing import Any

import gradio as gr

from glow_app.editing import paths
from glow_app.editing.editor import Editor, Still
from glow_app.export.recipes import Origin, Recipe
from glow_app.faces.face import Face
from glow_app.ui.components.pictures import Setting, live_picture, live_value
from glow_app.ui.context import PageContext, pair_examples
from glow_app.ui.downloads import wire_live
from glow_app.ui.events import event_handler, visitor_state
from glow_app.ui.on_demand import Scene, Slider

SHAPE_ID = "shape"  # of the slider of the shape


def build_mix_tab(context: PageContext) -> gr.State:
    """Add the tab's components and events to the page, whose context is open; return a state that
    takes a `Setting` for the sliders."""
    pair = context.pair
    scene = visitor_state()
    setting = visitor_state()
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
        scene = MixScene.of(context.editor, a, b)
        shortcuts = _shortcuts(scene)
        return scene, live_value(context.scenes, scene, shortcuts=shortcuts, setting=setting)

    wire_live(context, screen, scene, "A mix of two faces", follow, [*pair.states, setting])
    return setting


def level_id(level: int) -> str:
    return f"level-{level}"


class MixScene(Scene):
    """A and B mixed scale by scale: a weight for each level, finest first, and where both faces
    have landmarks the shape to which both are warped first, from A's (0) to B's (1)."""

    @classmethod
    def of(cls, editor: Editor, a: Face, b: Face) -> MixScene:
        """Return the scene of two faces; at first the finer half of the levels comes from B."""
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
        if editor.have_landmarks(a, b):
            detail = "both are warped to it"
            sliders.append(
                Slider(
                    SHAPE_ID, "Shape of the face", detail=detail, low="A", high="B", percent=True
                )
            )
        return cls(editor, (a, b), tuple(sliders))

    @property
    def levels(self) -> int:
        return len(self.editor.model.level_shapes)

    def render(self, values: list[float]) -> Still:
        (a, b), (weights, shape) = self.faces, self._parts(values)
        return self.editor.mix(a, b, weights, shape)

    def recipe(self, values: list[float], **more: Any) -> Recipe:
        weights, shape = self._parts(values)
        faces = [Origin.of(face) for face in self.faces]
        return Recipe.of(self.editor, "mix", faces, weights=tuple(weights), shape=shape, **more)

    def _parts(self, values: list[float]) -> tuple[list[float], float | None]:
        return values[: self.levels], values[-1] if len(values) > self.levels else None


def _shortcuts(scene: MixScene) -> list[dict[str, Any]]:
    """Return buttons that take so many of the finest levels from B, and the rest from A."""
    count, shaped = scene.levels, len(scene.sliders) > scene.levels
    return [
        {
            "label": {0: "All A", count: "All B"}.get(cut, str(cut)),
            "title": {0: "Everything from A", count: "Everything from B"}.get(
                cut, f"The {cut} finest levels from B, the rest from A"
            ),
            # All B is B itself, in its own shape.
            "values": (*paths.coarse_fine(count, cut), *[float(cut == count)] * shaped),
        }
        for cut in range(count + 1)
    ]
