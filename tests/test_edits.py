"""The sliders that come with the program: what they do to faces, and how they are learned.

How many there are and how far they go is not written here: it is read from them.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from benchmarks import edits
from benchmarks.edit_judge import LIGHT, Judge
from glow_app.common.errors import UserError
from glow_app.editing import directions
from glow_app.editing.directions import GROUPS, Direction
from glow_app.editing.editor import Editor
from glow_app.faces import landmarks, regions
from glow_app.faces.face import Face
from glow_app.faces.landmarks import MEASURES, differences, find_shape
from glow_app.ui.page_faces import example_files

SIDE = 256  # pixels at which edited pictures are measured


@pytest.fixture(scope="module")
def two(default: Editor) -> list[Face]:
    """Two example faces, one serious and one that smiles."""
    faces = [default.prepare(file) for file in example_files()]
    smiles = [differences(faces[0].shape, face.shape)["smile"] for face in faces]
    return [faces[int(np.argmin(smiles))], faces[int(np.argmax(smiles))]]


@pytest.fixture(scope="module")
def looks(default: Editor) -> list[Direction]:
    return [d for d in default.directions() if d.vector is not None]


# ---------------------------------------------------------------------------------- what they are


def test_every_file_fits_the_released_weights(default):
    """Retrained weights need new looks: see models/pretrained/directions/README.md."""
    folder = directions.pretrained_folder() / default.name
    files, found = sorted(folder.glob("*.safetensors")), default.directions()
    assert len(found) == len(files) >= 10
    names = {direction.name for direction in found}
    assert names == {file.stem.replace("_", " ") for file in files}
    for direction in found:
        assert direction.low <= 0 < direction.high, direction.name
        assert direction.group in GROUPS[:-1] and direction.unit, direction.name
        assert direction.with_words and not direction.weak, direction.name
        assert direction.low == 0 or direction.without_words, direction.name
        moves = direction.vector is not None, direction.shape is not None, any(direction.turn)
        assert any(moves), direction.name
        assert direction.vector is None or direction.vector.any()
    places = [GROUPS.index(direction.group) for direction in found]
    assert places == sorted(places) and len(set(places)) >= 4
    size = sum(file.stat().st_size for file in files)
    assert size < 100_000 * len(files)


# ---------------------------------------------------------------------------------- what they do


def test_what_was_asked_for_is_found_on_the_picture(default, two):
    """From one end of a slider to the other, the number that it is named after goes its way, as
    the face finder sees it, and no farther than is asked for by much. The landmarks themselves may
    be moved by more, since the finder sees less of it. The two faces take turns."""
    checked, wrong = 0, []
    for direction in default.directions():
        names, sign = direction.facts.get("measure", ([], 1))
        if not names or not set(names) <= {*MEASURES, "turn", "nod", "tilt"}:
            continue
        assert direction.group in ("Expression", "Shape", "Pose"), direction.name
        ends = (direction.low, direction.high)
        stills = [default.edit(two[checked % 2], [(direction, end)]) for end in ends]
        checked += 1
        moved = []
        for shapes in ([find_shape(s.at(SIDE)) for s in stills], [s.shape for s in stills]):
            apart = differences(*shapes)
            move = sign * sum(apart[name] for name in names) / len(names)
            moved.append(move / (direction.high - direction.low))
        if not 0.05 < moved[0] < 1.7 or not moved[1] > 0.3:
            wrong.append((direction.name, *moved))
    assert not wrong and checked >= 10


def test_without_strength_and_where_all_cancels_out_it_is_the_photo(default, two, looks):
    face, shapes = two[0], [d for d in default.directions() if d.vector is None]
    nothing = [(direction, 0.0) for direction in default.directions()]
    for strengths in ([], nothing):
        still = default.edit(face, strengths)
        for size in (default.image_size, 512, face.native):
            np.testing.assert_array_equal(still.at(size), face.at(size))
        assert still.native == face.native and still.clamped == 0
    for direction in (looks[0], shapes[0]):
        there_and_back = [(direction, direction.high), (direction, -direction.high)]
        pixels = default.edit(face, there_and_back).at(SIDE)
        assert np.abs(pixels.astype(int) - face.at(SIDE)).max() <= 1, direction.name


def test_shapes_are_edited_without_the_model(default, two, looks, monkeypatch):
    """A slider of the shape follows at once: the photo is warped, nothing is decoded."""
    decode, decoded = default.model.decode_with_report, []

    def counted(z: torch.Tensor, **how: object) -> object:
        decoded.append(len(z))
        return decode(z, **how)

    monkeypatch.setattr(default.model, "decode_with_report", counted)
    for shape in {d.group: d for d in default.directions() if d.vector is None}.values():
        strength = min(5.0 if shape.unit == "degrees" else 1.0, shape.high)
        still = default.edit(two[0], [(shape, strength)])
        assert np.abs(still.at(SIDE).astype(int) - two[0].at(SIDE)).max() > 10, shape.name
    assert decoded == []
    default.edit(two[0], [(looks[0], looks[0].high), (shape, strength)])
    assert decoded == [1]


def test_looks_change_the_face_and_at_most_tint_the_skin_about_it(default, two, looks):
    """Hair, clothes and background stay; neck and ears may lean to the colour of the face. Light
    of another colour falls on all that is lit, and not on what is black."""
    looks = [d for d in looks if d.shape is None and not any(d.turn)]
    (light,) = (d for d in default.directions() if d.facts.get("everywhere"))
    face = two[0]
    mask, own = regions.face_mask(face.shape, SIDE, shrink=1.0), face.at(SIDE).astype(int)
    skin = cv2.resize(face.skin, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    elsewhere = (mask == 0) & (skin < 0.02)
    assert elsewhere.mean() > 0.05 and len(looks) > 1
    for direction in looks:
        if direction is light:
            continue
        still = default.edit(face, [(direction, direction.high)])
        change = np.abs(still.at(SIDE) - own).max(axis=-1)
        assert change[elsewhere].max() <= 1, direction.name
        inside = change[mask > 0.9].mean()
        assert inside > max(0.5, 1.2 * change[mask == 0].mean()), direction.name
        np.testing.assert_array_equal(still.shape, face.shape)
    lit, dark = (mask == 0) & (own.min(axis=-1) > 120), own.max(axis=-1) < 4
    change = default.edit(face, [(light, light.high)]).at(SIDE) - own
    assert (change[lit][:, 0] - change[lit][:, 2]).mean() > 3  # redder than it is bluer
    assert np.abs(change[dark & (mask == 0)]).max(initial=0) <= 1


def test_lips_open_as_far_as_asked_and_never_cross(default, two):
    """What a mouth that was shut shows, the model draws."""
    (serious, _), lower = two, [14, 87, 317, 178, 402, 88, 318, 17, 16, 15, 84, 314]
    shape = np.zeros((478, 2))
    shape[lower] = 0, 0.05
    opens = Direction("opens", shape=shape)
    assert serious.mouth < 0.012
    still = default.edit(serious, [(opens, 1.0)])
    assert landmarks.mouth_opening(still.shape) == pytest.approx(serious.mouth + 0.05, abs=0.005)
    inside = regions.inner_mouth_mask(still.shape, SIDE) > 0.5
    change = np.abs(still.at(SIDE).astype(int) - serious.at(SIDE)).max(axis=-1)
    assert inside.any() and change[inside].mean() > 5
    shut = default.edit(serious, [(opens, -1.0)])
    assert 0 <= landmarks.mouth_opening(shut.shape) <= 0.0021


def test_the_strongest_of_all_sliders_together_is_still_a_picture(default, two):
    for end in ("low", "high"):
        all_ = [(direction, getattr(direction, end)) for direction in default.directions()]
        still = default.edit(two[1], all_)
        assert np.isfinite(still.shape).all() and still.at(SIDE).std() > 10


# ---------------------------------------------------------------- the expression of another photo


def test_the_expression_of_another_face_comes_nearer(default, two):
    serious, smiling = two
    strengths = default.expression(serious, smiling)
    assert {d.group for d, _ in strengths} == {"Expression", "Pose"}
    assert {d.name: s for d, s in strengths}["smile"] > 0.5
    still = default.edit(serious, strengths)
    asked, made, seen = (
        differences(serious.shape, shape)
        for shape in (smiling.shape, still.shape, find_shape(still.at(SIDE)))
    )
    assert 0.4 * asked["smile"] < seen["smile"] < 1.4 * asked["smile"]
    # In the landmarks all that was asked for arrives, however much one slider does of another's.
    for name in ("smile", "mouth width", "brows"):
        assert made[name] == pytest.approx(asked[name], abs=0.4), name
    half = {d.name: s for d, s in default.expression(serious, smiling, amount=0.5)}
    assert all(abs(half[d.name]) <= abs(s) + 1e-9 for d, s in strengths)
    assert {d.name: s for d, s in default.expression(smiling, serious)}["smile"] < -0.5
    # From picture to picture as well, without asking for faces first.
    assert default.expression(serious.pixels, serious.pixels)
    strengths = default.expression(serious, smiling, amount=100.0)
    assert all(d.low <= s <= d.high for d, s in strengths)
    assert any(s in (d.low, d.high) for d, s in strengths)
    for nothing in (default.expression(*two, amount=0.0), default.expression(serious, serious)):
        assert {s for _, s in nothing} == {0.0}


def test_an_expression_needs_landmarks_and_sliders(default, two, monkeypatch):
    blank = np.full_like(two[0].pixels, 128)
    for pair in ((blank, two[0]), (two[0], blank)):
        with pytest.raises(UserError, match=r"needs landmarks[^\n]*\.$"):
            default.expression(*pair)
    quiet = Direction("quiet", shape=np.zeros((478, 2)), group="Expression")
    monkeypatch.setattr(default, "directions", lambda: [quiet])
    with pytest.raises(UserError, match="No sliders of expression"):
        default.expression(*two)


# ---------------------------------------------------------------------------- how they are learned


@pytest.fixture(scope="module")
def learning() -> Iterator[ModuleType]:
    path = Path(__file__).resolve().parents[1] / "scripts" / "dev" / "learn_edits.py"
    spec = importlib.util.spec_from_file_location("script_learn_edits", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


COLUMNS = (*MEASURES, "turn", "nod", "tilt")
COUNT = 400


@pytest.fixture(scope="module")
def planted() -> SimpleNamespace:
    """Shapes that three numbers move, each some points of its own: a smile that is mostly an open
    mouth, too, a turn, and the lids of either eye."""
    rng, mean = np.random.default_rng(0), np.array(landmarks.mean_shape(), float)
    mirror = landmarks.mirror()

    def field(points: list[int], by: tuple[float, float]) -> np.ndarray:
        """Of both sides: what moves the left one to the left moves the right one to the right."""
        moved = np.zeros_like(mean)
        moved[points] = by
        return moved + moved[mirror] * [-1, 1]

    smile, opened = field([61], (-0.01, -0.02)), field([14, 17], (0, 0.01))
    turn = np.zeros_like(mean)
    turn[[1, 2, 4, 5], 0] = 0.004  # of points on the middle line
    left, right = np.zeros_like(mean), np.zeros_like(mean)
    left[[159, 158]] = 0, -0.01
    right[mirror[[159, 158]]] = 0, -0.01
    numbers = rng.normal(0, 1, (COUNT, len(COLUMNS)))
    at = {name: COLUMNS.index(name) for name in COLUMNS}
    numbers[:, at["mouth open"]] = 0.8 * numbers[:, at["smile"]] + 0.6 * rng.normal(0, 1, COUNT)
    numbers[:, at["turn"]] *= 5
    parts = {"smile": smile, "mouth open": opened, "left eye": left, "right eye": right}
    shapes = mean + rng.normal(0, 5e-4, (COUNT, *mean.shape))
    for name, part in parts.items():
        shapes += numbers[:, at[name], None, None] * part
    shapes += numbers[:, at["turn"], None, None] / 5 * turn
    return SimpleNamespace(shapes=shapes, numbers=numbers, **parts, parts=parts, turn=turn)


def learned(learning: ModuleType, planted: SimpleNamespace, name: str, shape: str, *free: str):
    slider = learning.Slider(name, "Expression", -1, 1, shape, free)
    given = (planted.shapes, planted.numbers, COLUMNS, [], {})
    return learning.regress_shape(slider, *given)


def share(found: np.ndarray, part: np.ndarray) -> float:
    """How much of a part there is in what was found."""
    return float((found * part).sum() / np.square(part).sum())


def test_a_shape_that_was_planted_is_found_and_others_are_held(learning, planted):
    """Smiles come with open mouths here; the slider of the smile leaves the mouth shut all the
    same, and one that lets it go along opens it."""
    held = learned(learning, planted, "smile", "smile")
    assert share(held, planted.parts["smile"]) == pytest.approx(1, abs=0.1)
    for name in ("mouth open", "left eye", "right eye"):
        assert share(held, planted.parts[name]) == pytest.approx(0, abs=0.1), name
    assert share(held, planted.turn) == pytest.approx(0, abs=0.1)
    free = learned(learning, planted, "smile", "smile", "mouth open")
    assert share(free, planted.parts["mouth open"]) == pytest.approx(0.8, abs=0.15)
    rest = held - share(held, planted.parts["smile"]) * planted.parts["smile"]
    assert np.abs(rest).max() < 0.001


def test_faces_count_with_their_mirror_images(learning, planted):
    """So what is learned is even on both sides, and winks are each other's mirror image."""
    mirror = landmarks.mirror()
    smile = learned(learning, planted, "smile", "smile")
    np.testing.assert_allclose(smile, smile[mirror] * [-1, 1], atol=1e-5)
    left, right = (learned(learning, planted, f"wink {s}", f"{s} eye") for s in ("left", "right"))
    np.testing.assert_allclose(left, right[mirror] * [-1, 1], atol=1e-5)
    assert share(left, planted.parts["left eye"]) == pytest.approx(-1, abs=0.1)  # it shuts
    assert share(left, planted.parts["right eye"]) == pytest.approx(0, abs=0.1)
    both = learned(learning, planted, "eyes wide", "eyes")
    for side in ("left eye", "right eye"):
        assert share(both, planted.parts[side]) == pytest.approx(1, abs=0.1)


