"""Downloads: every format, with how it was made inside, and faces put back into their photos.

What players and live pictures are asked for is declared here, for all tabs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from glow_app.common.errors import UserError
from glow_app.common.progress import Progress
from glow_app.editing.editor import Editor, Morph
from glow_app.export.animation import save_animation
from glow_app.export.recipes import Recipe
from glow_app.export.sheets import save_photo, save_sheet, save_still, save_strip, strip_frames
from glow_app.export.writing import Pictures
from glow_app.faces.face import Face
from glow_app.faces.put_back import put_back
from glow_app.ui import limits
from glow_app.ui.components.base import download_value
from glow_app.ui.events import BESIDE, LIGHT, connect, event_handler, field
from glow_app.ui.jobs import JOBS
from glow_app.ui.on_demand import Scene
from glow_app.ui.page_faces import Result, still_face
from glow_app.ui.visitors import outgoing

if TYPE_CHECKING:
    from glow_app.ui.context import PageContext

_ANIMATIONS = {"gif": ".gif", "webp": ".webp", "apng": ".png", "mp4": ".mp4"}
_KINDS = (*_ANIMATIONS, "png", "strip", "sheet")
_GONE = "The photo is no longer here: choose it again."


# ---- a player -----------------------------------------------------------------------------------


def wire_player(context: PageContext, screen: gr.HTML, shown: gr.State) -> None:
    """Add the events ``save`` and ``put`` of a player, whose `Result` is in ``shown``."""

    @event_handler
    def save(shown: Result | None, event: gr.EventData) -> dict[str, Any]:
        return save_result(context.editor, shown, event)

    @event_handler
    def put(shown: Result | None, event: gr.EventData) -> dict[str, Any]:
        return put_result(context.editor, shown, event)

    out = context.downloads
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
        rows = [int(i) for i in strip_frames(count)] if kind == "strip" else list(range(count))
        limits.affordable(len(rows), size)
        frames = morph.each(size, rows, job.progress)
        recipe, ending = shown.recipe(editor, size=size), f"-{kind}.png"
        if kind == "strip":
            return download_value(written(recipe, save_strip, frames, ending))
        captions = [f"{100 * t:.0f} %" for t in morph.t]
        return download_value(written(recipe, save_sheet, frames, ending, captions=captions))


def put_result(editor: Editor, shown: Result | None, event: gr.EventData) -> dict[str, Any]:
    """Write a photo with the face that a player shows, as its ``put`` event asks.
    Raises UserError: nothing is shown, the event is not sensible, or the photo is gone."""
    if shown is None:
        raise UserError("There is no face yet: make something first.")
    face, photo, kind = _asked(shown.faces, event)
    morph, row = _frame_at(editor, shown, event)
    picture = morph.enlarged(face.native, [row])[0]
    name = shown.recipe(editor, t=float(morph.t[row])).file_name(f"-in-photo.{kind}")
    return _with_face(photo, face, picture, morph.points[row].shape, name)


def _frame_at(editor: Editor, shown: Result, event: gr.EventData) -> tuple[Morph, int]:
    """Return the frame at the slider's place, see `Result.at`."""
    place = field(event, "place")
    place = limits.between(place, "The place of the frame", 0, len(shown.morph.frames))
    return shown.at(editor, place)


# ---- a live picture -----------------------------------------------------------------------------


def wire_live(context: PageContext, screen: gr.HTML, scene: gr.State, source: str) -> None:
    """Add the events ``save``, ``use`` and ``put`` of a live picture.

    Args:
        scene: holds the scene that it shows.
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

    connect(
        screen,
        f"#{screen.elem_id} .live",
        used=["use"],
        save=(save, scene, context.downloads, BESIDE),
        put=(put, scene, context.downloads, BESIDE),
        use=(use, scene, context.pair.outputs, LIGHT),
    )


def put_scene(
    editor: Editor, scene: Scene, values: list[float], event: gr.EventData
) -> dict[str, Any]:
    """Write a photo with the face of a live picture, as its ``put`` event asks."""
    face, photo, kind = _asked(scene.faces, event)
    still = scene.render(editor, values)
    name = scene.recipe(editor, values).file_name(f"-in-photo.{kind}")
    return _with_face(photo, face, still.at(face.native), still.shape, name)


# ---- files --------------------------------------------------------------------------------------


def animated(morph: Morph, recipe: Recipe, ending: str, progress: Progress | None = None) -> Path:
    """Write the download of an animation, at full size and at the pace that its recipe says.

    Args:
        progress: counts frames, which get the detail of the photos as they are written.

    Raises:
        UserError: it would take too long, or it cannot be written.
    """
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
        save: a saver of `export.animation` or `export.sheets`.
        ending: of the file's name, with the suffix.
        options: for the saver; the size is that of the recipe unless there is one here.
    """
    file = outgoing(recipe.file_name(ending))
    save(pictures, file, metadata=recipe.to_metadata(), **{"size": recipe.size, **options})
    return file


def _asked(faces: tuple[Face, ...], event: gr.EventData) -> tuple[Face, Path, str]:
    """Return the face whose photo is asked for, that photo, and the format."""
    which = limits.whole(field(event, "face"), "The face's number", 0, len(faces) - 1)
    face = faces[which]
    if face.photo is None or face.square is None:
        raise UserError("This face was made here: there is no photo to put it into.")
    if not face.photo.is_file():
        raise UserError(_GONE)
    return face, face.photo, limits.one_of(field(event, "kind"), "The format", ("jpg", "png"))


def _with_face(
    photo: Path, face: Face, picture: np.ndarray, shape: np.ndarray | None, name: str
) -> dict[str, Any]:
    """Return the whole photo with this picture of the face in it, for the browser to save."""
    try:
        whole = put_back(photo, face, picture, shape)
    except UserError as error:
        if not photo.is_file():  # it went just now
            raise UserError(_GONE) from error
        raise
    return download_value(save_photo(whole, outgoing(name)))
