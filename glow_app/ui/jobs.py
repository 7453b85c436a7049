"""Long work that a visitor watches and can stop: how far it is, under an unguessable name.

A component's browser side asks with a server function, beside the queue in which the work itself
stands, so the answer never waits for the work.
"""

from __future__ import annotations

import atexit
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from glow_app.common.progress import Stopped

__all__ = ["Job", "Jobs"]

_MOST = 256  # jobs known at once; the oldest is forgotten, and then simply cannot be stopped
_NAME = 64  # characters
_PATIENCE = 5.0  # seconds that work has to end when the program does


class Job:
    """One piece of work; `progress` is what it calls between its steps."""

    def __init__(self) -> None:
        self.done, self.total = 0, 0
        self.stop = False

    def progress(self, done: int, total: int) -> None:
        """Note how far the work is.

        Raises:
            Stopped: the visitor wants no more of it.
        """
        if self.stop:
            raise Stopped
        self.done, self.total = done, total


class Jobs:
    """The work under way for all visitors. Safe to use from several threads."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()  # those with a name
        self._running: set[Job] = set()
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        # A thread that still runs the model when the interpreter goes would abort the process.
        atexit.register(self.close)

    @contextmanager
    def run(self, name: Any = None) -> Iterator[Job]:
        """A job for the work inside the ``with``, known under ``name`` until it ends.

        Args:
            name: chosen by the browser; anything that is no fair name only makes a job that
                nobody can ask about.
        """
        job = Job()
        fair = isinstance(name, str) and 16 <= len(name) <= _NAME
        with self._lock:
            self._running.add(job)
            if fair:
                self._jobs[name] = job
                while len(self._jobs) > _MOST:
                    self._jobs.popitem(last=False)
        try:
            yield job
        finally:
            with self._lock:
                self._running.discard(job)
                if fair and self._jobs.get(name) is job:
                    del self._jobs[name]
                self._idle.notify_all()

    def close(self) -> None:
        """Stop all work and wait for it to end, for a few seconds at most."""
        with self._lock:
            for job in self._running:
                job.stop = True
            self._idle.wait_for(lambda: not self._running, timeout=_PATIENCE)

    @staticmethod
    def name() -> str:
        """A new name for work that the server begins by itself."""
        return secrets.token_urlsafe(16)

    def look(self, question: Any) -> dict[str, int] | None:
        """How far a job is, or None if it is over; it is stopped if the question says so.

        Args:
            question: ``{"job": name, "stop": bool}``, from a browser, so it can be anything.
        """
        if not isinstance(question, dict) or not isinstance(question.get("job"), str):
            return None
        with self._lock:
            job = self._jobs.get(question["job"])
        if job is None:
            return None
        if question.get("stop") is True:
            job.stop = True
        return {"done": job.done, "total": job.total}