def test_a_shape_of_age_is_that_of_one_deviation_of_it(learning, planted):
    """Ages are where somebody gave them; the rest of the faces has no say."""
    rng, names = np.random.default_rng(1), [f"{i}.png" for i in range(COUNT)]
    years = rng.normal(35, 16, COUNT)
    years[::5] = math.nan
    part = np.zeros_like(planted.turn)
    part[152] = 0, 0.02
    shapes = planted.shapes + np.nan_to_num(years - 35)[:, None, None] / 16 * part
    table = {name: {"age": age} for name, age in zip(names, years, strict=True)}
    slider = learning.Slider("age", "Look", -25, 10, "age", unit="years")
    found = learning.regress_shape(slider, shapes, planted.numbers, COLUMNS, names, table)
    assert share(found, part) == pytest.approx(1, abs=0.1)
    direction = learning._direction(SimpleNamespace(), slider, found, None, 3)
    np.testing.assert_allclose(direction.shape * 16, found)  # a unit of the slider is a year


def test_looks_that_were_planted_are_found_and_others_are_held(learning):
    """Two numbers that go together move different numbers of the code."""
    levels, rng = ((6, 8, 8), (24, 4, 4)), np.random.default_rng(0)
    sizes = [math.prod(level) for level in levels]
    one, other = np.zeros(sum(sizes)), np.zeros(sum(sizes))
    one[sizes[0] :].reshape(24, 4, 4)[:, :2, :2] = rng.normal(0, 0.5, (24, 2, 2))
    other[sizes[0] :].reshape(24, 4, 4)[:, 2:, 2:] = rng.normal(0, 0.5, (24, 2, 2))
    smile = rng.normal(0, 1, 1200)
    seen = {
        "smile": smile,
        "age": 40 + 16 * (0.7 * smile + 0.7 * rng.normal(0, 1, 1200)),
        "idle": rng.normal(0, 1, 1200),
    }
    age = (seen["age"] - seen["age"].mean()) / seen["age"].std()
    codes = smile[:, None] * one + age[:, None] * other + rng.normal(0, 1, (1200, len(one)))
    found = learning.regress_looks(codes.astype(np.float16), seen, levels)
    assert set(found) == set(seen)
    parts = (("smile", one, other), ("age", other, one))
    for name, own, foreign in parts:
        vector = found[name].numpy()
        assert share(vector, own) == pytest.approx(1, abs=0.1)
        assert share(vector, foreign) == pytest.approx(0, abs=0.1)
        likeness = vector @ own / np.linalg.norm(vector) / np.linalg.norm(own)
        assert likeness > 0.95
    assert found["idle"].norm() < 0.1 * found["smile"].norm()  # noise is taken away


