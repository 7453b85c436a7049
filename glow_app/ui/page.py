"""The whole page: header, tabs, API, and how it is launched."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

import gradio as gr

from glow_app.editing.editor import Editor
from glow_app.ui import limits
from glow_app.ui.api import build_api
from glow_app.ui.components.base import downloader
from glow_app.ui.context import FaceHolder, PageContext, Pair
from glow_app.ui.examples import OpeningMorph
from glow_app.ui.jobs import JOBS
from glow_app.ui.on_demand import FullFrames, Scenes
from glow_app.ui.open_morph import wire_open_morph
from glow_app.ui.routes import ROUTES, STATIC, preloads, script_address
from glow_app.ui.security import with_access_control
from glow_app.ui.sessions import bounding_sessions
from glow_app.ui.tabs.edit import build_edit_tab
from glow_app.ui.tabs.journey import build_journey_tab
from glow_app.ui.tabs.learn import build_learn_tab
from glow_app.ui.tabs.mix import build_mix_tab
from glow_app.ui.tabs.morph import build_morph_tab
from glow_app.ui.tabs.sample import build_sample_tab
from glow_app.ui.theme import build_theme
from glow_app.ui.uploads import DELETE_CACHE, fetch_nothing, private_folder, sweep_always
from glow_app.ui.users import Users

_VISITORS = 200  # whose faces and morphs are kept, within the bytes that `sessions` allows
_QUEUE = 32  # events that may wait; one more is told to try again

_TIP = (
    "The faces you see first were made by this program: these people do not exist. "
    "Put your own photo on either side. Nothing leaves the computer that this page runs on; "
    "photos are forgotten within an hour."
)


def build_page(editor: Editor, opening: OpeningMorph | None = None) -> gr.Blocks:
    """Build the page for ``editor``; launch it with :func:`launch_options`.

    Args:
        editor: the model that everything on the page uses.
        opening: the morph that is shown first, if it is already being prepared.
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
            Scenes(editor),
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
        wire_open_morph(context, tabs, morph, journey, mix_setting, edit_setting)
        gr.HTML(f"<p>{_TIP}</p>", elem_id="tip")
        page.unload(JOBS.left)
    page.queue(max_size=_QUEUE)
    sweep_always(page)
    return page


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
            "lifespan": bounding_sessions(with_access_control(host, users, names)),
            "routes": ROUTES,
        },
        "theme": build_theme(),
        "css": "".join(
            (STATIC / "styles" / name).read_text(encoding="utf-8")
            for name in ("page.css", "learn.css")
        ),
        "favicon_path": STATIC / "favicon.svg",
        "head": _head(),
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


def _head() -> str:
    """HTML for the page's head: its icon and its scripts."""
    # Else browsers ask for the icon at the root of the name, where another page may be.
    icon = '<link rel="icon" href="favicon.ico">'
    return f'{icon}{preloads()}<script type="module" src="{script_address("page.js")}"></script>'


def _masthead(editor: Editor) -> str:
    """HTML for name, one line, and which model this is."""
    size = editor.image_size
    model = html.escape(f"{editor.name} · {size}×{size} · {editor.model.device}")
    logo = (STATIC / "favicon.svg").read_text(encoding="utf-8")
    return (
        f'<header id="masthead">{logo}<div><h1>Glow Studio</h1>'
        "<p>Morph one face into another with a model that can be run backwards, exactly.</p>"
        f'</div><span class="model" title="Model, picture size, device">{model}</span></header>'
    )
