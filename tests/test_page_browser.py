"""The page in a real Chromium, used as a visitor would: mouse, keyboard, files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence
from playwright.sync_api import Page, Request, expect

from glow_app.editing.editor import Editor
from glow_app.editing.full_size import enlarge
from glow_app.keeping import writing
from tests.page_tools import (
    WAIT_MS,
    button,
    canvas,
    choose,
    crop,
    download,
    enlarged,
    far,
    is_painted,
    new_morph,
    painted,
    settle,
    toast,
    wait_card,
    wait_ready,
)

pytest_plugins = ["tests.page_fixtures"]
pytestmark = pytest.mark.browser

OpenTab = Callable[..., Page]
FRAMES = 33
TABS = ("Morph", "Journey", "Mix", "Edit", "Sample")
NAMELESS = """() => [...document.querySelectorAll('.stage :is(button, input, select, canvas)')]
    .filter((e) => e.offsetParent)
    .filter((e) => !(e.ariaLabel || e.alt || e.textContent.trim() || e.labels?.length
        || e.parentElement.ariaLabel))
    .map((e) => e.outerHTML.slice(0, 120))"""


def slider(page: Page):
    return page.get_by_role("slider", name="Blend from A to B")


def move_to(page: Page, key: str) -> None:
    slider(page).focus()
    page.keyboard.press(key)
    settle(page)


def is_a_sentence(text: str) -> bool:
    """One sentence for people: no traceback, no class names, no second line."""
    return bool(re.fullmatch(r"[^\n]{8,200}\.", text)) and "Error" not in text


# ---- opening ------------------------------------------------------------------------------------


def test_a_new_visitor_sees_two_faces_and_a_morph(open_released_tab: OpenTab) -> None:
    page = open_released_tab()
    for side in "ab":
        card = page.locator(f"#photo-{side}")
        assert crop(page, side).shape == (64, 64, 3)
        expect(card).to_contain_text("bits/dim")
        expect(card).to_contain_text("Round trip: exact, 0 levels off")
        expect(card).to_contain_text("Drawn by the model")
    expect(slider(page)).to_be_enabled()
    assert page.locator(".player").get_attribute("data-frames") == str(FRAMES)


def test_it_moves_by_itself_at_first(open_tab: OpenTab) -> None:
    page = open_tab(reduced_motion="no-preference", ready=False)
    expect(page.locator(".player[data-playing]")).to_be_visible(timeout=WAIT_MS)
    expect(button(page, "Pause")).to_be_visible()


# ---- two photos, the slider ---------------------------------------------------------------------


def test_upload_two_photos_and_drag(open_released_tab: OpenTab, photos: list[Path]) -> None:
    page = open_released_tab()
    choose(page, "a", photos[0])
    choose(page, "b", photos[1])
    with new_morph(page):
        button(page, "Morph").click()
    expect(page.locator("#photo-a")).to_contain_text("Your photo")
    expect(page.locator("#photo-a")).to_contain_text(re.compile(r"\d\.\d\d bits/dim"))
    expect(page.locator("#photo-a")).to_contain_text("Round trip: exact, 0 levels off")

    range_ = slider(page)
    range_.scroll_into_view_if_needed()
    box = range_.bounding_box()
    assert box
    middle, thumb = box["y"] + box["height"] / 2, 12
    page.mouse.move(box["x"] + thumb, middle)
    page.mouse.down()
    settle(page)
    seen = [canvas(page)]
    steps = 14
    for i in range(1, steps + 1):
        page.mouse.move(box["x"] + thumb + (box["width"] - 2 * thumb) * i / steps, middle)
        settle(page)
        seen.append(canvas(page))
    page.mouse.up()
    changes = [far(x, y) for x, y in pairwise(seen)]
    assert min(changes) > 0.05, changes
    assert slider(page).evaluate("range => range.valueAsNumber") > 0.98
    assert far(seen[0], painted(page, crop(page, "a"))) < far(seen[0], seen[-1]) / 2
    assert far(seen[-1], painted(page, crop(page, "b"))) < far(seen[0], seen[-1]) / 2


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
        assert is_painted(page, enlarge(picture, size)), key


def test_keyboard(open_tab: OpenTab) -> None:
    page = open_tab()
    range_ = slider(page)
    move_to(page, "Home")
    before = canvas(page)
    for key, t in [
        ("ArrowRight", 0.01),
        ("ArrowUp", 0.02),
        ("ArrowLeft", 0.01),
        ("PageUp", 0.11),
        ("PageUp", 0.21),
        ("PageDown", 0.11),
        ("ArrowDown", 0.10),
        ("End", 1),
        ("ArrowRight", 1),
        ("Home", 0),
    ]:
        move_to(page, key)
        assert range_.evaluate("range => range.valueAsNumber") == pytest.approx(t), key
        expect(range_).to_have_attribute("aria-valuetext", f"{round(100 * t)} percent")
        expect(page.locator(".player .t")).to_have_text(f"t = {t:.3f}")
        if t > 0:
            assert far(canvas(page), before) > 0.01
    assert far(canvas(page), before) < 0.01


def test_play_and_pause(open_tab: OpenTab) -> None:
    page = open_tab(reduced_motion="no-preference", ready=False)
    wait_ready(page)
    move_to(page, "Home")  # ends the greeting
    button(page, "Play").click()
    expect(button(page, "Pause")).to_have_attribute("aria-pressed", "true")
    places = []
    for _ in range(12):
        page.wait_for_timeout(300)
        places.append(slider(page).evaluate("range => range.valueAsNumber"))
    forth = np.diff(places)
    assert (forth > 0).any() and (forth < 0).any(), places  # there and back
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


def test_reduced_motion_plays_stills(open_tab: OpenTab) -> None:
    page = open_tab()
    assert slider(page).evaluate("range => range.valueAsNumber") == 0  # and not by itself
    button(page, "Play").click()
    page.wait_for_timeout(1000)
    button(page, "Pause").click()
    t = slider(page).evaluate("range => range.valueAsNumber")
    assert t > 0 and t * 8 == pytest.approx(round(t * 8))


def test_the_slider_keeps_up_with_the_display(open_released_tab: OpenTab) -> None:
    """Input to repainted canvas, with real mouse moves; the numbers are printed."""
    page = open_released_tab()
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
    box = slider(page).bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 12, y)
    page.mouse.down()
    moves = 120
    for i in range(moves):
        page.mouse.move(box["x"] + 12 + (box["width"] - 24) * (i + 1) / moves, y)
        page.wait_for_timeout(12)
    page.mouse.up()
    delays = np.array(page.evaluate("() => window.delays"))
    median, high = np.percentile(delays, [50, 95])
    print(f"\nslider input to painted canvas: median {median:.1f} ms, p95 {high:.1f} ms")
    assert len(delays) > moves / 2
    assert median <= 34


# ---- random faces, swap -------------------------------------------------------------------------


def test_a_seed_draws_the_same_face_again(open_tab: OpenTab) -> None:
    page = open_tab()
    seed = page.get_by_label("Seed of face A")
    random_face = button(page, "Random face A")

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


def test_swap(open_tab: OpenTab) -> None:
    page = open_tab("?a=3&b=4")  # the address can name the seeds
    expect(page.get_by_label("Seed of face A")).to_have_value("3")
    a, b = crop(page, "a"), crop(page, "b")
    with new_morph(page):
        button(page, "⇄ Swap").click()
        expect(page.get_by_label("Seed of face A")).to_have_value("4")
    assert far(crop(page, "a"), b) == far(crop(page, "b"), a) == 0
    move_to(page, "Home")
    assert is_painted(page, b)


def test_removed_sides_explain_themselves(open_tab: OpenTab) -> None:
    page = open_tab()
    button(page, "Remove photo B").click()
    expect(page.locator("#photo-b")).to_contain_text("Drop a photo here")
    expect(page.locator("#player")).to_contain_text("Two faces make a morph")
    expect(slider(page)).to_be_disabled()
    button(page, "Morph").click()
    assert toast(page) == "Choose a photo or a random face for B first."
    button(page, "Random face B").click()
    wait_ready(page)


def test_ctrl_enter_morphs_and_options_take_effect(open_tab: OpenTab) -> None:
    page = open_tab("?a=1&b=2")
    slider(page).evaluate(
        "range => { range.value = 0.5; range.dispatchEvent(new Event('input')); }"
    )
    settle(page)
    straight = canvas(page)
    page.get_by_role("button", name="Options").click()
    with new_morph(page):
        page.get_by_label("Arc", exact=True).check()
    assert far(canvas(page), straight) > 0.2
    with new_morph(page):
        page.keyboard.press("Control+Enter")


# ---- other ways in ------------------------------------------------------------------------------


def test_drop_paste_and_webcam(open_tab: OpenTab, photos: list[Path]) -> None:
    page = open_tab(permissions=["clipboard-read", "clipboard-write", "camera"])
    card = page.locator("#photo-a .card")
    before = crop(page, "a")

    content = list(photos[0].read_bytes())
    transfer = page.evaluate_handle(
        """(bytes) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], 'photo.jpg'));
            return transfer;
        }""",
        content,
    )
    card.dispatch_event("drop", {"dataTransfer": transfer})
    wait_card(page, "a", "photo")
    dropped = crop(page, "a")
    assert far(dropped, before) > 3

    page.evaluate(
        """async () => {
            const canvas = document.createElement('canvas');
            canvas.width = canvas.height = 128;
            canvas.getContext('2d').fillRect(0, 0, 64, 128);
            const blob = await new Promise((done) => canvas.toBlob(done));
            await navigator.clipboard.write([new ClipboardItem({'image/png': blob})]);
        }"""
    )
    button(page, "Paste, photo A").click()
    wait_card(page, "a", "photo")
    expect(page.locator("#photo-a .notes")).to_contain_text("face")  # there is none: says so
    pasted = crop(page, "a")
    assert far(pasted, dropped) > 3

    button(page, "Webcam, photo B").click()
    button(page, "Take photo").click()
    wait_card(page, "b", "photo")
    expect(page.locator("#photo-b video")).to_be_hidden()


def test_ctrl_v_goes_to_the_card_under_the_mouse(open_tab: OpenTab) -> None:
    page = open_tab()
    page.locator("#photo-b .well").hover()
    page.evaluate(
        """async () => {
            const canvas = document.createElement('canvas');
            canvas.width = canvas.height = 96;
            canvas.getContext('2d').fillRect(0, 0, 48, 96);
            const blob = await new Promise((done) => canvas.toBlob(done));
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([blob], 'x.png', {type: 'image/png'}));
            document.dispatchEvent(new ClipboardEvent('paste', {clipboardData}));
        }"""
    )
    wait_card(page, "b", "photo")
    expect(page.locator("#photo-a .card[data-kind=drawn]")).to_be_visible()


# ---- failures -----------------------------------------------------------------------------------


def test_bad_uploads_are_one_sentence_and_the_page_goes_on(
    open_tab: OpenTab, tmp_path: Path, photos: list[Path]
) -> None:
    bad = {
        "text.png": b"this is not a picture",
        "fake.heic": b"\0\0\0\x18ftypheic" + bytes(64),
        "cut.jpg": photos[0].read_bytes()[:400],
        "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "<b>bold</b>.png": b"nor is this",
    }
    page = open_tab()
    before = crop(page, "a")
    for name, content in bad.items():
        file = tmp_path / name.replace("/", "")
        file.write_bytes(content)
        page.locator("#photo-a input[type=file]").set_input_files(file)
        sentence = toast(page)
        assert is_a_sentence(sentence), (name, sentence)
        wait_card(page, "a", "drawn")
        assert far(crop(page, "a"), before) == 0, name  # what was there is back

    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    page.locator("#photo-a input[type=file]").set_input_files(empty)
    assert toast(page) == "This file is empty."

    page.get_by_label("Seed of face A").fill("1.5")
    button(page, "Random face A").click()
    assert is_a_sentence(toast(page))

    choose(page, "a", photos[0])  # and the page still works


# ---- downloads ----------------------------------------------------------------------------------


def duration(image: Image.Image) -> float:
    """Milliseconds that an animation takes."""
    milliseconds = 0.0
    for i in range(image.n_frames):
        image.seek(i)
        image.load()  # WebP tells a frame's time only then
        milliseconds += image.info["duration"]
    return milliseconds


def test_downloads(open_tab: OpenTab, tmp_path: Path) -> None:
    page = open_tab("?a=1&b=2")
    a, b = crop(page, "a"), crop(page, "b")

    gif = download(page, "Download GIF", tmp_path)
    assert gif.suffix == ".gif"
    with Image.open(gif) as image:
        assert image.n_frames == 2 * FRAMES - 2 and image.info["loop"] == 0
        shown = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(image)]
        lasts = duration(image)
    # First A, last of the way there B, but for the 256 colours of a GIF frame.
    assert far(shown[0], enlarged(a, 256)) < 8 < far(shown[0], enlarged(b, 256))
    assert far(shown[FRAMES - 1], enlarged(b, 256)) < 8
    # Seamless: from the last frame back to the first is no larger a step than its neighbours.
    steps = [far(x, y) for x, y in zip(shown, [*shown[1:], shown[0]], strict=True)]
    assert steps[-1] <= 1.5 * max(steps[0], steps[-2])

    webp = download(page, "Download WebP", tmp_path)
    with Image.open(webp) as image:
        # Its encoder joins neighbours that look the same, and shows them for longer.
        assert image.format == "WEBP" and FRAMES < image.n_frames <= 2 * FRAMES - 2
        assert duration(image) == pytest.approx(lasts, rel=0.05)

    still = download(page, "Download frame as PNG", tmp_path)
    with Image.open(still) as image:
        assert image.format == "PNG" and image.size == (256, 256)
        assert np.array_equal(np.asarray(image), enlarged(a, 256))
        assert json.loads(image.text["glow"])["faces"][1]["seed"] == 2

    page.get_by_text("Size, speed and more formats").click()
    page.get_by_label("Size in pixels").select_option("64")
    for t in (0, 0.5, 1):  # where the player has a frame, the file is that frame
        slider(page).evaluate(
            "(range, t) => { range.value = t; range.dispatchEvent(new Event('input')); }", t
        )
        still = download(page, "Download frame as PNG", tmp_path)
        assert f"{t:.3f}" in still.name
        with Image.open(still) as image:
            assert is_painted(page, np.asarray(image)), t

    if ".mp4" in writing.available_formats():
        mp4 = download(page, "Download MP4", tmp_path)
        assert mp4.read_bytes()[4:8] == b"ftyp"
    else:
        expect(button(page, "Download MP4")).to_have_count(0)
        expect(page.locator("#player .no-mp4")).to_contain_text("PyAV")


# ---- fit and finish -----------------------------------------------------------------------------


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
