"""Memory: a cache bounded in number and in time, and how freed memory returns to the system.

The C library keeps what is freed in pools, one for each thread, and returns it to the system only
from the end of a pool: a server that was busy once would stay as large, and keep what was in that
memory. Only glibc, of Linux, has a call for it; elsewhere nothing is done.
"""

from __future__ import annotations

import ctypes
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ExpiringCache(Generic[Value]):
    """Keep the ``size`` values used last, each for at most ``seconds`` after its last use.

    Safe to use from several threads.
    """

    def __init__(self, size: int, seconds: float) -> None:
        self._size, self._seconds = size, seconds
        self._values: OrderedDict[bytes, tuple[float, Value]] = OrderedDict()  # oldest use first
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: bytes) -> Value | None:
        """Return the value kept under ``key``, or None. This does not count as a use."""
        with self._lock:
            used, value = self._values.get(key, (-math.inf, None))
        return value if time.monotonic() < used + self._seconds else None

    def keep(self, key: bytes, value: Value) -> None:
        """Keep ``value`` under ``key``, or renew its time if it is there already."""
        with self._lock:
            self._values[key] = (time.monotonic(), value)
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
            self._watch()

    def _watch(self) -> None:
        """Set a timer for the oldest value, unless one is running: that one ends earlier."""
        if self._timer is None and self._values:
            oldest, _ = next(iter(self._values.values()))
            due = oldest + self._seconds - time.monotonic()
            self._timer = threading.Timer(max(0.0, due), self._forget)
            self._timer.daemon = True  # it must not keep a finished program alive
            self._timer.start()

    def _forget(self) -> None:
        with self._lock:
            limit = time.monotonic() - self._seconds
            while self._values and next(iter(self._values.values()))[0] <= limit:
                self._values.popitem(last=False)
            self._timer = None
            self._watch()


# ---------------------------------------------------------------------- freed memory

_DELAY = 2.0  # seconds: busy pages pay the milliseconds that it takes at most so often

_lock = threading.Lock()
_timer: threading.Timer | None = None


def _find_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, TypeError, AttributeError):  # another C library, or Windows
        return None


_trim = _find_trim()


def return_unused() -> None:
    """Return the freed memory of all threads to the system at once."""
    if _trim is not None:
        _trim(0)


def return_unused_soon() -> None:
    """Do so in two seconds, in another thread; once for all calls until then."""
    global _timer
    with _lock:
        if _timer is None and _trim is not None:
            _timer = threading.Timer(_DELAY, _due)
            _timer.daemon = True  # it must not keep a finished program alive
            _timer.start()


def _due() -> None:
    global _timer
    with _lock:
        _timer = None
    return_unused()
