"""What goes into the page and what comes out, in a real Chromium: photos, downloads, morphs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence
from playwright.sync_api import Page, expect

from glow_app.export import animation, recipes, writing
from glow_app.ui.page_faces import SEEDS
from tests.page_tools import (
    FRAMES,
    WAIT_MS,
    OpenTab,
    button,
    choose,
    crop,
    download,
    enlarged,
    far,
    is_painted,
    look,
    new_morph,
    open_morph,
    slider,
    toast,
    wait_card,
    wait_ready,
)

pytest_plugins = ["tests.page_fixtures"]
pytestmark = pytest.mark.browser


def is_a_sentence(text: str) -> bool:
    """One sentence for people: no traceback, no class names, no second line."""
    return bool(re.fullmatch(r"[^\n]{8,200}\.", text)) and "Error" not in text


def wait_made(page: Page, folder: Path, wanted: recipes.Recipe) -> None:
    """Wait until the player shows a morph of this way, range, path, ground and κ."""
    names = ("way", "t_range", "path", "ground", "kappa")
    for _ in range(20):
        wait_ready(page)
        made = recipes.read_recipe(download(page, "Download GIF", folder))
        if all(getattr(made, name) == getattr(wanted, name) for name in names):
            return
        page.wait_for_timeout(500)  # opening sets many controls, and each may make a morph
    raise AssertionError(made)


# ---- other ways in ------------------------------------------------------------------------------


def test_drop_paste_and_webcam(open_tab: OpenTab, photos: list[Path]) -> None:
    page = open_tab(permissions=["clipboard-read", "clipboard-write", "camera"])
    before = look(page, "a")

    # Ctrl-V goes to the card under the mouse.
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
            await navigator.clipboard.write([new ClipboardItem({'image/png': blob})]);
        }"""
    )
    wait_card(page, "b", "photo")
    expect(page.locator("#photo-a .card[data-kind=drawn]")).to_be_visible()

    transfer = page.evaluate_handle(
        """(bytes) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], 'photo.jpg'));
            return transfer;
        }""",
        list(photos[0].read_bytes()),
    )
    page.locator("#photo-a .card").dispatch_event("drop", {"dataTransfer": transfer})
    wait_card(page, "a", "photo")
    dropped = look(page, "a")
    assert far(dropped, before) > 3

    button(page, "Paste, photo A").click()
    wait_card(page, "a", "photo")
    expect(page.locator("#photo-a .notes")).to_contain_text("face")  # there is none: says so
    pasted = look(page, "a")
    assert far(pasted, dropped) > 3

    seen = page.locator("#photo-b .seen").get_attribute("src") or ""
    button(page, "Webcam, photo B").click()
    button(page, "Take photo").click()
    expect(page.locator("#photo-b .seen")).not_to_have_attribute("src", seen, timeout=WAIT_MS)
    expect(page.locator("#photo-b video")).to_be_hidden()


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

    webp = download(page, "Download WebP", tmp_path)
    with Image.open(webp) as image:
        # Its encoder joins neighbours that look the same, and shows them for longer.
        assert image.format == "WEBP" and FRAMES < image.n_frames <= 2 * FRAMES - 2
        assert duration(image) == pytest.approx(lasts, rel=0.05)

    still = download(page, "Download frame PNG", tmp_path)
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
        still = download(page, "Download frame PNG", tmp_path)
        assert f"{t:.3f}" in still.name
        with Image.open(still) as image:
            assert is_painted(page, np.asarray(image)), t

    if ".mp4" in writing.available_formats():
        mp4 = download(page, "Download MP4", tmp_path)
        assert mp4.read_bytes()[4:8] == b"ftyp"
    else:
        expect(button(page, "Download MP4")).to_have_count(0)
        expect(page.locator("#player .no-mp4")).to_contain_text("PyAV")


