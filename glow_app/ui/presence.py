"""Who is still there: work for a visitor who has left the page, or hung up, is of no use.

Gradio ends the events of such a visitor that still wait, but not the one that runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gradio as gr
from gradio.context import LocalContext

__all__ = ["Presence", "presence"]


class Presence:
    """The work under way for each session. Safe to use from several threads."""

    def __init__(self) -> None:
        self._working: dict[str, set[threading.Event]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def work(self, session: str | None = None) -> Iterator[Callable[[], bool]]:
        """Work for one visitor, inside the ``with``.

        Args:
            session: whose; None for that of the event that is being handled.

        Yields:
            what tells whether the visitor has left since.
        """
        session = session or _session_here()
        left = threading.Event()
        if session is None:  # no event of a visitor, as in tests
            yield left.is_set
            return
        with self._lock:
            self._working.setdefault(session, set()).add(left)
        try:
            yield left.is_set
        finally:
            with self._lock:
                working = self._working[session]
                working.discard(left)
                if not working:
                    del self._working[session]

    def leave(self, session: str | None) -> None:
        """A visitor has left. A connection that was only lost comes back with new work."""
        with self._lock:
            for left in self._working.get(session or "", ()):
                left.set()

    def left(self, request: gr.Request) -> None:
        """For ``Blocks.unload``."""
        self.leave(request.session_hash)


presence = Presence()


def _session_here() -> str | None:
    return getattr(LocalContext.request.get(None), "session_hash", None)
