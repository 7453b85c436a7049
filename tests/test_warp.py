"""Landmarks of aligned faces, and pictures that take the shape of others."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from glow_app.faces import finder
from glow_app.faces.landmarks import SHAPE_POINTS, find_shape
from glow_app.faces.opening import RESAMPLE
from glow_app.faces.warp import Triangulation, between

pytestmark = pytest.mark.skipif(not finder.available(), reason="mediapipe is not installed")

IRISES, MOUTH = (468, 473), (61, 291)


@pytest.fixture(scope="module")
def crops(faces) -> np.ndarray:
    """(8, 128, 128, 3)"""
    return np.stack([np.asarray(Image.fromarray(f).resize((128, 128), RESAMPLE)) for f in faces])


@pytest.fixture(scope="module")
def meshes(crops) -> list[np.ndarray]:
    found = [find_shape(crop) for crop in crops]
    assert sum(mesh is not None for mesh in found) >= 7
    return [mesh for mesh in found if mesh is not None]


@pytest.fixture(scope="module")
def shapes(meshes) -> list[np.ndarray]:
    return [mesh[SHAPE_POINTS] for mesh in meshes]


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    """(128, 128, 3), different everywhere."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
    return np.asarray(coarse.resize((128, 128), Image.Resampling.BICUBIC))


def with_dot(at: np.ndarray, side: int = 128) -> np.ndarray:
    """Grey with a soft white dot at a point in fractions."""
    middles = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(middles, middles)
    bright = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) * side**2 / (2 * 1.5**2))
    return (40 + 200 * bright[..., None].repeat(3, -1)).astype(np.uint8)


def dot_in(picture: np.ndarray) -> np.ndarray:
    """Where the dot is brightest, in fractions: a stretched one has its middle elsewhere."""
    bright = picture[..., 0].astype(float)
    bright[bright < 0.9 * bright.max()] = 0
    middles = (np.arange(len(picture)) + 0.5) / len(picture)
    x, y = (bright.sum(axis) @ middles for axis in (0, 1))
    return np.array([x, y]) / bright.sum()


def grid(low: float = 0.2, high: float = 0.8, count: int = 5) -> np.ndarray:
    """(count², 2)"""
    t = np.linspace(low, high, count)
    return np.stack(np.meshgrid(t, t), -1).reshape(-1, 2)


def moved(picture: np.ndarray, shape: np.ndarray, target: np.ndarray, **how) -> np.ndarray:
    return Triangulation([shape, target]).warp(picture, shape, target, **how)


def areas(triangulation: Triangulation, shape: np.ndarray) -> np.ndarray:
    """Of each triangle, negative where it is turned inside out."""
    p, q, r = (triangulation.points(shape)[triangulation.triangles[:, k]] for k in range(3))
    (ax, ay), (bx, by) = (q - p).T, (r - p).T
    return (ax * by - ay * bx) / 2


# --------------------------------------------------------------------------------------- landmarks


def test_landmarks_lie_where_the_template_says(meshes):
    for mesh in meshes:
        assert mesh.shape == (478, 2) and mesh.dtype == np.float32
        assert np.abs(mesh[list(IRISES)].mean(0) - (0.5, 0.29)).max() < 0.03
        x, y = mesh[list(MOUTH)].mean(0)
        assert abs(x - 0.5) < 0.05 and 0.59 < y < 0.83  # short faces and long ones
        assert ((mesh > -0.3) & (mesh < 1.3)).all()


def test_landmarks_do_not_depend_on_the_size_of_the_crop(faces, crops):
    for small, crop in zip(faces, crops, strict=True):
        mesh, same = find_shape(small), find_shape(crop)
        assert (mesh is None) == (same is None)
        if mesh is not None:
            assert np.abs(mesh - same).mean() < 0.01


def test_landmarks_are_repeatable_in_any_order_and_thread(crops):
    first = [find_shape(crop) for crop in crops]
    with ThreadPoolExecutor(4) as pool:
        again = [find_shape(crop) for crop in crops[::-1]][::-1]
        for found in (again, list(pool.map(find_shape, crops))):
            assert all(np.array_equal(a, b) for a, b in zip(first, found, strict=True))


