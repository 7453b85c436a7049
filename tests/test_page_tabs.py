"""Journey, Mix, Edit, Sample and the wider morph in a real Chromium."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from playwright.sync_api import Locator, Page, expect

from glow_app.editing import directions
from glow_app.editing.directions import Direction
from glow_app.editing.editor import Editor
from glow_app.editing.model import FaceModel
from glow_app.export import recipes
from glow_app.ui.page_faces import example_files
from tests.page_tools import (
    WAIT_MS,
    OpenTab,
    button,
    canvas,
    crop,
    download,
    far,
    go,
    is_painted,
    new_morph,
    open_morph,
    settle,
    toast,
    wait_card,
    wait_ready,
)

pytest_plugins = ["tests.page_fixtures"]
pytestmark = pytest.mark.browser

# Move a live slider for two seconds, at every repaint of the display, as a hand would.
_SWEEP = """async ([where, index]) => {
    const live = document.querySelector(where);
    const range = live.querySelectorAll('input[type=range]')[index];
    const before = Number(live.dataset.painted);
    const began = performance.now();
    let moves = 0;
    await new Promise((done) => {
        const step = (now) => {
            const u = Math.min(1, (now - began) / 2000);
            range.value = u;
            range.dispatchEvent(new Event('input'));
            moves += 1;
            if (u < 1) requestAnimationFrame(step);
            else done();
        };
        requestAnimationFrame(step);
    });
    const seconds = (performance.now() - began) / 1000;
    const painted = Number(live.dataset.painted) - before;
    range.dispatchEvent(new Event('change'));
    return {moves, painted, seconds};
}"""


def live_ready(page: Page, where: str) -> list[float]:
    """Wait until a live picture shows what its sliders say; their values."""
    expect(page.locator(f"{where} .live[data-state=ready]:not([data-pending])")).to_be_visible(
        timeout=WAIT_MS
    )
    return json.loads(page.locator(f"{where} .live").get_attribute("data-shown") or "[]")


def set_live(page: Page, where: str, label: str, value: float) -> None:
    """Move one slider of a live picture and let go."""
    let_go(page.locator(where).get_by_role("slider", name=label), value)


def let_go(slider: Locator, value: float) -> None:
    """Move this slider and let go, whether it is seen or not."""
    slider.evaluate(
        """(range, value) => {
            range.value = value;
            range.dispatchEvent(new Event('input'));
            range.dispatchEvent(new Event('change'));
        }""",
        value,
    )


# ---- journey ------------------------------------------------------------------------------------


def test_a_journey_in_order_round_and_round(open_tab: OpenTab, tmp_path: Path) -> None:
    page = open_tab()
    go(page, "Journey")
    expect(page.locator("#faces")).to_contain_text("two to eight faces")
    page.keyboard.press("Control+Enter")
    assert toast(page) == "A journey needs at least two faces: add some first."

    tray = page.locator("#faces .face-list")
    button(page, "Photo A and B").click()
    expect(tray).to_have_attribute("data-count", "2", timeout=WAIT_MS)
    page.evaluate("() => { Math.random = () => 7.5e-6; }")  # the same third face every time
    page.locator("#faces .random").click()
    expect(tray).to_have_attribute("data-count", "3", timeout=WAIT_MS)
    faces = page.locator("#faces li")
    pictures = [faces.nth(i).locator("img").get_attribute("src") for i in range(3)]

    button(page, "Move later face 1").click()
    expect(faces.nth(0).locator("img")).to_have_attribute("src", pictures[1], timeout=WAIT_MS)
    faces.nth(2).drag_to(faces.nth(0), target_position={"x": 5, "y": 20})
    expect(faces.nth(0).locator("img")).to_have_attribute("src", pictures[2], timeout=WAIT_MS)
    expect(faces.nth(1).locator("img")).to_have_attribute("src", pictures[1])

    page.locator("#leg input[type=number]").fill("9")
    page.keyboard.press("Tab")
    button(page, "Make the journey").click()
    wait_ready(page, "#journey")
    assert page.locator("#journey .player").get_attribute("data-frames") == "24"
    expect(page.locator("#journey .stops b")).to_have_text(["1", "2", "3", "1"])
    gif = download(page, "Download GIF", tmp_path)
    with Image.open(gif) as image:
        assert image.n_frames == 24
        shown = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(image)]
    steps = [far(x, y) for x, y in pairwise([*shown, shown[0]])]
    assert steps[-1] <= max(steps[0], steps[-2]) * 1.05  # round without a jump
    recipe = recipes.read_recipe(gif)
    assert recipe.kind == "journey" and recipe.loop and len(recipe.faces) == 3

    go(page, "Morph")
    go(page, "Journey")  # nothing is lost by looking elsewhere
    expect(tray).to_have_attribute("data-count", "3")
    wait_ready(page, "#journey")
    page.get_by_role("button", name="Remove face 2").click()
    expect(tray).to_have_attribute("data-count", "2", timeout=WAIT_MS)

    fresh = open_tab()  # where the Journey tab has not been looked at yet
    open_morph(fresh, gif)
    expect(fresh.locator("#faces .face-list")).to_have_attribute(
        "data-count", "3", timeout=WAIT_MS
    )
    expect(fresh.locator("#leg input[type=number]")).to_have_value("9")
    expect(fresh.get_by_label("Closed loop")).to_be_checked()


# ---- mix ----------------------------------------------------------------------------------------


def test_the_mix_follows_its_sliders(open_tab: OpenTab, small: Editor, tmp_path: Path) -> None:
    page = open_tab()
    a, b = crop(page, "a"), crop(page, "b")
    go(page, "Mix")
    levels = len(small.model.level_shapes)
    coarse = levels - levels // 2
    # One more than levels: the shape of the face, which is A's at first.
    assert live_ready(page, "#mix") == [*[1.0] * (levels // 2), *[0.0] * coarse, 0.0]

    for name, picture in (("All A: Everything from A", a), ("All B: Everything from B", b)):
        button(page, name).click()
        settle(page)
        live_ready(page, "#mix")
        assert is_painted(page, picture, "#mix"), name

    # While a slider moves, pictures follow; the last value is the one that stays.
    button(page, "All A: Everything from A").click()
    live_ready(page, "#mix")
    facts = page.evaluate(_SWEEP, ["#mix .live", 1])
    shown = live_ready(page, "#mix")
    print(f"\nmix: {facts['painted'] / facts['seconds']:.1f} pictures/s from {facts}")
    assert 1 < facts["painted"] < facts["moves"]  # it keeps up, and skips what is out of date
    assert shown == [*[0.0] * (levels - 1), 1.0, 0.0]  # below the shape the coarsest is on top
    assert is_painted(page, small.mix(a, b, shown[:-1], 0.0).pixels, "#mix")

    saved = download(page, "Save picture", tmp_path)
    recipe = recipes.read_recipe(saved)
    assert recipe.kind == "mix" and (*recipe.weights, recipe.shape) == tuple(shown)

    go(page, "Morph")
    go(page, "Mix")  # the sliders stand where they stood
    page.keyboard.press("Control+z")
    settle(page)
    assert live_ready(page, "#mix") == [0.0] * (levels + 1)
    page.keyboard.press("Control+Shift+z")
    settle(page)
    assert live_ready(page, "#mix") == shown

    picture = canvas(page, "#mix")
    button(page, "Use as A").click()
    expect(page.locator("#mix .status")).to_contain_text("photo A now", timeout=WAIT_MS)
    expect(page.locator("#mix .live")).to_have_attribute(
        "data-shown", json.dumps([0] * (levels + 1)).replace(" ", ""), timeout=WAIT_MS
    )
    assert far(canvas(page, "#mix"), picture) < 0.01  # all from the new A: the same picture
    go(page, "Morph")
    expect(page.locator("#photo-a .source")).to_have_text("A mix of two faces")
    button(page, "Remove photo B").click()
    go(page, "Mix")
    expect(page.locator("#mix")).to_contain_text("Two faces make a mix")
    expect(button(page, "Save picture")).to_be_disabled()

    go(page, "Morph")
    open_morph(page, saved)  # brings back the faces, which were drawn, and the weights
    expect(page.get_by_role("tab", name="Mix")).to_have_attribute(
        "aria-selected", "true", timeout=WAIT_MS
    )
    expect(page.locator("#mix .live")).to_have_attribute(
        "data-shown", json.dumps([*[0] * (levels - 1), 1, 0]).replace(" ", ""), timeout=WAIT_MS
    )
    assert is_painted(page, small.mix(a, b, shown[:-1], 0.0).pixels, "#mix")


# ---- edit ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def direction_files(small: Editor, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A direction that means something by its own account, and a weak one."""
    folder = tmp_path_factory.mktemp("directions")
    generator = torch.Generator().manual_seed(5)
    files = []
    for name, accuracy in (("upward", 0.9), ("doubtful", 0.52)):
        vector = torch.randn(small.model.flow.dims, generator=generator) * 0.2
        facts = {"with": "more", "without": "less", "method": "mean"}
        facts |= {"accuracy": accuracy, "effect_size": 1.0, "counts": [500, 500]}
        direction = Direction(name, vector, fingerprint=small.fingerprint, facts=facts)
        files.append(directions.save(direction, folder / f"{name}.safetensors"))
    return files


