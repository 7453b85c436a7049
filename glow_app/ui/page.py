"""The whole page: header, tabs, API, how it is launched, and how a file made here is opened again.

Files hold settings and the seeds of drawn faces, never photos: those are chosen again.
"""

from __future__ import annotations

import html
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import gradio as gr

from glow_app.common.errors import UserError
from glow_app.editing import paths
from glow_app.editing.editor import Editor
from glow_app.editing.options import KAPPA
from glow_app.export.recipes import Origin, Recipe, read_recipe
from glow_app.faces.face import Face
from glow_app.ui import limits
from glow_app.ui.api import build_api
from glow_app.ui.components.base import downloader
from glow_app.ui.components.pictures import Setting
from glow_app.ui.context import FaceHolder, PageContext, Pair
from glow_app.ui.events import JOBS, LIGHT, event_handler
from glow_app.ui.on_demand import FullFrames, Scenes
from glow_app.ui.page_faces import TEMPERATURE, OpeningMorph, drawn_face
from glow_app.ui.routes import ROUTES, STATIC, preloads, script_address
from glow_app.ui.security import AccessControl, Users
from glow_app.ui.tabs.edit import AVERAGE_ID, build_edit_tab, direction_id
from glow_app.ui.tabs.journey import JourneyTab, build_journey_tab, new_stop
from glow_app.ui.tabs.learn import build_learn_tab
from glow_app.ui.tabs.mix import SHAPE_ID, build_mix_tab, level_id
from glow_app.ui.tabs.morph import MorphTab, build_morph_tab
from glow_app.ui.tabs.sample import build_sample_tab
from glow_app.ui.theme import build_theme
from glow_app.ui.visitors import (
    DELETE_CACHE,
    BoundedSessions,
    fetch_nothing,
    private_folder,
    sweep_always,
    uploaded_file,
)

_VISITORS = 200  # whose faces and morphs are kept, within the bytes that `visitors` allows
_QUEUE = 32  # events that may wait; one more is refused

_TIP = (
    "The faces you see first were made by this program: these people do not exist. "
    "Put your own photo on either side. Nothing leaves the computer that this page runs on; "
    "photos are forgotten within an hour."
)


def build_page(editor: Editor, opening: OpeningMorph | None = None) -> gr.Blocks:
    """Build the page for ``editor``; launch it with :func:`launch_options`.

    ``opening`` is the morph that is shown first, if it is already being prepared.
    """
    private_folder()
    fetch_nothing()
    opening = opening or OpeningMorph(editor)
    with gr.Blocks(
        title="Glow Studio", analytics_enabled=False, delete_cache=DELETE_CACHE
    ) as page:
        build_api(editor)  # first: private events must not take its names
        gr.HTML(_masthead(editor), elem_id="masthead-block", padding=False)
        context = PageContext(
            editor,
            opening,
            Scenes(),
            FullFrames(),
            Pair(editor),
            FaceHolder(editor, "to edit", ("edit-photo",), tag="✎"),
            downloader(elem_id="downloader"),
        )
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Morph", id="morph"):
                morph = build_morph_tab(page, context)
            with gr.Tab("Journey", id="journey"):
                journey = build_journey_tab(context)
            with gr.Tab("Mix", id="mix"):
                mix_setting = build_mix_tab(context)
            with gr.Tab("Edit", id="edit"):
                edit_setting = build_edit_tab(context)
            with gr.Tab("Sample", id="sample"):
                build_sample_tab(context, journey)
            with gr.Tab("Learn", id="learn"):
                build_learn_tab(editor, opening)
        context.pair.wire(morph.temperature)
        context.edited.wire(morph.temperature)
        _wire_open_morph(context, tabs, morph, journey, mix_setting, edit_setting)
        gr.HTML(f"<p>{_TIP}</p>", elem_id="tip")
        page.unload(_stop_work)
    page.queue(max_size=_QUEUE)
    sweep_always(page)
    return page


def _stop_work(request: gr.Request) -> None:
    JOBS.leave(request.session_hash)


def launch_options(
    host: str = "127.0.0.1",
    users: Users | None = None,
    names: Iterable[str] = (),
    root_path: str = "",
) -> dict[str, Any]:
    """Return the arguments for ``launch()``: the page's own look, and what it grants to whom.

    Args:
        host: the address to listen on.
        users: who may use the page; None for everybody who reaches it.
        names: by which a proxy in front of the page is reached, lower case.
        root_path: where a proxy puts the page, such as "/glow"; "" for the root.
    """
    return {
        "root_path": root_path,
        "app_kwargs": {
            "lifespan": partial(_lifespan, host=host, users=users, names=names),
            "routes": ROUTES,
        },
        "theme": build_theme(),
        "css": "".join(
            (STATIC / "styles" / f"{name}.css").read_text("utf-8") for name in ("page", "learn")
        ),
        "favicon_path": STATIC / "favicon.svg",
        # Without the first, browsers ask for an icon at the root, where another page may be.
        "head": f'<link rel="icon" href="favicon.ico">{preloads()}'
        f'<script type="module" src="{script_address("page.js")}"></script>',
        "footer_links": ["api"],
        "state_session_capacity": _VISITORS,
        "max_file_size": f"{limits.MAX_UPLOAD_MB}mb",
        "allowed_paths": [],  # but for uploads and downloads no file is served
        "enable_monitoring": False,
        "mcp_server": False,
        "num_workers": 0,  # each would listen on a port of its own
        "pwa": False,
        "run_history": False,
        "share": False,
        "show_error": False,  # of unexpected errors; ours are sentences
        "ssr_mode": False,
        "quiet": True,
    }