def test_what_is_not_known_is_filled_in_from_what_is(learning):
    rng = np.random.default_rng(0)
    seen = {name: rng.normal(0, 1, 200) for name in ("Young", "Male", "Gray_Hair")}
    seen["Bags_Under_Eyes"] = rng.normal(0, 1, 200)
    age = 40 - 10 * seen["Young"] + 5 * seen["Gray_Hair"]
    seen["age"] = np.where(np.arange(200) % 4 == 0, math.nan, age)
    np.testing.assert_allclose(learning._filled(seen, "age"), age, atol=1e-6)
    assert learning._filled(seen, "Male") is not seen["age"]


def test_the_list_of_sliders_is_sound(learning, default):
    """What ships was learned from this list, and every name in it means something."""
    names = [slider.name for slider in learning.SLIDERS]
    assert len(set(names)) == len(names)
    assert {direction.name for direction in default.directions()} == set(names)
    for slider in learning.SLIDERS:
        assert slider.group in GROUPS and slider.low <= 0 < slider.high
        assert set(slider.free) <= set(COLUMNS), slider.name
        assert slider.shape in (None, "eyes", "age", *MEASURES), slider.name
        assert slider.look is None or slider.look in learning.HELD, slider.name


# ------------------------------------------------------------------------------------- the judge


