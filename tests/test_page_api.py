"""The page's API as a program uses it, and its documentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

pytest_plugins = ["tests.page_fixtures"]


@pytest.fixture(scope="module")
def client(server: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(server, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


def test_morph(client: Client, photos: list[Path]) -> None:
    file, facts = client.predict(
        handle_file(photos[0]), handle_file(photos[1]), frames=9, size=64, api_name="/morph"
    )
    with Image.open(file) as image:
        assert image.format == "GIF" and image.n_frames == 16 and image.size == (64, 64)
    assert facts["frames"] == 9 and facts["path_kind"] == "linear"
    np.testing.assert_allclose(facts["t"], np.linspace(0, 1, 9), atol=1e-6)
    assert 0 <= facts["clamped"] <= 1
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
        ({"size": 100_000}, "whole number from 16 to 512"),
        ({"photo_b": None}, "photo_b is missing"),
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


def test_an_unreadable_photo_is_refused_in_a_sentence(
    client: Client, photos: list[Path], tmp_path: Path
) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture")
    with pytest.raises(Exception, match=r"^text\.png .*\.$"):
        client.predict(handle_file(photos[0]), handle_file(text), api_name="/morph")


def test_the_api_is_documented_and_nothing_else_is(client: Client) -> None:
    described = client.view_api(print_info=False, return_format="dict")
    assert set(described["named_endpoints"]) == {"/morph", "/sample"}
    assert not described["unnamed_endpoints"]
    morph = described["named_endpoints"]["/morph"]
    names = [parameter["parameter_name"] for parameter in morph["parameters"]]
    assert names == ["photo_a", "photo_b", "frames", "path", "format", "size"]
    assert "exact flow" in morph["description"]


def test_files_outside_the_upload_folder_stay_private(server: str, client: Client) -> None:
    import httpx

    for path in ("/etc/passwd", str(Path(__file__).resolve())):
        assert httpx.get(f"{server}/gradio_api/file={path}").status_code in {403, 404}


def test_a_photo_must_have_been_uploaded(photos: list[Path]) -> None:
    """A browser's event names a file; one that was not uploaded is refused."""
    from glow_app.ui.errors import Refusal
    from glow_app.ui.uploads import uploaded_file

    for path in (str(photos[0]), "/etc/passwd", "../etc/passwd", "a\0b", "", 3, None, {}):
        with pytest.raises(Refusal):
            uploaded_file(path)