@asynccontextmanager
async def _lifespan(
    app: Any, host: str, users: Users | None, names: Iterable[str]
) -> AsyncIterator[None]:
    """Give Gradio's application memory that is bounded, and access control around all of it."""
    app.state_holder = BoundedSessions()
    app.state_holder.set_blocks(app.get_blocks())
    app.middleware_stack = AccessControl(app.middleware_stack, host, users, names)
    yield


def _masthead(editor: Editor) -> str:
    size = editor.image_size
    model = html.escape(f"{editor.name} · {size}×{size} · {editor.model.device}")
    logo = (STATIC / "favicon.svg").read_text(encoding="utf-8")
    return (
        f'<header id="masthead">{logo}<div><h1>Glow Studio</h1>'
        "<p>Morph one face into another with a model that can be run backwards, exactly.</p>"
        f'</div><span class="model" title="Model, picture size, device">{model}</span></header>'
    )


# ---- open a morph -------------------------------------------------------------------------------

_SECONDS = 8
_OTHER_MODEL = "This file was made with another model, whose seeds draw other faces. "
_PHOTOS = "Photos are never stored in a file: choose them again. "
_OWN = "It went along a direction of its maker's own, {}: load it, then open this file again. "
_AVERAGE = "It went towards the average of somebody's photos: load these again, too."


def _wire_open_morph(
    context: PageContext,
    tabs: gr.Tabs,
    morph: MorphTab,
    journey: JourneyTab,
    mix_setting: gr.State,
    edit_setting: gr.State,
) -> None:
    """Add the event of the button, once all tabs are there."""
    editor, pair, edited = context.editor, context.pair, context.edited

    def set_faces(recipe: Recipe, *holders: FaceHolder) -> dict[Any, Any]:
        """Draw the faces whose seeds are known, for these holders in order."""
        changes: dict[Any, Any] = {}
        for holder, origin in zip(holders, recipe.faces, strict=False):
            if origin.seed is not None:
                drawn = holder.values(_drawn(editor, origin))
                changes.update(zip(holder.outputs, drawn, strict=True))
        return changes

    def open_morph(recipe: Recipe) -> dict[Any, Any]:
        low, high = t_range = tuple(recipe.t_range)
        path = recipe.path if recipe.path in paths.PATHS else "linear"
        kappa = KAPPA if recipe.kappa is None else recipe.kappa
        values = (recipe.way, recipe.ground, kappa, path, t_range, recipe.constant_speed)
        options = dict(zip(morph.options, values, strict=True))
        return {**set_faces(recipe, pair.a, pair.b), **options, morph.beyond: low < 0 or high > 1}

    def open_journey(recipe: Recipe) -> dict[Any, Any]:
        leg = limits.LEG_FRAMES if recipe.frames is None else min(recipe.frames, limits.FRAMES)
        steady, way = recipe.constant_speed, recipe.way
        values = (recipe.path, recipe.loop, leg, steady, way, recipe.ground)
        drawn = [origin for origin in recipe.faces if origin.seed is not None]
        stops = tuple(new_stop(_drawn(editor, origin)) for origin in drawn[: limits.MAX_FACES])
        parts = [*journey.options, *journey.outputs]
        return dict(zip(parts, [*values, *journey.values(stops)], strict=True))

    def open_mix(recipe: Recipe) -> dict[Any, Any]:
        weights = {level_id(level): weight for level, weight in enumerate(recipe.weights)}
        weights[SHAPE_ID] = recipe.shape or 0.0
        return {**set_faces(recipe, pair.a, pair.b), mix_setting: Setting(weights)}

    def open_edit(recipe: Recipe) -> dict[Any, Any]:
        strengths = {direction_id(name): strength for name, strength in recipe.directions}
        setting = Setting({AVERAGE_ID: recipe.toward, **strengths})
        return {**set_faces(recipe, edited), edit_setting: setting}

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
        if any(origin.seed is None for origin in recipe.faces):
            notes += _PHOTOS
        shipped = {direction.name for direction in editor.directions()}
        if own := [name for name, _ in recipe.directions if name not in shipped]:
            notes += _OWN.format(html.escape(", ".join(own)))  # a toast shows HTML
        if recipe.average:
            notes += _AVERAGE
        if notes:
            gr.Info(notes, duration=_SECONDS)
        return {**changes, tabs: gr.Tabs(selected=kind)}

    faces = [*pair.outputs, *edited.outputs]
    options = [*morph.options, morph.beyond, *journey.outputs, *journey.options]
    outputs = [tabs, *faces, *options, mix_setting, edit_setting]
    morph.open_file.upload(open_file, morph.open_file, outputs, **LIGHT)


def _drawn(editor: Editor, origin: Origin) -> Face:
    temperature = TEMPERATURE if origin.temperature is None else origin.temperature
    return drawn_face(editor, limits.seed(origin.seed), limits.temperature(temperature))
