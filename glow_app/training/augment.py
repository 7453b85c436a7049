"""Random variations of pictures, made on the device from originals larger than the model's.

A picture that is turned at the model's own size loses the fine grain that bits/dim measures most
of; turned at twice the size and reduced once, as uploads are, it keeps it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

__all__ = ["Augment"]

_DEGREES = 4.0  # all are bounds of uniform draws, to both sides
_SCALE = 0.04
_SHIFT = 0.02  # of the side
_EXPOSURE = 0.08
_WHITE_BALANCE = 0.03


class Augment:
    """Small rotation, scale, shift, exposure and white balance; then one Lanczos reduction.

    Args:
        source: side of the pictures that come in, in pixels.
        size: side of those that go out, at most ``source``.
        device: where it happens.
    """

    def __init__(self, source: int, size: int, device: torch.device) -> None:
        # Pillow's own filter, the one of uploads: the reduction of the unit pictures.
        unit = Image.fromarray(np.eye(source, dtype=np.float32))
        matrix = np.asarray(unit.resize((source, size), Image.Resampling.LANCZOS))
        self._reduce = torch.from_numpy(matrix.copy()).to(device)  # (size, source)

    @staticmethod
    def draws(n: int, generator: torch.Generator) -> Tensor:
        """Random numbers (n, 8) in -1..1 that decide the variations of ``n`` pictures."""
        return 2 * torch.rand(n, 8, generator=generator, device=generator.device) - 1

    @torch.no_grad()
    def __call__(self, levels: Tensor, draws: Tensor) -> Tensor:
        """uint8 (N, 3, source, source) to uint8 (N, 3, size, size), by :meth:`draws` (N, 8)."""
        turn, zoom, right, down, light, *colours = draws.to(levels.device).unbind(1)
        x = self._moved(levels.float(), turn, zoom, right, down)
        balance = 1 + _WHITE_BALANCE * torch.stack(colours, dim=1)
        gain = (1 + _EXPOSURE * light)[:, None] * balance
        return self.reduced(x * gain[:, :, None, None])

    def reduced(self, x: Tensor) -> Tensor:
        """float (N, 3, source, source) in 0..255 to uint8 (N, 3, size, size)."""
        smaller = self._reduce @ x @ self._reduce.T
        return smaller.round().clamp(0, 255).to(torch.uint8)

    def _moved(self, x: Tensor, turn: Tensor, zoom: Tensor, right: Tensor, down: Tensor) -> Tensor:
        angle, scale = math.radians(_DEGREES) * turn, 1 + _SCALE * zoom
        cos, sin = scale * angle.cos(), scale * angle.sin()
        shift = 2 * _SHIFT  # the picture spans -1 to 1
        rows = [
            torch.stack([cos, -sin, shift * right], 1),
            torch.stack([sin, cos, shift * down], 1),
        ]
        grid = F.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
        return F.grid_sample(
            x, grid, mode="bicubic", padding_mode="reflection", align_corners=False
        )
