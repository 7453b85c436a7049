"""The page in a real Chromium, used as a visitor would: mouse, keyboard, files."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, Request, expect

from glow_app.editing.editor import Editor
from glow_app.export.animation import save_animation
from glow_app.faces.coding import resized
from glow_app.ui.on_demand import FullFrames, Scenes
from glow_app.ui.page_faces import TEMPERATURE, drawn_face
from tests.page_tools import (
    FRAMES,
    WAIT_MS,
    OpenTab,
    button,
    canvas,
    choose,
    crop,
    download,
    far,
    is_painted,
    look,
    move_to,
    new_morph,
    open_morph,
    painted,
    settle,
    slider,
    toast,
    wait_card,
    wait_ready,
)

pytest_plugins = ["tests.page_fixtures"]
pytestmark = pytest.mark.browser

# How many rows of a canvas from one to another have strong ink on them.
_ROWS_WITH_INK = """(canvas, [top, bottom]) => {
    const { data } = canvas.getContext('2d').getImageData(0, top, canvas.width, bottom - top);
    const rows = Array.from({ length: bottom - top }, (_, y) => (
        data.subarray(4 * y * canvas.width, 4 * (y + 1) * canvas.width)));
    return rows.filter((row) => row.some((value, i) => i % 4 === 3 && value > 200)).length;
}"""


# ---- opening ------------------------------------------------------------------------------------


# ---- two photos, the slider ---------------------------------------------------------------------


def test_two_drawn_faces_greet_and_two_photos_are_morphed(
    open_released_tab: OpenTab, released: Editor, photos: list[Path]
) -> None:
    page = open_released_tab()
    for side in "ab":
        card = page.locator(f"#photo-{side}")
        assert crop(page, side).shape == (64, 64, 3)
        expect(card).to_contain_text("bits/dim")
        expect(card).to_contain_text("Round trip: exact, 0 levels off")
        expect(card).to_contain_text("Drawn by the model")
    expect(slider(page)).to_be_enabled()
    assert page.locator(".player").get_attribute("data-frames") == str(FRAMES)

    choose(page, "a", photos[0])
    choose(page, "b", photos[1])
    with new_morph(page):
        button(page, "Morph").click()
    expect(page.locator("#photo-a")).to_contain_text("Your photo")
    expect(page.locator("#photo-a")).to_contain_text(re.compile(r"\d\.\d\d bits/dim"))
    expect(page.locator("#photo-a")).to_contain_text("Round trip: exact, 0 levels off")
    # The card shows the photo, and when asked what the model sees of it: in the mean shape.
    for side, photo in zip("ab", photos, strict=True):
        face, seen = released.prepare(photo), page.locator(f"#photo-{side} .seen")
        expect(seen).to_be_hidden()
        page.locator(f"#photo-{side} .see").click()
        expect(seen).to_be_visible()
        assert np.array_equal(look(page, side), released.model.looks.of(face))
        assert not np.array_equal(look(page, side), face.pixels)
        assert far(crop(page, side), face.at(len(crop(page, side)))) < 3

    move, end = hold_slider(page)
    seen = [canvas(page)]
    for i in range(1, 15):
        move(i / 14)
        settle(page)
        seen.append(canvas(page))
    end()
    changes = [far(x, y) for x, y in pairwise(seen)]
    assert min(changes) > 0.05, changes
    assert slider(page).evaluate("range => range.valueAsNumber") > 0.98
    assert far(seen[0], painted(page, crop(page, "a"))) < far(seen[0], seen[-1]) / 2
    assert far(seen[-1], painted(page, crop(page, "b"))) < far(seen[0], seen[-1]) / 2


def hold_slider(page: Page) -> tuple[Callable[[float], None], Callable[[], None]]:
    """Take the slider's thumb with the mouse; what moves it to a place from 0 to 1, and what
    lets go."""
    range_ = slider(page)
    range_.scroll_into_view_if_needed()
    box = range_.bounding_box()
    assert box
    middle, thumb = box["y"] + box["height"] / 2, 12

    def move(place: float) -> None:
        page.mouse.move(box["x"] + thumb + (box["width"] - 2 * thumb) * place, middle)

    move(0)
    page.mouse.down()
    settle(page)
    return move, page.mouse.up


def test_full_size_comes_nearest_first_and_stops_and_ends_are_exactly_the_photos(
    open_tab: OpenTab, photos: list[Path], small: Editor
) -> None:
    page = open_tab()
    asked: list[list[int]] = []

    def listen(request: Request) -> None:
        if "component_server" in request.url and '"frames"' in (request.post_data or ""):
            asked.append(request.post_data_json["data"]["frames"])

    page.on("request", listen)
    note = f"Drawn faces have the model's {small.image_size} pixels"
    expect(page.locator("#player .line")).to_contain_text(note)
    slider(page).evaluate("r => { r.value = 0.5; r.dispatchEvent(new Event('input')); }")
    choose(page, "a", photos[0])
    button(page, "Stop making frames at full size").click()
    player = page.locator("#player .player")
    done = player.get_attribute("data-full")
    assert int(done or 0) < FRAMES
    assert {abs(i - FRAMES // 2) for i in asked[0]} <= {0, 1, 2} and len(asked[0]) == 4
    page.wait_for_timeout(400)
    assert player.get_attribute("data-full") == done
    button(page, "Morph").click()  # and goes on
    expect(player).to_have_attribute("data-full", str(FRAMES), timeout=WAIT_MS)
    expect(page.locator("#player .line")).to_contain_text(f"{FRAMES} frames at full size")

    full = small.prepare(photos[0]).full
    assert full is not None
    size = min(512, len(full))
    for key, picture in (("Home", full), ("End", crop(page, "b"))):
        move_to(page, key)
        assert is_painted(page, resized(picture, size)), key


def test_keyboard_and_stills_where_motion_is_unwanted(open_tab: OpenTab) -> None:
    page = open_tab()
    range_ = slider(page)
    assert range_.evaluate("range => range.valueAsNumber") == 0  # it does not move by itself
    button(page, "Play").click()
    page.wait_for_timeout(1000)
    button(page, "Pause").click()
    t = range_.evaluate("range => range.valueAsNumber")
    assert t > 0 and t * 8 == pytest.approx(round(t * 8))

    move_to(page, "Home")
    before = canvas(page)
    for key, t in [
        ("ArrowRight", 0.01), ("ArrowUp", 0.02), ("ArrowLeft", 0.01), ("PageUp", 0.11),
        ("PageUp", 0.21), ("PageDown", 0.11), ("ArrowDown", 0.10), ("End", 1), ("ArrowRight", 1),
        ("Home", 0),
    ]:  # fmt: skip
        move_to(page, key)
        assert range_.evaluate("range => range.valueAsNumber") == pytest.approx(t), key
        expect(range_).to_have_attribute("aria-valuetext", f"{round(100 * t)} percent")
        expect(page.locator(".player .t")).to_have_text(f"t = {t:.3f}")
        if t > 0:
            assert far(canvas(page), before) > 0.01
    assert far(canvas(page), before) < 0.01


def test_it_moves_by_itself_at_first_and_plays_and_pauses(open_tab: OpenTab) -> None:
    page = open_tab(reduced_motion="no-preference", ready=False)
    expect(page.locator(".player[data-playing]")).to_be_visible(timeout=WAIT_MS)
    expect(button(page, "Pause")).to_be_visible()
    wait_ready(page)
    move_to(page, "Home")  # ends the greeting
    button(page, "Play").click()
    expect(button(page, "Pause")).to_have_attribute("aria-pressed", "true")
    there_and_back = """() => {
        const t = document.querySelector('#player input[type=range]').valueAsNumber;
        window.seen = [...(window.seen ?? []), t];
        const steps = window.seen.slice(1).map((value, i) => value - window.seen[i]);
        return steps.some((step) => step > 0) && steps.some((step) => step < 0);
    }"""
    page.wait_for_function(there_and_back, polling=300, timeout=WAIT_MS)
    button(page, "Pause").click()
    settle(page)
    still = canvas(page)
    page.wait_for_timeout(150)
    assert far(canvas(page), still) < 0.01
    # The space bar on the slider plays, and moving the slider ends it.
    slider(page).focus()
    page.keyboard.press(" ")
    expect(button(page, "Pause")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(button(page, "Play")).to_be_visible()


def test_the_slider_keeps_up_with_the_display(open_tab: OpenTab) -> None:
    """Input to repainted canvas, with real mouse moves; the numbers are printed."""
    page = open_tab()
    page.evaluate(
        """() => {
            const range = document.querySelector('#player input');
            window.delays = [];
            let moved = 0; // when the mouse moved, before the browser held it for a frame
            window.addEventListener('pointermove', (e) => { moved = e.timeStamp; }, true);
            range.addEventListener('input', () => {
                // Asked for after the player's own, so it runs once the canvas is painted.
                const began = moved;
                requestAnimationFrame(() => window.delays.push(performance.now() - began));
            });
        }"""
    )
    move, end = hold_slider(page)
    moves = 120
    for i in range(moves):
        move((i + 1) / moves)
        page.wait_for_timeout(12)
    end()
    delays = np.array(page.evaluate("() => window.delays"))
    median, high = np.percentile(delays, [50, 95])
    print(f"\nslider input to painted canvas: median {median:.1f} ms, p95 {high:.1f} ms")
    assert len(delays) > moves / 2
    assert median <= 34


# ---- random faces, swap -------------------------------------------------------------------------


def test_seeds_swapping_and_removing(open_tab: OpenTab) -> None:
    page = open_tab("?a=3&b=4")  # the address can name the seeds
    seed, random_face = page.get_by_label("Seed of face A"), button(page, "Random face A")
    expect(seed).to_have_value("3")
    a, b = crop(page, "a"), crop(page, "b")
    with new_morph(page):
        button(page, "⇄ Swap").click()
        expect(seed).to_have_value("4")
    assert far(crop(page, "a"), b) == far(crop(page, "b"), a) == 0
    move_to(page, "Home")
    assert is_painted(page, b)

    seed.fill("7")
    with new_morph(page):
        random_face.click()
        wait_card(page, "a")
    seven = crop(page, "a")
    with new_morph(page):
        random_face.click()  # nothing typed: a new seed, which shows
        expect(seed).not_to_have_value("7")
    assert far(crop(page, "a"), seven) > 3
    with new_morph(page):
        seed.fill("7")
        seed.press("Enter")
    assert far(crop(page, "a"), seven) == 0
    move_to(page, "Home")
    assert is_painted(page, seven)  # the morph followed by itself

    button(page, "Remove photo B").click()
    expect(page.locator("#photo-b")).to_contain_text("Drop a photo here")
    expect(page.locator("#player")).to_contain_text("Two faces make a morph")
    expect(slider(page)).to_be_disabled()
    button(page, "Morph").click()
    assert toast(page) == "Choose a photo or a random face for B first."
    button(page, "Random face B").click()
    wait_ready(page)


def test_options_change_the_morph_and_swapping_keeps_what_was_asked_of_a(
    open_tab: OpenTab, small: Editor
) -> None:
    """Half way each option shows the picture that the editor makes with it, and no other."""
    page = open_tab("?a=1&b=2")
    faces = [drawn_face(small, seed, TEMPERATURE) for seed in (1, 2)]
    assert small.have_landmarks(*faces)
    slider(page).evaluate(
        "range => { range.value = 0.5; range.dispatchEvent(new Event('input')); }"
    )
    page.get_by_role("button", name="Options").click()
    ways = {
        "": {},
        "Take B's": {"ground": "b"},
        "Arc": {"ground": "b", "path": "spherical"},
        "kappa": {"ground": "b", "path": "spherical", "kappa": 1.0},
        "The model alone": {"path": "spherical", "alone": True},
        "Photos, changed by the model": {"ground": "b", "path": "spherical", "kappa": 1.0},
        "Straight line": {"ground": "b", "kappa": 1.0},
        "Keep A's": {"ground": "a", "kappa": 1.0},
    }
    middles = {name: small.morph_frames(*faces, [0.5], **how) for name, how in ways.items()}
    expected = {name: painted(page, middle.frames[0]) for name, middle in middles.items()}
    shown = {}
    for name in ways:
        if name == "kappa":
            with new_morph(page):
                page.locator("#kappa input[type=number]").fill("1")
                page.keyboard.press("Tab")
        elif name:
            with new_morph(page):
                page.locator("#options").get_by_label(name, exact=True).check()
        settle(page)
        shown[name] = canvas(page)
        off = {other: far(shown[name], picture) for other, picture in expected.items()}
        # Half way "switch" may show the ground of either; triangles may lie a little otherwise.
        assert off[name] < 0.2 and off[name] == min(off.values()), (name, off)
    assert far(shown["Keep A's"], shown["Take B's"]) > 5
    assert far(shown["kappa"], shown["The model alone"]) > 5
    with new_morph(page):
        page.keyboard.press("Control+Enter")

    # Its plot is there, so that frames would be turned round if that were enough.
    expect(page.locator("#player .plot[data-bits]")).to_be_attached(timeout=WAIT_MS)
    with new_morph(page):
        button(page, "⇄ Swap").click()
        expect(page.get_by_label("Seed of face A")).to_have_value("2")
    settle(page)
    for ground, fits in (("a", True), ("b", False)):
        (middle,) = small.morph_frames(*faces[::-1], [0.5], ground=ground, kappa=1.0).frames
        assert (far(canvas(page), painted(page, middle)) < 0.2) == fits, ground


def ranged(path: Path, low: float, high: float) -> Path:
    """A file whose range no control of the page makes."""
    note = {"made_with": "Glow Studio", "kind": "morph", "way": "photos", "t_range": [low, high]}
    faces = [{"seed": seed, "temperature": TEMPERATURE} for seed in (1, 2)]
    still = np.zeros((2, 64, 64, 3), np.uint8)
    return save_animation(still, path, size=64, metadata={**note, "faces": faces})


def test_swap_with_a_range_that_is_not_symmetric(
    open_tab: OpenTab, small: Editor, tmp_path: Path
) -> None:
    """What lay beyond B lies beyond the new B, and marks have the letters of the faces there."""
    page = open_tab("?a=3&b=4")
    range_, marks = page.locator("#player input[type=range]"), page.locator("#player .stops b")
    open_morph(page, ranged(tmp_path / "m.gif", 0.5, 1.25))
    expect(page.locator("#player input[min='0.5'][max='1.25']")).to_be_attached(timeout=WAIT_MS)
    wait_ready(page)
    expect(marks).to_have_text(["B"])
    expect(page.locator("#player .plot[data-bits]")).to_be_attached(timeout=WAIT_MS)
    with new_morph(page):
        button(page, "⇄ Swap").click()
        expect(page.get_by_label("Seed of face A")).to_have_value("2")
    expect(marks).to_have_text(["B"])
    b, a = (drawn_face(small, seed, TEMPERATURE) for seed in (1, 2))
    for t in (0.75, 1.0, 1.25):  # where there are frames
        range_.evaluate("(r, t) => { r.value = t; r.dispatchEvent(new Event('input')); }", t)
        settle(page)
        (wanted,) = small.morph_frames(a, b, [t]).frames
        assert far(canvas(page), painted(page, wanted)) < 0.2, t


# ---- events beside each other -------------------------------------------------------------------


def test_a_busy_server_is_asked_again(
    open_tab: OpenTab, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's frames and pictures take the turn; then all of the visitor's come."""
    monkeypatch.setattr("glow_app.ui.on_demand._PATIENCE", 0.05)
    taken, told = {}, []

    def taking(kind: type, method: str) -> None:
        original = getattr(kind, method)

        def asked(self: object, question: object) -> object:
            if kind not in taken:
                taken[kind] = self._turn
                self._turn.acquire()
            answer = original(self, question)
            told.append("error" in answer)
            return answer

        monkeypatch.setattr(kind, method, asked)

    taking(FullFrames, "frames")
    page = open_tab()
    choose(page, "a", photos[0])
    player = page.locator("#player .player")
    page.wait_for_timeout(1200)
    assert taken and set(told) == {True} and player.get_attribute("data-full") is None
    taken[FullFrames].release()
    expect(player).to_have_attribute("data-full", str(FRAMES), timeout=WAIT_MS)

    taking(Scenes, "picture")
    page.get_by_role("tab", name="Edit").click()
    expect(page.locator("#edit .status")).to_have_text(re.compile("busy"), timeout=WAIT_MS)
    taken[Scenes].release()
    ready = page.locator("#edit .live[data-state=ready]:not([data-pending])")
    expect(ready).to_be_visible(timeout=WAIT_MS)
    expect(page.locator("#edit .status")).to_have_text("")


