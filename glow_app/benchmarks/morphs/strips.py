"""One picture of what all ways make of a few pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ["strips"]

_TILE = 96  # pixels a side of a frame
_LABEL, _GAP = 190, 14  # pixels: left of the frames, and between pairs


def strips(frames: np.ndarray, names: Sequence[str]) -> Image.Image:
    """Frames in rows, a row a way, the ways of one pair below each other.

    Args:
        frames: (W, P, T, S, S, 3) uint8 of W ways, P pairs and T positions.
        names: of the W ways.

    Returns:
        Mode RGB.
    """
    ways, pairs, count = frames.shape[:3]
    block = ways * _TILE + _GAP
    page = Image.new("RGB", (_LABEL + count * _TILE, pairs * block - _GAP), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for w, name in enumerate(names):
        for p in range(pairs):
            top = p * block + w * _TILE
            draw.text((8, top + _TILE // 2), name, "black", font, anchor="lm")
            for k, frame in enumerate(frames[w, p]):
                tile = Image.fromarray(frame).resize((_TILE, _TILE), Image.Resampling.BICUBIC)
                page.paste(tile, (_LABEL + k * _TILE, top))
    return page
