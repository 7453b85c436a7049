"""How the page looks and whether all can reach everything, in a real Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page_tools import WAIT_MS, button, go, new_morph, settle, wait_card

pytest_plugins = ["tests.page_fixtures"]
pytestmark = pytest.mark.browser
TABS = ("Morph", "Journey", "Mix", "Edit", "Sample")
NAMELESS = """() => [...document.querySelectorAll('.stage :is(button, input, select, canvas)')]
    .filter((e) => e.offsetParent)
    .filter((e) => !(e.ariaLabel || e.alt || e.textContent.trim() || e.labels?.length
        || e.parentElement.ariaLabel))
    .map((e) => e.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def themed(chromium: Browser, server: str) -> Iterator[dict[str, Page]]:
    """The page, light and dark, for tests that only look at it."""
    from tests.page_fixtures import tabs  # not above, where pytest could not rewrite it

    with tabs(chromium, server) as open_page:
        yield {theme: open_page(f"?__theme={theme}") for theme in ("light", "dark")}


def test_nothing_sticks_out_and_dark_is_dark(themed: dict[str, Page]) -> None:
    page = themed["dark"]
    color = page.evaluate(
        "() => getComputedStyle(document.querySelector('.player')).backgroundColor"
    )
    assert max(map(int, re.findall(r"\d+", color)[:3])) < 60
    for tab, width in product(TABS, (380, 820, 1280)):
        page.set_viewport_size({"width": width, "height": 800})
        go(page, tab)
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


def test_everything_has_a_name_and_can_be_reached(themed: dict[str, Page]) -> None:
    page = themed["light"]
    for tab in reversed(TABS):  # and Morph is open in the end
        go(page, tab)
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
        "Upload photo A", "Webcam, photo A", "Paste, photo B", "Random face B", "Seed of face B",
        "Remove photo A", "⇄ Swap", "Morph", "Blend from A to B", "Play", "Download GIF",
        "Download frame PNG",
    } <= reached  # fmt: skip


def test_frames_arriving_move_nothing(themed: dict[str, Page]) -> None:
    page = themed["light"]
    go(page, "Morph")
    where = (
        "() => JSON.stringify(document.querySelector('#player .slide').getBoundingClientRect())"
    )
    before = page.evaluate(where)
    with new_morph(page):
        button(page, "Random face A").click()
        wait_card(page, "a")
        assert page.evaluate(where) == before
    assert page.evaluate(where) == before


# ---- axe-core -----------------------------------------------------------------------------------

AXE = Path(__file__).resolve().parents[1] / "node_modules" / "axe-core" / "axe.min.js"
# Rule and place of what is not ours: Gradio's own markup, which the page cannot change.
GRADIOS: set[tuple[str, str]] = set()
_RUN = """async () => {
    const found = await axe.run(document, { resultTypes: ['violations'] });
    return found.violations
        .filter((rule) => ['serious', 'critical'].includes(rule.impact))
        .flatMap((rule) => rule.nodes.map((node) => (
            [rule.id, node.target.join(' '), node.html.slice(0, 200), node.failureSummary])));
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_grave_on_any_tab(themed: dict[str, Page], theme: str) -> None:
    if not AXE.exists():
        pytest.skip("no axe-core: npm ci --ignore-scripts")
    page, wrong = themed[theme], []
    page.evaluate(AXE.read_text(encoding="utf-8"))
    go(page, "Morph")
    page.get_by_role("button", name="Options").click()
    for tab in (*TABS, "Learn"):
        go(page, tab)
        if tab == "Learn":
            expect(page.locator(".lesson[data-shows]").first).to_be_visible(timeout=WAIT_MS)
        page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
        settle(page)
        found = page.evaluate(_RUN)
        wrong += [(tab, *one) for one in found if (one[0], one[1]) not in GRADIOS]
    assert not wrong, "\n".join(" | ".join(one) for one in wrong)
