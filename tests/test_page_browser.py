"""The page in a real Chromium, used as a visitor would: mouse, keyboard, files."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Request, expect

from glow_app.editing.editor import Editor
from glow_app.export.animation import save_animation
from glow_app.faces.coding import resized
from glow_app.ui.on_demand import FullFrames, Scenes
from glow_app.ui.page_faces import TEMPERATURE, drawn_face
from tests.page_tools import FRAMES, OpenTab, Tab, drawn, far

pytest_plugins = ["tests.page_fixtures"]
pytestmark = pytest.mark.browser

# How many rows of a canvas from one to another have strong ink on them.
_ROWS_WITH_INK = """(canvas, [top, bottom]) => {
    const { data } = canvas.getContext('2d').getImageData(0, top, canvas.width, bottom - top);
    const rows = Array.from({ length: bottom - top }, (_, y) => (
        data.subarray(4 * y * canvas.width, 4 * (y + 1) * canvas.width)));
    return rows.filter((row) => row.some((value, i) => i % 4 === 3 && value > 200)).length;
}"""


# ---- the slider --------------------------------------------------------------------------------


def test_it_moves_by_itself_at_first_and_plays_and_pauses(open_tab: OpenTab) -> None:
    tab = open_tab("?a=3&b=4", motion=True)  # the address can name the seeds
    expect(tab.locator(".player[data-playing]")).to_be_visible()
    expect(tab.button("Pause")).to_be_visible()
    for side, seed in (("a", "3"), ("b", "4")):
        expect(tab.seed(side)).to_have_value(seed)
    tab.wait_ready()
    tab.set_slider(tab.slider(), 0.9)  # ends the greeting
    tab.button("Play").click()
    expect(tab.button("Pause")).to_have_attribute("aria-pressed", "true")
    there_and_back = """() => {
        const t = document.querySelector('#player input[type=range]').valueAsNumber;
        window.seen = [...(window.seen ?? []), t];
        const steps = window.seen.slice(1).map((value, i) => value - window.seen[i]);
        return steps.some((step) => step > 0) && steps.some((step) => step < 0);
    }"""
    tab.wait_for_function(there_and_back, polling=50)
    tab.button("Pause").click()
    tab.settle()
    still = tab.canvas()
    tab.wait_for_timeout(150)
    assert far(tab.canvas(), still) < 0.01
    # The space bar on the slider plays, and moving the slider ends it.
    tab.slider().focus()
    tab.keyboard.press(" ")
    expect(tab.button("Pause")).to_be_visible()
    tab.keyboard.press("ArrowLeft")
    expect(tab.button("Play")).to_be_visible()


def test_keyboard_and_stills_where_motion_is_unwanted(tab: Tab) -> None:
    tab.draw()
    tab.move_to("Home")
    range_, place = tab.slider(), "document.querySelector('#player input[type=range]').value"
    tab.button("Play").click()
    tab.wait_for_function(f"{place} > 0")
    tab.button("Pause").click()
    t = float(tab.evaluate(place))
    assert t * 8 == pytest.approx(round(t * 8))

    tab.move_to("Home")
    before = tab.canvas()
    for key, t in [
        ("ArrowRight", 0.01), ("ArrowUp", 0.02), ("ArrowLeft", 0.01), ("PageUp", 0.11),
        ("PageUp", 0.21), ("PageDown", 0.11), ("ArrowDown", 0.10), ("End", 1), ("ArrowRight", 1),
        ("Home", 0),
    ]:  # fmt: skip
        tab.move_to(key)
        assert range_.evaluate("range => range.valueAsNumber") == pytest.approx(t), key
        expect(range_).to_have_attribute("aria-valuetext", f"{round(100 * t)} percent")
        expect(tab.locator("#player .t")).to_have_text(f"t = {t:.3f}")
        if t > 0:
            assert far(tab.canvas(), before) > 0.01
    assert far(tab.canvas(), before) < 0.01


def hold_slider(tab: Tab) -> tuple[Callable[[float], None], Callable[[], None]]:
    """Take the slider's thumb with the mouse; what moves it to a place from 0 to 1, and what
    lets go."""
    range_ = tab.slider()
    range_.scroll_into_view_if_needed()
    box = range_.bounding_box()
    assert box
    middle, thumb = box["y"] + box["height"] / 2, 12

    def move(place: float) -> None:
        tab.mouse.move(box["x"] + thumb + (box["width"] - 2 * thumb) * place, middle)

    move(0)
    tab.mouse.down()
    tab.settle()
    return move, tab.mouse.up


def test_the_slider_keeps_up_with_the_display(tab: Tab) -> None:
    """Input to repainted canvas, with real mouse moves; the numbers are printed."""
    tab.draw()
    tab.evaluate(
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
    move, end = hold_slider(tab)
    moves = 40
    for i in range(moves):
        move((i + 1) / moves)
        tab.wait_for_timeout(12)
    end()
    delays = np.array(tab.evaluate("() => window.delays"))
    median, high = np.percentile(delays, [50, 95])
    print(f"\nslider input to painted canvas: median {median:.1f} ms, p95 {high:.1f} ms")
    assert len(delays) > moves / 2
    assert median <= 34


# ---- random faces, swap, options ---------------------------------------------------------------


def test_seeds_swapping_and_removing(tab: Tab) -> None:
    tab.draw(3, 4)
    seed, random_face = tab.seed("a"), tab.button("Random face A")
    a, b = tab.crop("a"), tab.crop("b")
    with tab.new_morph():
        tab.button("⇄ Swap").click()
        expect(seed).to_have_value("4")
    assert far(tab.crop("a"), b) == far(tab.crop("b"), a) == 0
    tab.move_to("Home")
    assert tab.shows(b)

    seed.fill("7")
    with tab.new_morph():
        random_face.click()
        tab.wait_card("a")
    seven = tab.crop("a")
    with tab.new_morph():
        random_face.click()  # nothing typed: a new seed, which shows
        expect(seed).not_to_have_value("7")
    assert far(tab.crop("a"), seven) > 3
    with tab.new_morph():
        seed.fill("7")
        seed.press("Enter")
    assert far(tab.crop("a"), seven) == 0
    tab.move_to("Home")
    assert tab.shows(seven)  # the morph followed by itself

    tab.button("Remove photo B").click()
    expect(tab.locator("#photo-b")).to_contain_text("Drop a photo here")
    expect(tab.locator("#player")).to_contain_text("Two faces make a morph")
    expect(tab.slider()).to_be_disabled()
    tab.button("Morph").click()
    assert tab.toast() == "Choose a photo or a random face for B first."
    tab.button("Random face B").click()
    tab.wait_ready()


def test_an_event_that_ends_leaves_another_alone(
    tab: Tab, small: Editor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab.draw()
    tab.open_options()
    player = tab.locator("#player .player")
    player.evaluate(
        """(player) => {
            window.ended = [];
            player.addEventListener('ended', (event) => window.ended.push(event.detail));
        }"""
    )
    decode, goes_on = small.model._decode, threading.Event()
    monkeypatch.setattr(small.model, "_decode", lambda *args: (goes_on.wait(30), decode(*args))[1])
    with tab.new_morph():
        tab.locator("#steady").get_by_label("Even speed").check()
        expect(tab.locator("#player .long-text")).to_contain_text("Decoding")
        tab.download("Download GIF", tmp_path)  # of what is still shown
        tab.wait_for_function("window.ended.includes('save')")
        expect(player).to_have_attribute("data-working", "")
        expect(tab.locator("#player .long-text")).to_contain_text("Decoding")
        goes_on.set()
    tab.wait_for_function("window.ended.splice(0).includes('follow')")

    goes_on.clear()
    monkeypatch.undo()
    monkeypatch.setattr(
        "glow_app.ui.downloads.save_animation",
        lambda *args, **more: (goes_on.wait(30), save_animation(*args, **more))[1],
    )
    gif = tab.button("Download GIF")
    with tab.expect_download(timeout=60_000) as files:
        gif.click()
        with tab.new_morph():
            tab.locator("#steady").get_by_label("Even speed").uncheck()
        tab.wait_for_function("window.ended.includes('follow')")
        assert player.get_attribute("data-saving") == "gif"  # a second click does nothing
        expect(tab.locator("#player .status")).to_have_text("Preparing the GIF…")
        goes_on.set()
    assert files.value.suggested_filename.endswith(".gif")
    expect(player).not_to_have_attribute("data-saving", re.compile(""))


def test_photos_at_full_size_nearest_first_with_exact_ends_and_what_lies_between(
    tab: Tab, photos: list[Path], small: Editor
) -> None:
    tab.draw()
    asked: list[list[int]] = []

    def listen(request: Request) -> None:
        if "component_server" in request.url and '"frames"' in (request.post_data or ""):
            asked.append(request.post_data_json["data"]["frames"])

    tab.on("request", listen)
    note = f"Drawn faces have the model's {small.image_size} pixels"
    expect(tab.locator("#player .line")).to_contain_text(note)
    tab.set_slider(tab.slider(), 0.5)
    tab.choose("a", photos[0])
    tab.button("Stop making frames at full size").click()
    player = tab.locator("#player .player")
    done = player.get_attribute("data-full")
    assert int(done or 0) < FRAMES
    assert {abs(i - FRAMES // 2) for i in asked[0]} <= {0, 1, 2} and len(asked[0]) == 4
    tab.wait_for_timeout(400)
    assert player.get_attribute("data-full") == done
    tab.button("Morph").click()  # and goes on
    expect(player).to_have_attribute("data-full", str(FRAMES))
    expect(tab.locator("#player .line")).to_contain_text(f"{FRAMES} frames at full size")

    full = small.prepare(photos[0]).full
    assert full is not None
    size = min(512, len(full))
    for key, picture in (("Home", full), ("End", tab.crop("b"))):
        tab.move_to(key)
        assert tab.shows(resized(picture, size)), key

    tab.choose("b", photos[1])
    # The card shows the photo, and when asked what the model sees of it: in the mean shape.
    for side, photo in zip("ab", photos, strict=True):
        card = tab.locator(f"#photo-{side}")
        expect(card).to_contain_text("Your photo")
        expect(card).to_contain_text(re.compile(r"\d\.\d\d bits/dim"))
        expect(card).to_contain_text("Round trip: exact, 0 levels off")
        face, seen = small.prepare(photo), card.locator(".seen")
        expect(seen).to_be_hidden()
        card.locator(".see").click()
        expect(seen).to_be_visible()
        assert np.array_equal(tab.look(side), small.model.looks.of(face))
        assert not np.array_equal(tab.look(side), face.pixels)
        assert far(tab.crop(side), face.at(len(tab.crop(side)))) < 3

    move, end = hold_slider(tab)
    seen = [tab.canvas()]
    for i in range(1, 15):
        move(i / 14)
        tab.settle()
        seen.append(tab.canvas())
    end()
    changes = [far(x, y) for x, y in pairwise(seen)]
    assert min(changes) > 0.05, changes
    assert tab.slider().evaluate("range => range.valueAsNumber") > 0.98
    assert far(seen[0], tab.painted(tab.crop("a"))) < far(seen[0], seen[-1]) / 2
    assert far(seen[-1], tab.painted(tab.crop("b"))) < far(seen[0], seen[-1]) / 2


def test_a_busy_server_is_asked_again(
    tab: Tab, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's frames and pictures take the turn; then all of the visitor's come."""
    tab.go("Edit")
    tab.live_ready("#edit")
    tab.go("Morph")
    tab.draw()
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
    tab.choose("a", photos[0])
    player = tab.locator("#player .player")
    tab.until(lambda: len(told) > 1)
    assert set(told) == {True} and player.get_attribute("data-full") is None
    taken[FullFrames].release()
    expect(player).to_have_attribute("data-full", str(FRAMES))

    taking(Scenes, "picture")
    tab.go("Edit")
    tab.set_slider(tab.get_by_role("slider", name="Towards the average face"), 0.25)
    expect(tab.locator("#edit .status")).to_have_text(re.compile("busy"))
    taken[Scenes].release()
    assert tab.live_ready("#edit")[0] == 0.25
    expect(tab.locator("#edit .status")).to_have_text("")