def test_every_download_opens_and_tells_how_it_was_made(open_tab: OpenTab, tmp_path: Path) -> None:
    page = open_tab()
    page.get_by_text("Size, speed and more formats").click()
    page.get_by_label("Size in pixels").select_option("64")
    page.get_by_label("Frames a second").select_option("20")
    page.get_by_label("Plays").select_option("one")
    for name, frames in (("WebP", 33), ("APNG", 33), ("PNG strip", 1), ("contact sheet", 1)):
        file = download(page, f"Download {name}", tmp_path)
        with Image.open(file) as image:
            if name == "WebP":  # neighbours that look the same are one frame, shown for longer
                assert frames / 2 < image.n_frames <= frames
                assert duration(image) == pytest.approx(frames * 1000 / 20, rel=0.05)
            else:
                assert getattr(image, "n_frames", 1) == frames, name
        recipe = recipes.read_recipe(file)
        assert tuple(face.seed for face in recipe.faces) == SEEDS, name
        assert recipe.size == 64
        if frames > 1:
            assert recipe.fps == 20 and not recipe.there_and_back

    # Another pair and another path; opening the file brings the old ones back.
    file = download(page, "Download GIF", tmp_path)
    page.get_by_role("button", name="Options").click()
    with new_morph(page):
        page.get_by_label("Arc", exact=True).check()
    with new_morph(page):
        button(page, "⇄ Swap").click()
    expect(page.get_by_label("Seed of face A")).to_have_value(str(SEEDS[1]))
    with new_morph(page):
        open_morph(page, file)
    expect(page.get_by_label("Seed of face A")).to_have_value(str(SEEDS[0]))
    expect(page.get_by_label("Straight line")).to_be_checked()

    # A range that no control of the page makes, from a script say, comes back as it was.
    made = recipes.read_recipe(file)
    ranged = tmp_path / "ranged.gif"
    still = np.zeros((2, 64, 64, 3), np.uint8)
    note = replace(made, t_range=(0.0, 1.25)).to_metadata()
    animation.save_animation(still, ranged, size=64, metadata=note)
    with new_morph(page):
        open_morph(page, ranged)
    # Opening sets many controls, and a morph of the first of them may come before this one.
    expect(page.locator("#player input[type=range][min='0'][max='1.25']")).to_be_attached(
        timeout=WAIT_MS
    )
    wait_ready(page)
    expect(page.get_by_label("Go beyond A and B")).to_be_checked()
    assert recipes.read_recipe(download(page, "Download GIF", tmp_path)).t_range == (0.0, 1.25)

    # What is far from the defaults comes back, too, and a file of it says so.
    odd = replace(made, way="photos", ground="b", kappa=0.2, path="spherical")
    still = np.zeros((2, 64, 64, 3), np.uint8)
    animation.save_animation(still, tmp_path / "odd.gif", size=64, metadata=odd.to_metadata())
    with new_morph(page):
        open_morph(page, tmp_path / "odd.gif")
    expect(page.locator("#ground").get_by_label("Take B's")).to_be_checked()
    expect(page.locator("#kappa input[type=number]")).to_have_value("0.2")
    expect(page.get_by_label("Arc", exact=True)).to_be_checked()
    expect(page.locator("#way").get_by_label("Photos, changed by the model")).to_be_checked()
    expect(page.get_by_label("Go beyond A and B")).not_to_be_checked()
    wait_made(page, tmp_path, odd)

    stranger = tmp_path / "stranger.png"
    Image.new("RGB", (8, 8)).save(stranger)
    open_morph(page, stranger)
    assert "not made by Glow Studio" in toast(page)


def note_in(path: Path, about: dict) -> Path:
    """A file that was made here says this."""
    still = np.zeros((2, 64, 64, 3), np.uint8)
    return animation.save_animation(
        still, path, size=64, metadata={"made_with": "Glow Studio", **about}
    )


def test_files_of_before_the_ways_open(open_tab: OpenTab, tmp_path: Path) -> None:
    """On the shell and guided by shape is straight, by photos; unguided is the model alone."""
    page = open_tab("?a=3&b=4")
    page.get_by_role("button", name="Options").click()
    faces = [{"seed": 1, "temperature": 0.7}, {"seed": 2, "temperature": 0.7}]
    old = {"kind": "morph", "faces": faces, "sharpness": 0.25, "frames": 33}
    arc = note_in(tmp_path / "arc.gif", {**old, "path": "spherical", "guide": False})
    with new_morph(page):
        open_morph(page, arc)
    expect(page.get_by_label("Seed of face A")).to_have_value("1")
    expect(page.locator("#way").get_by_label("The model alone")).to_be_checked()
    expect(page.get_by_label("Arc", exact=True)).to_be_checked()

    shell = note_in(tmp_path / "shell.gif", {**old, "path": "shell", "guide": True})
    with new_morph(page):
        open_morph(page, shell)
    expect(page.locator("#way").get_by_label("Photos, changed by the model")).to_be_checked()
    expect(page.get_by_label("Straight line")).to_be_checked()
    wait_made(page, tmp_path, recipes.Recipe(way="photos"))

    # A journey on the shell, which no radio button of today names, and without its guide.
    journey = {"kind": "journey", "faces": faces, "path": "shell", "loop": True, "frames": 5}
    open_morph(page, note_in(tmp_path / "journey.gif", journey))
    expect(page.locator("#faces .face-list")).to_have_attribute("data-count", "2", timeout=WAIT_MS)
    expect(page.locator("#journey-way").get_by_label("The model alone")).to_be_checked()
    expect(page.locator("#journey-path").get_by_label("Straight legs")).to_be_checked()
    button(page, "Make the journey").click()
    wait_ready(page, "#journey")
    recipe = recipes.read_recipe(download(page, "Download GIF", tmp_path))
    assert (recipe.kind, recipe.way, recipe.path) == ("journey", "model", "linear")
