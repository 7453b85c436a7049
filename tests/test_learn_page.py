"""The Learn tab in a real Chromium: sliders repaint, training runs and stops."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from glow_app.lessons import plane
from tests.page_tools import WAIT_MS, OpenTab

pytest_plugins = ["tests.page_fixtures"]
pytestmark = pytest.mark.browser


def learn(open_tab: OpenTab, **options: object) -> Page:
    page = open_tab(ready=False, **options)
    page.get_by_role("tab", name="Learn").click()
    expect(page.get_by_role("heading", name="What is a normalizing flow?")).to_be_visible()
    return page


def lesson(page: Page, name: str) -> Locator:
    return page.locator(f".lesson[data-lesson={name}]")


def ready(page: Page, name: str, attribute: str) -> Locator:
    """The lesson, once it has shown something for the first time."""
    lesson(page, name).scroll_into_view_if_needed()  # lessons begin when they are seen
    found = page.locator(f".lesson[data-lesson={name}][{attribute}]")
    expect(found).to_be_visible(timeout=2 * WAIT_MS)
    return found


def painted(canvas: Locator) -> str:
    return canvas.evaluate("canvas => canvas.toDataURL()")


@contextmanager
def repaints(page: Page, canvas: Locator) -> Iterator[None]:
    """What happens inside must change what the canvas shows."""
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(50)
    before = painted(canvas)
    yield
    page.wait_for_function(
        "([canvas, before]) => canvas.toDataURL() !== before",
        arg=[canvas.element_handle(), before],
        timeout=WAIT_MS,
    )


def fact(board: Locator, name: str) -> str:
    return board.locator(f".fact-{name}").first.inner_text()


def test_sliders_and_choices_change_the_pictures(open_tab: OpenTab, photos: list[Path]) -> None:
    page = learn(open_tab)

    board = ready(page, "density", "data-shows")
    with repaints(page, board.locator("canvas")):
        board.get_by_label("Where z is").focus()
        page.keyboard.press("ArrowRight")
    assert fact(board, "area-z") == fact(board, "area-x")
    assert float(fact(board, "area-z")) > 0
    assert fact(board, "integral") == "1.00000"
    board.get_by_text("The code").click()
    board.get_by_role("button", name="glow_app/lessons/density.py").click()
    expect(board.locator("pre").first).to_contain_text('"""Lesson 1', timeout=WAIT_MS)
    board.get_by_label("Density of z").select_option("symmetric")
    refusal = board.get_by_role("alert")
    expect(refusal).to_contain_text("turns round at z = 0", timeout=WAIT_MS)
    board.get_by_label("Map x = g(z)").select_option("sinh")
    expect(board).to_have_attribute("data-shows", "symmetric sinh", timeout=WAIT_MS)
    expect(refusal).to_be_hidden()

    board = ready(page, "plane", "data-probe")
    with repaints(page, board.locator("canvas.codes")):
        board.get_by_label("x 1").focus()
        page.keyboard.press("ArrowRight")
    z = board.get_by_label("z 1").input_value()
    with repaints(page, board.locator("canvas.data")):
        board.get_by_label("z 1").focus()
        page.keyboard.press("PageUp")
    assert board.get_by_label("z 1").input_value() != z

    board = ready(page, "chain", "data-layer")
    with repaints(page, board.locator("canvas.cloud")):
        board.get_by_label("Layers of g").focus()
        page.keyboard.press("End")
    expect(board).to_have_attribute("data-layer", re.compile("[1-9]"))
    assert float(fact(board, "sum").replace("−", "-")) == pytest.approx(
        float(fact(board, "total").replace("−", "-")), abs=2e-3
    )

    board = ready(page, "directions", "data-t")
    face = board.locator("img.face")
    before = face.get_attribute("src")
    with repaints(page, board.locator("canvas.norms")):
        board.get_by_label("t, place on the path").focus()
        page.keyboard.press("End")
    assert face.get_attribute("src") != before
    board.get_by_label("arc").check()
    expect(board).to_have_attribute("data-kind", "spherical", timeout=2 * WAIT_MS)
    delta = fact(board, "delta")
    board.get_by_label("Photo for face A").set_input_files(photos[0])
    expect(board.locator("[data-side=a] .source")).to_have_text("your photo", timeout=2 * WAIT_MS)
    assert fact(board, "delta") != delta


def test_training_is_watched_and_stopped(
    open_tab: OpenTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It goes on until it is stopped, however busy the machine is.
    monkeypatch.setattr(plane, "fit", partial(plane.fit, seconds=600.0))
    page = learn(open_tab, viewport={"width": 380, "height": 820})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 380
    board = ready(page, "fit", "aria-label")
    board.get_by_label("my own points").check()
    board.get_by_role("button", name="Train").click()
    expect(board.get_by_role("alert")).to_contain_text("Put some points")
    data = board.locator("canvas.data")
    data.scroll_into_view_if_needed()
    for x, y in ((30, 30), (40, 34), (90, 100), (96, 90)):
        data.click(position={"x": x, "y": y})
    data.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(data).to_have_attribute("aria-label", "Your data: 5 points")

    with repaints(page, board.locator("canvas.learned")):
        board.get_by_role("button", name="Train").click()
    expect(board).to_have_attribute("data-step", re.compile("[1-9]"), timeout=2 * WAIT_MS)
    first = float(fact(board, "sum").replace("−", "-"))
    page.wait_for_function(
        """([board, first]) => Number(board.querySelector('.fact-sum').textContent
            .replace('−', '-').replace(',', '')) > first""",
        arg=[board.element_handle(), first],
        timeout=2 * WAIT_MS,
    )
    board.get_by_role("button", name="Stop").click()
    expect(board.get_by_role("status")).to_contain_text("Stopped after", timeout=WAIT_MS)
    expect(board.get_by_role("button", name="Train")).to_be_enabled()
    chained = lesson(page, "chain")
    expect(chained).to_have_attribute("data-flow", "trained", timeout=WAIT_MS)
