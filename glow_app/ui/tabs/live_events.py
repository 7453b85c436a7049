"""The events of a live picture in both its tabs: save it, put it back, use it as photo A or B."""

from __future__ import annotations

from typing import Any

import gradio as gr

from glow_app.common.errors import UserError
from glow_app.export.sheets import save_still
from glow_app.ui import limits
from glow_app.ui.components.base import download_value
from glow_app.ui.context import PageContext
from glow_app.ui.downloads import put_scene, written
from glow_app.ui.events import BESIDE, LIGHT, event_handler, field, notify_ended, notify_used
from glow_app.ui.on_demand import Scene
from glow_app.ui.page_faces import still_face

__all__ = ["wire_live"]


def wire_live(
    context: PageContext, screen: gr.HTML, scene_state: gr.State, selector: str, source: str
) -> None:
    """Add the events ``save``, ``use`` and ``put`` of a live picture.

    Args:
        scene_state: holds the scene that it shows.
        selector: finds it in the browser.
        source: what its pictures are called where they are used.
    """
    editor = context.editor

    def asked(scene: Scene | None, event: gr.EventData) -> tuple[Scene, list[float]]:
        if scene is None:
            raise UserError("There is no picture yet: choose a face first.")
        return scene, scene.check(field(event, "values"))

    @event_handler
    def save(scene: Scene | None, event: gr.EventData) -> dict[str, Any]:
        scene, values = asked(scene, event)
        size = limits.download_size(field(event, "size"))
        recipe = scene.recipe(editor, values, size=size)
        picture = scene.render(editor, values).at(size)
        return download_value(written(recipe, save_still, picture))

    @event_handler
    def use(scene: Scene | None, event: gr.EventData) -> list[Any]:
        scene, values = asked(scene, event)
        face = still_face(editor, scene.render(editor, values), source)
        return context.pair.values_at(field(event, "to"), face)

    @event_handler
    def put(scene: Scene | None, event: gr.EventData) -> dict[str, Any]:
        return put_scene(editor, *asked(scene, event), event)

    for event, handler, name in ((screen.save, save, "save"), (screen.put, put, "put")):
        done = event(handler, scene_state, context.downloads, **BESIDE)
        notify_ended(done, selector, name)
    notify_used(screen.use(use, scene_state, context.pair.outputs, **LIGHT), selector, "use")
