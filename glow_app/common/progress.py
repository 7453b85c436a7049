"""How long work says how far it is, and how it is stopped: one callback for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Progress", "Steps", "Stopped", "stopped_when"]

#: Called as ``progress(done, total)``, first with 0 and last with `total`, from the thread that
#: works and never while a lock is held. Whatever it raises ends the work and comes out of the
#: call unchanged, with nothing left half done: raise `Stopped` there when the user presses Stop.
Progress = Callable[[int, int], None]


class Stopped(Exception):
    """The user stopped the work; not a failure."""

    def __init__(self) -> None:
        super().__init__("Stopped.")


_unwanted: ContextVar[Callable[[], bool] | None] = ContextVar("unwanted", default=None)


@contextmanager
def stopped_when(unwanted: Callable[[], bool]) -> Iterator[None]:
    """All work inside that counts `Steps` in this thread ends once ``unwanted()`` is true.

    For wishes that no callback of the work knows of, such as a visitor who has left. It ends with
    `Stopped`, as if its own callback had raised that.
    """
    token = _unwanted.set(unwanted)
    try:
        yield
    finally:
        _unwanted.reset(token)


class Steps:
    """Counts what has been done of `total` and reports it; without a callback it only counts.

    Args:
        total: pictures, frames, files: whatever is counted, over all phases of the work.
        report: the caller's callback, or None.
    """

    def __init__(self, total: int, report: Progress | None = None) -> None:
        self._done, self._total, self._report = 0, total, report
        self.advance(0)

    def advance(self, count: int = 1) -> None:
        """`count` more are done."""
        self._done += count
        unwanted = _unwanted.get()
        if unwanted is not None and unwanted():
            raise Stopped
        if self._report is not None:
            self._report(self._done, self._total)
