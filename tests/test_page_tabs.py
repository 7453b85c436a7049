"""Journey, Mix, Edit, Sample and the wider morph in a real Chromium."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from playwright.sync_api import Locator, expect

from glow_app.editing import directions
from glow_app.editing.directions import Direction
from glow_app.editing.editor import Editor
from glow_app.editing.model import FaceModel
from glow_app.export import recipes
from glow_app.ui.page_faces import SEEDS, TEMPERATURE, drawn_face, example_files
from tests.page_tools import FRAMES, OpenTab, Tab, far

pytest_plugins = ["tests.page_fixtures"]
pytestmark = pytest.mark.browser

# Move a live slider for a second, at every repaint of the display, as a hand would.
_SWEEP = """async ([where, index]) => {
    const live = document.querySelector(where);
    const range = live.querySelectorAll('input[type=range]')[index];
    const [before, began] = [Number(live.dataset.painted), performance.now()];
    let moves = 0;
    for (let u = 0; u < 1; moves += 1) {
        u = Math.min(1, ((await new Promise(requestAnimationFrame)) - began) / 1000);
        range.value = u;
        range.dispatchEvent(new Event('input'));
    }
    range.dispatchEvent(new Event('change'));
    return {moves, painted: Number(live.dataset.painted) - before};
}"""


def test_what_a_fresh_visitor_finds(open_tab: OpenTab, small: Editor, tmp_path: Path) -> None:
    tab = open_tab()
    for side, seed in zip("ab", SEEDS, strict=True):
        card = tab.locator(f"#photo-{side}")
        face = drawn_face(small, seed, TEMPERATURE).pixels
        assert np.array_equal(tab.crop(side), face)
        expect(card).to_contain_text("Drawn by the model")
        expect(card).to_contain_text("bits/dim")
        expect(card).to_contain_text("Round trip: exact, 0 levels off")
    assert tab.locator("#player .player").get_attribute("data-frames") == str(FRAMES)
    expect(tab.slider()).to_have_value("0")  # it does not move by itself

    # A journey is opened where its tab has not been looked at yet.
    tab.open_made(1, 2, 3, kind="journey", path="linear", loop=False, frames=9)
    tab.see("#faces [data-count='3']")
    expect(tab.locator("#leg input[type=number]")).to_have_value("9")
    expect(tab.get_by_label("Closed loop")).not_to_be_checked()
    expect(tab.locator("#journey-path").get_by_label("Straight legs")).to_be_checked()

    tab.go("Mix")
    levels = len(small.model.level_shapes)
    coarse = levels - levels // 2
    # One more than levels: the shape of the face, which is A's at first.
    assert tab.live_ready("#mix") == [*[1.0] * (levels // 2), *[0.0] * coarse, 0.0]
    tab.go("Sample")
    expect(tab.locator("#gallery")).to_contain_text("Nobody here yet")

    tab.go("Edit")
    assert moved(tab) == {}
    assert tab.shows(tab.crop("a"), "#edit")
    groups: dict[str, list[Direction]] = {}
    for direction in small.directions():
        groups.setdefault(direction.group, []).append(direction)
    assert {"Expression", "Pose"} <= set(groups)
    boxes = tab.locator("#edit details.group")
    expect(boxes).to_have_count(len(groups))
    for box, (group, some) in zip(boxes.all(), groups.items(), strict=True):
        expect(box.locator("summary")).to_contain_text(f"{group} {len(some)}")
        inputs = box.locator("input[type=range]").evaluate_all(
            "all => all.map((x) => [x.dataset.id, +x.min, +x.max])"
        )
        for (id, low, high), direction in zip(inputs, some, strict=True):
            assert id == f"direction-{direction.name}"
            assert (low, high) == pytest.approx((direction.low, direction.high))
    # Of all groups one is open at first.
    assert [b.get_attribute("open") is not None for b in boxes.all()].count(True) == 1


# ---- journey ------------------------------------------------------------------------------------


def test_a_journey_in_order_round_and_round(tab: Tab, tmp_path: Path) -> None:
    tab.draw(22, 14)
    tab.empty_journey()
    expect(tab.locator("#faces")).to_contain_text("two to eight faces")
    tab.keyboard.press("Control+Enter")
    assert tab.toast() == "A journey needs at least two faces: add some first."

    tab.button("Photo A and B").click()
    tab.see("#faces [data-count='2']")
    tab.locator("#faces .random").evaluate(  # the same third face every time
        """(button) => {
            const { random } = Math;
            Math.random = () => 7.5e-6;
            button.click();
            Math.random = random;
        }"""
    )
    tab.see("#faces [data-count='3']")
    faces = tab.locator("#faces li")
    pictures = [faces.nth(i).locator("img").get_attribute("src") for i in range(3)]

    tab.button("Move later face 1").click()
    expect(faces.nth(0).locator("img")).to_have_attribute("src", pictures[1])
    faces.nth(2).drag_to(faces.nth(0), target_position={"x": 5, "y": 20})
    expect(faces.nth(0).locator("img")).to_have_attribute("src", pictures[2])
    expect(faces.nth(1).locator("img")).to_have_attribute("src", pictures[1])

    tab.locator("#leg input[type=number]").fill("9")
    tab.keyboard.press("Tab")
    with tab.new_morph("#journey"):
        tab.button("Make the journey").click()
    assert tab.locator("#journey .player").get_attribute("data-frames") == "24"
    expect(tab.locator("#journey .stops b")).to_have_text(["1", "2", "3", "1"])
    tab.pace("#journey", size=128)
    gif = tab.download("Download GIF", tmp_path)
    with Image.open(gif) as image:
        assert image.n_frames == 24
        shown = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(image)]
    steps = [far(x, y) for x, y in pairwise([*shown, shown[0]])]
    assert steps[-1] <= max(steps[0], steps[-2]) * 1.05  # round without a jump
    recipe = recipes.read_recipe(gif)
    assert recipe.kind == "journey" and recipe.loop and len(recipe.faces) == 3

    tab.go("Morph")
    tab.go("Journey")  # nothing is lost by looking elsewhere
    tab.see("#faces [data-count='3']")
    tab.wait_ready("#journey")
    tab.button("Remove face 2").click()
    tab.see("#faces [data-count='2']")

    tab.go("Morph")
    tab.open_file(gif)
    tab.see("#faces [data-count='3']")
    expect(tab.locator("#leg input[type=number]")).to_have_value("9")
    expect(tab.get_by_label("Closed loop")).to_be_checked()


# ---- mix ----------------------------------------------------------------------------------------


def test_the_mix_follows_its_sliders(tab: Tab, small: Editor, tmp_path: Path) -> None:
    tab.draw(22, 14)
    a, b = tab.crop("a"), tab.crop("b")
    levels = len(small.model.level_shapes)
    tab.go("Mix")
    tab.live_ready("#mix")
    for name, picture in (("All A: Everything from A", a), ("All B: Everything from B", b)):
        tab.button(name).click()
        tab.settle()
        tab.live_ready("#mix")
        assert tab.shows(picture, "#mix"), name

    # While a slider moves, pictures follow; the last value is the one that stays.
    tab.button("All A: Everything from A").click()
    tab.live_ready("#mix")
    facts = tab.evaluate(_SWEEP, ["#mix .live", 1])
    shown = tab.live_ready("#mix")
    print(f"\nmix, in a second: {facts}")
    assert 1 < facts["painted"] < facts["moves"]  # it keeps up, and skips what is out of date
    assert shown == [*[0.0] * (levels - 1), 1.0, 0.0]  # below the shape the coarsest is on top
    assert tab.shows(small.mix(a, b, shown[:-1], 0.0).pixels, "#mix")

    saved = tab.download("Save picture", tmp_path)
    recipe = recipes.read_recipe(saved)
    assert recipe.kind == "mix" and (*recipe.weights, recipe.shape) == tuple(shown)

    tab.go("Morph")
    tab.go("Mix")  # the sliders stand where they stood
    tab.keyboard.press("Control+z")
    tab.settle()
    assert tab.live_ready("#mix") == [0.0] * (levels + 1)
    tab.keyboard.press("Control+Shift+z")
    tab.settle()
    assert tab.live_ready("#mix") == shown

    picture = tab.canvas("#mix")
    tab.button("Use as A").click()
    tab.see("#mix .status:has-text('photo A now')")
    values = json.dumps([0] * (levels + 1)).replace(" ", "")
    tab.see(f"#mix .live[data-shown='{values}']")
    assert far(tab.canvas("#mix"), picture) < 0.01  # all from the new A: the same picture
    tab.go("Morph")
    expect(tab.locator("#photo-a .source")).to_have_text("A mix of two faces")
    tab.button("Remove photo B").click()
    tab.go("Mix")
    expect(tab.locator("#mix")).to_contain_text("Two faces make a mix")
    expect(tab.button("Save picture")).to_be_disabled()

    tab.go("Morph")
    tab.open_file(saved)  # brings back the faces, which were drawn, and the weights
    values = json.dumps([*[0] * (levels - 1), 1, 0]).replace(" ", "")
    tab.see(f"#mix .live[data-shown='{values}']")
    assert tab.shows(small.mix(a, b, shown[:-1], 0.0).pixels, "#mix")


# ---- edit ---------------------------------------------------------------------------------------


def placed(tab: Tab) -> dict[str, float]:
    """Where the sliders of the Edit tab stand, by their ids, once the picture shows them."""
    tab.settle()
    shown = tab.live_ready("#edit")
    stand = tab.locator("#edit .live").evaluate(
        """(live) => Object.fromEntries(
            [...live.querySelectorAll('input[data-id]')].map((x) => [x.dataset.id, +x.value]))"""
    )
    assert shown == [*stand.values()]
    return stand


def moved(tab: Tab) -> dict[str, float]:
    """Those that do not stand at 0, by the names of their directions."""
    return {id.removeprefix("direction-"): value for id, value in placed(tab).items() if value}


def of_edit(tab: Tab, name: str) -> Locator:
    """The slider of a direction, or of the "average", whether its group is open or not."""
    return tab.locator(f"#edit input:is([data-id='direction-{name}'], [data-id='{name}'])")


@contextmanager
def other_picture(tab: Tab) -> Iterator[None]:
    """What happens inside leads to another picture on the Edit tab: wait for it."""
    before = tab.locator("#edit .live").get_attribute("data-painted") or "0"
    yield
    tab.see(f"#edit .live:not([data-painted='{before}'])")
    tab.live_ready("#edit")


def edit_example(tab: Tab, k: int) -> None:
    """Edit an example face."""
    with other_picture(tab):
        tab.locator("#edit-examples .face").nth(k).click()


def edit_drawn(tab: Tab, editor: Editor, seed: int) -> np.ndarray:
    """Edit a drawn face; its pixels."""
    box = tab.get_by_label("Seed of face to edit")
    if box.input_value() != str(seed):
        with other_picture(tab):
            box.fill(str(seed))
            box.press("Enter")
    return drawn_face(editor, seed, TEMPERATURE).pixels


def open_edit(tab: Tab) -> None:
    """Open the tab, with all sliders at 0."""
    tab.go("Edit")
    tab.live_ready("#edit")
    if tab.button("Reset").is_enabled():
        tab.button("Reset").click()
    assert moved(tab) == {}


def own_direction(editor: Editor, folder: Path, name: str, **facts: object) -> Path:
    """A file with a direction of somebody's own."""
    generator = torch.Generator().manual_seed(len(name))
    vector = torch.randn(editor.model.flow.dims, generator=generator) * 0.2
    own = Direction(name, vector, fingerprint=editor.fingerprint, facts=facts)
    return directions.save(own, folder / f"own_{len(name)}.safetensors")


