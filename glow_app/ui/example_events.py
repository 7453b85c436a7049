"""*Try an example*: what a click on an example face does in each tab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from glow_app.faces.face import Face
from glow_app.ui import limits
from glow_app.ui.components import example_row
from glow_app.ui.downloads import field
from glow_app.ui.errors import in_words
from glow_app.ui.events import LIGHT, settle
from glow_app.ui.page_context import PageContext
from glow_app.ui.pair import Pair

__all__ = ["pair_examples", "try_example"]


def try_example(
    context: PageContext,
    elem_id: str,
    use: Callable[..., list[Any]],
    inputs: list[Any],
    outputs: list[Any],
) -> None:
    """Add a row of example faces, where the open context is.

    Args:
        use: called with the face and the values of ``inputs``; returns those of ``outputs``.
    """
    examples = context.welcome.examples
    row = example_row(examples.files, elem_id=elem_id, elem_classes=["examples-area"])
    if not examples.files:
        return

    @in_words
    def pick(event: gr.EventData, *values: Any) -> list[Any]:
        last = len(examples.files) - 1
        index = limits.whole(field(event, "index"), "The example's number", 0, last)
        return use(examples.face(index), *values)

    settle(row.pick(pick, inputs, outputs, **LIGHT), f"#{elem_id} .examples", "pick")


def pair_examples(context: PageContext, elem_id: str) -> None:
    """A row whose faces become photo A or B: on the side that is empty, or was set longest ago."""
    pair: Pair = context.pair

    def use(
        face: Face,
        a: Face | None,
        b: Face | None,
        turn_a: int | None,
        turn_b: int | None,
    ) -> list[Any]:
        to_a = a is None or (b is not None and (turn_a or 0) <= (turn_b or 0))
        kept = [gr.skip() for _ in (pair.b if to_a else pair.a).outputs]
        return [*pair.a.values(face), *kept] if to_a else [*kept, *pair.b.values(face)]

    try_example(context, elem_id, use, [*pair.states, pair.a.turn, pair.b.turn], pair.outputs)