def test_options_change_the_morph_and_swapping_keeps_what_was_asked_of_a(
    tab: Tab, small: Editor
) -> None:
    """Half way each option shows the picture that the editor makes with it, and no other."""
    tab.draw(1, 2)
    faces = [drawn_face(small, seed, TEMPERATURE) for seed in (1, 2)]
    assert small.have_landmarks(*faces)
    tab.set_slider(tab.slider(), 0.5)
    tab.open_options()
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
    expected = {name: tab.painted(middle.frames[0]) for name, middle in middles.items()}
    shown = {}
    for name in ways:
        if name == "kappa":
            with tab.new_morph():
                tab.locator("#kappa input[type=number]").fill("1")
                tab.keyboard.press("Tab")
        elif name:
            with tab.new_morph():
                tab.locator("#options").get_by_label(name, exact=True).check()
        tab.settle()
        shown[name] = tab.canvas()
        off = {other: far(shown[name], picture) for other, picture in expected.items()}
        # Half way "switch" may show the ground of either; triangles may lie a little otherwise.
        assert off[name] < 0.2 and off[name] == min(off.values()), (name, off)
    assert far(shown["Keep A's"], shown["Take B's"]) > 5
    assert far(shown["kappa"], shown["The model alone"]) > 5
    with tab.new_morph():
        tab.keyboard.press("Control+Enter")

    # Its plot is there, so that frames would be turned round if that were enough.
    expect(tab.locator("#player .plot")).to_have_attribute("data-bits", str(FRAMES))
    with tab.new_morph():
        tab.button("⇄ Swap").click()
        expect(tab.seed("a")).to_have_value("2")
    tab.settle()
    for ground, fits in (("a", True), ("b", False)):
        (middle,) = small.morph_frames(*faces[::-1], [0.5], ground=ground, kappa=1.0).frames
        assert (far(tab.canvas(), tab.painted(middle)) < 0.2) == fits, ground


