"""What browsers can ask beside the queue: live pictures, and how far long work is."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from glow_app.common.progress import Stopped
from glow_app.editing.editor import Editor
from glow_app.ui.jobs import Jobs
from glow_app.ui.scenes import EditScene, MixScene, Scenes
from glow_app.ui.sides import draw_side


@pytest.fixture(scope="module")
def editor(tiny_checkpoint) -> Editor:
    return Editor(tiny_checkpoint, device="cpu")


@pytest.fixture(scope="module")
def mix(editor: Editor) -> MixScene:
    a, b = (draw_side(editor, seed, 0.7) for seed in (1, 2))
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


def test_a_file_says_which_average_an_edit_went_towards(editor: Editor, mix: MixScene) -> None:
    own = EditScene(mix.a, average=editor.average([mix.b.pixels]))
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
