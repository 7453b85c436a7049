"""What browsers can ask beside the queue: live pictures, and how far long work is."""

from __future__ import annotations

import base64
import gc
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from gradio_client.exceptions import AppError
from PIL import Image

from benchmarks.faults.load import sharp_photo
from benchmarks.faults.visitor import Visitor
from glow_app.common.errors import UserError
from glow_app.common.progress import Stopped
from glow_app.editing.editor import Editor
from glow_app.faces.coding import resized
from glow_app.faces.face import Face
from glow_app.ui.downloads import put_into_photo
from glow_app.ui.events import Jobs
from glow_app.ui.on_demand import FullFrames, Scenes
from glow_app.ui.page import build_page
from glow_app.ui.page_faces import EXAMPLE, SEEDS, Examples, OpeningMorph, drawn_face, photo_face
from glow_app.ui.tabs.edit import EditScene
from glow_app.ui.tabs.mix import MixScene
from glow_app.ui.visitors import BoundedSessions, bytes_of
from tests.page_tools import serving

pytest_plugins = ["tests.full_size_faces"]


@pytest.fixture(scope="module")
def editor(tiny_checkpoint) -> Editor:
    return Editor(tiny_checkpoint, device="cpu")


@pytest.fixture(scope="module")
def mix(editor: Editor) -> MixScene:
    a, b = (drawn_face(editor, seed, 0.7) for seed in (1, 2))
    return MixScene.of(editor, a, b)


