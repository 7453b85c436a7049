"""The Learn tab in a real Chromium: sliders repaint, training runs and stops."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from glow_app.lessons import plane
from tests.page_tools import WAIT_MS, Tab

pytest_plugins = ["tests.page_fixtures"]
pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def _learn(tab: Tab) -> None:
    tab.go("Learn")
    expect(tab.get_by_role("heading", name="What is a normalizing flow?")).to_be_visible()


def lesson(tab: Tab, name: str) -> Locator:
    return tab.locator(f".lesson[data-lesson={name}]")


def ready(tab: Tab, name: str, attribute: str) -> Locator:
    """The lesson, once it has shown something for the first time."""
    lesson(tab, name).scroll_into_view_if_needed()  # lessons begin when they are seen
    found = tab.locator(f".lesson[data-lesson={name}][{attribute}]")
    expect(found).to_be_visible()
    return found


def painted(canvas: Locator) -> str:
    return canvas.evaluate("canvas => canvas.toDataURL()")


@contextmanager
def repaints(tab: Tab, canvas: Locator) -> Iterator[None]:
    """What happens inside must change what the canvas shows."""
    canvas.scroll_into_view_if_needed()
    tab.wait_for_timeout(50)
    before = painted(canvas)
    yield
    tab.wait_for_function(
        "([canvas, before]) => canvas.toDataURL() !== before",
        arg=[canvas.element_handle(), before],
        timeout=WAIT_MS,
    )


def fact(board: Locator, name: str) -> str:
    return board.locator(f".fact-{name}").first.inner_text()


def test_sliders_and_choices_change_the_pictures(tab: Tab, photos: list[Path]) -> None:
    board = ready(tab, "density", "data-shows")
    with repaints(tab, board.locator("canvas")):
        board.get_by_label("Where z is").focus()
        tab.keyboard.press("ArrowRight")
    assert fact(board, "area-z") == fact(board, "area-x")
    assert float(fact(board, "area-z")) > 0
    assert fact(board, "integral") == "1.00000"
    board.get_by_text("The code").click()
    board.get_by_role("button", name="glow_app/lessons/density.py").click()
    expect(board.locator("pre").first).to_contain_text('"""Lesson 1')
    board.get_by_label("Density of z").select_option("symmetric")
    refusal = board.get_by_role("alert")
    expect(refusal).to_contain_text("turns round at z = 0")
    board.get_by_label("Map x = g(z)").select_option("sinh")
    expect(board).to_have_attribute("data-shows", "symmetric sinh")
    expect(refusal).to_be_hidden()

    board = ready(tab, "plane", "data-probe")
    with repaints(tab, board.locator("canvas.codes")):
        board.get_by_label("x 1").focus()
        tab.keyboard.press("ArrowRight")
    z = board.get_by_label("z 1").input_value()
    with repaints(tab, board.locator("canvas.data")):
        board.get_by_label("z 1").focus()
        tab.keyboard.press("PageUp")
    assert board.get_by_label("z 1").input_value() != z

    board = ready(tab, "chain", "data-layer")
    with repaints(tab, board.locator("canvas.cloud")):
        board.get_by_label("Layers of g").focus()
        tab.keyboard.press("End")
    expect(board).to_have_attribute("data-layer", re.compile("[1-9]"))
    assert float(fact(board, "sum").replace("−", "-")) == pytest.approx(
        float(fact(board, "total").replace("−", "-")), abs=2e-3
    )

    board = ready(tab, "directions", "data-t")
    face = board.locator("img.face")
    before = face.get_attribute("src")
    with repaints(tab, board.locator("canvas.norms")):
        board.get_by_label("t, place on the path").focus()
        tab.keyboard.press("End")
    assert face.get_attribute("src") != before
    board.get_by_label("arc").check()
    expect(board).to_have_attribute("data-kind", "spherical")
    delta = fact(board, "delta")
    board.get_by_label("Photo for face A").set_input_files(photos[0])
    expect(board.locator("[data-side=a] .source")).to_have_text("your photo")
    assert fact(board, "delta") != delta


def test_training_is_watched_and_stopped(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    # It goes on until it is stopped, however busy the machine is.
    monkeypatch.setattr(plane, "fit", partial(plane.fit, seconds=600.0))
    tab.set_viewport_size({"width": 380, "height": 820})
    tab.settle()
    assert tab.evaluate("() => document.documentElement.scrollWidth") <= 380
    board = ready(tab, "fit", "aria-label")
    board.get_by_label("my own points").check()
    board.get_by_role("button", name="Train").click()
    expect(board.get_by_role("alert")).to_contain_text("Put some points")
    data = board.locator("canvas.data")
    data.scroll_into_view_if_needed()
    for x, y in ((30, 30), (40, 34), (90, 100), (96, 90)):
        data.click(position={"x": x, "y": y})
    data.focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Space")
    expect(data).to_have_attribute("aria-label", "Your data: 5 points")

    with repaints(tab, board.locator("canvas.learned")):
        board.get_by_role("button", name="Train").click()
    expect(board).to_have_attribute("data-step", re.compile("[1-9]"))
    first = float(fact(board, "sum").replace("−", "-"))
    tab.wait_for_function(
        """([board, first]) => Number(board.querySelector('.fact-sum').textContent
            .replace('−', '-').replace(',', '')) > first""",
        arg=[board.element_handle(), first],
        timeout=2 * WAIT_MS,
    )
    board.get_by_role("button", name="Stop").click()
    expect(board.get_by_role("status")).to_contain_text("Stopped after")
    expect(board.get_by_role("button", name="Train")).to_be_enabled()
    chained = lesson(tab, "chain")
    expect(chained).to_have_attribute("data-flow", "trained")
