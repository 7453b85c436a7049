"""Frames: photos to the byte at the ends, one ground and one mouth at a time, and what the flow
may change between."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from glow_app.editing import blending
from glow_app.editing.directions import Direction
from glow_app.editing.editor import Editor
from glow_app.editing.frames import Morph
from glow_app.editing.options import MorphOptions
from glow_app.editing.renderer import Renderer
from glow_app.faces import finder, landmarks, regions
from glow_app.faces.coding import resized
from glow_app.faces.face import FULL, Face, Tone, prepare
from glow_app.faces.landmarks import SHAPE_POINTS, find_shape
from glow_app.faces.warp import between

pytest_plugins = ["tests.full_size_faces"]

pytestmark = pytest.mark.skipif(not finder.available(), reason="mediapipe is not installed")

SIDE = 256
RED, GREEN = (200, 30, 30), (30, 160, 40)
LIGHT, DARK = (205, 150, 125), (120, 85, 65)


def at(one: Face, size: int) -> np.ndarray:
    """The square of a photo at ``size``: what the model sees, or straight from the full square."""
    if size == len(one.pixels):
        return one.pixels
    if len(one.full) == size:
        return one.full
    how = Image.Resampling.LANCZOS if len(one.full) > size else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(one.full).resize((size, size), how))


def off(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How far two pictures are apart at each pixel, in levels."""
    return np.abs(a.astype(int) - b).max(axis=-1)


