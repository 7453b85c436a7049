"""Landmarks of aligned faces, and pictures that take the shape of others."""

from __future__ import annotations

import itertools
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
def shapes(crops) -> list[np.ndarray]:
    found = [mesh for mesh in map(find_shape, crops) if mesh is not None]
    assert len(found) >= 7
    return [mesh[SHAPE_POINTS] for mesh in found]


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    """(128, 128, 3), different everywhere."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
    return np.asarray(coarse.resize((128, 128), Image.Resampling.BICUBIC))


def grid(count: int = 5) -> np.ndarray:
    """(count², 2)"""
    t = np.linspace(0.2, 0.8, count)
    return np.stack(np.meshgrid(t, t), -1).reshape(-1, 2)


def moved(picture: np.ndarray, shape: np.ndarray, target: np.ndarray, **how) -> np.ndarray:
    return Triangulation([shape, target]).warp(picture, shape, target, **how)


def areas(triangulation: Triangulation, shape: np.ndarray) -> np.ndarray:
    """Of each triangle, negative where it is turned inside out."""
    p, q, r = (triangulation.points(shape)[triangulation.triangles[:, k]] for k in range(3))
    (ax, ay), (bx, by) = (q - p).T, (r - p).T
    return (ax * by - ay * bx) / 2


# --------------------------------------------------------------------------------------- landmarks


def test_landmarks_lie_where_the_template_says_whatever_the_size_of_the_crop(faces, crops):
    found = [find_shape(crop) for crop in crops]
    assert [find_shape(small) is None for small in faces] == [mesh is None for mesh in found]
    for small, mesh in zip(faces, found, strict=True):
        if mesh is None:
            continue
        assert mesh.shape == (478, 2) and mesh.dtype == np.float32
        assert np.abs(mesh[list(IRISES)].mean(0) - (0.5, 0.29)).max() < 0.03
        x, y = mesh[list(MOUTH)].mean(0)
        assert abs(x - 0.5) < 0.05 and 0.59 < y < 0.83  # short faces and long ones
        assert ((mesh > -0.3) & (mesh < 1.3)).all()
        assert np.abs(mesh - find_shape(small)).mean() < 0.01
    with ThreadPoolExecutor(4) as pool:  # repeatable in any order and thread
        again = list(pool.map(find_shape, crops[::-1]))[::-1]
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


def test_no_landmarks_without_a_face_on_the_template(crops):
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    face = Image.fromarray(crops[0])
    others = [np.asarray(face.rotate(20, Image.Resampling.BICUBIC))]
    for at in ((0, 0), (128, 128), (64, 64)):  # the last in the middle, but half the size
        canvas = Image.new("RGB", (256, 256), (150, 155, 160))
        canvas.paste(face, at)
        others.append(np.asarray(canvas))
    for crop in (noise, np.full((16, 16, 3), 200, np.uint8), *others):
        assert find_shape(crop) is None
    for wrong in ((64, 32, 3), (64, 64), (64, 64, 4), (1, 64, 64, 3)):
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
    before = texture.copy()  # and what is warped stays as it was
    assert not np.array_equal(moved(texture, shapes[0], shapes[1]), before)
    assert np.array_equal(texture, before)
    # One point moves; beyond its triangles nothing does.
    t = (np.arange(6) + 0.5) / 6
    points = np.stack(np.meshgrid(t, t), -1).reshape(-1, 2)
    to = points.copy()
    to[7] += 0.03, -0.04  # of the second row
    warped = moved(texture, points, to)
    assert (warped[64:] == texture[64:]).all() and (warped[:, 64:] == texture[:, 64:]).all()
    assert np.abs(warped[:64, :64].astype(int) - texture[:64, :64]).max() > 10


@pytest.mark.parametrize(
    ("side", "dtype"), [(64, np.uint8), (128, np.int16), (256, np.float32), (400, np.float32)]
)
def test_an_affine_move_of_all_points_moves_a_smooth_picture_by_that(side, dtype):
    """A picture whose levels are its coordinates says where each pixel came from."""
    points = grid(count=7)
    affine = np.array([[1.05, 0.04], [-0.03, 0.96]])
    to = (points - 0.5) @ affine.T + 0.5 + (0.02, -0.01)
    middles = (np.arange(side) + 0.5) / side
    places = np.stack(np.meshgrid(middles, middles), -1)
    most = {np.uint8: 255, np.int16: 30000, np.float32: 200}[dtype]
    picture = (np.dstack([places, places[..., :1]]) * most).astype(dtype)
    warped = moved(picture, points, to)
    assert warped.dtype == dtype and warped.shape == picture.shape
    back = (places - 0.5 - (0.02, -0.01)) @ np.linalg.inv(affine).T + 0.5
    inside = ((places > 0.27) & (places < 0.73)).all(axis=-1)
    off = np.abs(warped[..., :2].astype(float) / most - back)[inside].max()
    assert off < (2 / most if dtype == np.uint8 else 0.001)


def test_levels_and_masks_keep_their_range():
    points = grid()
    picture = np.full((512, 512, 3), -7, np.int16)
    assert (moved(picture, points, points + 0.03) == -7).all()
    mask = np.zeros((256, 256), np.float32)
    mask[60:180, 80:200] = 1
    warped = moved(mask, points, points + 0.021, linear=True)
    assert warped.shape == mask.shape and warped.min() == 0 and warped.max() == 1
    assert np.abs(warped[70:170, 90:190] - 1).max() == 0


def test_every_pixel_comes_from_where_its_triangle_says(shapes):
    """Against barycentric coordinates; along the edges the drawn triangles are a little off."""
    (a, b), side = shapes[:2], 64
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
    for side in (300, 512):  # a large warp agrees with that of a small grid
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


def test_no_triangle_is_turned_in_any_shape(shapes):
    everything = Triangulation(shapes)
    for shape in shapes:
        assert areas(everything, shape).min() > -1e-6
    for a, b in itertools.pairwise(shapes):
        mesh = between(a, b, -0.25, 1.25)
        assert mesh.used.sum() >= 60
        for t in np.linspace(-0.25, 1.25, 9):
            area = areas(mesh, a + t * (b - a))
            # Together they cover all that lies between the fixed points, once.
            assert area.min() > -1e-6 and area.sum() == pytest.approx(1.44)
    first, second = (
        mesh.points(shape)[:16] for shape in (a, b)
    )  # about the crop, where they stay
    assert np.array_equal(first, second)
    assert first.min() == pytest.approx(-0.1) and first.max() == pytest.approx(1.1)
    assert not ((first > 0) & (first < 1)).all(axis=1).any()
    rng = np.random.default_rng(7)
    for count in (5, 40):  # thrown about
        thrown = [rng.uniform(0, 1, (count, 2)) for _ in range(3)]
        mesh = Triangulation(thrown)
        moving = (mesh.triangles >= 16).any(axis=1)
        assert all(areas(mesh, shape)[moving].min() > 0 for shape in thrown)
    # Points that fold are left out, and no others.
    points = grid()
    to = points.copy()
    to[12] += 0.4, 0.02  # the middle one, beyond two of its neighbours
    assert Triangulation([points, to]).used.tolist() == [k != 12 for k in range(25)]
    to[12] = points[12] + (0.05, 0.02)  # as far as a third of the way to the next one
    assert Triangulation([points, to]).used.all()


def test_unclean_shapes_give_a_picture(texture):
    points = np.random.default_rng(4).uniform(0.1, 0.9, (20, 2))
    for to in (
        np.full((20, 2), np.nan),
        np.full((20, 2), np.inf),
        np.full((20, 2), 0.5),  # all in one spot
        np.stack([np.linspace(0.1, 0.9, 20), np.full(20, 0.5)], -1),  # on one line
        np.random.default_rng(5).uniform(-1, 2, (20, 2)),
        np.random.default_rng(6).uniform(0, 1, (20, 2)),  # all thrown about: folds
    ):
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


def test_a_warped_face_has_the_landmarks_asked_for(crops, shapes):
    """Found again on the picture: nearer to S(1/2) than the faces' own ones."""
    mesh, middle = between(*shapes[:2]), sum(shapes[:2]) / 2
    faces = [crop for crop in crops if find_shape(crop) is not None][:2]
    for picture, own in zip(faces, shapes, strict=False):
        again = find_shape(mesh.warp(picture, own, middle))
        assert again is not None
        off = np.abs(again[SHAPE_POINTS] - middle).mean()
        assert off < 0.6 * np.abs(own - middle).mean()
