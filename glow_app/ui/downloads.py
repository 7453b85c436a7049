"""Downloads: every format, with how it was made inside, and faces put back into their photos.

What players and live pictures are asked for is declared here, for all tabs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from glow_app.common.errors import UserError
from glow_app.common.progress import Progress
from glow_app.editing.editor import Editor
from glow_app.editing.frames import Frames, Morph
from glow_app.export.animation import save_animation
from glow_app.export.recipes import Recipe
from glow_app.export.sheets import save_photo, save_sheet, save_still, save_strip, strip_frames
from glow_app.export.writing import Pictures
from glow_app.faces.face import Face
from glow_app.faces.put_back import put_back
from glow_app.ui import limits
from glow_app.ui.components.base import download_value
from glow_app.ui.events import BESIDE, JOBS, LIGHT, QUIET, connect, event_handler, field
from glow_app.ui.on_demand import Scene
from glow_app.ui.page_faces import Result, still_face
from glow_app.ui.visitors import outgoing

if TYPE_CHECKING:
    from glow_app.ui.context import PageContext

_ANIMATIONS = {"gif": ".gif", "webp": ".webp", "apng": ".png", "mp4": ".mp4"}
_KINDS = (*_ANIMATIONS, "png", "strip", "sheet")


def wire_player(context: PageContext, screen: gr.HTML, shown: gr.State) -> None:
    """Add the events ``save`` and ``put`` of a player, whose `Result` is in ``shown``."""
    editor, out = context.editor, context.downloads

    @event_handler
    def save(shown: Result | None, event: gr.EventData) -> dict[str, Any]:
        return save_result(editor, shown, event)

    @event_handler
    def put(shown: Result | None, event: gr.EventData) -> dict[str, Any]:
        if shown is None:
            raise UserError("There is no face yet: make something first.")
        morph, row = _frame_at(editor, shown, event)
        recipe = shown.recipe(editor, t=float(morph.t[row]))
        return put_into_photo(shown.faces, morph, row, recipe, event)

    where = f"#{screen.elem_id} .player"
    connect(screen, where, save=(save, shown, out, BESIDE), put=(put, shown, out, BESIDE))


def save_result(editor: Editor, shown: Result | None, event: gr.EventData) -> dict[str, Any]:
    """Write what a player shows as its ``save`` event asks; the browser saves it by itself."""
    if shown is None:
        raise UserError("There is nothing to save yet: make something first.")
    kind = limits.one_of(field(event, "kind"), "The format", _KINDS)
    morph = shown.morph
    size = limits.download_size(field(event, "size"), morph.native)
    with JOBS.run(field(event, "job")) as job:
        if kind in _ANIMATIONS:
            fps = limits.between(field(event, "fps"), "Frames a second", 1, 50)
            pace = {"fps": fps, "there_and_back": field(event, "back") is True}
            recipe = shown.recipe(editor, size=size, **pace)
            return download_value(animated(morph, recipe, _ANIMATIONS[kind], job.progress))
        if kind == "png":
            frame, row = _frame_at(editor, shown, event)
            recipe = shown.recipe(editor, size=size, t=float(frame.t[row]))
            return download_value(written(recipe, save_still, frame.enlarged(size, [row])[0]))
        count = len(morph.frames)
        rows = strip_frames(count) if kind == "strip" else range(count)
        limits.affordable(len(rows), size)
        frames = morph.each(size, rows, job.progress)
        recipe, ending = shown.recipe(editor, size=size), f"-{kind}.png"
        if kind == "strip":
            return download_value(written(recipe, save_strip, frames, ending))
        captions = [f"{100 * t:.0f} %" for t in morph.t]
        return download_value(written(recipe, save_sheet, frames, ending, captions=captions))


def _frame_at(editor: Editor, shown: Result, event: gr.EventData) -> tuple[Morph, int]:
    """Return the frame at the slider's place, see `Result.at`."""
    last = len(shown.morph.frames)
    return shown.at(
        editor, limits.between(field(event, "place"), "The place of the frame", 0, last)
    )


