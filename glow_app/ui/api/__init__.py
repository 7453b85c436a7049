"""The page's documented API, for scripts and other programs: what the tabs do, by name.

Each endpoint is a method of a group; its name, arguments, types, defaults and docstring are those
of the API.
"""

from __future__ import annotations

from glow_app.editing.editor import Editor
from glow_app.ui.api.animations import Animations
from glow_app.ui.api.files import Files
from glow_app.ui.api.group import endpoint
from glow_app.ui.api.samples import Samples
from glow_app.ui.api.stills import Stills
from glow_app.ui.events import HEAVY, LONG

__all__ = ["build_api"]


def build_api(editor: Editor) -> None:
    """Add the endpoints to the Blocks whose context is open; nothing of them is visible."""
    for group in (Animations, Stills, Samples, Files):
        for handler in group(editor).endpoints():
            # Most of an average is finding its faces, up to 64: no morph waits for that.
            lane = LONG if handler.__name__ == "average" else HEAVY
            endpoint(handler, {key: lane[key] for key in HEAVY})
