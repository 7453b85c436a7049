"""How the page's events run: which share the model, which stay out of the documented API."""

from __future__ import annotations

from typing import Any

__all__ = ["HEAVY", "LIGHT", "LONG", "QUIET", "STATE_SECONDS", "settle", "tell"]

HEAVY: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}  # decode many frames
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# One face at a time does not wait for a morph under way: the editor's own lock lets it in between.
LIGHT: dict[str, Any] = {"concurrency_id": "faces", "concurrency_limit": 1, **QUIET}
# Many photos at once keep nobody else's single one waiting.
LONG: dict[str, Any] = {"concurrency_id": "photos", "concurrency_limit": 2, **QUIET}
STATE_SECONDS = 3600  # a visitor's faces are forgotten after an hour


def settle(event: Any, selector: str, name: str, first: Any = None) -> None:
    """Tell components in the browser that their event has ended, well or badly.

    Args:
        selector: finds the components.
        name: of the event, since others of theirs may go on.
        first: an event that leads to this one: where it fails, both have ended.
    """
    # Gradio 6.31 leaves "then" out after a failure.
    for ended in (event.success, event.failure, *([] if first is None else [first.failure])):
        tell(ended, selector, "settle", name)


def tell(ended: Any, selector: str, what: str, name: str = "") -> None:
    """Send components in the browser the event ``what``, with a detail, when ``ended`` happens."""
    event = f"new CustomEvent('{what}', {{ detail: '{name}' }})"
    each = f"document.querySelectorAll('{selector}').forEach((e) => e.dispatchEvent({event}))"
    ended(None, None, None, js=f"() => {{ {each}; }}", **QUIET)
