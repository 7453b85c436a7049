"""What groups of endpoints share: photos in, files out, and how an endpoint is declared."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import gradio as gr
import numpy as np
from gradio import FileData
from gradio.context import get_blocks_context

from glow_app.common.errors import UserError
from glow_app.common.progress import Steps
from glow_app.editing.editor import Editor
from glow_app.export.recipes import Recipe
from glow_app.export.sheets import save_still
from glow_app.faces.face import Face
from glow_app.ui import limits
from glow_app.ui.downloads import written
from glow_app.ui.errors import in_words
from glow_app.ui.uploads import uploaded_file

__all__ = ["Group", "Size", "Temperature", "arrived", "endpoint", "made", "still"]


class Group:
    """Endpoints that belong together."""

    def __init__(self, editor: Editor) -> None:
        self.editor = editor

    def endpoints(self) -> Sequence[Callable[..., Any]]:
        """The methods that are endpoints, see :func:`endpoint`."""
        raise NotImplementedError

    def prepared(self, **photos: FileData | None) -> list[Face]:
        """The photos by the names of their arguments; none may be missing."""
        missing = [name for name, photo in photos.items() if not photo]
        if missing:
            many = "two photos" if len(photos) > 1 else "a photo"
            raise UserError(f"This needs {many}: {missing[0]} is missing.")
        return [self.editor.prepare(arrived(photo)) for photo in photos.values()]

    def several(self, photos: list[FileData] | None, low: int, high: int) -> list[Face]:
        """The list of photos, `low` to `high` of them."""
        if not isinstance(photos, list) or not low <= len(photos) <= high:
            raise UserError(f"photos must be {low} to {high} photos.")
        steps, faces = Steps(len(photos)), []  # for nobody it goes on who has left
        for photo in photos:
            faces.append(self.editor.prepare(arrived(photo)))
            steps.advance()
        return faces

    def recipe(self, kind: str, **settings: Any) -> Recipe:
        """What a file made here says of itself."""
        return Recipe.of(self.editor, kind, **settings)


def arrived(file: Any) -> Path:
    """The uploaded file that an argument stands for, which can be anything.

    Gradio lets a mere text or an object without its mark through as they are, so this does not
    rely on what it checks.

    Raises:
        UserError: it is no file that was uploaded here.
    """
    if not isinstance(file, dict):
        raise UserError("A file has to be uploaded; its path or address alone will not do.")
    return uploaded_file(file.get("path"))


def made(path: str | Path) -> FileData:
    """A file for the client to fetch."""
    path = Path(path)
    return FileData(path=str(path), orig_name=path.name, size=path.stat().st_size)


def still(pixels: np.ndarray, recipe: Recipe) -> FileData:
    """The file of one picture."""
    return made(written(recipe, save_still, pixels))


# ---- declarations: an endpoint is what the signature of its method says -------------------------

Size = Annotated[
    float | str,
    f'{limits.MIN_SIZE} to {limits.MAX_SIZE} pixels a side, or "native": as sharp as the photos',
]
Temperature = Annotated[float, "0 to 1.5"]

_EXAMPLE = {"path": "face.jpg", "url": "face.jpg", "meta": {"_type": "gradio.FileData"}}


def endpoint(handler: Callable[..., Any], how: dict[str, Any]) -> None:
    """Add ``handler`` under its name to the Blocks whose context is open.

    ``how`` is one of the kinds in `events`.

    Arguments, types and defaults are those of its signature, an ``Annotated`` type says what a
    type alone cannot, and the docstring is the description. The types are for the documentation:
    values arrive as the client sent them, and the handler checks each.
    """
    signature = inspect.signature(handler, eval_str=True)
    answer = in_words(handler)
    answer.__signature__ = signature  # Gradio would take the type of the result for a text
    answer.__annotations__ = get_type_hints(handler)
    added = gr.api(
        answer, api_name=handler.__name__, api_description=inspect.getdoc(handler), **how
    )
    inputs = get_blocks_context().fns[added["id"]].inputs
    for component, (name, about) in zip(inputs, signature.parameters.items(), strict=True):
        component.label = ", ".join([name, *getattr(about.annotation, "__metadata__", ())])
        kind = answer.__annotations__[name]
        if "FileData" in str(kind):  # or the documentation would write "..." for a file
            example = [_EXAMPLE, _EXAMPLE] if "list" in str(kind) else _EXAMPLE
            component.example_payload = lambda example=example: example