def unfold(tab: Tab, group: str) -> Locator:
    """Open a group of sliders, if it is not."""
    box = tab.locator(f"#edit .grouped:has([aria-label='Reset {group}']) details")
    if box.get_attribute("open") is None:
        box.locator("summary").click(position={"x": 5, "y": 5})
    expect(box).to_have_attribute("open", "")
    return box


def test_edits_are_live_and_can_be_undone_saved_and_used(
    tab: Tab, small: Editor, tmp_path: Path
) -> None:
    open_edit(tab)
    face = edit_drawn(tab, small, 22)
    assert tab.shows(face, "#edit")

    # A direction that means something by its own account, and a weak one.
    facts = {"with": "more", "without": "less", "method": "mean", "effect_size": 1.0}
    facts["counts"] = [500, 500]
    files = [
        own_direction(small, tmp_path, name, **facts, accuracy=accuracy)
        for name, accuracy in (("upward", 0.9), ("doubtful", 0.52))
    ]
    tab.locator("#edit").get_by_label("Load a direction").set_input_files(files)
    expect(of_edit(tab, "doubtful")).to_be_attached()
    unfold(tab, "Your own")
    weak = tab.locator("#edit .row", has_text="Doubtful").locator(".weak")
    expect(weak).to_contain_text("Weak: it tells held-out pictures apart only 52 % of the time")
    expect(tab.locator("#edit .row", has_text="Upward").locator(".weak")).to_have_count(0)

    tab.set_slider(of_edit(tab, "upward"), 1.5)
    tab.set_slider(of_edit(tab, "doubtful"), -1)
    assert moved(tab) == {"upward": 1.5, "doubtful": -1}
    loaded = [small.load_direction(file) for file in files]
    both = small.edit(face, [*zip(loaded, (1.5, -1), strict=True)]).pixels
    assert far(both, face) > 1
    assert tab.shows(both, "#edit")
    saved = tab.download("Save picture", tmp_path)
    assert recipes.read_recipe(saved).directions == (("upward", 1.5), ("doubtful", -1.0))

    tab.button("Undo").click()
    assert moved(tab) == {"upward": 1.5}
    tab.button("Reset").click()
    assert moved(tab) == {}
    assert tab.shows(face, "#edit")

    tab.set_slider(of_edit(tab, "average"), 1)
    assert moved(tab) == {"average": 1}
    middle = small.edit(face, toward=1).pixels
    assert far(middle, face) > 3
    assert tab.shows(middle, "#edit")
    tab.button("Original").hover()
    tab.mouse.down()
    assert tab.shows(face, "#edit")
    tab.mouse.up()
    assert tab.shows(middle, "#edit")

    tab.button("Use as B").click()
    tab.see("#edit .status:has-text('photo B now')")
    tab.go("Morph")
    expect(tab.locator("#photo-b .source")).to_have_text("An edited face")

    tab.go("Edit")
    nonsense = tmp_path / "nonsense.safetensors"
    nonsense.write_bytes(b"\x08" + bytes(7) + b"nonsense")
    tab.locator("#edit").get_by_label("Load a direction").set_input_files(nonsense)
    assert tab.toast().endswith(".")