def test_edits_are_live_and_can_be_undone_saved_and_used(
    open_tab: OpenTab, small: Editor, direction_files: list[Path], tmp_path: Path
) -> None:
    page = open_tab()
    face = crop(page, "a")
    go(page, "Edit")
    shipped = [0.0] * len(small.directions())
    assert live_ready(page, "#edit") == [0.0, *shipped]
    assert is_painted(page, face, "#edit")

    page.get_by_label("Load a direction").set_input_files(direction_files)
    own = page.locator("#edit details", has_text="Your own")
    expect(own).to_be_attached(timeout=WAIT_MS)
    if own.get_attribute("open") is None:
        own.locator("summary").click()
    expect(page.locator("#edit").get_by_role("slider", name="Doubtful")).to_be_visible(
        timeout=WAIT_MS
    )
    live_ready(page, "#edit")
    weak = page.locator("#edit .row", has_text="Doubtful").locator(".weak")
    expect(weak).to_contain_text("Weak: it tells held-out pictures apart only 52 % of the time")
    expect(page.locator("#edit .row", has_text="Upward").locator(".weak")).to_have_count(0)

    set_live(page, "#edit", "Upward", 1.5)
    set_live(page, "#edit", "Doubtful", -1)
    settle(page)
    assert live_ready(page, "#edit") == [0, *shipped, 1.5, -1]
    loaded = [small.load_direction(file) for file in direction_files]
    both = small.edit(face, [*zip(loaded, (1.5, -1), strict=True)]).pixels
    assert far(both, face) > 1
    assert is_painted(page, both, "#edit")
    saved = download(page, "Save picture", tmp_path)
    assert recipes.read_recipe(saved).directions == (("upward", 1.5), ("doubtful", -1.0))

    button(page, "Undo").click()
    settle(page)
    assert live_ready(page, "#edit")[-2:] == [1.5, 0]
    button(page, "Reset").click()
    settle(page)
    live_ready(page, "#edit")
    assert is_painted(page, face, "#edit")

    set_live(page, "#edit", "Towards the average face", 1)
    settle(page)
    live_ready(page, "#edit")
    middle = small.edit(face, toward=1).pixels
    assert far(middle, face) > 3
    assert is_painted(page, middle, "#edit")
    button(page, "Original").hover()
    page.mouse.down()
    assert is_painted(page, face, "#edit")
    page.mouse.up()
    assert is_painted(page, middle, "#edit")

    button(page, "Use as B").click()
    expect(page.locator("#edit .status")).to_contain_text("photo B now", timeout=WAIT_MS)
    go(page, "Morph")
    expect(page.locator("#photo-b .source")).to_have_text("An edited face")

    go(page, "Edit")
    nonsense = tmp_path / "nonsense.safetensors"
    nonsense.write_bytes(b"\x08" + bytes(7) + b"nonsense")
    page.get_by_label("Load a direction").set_input_files(nonsense)
    assert toast(page).endswith(".")