def test_no_landmarks_without_a_face():
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    for crop in (noise, np.zeros((64, 64, 3), np.uint8), np.full((16, 16, 3), 200, np.uint8)):
        assert find_shape(crop) is None


def test_no_landmarks_for_a_face_off_the_template(crops, meshes):
    wide = Image.new("RGB", (256, 256), (150, 155, 160))
    for at in ((0, 0), (128, 128), (64, 64)):  # the last in the middle, but half the size
        canvas = wide.copy()
        canvas.paste(Image.fromarray(crops[0]), at)
        assert find_shape(np.asarray(canvas)) is None
    turned = Image.fromarray(crops[0]).rotate(20, Image.Resampling.BICUBIC)
    assert find_shape(np.asarray(turned)) is None


def test_no_landmarks_without_a_finder(crops, monkeypatch):
    monkeypatch.setattr(finder, "available", lambda: False)
    assert find_shape(crops[0]) is None


@pytest.mark.parametrize("wrong", [(64, 32, 3), (64, 64), (64, 64, 4), (1, 64, 64, 3)])
def test_other_arrays_are_refused(wrong):
    with pytest.raises(ValueError, match="crop"):
        find_shape(np.zeros(wrong, np.uint8))


# -------------------------------------------------------------------------------------- one warp


def test_where_nothing_moves_the_picture_is_the_very_one(texture, shapes):
    mesh = Triangulation(shapes[:2])
    for shape in shapes[:2]:
        assert mesh.warp(texture, shape, shape.copy()) is texture
    lost = shapes[0].copy()
    lost[5] = np.nan  # what is not used may move
    mesh = Triangulation([shapes[0], lost])
    assert mesh.warp(texture, shapes[0], lost) is texture


def test_the_picture_that_is_warped_stays_as_it_was(texture, shapes):
    before = texture.copy()
    assert not np.array_equal(moved(texture, shapes[0], shapes[1]), before)
    assert np.array_equal(texture, before)


def test_what_lies_among_points_that_stay_keeps_its_bits(texture):
    """One point moves; beyond its triangles nothing does."""
    t = (np.arange(6) + 0.5) / 6
    points = np.stack(np.meshgrid(t, t), -1).reshape(-1, 2)
    to = points.copy()
    to[7] += 0.03, -0.04  # of the second row
    warped = moved(texture, points, to)
    assert (warped[64:] == texture[64:]).all() and (warped[:, 64:] == texture[:, 64:]).all()
    assert np.abs(warped[:64, :64].astype(int) - texture[:64, :64]).max() > 10


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("side", [64, 128, 256, 512])
def test_a_dot_goes_where_it_is_sent(side, dtype):
    rng = np.random.default_rng(1)
    even = grid(count=4)
    for k in range(0, len(even), 3):
        points, to = (even + rng.uniform(-0.05, 0.05, even.shape) for _ in range(2))
        warped = moved(with_dot(points[k], side).astype(dtype), points, to)
        assert warped.dtype == dtype and warped.shape == (side, side, 3)
        assert math.hypot(*(dot_in(warped) - to[k])) * side < 1


@pytest.mark.parametrize("side", [128, 400])
def test_an_affine_move_of_all_points_moves_a_smooth_picture_by_that(side):
    """A picture whose levels are its coordinates says where each pixel came from."""
    points = grid(count=7)
    affine = np.array([[1.05, 0.04], [-0.03, 0.96]])
    to = (points - 0.5) @ affine.T + 0.5 + (0.02, -0.01)
    middles = (np.arange(side) + 0.5) / side
    places = np.stack(np.meshgrid(middles, middles), -1)
    picture = np.dstack([places, places[..., :1]]).astype(np.float32) * 200
    warped = moved(picture, points, to)[..., :2] / 200
    back = (places - 0.5 - (0.02, -0.01)) @ np.linalg.inv(affine).T + 0.5
    inside = ((places > 0.27) & (places < 0.73)).all(axis=-1)
    assert np.abs(warped - back)[inside].max() < 0.001


def test_negative_levels_stay_negative():
    picture = np.full((512, 512, 3), -7, np.int16)
    points = grid()
    assert (moved(picture, points, points + 0.03) == -7).all()