def test_groups_of_sliders_are_put_back_alone(tab: Tab, small: Editor) -> None:
    first, pose = (
        next(d for d in small.directions() if d.group == group) for group in ("Expression", "Pose")
    )
    open_edit(tab)
    tab.set_slider(of_edit(tab, first.name), first.high / 2)
    box = unfold(tab, "Pose")
    tab.set_slider(of_edit(tab, pose.name), pose.high)
    both = moved(tab)
    assert both == pytest.approx({first.name: first.high / 2, pose.name: pose.high}, abs=0.03)

    tab.button("Reset Pose").click()
    assert moved(tab) == {first.name: both[first.name]}
    expect(box).to_have_attribute("open", "")  # its button does not fold it
    tab.button("Undo").click()
    assert moved(tab) == both

    of_edit(tab, pose.name).dblclick(position={"x": 12, "y": 6})
    assert moved(tab) == {first.name: both[first.name]}
    of_edit(tab, first.name).dblclick(position={"x": 12, "y": 6})
    assert moved(tab) == {}
    expect(tab.button("Reset")).to_be_disabled()  # there is nothing left to put back
    tab.button("Undo").click()
    tab.button("Reset").click()
    assert moved(tab) == {}

    tab.button("Remove photo to edit").click()  # then nothing can be moved, nor taken back
    tab.see("#edit .live[data-state=empty]")
    for name in ("Undo", "Reset", "Reset Pose"):
        expect(tab.button(name)).to_be_disabled()
    tab.keyboard.press("Control+z")
    edit_drawn(tab, small, 23)
    assert moved(tab) == {}