def placed(page: Page) -> dict[str, float]:
    """Where the sliders of the Edit tab stand, by their ids."""
    return page.locator("#edit .live").evaluate(
        """(live) => Object.fromEntries(
            [...live.querySelectorAll('input[data-id]')].map((x) => [x.dataset.id, +x.value]))"""
    )


def of_direction(page: Page, name: str) -> Locator:
    """The slider of a direction, whether its group is open or not."""
    return page.locator(f"#edit input[data-id='direction-{name}']")


def moved(page: Page) -> dict[str, float]:
    """Those that do not stand at 0, by the names of their directions."""
    return {id.removeprefix("direction-"): value for id, value in placed(page).items() if value}


def unfold(page: Page, group: str) -> None:
    """Open a group of sliders, if it is not."""
    box = page.locator(f"#edit .grouped:has([aria-label='Reset {group}']) details")
    if box.get_attribute("open") is None:
        box.locator("summary").click(position={"x": 5, "y": 5})
    expect(box).to_have_attribute("open", "")


def edit_example(page: Page, k: int) -> None:
    """Edit an example face; wait for its picture."""
    before = page.locator("#edit .live").get_attribute("data-painted") or "0"
    page.locator("#edit-examples .face").nth(k).click()
    expect(page.locator("#edit .live")).not_to_have_attribute(
        "data-painted", before, timeout=WAIT_MS
    )
    live_ready(page, "#edit")


