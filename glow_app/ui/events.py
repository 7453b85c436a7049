"""How the page's events run: their queues, their errors, what a browser sends with them, and the
work under way, which is stopped in one way.

Work is a `Job`. It is stopped by its visitor (Stop), who knows its unguessable name, when its
visitor leaves the page or hangs up, and when the program ends. The work counts its steps, see
`common.progress`, and so ends within one pass of the model.
"""

from __future__ import annotations

import atexit
import functools
import html
import inspect
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from gradio.context import LocalContext

from glow_app.common.errors import UserError, is_for_people
from glow_app.common.memory import return_unused_soon
from glow_app.common.progress import Progress, Steps, Stopped, stopped_when
from glow_app.ui.visitors import uploaded_file

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# For work that decodes many frames.
HEAVY: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1, **QUIET}
# One face at a time does not wait for a morph under way: the editor's own lock lets it in between.
LIGHT: dict[str, Any] = {"concurrency_id": "faces", "concurrency_limit": 1, **QUIET}
# Many photos at once do not delay the single photo of another visitor.
LONG: dict[str, Any] = {"concurrency_id": "photos", "concurrency_limit": 2, **QUIET}
BESIDE: dict[str, Any] = {"concurrency_limit": 2, **QUIET}  # a queue of its own for each event

_SECONDS = 8  # for which an error shows
_WARNING_SECONDS = 12
_NAMED = 3  # files of which a warning says what is wrong with them
_UNEXPECTED = "Something went wrong inside the app; the terminal it runs in has the details."
_PATIENCE = 5.0  # seconds that work has to end when the program does

_log = logging.getLogger(__name__)

Made = TypeVar("Made")


# ---- work under way -----------------------------------------------------------------------------


@dataclass(eq=False)
class Job:
    """One piece of work; `progress` is what it calls between its steps."""

    name: str | None = None
    session: str | None = None
    done: int = 0
    total: int = 0
    stopped: bool = False  # once true, the work ends after the step in hand

    def progress(self, done: int, total: int) -> None:
        """Note how far the work is. Raises Stopped: it is to end."""
        if self.stopped:
            raise Stopped
        self.done, self.total = done, total


class Jobs:
    """All work under way. Safe to use from several threads."""

    def __init__(self) -> None:
        self._running: set[Job] = set()
        self._ended = threading.Condition()
        # A thread that still runs the model when the interpreter goes would abort the process.
        atexit.register(self.close)

    @contextmanager
    def run(self, name: Any = None, session: str | None = None) -> Iterator[Job]:
        """Register a job for the work inside the ``with``, and give back its memory soon after.

        Args:
            name: chosen by the browser, so anything; the job has none, and cannot be asked about,
                unless it is a text of 16 to 64 characters.
            session: whose work it is; None for that of the event that is being handled.
        """
        usable = isinstance(name, str) and 16 <= len(name) <= 64
        job = Job(name if usable else None, session or _session_here())
        with self._ended:
            self._running.add(job)
        try:
            yield job
        finally:
            with self._ended:
                self._running.discard(job)
                self._ended.notify_all()
            return_unused_soon()  # photos that were opened, and pictures on their way

    @staticmethod
    def new_name() -> str:
        """Return a new name for work that the server begins by itself."""
        return secrets.token_urlsafe(16)

    def ask(self, question: Any) -> dict[str, int] | None:
        """Return how far a job is, or None if it is over; stop it if the question says so. That is
        ``{"job": name, "stop": bool}``, but from a browser, so it can be anything."""
        if not isinstance(question, dict) or not isinstance(question.get("job"), str):
            return None
        job = next((job for job in self._all() if job.name == question["job"]), None)
        if job is None:
            return None
        if question.get("stop") is True:
            job.stopped = True
        return {"done": job.done, "total": job.total}

    def leave(self, session: str | None) -> None:
        """Stop the work of a visitor who has left.

        Gradio ends the events of such a visitor that still wait, but not the one that runs. A
        connection that was only lost comes back with new work.
        """
        for job in self._all():
            if session is not None and job.session == session:
                job.stopped = True

    def close(self) -> None:
        """Stop all work and wait for it to end, for a few seconds at most."""
        for job in self._all():
            job.stopped = True
        with self._ended:
            self._ended.wait_for(lambda: not self._running, timeout=_PATIENCE)

    def _all(self) -> list[Job]:
        with self._ended:
            return list(self._running)


def _session_here() -> str | None:
    """Return the session whose event is being handled in this thread, if any."""
    return getattr(LocalContext.request.get(None), "session_hash", None)


JOBS = Jobs()  # of this process, whatever pages it serves


# ---- handlers -----------------------------------------------------------------------------------