def test_the_expression_of_a_photo_sets_its_sliders_and_no_others(
    tab: Tab, small: Editor, tmp_path: Path
) -> None:
    open_edit(tab)
    edit_example(tab, 0)
    tab.set_slider(of_edit(tab, "chin"), 1)
    photo, like = example_files()[:2]
    tab.locator("#edit").get_by_label("Expression of a photo").set_input_files(like)
    expected = small.expression(small.prepare(photo), small.prepare(like))
    wanted = {d.name: s for d, s in expected}
    name = max(wanted, key=lambda name: abs(wanted[name]))
    expect(of_edit(tab, name)).not_to_have_value("0")
    stand = placed(tab)
    for direction in small.directions():
        step = 0.3 if direction.unit == "degrees" else 0.03
        goal = 1 if direction.name == "chin" else wanted.get(direction.name, 0)
        value = stand[f"direction-{direction.name}"]
        assert value == pytest.approx(goal, abs=step), direction.name
    tab.button("Undo").click()
    assert moved(tab) == {"chin": 1}

    blank = tmp_path / "blank.png"
    Image.new("RGB", (80, 80), "tan").save(blank)
    tab.locator("#edit").get_by_label("Expression of a photo").set_input_files(blank)
    assert "needs landmarks" in tab.toast()
    assert moved(tab) == {"chin": 1}


