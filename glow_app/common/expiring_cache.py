"""What was used last, by key: bounded in number, in bytes and in time.

A code decodes to its photo, so keeping one is keeping the photo: it is forgotten after a while
even if nobody ever calls again.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

__all__ = ["ExpiringCache", "bytes_of"]

_MOST_BYTES = 256 * 2**20

Value = TypeVar("Value")


class ExpiringCache(Generic[Value]):
    """The last ``size`` values, none for longer than ``seconds`` after its last use.

    Together they have at most ``most_bytes``, as `bytes_of` counts them when they are kept; only
    the one used last may have more. Safe to use from several threads.
    """

    def __init__(self, size: int, seconds: float, most_bytes: int = _MOST_BYTES) -> None:
        self._size, self._seconds, self._most_bytes = size, seconds, most_bytes
        self._bytes: dict[bytes, int] = {}
        self._values: OrderedDict[bytes, tuple[float, Value]] = OrderedDict()  # oldest use first
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def __len__(self) -> int:
        return len(self._values)

    @property
    def bytes(self) -> int:
        """Of all values."""
        return sum(self._bytes.values())

    def get(self, key: bytes) -> Value | None:
        """The value kept under ``key``, or None."""
        with self._lock:
            used, value = self._values.get(key, (-math.inf, None))
        return value if time.monotonic() < used + self._seconds else None

    def keep(self, key: bytes, value: Value) -> None:
        """Keep ``value``, or note that it was used again."""
        weight = bytes_of(
            value
        )  # each time: values fill up what they compute when it is asked for
        with self._lock:
            self._values[key] = (time.monotonic(), value)
            self._values.move_to_end(key)
            self._bytes[key] = weight
            total = sum(self._bytes.values())
            while len(self._values) > self._size or (
                total > self._most_bytes and len(self._values) > 1
            ):
                total -= self._drop()
            self._watch()

    def _drop(self) -> int:
        """Forget the value that was not used for longest; returns its bytes."""
        key, _ = self._values.popitem(last=False)
        return self._bytes.pop(key)

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
                self._drop()
            self._timer = None
            self._watch()


def bytes_of(value: Any) -> int:
    """Bytes of the arrays and tensors in a value: in its fields, in tuples, lists and mappings.

    What else it is made of is small here. Nothing is counted twice.
    """
    total, todo, seen = 0, [value], set()
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(size := getattr(one, "nbytes", None), int):
            total += size
        elif isinstance(one, tuple | list):
            todo.extend(one)
        elif isinstance(one, Mapping):
            todo.extend(one.values())
        elif hasattr(type(one), "__dataclass_fields__"):
            todo.extend(vars(one).values())
    return total