def test_sliders_stand_in_groups_that_are_put_back_alone(open_tab: OpenTab, small: Editor) -> None:
    page = open_tab()
    go(page, "Edit")
    live_ready(page, "#edit")
    known: dict[str, list[Direction]] = {}
    for direction in small.directions():
        known.setdefault(direction.group, []).append(direction)
    assert {"Expression", "Pose"} <= set(known)
    boxes = page.locator("#edit details.group")
    expect(boxes).to_have_count(len(known))
    for k, (group, some) in enumerate(known.items()):
        expect(boxes.nth(k).locator("summary")).to_contain_text(f"{group} {len(some)}")
        ids = [f"direction-{direction.name}" for direction in some]
        inputs = boxes.nth(k).locator("input[type=range]")
        assert inputs.evaluate_all("all => all.map((x) => x.dataset.id)") == ids
        for end, own in (("min", "low"), ("max", "high")):
            ends = inputs.evaluate_all(f"all => all.map((x) => +x.{end})")
            assert ends == pytest.approx([getattr(direction, own) for direction in some])
    # Of all groups one is open at first.
    assert [b.get_attribute("open") is not None for b in boxes.all()].count(True) == 1

    first, pose = known["Expression"][0], known["Pose"][0]
    let_go(of_direction(page, first.name), first.high / 2)
    unfold(page, "Pose")
    let_go(of_direction(page, pose.name), pose.high)
    settle(page)
    live_ready(page, "#edit")
    assert moved(page) == pytest.approx(
        {first.name: first.high / 2, pose.name: pose.high}, abs=0.03
    )
    both = moved(page)

    button(page, "Reset Pose").click()
    settle(page)
    live_ready(page, "#edit")
    assert moved(page) == {first.name: both[first.name]}
    unfolded = page.locator("#edit .grouped:has([aria-label='Reset Pose']) details")
    expect(unfolded).to_have_attribute("open", "")  # its button does not fold it
    button(page, "Undo").click()
    settle(page)
    assert moved(page) == both

    of_direction(page, pose.name).dblclick(position={"x": 12, "y": 6})
    settle(page)
    live_ready(page, "#edit")
    assert moved(page) == {first.name: both[first.name]}
    button(page, "Reset").click()
    settle(page)
    live_ready(page, "#edit")
    assert moved(page) == {}


def test_the_expression_of_a_photo_sets_its_sliders_and_no_others(
    open_tab: OpenTab, small: Editor, tmp_path: Path
) -> None:
    page = open_tab()
    go(page, "Edit")
    live_ready(page, "#edit")
    edit_example(page, 0)
    (chin,) = [d for d in small.directions() if d.name == "chin"]
    let_go(of_direction(page, "chin"), 1)
    photo, like = example_files()[:2]
    page.get_by_label("Expression of a photo").set_input_files(like)
    expected = small.expression(small.prepare(photo), small.prepare(like))
    wanted = {d.name: s for d, s in expected}
    name = max(wanted, key=lambda name: abs(wanted[name]))
    expect(of_direction(page, name)).not_to_have_value("0", timeout=WAIT_MS)
    shown = live_ready(page, "#edit")
    steps = {d.name: 0.3 if d.unit == "degrees" else 0.03 for d in small.directions()}
    stand = placed(page)
    for direction in small.directions():
        value = stand[f"direction-{direction.name}"]
        goal = 1 if direction is chin else wanted.get(direction.name, 0)
        assert value == pytest.approx(goal, abs=steps[direction.name]), direction.name
    assert shown == list(stand.values())  # the picture is that of the sliders
    button(page, "Undo").click()
    settle(page)
    live_ready(page, "#edit")
    assert moved(page) == {"chin": 1}

    blank = tmp_path / "blank.png"
    Image.new("RGB", (80, 80), "tan").save(blank)
    page.get_by_label("Expression of a photo").set_input_files(blank)
    assert "needs landmarks" in toast(page)
    assert moved(page) == {"chin": 1}


