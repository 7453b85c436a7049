"""Give memory that this process no longer uses back to the system.

The C library keeps what is freed, in a pool of its own for each of many threads, and hands it back
by itself only from the end of a pool: a server that has been busy once would stay as large for
good, and with it whatever was in that memory. Only glibc, of Linux, can be told to; elsewhere
nothing is done.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

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
    """Give back at once what is free, of all threads."""
    if _trim is not None:
        _trim(0)


def return_unused_soon() -> None:
    """Do so in some seconds, in another thread; once for all who ask until then."""
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
