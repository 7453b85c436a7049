"""Points of the plane to learn from, and how the flow takes them: as 1x1 images of 2 channels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

__all__ = ["DATASETS", "SPAN", "Draw", "as_images", "as_points", "scattered"]

#: ``draw(n, generator)`` gives n points (n, 2) float32.
Draw = Callable[[int, Generator], Tensor]

SPAN = 2.5  # all data lie in the square [-SPAN, SPAN]²
_BLOB = 0.06  # deviation of the blob that a clicked point stands for


def as_images(points: Tensor) -> Tensor:
    """Points (N, 2) as :class:`models.Glow` takes them, (N, 2, 1, 1)."""
    return points.view(-1, 2, 1, 1)


def as_points(images: Tensor) -> Tensor:
    """The inverse of :func:`as_images`."""
    return images.reshape(-1, 2)


def _moons(n: int, generator: Generator) -> Tensor:
    """Two half circles that reach into each other."""
    angle = math.pi * torch.rand(n, generator=generator)
    upper = torch.rand(n, generator=generator) < 0.5
    x = torch.where(upper, angle.cos(), 1 - angle.cos()) - 0.5
    y = torch.where(upper, angle.sin(), 0.5 - angle.sin()) - 0.25
    return 1.3 * torch.stack([x, y], dim=1) + 0.08 * torch.randn(n, 2, generator=generator)


def _rings(n: int, generator: Generator) -> Tensor:
    """Two rings, one inside the other; the outer one holds more, being longer."""
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    inner = torch.rand(n, generator=generator) < 1 / 3
    radius = torch.where(inner, 0.8, 1.8) + 0.08 * torch.randn(n, generator=generator)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


def _checkerboard(n: int, generator: Generator) -> Tensor:
    """The eight black fields of a board of four by four."""
    column = torch.randint(0, 4, (n,), generator=generator)
    row = 2 * torch.randint(0, 2, (n,), generator=generator) + column % 2
    corner = torch.stack([column, row], dim=1) - 2
    return corner + torch.rand(n, 2, generator=generator)


#: Data sets by the name that the page and the script give them.
DATASETS: dict[str, Draw] = {"moons": _moons, "rings": _rings, "checkerboard": _checkerboard}


def scattered(points: Sequence[Sequence[float]]) -> Draw:
    """Draw from small blobs around given ``points`` (N, 2).

    A flow of unbounded patience would put an endless spike on each single point.

    Raises:
        ValueError: no points, or not pairs of finite numbers within ±SPAN; one sentence.
    """
    try:
        centres = torch.as_tensor(points, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        centres = torch.empty(0)
    if centres.ndim != 2 or centres.shape[1] != 2 or not len(centres):
        raise ValueError("Points are pairs of numbers, and at least one of them is needed.")
    if not bool((centres.abs() <= SPAN).all()):  # NaN fails, too
        raise ValueError(f"Points lie between −{SPAN} and {SPAN} on either axis.")

    def draw(n: int, generator: Generator) -> Tensor:
        chosen = torch.randint(0, len(centres), (n,), generator=generator)
        return centres[chosen] + _BLOB * torch.randn(n, 2, generator=generator)

    return draw
