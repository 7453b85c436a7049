"""How the page's events run: their queues, their errors, and what a browser sends with them."""

from __future__ import annotations

import functools
import html
import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from glow_app.common.errors import UserError, is_for_people
from glow_app.common.progress import Progress, Steps, Stopped, stopped_when
from glow_app.ui.jobs import JOBS
from glow_app.ui.visitors import uploaded_file

HEAVY: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}  # decode many frames
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# One face at a time does not wait for a morph under way: the editor's own lock lets it in between.
LIGHT: dict[str, Any] = {"concurrency_id": "faces", "concurrency_limit": 1, **QUIET}
# Many photos at once keep nobody else's single one waiting.
LONG: dict[str, Any] = {"concurrency_id": "photos", "concurrency_limit": 2, **QUIET}
BESIDE: dict[str, Any] = {"concurrency_limit": 2, **QUIET}  # a queue of its own for each event
STATE_SECONDS = 3600  # a visitor's faces are forgotten after an hour

_SECONDS = 8  # for which an error shows
_WARNING_SECONDS = 12
_NAMED = 3  # files of which a warning says what is wrong with them
_UNEXPECTED = "Something went wrong inside the app; the terminal it runs in has the details."

_log = logging.getLogger(__name__)

Made = TypeVar("Made")


# ---- handlers -----------------------------------------------------------------------------------


def event_handler(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap an event handler (a function or a generator) so that it fails with one sentence.

    Its work is a job of its visitor, which ends when the visitor leaves the page. Work that was
    stopped has not failed: it ends with nothing more to show.
    """
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def generator(*args: Any, **kwargs: Any) -> Any:
            with _in_words(), JOBS.run() as job, closing(handler(*args, **kwargs)) as steps:
                while True:
                    # Gradio takes each step in a context of its own: none lasts over a yield.
                    with stopped_when(job.is_stopped):
                        try:
                            shown = next(steps)
                        except StopIteration:
                            return
                    yield shown

        return generator

    @functools.wraps(handler)
    def function(*args: Any, **kwargs: Any) -> Any:
        with _in_words(), JOBS.run() as job, stopped_when(job.is_stopped):
            return handler(*args, **kwargs)
        return gr.skip()  # it was stopped

    return function


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn an error inside into a message for people; work that was stopped just ends."""
    try:
        yield
    except Stopped:
        return
    except gr.Error:
        raise
    except Exception as error:
        if is_for_people(error):
            text = str(error)
        else:
            _log.error("unexpected error in the page", exc_info=error)
            text = _UNEXPECTED
        # Gradio shows messages as HTML, and a file's name may be part of one.
        text = html.escape(text, quote=False)
        raise gr.Error(text, duration=_SECONDS, print_exception=False) from error


# ---- telling components in the browser ----------------------------------------------------------


def connect(
    component: Any, selector: str, used: Sequence[str] = (), **events: tuple[Any, ...]
) -> None:
    """Add events of a component, which is told in the browser when each has ended.

    Args:
        selector: finds it there.
        used: those that set a face elsewhere on the page: `notify_ended` says so.
        events: by name: handler, inputs, outputs and lane, one of `HEAVY`, `LIGHT`, ….
    """
    for name, (handler, inputs, outputs, lane) in events.items():
        event = getattr(component, name)(handler, inputs, outputs, **lane)
        notify_ended(event, selector, name, used=name in used)


def notify_ended(
    event: Any, selector: str, name: str, first: Any = None, used: bool = False
) -> None:
    """Send components in the browser the DOM event ``ended`` when their event ends, even badly.

    Args:
        event: as Gradio returns it where it is declared.
        selector: finds the components.
        name: of the event, since others of theirs may go on.
        first: an event that leads to this one: where it fails, both have ended.
        used: where it ends well they get ``used`` instead.
    """
    # Gradio 6.31 leaves "then" out after a failure.
    ends = [event.success, event.failure, *([] if first is None else [first.failure])]
    for end in ends:
        kind = "used" if used and end is ends[0] else "ended"
        dom_event = f"new CustomEvent('{kind}', {{ detail: '{name}' }})"
        each = (
            f"document.querySelectorAll('{selector}').forEach((e) => e.dispatchEvent({dom_event}))"
        )
        end(None, None, None, js=f"() => {{ {each}; }}", **QUIET)


# ---- what a browser sends -----------------------------------------------------------------------


def field(event: gr.EventData, name: str) -> Any:
    """Return one field of what a browser sent with its event, which can be anything."""
    try:
        return getattr(event, name, None)
    except TypeError:  # not even an object
        return None


def files_of(event: gr.EventData, most: int, what: str) -> list[Any]:
    """Return what an event names as its uploaded files, 1 to ``most``; none is looked at yet.

    Args:
        what: the rest of the sentence "At most 64 …", without its full stop.
    """
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

    Args:
        progress: counts files.
        partly: when it is stopped, what there is so far is of use.

    Raises:
        UserError: all are refused.
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
    more = len(wrong) - _NAMED
    return " ".join([*wrong[:_NAMED], *([f"And {more} more."] if more > 0 else [])])
