"""The page's API as a program uses it, and its documentation."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image, ImageSequence

from glow_app.editing.editor import Editor
from glow_app.faces.face import Face
from tests.page_tools import answer_to, far

pytest_plugins = ["tests.page_fixtures"]


@pytest.fixture(scope="module")
def client(server: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(server, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


@pytest.fixture(scope="module")
def pair(photos: list[Path]) -> list[dict]:
    """Both photos, as the client sends them."""
    return [handle_file(photo) for photo in photos]


@pytest.fixture(scope="module")
def faces(small: Editor, photos: list[Path]) -> list[Face]:
    """The same, as the editor prepares them."""
    return [small.prepare(photo) for photo in photos]


def frames_of(file: str) -> np.ndarray:
    with Image.open(file) as image:
        return np.stack([np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(image)])


def settings_of(client: Client, file: str) -> dict:
    return client.predict(handle_file(file), api_name="/open")


def test_morph(client: Client, pair: list[dict]) -> None:
    file, facts = client.predict(*pair, frames=9, size=64, api_name="/morph")
    with Image.open(file) as image:
        assert image.format == "GIF" and image.n_frames == 16 and image.size == (64, 64)
    assert facts["frames"] == 9 and facts["path_kind"] == "linear" and facts["warped"]
    np.testing.assert_allclose(facts["t"], np.linspace(0, 1, 9), atol=1e-6)
    assert facts["clamped"] == 0 and facts["clamped_frames"] == [0] * 9  # photos do not clip
    how = {"frames": 2, "size": "native", "format": "png"}
    file, native = client.predict(*pair, **how, api_name="/morph")
    assert native["size"] == native["native"] > native["image_size"]
    assert frames_of(file)[0].shape[:2] == (native["native"],) * 2
    assert settings_of(client, file)["size"] == native["native"]
    for photo in facts["photos"]:
        assert 0.5 < photo["bits_per_dim"] < 8
        assert photo["roundtrip_max_levels"] == 0
        assert isinstance(photo["aligned"], bool)


def test_a_morph_beyond_its_ends_one_way(client: Client, pair: list[dict]) -> None:
    how = {"format": "png", "alone": True, "t_from": -0.5, "t_to": 1.5, "there_and_back": False}
    file, facts = client.predict(*pair, frames=9, size=64, **how, api_name="/morph")
    assert len(frames_of(file)) == 9
    np.testing.assert_allclose(facts["t"], np.linspace(-0.5, 1.5, 9), atol=1e-6)
    assert facts["stops"] == [2, 6]
    assert len(facts["clamped_frames"]) == len(facts["norms"]) == 9
    assert facts["clamped_frames"][0] >= facts["clamped_frames"][2] == 0
    settings = settings_of(client, file)
    assert settings["kind"] == "morph" and settings["way"] == "model"
    assert settings["t_range"] == [-0.5, 1.5] and settings["fps"] == 25
    assert settings["faces"] == [{"seed": None, "temperature": None}] * 2  # nothing of photos


@pytest.mark.parametrize(
    "how", [{"ground": "a", "kappa": 0}, {"ground": "b"}, {"path": "spherical", "alone": True}]
)
def test_the_ways_of_a_morph(
    client: Client, small: Editor, pair: list[dict], faces: list[Face], how: dict
) -> None:
    """Each is what the editor makes, and its file says which it is."""
    as_png = {"frames": 3, "size": 64, "format": "png", "there_and_back": False}
    file, facts = client.predict(*pair, **how, **as_png, api_name="/morph")
    frames, plain = frames_of(file), small.morph_frames(*faces, [0.5]).frames[0]
    assert np.array_equal(frames, small.morph_frames(*faces, 3, **how).frames)
    assert how == {"ground": "b"} or np.abs(frames[1].astype(int) - plain).max() > 1
    assert facts["warped"] == ("alone" not in how)
    assert facts["path_kind"] == how.get("path", "linear")
    settings = settings_of(client, file)
    settings["path"] = settings["path_kind"]
    expected = {"ground": "switch", "kappa": None, "path": "linear", **how}
    assert settings["way"] == ("model" if expected.pop("alone", False) else "photos")
    assert {name: settings[name] for name in expected} == expected


def test_journey(client: Client, small: Editor, pair: list[dict], faces: list[Face]) -> None:
    # Photos on a leg from a photo to itself stand still, which WebP stores as one frame.
    how = {"frames": 5, "size": 64, "format": "webp", "alone": True}
    file, facts = client.predict([*pair, pair[0]], **how, api_name="/journey")
    with Image.open(file) as image:
        assert image.format == "WEBP" and image.n_frames == 12
    assert facts["stops"] == [0, 4, 8] and facts["path_kind"] == "cubic"
    assert not facts["warped"]
    settings = settings_of(client, file)
    assert settings["loop"] is True and settings["way"] == "model"

    how = {"ground": "b", "kappa": 0.25}
    as_png = {"frames": 3, "size": 64, "format": "png", "loop": False}
    file, facts = client.predict(pair, **how, **as_png, api_name="/journey")
    assert np.array_equal(frames_of(file), small.journey(faces, 3, **how).frames)
    settings = settings_of(client, file)
    assert facts["warped"] and settings["way"] == "photos"
    assert {name: settings[name] for name in how} == how


def test_what_leaves_a_photo_alone_is_that_photo(
    client: Client, small: Editor, pair: list[dict], faces: list[Face]
) -> None:
    """Mixes of one at its own size, edits and averages of one at the model's."""
    native, levels = max(face.native for face in faces), len(small.model.level_shapes)
    for weight, face in enumerate(faces):
        weights = [weight] * levels
        file, facts = client.predict(*pair, weights, "native", weight, api_name="/mix")
        assert np.array_equal(frames_of(file)[0], face.at(native)) and facts["clamped"] == 0
        assert len(facts["levels"]) == levels
    plain, _ = client.predict(pair[0], {}, 0, 64, api_name="/edit")
    average = client.predict([pair[0]], 64, api_name="/average")
    half, _ = client.predict(pair[0], {}, 0.5, 64, api_name="/edit")
    still, _ = client.predict(pair[0], {}, 0, "native", api_name="/edit")
    assert np.array_equal(frames_of(still)[0], faces[0].at(faces[0].native))
    for file, same in ((plain, True), (average, True), (half, False)):
        assert np.array_equal(frames_of(file)[0], faces[0].pixels) == same


