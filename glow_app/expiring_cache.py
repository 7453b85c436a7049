"""What was used last, by key: bounded in number and in time.

A code decodes to its photo, so keeping one is keeping the photo: it is forgotten after a while
even if nobody ever calls again.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["ExpiringCache"]

Value = TypeVar("Value")


class ExpiringCache(Generic[Value]):
    """The last ``size`` values, none for longer than about ``seconds`` after its last use.

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
            found = self._values.get(key)
        return None if found is None else found[1]

    def keep(self, key: bytes, value: Value) -> None:
        """Keep ``value``, or note that it was used again."""
        with self._lock:
            self._values[key] = (time.monotonic(), value)
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
            self._watch()

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(self._seconds, self._forget)
            self._timer.daemon = True  # it must not keep a finished program alive
            self._timer.start()

    def _forget(self) -> None:
        with self._lock:
            limit = time.monotonic() - self._seconds
            while self._values and next(iter(self._values.values()))[0] <= limit:
                self._values.popitem(last=False)
            self._timer = None
            if self._values:
                self._watch()
