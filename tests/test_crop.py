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


@pytest.fixture(scope="module")
def group() -> Image.Image:
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


@pytest.mark.parametrize("turn", [0.0, 17.0, 90.0, 200.0, 359.0])
def test_square_and_back(turn: float) -> None:
    again = Square.at((120.0, 80.0), 64.0, turn)
    assert (*again.centre, again.side) == pytest.approx((120, 80, 64))
    assert (again.turn - turn) % 360 == pytest.approx(0, abs=1e-6) or (
        again.turn - turn
    ) % 360 == pytest.approx(360, abs=1e-6)


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


def test_clicked_eyes_agree_with_found_landmarks(group: Image.Image) -> None:
    for face in find_faces(group):
        found, clicked = (
            face.square,
            of_eyes(face.right_eye, face.left_eye).square,
        )
        assert math.dist(found.centre, clicked.centre) < 0.06 * found.side
        assert clicked.side == pytest.approx(found.side, rel=0.12)
        assert clicked.turn == pytest.approx(found.turn, abs=6)


def test_a_face_keeps_the_square_that_was_chosen(group: Image.Image) -> None:
    chosen = Square.at((420.0, 300.0), 250.0, 12.0)
    made = prepare(group, 64, coding=Coding(), full=FULL, square=chosen).square
    assert (*made.centre, made.side, made.turn) == pytest.approx((420, 300, 250, 12))


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


def test_what_is_sent_comes_back() -> None:
    square = Square.at((300.0, 100.0), 80.0, 10.0)
    again = Square.read(square.relative((400, 200)), (400, 200))
    assert (*again.centre, again.side, again.turn) == pytest.approx((300, 100, 80, 10))


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


@pytest.mark.parametrize("turn", [0, 90, 180])
def test_the_square_that_was_asked_for_is_cut_out(turn: int) -> None:
    """On a picture whose colours are its coordinates, the corners tell where they come from."""
    photo, square = gradient(512, 512), Square.at((300.0, 200.0), 128.0, turn)
    pixels = prepare(photo, 64, square=square).pixels.astype(float) * 512 / 255
    centre, x, y = square.centre, square.right, square.down
    for row, column in ((0, 0), (0, 63), (63, 0), (63, 63), (20, 40)):
        u, v = ((index + 0.5) / 32 - 1 for index in (column, row))
        expected = centre + u * x + v * y
        assert pixels[row, column, :2] == pytest.approx(expected, abs=4)


def test_the_second_face_can_be_taken_and_put_back(group: Image.Image) -> None:
    first, second = find_faces(group)
    by_itself = prepare(group, 64, coding=Coding())
    chosen = prepare(group, 64, coding=Coding(), full=FULL, square=second.square)
    assert by_itself.faces == 2 and math.dist(by_itself.square.centre, first.square.centre) < 1
    assert chosen.square.centre[0] > 600 and chosen.full is not None and chosen.aligned
    assert np.abs(chosen.pixels.astype(float) - by_itself.pixels).mean() > 10
    # The face that was cut out goes back to where it was.
    again = np.asarray(put_back(group, chosen, chosen.full), float)
    assert np.abs(again - np.asarray(group, float)).mean() < 1


def test_a_crop_as_found_gives_the_same_pixels(group: Image.Image) -> None:
    found = prepare(group, 64, coding=Coding(), full=FULL)
    again = prepare(group, 64, coding=Coding(), full=FULL, square=found.square)
    assert np.abs(found.pixels.astype(int) - again.pixels).max() <= 2
    assert np.abs(found.full.astype(int) - again.full).max() <= 2


# ---- what it costs ------------------------------------------------------------------------------


def test_a_vast_turned_crop_of_a_large_photo_needs_little_memory() -> None:
    """Reflection about a small photo is cheap, but about 12 megapixels it took 3 GB and 20 s."""
    photo = Image.new("RGB", (4000, 3000), (90, 100, 110))
    square = Square.at((2000.0, 1500.0), LARGEST * 4000, 45.0)
    tracemalloc.start()  # sees the arrays, where the reflection is made
    try:
        pixels = cut(photo, square, FULL)[0]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert pixels.size == (FULL, FULL)
    assert peak < 500e6


@pytest.mark.parametrize("turn", [0.0, 30.0])
def test_a_vast_crop_shows_what_a_smaller_copy_of_the_photo_shows(turn: float) -> None:
    large, small = gradient(3200, 2400), gradient(400, 300)
    square = Square.at((1700.0, 1100.0), LARGEST * 3200, turn)
    reduced = Square.at((1700.0 / 8, 1100.0 / 8), square.side / 8, turn)
    difference = np.asarray(cut(large, square, 64)[0], float) - np.asarray(
        cut(small, reduced, 64)[0]
    )
    assert np.abs(difference).mean() < 2
    assert cut(large, square, 64)[1] == pytest.approx(cut(small, reduced, 64)[1])
