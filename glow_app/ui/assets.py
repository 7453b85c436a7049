"""The page's HTML, CSS and JavaScript, which lie beside the Python that uses them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FOLDER", "asset"]

FOLDER = Path(__file__).parent


def asset(name: str, /, **fields: str) -> str:
    """The text of ``glow_app/ui/name`` with each ``[[field]]`` replaced.

    Square brackets, because Gradio runs the text through a JavaScript template and Handlebars,
    which own ``${}`` and ``{{}}``.
    """
    text = (FOLDER / name).read_text(encoding="utf-8")
    for field, value in fields.items():
        text = text.replace(f"[[{field}]]", value)
    return text