def test_an_animation_of_an_edit_opens_with_its_sliders_set(
    tab: Tab, here: Callable[..., int], small: Editor, small_checkpoint: Path, tmp_path: Path
) -> None:
    """What scripts/morph.py --edit has made."""
    out, photo = tmp_path / "m.gif", example_files()[0]
    how = ("--frames", 2, "--size", 64, "--out", out, "--checkpoint", small_checkpoint)
    assert here("morph", photo, "--edit", "gaze=0.5", "--edit", "turn=-4.5", *how) == 0
    tab.open_file(out)
    tab.see("#edit")
    expect(of_edit(tab, "gaze")).to_have_value("0.5")
    assert moved(tab) == {"gaze": 0.5, "turn": -4.5}
    tab.toast()

    # One along a direction that the page does not have says which.
    own = own_direction(small, tmp_path, "un<b>common")
    out = tmp_path / "own.gif"
    words = ("--edit", "gaze=0.25", "--edit", f"{own}=1", *how, "--out", out)
    assert here("morph", photo, *words) == 0
    tab.go("Morph")
    tab.open_file(out)
    expect(of_edit(tab, "gaze")).to_have_value("0.25")
    assert "un<b>common: load it, then open this" in tab.toast()
    tab.locator("#edit").get_by_label("Load a direction").set_input_files(own)
    expect(of_edit(tab, "un<b>common")).to_be_attached()
    tab.go("Morph")
    with tab.expect_file_chooser() as chooser:  # as people do, for the same file once more
        tab.button("Open a morph").click()
    chooser.value.set_files(out)
    expect(of_edit(tab, "un<b>common")).to_have_value("1")
    assert moved(tab) == {"gaze": 0.25, "un<b>common": 1}
    tab.toast()


def test_an_example_sets_a_side_and_a_live_picture_gets_its_full_size_at_rest(
    tab: Tab, small: Editor, tmp_path: Path
) -> None:
    examples = tab.locator("#examples .face")
    expect(examples.first.locator("img")).to_have_attribute("alt", "Example face 1")
    tab.button("Remove photo A").click()
    tab.see("#photo-a .card[data-kind=empty]")
    examples.nth(2).press("Enter")  # the empty side comes first
    tab.wait_card("a", "example")
    examples.nth(3).click()  # then the one that was set longest ago
    tab.wait_card("b", "example")

    open_edit(tab)
    edit_drawn(tab, small, 22)
    expect(tab.locator("#edit .note")).to_have_text(
        f"Drawn faces have the model's {small.image_size} pixels"
    )
    edit_example(tab, 3)
    live = tab.see("#edit .live[data-full]")
    size = int(live.get_attribute("data-full") or 0)
    with Image.open(tab.download("Put it back into the photo", tmp_path)) as whole:
        assert whole.format == "JPEG" and not whole.getexif()
    before = tab.canvas("#edit")
    live.evaluate(
        """(live) => {
            window.sizes = [];
            new MutationObserver(() => window.sizes.push(live.dataset.full ?? ''))
                .observe(live, { attributeFilter: ['data-full'] });
        }"""
    )
    tab.set_slider(of_edit(tab, "average"), 0.5)
    # At first the new picture has the model's size, however soon the full one follows.
    tab.wait_for_function("window.sizes.length > 1 && window.sizes.at(-1)")
    assert tab.evaluate("window.sizes") == ["", str(size)]
    assert moved(tab) == {"average": 0.5}
    assert far(tab.canvas("#edit"), before) > 1
    tab.button("Original").hover()
    tab.mouse.down()
    assert far(tab.canvas("#edit"), before) == 0  # it is at full size, too
    tab.mouse.up()


