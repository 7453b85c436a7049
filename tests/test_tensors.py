"""Pixels and colour planes hold the same levels in the same places."""

from __future__ import annotations

import numpy as np
import torch

from glow_app.faces.coding import to_pictures, to_tensor


def test_there_and_back():
    whole = np.random.default_rng(0).integers(0, 256, (9, 6, 6, 3), dtype=np.uint8)
    for pictures in (whole, whole[::-2, :, ::-1], whole[:0]):  # negative strides, no picture
        levels = to_tensor(pictures)
        assert levels.dtype == torch.uint8 and levels.is_contiguous()
        assert levels.shape == (len(pictures), 3, 6, 6)
        for channel in range(3):
            np.testing.assert_array_equal(levels[:, channel], pictures[..., channel])
        back = to_pictures(levels)
        np.testing.assert_array_equal(back, pictures)
        assert back.flags.c_contiguous


def test_a_tensor_is_a_copy():
    """Packed pictures are mapped from disk; a batch must not change with or write to them."""
    pictures = np.zeros((1, 4, 4, 3), np.uint8)
    to_tensor(pictures)[:] = 7
    assert not pictures.any()
