"""The page's HTML, CSS and JavaScript, read from ``glow_app/ui/static``."""

from __future__ import annotations

from pathlib import Path

__all__ = ["STATIC", "asset"]

STATIC = Path(__file__).parent / "static"


def asset(name: str, /, **fields: str) -> str:
    """The text of ``static/name`` with each ``[[field]]`` replaced.

    Square brackets, because Gradio runs the text through a JavaScript template and Handlebars,
    which own ``${}`` and ``{{}}``.
    """
    text = (STATIC / name).read_text(encoding="utf-8")
    for field, value in fields.items():
        text = text.replace(f"[[{field}]]", value)
    return text
