"""Failures become one human sentence in the page and in the API, never a traceback."""

from __future__ import annotations

import functools
import html
import inspect
import logging
from collections.abc import Callable
from contextlib import closing
from typing import Any

import gradio as gr

from glow_app.common.errors import is_for_people
from glow_app.common.progress import Stopped, stopped_when
from glow_app.ui.presence import presence

__all__ = ["in_words"]

_log = logging.getLogger(__name__)
_SECONDS = 8
_UNEXPECTED = "Something went wrong inside the app; the terminal it runs in has the details."


def _sentence(error: Exception) -> gr.Error:
    """The toast for ``error``: its own sentence if it was written for people."""
    if is_for_people(error):
        text = str(error)
    else:
        _log.error("unexpected error in the page", exc_info=error)
        text = _UNEXPECTED
    # Gradio shows messages as HTML, and a file's name may be part of one.
    text = html.escape(text, quote=False)
    return gr.Error(text, duration=_SECONDS, print_exception=False)


def in_words(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap an event handler (a function or a generator) so that it fails with a sentence.

    Work that the visitor stopped has not failed: it ends with nothing more to show. The work of a
    visitor who leaves the page is stopped, too.
    """
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def generator(*args: Any, **kwargs: Any) -> Any:
            try:
                with presence.work() as left, closing(handler(*args, **kwargs)) as steps:
                    while True:
                        # Gradio takes each step in a context of its own: none lasts over a yield.
                        with stopped_when(left):
                            try:
                                shown = next(steps)
                            except StopIteration:
                                return
                        yield shown
            except Stopped:
                return
            except gr.Error:
                raise
            except Exception as error:
                raise _sentence(error) from error

        return generator

    @functools.wraps(handler)
    def function(*args: Any, **kwargs: Any) -> Any:
        try:
            with presence.work() as left, stopped_when(left):
                return handler(*args, **kwargs)
        except Stopped:
            return gr.skip()
        except gr.Error:
            raise
        except Exception as error:
            raise _sentence(error) from error

    return function