def drawn(rng: np.random.Generator, marked: float) -> np.ndarray:
    """A crop (128, 128, 3) of noise with a disc, whose size and colour say how much marked it is;
    how light the whole is says nothing."""
    crop = rng.normal(120 + rng.normal(0, 15), 12, (128, 128, 3))
    radius = round(16 + 5 * marked)
    cv2.circle(crop, (64, 64), max(radius, 2), (90.0, 60.0, 40.0), -1)
    return crop.clip(0, 255).astype(np.uint8)


def test_the_judge_recovers_what_was_drawn_and_measures_shape_and_light():
    """On crops that it was not fitted on."""
    rng, mean = np.random.default_rng(0), np.array(landmarks.mean_shape(), float)
    marks = np.clip(rng.normal(0, 1, 96), -2.5, 2.5)
    crops = [drawn(rng, mark) for mark in marks]
    shapes = [mean + rng.normal(0, 0.003, mean.shape) for _ in marks]
    known = np.where(np.arange(96) % 6 == 0, math.nan, marks)
    attributes = {"marked": known[:72], "nothing": rng.normal(0, 1, 96)[:72]}
    judge = Judge.fitted(crops[:72], shapes[:72], attributes)
    assert judge.names == ("marked", "nothing", *COLUMNS, *LIGHT)
    rows = np.stack([judge(c, s) for c, s in zip(crops[72:], shapes[72:], strict=True)])
    assert rows.shape == (24, len(judge.names)) and np.isfinite(rows).all()
    truth = marks[72:]
    assert np.corrcoef(rows[:, 0], truth)[0, 1] > 0.9
    slope = (rows[:, 0] * truth).sum() / np.square(truth).sum()
    assert slope == pytest.approx(1, abs=0.35)  # a deviation is a deviation

    crop, shape = crops[72], shapes[72]
    smiling, lit, side = shape.copy(), crop.astype(float) + 20, crop.astype(float)
    smiling[[61, 291], 1] -= 0.02
    side[:, 64:] += 20
    for picture, moved, name, least in (
        (crop, smiling, "smile", 1),
        (lit, shape, "brightness", 0.5),
        (side, shape, "light side", 1),
    ):
        after = judge(np.clip(picture, 0, 255).astype(np.uint8), moved)
        assert (after - rows[0])[judge.names.index(name)] > least


