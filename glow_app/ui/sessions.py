"""The memory of all visitors together, bounded in bytes: who was away for longest goes first.

A photo can make four megabytes and a journey of eight some fifty; number alone is no bound. All
that the page keeps of a visitor lies in the states of a session; what else knows of it, such as
`on_demand`, only points there.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import AsyncIterator, Callable, Container, Mapping
from typing import Any

from gradio.state_holder import SessionState, StateHolder

_MOST_BYTES = 2 * 2**30

#: Faces and morphs that are kept for all visitors anyway: they weigh nothing in any one's memory.
SHARED: weakref.WeakSet[Any] = weakref.WeakSet()


class BoundedSessions(StateHolder):
    """Gradio's memory of sessions, which counts what the values in their states have in bytes.

    Where all have more than ``most_bytes`` together, those who did nothing for longest are
    forgotten; only the one whose memory has just grown never is. To a forgotten visitor it is as
    if the hour were over for which states are kept.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        super().__init__()
        self.most_bytes = most_bytes

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = _Session(self.blocks, self._bound)
        return super().__getitem__(session_id)

    @property
    def bytes(self) -> int:
        """Bytes of all sessions, each as when it last grew."""
        return sum(s.bytes for s in list(self.session_data.values()) if isinstance(s, _Session))

    def _bound(self, grown: _Session) -> None:
        grown.bytes = bytes_of(grown.state_data, but=SHARED)
        with self.lock:
            total = self.bytes
            for name, session in list(self.session_data.items()):
                if total <= self.most_bytes:
                    break
                if isinstance(session, _Session) and session is not grown:
                    del self.session_data[name]
                    total -= session.bytes
                    self.time_last_used.pop(name, None)


class _Session(SessionState):
    """One session."""

    def __init__(self, blocks: Any, grown: Callable[[_Session], None]) -> None:
        super().__init__(blocks)
        self._grown, self.bytes = grown, 0
        self.config_values.clear()  # only for the links to a state that this page does not have

    def __setitem__(self, key: int, value: Any) -> None:
        super().__setitem__(key, value)
        if key in self.state_data:
            self._grown(self)

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Do nothing: Gradio would keep each picture that a visitor is shown, and for ever."""


def bounding_sessions(inner: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a lifespan for Gradio's application that gives it `BoundedSessions`.

    Args:
        inner: another lifespan, which it runs inside.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        app.state_holder = BoundedSessions()
        app.state_holder.set_blocks(app.get_blocks())
        async with inner(app):
            yield

    return lifespan


def bytes_of(value: Any, but: Container[Any] = ()) -> int:
    """Return the bytes of the arrays and tensors in a value.

    It looks into dataclasses, tuples, lists and mappings; what else a value is made of is small
    here. Nothing is counted twice, and nothing that is only in the dataclasses ``but``.
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
        elif hasattr(type(one), "__dataclass_fields__") and not _in(one, but):
            todo.extend(vars(one).values())
    return total


def _in(one: Any, some: Container[Any]) -> bool:
    try:
        return one in some
    except TypeError:  # it cannot be hashed, so it is not
        return False
