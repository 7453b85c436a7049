"""The page's API as a program uses it, and its documentation."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image, ImageSequence

from glow_app.editing.editor import Editor
from tests.page_tools import far

pytest_plugins = ["tests.page_fixtures"]


@pytest.fixture(scope="module")
def client(released_server: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(
        released_server, verbose=False, download_files=tmp_path_factory.mktemp("downloads")
    )


def frames_of(file: str) -> np.ndarray:
    with Image.open(file) as image:
        return np.stack([np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(image)])


def test_morph(client: Client, photos: list[Path]) -> None:
    file, facts = client.predict(
        handle_file(photos[0]), handle_file(photos[1]), frames=9, size=64, api_name="/morph"
    )
    with Image.open(file) as image:
        assert image.format == "GIF" and image.n_frames == 16 and image.size == (64, 64)
    assert facts["frames"] == 9 and facts["path_kind"] == "linear" and facts["warped"]
    np.testing.assert_allclose(facts["t"], np.linspace(0, 1, 9), atol=1e-6)
    assert facts["clamped"] == 0 and facts["clamped_frames"] == [0] * 9  # photos do not clip
    for photo in facts["photos"]:
        assert 0.5 < photo["bits_per_dim"] < 8
        assert photo["roundtrip_max_levels"] == 0
        assert isinstance(photo["aligned"], bool)


def test_morph_in_other_formats_and_paths(client: Client, photos: list[Path]) -> None:
    file, facts = client.predict(
        handle_file(photos[0]),
        handle_file(photos[1]),
        frames=5,
        path="spherical",
        format="webp",
        size=64,
        api_name="/morph",
    )
    with Image.open(file) as image:
        assert image.format == "WEBP" and image.n_frames == 8
    assert facts["path_kind"] == "spherical"


def test_a_morph_beyond_its_ends_one_way(client: Client, photos: list[Path]) -> None:
    file, facts = client.predict(
        handle_file(photos[0]),
        handle_file(photos[1]),
        frames=9,
        format="png",
        size=64,
        alone=True,
        t_from=-0.5,
        t_to=1.5,
        there_and_back=False,
        api_name="/morph",
    )
    with Image.open(file) as image:
        assert image.n_frames == 9
    np.testing.assert_allclose(facts["t"], np.linspace(-0.5, 1.5, 9), atol=1e-6)
    assert facts["stops"] == [2, 6]
    assert len(facts["clamped_frames"]) == len(facts["norms"]) == 9
    assert facts["clamped_frames"][0] >= facts["clamped_frames"][2] == 0

    settings = client.predict(handle_file(file), api_name="/open")
    assert settings["kind"] == "morph" and settings["way"] == "model"
    assert settings["t_range"] == [-0.5, 1.5] and settings["fps"] == 25
    assert settings["faces"] == [{"seed": None, "temperature": None}] * 2  # nothing of photos


def test_the_ways_of_a_morph(client: Client, released: Editor, photos: list[Path]) -> None:
    """Each is what the editor makes, and its file says which it is."""
    faces = [released.prepare(photo) for photo in photos]
    middles = []
    for how in ({"ground": "a"}, {"ground": "b"}, {"kappa": 0}, {"kappa": 1}, {"alone": True}):
        file, facts = client.predict(
            *(handle_file(photo) for photo in photos),
            **how,
            frames=3,
            size=64,
            format="png",
            there_and_back=False,
            api_name="/morph",
        )
        frames = frames_of(file)
        assert np.array_equal(frames, released.morph_frames(*faces, 3, **how).frames), how
        assert all(np.abs(frames[1].astype(int) - other).max() > 1 for other in middles), how
        middles.append(frames[1])
        assert facts["warped"] == ("alone" not in how)
        settings = client.predict(handle_file(file), api_name="/open")
        expected = {"ground": "switch", "kappa": None, **how}
        assert settings["way"] == ("model" if expected.pop("alone", False) else "photos")
        assert {name: settings[name] for name in expected} == expected


def test_journey(client: Client, photos: list[Path]) -> None:
    files = [handle_file(photos[i]) for i in (0, 1, 0)]
    # Photos on a leg from a photo to itself stand still, which WebP stores as one frame.
    file, facts = client.predict(
        files, frames=5, size=64, format="webp", alone=True, api_name="/journey"
    )
    with Image.open(file) as image:
        assert image.n_frames == 12
    assert facts["stops"] == [0, 4, 8] and facts["path_kind"] == "cubic"
    assert not facts["warped"]
    settings = client.predict(handle_file(file), api_name="/open")
    assert settings["loop"] is True and settings["way"] == "model"


def test_a_journey_takes_ground_and_kappa(
    client: Client, released: Editor, photos: list[Path]
) -> None:
    how = {"ground": "b", "kappa": 0.25}
    file, facts = client.predict(
        [handle_file(photo) for photo in photos],
        **how,
        frames=3,
        loop=False,
        size=64,
        format="png",
        api_name="/journey",
    )
    faces = [released.prepare(photo) for photo in photos]
    expected = released.journey(faces, 3, **how)
    assert np.array_equal(frames_of(file), expected.frames) and facts["warped"]
    settings = client.predict(handle_file(file), api_name="/open")
    assert settings["way"] == "photos" and {name: settings[name] for name in how} == how


def test_mix_and_edit_leave_a_photo_alone_at_zero(client: Client, photos: list[Path]) -> None:
    a, b = handle_file(photos[0]), handle_file(photos[1])
    levels = len(client.predict(a, b, [0, 0, 0, 0], 64, api_name="/mix")[1]["levels"])
    pictures = {}
    for weight in (0, 1):
        file, facts = client.predict(a, b, [weight] * levels, 64, api_name="/mix")
        pictures[weight] = np.asarray(Image.open(file))
        assert facts["clamped"] == 0
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() > 5

    file, _ = client.predict(a, {}, 0, 64, api_name="/edit")
    assert np.array_equal(np.asarray(Image.open(file)), pictures[0])
    half, _ = client.predict(a, {}, 0.5, 64, api_name="/edit")
    middle = client.predict([a], 64, api_name="/average")  # of one photo: itself
    assert np.array_equal(np.asarray(Image.open(middle)), pictures[0])
    assert not np.array_equal(np.asarray(Image.open(half)), pictures[0])


def test_a_mix_of_one_is_that_photo_at_its_own_size(
    client: Client, released: Editor, photos: list[Path]
) -> None:
    faces, levels = [released.prepare(photo) for photo in photos], len(released.model.level_shapes)
    native = max(face.native for face in faces)
    for weight, face in enumerate(faces):
        file, _ = client.predict(
            *(handle_file(photo) for photo in photos),
            [weight] * levels,
            "native",
            weight,
            api_name="/mix",
        )
        assert np.array_equal(frames_of(file)[0], face.at(native))


def test_an_average_of_photos_is_a_picture_up_to_their_size(
    client: Client, released: Editor, photos: list[Path]
) -> None:
    faces = [released.prepare(photo) for photo in photos]
    native = max(face.native for face in faces)
    assert native > released.image_size
    for size, side in ((64, 64), ("native", native)):
        file = client.predict([handle_file(photo) for photo in photos], size, api_name="/average")
        (average,) = frames_of(file)
        assert average.shape == (side, side, 3)
        a, b = (face.at(side) for face in faces)
        assert 3 < max(far(average, a), far(average, b)) < far(a, b)
    settings = client.predict(handle_file(file), api_name="/open")
    assert (settings["average"], settings["size"]) == ("photos", native)


def test_directions_are_listed_with_their_groups_units_and_ends(
    client: Client, released: Editor
) -> None:
    known = client.predict(api_name="/directions")
    assert [one["name"] for one in known] == [d.name for d in released.directions()]
    for one, direction in zip(known, released.directions(), strict=True):
        assert (one["group"], one["unit"]) == (direction.group, direction.unit)
        assert (one["low"], one["high"]) == (direction.low, direction.high)
        assert (one["without"], one["with"]) == (direction.without_words, direction.with_words)
        assert one["truth"] == direction.facts.get("truth", {})
    assert {"deviations", "degrees"} <= {one["unit"] for one in known}


def test_strengths_beyond_the_ends_are_refused_in_a_sentence(
    client: Client, released: Editor, photos: list[Path]
) -> None:
    photo = handle_file(photos[0])
    one, other = (
        min(released.directions(), key=key) for key in (lambda d: d.low, lambda d: -d.low)
    )
    calls = {
        "/edit": lambda strengths: (photo, strengths),
        "/put_back": lambda strengths: (photo, None, 0.5, strengths),
    }
    for name, arguments in calls.items():
        for direction, strength, words in (
            (one, one.low - 0.01, f"from {one.low:g} to {one.high:g}"),
            (other, other.high + 0.01, f"from {other.low:g} to {other.high:g}"),
            (other, "much", "a number"),
            (other, None, "a number"),
        ):
            with pytest.raises(
                Exception, match=f"The strength of {direction.name} must be"
            ) as caught:
                client.predict(*arguments({direction.name: strength}), api_name=name)
            said = str(caught.value).strip()
            assert words in said and said.endswith(".") and "\n" not in said


def test_directions_can_be_applied_by_name(client: Client, photos: list[Path]) -> None:
    known = client.predict(api_name="/directions")
    assert known
    photo = handle_file(photos[0])
    own = frames_of(client.predict(photo, {}, 0, 64, api_name="/edit")[0])
    for direction in {one["group"]: one for one in known}.values():  # one of each group
        name, low, high = (direction[key] for key in ("name", "low", "high"))
        assert low <= 0 < high and direction["group"], name
        file, _ = client.predict(photo, {name: high}, 0, 64, api_name="/edit")
        assert not np.array_equal(frames_of(file), own), name
        settings = client.predict(handle_file(file), api_name="/open")
        assert settings["directions"] == [[name, high]]
        with pytest.raises(Exception, match=f"strength of {re.escape(name)} must be from"):
            client.predict(photo, {name: high + 1}, 0, 64, api_name="/edit")


def test_native_size_is_that_of_the_photos(client: Client, photos: list[Path]) -> None:
    a, b = (handle_file(photo) for photo in photos)
    file, facts = client.predict(a, b, frames=2, size="native", format="png", api_name="/morph")
    assert facts["size"] == facts["native"] > facts["image_size"]
    with Image.open(file) as image:
        assert image.size == (facts["native"],) * 2
    assert client.predict(handle_file(file), api_name="/open")["size"] == facts["native"]
    still, _ = client.predict(a, {}, 0, "native", api_name="/edit")
    with Image.open(still) as image:
        assert 64 < image.width <= facts["native"]


def test_a_face_goes_back_into_its_photo(client: Client, photos: list[Path]) -> None:
    a, b = (handle_file(photo) for photo in photos)
    whole = {}
    for t, own in ((0.0, photos[0]), (0.4, photos[0]), (1.0, photos[1])):
        file = client.predict(a, b, t, {}, "png", api_name="/put_back")
        with Image.open(file) as image, Image.open(own) as photo:
            assert image.size == photo.size
            change = np.abs(np.asarray(image, float) - np.asarray(photo.convert("RGB")))
        whole[t] = change.mean()
    assert whole[0.0] == whole[1.0] == 0 < whole[0.4]


def test_neighbours(client: Client) -> None:
    near = client.predict(seed=5, n=2, radius=0.2, api_name="/neighbours")
    far = client.predict(seed=5, n=2, radius=1, api_name="/neighbours")
    (face,) = client.predict(n=1, seed=5, api_name="/sample")
    middle, *faces = [np.asarray(Image.open(file), float) for file in (face, *near, *far)]
    distances = [np.abs(face - middle).mean() for face in faces]
    assert 0 < max(distances[:2]) < min(distances[2:])


def test_sample(client: Client) -> None:
    first = client.predict(n=2, temperature=0.7, seed=5, api_name="/sample")
    again = client.predict(n=1, temperature=0.7, seed=6, api_name="/sample")
    faces = [np.asarray(Image.open(file)) for file in [*first, *again]]
    assert [face.shape for face in faces] == [(64, 64, 3)] * 3
    assert np.array_equal(faces[1], faces[2]) and not np.array_equal(faces[0], faces[1])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"frames": 1}, "whole number from 2 to 129"),
        ({"frames": 1e9}, "whole number from 2 to 129"),
        ({"frames": 2.5}, "whole number"),
        ({"frames": "many"}, "must be a number"),
        ({"frames": None}, "must be a number"),
        ({"path": "scenic"}, "linear or spherical"),
        ({"format": "exe"}, "gif, webp, png or mp4"),
        ({"size": 100_000}, "whole number from 16 to 1024"),
        ({"size": "huge"}, "must be a number"),
        ({"size": 1024, "frames": 129}, "129 frames of 1024 pixels are too much"),
        ({"photo_b": None}, "photo_b is missing"),
        ({"path": "shell"}, "linear or spherical"),
        ({"ground": "c"}, "ground must be switch, a or b"),
        ({"ground": None}, "ground must be switch, a or b"),
        ({"kappa": 2}, "kappa must be from 0 to 1"),
        ({"kappa": "much"}, "kappa must be a number"),
        ({"t_from": -3}, "t_from must be from -0.5 to 1.5"),
        ({"fps": 1000}, "fps must be from 1 to 50"),
    ],
)
def test_wrong_morphs_are_refused_in_a_sentence(
    client: Client, photos: list[Path], wrong: dict, words: str
) -> None:
    inputs = {"photo_a": handle_file(photos[0]), "photo_b": handle_file(photos[1]), **wrong}
    with pytest.raises(Exception, match=words) as caught:
        client.predict(**inputs, api_name="/morph")
    assert str(caught.value).strip().endswith(".") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"n": 0}, "from 1 to 64"),
        ({"n": 65}, "from 1 to 64"),
        ({"temperature": -1}, "temperature must be from 0"),
        ({"temperature": "hot"}, "must be a number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": float(2**40)}, "seed must be a whole number"),
    ],
)
def test_wrong_samples_are_refused_in_a_sentence(client: Client, wrong: dict, words: str) -> None:
    with pytest.raises(Exception, match=words):
        client.predict(**wrong, api_name="/sample")


def test_other_wrong_calls_are_refused_in_a_sentence(client: Client, photos: list[Path]) -> None:
    photo = handle_file(photos[0])
    wrong = [
        ("/journey", ([photo],), "photos must be 2 to 8 photos"),
        ("/journey", ([photo] * 9,), "photos must be 2 to 8 photos"),
        ("/journey", ([photo] * 2, 5, "shell"), "path must be cubic, linear or spherical"),
        ("/mix", (photo, photo, [0, 0, 0, 0], 64, 2), "shape must be from 0 to 1"),
        ("/mix", (photo, photo, [1], 64), "weights must be a list"),
        ("/mix", (photo, photo, [0, 0, 0, "x"], 64), "must be a number"),
        ("/edit", (photo, {"no such direction": 1}), "There is no direction"),
        ("/edit", (photo, [1]), "strengths must be"),
        ("/edit", (photo, {}, 2), "toward must be from 0 to 1"),
        ("/average", ([],), "photos must be 1 to"),
        ("/put_back", (None,), "photo_a is missing"),
        ("/put_back", (photo, None, 0.5, {}, "gif"), "format must be jpg or png"),
        ("/neighbours", (0, 1, 7), "radius must be from 0 to 1"),
        ("/open", (photo,), "not made by Glow Studio|cannot be read"),
    ]
    for name, arguments, words in wrong:
        with pytest.raises(Exception, match=words) as caught:
            client.predict(*arguments, api_name=name)
        assert str(caught.value).strip().endswith("."), name


def test_an_unreadable_photo_is_refused_in_a_sentence(
    client: Client, photos: list[Path], tmp_path: Path
) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture")
    with pytest.raises(Exception, match=r"^text\.png .*\.$"):
        client.predict(handle_file(photos[0]), handle_file(text), api_name="/morph")


def test_the_api_is_documented_and_nothing_else_is(client: Client) -> None:
    described = client.view_api(print_info=False, return_format="dict")
    assert set(described["named_endpoints"]) == {
        "/morph",
        "/journey",
        "/mix",
        "/edit",
        "/directions",
        "/average",
        "/put_back",
        "/sample",
        "/neighbours",
        "/open",
    }
    assert not described["unnamed_endpoints"]
    morph = described["named_endpoints"]["/morph"]
    names = [parameter["parameter_name"] for parameter in morph["parameters"]]
    assert names == [
        "photo_a",
        "photo_b",
        "frames",
        "path",
        "format",
        "size",
        "t_from",
        "t_to",
        "constant_speed",
        "fps",
        "there_and_back",
        "ground",
        "kappa",
        "alone",
    ]
    assert "exact flow" in morph["description"]


def test_files_outside_the_upload_folder_stay_private(
    released_server: str, client: Client
) -> None:
    import httpx

    for path in ("/etc/passwd", str(Path(__file__).resolve())):
        assert httpx.get(f"{released_server}/gradio_api/file={path}").status_code in {403, 404}


def test_a_photo_must_have_been_uploaded(photos: list[Path]) -> None:
    """A browser's event names a file; one that was not uploaded is refused."""
    from glow_app.common.errors import UserError
    from glow_app.ui.uploads import uploaded_file

    for path in (str(photos[0]), "/etc/passwd", "../etc/passwd", "a\0b", "", 3, None, {}):
        with pytest.raises(UserError):
            uploaded_file(path)