def test_swap_with_a_range_that_is_not_symmetric(tab: Tab, small: Editor) -> None:
    """What lay beyond B lies beyond the new B, and marks have the letters of the faces there."""
    range_, marks = tab.locator("#player input[type=range]"), tab.locator("#player .stops b")
    # No control of the page makes this range.
    tab.open_made(1, 2, kind="morph", way="photos", t_range=[0.5, 1.25])
    tab.wait_made(faces=drawn(1, 2), t_range=(0.5, 1.25))
    expect(range_).to_have_attribute("min", "0.5")
    expect(range_).to_have_attribute("max", "1.25")
    expect(marks).to_have_text(["B"])
    expect(tab.locator("#player .plot")).to_have_attribute("data-bits", "25")
    with tab.new_morph():
        tab.button("⇄ Swap").click()
        expect(tab.seed("a")).to_have_value("2")
    expect(marks).to_have_text(["B"])
    b, a = (drawn_face(small, seed, TEMPERATURE) for seed in (1, 2))
    for t in (0.75, 1.0, 1.25):  # where there are frames
        tab.set_slider(range_, t)
        (wanted,) = small.morph_frames(a, b, [t]).frames
        assert far(tab.canvas(), tab.painted(wanted)) < 0.2, t


def test_beyond_a_and_b_with_a_plot_that_moves_the_slider(tab: Tab) -> None:
    tab.draw(22, 14)
    tab.open_options()
    with tab.new_morph():
        tab.get_by_label("Go beyond A and B").check()
    range_ = tab.locator("#player input[type=range]")
    assert tab.locator("#player .player").get_attribute("data-frames") == "65"
    expect(tab.locator("#player .stops b")).to_have_text(["A", "B"])

    range_.focus()
    tab.keyboard.press("Home")
    tab.settle()
    assert range_.evaluate("range => range.valueAsNumber") == -0.5
    clipped = tab.locator("#player .clipped")
    expect(clipped).to_be_hidden()  # where photos carry the picture nothing is clipped

    # A click three quarters along the plot is t = 1, which is B to the byte.
    plot = tab.locator("#player .plot")
    expect(plot).to_have_attribute("data-bits", "65")
    for lane in ((13, 37), (52, 72)):  # each holds a curve: ink in more than two of its rows
        rows = plot.locator("canvas").evaluate(_ROWS_WITH_INK, lane)
        assert rows > 3
    box = plot.bounding_box()
    assert box
    tab.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + box["height"] / 2)
    tab.settle()
    t = range_.evaluate("range => range.valueAsNumber")
    assert t == pytest.approx(1, abs=0.01)
    tab.set_slider(range_, 1)
    assert tab.shows(tab.crop("b"))
    bits = float(tab.locator("#player .m-bits dd").inner_text())
    card = tab.locator("#photo-b .bits b").inner_text()
    assert bits == pytest.approx(float(card), abs=0.011)  # the same measurement as on the card

    with tab.new_morph():
        tab.locator("#way").get_by_label("The model alone").check()
    tab.settle()
    assert tab.shows(tab.crop("b"))  # the slider stays at 1, and the model is exact
    expect(clipped).to_be_hidden()
    range_.focus()
    tab.keyboard.press("Home")
    tab.settle()
    expect(clipped).to_be_visible()  # half a way behind A this model leaves the colours there are
    expect(clipped).to_contain_text("% clipped")
