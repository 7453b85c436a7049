"""Points between codes on the shell where codes of photos lie.

In D dimensions the length of z ~ N(0, I) is √D, give or take 0.7: codes lie on a thin shell. The
straight line between two of them cuts through its inside, where a picture looks as if sampled at
a low temperature, dim and soft. Here every point keeps the direction of the straight line, and
its length is put right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Shell", "between"]


@dataclass(frozen=True)
class Shell:
    """How long the codes of a path are.

    Attributes:
        dip: what the length half way is to the usual one; 1 is right on the shell.
        usual: lengths that codes usually have: one number, or one for each part of `sizes`. None
            for the mean of both ends.
        sizes: into which parts a code is cut, each with a length of its own; () is none.
    """

    dip: float = 1.0
    usual: tuple[float, ...] | None = None
    sizes: tuple[int, ...] = ()


def between(
    z_a: Tensor, z_b: Tensor, ts: Sequence[float] | Tensor, shell: Shell | None = None
) -> Tensor:
    """Points of many paths, z_t = r(t)·m / ‖m‖ with m = z_a + t·(z_b - z_a).

    r(t) = (1 - t)·‖z_a‖ + t·‖z_b‖ + 4t(1 - t)·(dip·usual - (‖z_a‖ + ‖z_b‖)/2): the ends' own
    lengths at the ends, dip·usual half way, a parabola in between.

    Args:
        z_a, z_b: (P, D).
        ts: (T,) in [0, 1], the same for all paths; or (P, T).
        shell: None leaves m as it is, the straight line.

    Returns:
        (P, T, D) of the dtype of `z_a`; the ends are exact at t = 0 and 1.
    """
    t = torch.as_tensor(ts, dtype=torch.float64, device=z_a.device)
    t = t.expand(len(z_a), -1)[..., None]
    sizes = list(shell.sizes) if shell is not None and shell.sizes else [z_a.shape[1]]
    usual = shell.usual if shell is not None and shell.usual is not None else [None] * len(sizes)
    parts = []
    for k, (a, b) in enumerate(zip(z_a.split(sizes, 1), z_b.split(sizes, 1), strict=True)):
        a, b = a.double()[:, None], b.double()[:, None]
        m = a + t * (b - a)
        if shell is not None:
            m = m * (_length(a, b, t, shell.dip, usual[k]) / m.norm(dim=-1, keepdim=True))
        parts.append(m)
    points = torch.cat(parts, dim=-1).to(z_a.dtype)
    points = torch.where(t == 0, z_a[:, None], points)
    return torch.where(t == 1, z_b[:, None], points)


def _length(a: Tensor, b: Tensor, t: Tensor, dip: float, usual: float | None) -> Tensor:
    at_a, at_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    half = (at_a + at_b) / 2
    middle = dip * (half if usual is None else usual)
    return (1 - t) * at_a + t * at_b + 4 * t * (1 - t) * (middle - half)
