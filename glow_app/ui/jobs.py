"""Work under way for visitors: how far it is, and the one way in which it is stopped.

Work is a `Job`. It is stopped by its visitor, who knows its unguessable name (Stop), when its
visitor leaves the page or hangs up, and when the program ends. Whoever does the work counts its
steps, see `common.progress`, and so ends within one pass of the model.
"""

from __future__ import annotations

import atexit
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from glow_app.common.memory import return_unused_soon
from glow_app.common.progress import Stopped

_SHORTEST, _LONGEST = 16, 64  # characters of a name that a browser may choose
_PATIENCE = 5.0  # seconds that work has to end when the program does


class Job:
    """One piece of work; `progress` is what it calls between its steps."""

    def __init__(self, name: str | None = None, session: str | None = None) -> None:
        self.name, self.session = name, session
        self.done, self.total = 0, 0
        self.stopped = False

    def stop(self) -> None:
        """Let the work end after the step in hand."""
        self.stopped = True

    def is_stopped(self) -> bool:
        """Return whether nobody wants the work any more."""
        return self.stopped

    def progress(self, done: int, total: int) -> None:
        """Note how far the work is. Raises Stopped: nobody wants it any more."""
        if self.stopped:
            raise Stopped
        self.done, self.total = done, total


class Jobs:
    """All work under way. Safe to use from several threads."""

    def __init__(self) -> None:
        self._running: set[Job] = set()
        self._idle = threading.Condition()
        # A thread that still runs the model when the interpreter goes would abort the process.
        atexit.register(self.close)

    @contextmanager
    def run(self, name: Any = None, session: str | None = None) -> Iterator[Job]:
        """Make a job for the work inside the ``with``, known until that ends.

        The memory that it used goes back to the system soon after.

        Args:
            name: chosen by the browser; anything that is no fair name only makes a job that
                nobody can ask about.
            session: whose work it is; None for that of the event that is being handled.
        """
        fair = isinstance(name, str) and _SHORTEST <= len(name) <= _LONGEST
        job = Job(name if fair else None, session or _session_here())
        with self._idle:
            self._running.add(job)
        try:
            yield job
        finally:
            with self._idle:
                self._running.discard(job)
                self._idle.notify_all()
            return_unused_soon()  # photos that were opened, and pictures on their way

    @staticmethod
    def new_name() -> str:
        """Return a new name for work that the server begins by itself."""
        return secrets.token_urlsafe(16)

    def ask(self, question: Any) -> dict[str, int] | None:
        """Return how far a job is, or None if it is over; stop it if the question says so. That is
        ``{"job": name, "stop": bool}``, but from a browser, so it can be anything."""
        if not isinstance(question, dict) or not isinstance(question.get("job"), str):
            return None
        job = next((job for job in self._all() if job.name == question["job"]), None)
        if job is None:
            return None
        if question.get("stop") is True:
            job.stop()
        return {"done": job.done, "total": job.total}

    def leave(self, session: str | None) -> None:
        """Stop the work of a visitor who has left.

        Gradio ends the events of such a visitor that still wait, but not the one that runs. A
        connection that was only lost comes back with new work.
        """
        for job in self._all():
            if session is not None and job.session == session:
                job.stop()

    def left(self, request: gr.Request) -> None:
        """For ``Blocks.unload``: as `leave`."""
        self.leave(request.session_hash)

    def close(self) -> None:
        """Stop all work and wait for it to end, for a few seconds at most."""
        for job in self._all():
            job.stop()
        with self._idle:
            self._idle.wait_for(lambda: not self._running, timeout=_PATIENCE)

    def _all(self) -> list[Job]:
        with self._idle:
            return list(self._running)


def _session_here() -> str | None:
    """Return the session whose event is being handled in this thread, if any."""
    return getattr(LocalContext.request.get(None), "session_hash", None)


JOBS = Jobs()  # of this process, whatever pages it serves
