"""Landmarks of aligned faces, and pictures that take the shape of others."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glow_app.faces import finder
from glow_app.faces.landmarks import SHAPE_POINTS, find_mesh
from glow_app.faces.opening import RESAMPLE
from glow_app.faces.warp import ShapePath, border_points, warp

pytestmark = pytest.mark.skipif(not finder.available(), reason="mediapipe is not installed")

IRISES, MOUTH = (468, 473), (61, 291)


@pytest.fixture(scope="module")
def crops(faces) -> np.ndarray:
    """(8, 128, 128, 3)"""
    return np.stack([np.asarray(Image.fromarray(f).resize((128, 128), RESAMPLE)) for f in faces])


@pytest.fixture(scope="module")
def meshes(crops) -> list[np.ndarray]:
    found = [find_mesh(crop) for crop in crops]
    assert sum(mesh is not None for mesh in found) >= 7
    return [mesh for mesh in found if mesh is not None]


@pytest.fixture
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
        mesh, same = find_mesh(small), find_mesh(crop)
        assert (mesh is None) == (same is None)
        if mesh is not None:
            assert np.abs(mesh - same).mean() < 0.01


def test_landmarks_are_repeatable_whatever_came_before(crops):
    first = [find_mesh(crop) for crop in crops]
    for mesh, again in zip(first[::-1], [find_mesh(crop) for crop in crops[::-1]], strict=True):
        assert np.array_equal(mesh, again)


def test_threads_get_what_one_gets(crops):
    alone = [find_mesh(crop) for crop in crops[:4]]
    found: list = [None] * 4

    def work(i: int) -> None:
        found[i] = find_mesh(crops[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for a, b in zip(alone, found, strict=True))


def test_no_landmarks_without_a_face():
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    for crop in (noise, np.zeros((64, 64, 3), np.uint8), np.full((16, 16, 3), 200, np.uint8)):
        assert find_mesh(crop) is None


def test_no_landmarks_for_a_face_off_the_template(crops, meshes):
    wide = Image.new("RGB", (256, 256), (150, 155, 160))
    for at in ((0, 0), (128, 128), (64, 64)):  # the last in the middle, but half the size
        canvas = wide.copy()
        canvas.paste(Image.fromarray(crops[0]), at)
        assert find_mesh(np.asarray(canvas)) is None
    turned = Image.fromarray(crops[0]).rotate(20, Image.Resampling.BICUBIC)
    assert find_mesh(np.asarray(turned)) is None


def test_no_landmarks_without_a_finder(crops, monkeypatch):
    monkeypatch.setattr(finder, "available", lambda: False)
    assert find_mesh(crops[0]) is None


@pytest.mark.parametrize("wrong", [(64, 32, 3), (64, 64), (64, 64, 4), (1, 64, 64, 3)])
def test_other_arrays_are_refused(wrong):
    with pytest.raises(ValueError, match="crop"):
        find_mesh(np.zeros(wrong, np.uint8))
    with pytest.raises(ValueError, match="crop"):
        warp(np.zeros(wrong, np.uint8), np.zeros((0, 2)), np.zeros((0, 2)))


# -------------------------------------------------------------------------------------- one warp


def test_a_warp_to_the_same_shape_is_the_picture_itself(texture, meshes):
    points = meshes[0][SHAPE_POINTS]
    still = warp(texture, points, points)
    assert (still == texture).all() and not np.shares_memory(still, texture)


def test_what_lies_among_points_that_stay_keeps_its_bits(texture):
    """One point moves; beyond its triangles nothing does."""
    t = (np.arange(6) + 0.5) / 6
    points = np.stack(np.meshgrid(t, t), -1).reshape(-1, 2)
    to = points.copy()
    to[7] += 0.03, -0.04  # of the second row
    moved = warp(texture, points, to)
    assert (moved[64:] == texture[64:]).all() and (moved[:, 64:] == texture[:, 64:]).all()
    assert np.abs(moved[:64, :64].astype(int) - texture[:64, :64]).max() > 10


@pytest.mark.parametrize("side", [64, 128, 256])
def test_a_dot_goes_where_it_is_sent(side):
    rng = np.random.default_rng(1)
    t = np.linspace(0.2, 0.8, 4)
    grid = np.stack(np.meshgrid(t, t), -1).reshape(-1, 2)
    for k in range(len(grid)):
        points, to = (grid + rng.uniform(-0.05, 0.05, grid.shape) for _ in range(2))
        found = dot_in(warp(with_dot(points[k], side), points, to))
        assert math.hypot(*(found - to[k])) * side < 1


def test_a_shift_of_all_points_shifts_the_picture_among_them(texture):
    t = np.linspace(0.2, 0.8, 7)
    points = np.stack(np.meshgrid(t, t), -1).reshape(-1, 2)
    moved = warp(texture, points, points + np.array([4 / 128, 0]))
    inside = moved[32:96, 36:100].astype(int) - texture[32:96, 32:96]
    assert np.abs(inside).max() <= 1


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
        moved = warp(texture, start, end)
        assert moved.shape == texture.shape
        # The border's own pixels hardly move, and nothing comes from outside.
        assert np.abs(moved[0].astype(int) - texture[0]).mean() < 25
    still = warp(texture, np.empty((0, 2)), np.empty((0, 2)))
    assert (still == texture).all()


# ---------------------------------------------------------------------------- between two shapes


def test_the_ends_are_the_pictures_themselves(crops, meshes):
    path = ShapePath(meshes[0], meshes[1])
    a, b = path.warp(crops[0], crops[1], [0.0, 1.0])
    assert (a[0] == crops[0]).all() and (b[1] == crops[1]).all()
    assert not (a[1] == crops[0]).all() and not (b[0] == crops[1]).all()
    mixed = path.dissolve(crops[0], crops[1], [0.0, 1.0])
    assert (mixed[0] == crops[0]).all() and (mixed[1] == crops[1]).all()


def test_many_at_once_are_what_each_is_alone(crops, meshes):
    path = ShapePath(meshes[0], meshes[1])
    ts = [0.7, 0.1, 0.5, 1.3, -0.2]
    a, b = path.warp(crops[0], crops[1], ts)
    mixed = path.dissolve(crops[0], crops[1], ts)
    for i, t in enumerate(ts):
        fresh = ShapePath(meshes[0], meshes[1])
        one_a, one_b = fresh.warp(crops[0], crops[1], [t])
        assert (one_a[0] == a[i]).all() and (one_b[0] == b[i]).all()
        assert (fresh.dissolve(crops[0], crops[1], [t])[0] == mixed[i]).all()


def test_both_pictures_carry_their_points_to_the_same_places(meshes):
    """A dot on the same control point of A and of B comes to lie at S(t) in both."""
    path = ShapePath(meshes[0], meshes[1])
    border = len(border_points())
    distance = np.linalg.norm(path.points_a - path.points_b, axis=1)
    for k in border + np.argsort(distance[border:])[-5:]:  # those with the longest way
        dots = (with_dot(points[k], 256) for points in (path.points_a, path.points_b))
        for picture in path.warp(*dots, [0.3]):
            expected = 0.7 * path.points_a[k] + 0.3 * path.points_b[k]
            assert math.hypot(*(dot_in(picture[0]) - expected)) * 128 < 1


def test_a_warped_face_has_the_landmarks_asked_for(crops, meshes):
    """Found again on the picture: nearer to S(1/2) than the faces' own ones."""
    path = ShapePath(meshes[0], meshes[1])
    a, b = path.warp(crops[0], crops[1], [0.5])
    middle = (meshes[0] + meshes[1])[SHAPE_POINTS] / 2
    for picture, own in ((a[0], meshes[0]), (b[0], meshes[1])):
        again = find_mesh(picture)
        assert again is not None
        off = np.abs(again[SHAPE_POINTS] - middle).mean()
        assert off < 0.6 * np.abs(own[SHAPE_POINTS] - middle).mean()


