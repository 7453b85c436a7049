"""Lesson 6: the path of a morph between two codes, and the shell that the prior fills."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from glow_app.editing import paths

_WIDTH = 3.0  # deviations of the norm that the shell is thick, either way
_SAMPLES = 512
_NO_LENGTH = 1e-9  # a vector shorter than this has no direction


@dataclass(frozen=True)
class PriorShell:
    """The shell around the origin, of radius about √D, that holds nearly all z ~ N(0, I_D)."""

    radius: float  # √D
    low: float  # three deviations of ‖z‖ (1/√2 each, whatever D) below its mean
    high: float  # three above it
    norms: np.ndarray  # (S,) float64, ‖z‖ of S samples

    def contains(self, norm: np.ndarray) -> np.ndarray:
        """Whether codes of these norms lie in the shell: bool of the same shape."""
        return (norm >= self.low) & (norm <= self.high)


@dataclass(frozen=True)
class PathView:
    """A path from z_a to z_b in the plane through the origin, z_a and z_b, which holds all of it:
    lengths and angles are the true ones."""

    kind: str  # one of `paths.PATHS`
    t: np.ndarray  # (T,) positions
    points: np.ndarray  # (T, 2) float64 coordinates of z_t in that plane
    a: np.ndarray  # (2,) those of z_a
    b: np.ndarray  # (2,) those of z_b
    norms: np.ndarray  # (T,) float64, ‖z_t‖
    inside: np.ndarray  # (T,) bool, whether z_t is inside the shell
    distance: float  # ‖Δ‖
    angle: float  # between z_a and z_b, in degrees


def shell(dims: int) -> PriorShell:
    """Return the shell of N(0, I) in ``dims`` dimensions, by the chi distribution of ‖z‖.

    Its mean is √(D − 1/2) and its deviation 1/√2, up to 1/D.
    """
    generator = torch.Generator().manual_seed(0)
    # One by one: all at once would be 50 MB for the sake of 512 numbers.
    norms = [
        float(torch.randn(dims, generator=generator).double().norm()) for _ in range(_SAMPLES)
    ]
    mean, half = math.sqrt(dims - 0.5), _WIDTH / math.sqrt(2)
    return PriorShell(math.sqrt(dims), mean - half, mean + half, np.array(norms))


def plane(z_a: Tensor, z_b: Tensor) -> Tensor:
    """Return orthonormal axes (2, D) float64 of the plane through the origin and two codes (D,).

    The first axis is that of Δ = z_b − z_a; the second points from the origin at the line through
    both. An axis that does not exist, as codes are equal or in line with the origin, is 0.
    """
    a, delta = z_a.double(), z_b.double() - z_a.double()
    along = _unit(delta)
    return torch.stack([along, _unit(a - (a @ along) * along)])


def project(z: Tensor, axes: Tensor) -> np.ndarray:
    """Return the coordinates (T, 2) of codes (T, D) in the plane of ``axes`` (2, D)."""
    return (z.double() @ axes.T).numpy()


def path_view(z_a: Tensor, z_b: Tensor, t: Tensor, kind: str, around: PriorShell) -> PathView:
    """Compute the path of `paths.path` from ``z_a`` to ``z_b`` (D,) at positions ``t`` (T,)."""
    axes = plane(z_a, z_b)
    z = paths.path(z_a, z_b, t, kind)
    norms = z.double().norm(dim=1).numpy()
    cosine = torch.nn.functional.cosine_similarity(z_a.double(), z_b.double(), dim=0)
    a, b = project(torch.stack([z_a, z_b]), axes)
    return PathView(
        kind=kind,
        t=t.numpy(),
        points=project(z, axes),
        a=a,
        b=b,
        norms=norms,
        inside=around.contains(norms),
        distance=float((z_b.double() - z_a.double()).norm()),
        angle=math.degrees(math.acos(max(-1.0, min(1.0, float(cosine))))),
    )


def _unit(v: Tensor) -> Tensor:
    length = v.norm()
    return v / length if length > _NO_LENGTH else torch.zeros_like(v)
