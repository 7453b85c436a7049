"""*Open a morph*: a file made here sets the page as it was when the file was made.

Files hold settings and the seeds of drawn faces, never photos: those are chosen again.
"""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from glow_app.common.errors import UserError
from glow_app.editing import paths
from glow_app.editing.editor import Editor
from glow_app.editing.options import KAPPA
from glow_app.export.recipes import Origin, Recipe, read_recipe
from glow_app.faces.face import Face
from glow_app.ui import limits
from glow_app.ui.components.pictures import Setting
from glow_app.ui.context import PageContext
from glow_app.ui.events import LIGHT, event_handler
from glow_app.ui.page_faces import TEMPERATURE, drawn_face
from glow_app.ui.tabs.edit import AVERAGE_ID, direction_id
from glow_app.ui.tabs.journey import JourneyTab, new_stop
from glow_app.ui.tabs.mix import SHAPE_ID, level_id
from glow_app.ui.tabs.morph import MorphTab
from glow_app.ui.uploads import uploaded_file

_SECONDS = 8
_OTHER_MODEL = "This file was made with another model, whose seeds draw other faces. "
_PHOTOS = "Photos are never stored in a file: choose them again. "
_OWN = "It went along a direction of its maker's own, {}: load it, then open this file again. "
_AVERAGE = "It went towards the average of somebody's photos: load these again, too."


def wire_open_morph(
    context: PageContext,
    tabs: gr.Tabs,
    morph: MorphTab,
    journey: JourneyTab,
    mix_setting: gr.State,
    edit_setting: gr.State,
) -> None:
    """Add the event of the button, once all tabs are there."""
    editor, pair = context.editor, context.pair

    def set_faces(recipe: Recipe) -> dict[Any, Any]:
        """Photo A and B as far as their seeds are known."""
        changes: dict[Any, Any] = {}
        for holder, face in zip((pair.a, pair.b), recipe.faces, strict=False):
            if face.seed is not None:
                drawn = _drawn(editor, face)
                changes.update(zip(holder.outputs, holder.values(drawn), strict=True))
        return changes

    def open_morph(recipe: Recipe) -> dict[Any, Any]:
        low, high = t_range = tuple(recipe.t_range)
        path = recipe.path if recipe.path in paths.PATHS else "linear"
        kappa = KAPPA if recipe.kappa is None else recipe.kappa
        values = (recipe.way, recipe.ground, kappa, path, t_range, recipe.constant_speed)
        changes = {**set_faces(recipe), **dict(zip(morph.options, values, strict=True))}
        return {**changes, morph.beyond: low < 0 or high > 1}

    def open_journey(recipe: Recipe) -> dict[Any, Any]:
        leg = limits.LEG_FRAMES if recipe.frames is None else min(recipe.frames, limits.FRAMES)
        steady, way = recipe.constant_speed, recipe.way
        values = (recipe.path, recipe.loop, leg, steady, way, recipe.ground)
        changes = dict(zip(journey.options, values, strict=True))
        drawn = [face for face in recipe.faces if face.seed is not None]
        stops = tuple(new_stop(_drawn(editor, face)) for face in drawn[: limits.MAX_FACES])
        return {**changes, **dict(zip(journey.outputs, journey.values(stops), strict=True))}

    def open_mix(recipe: Recipe) -> dict[Any, Any]:
        weights = {level_id(level): weight for level, weight in enumerate(recipe.weights)}
        weights[SHAPE_ID] = recipe.shape or 0.0
        return {**set_faces(recipe), mix_setting: Setting(weights)}

    def open_edit(recipe: Recipe) -> dict[Any, Any]:
        strengths = {direction_id(name): strength for name, strength in recipe.directions}
        changes: dict[Any, Any] = {edit_setting: Setting({AVERAGE_ID: recipe.toward, **strengths})}
        for face in recipe.faces[:1]:
            if face.seed is not None:
                values = context.edited.values(_drawn(editor, face))
                changes.update(zip(context.edited.outputs, values, strict=True))
        return changes

    ways = {"morph": open_morph, "journey": open_journey, "mix": open_mix, "edit": open_edit}

    @event_handler
    def open_file(path: str | None) -> dict[Any, Any]:
        if not path:
            raise UserError("The file did not arrive: please try again.")
        recipe = read_recipe(uploaded_file(path))
        if recipe.kind not in ways:
            raise UserError("This is a sheet of samples: its caption names the seeds to draw.")
        # What morph.py --edit makes is a morph, and its sliders are those of the edit.
        kind = "edit" if recipe.kind == "morph" and recipe.directions else recipe.kind
        changes = ways[kind](recipe)
        notes = _OTHER_MODEL if recipe.fingerprint not in {"", editor.fingerprint} else ""
        if any(face.seed is None for face in recipe.faces):
            notes += _PHOTOS
        shipped = {direction.name for direction in editor.directions()}
        if own := [name for name, _ in recipe.directions if name not in shipped]:
            notes += _OWN.format(html.escape(", ".join(own)))  # a toast shows HTML
        if recipe.average:
            notes += _AVERAGE
        if notes:
            gr.Info(notes, duration=_SECONDS)
        return {**changes, tabs: gr.Tabs(selected=kind)}

    morph.open_file.upload(
        open_file,
        morph.open_file,
        [
            tabs,
            *pair.outputs,
            *context.edited.outputs,
            *morph.options,
            morph.beyond,
            *journey.outputs,
            *journey.options,
            mix_setting,
            edit_setting,
        ],
        **LIGHT,
    )


def _drawn(editor: Editor, face: Origin) -> Face:
    temperature = TEMPERATURE if face.temperature is None else face.temperature
    return drawn_face(editor, limits.seed(face.seed), limits.temperature(temperature))