def test_masks_keep_their_range_with_linear_interpolation():
    mask = np.zeros((256, 256), np.float32)
    mask[60:180, 80:200] = 1
    points = grid()
    warped = moved(mask, points, points + 0.021, linear=True)
    assert warped.shape == mask.shape and warped.min() == 0 and warped.max() == 1
    assert np.abs(warped[70:170, 90:190] - 1).max() == 0


@pytest.mark.parametrize("side", [64, 128])
def test_every_pixel_comes_from_where_its_triangle_says(shapes, side):
    """Against barycentric coordinates; along the edges the drawn triangles are a little off."""
    a, b = shapes[:2]
    mesh = between(a, b)
    own, goal = mesh.points(a), mesh.points((a + b) / 2)
    middles = (np.arange(side) + 0.5) / side
    places = np.stack(np.meshgrid(middles, middles), -1).reshape(-1, 2)
    expected, deepest = np.zeros_like(places), np.full(len(places), -np.inf)
    for corners in mesh.triangles:
        first, edges = goal[corners][0], goal[corners][1:] - goal[corners][0]
        if abs(np.linalg.det(edges)) < 1e-12:
            continue  # three fixed points of one side
        shares = (places - first) @ np.linalg.inv(edges)
        depth = np.minimum(shares.min(axis=1), 1 - shares.sum(axis=1))
        inside, deepest = depth > deepest, np.maximum(depth, deepest)
        moved_edges = own[corners][1:] - own[corners][0]
        expected[inside] = own[corners][0] + shares[inside] @ moved_edges
    assert deepest.min() > -1e-6
    sources = mesh.sources(own, goal, side).reshape(-1, 2)
    off = np.abs(sources - (expected * side - 0.5)).max(axis=1)
    assert off.mean() < 0.02 and np.quantile(off, 0.999) < 1  # pixels


@pytest.mark.parametrize("side", [300, 512])
def test_a_large_warp_agrees_with_that_of_a_small_grid(shapes, side):
    a, b = shapes[:2]
    mesh = between(a, b)
    own, goal = mesh.points(a), mesh.points((a + b) / 2)
    full = mesh.sources(own, goal, side)
    assert full.shape == (side, side, 2) and full.dtype == np.float32
    off = np.abs(mesh.enlarged(mesh.sources(own, goal, 64), side) - full) / side
    assert off.mean() < 5e-4 and np.quantile(off, 0.999) < 0.01


# -------------------------------------------------------------------------------- which points


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf, 1.3, -0.4])
def test_points_far_outside_and_undefined_ones_are_not_used(texture, lost):
    points = grid()
    to = points + 0.02
    for axis, which in ((0, 3), (1, 11)):
        bad = to.copy()
        bad[which, axis] = lost
        for shapes in ([points, bad], [bad, points]):
            mesh = Triangulation(shapes)
            assert not mesh.used[which] and mesh.used.sum() == len(points) - 1
            assert len(mesh.points(points)) == mesh.used.sum() + 16
            without = np.delete(np.arange(len(points)), which)
            few = Triangulation([shape[without] for shape in shapes])
            expected = few.warp(texture, points[without], to[without])
            assert np.array_equal(mesh.warp(texture, points, bad), expected)


def test_points_that_fold_are_left_out_and_no_others():
    points = grid(count=5)
    to = points.copy()
    to[12] += 0.4, 0.02  # the middle one, beyond two of its neighbours
    mesh = Triangulation([points, to])
    assert mesh.used.tolist() == [k != 12 for k in range(25)]
    to[12] = points[12] + (0.05, 0.02)  # as far as a third of the way to the next one
    assert Triangulation([points, to]).used.all()


def test_every_triangle_keeps_its_orientation_in_all_shapes(shapes):
    everything = Triangulation(shapes)
    for shape in shapes:
        assert areas(everything, shape).min() > -1e-6
    for a in shapes:
        for b in shapes:
            mesh = between(a, b, -0.25, 1.25)
            assert mesh.used.sum() >= 60
            for t in np.linspace(-0.25, 1.25, 9):
                area = areas(mesh, a + t * (b - a))
                # Together they cover all that lies between the fixed points, once.
                assert area.min() > -1e-6 and area.sum() == pytest.approx(1.44)


