"""How the page looks and whether all can reach everything, in a real Chromium."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from tests.page_tools import OpenTab, Tab

pytest_plugins = ["tests.page_fixtures"]
pytestmark = pytest.mark.browser
TABS = ("Morph", "Journey", "Mix", "Edit", "Sample")
NAMELESS = """() => [...document.querySelectorAll('.stage :is(button, input, select, canvas)')]
    .filter((e) => e.offsetParent)
    .filter((e) => !(e.ariaLabel || e.alt || e.textContent.trim() || e.labels?.length
        || e.parentElement.ariaLabel))
    .map((e) => e.outerHTML.slice(0, 120))"""


def test_nothing_sticks_out_and_dark_is_dark(tab: Tab) -> None:
    tab.emulate_media(color_scheme="dark")
    tab.settle()
    color = tab.evaluate(
        "() => getComputedStyle(document.querySelector('.player')).backgroundColor"
    )
    assert max(map(int, re.findall(r"\d+", color)[:3])) < 60
    for name, width in product(TABS, (380, 820, 1280)):
        tab.set_viewport_size({"width": width, "height": 800})
        tab.go(name)
        tab.settle()
        assert tab.evaluate("() => document.documentElement.scrollWidth") <= width, name
        outside = tab.evaluate(
            """() => [...document.querySelectorAll('.stage :is(button, input, label)')]
                .filter((e) => e.offsetParent)
                .filter((e) => e.getBoundingClientRect().right > innerWidth
                    || (e.matches('.btn') && e.scrollWidth > e.clientWidth + 1))
                .map((e) => e.className + ' ' + e.textContent.trim())"""
        )
        assert not outside, (name, width, outside)


def test_everything_has_a_name_and_can_be_reached(tab: Tab) -> None:
    tab.draw()
    for name in reversed(TABS):  # and Morph is open in the end
        tab.go(name)
        tab.settle()
        assert not tab.evaluate(NAMELESS), name
        assert tab.locator(".primary-action:visible").count() == 1, name
    reached = set()
    for _ in range(60):
        tab.keyboard.press("Tab")
        reached.add(
            tab.evaluate(
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


def test_frames_arriving_move_nothing(tab: Tab) -> None:
    where = (
        "() => JSON.stringify(document.querySelector('#player .slide').getBoundingClientRect())"
    )
    before = tab.evaluate(where)
    with tab.new_morph():
        tab.button("Random face A").click()
        tab.wait_card("a")
        assert tab.evaluate(where) == before
    assert tab.evaluate(where) == before


# ---- axe-core -----------------------------------------------------------------------------------

AXE = Path(__file__).resolve().parents[1] / "node_modules" / "axe-core" / "axe.min.js"
# Rule and place of what is not ours: Gradio's own markup, which the page cannot change.
GRADIOS: set[tuple[str, str]] = set()
_RUN = """async (options) => {
    await Promise.all(document.getAnimations().map((one) => one.finished.catch(() => {})));
    const found = await axe.run(document, { resultTypes: ['violations'], ...options });
    return found.violations
        .filter((rule) => ['serious', 'critical'].includes(rule.impact))
        .flatMap((rule) => rule.nodes.map((node) => (
            [rule.id, node.target.join(' '), node.html.slice(0, 200), node.failureSummary])));
}"""
_COLOURS = {"runOnly": ["color-contrast"]}  # all that can differ in the dark


def test_axe_finds_nothing_grave_on_any_tab(open_tab: OpenTab) -> None:
    if not AXE.exists():
        pytest.skip("no axe-core: npm ci --ignore-scripts")
    tab, wrong = open_tab(), []  # a fresh one: what is looked at must not hang on other tests
    tab.evaluate(AXE.read_text(encoding="utf-8"))
    tab.open_options()
    for name in (*TABS, "Learn"):
        tab.go(name)
        if name == "Learn":
            tab.see(".lesson[data-shows]")
        if name == "Sample":
            tab.get_by_label("The same seeds at several temperatures").check()
            tab.locator("#sample-n input[type=number]").fill("4")
            tab.button("Draw faces").click()
            tab.see("#gallery .gallery[data-state=ready]")
        tab.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
        for scheme, options in (("light", {}), ("dark", _COLOURS)):
            tab.emulate_media(color_scheme=scheme)
            tab.settle()
            found = tab.evaluate(_RUN, options)
            wrong += [(name, scheme, *one) for one in found if (one[0], one[1]) not in GRADIOS]
    assert not wrong, "\n".join(" | ".join(one) for one in wrong)
