"""Lesson 1: the density of x = g(z) for an increasing map g of the line."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.distributions import (
    AffineTransform,
    Distribution,
    Exponential,
    Normal,
    SigmoidTransform,
    TransformedDistribution,
    Uniform,
)

from glow_app.common.errors import UserError

_VIEW = 0.005  # the view leaves out this share of the samples at either open end
_TAIL = 1e-9  # and an integral "over everything" this one
_VIEW_CELLS = 240
_INTEGRAL_CELLS = 500
_NODE_SPACING, _NODE_REACH = 0.125, 3.0  # of the quadrature; reaches to 1e-13 from an edge
_SAMPLES = 6000
_BINS = 48


@dataclass(frozen=True)
class LineMap:
    """A map x = g(z) of the line and the inverse of its increasing branch."""

    formula: str  # g(z) for people
    g: Callable[[Tensor], Tensor]  # z to x, elementwise
    inverse: Callable[[Tensor], Tensor]  # x to z, elementwise


#: Maps by the name that the page and the script give them.
MAPS: dict[str, LineMap] = {
    "square": LineMap("z²", torch.square, torch.sqrt),
    "exp": LineMap("exp(z)", torch.exp, torch.log),
    "sinh": LineMap("sinh(z)", torch.sinh, torch.asinh),
    "softplus": LineMap(
        "softplus(z) = log(1 + exp(z))",
        lambda z: torch.logaddexp(z, torch.zeros_like(z)),
        lambda x: torch.log(torch.expm1(x)),
    ),
    "affine": LineMap("2z + 1", lambda z: 2 * z + 1, lambda x: (x - 1) / 2),
    "sine": LineMap("sin(z)", torch.sin, torch.asin),
}


def _base(kind: Callable[..., Distribution], *parameters: float) -> Distribution:
    numbers = (torch.tensor(p, dtype=torch.float64) for p in parameters)
    return kind(*numbers, validate_args=False)


def _logistic(scale: Tensor, validate_args: bool) -> Distribution:
    """Return the distribution of ``scale`` times the inverse sigmoid of a uniform number."""
    transforms = [SigmoidTransform().inv, AffineTransform(torch.zeros_like(scale), scale)]
    return TransformedDistribution(_base(Uniform, 0.0, 1.0), transforms, validate_args)


#: Base densities of z by name: words for people, and the distribution in float64.
BASES: dict[str, tuple[str, Distribution]] = {
    "uniform": ("uniform on (0, 2)", _base(Uniform, 0.0, 2.0)),
    "symmetric": ("uniform on (−1, 1)", _base(Uniform, -1.0, 1.0)),
    "normal": ("normal N(0, 1)", _base(Normal, 0.0, 1.0)),
    "exponential": ("exponential, rate 2", _base(Exponential, 2.0)),
    "logistic": ("logistic, scale ½", _base(_logistic, 0.5)),
}


def derivative(g: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """Return g′(z) of an elementwise map, found by autograd, in the shape of ``z``."""
    z = z.detach().requires_grad_()
    (slope,) = torch.autograd.grad(g(z).sum(), z)
    return slope


class ChangeOfVariables:
    r"""The density of x = g(z), where z has density p_z.

    .. math:: p_x(x) = p_z(g^{-1}(x)) \, |g'(g^{-1}(x))|^{-1}

    Args:
        base: a name in :data:`BASES`.
        line_map: a name in :data:`MAPS`.

    Raises:
        UserError: g is not increasing where z lives.
    """

    def __init__(self, base: str, line_map: str) -> None:
        self.base_name, self.base = BASES[base]
        self.map = MAPS[line_map]
        self._require_increasing()

    def p_z(self, z: Tensor) -> Tensor:
        """Return the density of z (any shape) inside its support."""
        return self.base.log_prob(z).exp()

    def p_x(self, x: Tensor) -> Tensor:
        """Return the density of x (any shape) inside the image of g, by the formula above."""
        z = self.map.inverse(x)
        return self.p_z(z) / derivative(self.map.g, z).abs()

    def quantiles(self, tail: float) -> tuple[float, float]:
        """Return where z leaves a share ``tail`` on either side, or the ends of its support."""
        if isinstance(self.base, Uniform):
            return float(self.base.low), float(self.base.high)
        low, high = self.base.icdf(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
        return 0.0 if isinstance(self.base, Exponential) else low, high

    def integral(self) -> float:
        """Return the integral of p_x over all x: 1 if the formula is right."""
        edges = torch.linspace(*self.quantiles(_TAIL), _INTEGRAL_CELLS + 1, dtype=torch.float64)
        return float(_integrals(self.p_x, self.map.g(edges)).sum())

    def _require_increasing(self) -> None:
        z = torch.linspace(*self.quantiles(1e-4), 4001, dtype=torch.float64)
        falls = derivative(self.map.g, z) < 0
        if not falls.any():
            return
        x = self.map.g(z)
        first = int(falls.nonzero()[0])
        # g turns where it begins or ceases to fall; one point to either side of it has one x.
        turn = first if first > 0 else int((~falls).nonzero()[0])
        left = max(0, turn - min(turn, len(z) - 1 - turn) // 2)
        right = turn + int((x[turn + 1 :] - x[left]).abs().argmin()) + 1
        raise UserError(
            f"x = {self.map.formula} turns round at z = {_short(z[turn])}: "
            f"z = {_short(z[left])} and z = {_short(z[right])} both go to "
            f"x = {_short(x[left])}, so x does not say which z it came from, and g has no inverse."
        )


@dataclass(frozen=True)
class DensityView:
    """The numbers of lesson 1 at the K + 1 edges of K cells; all arrays are float64."""

    base: str
    formula: str
    z: np.ndarray  # (K + 1,) the edges
    x: np.ndarray  # their images
    p_z: np.ndarray  # the density there
    p_x: np.ndarray  # likewise; may be infinite at an end
    slope: np.ndarray  # g′(z)
    mass_z: np.ndarray  # area to the left of each edge, found under p_z
    mass_x: np.ndarray  # the same, found under p_x
    histogram_z: np.ndarray  # (B,) density of samples in B equal bins over the view
    histogram_x: np.ndarray  # (B,) likewise
    samples: int
    integral: float  # of p_x over all x


def density_view(base: str, line_map: str) -> DensityView:
    """Compute what lesson 1 shows for a base density and a map, as `ChangeOfVariables`."""
    change = ChangeOfVariables(base, line_map)
    g = change.map.g
    z = torch.linspace(*change.quantiles(_VIEW), _VIEW_CELLS + 1, dtype=torch.float64)
    x = g(z)
    # The second integrates over x alone: that the two agree is the change of variables.
    areas = _integrals(change.p_z, z), _integrals(change.p_x, x)
    mass_z, mass_x = (torch.cat([a.new_zeros(1), a.cumsum(0)]).numpy() for a in areas)
    generator = torch.Generator().manual_seed(0)
    uniform = torch.rand(_SAMPLES, generator=generator, dtype=torch.float64)
    draws = change.base.icdf(uniform.clamp(_TAIL, 1 - _TAIL))
    # The edges of a support belong to it: look just inside of them.
    inside = z.clamp(z[0] + 1e-12, z[-1] - 1e-12)
    return DensityView(
        base=change.base_name,
        formula=change.map.formula,
        z=z.numpy(),
        x=x.numpy(),
        p_z=change.p_z(inside).numpy(),
        p_x=change.p_x(g(inside)).numpy(),
        slope=derivative(g, z).numpy(),
        mass_z=mass_z,
        mass_x=mass_x,
        histogram_z=_histogram(draws, z),
        histogram_x=_histogram(g(draws), x),
        samples=_SAMPLES,
        integral=change.integral(),
    )


def _integrals(p: Callable[[Tensor], Tensor], edges: Tensor) -> Tensor:
    """Return the integrals (K,) of ``p`` over the cells between ``edges`` (K + 1,).

    Tanh-sinh quadrature (Takahasi & Mori 1974), which crowds its nodes towards the edges without
    ever looking at one: a density may be infinite there (1/(4√x) at 0).
    """
    t = torch.arange(-_NODE_REACH, _NODE_REACH + 1e-9, _NODE_SPACING, dtype=torch.float64)
    inner = math.pi / 2 * torch.sinh(t)
    nodes = torch.tanh(inner)
    weights = _NODE_SPACING * math.pi / 2 * torch.cosh(t) / torch.cosh(inner).square()
    middle, half = (edges[1:] + edges[:-1]) / 2, edges.diff() / 2
    return (p(middle[:, None] + half[:, None] * nodes) * weights).sum(dim=1) * half


def _histogram(draws: Tensor, edges: Tensor) -> np.ndarray:
    """Return the density (B,) of ``draws`` over the range of ``edges``; some draws lie outside."""
    low, high = float(edges[0]), float(edges[-1])
    counts = torch.histc(draws, _BINS, low, high)
    return (counts / (len(draws) * (high - low) / _BINS)).numpy()


def _short(value: Tensor) -> str:
    rounded = round(float(value), 2)
    return f"{0.0 if math.isclose(rounded, 0.0, abs_tol=5e-3) else rounded:g}".replace("-", "−")