def stripes() -> np.ndarray:
    """(SIDE, SIDE, 3), two pixels dark and two light; each runs from top to bottom."""
    levels = (np.arange(SIDE) // 2 % 2 * 160 + 40).astype(np.uint8)
    return np.broadcast_to(levels[None, :, None], (SIDE, SIDE, 3)).copy()


@pytest.fixture(scope="module")
def flat(painted: Callable[..., Face]) -> tuple[Face, Face]:
    """A light face on red, with stripes between its lips that run down, and a dark one on green,
    with stripes that run across."""
    a = painted(LIGHT, RED, scale=0.95, mouth=0.04, inside=stripes())
    b = painted(DARK, GREEN, scale=1.02, mouth=0.06, inside=np.rot90(stripes()))
    return a, b


@pytest.fixture(scope="module")
def pair(small: Editor, portraits: list[Face]) -> Morph:
    """A morph of the first two portraits that is near its ends as well."""
    return small.morph_frames(*portraits[:2], [0.0, 0.25, 0.5, 0.75, 1.0])


# -------------------------------------------------------------------------------------- exact ends


@pytest.mark.parametrize(("ground", "kappa"), [("switch", None), ("a", 0.0), ("b", 1.0)])
def test_the_ends_of_a_morph_are_the_photos(small, portraits, ground, kappa):
    a, b = portraits[:2]
    morph = small.morph_frames(a, b, [1.0, 0.0], ground=ground, kappa=kappa)
    for size in (64, 150, a.native, 512):
        last, first = morph.enlarged(size)
        assert np.array_equal(first, at(a, size)) and np.array_equal(last, at(b, size))
    assert np.array_equal(morph.frames, [b.pixels, a.pixels])


def test_frames_by_number_and_backwards_are_the_same_frames(pair):
    frames = pair.enlarged(150)
    assert frames.shape == (5, 150, 150, 3) and frames.dtype == np.uint8
    assert np.array_equal(pair.enlarged(150, [2, 0]), frames[[2, 0]])
    back = pair.reversed()
    assert np.array_equal(back.enlarged(150), frames[::-1])
    assert back.stops == (0, 4) and np.array_equal(back.t, pair.t)
    assert np.array_equal(back.u, pair.u[::-1]) and np.array_equal(back.norms, pair.norms[::-1])


@pytest.mark.parametrize(
    ("path", "loop", "ground"),
    [("linear", False, "switch"), ("linear", True, "a"), ("cubic", True, "b")],
)
def test_a_journey_meets_every_photo_at_every_size(small, portraits, path, loop, ground):
    journey = small.journey(portraits, 3, path, loop=loop, ground=ground)
    assert journey.stops == (0, 2, 4) and len(journey.frames) == (6 if loop else 5)
    even = np.linspace(0, 1, 7)[:-1] if loop else np.linspace(0, 1, 5)
    np.testing.assert_allclose(journey.t, even, rtol=1e-6)
    for size in (64, 200, 512):
        frames = journey.enlarged(size, journey.stops)
        for frame, one in zip(frames, portraits, strict=True):
            assert np.array_equal(frame, at(one, size))
    if ground != "switch":
        middles = (0, 1, 2) if ground == "a" else (1, 2, 0)
        assert [journey.points[k].grounds for k in (1, 3, 5)] == [((k, 1.0),) for k in middles]


# -------------------------------------------------------------------------------------- continuity


@pytest.mark.parametrize(
    ("which", "kappa"), [("examples", 0.0), ("portraits", 0.5), ("examples", 1.0)]
)
def test_next_to_a_photo_a_frame_is_nearly_that_photo(small, which, kappa, request):
    a, b = request.getfixturevalue(which)[:2]
    t = [0.0, 1e-3, 1e-2, 1 - 1e-2, 1 - 1e-3, 1.0]
    morph = small.morph_frames(a, b, t, kappa=kappa)
    for size in (64, 200):
        first, near, farther, late, last, end = morph.enlarged(size).astype(int)
        for photo, close, beside in ((first, near, farther), (end, last, late)):
            assert np.abs(close - photo).max() <= 2 and np.abs(close - photo).mean() < 0.05
            assert np.abs(beside - photo).mean() < 1


def test_lips_that_open_a_little_show_nothing_sudden(small, painted):
    """A mouth too little open to show teeth takes the other's, as small as it is."""
    a = painted(LIGHT, RED, mouth=-0.013, inside=stripes())
    b = painted(DARK, GREEN, mouth=0.06, inside=np.rot90(stripes()))
    assert 0.015 < a.mouth < 0.02 < b.mouth
    first, near = small.morph_frames(a, b, [0.0, 1e-3]).enlarged(SIDE)
    assert off(first, near).mean() < 1


def test_frames_change_little_but_where_the_ground_does(small, examples):
    a, b = examples[:2]
    walks = [small.walk((a, b), MorphOptions(ground=ground)) for ground in ("switch", "b")]
    points = [[walk.at(t) for t in np.linspace(0, 1, 33)] for walk in walks]
    looks = small.model.decode(torch.stack([point.z for point in points[0]]))  # all the same
    renderer = Renderer(walks[0].faces, small.model.looks)
    for row in points:
        frames = renderer.frames(row, looks, 64).astype(int)
        steps = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
        still = np.array([one.grounds == other.grounds for one, other in pairwise(row)])
        assert 3 <= (~still).sum() <= 5  # a tenth of the way
        assert steps[still].max() < 2 * np.median(steps)
        assert steps[still].max() < np.abs(a.pixels.astype(int) - b.pixels).mean() / 16


def bend(stripe: np.ndarray) -> float:
    """By how many pixels a line leaves the straight one that fits it best; it is where a stripe
    (rows, columns) is not 0."""
    weights = np.maximum(stripe, 0) ** 2
    rows, columns = np.arange(len(stripe))[:, None], np.arange(stripe.shape[1])
    middle = (weights * rows).sum(axis=0) / weights.sum(axis=0)
    straight = np.polyval(np.polyfit(columns, middle, 1), columns)
    return float(np.abs(middle - straight).max())


def test_glasses_stay_straight_while_the_face_changes_its_shape(small, painted):
    """A line across both eyes, half way to a face whose brows and temples are elsewhere."""
    a, b = painted(LIGHT, RED), painted(LIGHT, GREEN)
    row = round(a.landmarks[[33, 133, 362, 263], 1].mean() * SIDE)
    a.full[row - 2 : row + 2] = (20, 20, 160)
    elsewhere = b.landmarks.copy()
    elsewhere[:, 1] += 0.03 * np.sin(18 * elsewhere[:, 0])

    def line(worn: bool) -> float:
        first, second = replace(a), replace(b, landmarks=elsewhere)
        first.__dict__.update(glasses=worn)
        second.__dict__.update(glasses=False)
        frame = small.morph_frames(first, second, [0.5], ground="a").enlarged(SIDE)[0]
        return bend(frame[row - 25 : row + 25, 70:186].astype(float) @ [-1, 0, 1])

    assert line(worn=True) < 1 < 3 < line(worn=False)


def test_teeth_stay_straight_while_lips_change_their_shape(small, painted):
    """A line across an open mouth, half way to one whose lips are wavy."""
    across = np.full((SIDE, SIDE, 3), 250, np.uint8)
    across[195:199] = (20, 20, 160)
    a = painted(LIGHT, RED, mouth=0.08, inside=across)
    b = painted(LIGHT, GREEN, mouth=0.06)
    lips = np.array((*landmarks.INNER_LIPS, *landmarks.OUTER_LIPS))
    wavy = b.landmarks.copy()
    wavy[lips, 1] += 0.02 * np.sin(40 * (wavy[lips, 0] - 0.5))
    b = replace(b, landmarks=wavy)
    frame = small.morph_frames(a, b, [0.5], ground="a").enlarged(SIDE)[0]
    assert bend(155 - frame[188:206, 112:145, 0].astype(float)) < 0.7


# -------------------------------------------------------------------------------------- the ground


def beyond(shape: np.ndarray, by: int) -> np.ndarray:
    """(SIDE, SIDE) bool, what lies farther than so many pixels from the outline of a face."""
    mask = regions.face_mask(shape, SIDE, shrink=1.0) > 0
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * by + 1,) * 2, np.uint8)) == 0


