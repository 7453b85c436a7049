"""Paths between latent codes: pure functions on z, no model, no pictures.

A code is one row of whitened numbers, z ~ N(0, I) under the model (`models.Glow.f`). Every path
here starts and ends *exactly* on the codes it was given, so that a morph starts on photo A and
ends on photo B to the byte.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

__all__ = ["PATHS", "journey_times", "path", "polyline"]

PATHS: tuple[str, ...] = ("linear", "spherical")

# Below this angle to (anti)parallel (radians) 1/sin blows up and slerp has no direction to take.
_MIN_SIN = 1e-6


def path(z_a: Tensor, z_b: Tensor, t: Tensor | Sequence[float], kind: str = "linear") -> Tensor:
    """Points of one path from `z_a` (t = 0) to `z_b` (t = 1).

    - `"linear"`: z_t = z_a + t·Δ with Δ = z_b - z_a. In high dimension two independent codes are
      nearly orthogonal, so ‖z_t‖ dips to about 1/√2 of its ends half way: the middle looks as if
      sampled at a lower temperature.
    - `"spherical"`: the direction turns at constant speed along the great circle (slerp:
      Shoemake 1985, "Animating rotation with quaternion curves"; for latent codes White 2016,
      arXiv:1609.04468) and the norm goes linearly from ‖z_a‖ to ‖z_b‖, so it never dips.
      Parallel, antiparallel and zero codes have no great circle of their own: linear is used.

    Args:
        z_a: (D,) code of A.
        z_b: (D,) code of B.
        t: (T,) positions; 0 and 1 give `z_a` and `z_b` bit for bit, other finite values are
            allowed and extrapolate.
        kind: one of `PATHS`.

    Returns:
        (T, D) codes in the dtype and on the device of `z_a`.

    Raises:
        ValueError: unknown kind, codes that are not two equal rows, or a t that is not finite.
    """
    if kind not in PATHS:
        raise ValueError(f"unknown path {kind!r}: choose one of {', '.join(PATHS)}")
    if z_a.ndim != 1 or z_a.shape != z_b.shape:
        raise ValueError(
            f"a path needs two codes of one shape (D,), not {tuple(z_a.shape)} "
            f"and {tuple(z_b.shape)}"
        )
    times = torch.as_tensor(t, dtype=torch.float64, device=z_a.device).reshape(-1, 1)
    if not times.isfinite().all():
        raise ValueError("t must be finite")
    # float64: near-equal codes and long rows would lose digits of Δ and of the angle in float32.
    a, b = z_a.double(), z_b.to(z_a).double()
    points = (_spherical if kind == "spherical" else _linear)(a, b, times).to(z_a.dtype)
    # Rounding leaves a + 1·(b - a) a last bit away from b; the ends are promised exactly.
    points = torch.where(times == 0, z_a, points)
    return torch.where(times == 1, z_b.to(z_a), points)


def polyline(
    zs: Tensor | Sequence[Tensor], frames: int = 33, kind: str = "linear", loop: bool = False
) -> Tensor:
    """A journey A → B → C …: one `path` a leg, every key code hit exactly and only once.

    Args:
        zs: (K, D) or K codes (D,), K ≥ 2.
        frames: frames a leg, both its ends included, ≥ 2; neighbouring legs share their joint.
        kind: one of `PATHS`.
        loop: add a leg from the last code back to A and leave out the second A at the end, so
            that playing the result round and round repeats no frame.

    Returns:
        (T, D) with T = (K-1)·(frames-1) + 1, or K·(frames-1) for a loop. Key code k is row
        k·(frames-1).

    Raises:
        ValueError: fewer than two codes, fewer than two frames, or what `path` refuses.
    """
    keys = list(zs)
    if len(keys) < 2:
        raise ValueError("a journey needs at least two codes")
    if frames < 2:
        raise ValueError("a journey needs at least two frames a leg: its two ends")
    stops = [*keys, keys[0]] if loop else keys
    t = torch.linspace(0, 1, frames, dtype=torch.float64)
    legs = [path(a, b, t[:-1], kind) for a, b in pairwise(stops)]
    if not loop:
        legs.append(keys[-1][None])
    return torch.cat(legs)


def journey_times(keys: int, frames: int = 33, loop: bool = False) -> Tensor:
    """(T,) float32 share of the whole journey, from 0, of each row that `polyline` returns.

    An open journey ends on 1; a loop stops one step before, where A would come again.
    """
    steps = (keys if loop else keys - 1) * (frames - 1)
    return torch.arange(steps if loop else steps + 1, dtype=torch.float32) / steps


def _linear(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    return a + t * (b - a)


def _spherical(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    norm_a, norm_b = a.norm(), b.norm()
    if norm_a == 0 or norm_b == 0:
        return _linear(a, b, t)
    u, v = a / norm_a, b / norm_b
    # atan2 keeps its digits at every angle; acos(u·v) loses half of them near 0 and π.
    angle = 2 * torch.atan2((u - v).norm(), (u + v).norm())
    if not math.isfinite(angle) or torch.sin(angle) < _MIN_SIN:
        return _linear(a, b, t)
    direction = (torch.sin((1 - t) * angle) * u + torch.sin(t * angle) * v) / torch.sin(angle)
    # An extrapolated norm must not turn negative and flip the direction.
    return _linear(norm_a, norm_b, t).clamp(min=0) * direction
