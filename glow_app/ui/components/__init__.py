"""The page's own components: each a ``gr.HTML`` with its files beside it.

They live in the browser (see the ``.js`` files) and talk to Python through named events, so a
drag or a key never waits for the server. Values are small JSON; pictures travel inside them.
"""

from __future__ import annotations

from glow_app.ui.components.card import card_value, photo_card
from glow_app.ui.components.crop import crop_editor, crop_value
from glow_app.ui.components.download import download_value, downloader
from glow_app.ui.components.examples import example_row
from glow_app.ui.components.gallery import gallery, gallery_value
from glow_app.ui.components.live import Setting, live_picture, live_slider, live_value
from glow_app.ui.components.player import player, player_value, working_value
from glow_app.ui.components.tray import tray, tray_value
from glow_app.ui.values import finite, picture_uri

__all__ = [
    "Setting",
    "card_value",
    "crop_editor",
    "crop_value",
    "download_value",
    "downloader",
    "example_row",
    "finite",
    "gallery",
    "gallery_value",
    "live_picture",
    "live_slider",
    "live_value",
    "photo_card",
    "picture_uri",
    "player",
    "player_value",
    "tray",
    "tray_value",
    "working_value",
]