def wire_live(
    context: PageContext,
    screen: gr.HTML,
    scene: gr.State,
    source: str,
    follow: Callable[..., tuple[Any, Any]],
    inputs: list[gr.State],
) -> None:
    """Add the events of a live picture: ``save``, ``use``, ``put``, and a new scene on changes.

    Args:
        scene: holds the scene that it shows.
        source: what its pictures are called where they are used.
        follow: returns the scene of ``inputs``, and the value of ``screen``.
    """
    changes = [state.change for state in inputs]
    gr.on(changes, follow, inputs, [scene, screen], trigger_mode="always_last", **QUIET)

    def asked(scene: Scene | None, event: gr.EventData) -> tuple[Scene, list[float]]:
        if scene is None:
            raise UserError("There is no picture yet: choose a face first.")
        return scene, scene.check(field(event, "values"))

    @event_handler
    def save(scene: Scene | None, event: gr.EventData) -> dict[str, Any]:
        scene, values = asked(scene, event)
        size = limits.download_size(field(event, "size"))
        recipe = scene.recipe(values, size=size)
        return download_value(written(recipe, save_still, scene.still(values).at(size)))

    @event_handler
    def use(scene: Scene | None, event: gr.EventData) -> list[Any]:
        scene, values = asked(scene, event)
        face = still_face(context.editor, scene.still(values), source)
        return context.pair.values_at(field(event, "to"), face)

    @event_handler
    def put(scene: Scene | None, event: gr.EventData) -> dict[str, Any]:
        scene, values = asked(scene, event)
        return put_into_photo(scene.faces, scene.still(values), 0, scene.recipe(values), event)

    connect(
        screen,
        f"#{screen.elem_id} .live",
        used=["use"],
        save=(save, scene, context.downloads, BESIDE),
        put=(put, scene, context.downloads, BESIDE),
        use=(use, scene, context.pair.outputs, LIGHT),
    )


def put_into_photo(
    faces: tuple[Face, ...], frames: Frames, row: int, recipe: Recipe, event: gr.EventData
) -> dict[str, Any]:
    """Write the photo of one of ``faces``, as a ``put`` event asks, with a frame as its face.
    Raises UserError: that face has no photo, or the photo is gone."""
    which = limits.whole(field(event, "face"), "The face's number", 0, len(faces) - 1)
    kind = limits.one_of(field(event, "kind"), "The format", ("jpg", "png"))
    face = faces[which]
    if face.photo is None or face.square is None:
        raise UserError("This face was made here: there is no photo to put it into.")
    picture = frames.enlarged(face.native, [row])[0]
    try:
        whole = put_back(face.photo, face, picture, frames.points[row].shape)
    except UserError as error:
        if not face.photo.is_file():
            raise UserError("The photo is no longer here: choose it again.") from error
        raise
    return download_value(save_photo(whole, outgoing(recipe.file_name(f"-in-photo.{kind}"))))


def animated(morph: Morph, recipe: Recipe, ending: str, progress: Progress | None = None) -> Path:
    """Write the download of an animation, at the size and pace that its recipe says; ``progress``
    counts its frames. Raises UserError: it would take too long, or it cannot be written."""
    size = morph.native if recipe.size is None else recipe.size
    limits.affordable(len(morph.frames), size)
    pace = {"fps": recipe.fps, "there_and_back": recipe.there_and_back, "progress": progress}
    return written(recipe, save_animation, morph.each(size), ending, **pace)


def written(
    recipe: Recipe,
    save: Callable[..., Any],
    pictures: Pictures,
    ending: str = ".png",
    **options: Any,
) -> Path:
    """Write a download that says how it was made.

    Args:
        save: of `export.animation` or `export.sheets`; it gets ``options``, and the recipe's size.
        ending: of the file's name, with the suffix.
    """
    file = outgoing(recipe.file_name(ending))
    save(pictures, file, metadata=recipe.to_metadata(), **{"size": recipe.size, **options})
    return file