def test_an_animation_of_an_edit_opens_with_its_sliders_set(
    open_tab: OpenTab,
    here: Callable[..., int],
    small: Editor,
    small_checkpoint: Path,
    tmp_path: Path,
) -> None:
    """What scripts/morph.py --edit has made."""
    out, photo = tmp_path / "m.gif", example_files()[0]
    words = ("--edit", "gaze=0.5", "--edit", "turn=-4.5", "--frames", 2, "--size", 64)
    assert here("morph", photo, *words, "--out", out, "--checkpoint", small_checkpoint) == 0
    page = open_tab()
    open_morph(page, out)
    expect(page.get_by_role("tab", name="Edit")).to_have_attribute(
        "aria-selected", "true", timeout=WAIT_MS
    )
    expect(of_direction(page, "gaze")).to_have_value("0.5", timeout=WAIT_MS)
    live_ready(page, "#edit")
    assert moved(page) == {"gaze": 0.5, "turn": -4.5}

    # One along a direction that the page does not have says which.
    vector = torch.randn(small.model.flow.dims, generator=torch.Generator().manual_seed(5))
    own = Direction("un<b>common", vector * 0.1, fingerprint=small.fingerprint)
    file = directions.save(own, tmp_path / "uncommon.safetensors")
    out = tmp_path / "own.gif"
    words = ("--edit", "gaze=0.25", "--edit", f"{file}=1", "--frames", 2, "--size", 64)
    assert here("morph", photo, *words, "--out", out, "--checkpoint", small_checkpoint) == 0
    go(page, "Morph")
    open_morph(page, out)
    expect(of_direction(page, "gaze")).to_have_value("0.25", timeout=WAIT_MS)
    said = page.get_by_test_id("toast-text").filter(
        has_text="un<b>common: load it, then open this"
    )
    expect(said).to_have_count(1, timeout=WAIT_MS)
    page.get_by_label("Load a direction").set_input_files(file)
    expect(of_direction(page, "un<b>common")).to_be_attached(timeout=WAIT_MS)
    go(page, "Morph")
    with page.expect_file_chooser() as chooser:  # as people do, for the same file once more
        button(page, "Open a morph").click()
    chooser.value.set_files(out)
    expect(of_direction(page, "un<b>common")).to_have_value("1", timeout=WAIT_MS)
    assert moved(page) == {"gaze": 0.25, "un<b>common": 1}


def test_an_example_sets_a_side_and_a_live_picture_gets_its_full_size_at_rest(
    open_tab: OpenTab, small: Editor, tmp_path: Path
) -> None:
    page = open_tab()
    expect(page.locator("#examples .face img").first).to_have_attribute("alt", "Example face 1")
    page.locator("#examples .face").nth(2).press("Enter")
    wait_card(page, "a", "example")
    wait_card(page, "b", "drawn")
    button(page, "Remove photo B").click()
    expect(page.locator("#photo-b .card[data-kind=empty]")).to_be_visible()
    page.locator("#examples .face").nth(3).click()  # the empty side comes first
    wait_card(page, "b", "example")

    go(page, "Edit")
    live_ready(page, "#edit")
    expect(page.locator("#edit .note")).to_have_text(
        f"Drawn faces have the model's {small.image_size} pixels"
    )
    page.locator("#edit-examples .face").nth(3).click()
    live = page.locator("#edit .live")
    expect(live).to_have_attribute("data-full", re.compile(r"\d+"), timeout=WAIT_MS)
    size = int(live.get_attribute("data-full") or 0)
    with Image.open(download(page, "Put it back into the photo", tmp_path)) as whole:
        assert whole.format == "JPEG" and not whole.getexif()
    before = canvas(page, "#edit")
    live.evaluate(
        """(live) => {
            window.sizes = [];
            new MutationObserver(() => window.sizes.push(live.dataset.full ?? ''))
                .observe(live, { attributeFilter: ['data-full'] });
        }"""
    )
    set_live(page, "#edit", "Towards the average face", 0.5)
    # At first the new picture has the model's size, however soon the full one follows.
    page.wait_for_function("window.sizes.length > 1 && window.sizes.at(-1)", timeout=WAIT_MS)
    assert page.evaluate("window.sizes") == ["", str(size)]
    assert live_ready(page, "#edit")[0] == 0.5
    assert far(canvas(page, "#edit"), before) > 1
    button(page, "Original").hover()
    page.mouse.down()
    assert far(canvas(page, "#edit"), before) == 0  # it is at full size, too
    page.mouse.up()


