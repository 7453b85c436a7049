"""What goes into the page and what comes out, in a real Chromium: photos, downloads, morphs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence
from playwright.sync_api import expect

from glow_app.export import recipes, writing
from glow_app.faces.coding import resized
from tests.page_tools import FRAMES, OPTIONS, Tab, drawn, far

pytest_plugins = ["tests.page_fixtures"]
pytestmark = pytest.mark.browser


def is_a_sentence(text: str) -> bool:
    """One sentence for people: no traceback, no class names, no second line."""
    return bool(re.fullmatch(r"[^\n]{8,200}\.", text)) and "Error" not in text


# ---- downloads ----------------------------------------------------------------------------------


def duration(image: Image.Image) -> float:
    """Milliseconds that an animation takes."""
    milliseconds = 0.0
    for i in range(image.n_frames):
        image.seek(i)
        image.load()  # WebP tells a frame's time only then
        milliseconds += image.info["duration"]
    return milliseconds


def test_downloads_open_and_say_how_they_were_made(tab: Tab, tmp_path: Path) -> None:
    tab.draw(3, 4)
    a, b = tab.crop("a"), tab.crop("b")
    tab.pace(size=128, rate=25, way="back")
    tab.move_to("Home")
    with Image.open(tab.download("Download GIF", tmp_path)) as image:
        assert image.n_frames == 2 * FRAMES - 2 and image.info["loop"] == 0
        shown = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(image)]
    # First A, last of the way there B, but for the 256 colours of a GIF frame.
    assert far(shown[0], resized(a, 128)) < 8 < far(shown[0], resized(b, 128))
    assert far(shown[FRAMES - 1], resized(b, 128)) < 8
    tab.pace(size=256)
    with Image.open(tab.download("Download frame PNG", tmp_path)) as image:
        assert image.format == "PNG" and image.size == (256, 256)
        assert np.array_equal(np.asarray(image), resized(a, 256))

    tab.pace(size=64, rate=20, way="one")
    for t in (0, 0.5, 1):  # where the player has a frame, the file is that frame
        tab.set_slider(tab.slider(), t)
        still = tab.download("Download frame PNG", tmp_path)
        assert f"{t:.3f}" in still.name
        with Image.open(still) as image:
            assert tab.shows(np.asarray(image)), t

    for name, frames in (("WebP", 33), ("APNG", 33), ("PNG strip", 1), ("contact sheet", 1)):
        file = tab.download(f"Download {name}", tmp_path)
        with Image.open(file) as image:
            if name == "WebP":  # neighbours that look the same are one frame, shown for longer
                assert image.format == "WEBP" and frames / 2 < image.n_frames <= frames
                assert duration(image) == pytest.approx(frames * 1000 / 20, rel=0.05)
            else:
                assert getattr(image, "n_frames", 1) == frames, name
        recipe = recipes.read_recipe(file)
        assert recipe.faces == drawn(3, 4) and recipe.size == 64, name
        if frames > 1:
            assert recipe.fps == 20 and not recipe.there_and_back

    if ".mp4" in writing.available_formats():
        assert tab.download("Download MP4", tmp_path).read_bytes()[4:8] == b"ftyp"
    else:
        expect(tab.button("Download MP4")).to_have_count(0)
        expect(tab.locator("#player .no-mp4")).to_contain_text("PyAV")


# ---- other ways in ------------------------------------------------------------------------------


def test_drop_paste_and_webcam(tab: Tab, photos: list[Path]) -> None:
    tab.draw()
    before = tab.look("a")

    # Ctrl-V goes to the card under the mouse.
    tab.locator("#photo-b .well").hover()
    tab.evaluate(
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
    tab.wait_card("b", "photo")
    expect(tab.locator("#photo-a .card[data-kind=drawn]")).to_be_visible()

    transfer = tab.evaluate_handle(
        """(bytes) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], 'photo.jpg'));
            return transfer;
        }""",
        list(photos[0].read_bytes()),
    )
    tab.locator("#photo-a .card").dispatch_event("drop", {"dataTransfer": transfer})
    tab.wait_card("a", "photo")
    dropped = tab.look("a")
    assert far(dropped, before) > 3

    tab.button("Paste, photo A").click()
    tab.wait_card("a", "photo")
    expect(tab.locator("#photo-a .notes")).to_contain_text("face")  # there is none: says so
    pasted = tab.look("a")
    assert far(pasted, dropped) > 3

    seen = tab.locator("#photo-b .seen").get_attribute("src") or ""
    tab.button("Webcam, photo B").click()
    tab.button("Take photo").click()
    expect(tab.locator("#photo-b .seen")).not_to_have_attribute("src", seen)
    expect(tab.locator("#photo-b video")).to_be_hidden()


# ---- failures -----------------------------------------------------------------------------------


def test_bad_uploads_are_one_sentence_and_the_page_goes_on(
    tab: Tab, tmp_path: Path, photos: list[Path]
) -> None:
    bad = {
        "<b>bold</b>.png": b"this is not a picture",
        "cut.jpg": photos[0].read_bytes()[:400],
    }
    before = tab.crop("a")
    for name, content in bad.items():
        file = tmp_path / name.replace("/", "")
        file.write_bytes(content)
        tab.locator("#photo-a input[type=file]").set_input_files(file)
        sentence = tab.toast()
        assert is_a_sentence(sentence), (name, sentence)
        tab.wait_card("a")
        assert far(tab.crop("a"), before) == 0, name  # what was there is back

    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    tab.locator("#photo-a input[type=file]").set_input_files(empty)
    assert tab.toast() == "This file is empty."

    tab.seed("a").fill("1.5")
    tab.button("Random face A").click()
    assert is_a_sentence(tab.toast())

    tab.choose("a", photos[0])  # and the page still works


# ---- opening what was made ----------------------------------------------------------------------


def test_a_file_brings_back_what_it_holds(tab: Tab, tmp_path: Path) -> None:
    tab.draw(3, 4)
    tab.pace(size=64)
    file = tab.download("Download frame PNG", tmp_path)
    tab.open_options()
    path, way = tab.locator("#path"), tab.locator("#way")

    # Before there were ways: on the shell and guided by shape is straight, by photos; unguided is
    # the model alone.
    old = {"kind": "morph", "sharpness": 0.25, "frames": 33}
    tab.open_made(1, 2, **old, path="spherical", guide=False)
    tab.wait_made(faces=drawn(1, 2), way="model", path="spherical")
    expect(tab.seed("a")).to_have_value("1")
    expect(way.get_by_label("The model alone")).to_be_checked()
    expect(path.get_by_label("Arc")).to_be_checked()
    tab.open_made(1, 2, **old, path="shell", guide=True)
    tab.wait_made(**OPTIONS)
    expect(way.get_by_label("Photos, changed by the model")).to_be_checked()
    expect(path.get_by_label("Straight line")).to_be_checked()

    # A range that no control of the page makes, from a script say, comes back as it was.
    tab.open_made(1, 2, kind="morph", way="photos", t_range=[0, 1.25])
    tab.wait_made(t_range=(0.0, 1.25))
    tab.see("#player input[type=range][min='0'][max='1.25']")
    expect(tab.get_by_label("Go beyond A and B")).to_be_checked()

    # What is far from the defaults comes back, too, and a file of it says so.
    odd = {"way": "photos", "ground": "b", "kappa": 0.2, "path": "spherical"}
    tab.open_made(1, 2, kind="morph", **odd)
    tab.wait_made(**odd, t_range=(0.0, 1.0))
    expect(tab.locator("#ground").get_by_label("Take B's")).to_be_checked()
    expect(tab.locator("#kappa input[type=number]")).to_have_value("0.2")
    expect(path.get_by_label("Arc")).to_be_checked()
    expect(tab.get_by_label("Go beyond A and B")).not_to_be_checked()

    # What the page has made itself.
    tab.open_file(file)
    tab.wait_made(faces=drawn(3, 4), kappa=None, **OPTIONS)
    expect(tab.seed("a")).to_have_value("3")
    expect(path.get_by_label("Straight line")).to_be_checked()

    stranger = tmp_path / "stranger.png"
    Image.new("RGB", (8, 8)).save(stranger)
    tab.open_file(stranger)
    assert "not made by Glow Studio" in tab.toast()

    # A journey on the shell, which no radio button of today names, and without its guide.
    tab.open_made(1, 2, kind="journey", path="shell", loop=True, frames=5)
    tab.see("#faces [data-count='2']")
    expect(tab.locator("#journey-way").get_by_label("The model alone")).to_be_checked()
    expect(tab.locator("#journey-path").get_by_label("Straight legs")).to_be_checked()
    with tab.new_morph("#journey"):
        tab.button("Make the journey").click()
    recipe = recipes.read_recipe(tab.download("Download frame PNG", tmp_path))
    assert (recipe.kind, recipe.way, recipe.path) == ("journey", "model", "linear")
