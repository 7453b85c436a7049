"""How the page looks and whether all can reach everything, in a real Chromium."""

from __future__ import annotations

import re
from itertools import product

import pytest

from tests.page_tools import (
    OpenTab,
    button,
    new_morph,
    settle,
    wait_card,
)

pytest_plugins = ["tests.page_fixtures"]
pytestmark = pytest.mark.browser
TABS = ("Morph", "Journey", "Mix", "Edit", "Sample")
NAMELESS = """() => [...document.querySelectorAll('.stage :is(button, input, select, canvas)')]
    .filter((e) => e.offsetParent)
    .filter((e) => !(e.ariaLabel || e.alt || e.textContent.trim() || e.labels?.length
        || e.parentElement.ariaLabel))
    .map((e) => e.outerHTML.slice(0, 120))"""


def test_nothing_sticks_out_and_dark_is_dark(open_tab: OpenTab) -> None:
    page = open_tab("?__theme=dark")
    color = page.evaluate(
        "() => getComputedStyle(document.querySelector('.player')).backgroundColor"
    )
    assert max(map(int, re.findall(r"\d+", color)[:3])) < 60
    for tab, width in product(TABS, (380, 820, 1280)):
        page.set_viewport_size({"width": width, "height": 800})
        page.get_by_role("tab", name=tab).click()
        settle(page)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width, tab
        outside = page.evaluate(
            """() => [...document.querySelectorAll('.stage :is(button, input, label)')]
                .filter((e) => e.offsetParent)
                .filter((e) => e.getBoundingClientRect().right > innerWidth
                    || (e.matches('.btn') && e.scrollWidth > e.clientWidth + 1))
                .map((e) => e.className + ' ' + e.textContent.trim())"""
        )
        assert not outside, (tab, width, outside)


def test_everything_has_a_name_and_can_be_reached(open_tab: OpenTab) -> None:
    page = open_tab()
    for tab in reversed(TABS):  # and Morph is open in the end
        page.get_by_role("tab", name=tab).click()
        settle(page)
        assert not page.evaluate(NAMELESS), tab
        assert page.locator(".primary-action:visible").count() == 1, tab
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                """() => {
                    const e = document.activeElement;
                    return e.ariaLabel || e.textContent.trim();
                }"""
            )
        )
    assert {
        "Upload photo A",
        "Webcam, photo A",
        "Paste, photo B",
        "Random face B",
        "Seed of face B",
        "Remove photo A",
        "⇄ Swap",
        "Morph",
        "Blend from A to B",
        "Play",
        "Download GIF",
        "Download frame as PNG",
    } <= reached


def test_frames_arriving_move_nothing(open_tab: OpenTab) -> None:
    page = open_tab()
    where = (
        "() => JSON.stringify(document.querySelector('#player .slide').getBoundingClientRect())"
    )
    before = page.evaluate(where)
    with new_morph(page):
        button(page, "Random face A").click()
        wait_card(page, "a")
        assert page.evaluate(where) == before
    assert page.evaluate(where) == before