def test_thrown_about_points_leave_no_turned_triangle():
    rng = np.random.default_rng(7)
    for count in (5, 40):
        shapes = [rng.uniform(0, 1, (count, 2)) for _ in range(3)]
        mesh = Triangulation(shapes)
        moving = (mesh.triangles >= 16).any(axis=1)
        assert all(areas(mesh, shape)[moving].min() > 0 for shape in shapes)


@pytest.mark.parametrize(
    "to",
    [
        np.full((20, 2), np.nan),
        np.full((20, 2), 0.5),  # all in one spot
        np.stack([np.linspace(0.1, 0.9, 20), np.full(20, 0.5)], -1),  # on one line
        np.random.default_rng(5).uniform(-1, 2, (20, 2)),
        np.random.default_rng(6).uniform(0, 1, (20, 2)),  # all thrown about: folds
        np.full((20, 2), np.inf),
    ],
)
def test_unclean_shapes_give_a_picture(texture, to):
    points = np.random.default_rng(4).uniform(0.1, 0.9, (20, 2))
    for start, end in ((points, to), (to, points), (to, to)):
        assert moved(texture, start, end).shape == texture.shape
        mesh = Triangulation([start, end])
        sources = mesh.sources(mesh.points(start), mesh.points(end), 128)
        assert np.isfinite(sources).all()
        # Hardly anything comes from beyond the fixed points: slivers may, at single pixels.
        beyond = (sources < -0.15 * 128) | (sources > 1.15 * 128)
        assert beyond.mean() < 0.01
    still = moved(texture, np.empty((0, 2)), np.empty((0, 2)))
    assert (still == texture).all()


# ---------------------------------------------------------------------------- between two shapes


def test_both_pictures_carry_their_points_to_the_same_places(shapes):
    """A dot on the same control point of A and of B comes to lie at S(t) in both."""
    a, b = shapes[:2]
    mesh, middle = between(a, b), 0.7 * a + 0.3 * b
    away = np.linalg.norm(a - b, axis=1)
    away[~mesh.used | ((a < 0.05) | (a > 0.95)).any(axis=1)] = 0
    for own in (a, b):  # a dot between lips that shut would be squeezed to one side
        gaps = np.linalg.norm(own[:, None] - own[None], axis=-1) + np.eye(len(own))
        away[gaps.min(axis=1) < 0.012] = 0
    for k in np.argsort(away)[-5:]:  # those with the longest way
        for own in (a, b):
            found = dot_in(mesh.warp(with_dot(own[k], 256), own, middle))
            assert math.hypot(*(found - middle[k])) * 128 < 1


def test_a_warped_face_has_the_landmarks_asked_for(crops, meshes):
    """Found again on the picture: nearer to S(1/2) than the faces' own ones."""
    shapes = [mesh[SHAPE_POINTS] for mesh in meshes[:2]]
    mesh, middle = between(*shapes), sum(shapes) / 2
    faces = [crop for crop in crops if find_shape(crop) is not None][:2]
    for picture, own in zip(faces, shapes, strict=True):
        again = find_shape(mesh.warp(picture, own, middle))
        assert again is not None
        off = np.abs(again[SHAPE_POINTS] - middle).mean()
        assert off < 0.6 * np.abs(own - middle).mean()


def test_the_fixed_points_lie_about_the_crop_and_stay(shapes):
    mesh = between(*shapes[:2])
    first, second = (mesh.points(shape)[:16] for shape in shapes[:2])
    assert np.array_equal(first, second)
    assert first.min() == pytest.approx(-0.1) and first.max() == pytest.approx(1.1)
    assert not ((first > 0) & (first < 1)).all(axis=1).any()


def test_a_morph_of_33_frames_is_warped_in_less_than_a_second(crops, shapes):
    a, b = shapes[:2]
    times = []
    for _ in range(3):
        start = time.process_time()
        mesh = between(a, b)
        for t in np.linspace(0, 1, 33):
            for crop, own in ((crops[0], a), (crops[1], b)):
                mesh.warp(crop, own, a + t * (b - a))
        times.append(time.process_time() - start)
    assert min(times) < 1.0
