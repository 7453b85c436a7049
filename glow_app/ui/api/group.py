"""What groups of endpoints share: photos in, files out, and the components that describe both."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy as np

from glow_app.common.errors import UserError
from glow_app.editing.editor import Editor
from glow_app.keeping.recipes import Recipe
from glow_app.keeping.sheets import save_still
from glow_app.pictures.prepare import Prepared
from glow_app.ui import limits
from glow_app.ui.errors import in_words
from glow_app.ui.events import HEAVY
from glow_app.ui.saving import written
from glow_app.ui.welcome import TEMPERATURE

__all__ = ["Group", "endpoint", "file", "number", "size", "still", "temperature"]


class Group:
    """Endpoints that belong together."""

    def __init__(self, editor: Editor) -> None:
        self.editor = editor

    def build(self) -> None:
        """Add the endpoints, see :func:`endpoint`."""
        raise NotImplementedError

    def prepared(self, **photos: str | None) -> list[Prepared]:
        """The photos by the names of their arguments; none may be missing."""
        missing = [name for name, photo in photos.items() if not photo]
        if missing:
            many = "two photos" if len(photos) > 1 else "a photo"
            raise UserError(f"This needs {many}: {missing[0]} is missing.")
        return [self.editor.prepare(photo) for photo in photos.values()]

    def several(self, photos: list[str] | None, low: int, high: int) -> list[Prepared]:
        """The list of photos, `low` to `high` of them."""
        if not isinstance(photos, list) or not low <= len(photos) <= high:
            raise UserError(f"photos must be {low} to {high} photos.")
        return [self.editor.prepare(photo) for photo in photos]

    def recipe(self, kind: str, **settings: Any) -> Recipe:
        """What a file made here says of itself."""
        return Recipe.of(self.editor, kind, **settings)


def still(pixels: np.ndarray, recipe: Recipe) -> str:
    """The file of one picture."""
    return str(written(recipe, save_still, pixels))


# ---- components: never shown, endpoints take their names, types and defaults from them ----------


def endpoint(handler: Callable[..., Any], inputs: list[Any], out: Any) -> None:
    """Add ``handler`` under its name, with its docstring as the description."""
    gr.Button().click(
        in_words(handler),
        inputs,
        out,
        api_name=handler.__name__,
        api_description=inspect.getdoc(handler),
        **HEAVY,
    )


def number(value: float | None, label: str) -> gr.Number:
    """A number that leaves checking to our handlers, whose refusals are sentences."""
    component = gr.Number(value, label=label)
    component.preprocess = lambda payload: payload  # a subclass would need its own frontend
    return component


def file(label: str, many: bool = False) -> gr.File:
    """A file; unlike ``gr.Image`` it reaches our one door for pictures untouched."""
    component = gr.File(label=label, type="filepath", file_count="multiple" if many else "single")
    one = {"path": "face.jpg", "url": "face.jpg", "meta": {"_type": "gradio.FileData"}}
    component.example_payload = lambda: [one, one] if many else one
    return component


def size() -> gr.Number:
    """Of what is written."""
    bounds = f"{limits.MIN_SIZE} to {limits.MAX_SIZE}"
    return number(256, f'size in pixels, {bounds}, or "native": as sharp as the photos')


def temperature() -> gr.Number:
    """Of drawn faces."""
    return number(TEMPERATURE, "temperature, 0 to 1.5")