# ---- sample -------------------------------------------------------------------------------------


def test_drawn_faces_are_chosen_and_used(tab: Tab, small: Editor) -> None:
    tab.empty_journey()
    tab.go("Sample")
    seed = tab.locator("#sample-seed input")
    seed.fill("-5")
    tab.keyboard.press("Control+Enter")
    assert tab.toast() == "The seed must be a whole number from 0 to 4294967295."
    seed.fill("0")
    tab.locator("#sample-n input[type=number]").fill("4")
    tab.keyboard.press("Control+Enter")
    gallery = tab.see("#gallery .gallery[data-state=ready]")
    expect(tab.get_by_role("option")).to_have_count(4)

    tab.get_by_role("option").first.focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowRight")
    expect(tab.locator("#gallery .who")).to_have_text("Seed 2, temperature 0.7")
    tab.button("Use as B").click()
    tab.see("#gallery .status:has-text('photo B now')")
    tab.button("Add to journey").click()
    tab.see("#gallery .status:has-text('joined')")

    before = gallery.get_attribute("data-rev")
    tab.button("Near faces").click()
    tab.see(f"#gallery .gallery:not([data-rev='{before}'])")
    expect(tab.locator("#gallery .title")).to_have_text("Near seed 2 at temperature 0.7")
    tab.get_by_role("option").nth(1).click()
    expect(tab.button("Near faces")).to_be_disabled()  # it has no seed of its own

    tab.get_by_label("The same seeds at several temperatures").check()
    before = gallery.get_attribute("data-rev")
    tab.button("Draw faces").click()
    tab.see(f"#gallery .gallery:not([data-rev='{before}'])")
    expect(tab.get_by_role("option")).to_have_count(16)

    tab.go("Morph")
    tab.wait_card("b")
    expect(tab.seed("b")).to_have_value("2")
    assert np.array_equal(tab.crop("b"), small.sampler.sample(1, 0.7, 2)[0])
    expect(tab.locator("#faces .face-list")).to_have_attribute("data-count", "1")


# ---- many photos --------------------------------------------------------------------------------


Held = tuple[list[Path], Callable[[int], None]]


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """Four photos that are prepared, whatever tab they are for, only as far as they are let, and
    what lets so many go on. At the end of a test all may."""
    prepare, turns = Editor.prepare, threading.Semaphore(0)

    def in_turn(self: Editor, source: Path, *args: object, **more: object) -> object:
        assert not Path(source).name.startswith("held") or turns.acquire(timeout=60)
        return prepare(self, source, *args, **more)

    monkeypatch.setattr(Editor, "prepare", in_turn)
    files = [shutil.copy(file, tmp_path / f"held_{file.name}") for file in example_files()[:4]]
    yield files, turns.release
    turns.release(100)