# ---- sample -------------------------------------------------------------------------------------


def test_drawn_faces_are_chosen_and_used(open_tab: OpenTab, small: Editor) -> None:
    page = open_tab()
    go(page, "Sample")
    expect(page.locator("#gallery")).to_contain_text("Nobody here yet")
    page.locator("#sample-n input[type=number]").fill("8")
    page.keyboard.press("Control+Enter")
    gallery = page.locator("#gallery .gallery")
    expect(gallery).to_have_attribute("data-state", "ready", timeout=WAIT_MS)
    expect(page.get_by_role("option")).to_have_count(8)

    page.get_by_role("option").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#gallery .who")).to_have_text("Seed 2, temperature 0.7")
    button(page, "Use as B").click()
    expect(page.locator("#gallery .status")).to_contain_text("photo B now", timeout=WAIT_MS)
    button(page, "Add to journey").click()
    expect(page.locator("#gallery .status")).to_contain_text("joined", timeout=WAIT_MS)

    before = gallery.get_attribute("data-rev") or ""
    button(page, "Near faces").click()
    expect(gallery).not_to_have_attribute("data-rev", before, timeout=WAIT_MS)
    expect(page.locator("#gallery .title")).to_have_text("Near seed 2 at temperature 0.7")
    page.get_by_role("option").nth(1).click()
    expect(button(page, "Near faces")).to_be_disabled()  # it has no seed of its own

    page.get_by_label("The same seeds at several temperatures").check()
    before = gallery.get_attribute("data-rev") or ""
    button(page, "Draw faces").click()
    expect(gallery).not_to_have_attribute("data-rev", before, timeout=WAIT_MS)
    expect(page.get_by_role("option")).to_have_count(32)

    go(page, "Morph")
    wait_card(page, "b")
    expect(page.locator("#photo-b").get_by_label("Seed of face B")).to_have_value("2")
    assert np.array_equal(crop(page, "b"), small.sampler.sample(1, 0.7, 2)[0])
    go(page, "Journey")
    expect(page.locator("#faces .face-list")).to_have_attribute("data-count", "1")


# ---- many photos --------------------------------------------------------------------------------


@dataclass
class HeldPhotos:
    """Photos that are prepared, whatever tab they are for, only as far as they are let."""

    files: list[Path]
    turns: threading.Semaphore

    def let(self, count: int) -> None:
        self.turns.release(count)


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldPhotos]:
    """Four of them. At the end of a test all may go on."""
    prepare, photos = Editor.prepare, HeldPhotos([], threading.Semaphore(0))

    def in_turn(self: Editor, source: Path, *args: object, **more: object) -> object:
        assert not Path(source).name.startswith("held") or photos.turns.acquire(timeout=60)
        return prepare(self, source, *args, **more)

    monkeypatch.setattr(Editor, "prepare", in_turn)
    for k, example in enumerate(example_files()[:4]):
        photos.files.append(tmp_path / f"held_{k}.jpg")
        photos.files[k].write_bytes(example.read_bytes())
    yield photos
    photos.let(100)


def test_many_photos_keep_nobody_waiting_show_how_far_they_are_and_stop(
    open_tab: OpenTab, held: HeldPhotos, photos: list[Path], tmp_path: Path
) -> None:
    page, other = open_tab(), open_tab()
    go(page, "Edit")
    live_ready(page, "#edit")
    average, status = page.get_by_label("Average of photos"), page.locator("#edit .status")
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"this is no picture")

    # Too many: said before a single one is sent.
    sent = []
    page.on("request", lambda request: sent.append(request.url) if "upload" in request.url else 0)
    average.set_input_files([bad] * 65)
    assert toast(page) == "At most 64 photos make an average here." and not sent

    average.set_input_files([*held.files, bad])
    held.let(1)
    words = page.locator("#edit .long-text")
    expect(words).to_contain_text(re.compile(r"Finding faces [1-9]\d* %"), timeout=WAIT_MS)
    other.locator("#photo-a input[type=file]").set_input_files(photos[0])
    wait_card(other, "a", "photo")
    assert status.inner_text() == "Reading…"  # the average is still under way
    held.let(3)
    assert "bad.jpg" in toast(page)  # the others are averaged
    expect(page.locator("#edit .average")).to_be_visible(timeout=WAIT_MS)
    expect(status).to_have_text("")
    expect(words).to_be_hidden()

    before = page.locator("#edit .average").get_attribute("src") or ""
    average.set_input_files(held.files[:2])
    expect(words).to_contain_text("Finding faces", timeout=WAIT_MS)
    page.locator("#edit .stop").click()
    held.let(2)
    expect(status).to_have_text("", timeout=WAIT_MS)
    expect(page.locator("#edit .average")).to_have_attribute("src", before)


