"""Ctrl-C and SIGTERM, taken as a wish."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

__all__ = ["StopWish", "wish_to_stop"]


@dataclass
class StopWish:
    """Whether somebody asked the run to stop."""

    there: bool = False


@contextmanager
def wish_to_stop() -> Iterator[StopWish]:
    """The first Ctrl-C or SIGTERM inside becomes a wish; a second one stops at once."""
    wish = StopWish()

    def ask(signum: int, frame: FrameType | None) -> None:
        if wish.there:
            raise KeyboardInterrupt
        wish.there = True

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield wish
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
