"""What can be done with a live picture: save it, or use it as photo A or B."""

from __future__ import annotations

from typing import Any

import gradio as gr

from glow_app.common.errors import UserError
from glow_app.export.sheets import save_still
from glow_app.faces.face import Face
from glow_app.ui import limits
from glow_app.ui.components import download_value
from glow_app.ui.downloads import field, written
from glow_app.ui.errors import in_words
from glow_app.ui.events import LIGHT, QUIET, settle, tell
from glow_app.ui.page_context import PageContext
from glow_app.ui.page_faces import still_face
from glow_app.ui.photo_downloads import put_scene
from glow_app.ui.scenes import EditScene, MixScene

__all__ = ["set_pair", "used", "wire_live"]


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

    def asked(
        scene: MixScene | EditScene | None, event: gr.EventData
    ) -> tuple[MixScene | EditScene, list[float]]:
        if scene is None:
            raise UserError("There is no picture yet: choose a face first.")
        return scene, scene.check(field(event, "values"))

    @in_words
    def save(scene: MixScene | EditScene | None, event: gr.EventData) -> dict[str, Any]:
        scene, values = asked(scene, event)
        size = limits.download_size(field(event, "size"))
        recipe = scene.recipe(editor, values, size=size)
        picture = scene.render(editor, values).at(size)
        return download_value(written(recipe, save_still, picture))

    @in_words
    def use(scene: MixScene | EditScene | None, event: gr.EventData) -> list[Any]:
        scene, values = asked(scene, event)
        side = still_face(editor, scene.render(editor, values), source)
        return set_pair(context, side, field(event, "to"))

    @in_words
    def put(scene: MixScene | EditScene | None, event: gr.EventData) -> dict[str, Any]:
        return put_scene(editor, *asked(scene, event), event)

    for event, handler, name in ((screen.save, save, "save"), (screen.put, put, "put")):
        done = event(handler, scene_state, context.downloads, concurrency_limit=2, **QUIET)
        settle(done, selector, name)
    used(screen.use(use, scene_state, context.pair.outputs, **LIGHT), selector, "use")


def set_pair(context: PageContext, side: Face, to: Any) -> list[Any]:
    """Values for the pair's outputs that make ``side`` photo ``"a"`` or ``"b"``."""
    limits.one_of(to, "Where to use it", ("a", "b"))
    a, b = context.pair.a, context.pair.b
    if to == "a":
        return [*a.values(side), *[gr.skip() for _ in b.outputs]]
    return [*[gr.skip() for _ in a.outputs], *b.values(side)]


def used(event: Any, selector: str, name: str) -> None:
    """Tell a component in the browser that its face is photo A or B now, or that it failed."""
    tell(event.success, selector, "used", name)
    tell(event.failure, selector, "settle", name)
