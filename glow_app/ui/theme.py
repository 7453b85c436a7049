"""The look of the page: system fonts, a calm palette, light and dark from the same variables.

Teal belongs to photo A and to actions, copper to photo B; the player's slider runs from one to
the other. The page's own style sheets read the ``--glow-*`` variables of ``page.css``; those of
its components are part of the theme, which browsers load before they show anything.
"""

from __future__ import annotations

from gradio.themes import Base, sizes
from gradio.themes.utils.colors import Color

from glow_app.ui.routes import STATIC

_COMPONENTS = ("card", "crop", "examples", "gallery", "journey_faces", "live", "player")
# From the lightest, 50, over 100, 200, … to the darkest, 950.
_TEAL = Color(
    "#eefaf9", "#d3f1ef", "#a8e2df", "#74cdc9", "#45b3ae", "#23958f",
    "#0e7c77", "#0c6562", "#0d514f", "#0c4342", "#042928", name="teal",
)  # fmt: skip
_STONE = Color(
    "#f6f8f7", "#edf1f0", "#dde4e3", "#c3cdcc", "#95a4a3", "#687877",
    "#516060", "#3a4747", "#253031", "#182021", "#0f1516", name="stone",
)  # fmt: skip
_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

_LIGHT_DARK = {
    "body_background_fill": ("*neutral_50", "*neutral_950"),
    "body_text_color": ("*neutral_900", "*neutral_100"),
    "body_text_color_subdued": ("*neutral_600", "*neutral_400"),
    "background_fill_primary": ("white", "*neutral_900"),
    "background_fill_secondary": ("*neutral_100", "*neutral_800"),
    "border_color_primary": ("*neutral_200", "*neutral_800"),
    "block_background_fill": ("white", "*neutral_900"),
    "button_primary_background_fill": ("*primary_600", "*primary_400"),
    "button_primary_background_fill_hover": ("*primary_700", "*primary_300"),
    "button_primary_text_color": ("white", "*neutral_950"),
    "button_secondary_background_fill": ("white", "*neutral_800"),
    "button_secondary_background_fill_hover": ("*neutral_100", "*neutral_700"),
    "button_secondary_border_color": ("*neutral_300", "*neutral_700"),
    "slider_color": ("*primary_600", "*primary_400"),
    "link_text_color": ("*primary_700", "*primary_300"),
}


def build_theme() -> Base:
    """Return the theme of the page; every font is already on the visitor's machine."""
    theme = Base(
        primary_hue=_TEAL,
        secondary_hue=_TEAL,
        neutral_hue=_STONE,
        font=(*_SANS, "sans-serif"),
        font_mono=_MONO,
        radius_size=sizes.radius_md,
    )
    theme.custom_css = _component_styles()
    return theme.set(
        **{name: light for name, (light, _) in _LIGHT_DARK.items()},
        **{f"{name}_dark": dark for name, (_, dark) in _LIGHT_DARK.items()},
        block_border_width="1px",
        block_shadow="none",
        button_border_width="1px",
        button_large_radius="10px",
        button_medium_radius="10px",
        block_radius="14px",
        color_accent="*primary_600",
    )


def _component_styles() -> str:
    """Return the style sheet of all components.

    The rules of each hold inside of it alone (those of ``parts.css`` inside of all), with the
    weight of an id, so that neither Gradio's rules nor those of ``page.css`` win over them.
    """
    where = {"parts": ", ".join(f".ui-{name}" for name in _COMPONENTS)}
    where |= {name: f".ui-{name}" for name in _COMPONENTS}
    texts = {name: (STATIC / "styles" / f"{name}.css").read_text("utf-8") for name in where}
    return "".join(f":is(#ui, {where[name]}) {{\n{text}}}\n" for name, text in texts.items())
