"""Stand-ins for sharp photos: faces that the released model draws, enlarged and given grain."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from glow_app.editing.editor import Editor
from glow_app.faces.face import Face

__all__ = ["photo_of", "photos_with_detail", "portraits"]


def photo_of(face: np.ndarray, side: int, seed: int, turned: float = 6.0) -> Image.Image:
    """A face (S, S, 3) with ``side`` pixels, grain that no small copy of it can hold, and room
    about it, turned by some degrees."""
    big = Image.fromarray(face).resize((side, side), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(seed).normal(0, 6, (side, side, 1))
    sharp = (np.asarray(big, float) + grain).clip(0, 255).astype(np.uint8)
    room = side // 2
    wide = np.pad(sharp, ((room, room), (room, room), (0, 0)), mode="edge")
    return Image.fromarray(wide).rotate(turned, Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def photos_with_detail(released: Editor) -> list[Image.Image]:
    """Three photos, the squares of whose faces have about 300, 220 and 180 pixels a side."""
    drawn = [released.sample(1, temperature=0.6, seed=seed)[0] for seed in (3, 8, 6)]
    sides = (300, 220, 180)
    return [photo_of(face, side, side) for face, side in zip(drawn, sides, strict=True)]


@pytest.fixture(scope="session")
def portraits(released: Editor, photos_with_detail: list[Image.Image]) -> list[Face]:
    """The same, prepared."""
    return [released.prepare(photo) for photo in photos_with_detail]
