"""Paths of latent codes, z ~ N(0, I) under the model (`models.Glow.f`): pure functions.

Every path passes *exactly* through the codes it was given, so that a morph starts on photo A and
ends on photo B to the byte. Arguments are not checked: `MorphOptions` and the `Editor` do that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

Path = Literal["linear", "spherical"]
JourneyPath = Literal["cubic", "linear", "spherical"]
PATHS: tuple[str, ...] = get_args(Path)
JOURNEYS: tuple[str, ...] = get_args(JourneyPath)
T_RANGE: tuple[float, float] = (-0.5, 1.5)  # beyond, codes hardly decode to faces

# Below this angle to (anti)parallel (radians) 1/sin blows up and slerp has no direction to take.
_MIN_SIN = 1e-6


def path(z_a: Tensor, z_b: Tensor, t: Tensor | Sequence[float], kind: str = "linear") -> Tensor:
    """Return points of one path from `z_a` (t = 0) to `z_b` (t = 1): (T, D) as `z_a`.

    - `"linear"`: z_t = z_a + t·(z_b - z_a). In high dimension two independent codes are nearly
      orthogonal, so ‖z_t‖ dips to about 1/√2 of its ends half way: the middle looks as if sampled
      at a lower temperature.
    - `"spherical"`: the direction turns at constant speed along the great circle (slerp:
      Shoemake 1985, "Animating rotation with quaternion curves"; for latent codes White 2016,
      arXiv:1609.04468) and the norm goes linearly from ‖z_a‖ to ‖z_b‖, so it never dips.
      Parallel, antiparallel and zero codes have no great circle of their own: linear is used.

    Args:
        z_a, z_b: (D,) codes of A and B.
        t: (T,) positions; 0 and 1 give `z_a` and `z_b` bit for bit, others may extrapolate.
        kind: one of `PATHS`.
    """
    times = torch.as_tensor(t, dtype=torch.float64, device=z_a.device).reshape(-1, 1)
    # float64: near-equal codes and long rows would lose digits of Δ and of the angle in float32.
    a, b = z_a.double(), z_b.to(z_a).double()
    points = (_linear if kind == "linear" else _spherical)(a, b, times)
    # Rounding leaves a + 1·(b - a) a last bit away from b; the ends are promised exactly.
    points = torch.where(times == 0, z_a, points.to(z_a.dtype))
    return torch.where(times == 1, z_b.to(z_a), points)


def journey(
    zs: Tensor | Sequence[Tensor],
    u: Tensor | Sequence[float],
    kind: str = "cubic",
    loop: bool = False,
) -> Tensor:
    """Return points of a journey A → B → C …, (T, D); at whole numbers `u` they are the codes.

    - `"linear"`, `"spherical"`: one `path` a leg, which turns sharply at each code.
    - `"cubic"`: a Catmull-Rom spline (Catmull & Rom 1974): the velocity at each code is half the
      way from the code before to the one after, so it goes through without a turn. An open
      journey leaves its first code and reaches its last one straight; a loop is periodic. Codes of
      photos lie about equally far apart, so the uniform spline has no reason to overshoot.

    Args:
        zs: (K, D) or K codes (D,), K ≥ 2.
        u: (T,) positions in legs: k is code k, k + 0.5 is half way to the next one. From 0 to
            K - 1, for a loop to K, which is code 0 again; a straight or spherical open one goes
            on beyond its ends.
        kind: one of `JOURNEYS`.
        loop: after the last code go back to the first.
    """
    keys = torch.stack(list(zs))
    legs = len(keys) if loop else len(keys) - 1
    places = torch.as_tensor(u, dtype=torch.float64).reshape(-1)
    leg = places.floor().long().clamp(0, legs - 1)
    along = places - leg
    if kind == "cubic":
        points = _cubic(keys.double(), leg, along, loop).to(keys.dtype)
    else:
        points = keys.new_empty(len(places), keys.shape[1])
        for k in leg.unique().tolist():
            here = leg == k
            points[here] = path(keys[k], keys[(k + 1) % len(keys)], along[here], kind)
    exact = places == places.round()
    points[exact] = keys[places[exact].long() % len(keys)]
    return points


def even_positions(
    t: np.ndarray, changes: np.ndarray, count: int, stops: Sequence[float] = ()
) -> np.ndarray:
    """Return positions at which a path changes by equal amounts: (count,) float64 from t[0] to
    t[-1], both exact.

    The change is interpolated linearly between the positions at which it was measured. The parts
    between stops share the steps in proportion to their change, rounded to whole steps, and
    within each part steps are equal.

    Args:
        t: (T,) increasing positions, T ≥ 2.
        changes: (T-1,) how much changes from each position to the next, ≥ 0.
        count: how many positions are wanted; at least one step for each part.
        stops: positions between t[0] and t[-1] that must be among the result, exactly.
    """
    way = np.concatenate([[0.0], np.cumsum(changes, dtype=np.float64)])
    if not way[-1] > 0:
        way = t - t[0]
    corners = np.unique([t[0], *stops, t[-1]])
    marks = np.interp(corners, t, way)
    parts = []
    for k, steps in enumerate(_apportioned(count - 1, np.diff(marks))):
        wanted = np.linspace(marks[k], marks[k + 1], steps + 1)
        part = np.interp(wanted, way, t)[:-1]
        part[0] = corners[k]
        parts.append(part)
    return np.concatenate([*parts, corners[-1:]])


def mix(
    levels_a: Sequence[Tensor], levels_b: Sequence[Tensor], weights: Sequence[float]
) -> list[Tensor]:
    """Mix the levels of two codes: z_l = z_a,l + w_l·(z_b,l - z_a,l), where w_l = 0 gives A's and
    1 B's bit for bit."""
    mixed = []
    for a, b, w in zip(levels_a, levels_b, weights, strict=True):
        between = _linear(a.double(), b.double(), w).to(a.dtype)
        mixed.append(a if w == 0 else b if w == 1 else between)
    return mixed