def test_a_card_is_busy_until_the_last_of_its_photos_is_there(
    open_tab: OpenTab, held: HeldPhotos
) -> None:
    page = open_tab()
    card, chooser = page.locator("#photo-a .card"), page.locator("#photo-a input[type=file]")
    chooser.set_input_files(held.files[0])
    chooser.set_input_files(held.files[3])  # on top of it, as by a drop
    held.let(1)
    expect(page.locator("#photo-a .source")).to_have_text("Your photo", timeout=WAIT_MS)
    expect(card).to_have_attribute("aria-busy", "true")  # the first is there
    shown = crop(page, "a")
    held.let(1)
    wait_card(page, "a", "photo")
    assert crop(page, "a").shape != shown.shape or far(crop(page, "a"), shown) > 3


def test_photos_of_a_journey_join_what_has_joined_meanwhile(
    open_tab: OpenTab, held: HeldPhotos, tmp_path: Path
) -> None:
    page = open_tab()
    go(page, "Journey")
    tray, add = page.locator("#faces .face-list"), page.get_by_label("Add photos")
    bad, empty = tmp_path / "bad.jpg", tmp_path / "empty.jpg"
    bad.write_bytes(b"this is no picture")
    empty.touch()
    add.set_input_files([held.files[0], bad, held.files[1], empty])
    assert toast(page) == "Left out: empty.jpg is empty."
    expect(page.locator("#faces .long-text")).to_contain_text("Finding faces", timeout=WAIT_MS)
    page.locator("#journey-examples .face").nth(5).click()
    expect(tray).to_have_attribute("data-count", "1", timeout=WAIT_MS)
    expect(tray).to_have_attribute("aria-busy", "true")  # the photos are still on their way
    held.let(2)
    assert "bad.jpg" in toast(page)
    expect(tray).to_have_attribute("data-count", "3", timeout=WAIT_MS)
    expect(page.locator("#faces .face-list:not([aria-busy])")).to_be_visible()
    expect(page.locator("#faces .long")).to_be_hidden()

    add.set_input_files(held.files)
    held.let(1)
    far_enough = re.compile("2[5-9]|[3-9]. %")
    expect(page.locator("#faces .long-text")).to_contain_text(far_enough, timeout=WAIT_MS)
    page.locator("#faces .stop").click()  # those that are ready stay
    held.let(3)
    expect(page.locator("#faces .face-list:not([aria-busy])")).to_be_visible(timeout=WAIT_MS)
    assert 4 <= int(tray.get_attribute("data-count") or 0) < 7
    add.set_input_files(held.files + held.files[:2])
    assert "on this journey" in toast(page)


# ---- long work ----------------------------------------------------------------------------------


def test_long_work_shows_how_far_it_is_and_stops(
    open_tab: OpenTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_tab()
    original = FaceModel.decode_with_report

    def slowly(self: FaceModel, z: torch.Tensor, *args: object, **kwargs: object) -> object:
        kwargs["batch"] = 1  # as on a slow machine, a frame at a time
        time.sleep(0.5)
        return original(self, z, *args, **kwargs)

    monkeypatch.setattr(FaceModel, "decode_with_report", slowly)
    page.get_by_role("button", name="Options").click()
    page.get_by_label("Even speed").check()
    stop = page.locator("#player .stop")
    expect(stop).to_be_visible(timeout=WAIT_MS)
    expect(page.locator("#player .long-text")).to_contain_text("Decoding")
    stop.click()
    expect(page.locator("#player .player:not([data-working])")).to_be_visible(timeout=WAIT_MS)
    expect(stop).to_be_hidden()
    monkeypatch.undo()
    with new_morph(page):  # and the page goes on
        button(page, "Morph").click()