@pytest.fixture(scope="module")
def photo(editor: Editor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture with more detail than the model draws."""
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    levels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(levels).save(path)
    return path


def pixels_of(uri: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) as image:
        return np.asarray(image.convert("RGB"))


def test_at_rest_a_picture_has_all_that_the_photo_has(
    editor: Editor, mix: MixScene, photo: Path
) -> None:
    scenes, scene = Scenes(), EditScene.of(editor, photo_face(editor, photo))
    assert scene.full_sizes == [40] and mix.full_sizes == []
    question = {"key": scenes.key(scene), "values": [0.0]}
    assert scenes.picture(question)["size"] == editor.image_size
    answer = scenes.picture({**question, "full": 40})
    assert np.array_equal(pixels_of(answer["src"]), scene.faces[0].full)
    for size in (39, 41, 512, "40", 40.0, True, [40]):
        assert set(scenes.picture({**question, "full": size})) == {"error"}, size
    good = {"key": scenes.key(mix), "values": [0.5] * mix.levels}
    assert set(scenes.picture({**good, "full": 40})) == {"error"}  # drawn faces have no more
    del scene  # with its visitor
    gc.collect()
    assert scenes.picture(question)["error"].startswith("This picture has expired")


def test_a_mix_of_one_is_that_photo_at_every_size(small: Editor, portraits: list[Face]) -> None:
    """With the shape of the other face it is not."""
    a, b = portraits[:2]
    scenes, scene = Scenes(), MixScene.of(small, a, b)
    (size,) = scene.full_sizes
    assert size == max(a.native, b.native) > small.image_size
    for weight, face in enumerate((a, b)):
        question = {"key": scenes.key(scene), "values": [weight] * (scene.levels + 1)}
        answer = scenes.picture(question)
        assert answer["clamped"] == 0
        pixels = np.frombuffer(base64.b64decode(answer["rgb"]), np.uint8)
        assert np.array_equal(pixels.reshape(face.pixels.shape), face.pixels)
        answer = scenes.picture({**question, "full": size})
        assert np.array_equal(pixels_of(answer["src"]), face.at(size))
        question["values"][-1] = 1 - weight
        answer = scenes.picture({**question, "full": size})
        assert np.abs(pixels_of(answer["src"]).astype(int) - face.at(size)).mean() > 1


def test_frames_at_full_size_are_the_photos_at_the_ends(editor: Editor, photo: Path) -> None:
    full = FullFrames()
    a, b = photo_face(editor, photo), drawn_face(editor, 1, 0.7)
    morph = editor.morph_frames(a, b, 5)
    offer = full.offer(morph)
    assert offer == full.offer(morph) and offer["sizes"] == [40]
    frames = dict(full.frames({"key": offer["key"], "frames": [4, 0, 2], "size": 40})["frames"])
    assert list(frames) == [4, 0, 2]
    assert np.array_equal(pixels_of(frames[0]), a.full)
    assert np.array_equal(pixels_of(frames[4]), resized(b.pixels, 40))
    assert frames[2].startswith("data:image/jpeg") and pixels_of(frames[2]).shape == (40, 40, 3)

    good = {"key": offer["key"], "frames": [0], "size": 40}
    for wrong in (
        None, [], {}, {**good, "key": "x" * 22}, {**good, "key": "\ud800"}, {**good, "key": 7},
        {**good, "frames": []}, {**good, "frames": [0, 1, 2, 3, 4]}, {**good, "frames": [5]},
        {**good, "frames": [-1]}, {**good, "frames": [0.0]}, {**good, "frames": [True]},
        {**good, "frames": "0"}, {**good, "size": 41}, {**good, "size": None},
    ):  # fmt: skip
        answer = full.frames(wrong)
        assert set(answer) == {"error"} and answer["error"].endswith("."), wrong

    assert full.offer(editor.morph_frames(b, b, 3)) is None  # drawn: no more
    del morph  # its visitor has another one
    gc.collect()
    assert full.frames(good)["error"] == "These frames have expired: make them again."


def test_whatever_is_asked_the_answer_is_a_sentence(
    editor: Editor, mix: MixScene, photo: Path
) -> None:
    scenes, scene = Scenes(), EditScene.of(editor, mix.faces[0])
    key, edit, good = scenes.key(mix), scenes.key(scene), [0.5] * mix.levels
    assert scenes.key(MixScene.of(editor, *mix.faces)) != key and len(key) >= 20
    for question in (
        None, "key", 7, [], {}, {"key": key}, {"key": None, "values": good},
        {"key": key[:-1], "values": good}, {"key": "\ud800", "values": good},
        {"key": key, "values": good[1:]}, {"key": key, "values": "0.5"},
        *({"key": key, "values": [*good[1:], odd]}
          for odd in ("x", None, float("nan"), 1e30, [0.5])),
        {"key": edit, "values": [2.0]}, {"key": edit, "values": [0.5, 1.0]},
    ):  # fmt: skip
        answer = scenes.picture(question)
        assert set(answer) == {"error"}, question
        assert answer["error"].endswith("."), question
    gone = replace(photo_face(editor, photo), photo=photo.with_name("gone.png"))
    scene, event = EditScene.of(editor, gone), SimpleNamespace(face=0, kind="jpg")
    for one, words in (
        (scene, "no longer here: choose it again"),
        (mix, "no photo to put it into"),
    ):
        values = [0.5] * len(one.sliders)
        with pytest.raises(UserError, match=words):
            put_into_photo(one.faces, one.still(values), 0, one.recipe(values), event)


def test_a_file_says_which_average_an_edit_went_towards(editor: Editor, mix: MixScene) -> None:
    face, other = mix.faces
    own = EditScene.of(editor, face, average=editor.average([other]))
    plain = EditScene.of(editor, face)
    assert [s.recipe([v]).average for s, v in ((own, 0.5), (own, 0.0), (plain, 0.5))] == [
        "photos", "", ""
    ]  # fmt: skip


def test_a_job_is_looked_at_and_stopped_by_its_name() -> None:
    jobs = Jobs()
    name = jobs.new_name()
    with jobs.run(name) as job:
        job.progress(0, 10)
        job.progress(4, 10)
        assert jobs.ask({"job": name}) == {"done": 4, "total": 10}
        assert jobs.ask({"job": jobs.new_name(), "stop": True}) is None
        job.progress(5, 10)  # nobody's stop of another name stops it
        jobs.ask({"job": name, "stop": True})
        with pytest.raises(Stopped):
            job.progress(6, 10)
    assert jobs.ask({"job": name}) is None
    for question in (None, 3, "x", {}, {"job": None}, {"job": ["x"]}):
        assert jobs.ask(question) is None
    with jobs.run("1") as job:  # too short a name: nobody can stop it
        assert jobs.ask({"job": "1", "stop": True}) is None
        job.progress(1, 2)


# ---- what is kept of visitors -------------------------------------------------------------------


def test_the_greeting_faces_do_not_wait_for_their_morph(
    tiny_checkpoint: Path, photo: Path
) -> None:
    """Another thread makes it, and whoever waits for it as well is told how far it is."""
    editor = Editor(tiny_checkpoint, device="cpu")
    greeting = OpeningMorph(editor, examples=Examples(editor, [photo, photo])).faces()
    assert [(face.source, face.photo) for face in greeting] == [(EXAMPLE, photo)] * 2
    bare = OpeningMorph(editor, examples=Examples(editor, []))
    assert [face.seed for face in bare.faces()] == [*SEEDS]

    welcome, goes_on = OpeningMorph(editor), threading.Event()
    decode, begun, told = editor.model._decode, threading.Event(), []

    def slowly(*args: object) -> object:
        begun.set()
        assert goes_on.wait(30)
        return decode(*args)

    faces = welcome.faces()
    editor.model._decode = slowly
    welcome.warm_up()
    try:
        assert begun.wait(30)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(welcome.faces).result(2) == faces and not welcome.ready
        waits = threading.Thread(target=lambda: welcome.morph(lambda *far: told.append(far)))
        waits.start()
        deadline = time.monotonic() + 10
        while not told and time.monotonic() < deadline:
            time.sleep(0.02)
        assert told and all(done < total for done, total in told)
    finally:
        goes_on.set()
    waits.join(30)
    assert welcome.ready and welcome.morph().bits is not None


@pytest.fixture(scope="module")
def blocks(editor: Editor) -> gr.Blocks:
    """A page of this editor."""
    return build_page(editor)


@pytest.fixture
def held(blocks: gr.Blocks) -> BoundedSessions:
    """The memory of that page, as it runs, with room for 10 MB."""
    held = BoundedSessions(10_000_000)
    held.set_blocks(blocks)
    return held


@pytest.fixture(scope="module")
def states(blocks: gr.Blocks) -> list[int]:
    """The numbers of two of the page's states that hold nothing at first."""
    all_ = blocks.blocks.values()
    return [b._id for b in all_ if isinstance(b, gr.State) and b.value is None][:2]


def test_the_memory_of_all_visitors_is_bounded_in_bytes(
    held: BoundedSessions, states: list[int]
) -> None:
    face, result = states

    def sharp() -> Face:
        return Face.of_pixels(np.zeros((16, 16, 3), "u1"), full=np.zeros((1000, 1000, 3), "u1"))

    for name in "abcd":
        held[name][face] = sharp()  # 3 MB each
        assert held.bytes <= 10_000_000
    assert "a" not in held and {"b", "c", "d"} <= set(held.session_data)
    held["b"]  # was here again, so "c" is away for longest
    held["e"][face] = sharp()
    assert set(held.session_data) == {"b", "d", "e"}
    held["e"][result] = (held["e"][face], held["e"][face])  # what is held twice counts once
    assert set(held.session_data) == {"b", "d", "e"}
    held["b"][result] = np.zeros(40_000_000, np.uint8)  # too much alone: nobody else stays
    assert set(held.session_data) == {"b"} and held["b"][face] is not None
    assert held["a"][face] is None  # comes back, and begins anew


def test_what_all_visitors_share_weighs_nothing_and_shown_pictures_are_not_kept(
    editor: Editor, held: BoundedSessions, states: list[int]
) -> None:
    welcome, visit, (face, result) = OpeningMorph(editor, SEEDS), held["a"], states
    visit[face], visit[result] = welcome.faces()[0], welcome.morph()
    assert visit.bytes == 0
    visit[result] = welcome.morph().reversed()  # its own
    assert visit.bytes > 0
    player = next(b for b in held.blocks.blocks.values() if b.elem_id == "player")
    visit._update_value_in_config(player._id, {"sheet": "x" * 1000})
    assert "xxx" not in repr(visit.config_values)


def test_a_morph_keeps_no_codes(editor: Editor, mix: MixScene) -> None:
    """They were larger than its pictures: a float for each level of a pixel."""
    morph = editor.morph_frames(*mix.faces, 9)
    pictures = morph.frames.nbytes + morph.looks.nbytes
    own = bytes_of(morph, but=set(mix.faces))
    assert own < pictures + 9 * 10_000  # shapes, and what was measured
    alone = editor.morph_frames(*mix.faces, 9, alone=True)
    assert alone.frames is alone.looks


def test_visitors_of_a_running_page_share_one_memory(editor: Editor) -> None:
    """Sharp photos of faces; who was away for longest begins anew."""
    with (
        serving(editor) as (app, url),
        closing(Visitor(url)) as first, closing(Visitor(url)) as second,
    ):  # fmt: skip
        held = app.state_holder
        for visitor in (first, second):
            photo = visitor.upload("photo.jpg", sharp_photo(1))
            visitor.press("photo-a", "photo", path=photo["path"])
            visitor.press("photo-b", "draw", seed=7)
            assert held.bytes > 3_000_000  # a face of 1,024 pixels
            held.most_bytes = int(1.5 * held[visitor.session].bytes)
        assert held.bytes <= held.most_bytes
        assert [visitor.session in held for visitor in (first, second)] == [False, True]
        *_, value, _ = second.press("make-morph", "click")
        assert value["final"] and value["n"] == 33
        with pytest.raises(AppError, match="Choose a photo or a random face for A and B first"):
            first.press("make-morph", "click")