def coarse_fine(levels: int, cut: int) -> tuple[float, ...]:
    """Return weights for `mix`: the `cut` finest of `levels` of B on the coarser ones of A."""
    return (1.0,) * cut + (0.0,) * (levels - cut)


def near(z: Tensor, noise: Tensor, radius: float) -> Tensor:
    """Return a neighbour of `z`: z' = √(1 - r²)·z + r·noise.

    For z and noise ~ N(0, I), z' ~ N(0, I) as well, whatever r in [0, 1] is, so a neighbour is as
    likely a face as z itself (the autoregressive proposal of preconditioned Crank-Nicolson: Cotter
    et al. 2013, arXiv:1202.0709). The correlation of z' with z is √(1 - r²).
    """
    return math.sqrt(1 - radius**2) * z + radius * noise


def _apportioned(steps: int, shares: np.ndarray) -> list[int]:
    """Share out `steps` in whole numbers ≥ 1, in proportion to `shares` (largest remainder)."""
    if steps < len(shares):
        raise ValueError(f"{len(shares)} parts need at least {len(shares)} steps, not {steps}")
    exact = shares / shares.sum() * (steps - len(shares))
    whole = np.floor(exact).astype(int)
    largest = np.argsort(whole - exact, kind="stable")[: steps - len(shares) - whole.sum()]
    whole[largest] += 1
    return (whole + 1).tolist()


def _linear(a: Tensor | float, b: Tensor, t: Tensor | float) -> Tensor:
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


def _cubic(keys: Tensor, leg: Tensor, s: Tensor, loop: bool) -> Tensor:
    """Catmull-Rom between keys[leg] and the next one at s in [0, 1]; keys (K, D) float64."""
    if loop:  # what a spline needs at either end: keys across the seam, or mirror images
        padded = torch.cat([keys[-1:], keys, keys[:2]])
    else:
        padded = torch.cat([2 * keys[:1] - keys[1:2], keys, 2 * keys[-1:] - keys[-2:-1]])
    basis = torch.stack(
        [-s + 2 * s**2 - s**3, 2 - 5 * s**2 + 3 * s**3, s + 4 * s**2 - 3 * s**3, s**3 - s**2],
        dim=1,
    )
    weights = torch.zeros(len(s), len(padded), dtype=torch.float64)
    weights = weights.scatter_(1, leg[:, None] + torch.arange(4), basis / 2).to(keys.device)
    return weights @ padded