def event_handler(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap an event handler (a function or a generator) so that it fails with one sentence.

    Its work is a job of its visitor, which ends when the visitor leaves the page. Work that was
    stopped has not failed: it ends with nothing more to show.
    """
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def generator(*args: Any, **kwargs: Any) -> Any:
            with _as_message(), JOBS.run() as job, closing(handler(*args, **kwargs)) as steps:
                while True:
                    # Gradio takes each step in a context of its own: none lasts over a yield.
                    with stopped_when(lambda: job.stopped):
                        try:
                            shown = next(steps)
                        except StopIteration:
                            return
                    yield shown

        return generator

    @functools.wraps(handler)
    def function(*args: Any, **kwargs: Any) -> Any:
        with _as_message(), JOBS.run() as job, stopped_when(lambda: job.stopped):
            return handler(*args, **kwargs)
        return gr.skip()  # it was stopped

    return function


@contextmanager
def _as_message() -> Iterator[None]:
    """Turn an error inside into a message for people; work that was stopped just ends."""
    try:
        yield
    except Stopped:
        return
    except gr.Error:
        raise
    except Exception as error:
        text = str(error)
        if not is_for_people(error):
            _log.error("unexpected error in the page", exc_info=error)
            text = _UNEXPECTED
        # Gradio shows messages as HTML, and a file's name may be part of one.
        text = html.escape(text, quote=False)
        raise gr.Error(text, duration=_SECONDS, print_exception=False) from error


# ---- declarations -------------------------------------------------------------------------------


def visitor_state(value: Any = None) -> gr.State:
    """Make a state, whose value for each visitor is forgotten after an hour."""
    return gr.State(value, time_to_live=3600)


def connect(
    component: Any, selector: str, used: Sequence[str] = (), **events: tuple[Any, ...]
) -> None:
    """Add events of a component, whose script is notified when each has ended.

    Args:
        selector, used: see `notify_ended`; ``used`` are names of events.
        events: by name: handler, inputs, outputs and queue, one of `HEAVY`, `LIGHT`, ….
    """
    for name, (handler, inputs, outputs, queue) in events.items():
        event = getattr(component, name)(handler, inputs, outputs, **queue)
        notify_ended(event, selector, name, used=name in used)


def notify_ended(
    event: Any, selector: str, name: str, first: Any = None, used: bool = False
) -> None:
    """Send components in the browser the DOM event ``ended`` when their event ends or fails.

    Args:
        selector: finds the components.
        name: of the event, since others of theirs may go on.
        first: an event that leads to this one: where it fails, both have ended.
        used: on success send ``used`` instead, as the event sets a face elsewhere on the page.
    """
    # Gradio 6.31 leaves "then" out after a failure.
    ends = [event.success, event.failure, *([] if first is None else [first.failure])]
    for end in ends:
        kind = "used" if used and end is ends[0] else "ended"
        dom_event = f"new CustomEvent('{kind}', {{ detail: '{name}' }})"
        found = f"document.querySelectorAll('{selector}')"
        js = f"() => {{ {found}.forEach((e) => e.dispatchEvent({dom_event})); }}"
        end(None, None, None, js=js, **QUIET)


# ---- what a browser sends -----------------------------------------------------------------------


def field(event: gr.EventData, name: str) -> Any:
    """Return one field of what a browser sent with its event: anything, or None."""
    try:
        return getattr(event, name, None)
    except TypeError:  # not even an object
        return None


def files_of(event: gr.EventData, most: int, what: str) -> list[Any]:
    """Return what an event names as its uploaded files, 1 to ``most``, unchecked; ``what`` is the
    rest of the sentence "At most 64 …", without its full stop."""
    paths = field(event, "paths")
    if not isinstance(paths, list) or not paths:
        raise UserError("The upload did not arrive: please try again.")
    if len(paths) > most:
        raise UserError(f"At most {most} {what}.")
    return paths


def each_of(
    paths: Sequence[Any],
    use: Callable[[Path], Made],
    progress: Progress | None = None,
    partly: bool = False,
) -> list[Made]:
    """Return ``use(file)`` of each uploaded file; those that it refuses are left out and named.
    Raises UserError: all are refused.

    Args:
        progress: counts files.
        partly: when it is stopped, return what there is so far.
    """
    made: list[Made] = []
    wrong: list[str] = []
    try:
        steps = Steps(len(paths), progress)
        for path in paths:
            try:
                made.append(use(uploaded_file(path)))
            except UserError as error:
                wrong.append(str(error))
            steps.advance()
    except Stopped:
        if not (partly and made):
            raise
    if wrong and not made:
        raise UserError(wrong[0] if len(wrong) == 1 else f"None can be used: {_listed(wrong)}")
    if wrong:
        text = html.escape(f"Left out: {_listed(wrong)}", quote=False)
        gr.Warning(text, duration=_WARNING_SECONDS)
    return made


def _listed(wrong: list[str]) -> str:
    more = [f"And {len(wrong) - _NAMED} more."] if len(wrong) > _NAMED else []
    return " ".join([*wrong[:_NAMED], *more])
