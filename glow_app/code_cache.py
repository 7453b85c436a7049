"""Codes of the pictures used last, by content: bounded in number and in time.

A code decodes to its photo, so keeping one is keeping the photo: it is forgotten after a while
even if nobody ever calls again.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from torch import Tensor

__all__ = ["CodeCache"]


class CodeCache:
    """The last ``size`` codes, none for longer than about ``seconds`` after its last use.

    Safe to use from several threads.
    """

    def __init__(self, size: int, seconds: float) -> None:
        self._size, self._seconds = size, seconds
        self._codes: OrderedDict[bytes, tuple[float, Tensor]] = OrderedDict()  # oldest use first
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def __len__(self) -> int:
        return len(self._codes)

    def get(self, key: bytes) -> Tensor | None:
        """The code kept under ``key``, or None."""
        with self._lock:
            found = self._codes.get(key)
        return None if found is None else found[1]

    def keep(self, key: bytes, code: Tensor) -> None:
        """Keep ``code`` (D,), or note that it was used again."""
        with self._lock:
            self._codes[key] = (time.monotonic(), code)
            self._codes.move_to_end(key)
            while len(self._codes) > self._size:
                self._codes.popitem(last=False)
            self._watch()

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(self._seconds, self._forget)
            self._timer.daemon = True  # it must not keep a finished program alive
            self._timer.start()

    def _forget(self) -> None:
        with self._lock:
            limit = time.monotonic() - self._seconds
            while self._codes and next(iter(self._codes.values()))[0] <= limit:
                self._codes.popitem(last=False)
            self._timer = None
            if self._codes:
                self._watch()
