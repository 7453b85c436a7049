"""What browsers can ask beside the queue: live pictures, and how far long work is."""

from __future__ import annotations

import base64
import gc
import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from glow_app.common.errors import UserError
from glow_app.common.progress import Stopped
from glow_app.editing.editor import Editor
from glow_app.faces.face import Face, resized
from glow_app.ui.examples import Examples
from glow_app.ui.full_frames import FullFrames
from glow_app.ui.jobs import Jobs
from glow_app.ui.page_faces import EXAMPLE, drawn_face, photo_face
from glow_app.ui.photo_downloads import put_scene
from glow_app.ui.scenes import EditScene, MixScene, Scenes
from glow_app.ui.welcome import SEEDS, Welcome

pytest_plugins = ["tests.full_size_faces"]


@pytest.fixture(scope="module")
def editor(tiny_checkpoint) -> Editor:
    return Editor(tiny_checkpoint, device="cpu")


@pytest.fixture(scope="module")
def mix(editor: Editor) -> MixScene:
    a, b = (drawn_face(editor, seed, 0.7) for seed in (1, 2))
    return MixScene(a, b, len(editor.level_shapes))


def test_a_picture_is_that_of_the_values(editor: Editor, mix: MixScene) -> None:
    scenes = Scenes(editor)
    scenes.keep(mix)
    for weight, side in ((0, mix.a), (1, mix.b)):
        answer = scenes.picture({"key": mix.key, "values": [weight] * mix.levels})
        size = answer["size"]
        pixels = np.frombuffer(base64.b64decode(answer["rgb"]), np.uint8)
        assert np.array_equal(pixels.reshape(size, size, 3), side.pixels)
        assert answer["clamped"] == 0


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
    scenes, scene = Scenes(editor), EditScene(photo_face(editor, photo))
    scenes.keep(scene)
    scenes.keep(mix)
    assert scenes.sizes(scene) == [40] and scenes.sizes(mix) == []
    question = {"key": scene.key, "values": [0.0]}
    assert scenes.picture(question)["size"] == editor.image_size
    answer = scenes.picture({**question, "full": 40})
    assert np.array_equal(pixels_of(answer["src"]), scene.face.full)
    for size in (39, 41, 512, "40", 40.0, True, [40]):
        assert set(scenes.picture({**question, "full": size})) == {"error"}, size
    good = {"key": mix.key, "values": [0.5] * mix.levels}
    assert set(scenes.picture({**good, "full": 40})) == {"error"}  # drawn faces have no more


def test_a_mix_of_one_is_that_photo_at_every_size(released: Editor, portraits: list[Face]) -> None:
    """With the shape of the other face it is not."""
    a, b = portraits[:2]
    scenes, scene = Scenes(released), MixScene(a, b, len(released.level_shapes), shaped=True)
    scenes.keep(scene)
    (size,) = scenes.sizes(scene)
    assert size == max(a.native, b.native) > released.image_size
    for weight, face in enumerate((a, b)):
        question = {"key": scene.key, "values": [weight] * (scene.levels + 1)}
        answer = scenes.picture(question)
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
        None,
        [],
        {},
        {**good, "key": "x" * 22},
        {**good, "key": "\ud800"},
        {**good, "key": 7},
        {**good, "frames": []},
        {**good, "frames": [0, 1, 2, 3, 4]},
        {**good, "frames": [5]},
        {**good, "frames": [-1]},
        {**good, "frames": [0.0]},
        {**good, "frames": [True]},
        {**good, "frames": "0"},
        {**good, "size": 41},
        {**good, "size": None},
    ):
        answer = full.frames(wrong)
        assert set(answer) == {"error"} and answer["error"].endswith("."), wrong

    assert full.offer(editor.morph_frames(b, b, 3)) is None  # drawn: no more
    del morph  # its visitor has another one
    gc.collect()
    assert full.frames(good)["error"] == "These frames have expired: make them again."


def test_a_photo_that_is_gone_is_a_sentence(editor: Editor, mix: MixScene, photo: Path) -> None:
    side = photo_face(editor, photo)
    scene = EditScene(replace(side, photo=photo.with_name("gone.png")))
    event = SimpleNamespace(face=0, kind="jpg")
    with pytest.raises(UserError, match="no longer here: choose it again"):
        put_scene(editor, scene, [0.0], event)
    with pytest.raises(UserError, match="no photo to put it into"):
        put_scene(editor, mix, [0.5] * mix.levels, event)


def test_examples_greet_where_there_are_some(editor: Editor, photo: Path) -> None:
    welcome = Welcome(editor, examples=Examples(editor, [photo, photo]))
    assert [side.source for side in welcome.faces()] == [EXAMPLE] * 2
    assert welcome.faces()[0].photo == photo
    bare = Welcome(editor, examples=Examples(editor, []))
    assert [side.seed for side in bare.faces()] == [*SEEDS]


def test_a_file_says_which_average_an_edit_went_towards(editor: Editor, mix: MixScene) -> None:
    own = EditScene(mix.a, average=editor.average([mix.b]))
    assert own.recipe(editor, [0.5]).average == "photos"
    assert own.recipe(editor, [0.0]).average == ""
    assert EditScene(mix.a).recipe(editor, [0.5]).average == ""


def test_whatever_is_asked_the_answer_is_a_sentence(editor: Editor, mix: MixScene) -> None:
    scenes = Scenes(editor)
    edit = EditScene(mix.a)
    scenes.keep(mix)
    scenes.keep(edit)
    good = [0.5] * mix.levels
    for question in (
        None,
        "key",
        7,
        [],
        {},
        {"key": mix.key},
        {"key": None, "values": good},
        {"key": mix.key[:-1], "values": good},
        {"key": "\ud800", "values": good},
        {"key": mix.key, "values": good[1:]},
        {"key": mix.key, "values": "0.5"},
        {"key": mix.key, "values": [*good[1:], "x"]},
        {"key": mix.key, "values": [*good[1:], None]},
        {"key": mix.key, "values": [*good[1:], float("nan")]},
        {"key": mix.key, "values": [*good[1:], 1e30]},
        {"key": mix.key, "values": [*good[1:], [0.5]]},
        {"key": edit.key, "values": [2.0]},
        {"key": edit.key, "values": [0.5, 1.0]},
    ):
        answer = scenes.picture(question)
        assert set(answer) == {"error"}, question
        assert answer["error"].endswith("."), question


def test_keys_cannot_be_guessed(mix: MixScene) -> None:
    again = MixScene(mix.a, mix.b, mix.levels)
    assert again.key != mix.key and len(again.key) >= 20


def test_a_job_is_looked_at_and_stopped_by_its_name() -> None:
    jobs = Jobs()
    name = jobs.name()
    with jobs.run(name) as job:
        job.progress(0, 10)
        job.progress(4, 10)
        assert jobs.look({"job": name}) == {"done": 4, "total": 10}
        assert jobs.look({"job": jobs.name(), "stop": True}) is None
        job.progress(5, 10)  # nobody's stop of another name stops it
        jobs.look({"job": name, "stop": True})
        with pytest.raises(Stopped):
            job.progress(6, 10)
    assert jobs.look({"job": name}) is None
    for question in (None, 3, "x", {}, {"job": None}, {"job": ["x"]}):
        assert jobs.look(question) is None


def test_a_short_name_makes_a_job_that_nobody_can_stop() -> None:
    jobs = Jobs()
    with jobs.run("1") as job:
        assert jobs.look({"job": "1", "stop": True}) is None
        job.progress(1, 2)