def test_an_event_that_ends_leaves_another_alone(
    open_tab: OpenTab, small: Editor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_tab()
    player = page.locator("#player .player")
    page.get_by_role("button", name="Options").click()
    decode, goes_on = small.model._decode, threading.Event()
    monkeypatch.setattr(small.model, "_decode", lambda *args: (goes_on.wait(30), decode(*args))[1])
    with new_morph(page):
        page.get_by_label("Even speed").check()
        expect(page.locator("#player .long-text")).to_contain_text("Decoding", timeout=WAIT_MS)
        download(page, "Download GIF", tmp_path)  # of what is still shown
        page.wait_for_timeout(500)
        expect(player).to_have_attribute("data-working", "")
        expect(page.locator("#player .long-text")).to_contain_text("Decoding")
        goes_on.set()

    goes_on.clear()
    monkeypatch.setattr(
        "glow_app.ui.downloads.save_animation",
        lambda *args, **more: (goes_on.wait(30), save_animation(*args, **more))[1],
    )
    gif = button(page, "Download GIF")
    with page.expect_download(timeout=60_000) as files:
        gif.click()
        with new_morph(page):
            page.get_by_label("Even speed").uncheck()
        expect(page.locator("#player .plot[data-bits]")).to_be_attached(timeout=WAIT_MS)
        page.wait_for_timeout(500)
        assert player.get_attribute("data-saving") == "gif"  # a second click does nothing
        expect(page.locator("#player .status")).to_have_text("Preparing the GIF…")
        goes_on.set()
    assert files.value.suggested_filename.endswith(".gif")
    expect(player).not_to_have_attribute("data-saving", re.compile(""))


# ---- the wider morph ----------------------------------------------------------------------------


def test_beyond_a_and_b_with_a_plot_that_moves_the_slider(open_tab: OpenTab) -> None:
    page = open_tab()
    page.get_by_role("button", name="Options").click()
    with new_morph(page):
        page.get_by_label("Go beyond A and B").check()
    range_ = page.locator("#player input[type=range]")
    assert page.locator("#player .player").get_attribute("data-frames") == "65"
    expect(page.locator("#player .stops b")).to_have_text(["A", "B"])

    range_.focus()
    page.keyboard.press("Home")
    settle(page)
    assert range_.evaluate("range => range.valueAsNumber") == -0.5
    clipped = page.locator("#player .clipped")
    expect(clipped).to_be_hidden()  # where photos carry the picture nothing is clipped

    # A click three quarters along the plot is t = 1, which is B to the byte.
    plot = page.locator("#player .plot")
    expect(page.locator("#player .plot[data-bits='65']")).to_be_attached(timeout=WAIT_MS)
    for lane in ((13, 37), (52, 72)):  # each holds a curve: ink in more than two of its rows
        rows = plot.locator("canvas").evaluate(_ROWS_WITH_INK, lane)
        assert rows > 3
    box = plot.bounding_box()
    assert box
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + box["height"] / 2)
    settle(page)
    t = range_.evaluate("range => range.valueAsNumber")
    assert t == pytest.approx(1, abs=0.01)
    range_.evaluate("r => { r.value = 1; r.dispatchEvent(new Event('input')); }")
    settle(page)
    assert is_painted(page, crop(page, "b"))
    bits = float(page.locator("#player .m-bits dd").inner_text())
    card = page.locator("#photo-b .bits b").inner_text()
    assert bits == pytest.approx(float(card), abs=0.011)  # the same measurement as on the card

    with new_morph(page):
        page.get_by_label("The model alone").check()
    settle(page)
    assert is_painted(page, crop(page, "b"))  # the slider stays at 1, and the model is exact
    expect(clipped).to_be_hidden()
    range_.focus()
    page.keyboard.press("Home")
    settle(page)
    expect(clipped).to_be_visible()  # half a way behind A this model leaves the colours there are
    expect(clipped).to_contain_text("% clipped")
