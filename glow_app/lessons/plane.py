"""Lesson 2: the two directions of one flow, looked at around one point."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from glow_app.lessons.points import as_images, as_points
from models import Glow

__all__ = ["Probe", "area", "grid_lines", "probe_x", "probe_z"]

_RING = 0.1  # radius of the small ring that shows how f stretches
_RING_POINTS = 64


@dataclass(frozen=True)
class Probe:
    """One point, sent there and back.

    Attributes:
        x, z: (2,) the point and its code, z = f(x).
        back: (2,) where the round trip ends: g(f(x)), or f(g(z)) if z was given.
        off: largest coordinate of the difference to where it began.
        log_prob: log p(x) in nats.
        log_det: log |det ∂f/∂x| at x.
        ring_x, ring_z: (M, 2) a small ring around x, and where f takes it.
        stretch: area inside ring_z over the area inside ring_x; nearly exp(log_det).
    """

    x: np.ndarray
    z: np.ndarray
    back: np.ndarray
    off: float
    log_prob: float
    log_det: float
    ring_x: np.ndarray
    ring_z: np.ndarray
    stretch: float


def probe_x(model: Glow, x: Tensor) -> Probe:
    """x → z → x: ``x`` (2,) in flow direction, and back in generation direction."""
    z = _f(model, x[None])[0]
    return _probe(model, x, z, back=_g(model, z[None])[0], start=x)


def probe_z(model: Glow, z: Tensor) -> Probe:
    """z → x → z: ``z`` (2,) in generation direction, and back in flow direction."""
    x = _g(model, z[None])[0]
    return _probe(model, x, z, back=_f(model, x[None])[0], start=z)


def area(ring: Tensor) -> float:
    """Area inside a closed polygon (M, 2), by the shoelace formula."""
    x, y = ring.double().unbind(dim=1)
    return 0.5 * abs(float((x * y.roll(-1) - x.roll(-1) * y).sum()))


def grid_lines(
    model: Glow, lines: int = 9, reach: float = 2.4, points: int = 97
) -> tuple[np.ndarray, np.ndarray]:
    """Lines of a square grid in z, and where g takes them: each (2 · lines, points, 2).

    What g does to the plane as a whole: it may bend and stretch, never tear or fold.
    """
    along = torch.linspace(-reach, reach, points)
    across = torch.linspace(-reach, reach, lines)
    upright = torch.stack(torch.meshgrid(across, along, indexing="ij"), dim=-1)
    z = torch.cat([upright, upright.flip(-1)])
    return z.numpy(), _g(model, z.view(-1, 2)).view(z.shape).numpy()


@torch.no_grad()
def _probe(model: Glow, x: Tensor, z: Tensor, back: Tensor, start: Tensor) -> Probe:
    angle = torch.arange(_RING_POINTS) * (2 * math.pi / _RING_POINTS)
    ring_x = x + _RING * torch.stack([angle.cos(), angle.sin()], dim=1)
    ring_z = _f(model, ring_x)
    _, log_det = model.f(as_images(x[None]))
    return Probe(
        x=x.numpy(),
        z=z.numpy(),
        back=back.numpy(),
        off=float((back - start).abs().max()),
        log_prob=float(model.log_prob(as_images(x[None]))),
        log_det=float(log_det),
        ring_x=ring_x.numpy(),
        ring_z=ring_z.numpy(),
        stretch=area(ring_z) / area(ring_x),
    )


@torch.no_grad()
def _f(model: Glow, points: Tensor) -> Tensor:
    return model.f(as_images(points))[0]


@torch.no_grad()
def _g(model: Glow, codes: Tensor) -> Tensor:
    return as_points(model.g(codes))