def test_an_average_of_photos_is_a_picture_up_to_their_size(
    client: Client, small: Editor, pair: list[dict], faces: list[Face]
) -> None:
    native = max(face.native for face in faces)
    assert native > small.image_size
    for size, side in ((64, 64), ("native", native)):
        file = client.predict(pair, size, api_name="/average")
        (average,) = frames_of(file)
        assert average.shape == (side, side, 3)
        a, b = (face.at(side) for face in faces)
        assert 3 < max(far(average, a), far(average, b)) < far(a, b)
    settings = settings_of(client, file)
    assert (settings["average"], settings["size"]) == ("photos", native)


def test_directions_are_listed_and_applied_by_name(
    client: Client, small: Editor, pair: list[dict]
) -> None:
    known = client.predict(api_name="/directions")
    assert [one["name"] for one in known] == [d.name for d in small.directions()]
    for one, direction in zip(known, small.directions(), strict=True):
        assert (one["group"], one["unit"]) == (direction.group, direction.unit)
        assert (one["low"], one["high"]) == (direction.low, direction.high)
        assert (one["without"], one["with"]) == (direction.without_words, direction.with_words)
        assert one["truth"] == direction.facts.get("truth", {})
    assert {"deviations", "degrees"} <= {one["unit"] for one in known}
    own = frames_of(client.predict(pair[0], {}, 0, 64, api_name="/edit")[0])
    for direction in {one["group"]: one for one in known}.values():  # one of each group
        name, high = direction["name"], direction["high"]
        file, _ = client.predict(pair[0], {name: high}, 0, 64, api_name="/edit")
        assert not np.array_equal(frames_of(file), own), name
        assert settings_of(client, file)["directions"] == [[name, high]]


def test_a_face_goes_back_into_its_photo(
    client: Client, photos: list[Path], pair: list[dict]
) -> None:
    whole = {}
    for t, own in ((0.0, photos[0]), (0.4, photos[0]), (1.0, photos[1])):
        file = client.predict(*pair, t, {}, "png", api_name="/put_back")
        whole[t] = far(frames_of(file)[0], frames_of(own)[0])
    assert whole[0.0] == whole[1.0] == 0 < whole[0.4]


def test_samples_and_their_neighbours(client: Client) -> None:
    first = client.predict(n=2, temperature=0.7, seed=5, api_name="/sample")
    (again,) = client.predict(n=1, temperature=0.7, seed=6, api_name="/sample")
    middle, second, same = (frames_of(file)[0] for file in [*first, again])
    assert middle.shape == (64, 64, 3)
    assert np.array_equal(second, same) and not np.array_equal(middle, second)
    near, wide = (
        [far(frames_of(file)[0], middle) for file in
         client.predict(seed=5, n=2, radius=radius, api_name="/neighbours")]
        for radius in (0.2, 1)
    )  # fmt: skip
    assert 0 < max(near) < min(wide)