@pytest.mark.parametrize(("sign", "unit"), [(1, "deviations"), (-1, "deviations"), (1, "years")])
def test_slopes_are_measured_over_asked(monkeypatch, sign, unit):
    """Of a judge that sees 0.5 of what is asked for, and 0.4 as much of something else."""
    years = edits.YEARS if unit == "years" else 1.0
    low, high = (-25.0, 10.0) if unit == "years" else (-2.0, 1.0)
    slider = SimpleNamespace(
        name="x", group="Look", unit=unit, low=low, high=high, facts={"measure": [["own"], sign]}
    )

    class Seen:
        names, spread = ("own", "other", "idle"), np.ones(3)

        def __call__(self, picture: np.ndarray, shape: object = None) -> np.ndarray:
            s = (float(picture[0, 0, 0]) - 128) / 4 / years
            return np.array([sign * 0.5 * s, 0.4 * s, 0.01 * s])

        def measure(self, picture: np.ndarray, shapes: list[object]) -> np.ndarray:
            return np.stack([self(picture)] * len(shapes))

    def picture(strength: float) -> SimpleNamespace:
        grey = np.uint8(128 + 4 * strength)
        return SimpleNamespace(at=lambda size: np.full((64, 64, 3), grey), native=384)

    # Where its landmarks are does not matter to this judge.
    monkeypatch.setattr("benchmarks.edits.find_shape", lambda _: landmarks.mean_shape())

    made = SimpleNamespace(image_size=128, edit=lambda face, strengths: picture(strengths[0][1]))
    row = edits.measure(made, Seen(), [picture(0.0)] * 3, slider, None)
    assert (row["slope"], row["spread"], row["unit"]) == (0.5, 0, unit)
    assert (row["at_low"], row["at_high"]) == (0.5 * low, 0.5 * high)
    assert row["along"] == {"other": 0.4} and row["person"] is None
    text = edits.table({"x": row})
    assert "0.50" in text and "other +0.4" in text
