"""A cache that is bounded in number and in time.

It holds codes of photos, which decode to the photos themselves. So values are removed when their
time is over even if the cache is never called again; other caches remove them at the next call.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
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