def test_triangles_are_the_same_and_upright_at_every_t(meshes):
    for a in meshes:
        for b in meshes:
            path = ShapePath(a, b)
            assert len(path.points_a) >= 60
            low, high = path.limits
            assert -1 <= low <= -0.25 and 1.25 <= high <= 2
            for t in np.linspace(low, high, 23):
                p, q, r = (path.shape(t)[path.triangles[:, k]] for k in range(3))
                (ax, ay), (bx, by) = (q - p).T, (r - p).T
                area = (ax * by - ay * bx) / 2
                assert area.min() > -1e-6 and area.sum() == pytest.approx(1)


@pytest.mark.parametrize("t", [-5.0, 7.0, math.inf, -math.inf, math.nan])
def test_shapes_far_beyond_are_held(crops, meshes, t):
    path = ShapePath(meshes[0], meshes[1])
    a, _ = path.warp(crops[0], crops[1], [t])
    held = path.limits[t > 0] if t == t else 0.0
    assert (a == path.warp(crops[0], crops[1], [held])[0]).all()


def test_the_border_stays(meshes, texture):
    path = ShapePath(meshes[0], meshes[1])
    for t in (-0.2, 0.5, 1.0):
        assert (path.shape(t)[: len(border_points())] == border_points()).all()
    (moved,), _ = path.warp(texture, texture, [1.0])
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        assert np.abs(moved[edge].astype(int) - texture[edge]).mean() < 8


def test_a_face_with_itself_does_not_move(crops, meshes):
    path = ShapePath(meshes[0], meshes[0])
    a, b = path.warp(crops[0], crops[1], [0.0, 0.4, 1.2])
    assert (a == crops[0]).all() and (b == crops[1]).all()


def test_shapes_of_different_numbers_of_points_are_refused(meshes):
    with pytest.raises(ValueError, match="shapes"):
        ShapePath(meshes[0], meshes[1][:400])


def test_a_morph_of_33_frames_is_warped_in_less_than_a_second(crops, meshes):
    times = []
    for _ in range(3):
        start = time.process_time()
        ShapePath(meshes[0], meshes[1]).warp(crops[0], crops[1], np.linspace(0, 1, 33))
        times.append(time.process_time() - start)
    assert min(times) < 1.0  # 0.2 s of one core where this was written


def test_importing_loads_neither_scipy_nor_opencv():
    code = (
        "import sys; from glow_app.faces import mesh, warp;"
        "assert not {'cv2', 'scipy', 'mediapipe'} & set(sys.modules)"
    )
    root = Path(__file__).resolve().parents[1]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
