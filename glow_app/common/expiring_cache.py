"""What was used last, by key: bounded in number and in time.

A code decodes to its photo, so keeping one is keeping the photo: it is forgotten after a while
even if nobody ever calls again.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["ExpiringCache"]

Value = TypeVar("Value")


class ExpiringCache(Generic[Value]):
    """The last ``size`` values, none for longer than ``seconds`` after its last use.

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
        """The value kept under ``key``, or None."""
        with self._lock:
            used, value = self._values.get(key, (-math.inf, None))
        return value if time.monotonic() < used + self._seconds else None

    def keep(self, key: bytes, value: Value) -> None:
        """Keep ``value``, or note that it was used again."""
        with self._lock:
            self._values[key] = (time.monotonic(), value)
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
            self._watch()

    def _watch(self) -> None:
        """Wake up when the oldest value is due; a timer that is set never comes too late."""
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
