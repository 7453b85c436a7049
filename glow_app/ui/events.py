"""How the page's events run: which share the model, which stay out of the documented API."""

from __future__ import annotations

from typing import Any

__all__ = ["HEAVY", "LIGHT", "QUIET", "STATE_SECONDS", "settle"]

HEAVY: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}  # decode many frames
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# One face at a time does not wait for a morph under way: the editor's own lock lets it in between.
LIGHT: dict[str, Any] = {"concurrency_id": "faces", "concurrency_limit": 1, **QUIET}
STATE_SECONDS = 3600  # a visitor's faces are forgotten after an hour


def settle(event: Any, selector: str) -> None:
    """Tell components in the browser that their event has ended, well or badly."""
    tell = (
        f"() => {{ document.querySelectorAll('{selector}')"
        ".forEach((e) => e.dispatchEvent(new Event('settle'))); }"
    )
    for ended in (event.success, event.failure):  # Gradio 6.31 leaves "then" out after a failure
        ended(None, None, None, js=tell, **QUIET)
