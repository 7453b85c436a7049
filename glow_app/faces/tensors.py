"""Pictures as arrays of pixels and as tensors of colour planes; levels are 0..255 in both."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["to_pictures", "to_tensor"]


def to_tensor(pictures: np.ndarray) -> Tensor:
    """(N, S, S, 3) uint8 array to a contiguous (N, 3, S, S) uint8 tensor on the CPU, a copy."""
    return torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())


def to_pictures(levels: Tensor) -> np.ndarray:
    """(N, 3, S, S) uint8 tensor on any device to a contiguous (N, S, S, 3) uint8 array."""
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())
