"""Stand-ins for sharp photos: faces that the released model draws, enlarged and given grain, and
faces that are painted about given landmarks, whose every colour is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from glow_app.editing.editor import Editor
from glow_app.faces import landmarks, regions
from glow_app.faces.coding import Coding, code_and_reduce, resized
from glow_app.faces.face import Face
from glow_app.faces.landmarks import OUTLINE_POINTS

Colour = tuple[int, int, int]

_LOWER_LIP = (
    95, 88, 178, 87, 14, 317, 402, 318, 324,
    146, 91, 181, 84, 17, 314, 405, 321, 375,
)  # fmt: skip


def photo_of(face: np.ndarray, side: int, seed: int, turned: float = 6.0) -> Image.Image:
    """A face (S, S, 3) with ``side`` pixels, grain that no small copy of it can hold, and room
    about it, turned by some degrees."""
    big = Image.fromarray(face).resize((side, side), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(seed).normal(0, 6, (side, side, 1))
    sharp = (np.asarray(big, float) + grain).clip(0, 255).astype(np.uint8)
    room = side // 2
    wide = np.pad(sharp, ((room, room), (room, room), (0, 0)), mode="edge")
    return Image.fromarray(wide).rotate(turned, Image.Resampling.BICUBIC)


def _painted(
    skin: Colour,
    behind: Colour,
    *,
    scale: float = 1.0,
    mouth: float = 0.0,
    inside: np.ndarray | None = None,
    bar: Colour | None = None,
    side: int = 256,
) -> Face:
    """A face of one colour on a ground of another, for a model of 64 pixels.

    Args:
        scale: of the mean shape about the middle.
        mouth: how far the lips are apart, in fractions of the crop.
        inside: (side, side, 3) uint8, what is seen between them.
        bar: colour of a bar that covers the forehead.
    """
    shape = np.array(landmarks.mean_shape(), np.float64)
    shape[list(_LOWER_LIP), 1] += mouth
    shape = 0.5 + scale * (shape - 0.5)
    picture = np.full((side, side, 3), behind, np.uint8)
    cv2.fillPoly(picture, [np.round(shape[OUTLINE_POINTS] * side).astype(np.int32)], skin)
    if inside is not None:
        open_ = regions.inner_mouth_mask(shape, side) > 0.5
        picture[open_] = inside[open_]
    if bar is not None:
        picture[: round(0.17 * side)] = bar
    crop = resized(picture, 128)
    pixels = code_and_reduce(crop, 64, Coding())
    return Face(pixels, crop, full=picture, landmarks=shape)


@pytest.fixture(scope="session")
def painted() -> Callable[..., Face]:
    """Makes faces of flat colours; see `_painted`."""
    return _painted


@pytest.fixture(scope="session")
def photos_with_detail(released: Editor) -> list[Image.Image]:
    """Three photos, the squares of whose faces have about 300, 220 and 180 pixels a side."""
    drawn = [released.sampler.sample(1, temperature=0.6, seed=seed)[0] for seed in (3, 8, 6)]
    sides = (300, 220, 180)
    return [photo_of(face, side, side) for face, side in zip(drawn, sides, strict=True)]


@pytest.fixture(scope="session")
def portraits(released: Editor, photos_with_detail: list[Image.Image]) -> list[Face]:
    """The same, prepared."""
    return [released.prepare(photo) for photo in photos_with_detail]


@pytest.fixture(scope="session")
def examples(small: Editor) -> list[Face]:
    """Three of the faces that come with the program."""
    folder = Path(__file__).resolve().parents[1] / "glow_app" / "examples"
    return [small.prepare(folder / f"face_{number}.jpg") for number in (1, 5, 4)]