@pytest.mark.parametrize(
    ("ground", "shown"),
    [("switch", (RED, RED, RED, GREEN)), ("a", (RED,) * 4), ("b", (RED, GREEN, GREEN, GREEN))],
)
def test_behind_the_face_lies_one_photo_and_the_face_is_of_both(small, flat, ground, shown):
    """With the photos alone the middle of a cheek has just the mean of both colours."""
    t = [0.0, 0.3, 0.5, 0.7]
    morph = small.morph_frames(*flat, t, ground=ground, kappa=0)
    for frame, point, colour, share in zip(
        morph.enlarged(SIDE), morph.points, shown, t, strict=True
    ):
        behind = beyond(point.shape, 12)
        behind[:16, SIDE // 4 : -SIDE // 4] = behind[-16:, SIDE // 4 : -SIDE // 4] = False
        assert behind.mean() > 0.1
        assert np.abs(frame[behind].astype(int) - colour).max() < 17  # a tenth of red to green
        face = (1 - share) * np.array(LIGHT) + share * np.array(DARK)
        cheeks = frame[130:140, [80, 128, 176]].mean(axis=0)
        assert np.abs(cheeks - face).max() < 3


def test_hair_and_background_of_a_photo_are_those_of_its_warped_self(small, examples):
    """Not only in flat colours: what is far from the face equals one photo, warped."""
    a, b = examples[:2]
    morph = small.morph_frames(a, b, [0.3])
    point = morph.points[0]
    assert point.grounds == ((0, 1.0),)
    faces = [face.shape[SHAPE_POINTS] for face in (a, b)]
    frame, mesh = morph.enlarged(SIDE)[0], between(*faces)
    target = point.shape[SHAPE_POINTS]
    own, other = (mesh.warp(*how, target) for how in zip((a.full, b.full), faces, strict=True))
    # Ears and neck take on the colour of the face; the upper corners have neither.
    far = beyond(point.shape, 10)
    far[SIDE // 2 :] = False
    assert far.mean() > 0.01
    assert off(frame, own)[far].mean() < 4 < 10 < off(frame, other)[far].mean()


def test_what_covers_one_face_is_there_wholly_or_not_at_all(small, painted):
    """Half of a fringe would be a ghost: on A's ground there is none of B's, on B's all of it."""
    a, b = painted(LIGHT, RED), painted(DARK, RED, bar=(20, 20, 20))
    forehead = np.s_[14:34, 90:166]
    for ground, expected in (("a", np.add(LIGHT, DARK) / 2), ("b", (20, 20, 20))):
        frame = small.morph_frames(a, b, [0.5], ground=ground, kappa=0).enlarged(SIDE)[0]
        assert np.abs(frame[forehead].mean(axis=(0, 1)) - expected).max() < 15
        x, y = (a.shape[50] * SIDE).astype(int)  # a cheek is of both in either case
        assert np.abs(frame[y, x] - np.add(LIGHT, DARK) / 2).max() < 6


def test_skin_beside_the_face_takes_on_its_colour(small, painted):
    """Neck and ears of the ground's photo: the nearer to the face, the more; all else stays."""
    b = painted(DARK, GREEN)
    for behind, leans in ((LIGHT, True), ((60, 60, 200), False)):
        a = painted(LIGHT, behind, scale=0.7)
        morph = small.morph_frames(a, b, [0.3], ground="a", kappa=0)
        frame, shape = morph.enlarged(SIDE)[0].astype(float), morph.points[0].shape
        y, x = (shape[234] * SIDE).astype(int)[::-1]  # where the outline is farthest to the left
        away = np.abs(frame[y, [x - 12, x - 30, 2]] - behind).max(axis=-1)
        if leans:
            assert away[0] > away[1] > away[2] and away[0] > 6
        else:
            assert away[1:].max() < 3


def test_a_pair_swapped_is_the_same_morph_backwards_in_any_thread(small, portraits):
    a, b = portraits[:2]
    t = np.array([0.2, 0.5, 0.55])
    there, back = small.morph_frames(a, b, t), small.morph_frames(b, a, 1 - t)
    sizes = [100, 120] * 3
    with ThreadPoolExecutor(4) as pool:
        many = list(pool.map(there.enlarged, sizes))
    fresh = small.morph_frames(a, b, t)
    for size, frames in zip(sizes, many, strict=True):
        assert np.array_equal(frames, fresh.enlarged(size))
    assert off(fresh.enlarged(200), back.enlarged(200)).max() <= 2


# --------------------------------------------------------------------------------------- the mouth


def test_inside_the_lips_is_one_photo_at_a_time(small, flat):
    """Stripes of A run down, those of B run across; together they would be a check."""
    t = [0.2, 0.5, 0.8]
    morph = small.morph_frames(*flat, t)
    for frame, point, first in zip(
        morph.enlarged(SIDE), morph.points, (True, True, False), strict=True
    ):
        mask = (regions.inner_mouth_mask(point.shape, SIDE) > 0.9).astype(np.uint8)
        inside = cv2.erode(mask, np.ones((5, 5), np.uint8)) > 0
        assert inside.sum() > 200
        across, down = (np.abs(np.diff(frame.astype(int), axis=k)) for k in (1, 0))
        across, down = across[inside[:, 1:]].mean(), down[inside[1:]].mean()
        assert (across > 20 * down) if first else (down > 20 * across)


# ------------------------------------------------------------------------------------------- kappa


def test_without_kappa_the_model_is_not_asked(small, portraits):
    walk = small.walk(portraits[:2], MorphOptions())
    points = [walk.at(t) for t in (0.2, 0.6)]
    drawn = small.model.decode(torch.stack([point.z for point in points]))
    for kappa, same in ((0.0, True), (0.5, False)):
        renderer = Renderer(walk.faces, small.model.looks, kappa)
        for size in (64, 150):
            frames = renderer.frames(points, drawn, size)
            assert np.array_equal(frames, renderer.frames(points, 255 - drawn, size)) is same


def test_kappa_changes_the_face_inside_its_outline(small, examples):
    a, b = examples[:2]
    without, full, half = (
        small.morph_frames(a, b, [0.4], kappa=kappa) for kappa in (0.0, 1.0, 0.5)
    )
    change = off(without.enlarged(SIDE)[0], full.enlarged(SIDE)[0])
    shape = without.points[0].shape
    inside = regions.face_mask(shape, SIDE) > 0.9
    outside = regions.face_mask(shape, SIDE, shrink=1.0) == 0
    assert change[inside].mean() > 2 and change.max() > 8
    assert change[outside].mean() < change[inside].mean() / 6 and change[outside].max() <= 4
    assert change[beyond(shape, 24)].max() <= 1
    less = off(without.enlarged(SIDE)[0], half.enlarged(SIDE)[0])
    assert 0.3 < less[inside].mean() / change[inside].mean() < 0.8


def test_what_the_flow_adds_is_warped_to_the_shape_of_the_frame(small, examples):
    """A light spot on one cheek of a look comes to lie on that cheek of a smaller face."""
    walk = small.walk(examples[:2], MorphOptions())
    point = walk.at(0.4)
    point = replace(point, shape=0.5 + 0.75 * (point.shape - 0.5))
    mean = 0.6 * small.model.looks.of(examples[0]) + 0.4 * small.model.looks.of(examples[1])
    cheek = landmarks.mean_shape()[[50, 101]].mean(axis=0) * 64
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    spot = 60 * np.exp(-((x - cheek[0]) ** 2 + (y - cheek[1]) ** 2) / 12)[..., None]
    looks = np.stack([mean, mean + spot]).round().clip(0, 255).astype(np.uint8)
    renderer = Renderer(walk.faces, small.model.looks, 1.0)
    plain, lit = renderer.frames([point, point], looks, SIDE).astype(float)
    change = cv2.GaussianBlur((lit - plain).mean(axis=-1), (0, 0), 3)
    found = np.array(np.unravel_index(change.argmax(), change.shape))[::-1]
    expected = point.shape[[50, 101]].mean(axis=0) * SIDE
    assert np.hypot(*(found - expected)) < 8 < np.hypot(*(cheek * 4 - expected))
    assert change.max() > 8
    other = (point.shape[[280, 330]].mean(axis=0) * SIDE).astype(int)
    assert abs(change[other[1], other[0]]) < 2


# ------------------------------------------------------------------------------------ other photos


def test_grey_photos_stay_grey(small, examples):
    a, b = (small.prepare(in_tone(face).full) for face in examples[:2])
    assert a.shape is not None and b.shape is not None
    morph = small.morph_frames(a, b, [0.0, 0.2, 0.53, 0.9], kappa=1.0)
    for size in (64, 150, 400):
        assert np.ptp(morph.enlarged(size), axis=-1).max() == 0


def test_between_photos_of_one_tone_the_model_alone_keeps_it(small, portraits, monkeypatch):
    """Grey stays grey whatever it draws; the ends are what it draws, and colours stay."""
    a, b = (in_tone(face) for face in portraits[:2])
    decode = small.model.decode_with_report

    def reddened(z: torch.Tensor, within: object = None) -> tuple[np.ndarray, np.ndarray]:
        looks, clamped = decode(z, within=within)
        return (looks + np.array([40.0, 0, -20])).clip(0, 255).astype(np.uint8), clamped

    t = [-0.3, 0.0, 0.2, 0.53, 0.9, 1.4]
    assert np.ptp(small.morph_frames(a, b, t, alone=True).frames, axis=-1).max() == 0
    monkeypatch.setattr(small.model, "decode_with_report", reddened)
    chroma = np.ptp(small.morph_frames(a, b, t, alone=True).frames, axis=-1).max(axis=(1, 2))
    assert chroma[1] > 30 and not np.delete(chroma, 1).any()
    loop = small.journey([a, b], 3, loop=True, alone=True)
    assert np.ptp(loop.frames[[1, 3]], axis=-1).max() == 0
    coloured = small.morph_frames(a, portraits[1], [0.5], alone=True).frames
    assert np.ptp(coloured, axis=-1).max() > 30
    sepia = in_tone(portraits[0], (22, 0, -28))
    frame = small.morph_frames(sepia, a, [0.5], alone=True).frames[0]
    half = Tone(sepia.tone.curve / 2)
    assert np.abs(frame - half.of(frame)).max() <= 1.5 and np.ptp(frame, axis=-1).max() > 10


def in_tone(face: Face, tone: tuple[float, float, float] = (0, 0, 0)) -> Face:
    """The same face in black and white, with so many levels more of each colour in its middle."""

    def done(picture: np.ndarray) -> np.ndarray:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(float)[..., None]
        return (grey + np.array(tone) * grey * (255 - grey) * 4 / 255**2).round().astype(np.uint8)

    return replace(face, pixels=done(face.pixels), crop=done(face.crop), full=done(face.full))


def painting(face: Face) -> np.ndarray:
    """What a model draws that reddens the whole face: (S, S, 3) uint8."""
    return (face.pixels + np.array([60.0, 0, -30])).clip(0, 255).astype(np.uint8)


def somewhere(editor: Editor) -> Direction:
    vector = torch.randn(editor.model.flow.dims, generator=torch.Generator().manual_seed(0)) / 10
    return Direction("somewhere", vector, fingerprint=editor.fingerprint)


def test_an_edit_of_a_photo_of_one_tone_keeps_it(small, portraits):
    """Whatever the model draws: its change of the luminance is all that counts."""
    face = in_tone(portraits[0])
    edited = small.edit(face, [(somewhere(small), 1.0)])
    drawn = replace(edited, looks=painting(face)[None])
    for size in (64, SIDE):
        for still in (edited, drawn):
            frame = still.renderer.frames(still.points, still.looks, size)[0]
            assert np.ptp(frame.astype(int), axis=-1).max() == 0
            assert off(frame, face.at(size)).max() > 3
    plain = small.edit(portraits[0], [(somewhere(small), 1.0)])
    coloured = plain.renderer.frames(plain.points, painting(portraits[0])[None], SIDE)[0]
    assert off(coloured, portraits[0].at(SIDE)).max() > 20  # a photo in colour is reddened
    sepia = in_tone(portraits[0], (22, 0, -28))
    assert sepia.tone is not None and not sepia.tone.is_grey and portraits[0].tone is None
    edited = small.edit(sepia, [(somewhere(small), 1.0)])
    frame = edited.renderer.frames(edited.points, painting(sepia)[None], SIDE)[0]
    stray = frame - sepia.tone.of(frame)
    assert np.quantile(np.abs(stray), 0.98) < 5 and off(frame, sepia.at(SIDE)).max() > 3


def test_between_grey_and_colour_the_colours_come_in_evenly(small, portraits):
    """In the face and beside it: a ground in colour is as pale as the face."""
    a, b = in_tone(portraits[0]), portraits[1]
    frames = small.morph_frames(a, b, np.linspace(0, 1, 9), ground="b").enlarged(SIDE)
    for part in (frames[1:], frames[1:, :12]):  # the very first frame is the other photo
        chroma = np.ptp(part.astype(int), axis=-1).mean(axis=(1, 2))
        assert np.abs(chroma / chroma[-1] - np.arange(1, 9) / 8).max() < 0.05


@pytest.fixture(scope="module")
def faceless() -> list[Face]:
    """Two squares without any face, with detail: smooth colours and grain."""
    made = []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        coarse = Image.fromarray(rng.integers(40, 215, (6, 6, 3), np.uint8)).resize((300, 300))
        full = np.asarray(coarse, float) + rng.normal(0, 10, (300, 300, 1))
        full = full.clip(0, 255).astype(np.uint8)
        made.append(Face(resized(full, 64), resized(full, 128), full=full))
    return made


@pytest.mark.parametrize("which", ["none", "first"])
def test_without_landmarks_nothing_is_warped_and_ends_are_exact(small, portraits, faceless, which):
    first, second = faceless[0], portraits[1] if which == "first" else faceless[1]
    morph = small.morph_frames(first, second, [0.0, 0.5, 1.0])
    assert not morph.warped and all(point.shape is None for point in morph.points)
    for size in (64, 200, 512):
        frames = morph.enlarged(size)
        assert np.array_equal(frames[0], at(first, size))
        assert np.array_equal(frames[2], at(second, size))
    # Laid over each other as they are: seen from afar, the middle is the mean of both.
    middle = small.morph_frames(first, second, [0.5], kappa=0).enlarged(200)[0]
    mean = (at(first, 200).astype(float) + at(second, 200)) / 2
    far = [
        cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 6)
        for picture in (middle, mean, at(first, 200))
    ]
    assert np.abs(far[0] - far[1]).mean() < np.abs(far[0] - far[2]).mean() / 4


def test_journeys_edits_mixes_and_averages_do_without_landmarks(small, portraits, faceless):
    stops = [portraits[0], faceless[0], portraits[1]]
    journey = small.journey(stops, 2, loop=True)
    assert not journey.warped
    assert np.array_equal(journey.enlarged(220), [at(one, 220) for one in stops])
    levels = len(small.model.level_shapes)
    assert np.array_equal(small.mix(*faceless, [1.0] * levels, 1.0).at(200), faceless[1].at(200))
    assert small.mix(*faceless, [0.5] * levels).shape is None
    assert np.array_equal(small.edit(faceless[0]).pixels, faceless[0].pixels)
    toward = small.edit(faceless[0], toward=0.5)
    assert toward.shape is None and off(toward.pixels, faceless[0].pixels).mean() > 2
    mean = small.average(faceless)
    assert mean.native == 300 and mean.landmarks is None


# ------------------------------------------------------------------------------------------- sizes


def grain(picture: np.ndarray) -> float:
    """Of its middle."""
    inner = picture[len(picture) // 3 : -len(picture) // 3, len(picture) // 3 : -len(picture) // 3]
    return float(np.abs(np.diff(inner.astype(float), axis=0)).mean())


def test_frames_between_are_sharper_than_enlarged_ones(pair, portraits):
    a, b = (grain(one.at(300)) for one in portraits[:2])
    for frame, reduced in zip(pair.enlarged(300)[1:4], pair.frames[1:4], strict=True):
        assert 0.8 * min(a, b) < grain(frame) < 1.25 * max(a, b)
        assert grain(frame) > 1.5 * grain(resized(reduced, 300))
        # And yet it is the picture of the model's size that it shows.
        assert off(resized(frame, 64), reduced).mean() < 6


def test_the_middle_has_as_much_grain_as_the_photos(small, portraits):
    """The mean of two grains has but 0.7 of it."""
    shape, face = portraits[0].shape, cv2.GaussianBlur(portraits[0].full, (0, 0), 4)
    made = []
    for seed in (1, 2):
        noise = np.random.default_rng(seed).normal(0, 8, (*face.shape[:2], 1))
        full = (face + noise).clip(0, 255).astype(np.uint8)
        made.append(Face(resized(full, 64), resized(full, 128), full=full, landmarks=shape))
    a, b = made
    frame = small.morph_frames(a, b, [0.5]).enlarged(a.native)[0]
    usual = (grain(a.full) + grain(b.full)) / 2
    assert 0.9 * usual < grain(frame) < 1.1 * usual
    assert grain((a.full.astype(float) + b.full) / 2) < 0.75 * usual


def test_beyond_native_and_below_the_models_size_frames_are_only_resized(pair):
    middle = pair.enlarged(pair.native, [2])[0]
    assert np.array_equal(pair.enlarged(512, [2])[0], resized(middle, 512))
    for frame, small in zip(pair.frames, pair.enlarged(32), strict=True):
        assert np.array_equal(small, resized(frame, 32)) and small.shape == (32, 32, 3)


def test_a_drawn_face_and_a_photo_share_what_detail_there_is(small, portraits):
    drawn, other = small.sampler.sample(2, temperature=0.6, seed=8)
    morph = small.morph_frames(drawn, other, [0.0, 0.4])
    assert morph.native == 64 and np.array_equal(morph.enlarged(64), morph.frames)
    for frame, big in zip(morph.frames, morph.enlarged(150), strict=True):
        assert np.array_equal(big, resized(frame, 150))
    morph = small.morph_frames(drawn, portraits[0], [0.0, 1.0])
    assert morph.native == len(portraits[0].full)
    first, last = morph.enlarged(200)
    assert np.array_equal(first, resized(drawn, 200))
    assert np.array_equal(last, at(portraits[0], 200))


# ---------------------------------------------------------------------------------------- blending


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """(128, 128, 3) float32 with detail of every size."""
    rng = np.random.default_rng(0)
    made = np.full((128, 128, 3), 128, np.float32)
    for side, amount in ((4, 30), (16, 15), (64, 8), (128, 5)):
        noise = rng.normal(0, amount, (side, side, 3)).astype(np.float32)
        made += cv2.resize(noise, (128, 128), interpolation=cv2.INTER_CUBIC)
    return made


def contrast(picture: np.ndarray) -> float:
    """Of what is finer than a few pixels."""
    return float((picture - cv2.GaussianBlur(picture, (0, 0), 2)).std())


def test_contrast_is_brought_to_that_of_the_photos(picture):
    """Of specks as well, which are in neither; what it mends is seen in the grain of a morph."""
    grey, other = (blending.luminance(p) for p in (picture, picture[::-1].copy()))
    mean = (grey + other) / 2
    specks = mean + np.random.default_rng(1).normal(0, 20, mean.shape).astype(np.float32)
    mended, fewer = (
        blending.matched(one, [grey, other], [[0.5], [0.5]], len(grey)) for one in (mean, specks)
    )
    assert np.abs(cv2.blur(mended - mean, (65, 65))).max() < 5  # light and dark stay
    assert contrast(fewer) < 1.1 * contrast(grey) < contrast(specks)


def test_covered_places_are_filled_from_around(picture):
    seen = np.ones((128, 128), np.float32)
    np.testing.assert_allclose(blending.filled(picture, seen), picture, atol=1e-3)
    seen[40:80, 40:80] = 0
    spoiled = np.full((128, 128, 3), 50, np.float32)
    spoiled[40:80, 40:80] = -200
    np.testing.assert_allclose(blending.filled(spoiled, seen), 50, atol=1)
    nothing = blending.filled(spoiled, np.zeros_like(seen))
    assert np.isfinite(nothing).all() and np.abs(nothing).max() <= 200


def test_each_scale_of_a_mix_has_its_own_share(picture):
    """Of light and dark; colours go with the coarsest scale."""
    np.testing.assert_allclose(blending.by_bands(picture, [1, 1, 1, 1], 64), picture, atol=1e-2)
    np.testing.assert_allclose(blending.by_bands(picture, [0, 0, 0, 0], 64), 0, atol=1e-2)
    grey = blending.luminance(picture)
    fine = blending.by_bands(picture, [1, 0, 0, 0], 64)
    assert np.ptp(fine, axis=-1).max() < 1e-3
    assert contrast(fine[..., 0]) > 0.7 * contrast(grey)
    assert np.abs(cv2.blur(fine, (33, 33))).max() < 3
    coarse = blending.by_bands(picture, [0, 0, 0, 1], 64)
    light = blending.luminance(coarse)
    assert contrast(light) < 0.2 * contrast(grey)
    np.testing.assert_allclose(coarse - light[..., None], picture - grey[..., None], atol=1e-2)
    np.testing.assert_allclose(light.mean(), grey.mean(), atol=3)


def test_a_change_has_no_more_contrast_than_its_photo_allows(picture):
    flat = np.full_like(picture, 128)
    change = picture - 128
    grey = 0.2 * np.repeat(blending.luminance(change)[..., None], 3, axis=-1)
    np.testing.assert_allclose(blending.limited(grey, picture), grey, atol=0.05)
    on_nothing = blending.limited(10 * change, flat)
    assert contrast(on_nothing) < 8 < contrast(10 * change)
    # Of colours a tint comes through, a speck is spread out.
    tint = np.broadcast_to(np.float32([12, 0, -8]), picture.shape)
    np.testing.assert_allclose(blending.limited(tint, picture), tint, atol=0.05)
    red = np.zeros_like(picture)
    red[60:62, 60:62] = (40, -12, -6)
    left = blending.limited(red, picture)
    colours = left - blending.luminance(left)[..., None]
    before = red - blending.luminance(red)[..., None]
    assert np.abs(colours).max() < np.abs(before).max() / 10


# ---------------------------------------------------------------------------------------- averages


def test_an_average_has_the_mean_shape_and_all_the_detail(small, examples):
    mean = small.average(examples)
    shapes = np.stack([face.shape for face in examples])
    np.testing.assert_allclose(mean.shape, shapes.mean(axis=0))
    assert mean.native == max(face.native for face in examples) and mean.crop.shape[0] == 128
    found = find_shape(mean.crop)
    apart = [np.abs(found - shape).mean() for shape in (mean.shape, *shapes)]
    assert apart[0] < 0.01 and apart[0] < min(apart[1:])
    other = small.average([examples[k] for k in (2, 0, 1)])  # the order hardly matters
    assert off(mean.full, other.full).max() <= 2
    one = small.average(examples[:1])
    for of in ("pixels", "full", "shape"):
        assert np.array_equal(getattr(one, of), getattr(examples[0], of))
    # All the way towards it a face has its shape and its code.
    point = small.edit_walk(examples[0], toward=1.0, average=mean).at(1.0)
    np.testing.assert_allclose(point.shape, mean.shape)
    torch.testing.assert_close(point.z, small.model.encode(small.model.looks.of(mean))[0])


# -------------------------------------------------------------------------------------- the photos


def test_what_the_model_sees_does_not_depend_on_full_size(small, photos_with_detail, portraits):
    plain = prepare(photos_with_detail[0], small.image_size, coding=small.model.coding)
    assert plain.full is None
    assert np.array_equal(plain.pixels, portraits[0].pixels)
    assert np.array_equal(plain.crop, portraits[0].crop)
    drawn = Image.fromarray(small.sampler.sample(1, temperature=0.6, seed=3)[0])
    assert small.prepare(drawn).full is None
    large = drawn.resize((FULL + 300, FULL + 300))
    assert len(small.prepare(large, "center").full) == FULL
    assert len(prepare(large, small.image_size, "center", full=100).full) == 100


def test_faces_are_told_apart_by_their_detail(small, portraits):
    one = portraits[0]
    same = replace(one)
    assert same.key == one.key
    assert replace(one, full=255 - one.full).key != one.key
    assert replace(one, full=None).key != one.key
    assert np.array_equal(one.fine, at(one, 256))
    picture = one.pixels
    assert small.model.face(picture) is small.model.face(picture.copy())
    assert small.model.face(255 - picture) is not small.model.face(picture)
