"""Report how far long work is, and stop it: one callback for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: Called as ``progress(done, total)``, first with 0 and last with `total`, in the thread that does
#: the work, never while a lock is held. An exception that it raises ends the work, leaves nothing
#: half done and reaches the caller unchanged: raise `Stopped` there when the user presses Stop.
Progress = Callable[[int, int], None]


class Stopped(Exception):
    """Raised when the user stops the work; not a failure."""

    def __init__(self) -> None:
        super().__init__("Stopped.")


_unwanted: ContextVar[Callable[[], bool] | None] = ContextVar("unwanted", default=None)


@contextmanager
def stopped_when(unwanted: Callable[[], bool]) -> Iterator[None]:
    """End all work inside that counts `Steps` in this thread by `Stopped` once ``unwanted()`` is
    true, for reasons that its own callback does not know, such as a visitor who has left."""
    token = _unwanted.set(unwanted)
    try:
        yield
    finally:
        _unwanted.reset(token)


class Steps:
    """Count what is done of `total`, report it, and end the work where it is to be stopped.

    Args:
        total: pictures, frames or files, over all phases of the work.
        report: the caller's callback, if any.
    """

    def __init__(self, total: int, report: Progress | None = None) -> None:
        self._done, self._total, self._report = 0, total, report
        self.advance(0)

    def advance(self, count: int = 1) -> None:
        """Add `count` to what is done, and report it.

        Raises:
            Stopped: the work is no longer wanted, see `stopped_when`.
            what the callback raises.
        """
        self._done += count
        unwanted = _unwanted.get()
        if unwanted is not None and unwanted():
            raise Stopped
        if self._report is not None:
            self._report(self._done, self._total)