def test_wrong_calls_are_refused_in_a_sentence(server: str, small: Editor) -> None:
    """Asked without any client library, which would look at the arguments first."""
    http = httpx.Client(trust_env=False, timeout=60)
    picture = io.BytesIO()
    Image.effect_noise((64, 64), 60).save(picture, "PNG")

    def uploaded(name: str, content: bytes) -> dict:
        (path,) = http.post(f"{server}/gradio_api/upload", files={"files": (name, content)}).json()
        return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    photo, text = uploaded("small.png", picture.getvalue()), uploaded("text.png", b"no picture")
    pair, even = {"photo_a": photo, "photo_b": photo}, [0, 0, 0, 0]
    one, other = (min(small.directions(), key=key) for key in (lambda d: d.low, lambda d: -d.low))
    strengths = [
        ({direction.name: strength}, f"The strength of {direction.name} must be {words}")
        for direction, strength, words in (
            (one, one.low - 0.01, f"from {one.low:g} to {one.high:g}"),
            (other, other.high + 0.01, f"from {other.low:g} to {other.high:g}"),
            (other, "much", "a number"),
            (other, None, "a number"),
        )
    ]
    for name, wrong, words in (
        *[("edit", {"photo": photo, "strengths": s}, words) for s, words in strengths],
        ("put_back", {"photo_a": photo, "strengths": strengths[0][0]}, strengths[0][1]),
        ("morph", {**pair, "frames": 1}, "whole number from 2 to 129"),
        ("morph", {**pair, "frames": 1e9}, "whole number from 2 to 129"),
        ("morph", {**pair, "frames": "many"}, "must be a number"),
        ("morph", {**pair, "path": "scenic"}, "linear or spherical"),
        ("morph", {**pair, "format": "exe"}, "gif, webp, png or mp4"),
        ("morph", {**pair, "size": 100_000}, "whole number from 16 to 1024"),
        ("morph", {**pair, "size": 1024, "frames": 129}, "129 frames of 1024 pixels are too much"),
        ("morph", {**pair, "photo_b": None}, "photo_b is missing"),
        ("morph", {**pair, "photo_b": text}, r"^text\.png "),
        ("morph", {**pair, "ground": "c"}, "ground must be switch, a or b"),
        ("morph", {**pair, "kappa": 2}, "kappa must be from 0 to 1"),
        ("morph", {**pair, "kappa": "much"}, "kappa must be a number"),
        ("morph", {**pair, "t_from": -3}, "t_from must be from -0.5 to 1.5"),
        ("morph", {**pair, "fps": 1000}, "fps must be from 1 to 50"),
        ("sample", {"n": 0}, "from 1 to 64"),
        ("sample", {"n": 65}, "from 1 to 64"),
        ("sample", {"temperature": -1}, "temperature must be from 0"),
        ("sample", {"seed": -1}, "seed must be a whole number"),
        ("sample", {"seed": 2**40}, "seed must be a whole number"),
        ("journey", {"photos": [photo]}, "photos must be 2 to 8 photos"),
        ("journey", {"photos": [photo] * 9}, "photos must be 2 to 8 photos"),
        ("journey", {"photos": [photo] * 2, "path": "shell"}, "cubic, linear or spherical"),
        ("mix", {**pair, "weights": even, "shape": 2}, "shape must be from 0 to 1"),
        ("mix", {**pair, "weights": [1]}, "weights must be a list"),
        ("mix", {**pair, "weights": [0, 0, 0, "x"]}, "must be a number"),
        ("edit", {"photo": photo, "strengths": {"no such": 1}}, "There is no direction"),
        ("edit", {"photo": photo, "strengths": [1]}, "strengths must be"),
        ("edit", {"photo": photo, "toward": 2}, "toward must be from 0 to 1"),
        ("average", {"photos": []}, "photos must be 1 to"),
        ("put_back", {"photo_a": None}, "photo_a is missing"),
        ("put_back", {"photo_a": photo, "format": "gif"}, "format must be jpg or png"),
        ("neighbours", {"radius": 7}, "radius must be from 0 to 1"),
        ("open", {"file": photo}, "not made by Glow Studio"),
    ):
        answer = answer_to(http, server, name, **wrong)
        assert answer.startswith("event: error"), (wrong, answer)
        said = json.loads(answer.partition("data: ")[2])["error"]
        assert re.search(words, said) and said.endswith(".") and "\n" not in said, said


def test_the_api_is_documented_and_nothing_else_is(client: Client) -> None:
    described = client.view_api(print_info=False, return_format="dict")
    names = "morph journey mix edit directions average put_back sample neighbours open"
    assert set(described["named_endpoints"]) == {f"/{name}" for name in names.split()}
    assert not described["unnamed_endpoints"]
    morph = described["named_endpoints"]["/morph"]
    assert [parameter["parameter_name"] for parameter in morph["parameters"]] == [
        "photo_a", "photo_b", "frames", "path", "format", "size", "t_from", "t_to",
        "constant_speed", "fps", "there_and_back", "ground", "kappa", "alone",
    ]  # fmt: skip
    assert "exact flow" in morph["description"]
