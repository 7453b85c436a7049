"""The crop of a photo is changed in a real Chromium: by face, by hand, by eyes, by keys."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.page_tools import Tab, far
from tests.test_crop import gradient, of_eyes, two_people

pytest_plugins = ["tests.page_fixtures"]
pytestmark = pytest.mark.browser


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    two_people().save(tmp_path / "group.png")
    return tmp_path / "group.png"


def upload(tab: Tab, file: Path) -> None:
    tab.locator("#photo-a input[type=file]").set_input_files(file)
    tab.wait_card("a", "photo")


def editor(tab: Tab) -> Locator:
    return tab.see("dialog.cropper[open][data-state=ready]")


def closed(tab: Tab) -> None:
    tab.locator("dialog.cropper[open]").wait_for(state="detached")


def now(dialog: Locator) -> dict[str, float]:
    return json.loads(dialog.get_attribute("data-crop"))


def use(tab: Tab, dialog: Locator) -> None:
    """Press *Use this crop* and wait for it."""
    before = tab.locator("#photo-a .seen").get_attribute("src")
    dialog.get_by_role("button", name="Use this crop").click()
    closed(tab)
    expect(tab.locator("#photo-a .seen")).not_to_have_attribute("src", before)
    tab.wait_card("a", "photo")


def open_crop(tab: Tab) -> Locator:
    tab.get_by_role("button", name="Change the crop of photo A").first.click()
    return editor(tab)


def undo_all(dialog: Locator) -> None:
    undo = dialog.get_by_role("button", name="Undo")
    for _ in range(20):
        if undo.is_disabled():
            return
        undo.click()


def test_another_face_is_chosen_undone_and_used_in_the_morph(tab: Tab, photo: Path) -> None:
    tab.draw()
    tab.choose("a", photo)
    largest, before = tab.look("a"), tab.crop("a")
    tab.locator("#photo-a .notes").get_by_role("button", name="Choose another face").click()
    dialog = editor(tab)
    faces = dialog.locator(".found .face")
    expect(faces).to_have_count(2)
    expect(faces.nth(0)).to_have_attribute("aria-pressed", "true")
    first = now(dialog)
    faces.nth(1).click()
    assert now(dialog)["x"] > first["x"] + 0.2
    tab.keyboard.press("Control+z")
    assert now(dialog) == first
    faces.nth(1).click()
    with tab.new_morph():
        use(tab, dialog)
    second, shown = tab.look("a"), tab.crop("a")
    assert far(largest, second) > 10
    expect(tab.locator("#photo-a .trip")).to_have_text("Round trip: exact, 0 levels off")
    tab.locator("#player .player input[type=range]").press("Home")
    tab.settle()
    # It shows more detail than the crop of the model's size has, but it is this face.
    off = [far(tab.canvas(), tab.painted(one)) for one in (shown, before)]
    assert off[0] < off[1] / 2
    # The editor opens where it was left, and Escape changes nothing.
    assert now(open_crop(tab))["x"] > first["x"] + 0.2
    tab.keyboard.press("Escape")
    closed(tab)
    assert (tab.look("a") == second).all() and (tab.crop("a") == shown).all()


def test_move_size_and_turn_by_mouse_keys_and_fingers(tab: Tab, photo: Path) -> None:
    upload(tab, photo)
    dialog = open_crop(tab)
    start = now(dialog)
    box = dialog.locator(".square").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x + 30, y + 12, steps=3)
    tab.mouse.up()
    moved = now(dialog)
    scale = box["width"] / start["side"]  # pixels a long side; the square is hardly turned
    assert (moved["x"] - start["x"]) * scale == pytest.approx(30, abs=2)
    assert (moved["y"] - start["y"]) * scale == pytest.approx(12, abs=2)
    corner = dialog.locator("[data-corner=se]").bounding_box()
    tab.mouse.move(corner["x"] + 13, corner["y"] + 13)
    tab.mouse.down()
    tab.mouse.move(corner["x"] + 43, corner["y"] + 43, steps=3)
    tab.mouse.up()
    larger = now(dialog)
    assert larger["side"] > moved["side"] * 1.1 and larger["x"] == moved["x"]
    tab.mouse.wheel(0, -200)
    assert now(dialog)["side"] < larger["side"]
    # Keys: the field has the focus.
    field = dialog.locator(".field")
    field.focus()
    before = now(dialog)
    for key in ("ArrowLeft", "ArrowUp", "+", "]", "]"):
        tab.keyboard.press(key)
    after = now(dialog)
    assert after["x"] < before["x"] and after["y"] < before["y"]
    assert after["side"] > before["side"]
    assert (after["turn"] - before["turn"]) % 360 == pytest.approx(2)
    # Brackets on AltGr: Windows reports it as Ctrl and Alt, macOS Option as Alt.
    for held in ("ctrlKey: true, altKey: true, modifierAltGraph: true", "altKey: true"):
        field.evaluate(
            f"""(field) => field.dispatchEvent(new KeyboardEvent(
                'keydown', {{ key: ']', bubbles: true, cancelable: true, {held} }}))"""
        )
    assert (now(dialog)["turn"] - before["turn"]) % 360 == pytest.approx(4)
    undo_all(dialog)  # every step back, to where it began
    assert now(dialog) == start

    # Two fingers, apart by half as much again and turned by 20 degrees.
    box = field.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = tab.context.new_cdp_session(tab.page)
    touch.send("Emulation.setTouchEmulationEnabled", {"enabled": True})

    def fingers(kind: str, *points: tuple[float, float]) -> None:
        at = [{"x": px, "y": py, "id": i} for i, (px, py) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    fingers("touchStart", (x - 50, y))
    fingers("touchStart", (x - 50, y), (x + 50, y))
    for step in range(1, 6):
        angle, reach = math.radians(4 * step), 50 + 5 * step
        dx, dy = reach * math.cos(angle), reach * math.sin(angle)
        fingers("touchMove", (x - dx, y - dy), (x + dx, y + dy))
    fingers("touchEnd")
    end = now(dialog)
    assert end["side"] == pytest.approx(1.5 * start["side"], rel=0.1)
    assert (end["turn"] - start["turn"]) % 360 == pytest.approx(20, abs=3)
    undo_all(dialog)

    # Each gesture is one step, also where a second finger joins.
    fingers("touchStart", (x, y))
    fingers("touchMove", (x + 20, y))
    fingers("touchStart", (x + 20, y), (x + 90, y))
    fingers("touchMove", (x + 10, y), (x + 110, y))
    fingers("touchEnd")
    assert now(dialog) != start
    undo = dialog.get_by_role("button", name="Undo")
    undo.click()
    assert now(dialog) == start
    expect(undo).to_be_disabled()
    # A tap on a marker moves nothing, so there is nothing to undo but the mode itself.
    dialog.get_by_role("button", name="Click both eyes").click()
    eye = dialog.locator(".eye").first.bounding_box()
    fingers("touchStart", (eye["x"] + eye["width"] / 2, eye["y"] + eye["height"] / 2))
    fingers("touchEnd")
    undo.click()
    expect(undo).to_be_disabled()
    dialog.get_by_role("button", name="Larger crop").click()
    assert now(dialog)["side"] > start["side"]
    tab.keyboard.press("Escape")
    touch.detach()


def test_eyes_are_shown_where_no_face_is_found(tab: Tab, tmp_path: Path) -> None:
    gradient(900, 600).save(tmp_path / "nobody.png")
    upload(tab, tmp_path / "nobody.png")
    notes = tab.locator("#photo-a .notes")
    expect(notes).to_contain_text("No face was found")
    opener = tab.get_by_role("button", name="Change the crop of photo A").first
    show = notes.get_by_role("button", name="Show where the face is")
    show.click()
    # By keys alone: the first marker has the focus, and afterwards what opened it.
    dialog = editor(tab)
    eye, start = dialog.locator(".eye").first, now(dialog)
    tab.keyboard.press("ArrowLeft")
    assert now(dialog)["side"] > start["side"]
    expect(eye).to_be_visible()  # nothing was found: eyes at once
    tab.keyboard.press("Control+z")
    assert now(dialog) == start
    tab.keyboard.press("Escape")
    expect(opener).to_be_focused()  # and not the top of the page
    opener.press("Enter")
    button = editor(tab).get_by_role("button", name="Click both eyes")
    button.press("Enter")  # off
    button.press("Enter")  # and on
    expect(eye).to_be_focused()
    tab.keyboard.press("Escape")

    # By clicks, of which the first is taken back: that eye can be clicked again.
    show.click()
    dialog = editor(tab)
    whole = dialog.locator(".whole").bounding_box()

    def click(x: float, y: float) -> None:
        tab.mouse.click(
            whole["x"] + x / 900 * whole["width"], whole["y"] + y / 600 * whole["height"]
        )

    click(200, 500)  # not where it was meant
    tab.keyboard.press("Control+z")
    eyes = ((600, 200), (500, 190))
    click(*eyes[0])
    assert now(dialog) == start  # one eye alone says nothing yet
    click(*eyes[1])
    shown, wanted = now(dialog), of_eyes(*eyes).square
    assert [900 * shown[name] for name in ("x", "y", "side")] == pytest.approx(
        [*wanted.centre, wanted.side], abs=3
    )
    assert shown["turn"] == pytest.approx(wanted.turn, abs=1)
    eye.focus()
    tab.keyboard.press("ArrowRight")  # a marker moves, and the crop with it
    assert now(dialog) != shown
    tab.keyboard.press("Control+z")
    assert now(dialog) == shown
    dialog.get_by_role("button", name="Quarter turn").click()
    assert (now(dialog)["turn"] - shown["turn"]) % 360 == pytest.approx(90)
    dialog.get_by_role("button", name="Undo").click()
    use(tab, dialog)
    pixels = tab.crop("a")
    expect(notes).not_to_contain_text("No face was found")
    middle = len(pixels) // 2
    red, green = pixels[middle, middle, :2] / 255  # the colours of the photo say where it is
    assert red * 900 == pytest.approx(wanted.centre[0], abs=12)
    assert green * 600 == pytest.approx(wanted.centre[1], abs=12)


def test_a_photo_of_a_journey_is_cropped_in_its_place(tab: Tab, photo: Path) -> None:
    tray = tab.empty_journey()
    for count in (1, 2):
        tab.button("Random face").click()
        tab.see(f"#faces [data-count='{count}']")
    tab.locator("#faces input[type=file]").set_input_files(photo)
    tab.see("#faces [data-count='3']")
    expect(tab.locator("#faces .recrop:visible")).to_have_count(1)  # drawn faces have no photo

    tab.get_by_role("button", name="Move earlier face 3").click()
    change = tab.get_by_role("button", name="Change the crop of face 2")
    expect(change).to_be_visible()
    pictures = tab.locator("#faces li img")
    before = [pictures.nth(i).get_attribute("src") for i in range(3)]
    change.click()
    dialog = editor(tab)
    dialog.locator(".found .face").nth(1).click()
    dialog.get_by_role("button", name="Use this crop").click()
    closed(tab)
    expect(pictures.nth(1)).not_to_have_attribute("src", before[1])
    expect(change).to_be_focused()
    for i in (0, 2):
        assert pictures.nth(i).get_attribute("src") == before[i]

    change.press("Enter")  # opens where it was left
    expect(editor(tab).locator(".found .face").nth(1)).to_have_attribute("aria-pressed", "true")
    tab.keyboard.press("Escape")
    expect(change).to_be_focused()
    expect(tray).not_to_have_attribute("aria-busy", "true")

    tab.locator("#faces li").nth(0).drag_to(change)  # over the right half: behind that face
    expect(pictures.nth(1)).to_have_attribute("src", before[0])
    expect(tab.get_by_role("button", name="Change the crop of face 1")).to_be_visible()
