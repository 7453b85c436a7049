"""A crop that somebody chose: geometry, what may come from a browser, and what is cut out."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glow_app.common.errors import UserError
from glow_app.faces.alignment import (
    DOWN,
    EYES_APART,
    LARGEST,
    SMALLEST,
    FoundFace,
    Square,
    cut,
    rot90,
)
from glow_app.faces.coding import Coding
from glow_app.faces.face import FULL, prepare
from glow_app.faces.finder import find_faces
from glow_app.faces.put_back import put_back

EXAMPLES = Path(__file__).resolve().parents[1] / "glow_app" / "examples"


def of_eyes(one: tuple[float, float], other: tuple[float, float]) -> FoundFace:
    """A frontal face of which only the eyes are known, in either order, as crop.js has it: the
    mouth lies 1.05 of their distance below them."""
    left, right = (np.asarray(eye, float) for eye in sorted((one, other)))
    mouth, half = (left + right) / 2 + 1.05 * rot90(right - left), (right - left) * 0.42
    return FoundFace(*(tuple(p.tolist()) for p in (left, right, mouth - half, mouth + half)))


def two_people() -> Image.Image:
    """Two people side by side, the second one smaller and turned by ten degrees."""
    photo = Image.new("RGB", (1000, 600), (150, 155, 160))
    for number, at, side, turn in ((1, (80, 120), 400, 0), (3, (620, 160), 280, 10)):
        face = Image.open(EXAMPLES / f"face_{number}.jpg").resize((side, side))
        mask = Image.new("L", face.size, 255).rotate(turn, expand=True)
        photo.paste(face.rotate(turn, Image.Resampling.BICUBIC, expand=True), at, mask)
    return photo


def gradient(width: int, height: int) -> Image.Image:
    """Red is x, green is y, in levels of 0 to 255 over the whole picture."""
    x, y = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    return Image.fromarray((255 * np.stack([x, y, 0 * x], axis=2)).round().astype(np.uint8))


# ---- geometry -----------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [0.0, 17.0, 90.0, 179.0, -160.0])
def test_square_and_back(turn: float) -> None:
    square = Square.at((120.0, 80.0), 64.0, turn)
    for again in (square, Square.read(square.relative((400, 200)), (400, 200))):
        assert (*again.centre, again.side, again.turn) == pytest.approx((120, 80, 64, turn))


def test_eyes_alone_give_the_square_that_a_whole_face_gives() -> None:
    """Of a face whose mouth lies where the template has it, in either order of the eyes."""
    for turn in (0.0, -25.0, 40.0):
        angle = math.radians(turn)
        across = np.array([math.cos(angle), math.sin(angle)])
        down = np.array([-across[1], across[0]])
        middle, apart = np.array([300.0, 200.0]), 90.0
        left, right = middle - across * apart / 2, middle + across * apart / 2
        for pair in ((left, right), (right, left)):
            crop = of_eyes(*(tuple(eye) for eye in pair)).square
            assert crop.side == pytest.approx(apart / EYES_APART)
            centre = middle + down * DOWN / 2 * crop.side
            assert crop.centre == pytest.approx(tuple(centre))
            assert crop.turn == pytest.approx(turn)


def test_points_of_the_photo_in_fractions_of_a_turned_square() -> None:
    corner, right, down = np.array([[100.0, 30.0], [80.0, 40.0], [-40.0, 80.0]])
    square = Square(tuple(corner + right / 2 + down / 2), tuple(right / 2))
    assert square.corner == pytest.approx(corner) and 2 * square.down == pytest.approx(down)
    fractions = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.25, 0.6], [-0.2, 1.3]])
    points = corner + fractions[:, :1] * right + fractions[:, 1:] * down
    assert square.fractions(points) == pytest.approx(fractions)
    assert square.side == pytest.approx(math.hypot(80, 40))


# ---- what a browser sends -----------------------------------------------------------------------

GOOD = {"x": 0.5, "y": 0.25, "side": 0.2, "turn": 10}


@pytest.mark.parametrize(
    "wrong",
    [
        None, [], "crop", 3, {}, {"x": 0.5}, GOOD | {"x": None}, GOOD | {"x": "0.5"},
        GOOD | {"side": float("nan")}, GOOD | {"y": float("inf")}, GOOD | {"turn": 1e300},
        GOOD | {"x": True}, GOOD | {"side": [1]},
    ],
)  # fmt: skip
def test_nonsense_is_refused_in_one_sentence(wrong: object) -> None:
    with pytest.raises(UserError, match=r"^The crop must be four finite numbers: .*\.$"):
        Square.read(wrong, (400, 200))


@pytest.mark.parametrize(
    "given",
    [GOOD | {"side": 0}, GOOD | {"side": -5}, GOOD | {"side": 9e5}, GOOD | {"x": -9, "y": 44}],
)
def test_what_makes_no_sense_is_brought_near(given: dict[str, float]) -> None:
    square = Square.read(given, (400, 200))
    assert 0 <= square.centre[0] <= 400 and 0 <= square.centre[1] <= 200
    assert SMALLEST <= square.side <= LARGEST * 400
    # And it can be cut out, wherever it lies.
    prepared = prepare(gradient(400, 200), 32, full=FULL, square=square)
    assert prepared.pixels.shape == (32, 32, 3)


# ---- what is cut out ----------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [0, 25, 90, 180])
def test_the_square_that_was_asked_for_is_cut_out(turn: int) -> None:
    """On a picture whose colours are its coordinates, they tell where each pixel comes from."""
    photo, square = gradient(512, 512), Square.at((300.0, 200.0), 180.0, turn)
    for size in (16, 64, 300):
        crop = np.asarray(cut(photo, square, size)[0], float)[..., :2] * 512 / 255
        across = ((np.arange(size) + 0.5) / size * 2 - 1)[:, None]
        expected = square.centre + across * square.right + across[:, None] * square.down
        assert np.abs(crop - (expected - 0.5)).max() < 4
    assert np.array_equal(
        prepare(photo, 64, square=square).pixels, np.asarray(cut(photo, square, 64)[0])
    )


def test_a_face_of_a_group_can_be_chosen_and_put_back() -> None:
    photo = two_people()
    first, second = find_faces(photo)
    for face in (first, second):  # eyes that are clicked agree with found landmarks
        square, clicked = face.square, of_eyes(face.right_eye, face.left_eye).square
        assert math.dist(square.centre, clicked.centre) < 0.06 * square.side
        assert clicked.side == pytest.approx(square.side, rel=0.12)
        assert clicked.turn == pytest.approx(square.turn, abs=6)
    by_itself = prepare(photo, 64, coding=Coding(), full=FULL)
    again = prepare(photo, 64, coding=Coding(), full=FULL, square=by_itself.square)
    for a, b in ((by_itself.pixels, again.pixels), (by_itself.full, again.full)):
        assert np.abs(a.astype(int) - b).max() <= 2
    chosen = prepare(photo, 64, coding=Coding(), full=FULL, square=second.square)
    assert by_itself.faces == 2 and math.dist(by_itself.square.centre, first.square.centre) < 1
    assert chosen.square == second.square and chosen.full is not None and chosen.aligned
    assert np.abs(chosen.pixels.astype(float) - by_itself.pixels).mean() > 10
    # The face that was cut out goes back to where it was.
    whole = np.asarray(put_back(photo, chosen, chosen.full), float)
    assert np.abs(whole - np.asarray(photo, float)).mean() < 1


@pytest.mark.parametrize("turn", [0.0, 30.0, 45.0])
def test_a_vast_crop_needs_little_memory_and_shows_the_photo(turn: float, monkeypatch) -> None:
    """As that of a smaller copy. Reflection about 12 megapixels took 3 GB and 20 s; here all is
    nine times smaller."""
    monkeypatch.setattr("glow_app.faces.alignment.MAX_PIXELS", 40e6 / 9)
    large, small = gradient(1332, 1000), gradient(333, 250)
    square = Square.at((708.0, 458.0), LARGEST * 1332, turn)
    reduced = Square.at((708.0 / 4, 458.0 / 4), square.side / 4, turn)
    tracemalloc.start()  # sees the arrays, where the reflection is made
    try:
        crop, outside = cut(large, square, 64)
        assert tracemalloc.get_traced_memory()[1] < 500e6 / 9
    finally:
        tracemalloc.stop()
    expected, share = cut(small, reduced, 64)
    assert np.abs(np.asarray(crop, float) - np.asarray(expected)).mean() < 2
    assert outside == pytest.approx(share)
