"""What is kept of visitors, and for how long: files in one private folder that is emptied in time,
faces and morphs in memory, bounded in bytes.

A photo can make four megabytes and a journey of eight some fifty; number alone is no bound. All
that the page keeps of a visitor in memory lies in the states of a session; what else knows of it,
such as `on_demand`, only points there.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Collection, Container, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import processing_utils
from gradio.state_holder import SessionState, StateHolder
from gradio.utils import get_upload_folder

from glow_app.common.errors import UserError
from glow_app.common.memory import return_unused
from glow_app.faces.opening import printable

_OURS = "glow-studio-"  # how folders of ours begin

# Every ten minutes what is older than fifty goes: nothing stays for more than an hour.
DELETE_CACHE = (600, 3000)


def private_folder() -> None:
    """Give Gradio a folder that only this process uses and that disappears with it, unless there
    is a ``GRADIO_TEMP_DIR``. Raises UserError: its name is not UTF-8, as URLs need it."""
    place = os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()
    try:
        place.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"The folder for temporary files, {printable(place)}, has a name that is not UTF-8: "
            "set TMPDIR to another one."
        ) from error
    if "GRADIO_TEMP_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix=_OURS)
        os.environ["GRADIO_TEMP_DIR"] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def fetch_nothing() -> None:
    """Keep Gradio from fetching an address that a client gives where a file is wanted."""

    async def refuse(url: str, cache_dir: str) -> str:
        raise gr.Error(
            "Files have to be uploaded: this page fetches nothing.", print_exception=False
        )

    processing_utils.async_ssrf_protected_download = refuse  # Gradio has no switch for it


def uploaded_file(path: Any) -> Path:
    """Return the uploaded file that a browser's event names, which can be anything.

    Only files inside the upload folder are accepted: otherwise anyone could look at any picture on
    this machine.
    """
    if not isinstance(path, str) or "\0" in path:
        raise UserError("The upload did not arrive: please try again.")
    file = Path(path).resolve()
    if not file.is_relative_to(Path(get_upload_folder()).resolve()) or not file.is_file():
        raise UserError("The upload did not arrive or has expired: please try again.")
    return file


def outgoing(name: str) -> Path:
    """Return where to write a download; Gradio serves it, `sweep_always` deletes it."""
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=_OURS, dir=folder)) / name


def sweep_always(page: gr.Blocks) -> None:
    """Delete what visitors of ``page`` leave behind, for as long as the page exists.

    Gradio itself forgets what it did not see a component return, such as the downloads of our
    own components, and leaves empty folders that are named after the content of a photo.
    """
    folder, own = Path(get_upload_folder()), weakref.ref(page)
    every, age = DELETE_CACHE
    private = folder.name.startswith(_OURS)  # in any other folder only what is ours goes

    def work() -> None:
        while own() is not None:
            time.sleep(every)
            if (there := own()) is None:
                return
            keep = {p for c in there.blocks.values() for p in getattr(c, "keep_in_cache", ())}
            del there
            sweep(folder, age, "*" if private else f"{_OURS}*", keep)
            return_unused()  # of visitors whom Gradio has forgotten meanwhile

    threading.Thread(target=work, name="sweep", daemon=True).start()


def sweep(folder: Path, age: float, names: str = "*", keep: Collection[str] = ()) -> None:
    """Delete files below ``folder`` not changed for ``age`` seconds, and folders that are empty:
    of what directly in ``folder`` has such ``names``, and without the files ``keep``."""
    limit = time.time() - age
    for top in folder.glob(names):
        inside = sorted(top.rglob("*"), reverse=True) if top.is_dir() else []
        for path in [*inside, top]:
            with suppress(OSError):  # gone already, or a folder that is not empty
                if str(path) in keep or path.lstat().st_ctime > limit:
                    continue
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()
                else:
                    path.unlink()


# ---- memory -------------------------------------------------------------------------------------

_MOST_BYTES = 2 * 2**30

#: Faces and morphs that are kept for all visitors anyway: they weigh nothing in any one's memory.
SHARED: weakref.WeakSet[Any] = weakref.WeakSet()


class BoundedSessions(StateHolder):
    """Gradio's memory of sessions, which counts what the values in their states have in bytes.

    Where all have more than ``most_bytes`` together, those who did nothing for longest are
    forgotten, as if the hour were over for which states are kept; only the one whose memory has
    just grown never is.
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
    def __init__(self, blocks: Any, grown: Callable[[_Session], None]) -> None:
        super().__init__(blocks)
        self._grown, self.bytes = grown, 0
        self.config_values.clear()  # only for the links to a state that this page does not have

    def __setitem__(self, key: int, value: Any) -> None:
        super().__setitem__(key, value)
        if key in self.state_data:
            self._grown(self)

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Do nothing: Gradio would keep each picture that a visitor is shown, forever."""


def bytes_of(value: Any, but: Container[Any] = ()) -> int:
    """Return the bytes of the arrays and tensors in a value, each counted once, without those
    that are only in the dataclasses ``but``.

    It looks into dataclasses, tuples, lists and mappings; what else a value holds is small here.
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