def test_many_photos_keep_nobody_waiting_show_how_far_they_are_and_stop(
    tab: Tab, held: Held, photos: list[Path], tmp_path: Path
) -> None:
    files, let = held
    tab.draw()
    tab.go("Edit")
    tab.live_ready("#edit")
    average, status = (
        tab.locator("#edit").get_by_label("Average of photos"),
        tab.locator("#edit .status"),
    )
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"this is no picture")

    # Too many: said before a single one is sent.
    sent = []
    tab.on("request", lambda request: sent.append(request.url) if "upload" in request.url else 0)
    average.set_input_files([bad] * 65)
    assert tab.toast() == "At most 64 photos make an average here." and not sent

    average.set_input_files([*files, bad])
    let(1)
    words = tab.locator("#edit .long-text")
    expect(words).to_contain_text(re.compile(r"Finding faces [1-9]\d* %"))
    tab.locator("#photo-a input[type=file]").set_input_files(photos[0])
    tab.go("Morph")
    tab.wait_card("a", "photo")
    tab.go("Edit")
    assert status.inner_text() == "Reading…"  # the average is still under way
    let(3)
    assert "bad.jpg" in tab.toast()  # the others are averaged
    expect(tab.locator("#edit .average")).to_be_visible()
    expect(status).to_have_text("")
    expect(words).to_be_hidden()

    before = tab.locator("#edit .average").get_attribute("src") or ""
    average.set_input_files(files[:2])
    expect(words).to_contain_text("Finding faces")
    tab.locator("#edit .stop").click()
    let(2)
    expect(status).to_have_text("")
    expect(tab.locator("#edit .average")).to_have_attribute("src", before)


def test_a_card_is_busy_until_the_last_of_its_photos_is_there(tab: Tab, held: Held) -> None:
    files, let = held
    tab.draw()
    card, chooser = tab.locator("#photo-a .card"), tab.locator("#photo-a input[type=file]")
    chooser.set_input_files(files[0])
    chooser.set_input_files(files[3])  # on top of it, as by a drop
    let(1)
    expect(tab.locator("#photo-a .source")).to_have_text("Your photo")
    expect(card).to_have_attribute("aria-busy", "true")  # the first is there
    shown = tab.crop("a")
    let(1)
    tab.wait_card("a", "photo")
    assert tab.crop("a").shape != shown.shape or far(tab.crop("a"), shown) > 3


def test_photos_of_a_journey_join_what_has_joined_meanwhile(
    tab: Tab, held: Held, tmp_path: Path
) -> None:
    files, let = held
    tray, add = tab.empty_journey(), tab.get_by_label("Add photos")
    bad, empty = tmp_path / "bad.jpg", tmp_path / "empty.jpg"
    bad.write_bytes(b"this is no picture")
    empty.touch()
    add.set_input_files([files[0], bad, files[1], empty])
    assert tab.toast() == "Left out: empty.jpg is empty."
    expect(tab.locator("#faces .long-text")).to_contain_text("Finding faces")
    tab.locator("#journey-examples .face").nth(5).click()
    tab.see("#faces [data-count='1']")
    expect(tray).to_have_attribute("aria-busy", "true")  # the photos are still on their way
    let(2)
    assert "bad.jpg" in tab.toast()
    tab.see("#faces [data-count='3']")
    expect(tab.locator("#faces .face-list:not([aria-busy])")).to_be_visible()
    expect(tab.locator("#faces .long")).to_be_hidden()

    add.set_input_files(files)
    let(1)
    far_enough = re.compile("2[5-9]|[3-9]. %")
    expect(tab.locator("#faces .long-text")).to_contain_text(far_enough)
    tab.locator("#faces .stop").click()  # those that are ready stay
    let(3)
    expect(tab.locator("#faces .face-list:not([aria-busy])")).to_be_visible()
    assert 4 <= int(tray.get_attribute("data-count") or 0) < 7
    add.set_input_files(files + files[:2])
    assert "on this journey" in tab.toast()


# ---- long work ----------------------------------------------------------------------------------


def test_long_work_shows_how_far_it_is_and_stops(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab.draw()
    original = FaceModel.decode_with_report

    def slowly(self: FaceModel, z: torch.Tensor, *args: object, **kwargs: object) -> object:
        time.sleep(0.3)
        return original(self, z, 1, *args[1:], **kwargs)  # as on a slow machine, one at a time

    monkeypatch.setattr(FaceModel, "decode_with_report", slowly)
    tab.seed("b").fill("9")
    tab.keyboard.press("Enter")
    stop = tab.locator("#player .stop")
    expect(stop).to_be_visible()
    expect(tab.locator("#player .long-text")).to_contain_text("Decoding")
    stop.click()
    expect(tab.locator("#player .player:not([data-working])")).to_be_visible()
    expect(stop).to_be_hidden()
    monkeypatch.undo()
    with tab.new_morph():  # and the page goes on
        tab.button("Morph").click()
