"""Affine coupling and the conditional prior of a split, which is the same map seen differently."""

from __future__ import annotations

import torch
from torch import Tensor

from models.bijection import Bijection
from models.networks import Net

__all__ = ["AffineCoupling", "SplitPrior", "bounded"]


def bounded(raw: Tensor, bound: float) -> Tensor:
    """``bound * tanh(raw / bound)``: the identity near zero, and always within ±``bound``.

    Log-scales need both bounds: a scale near 0 on the way in is a division by nearly 0 on the
    way out (Behrmann et al. 2021, exploding inverses).
    """
    return bound * torch.tanh(raw / bound)


class AffineCoupling(Bijection):
    r"""Half of the channels sets shift and scale of the other half (Dinh et al. 2017, RealNVP).

    With :math:`(x_a, x_b)` the two halves and :math:`(t, r) = \mathrm{net}(x_a)`:

    .. math:: y_a = x_a, \qquad y_b = (x_b + t)\, e^{s}, \qquad s = b \tanh(r / b)

    The Jacobian is triangular, so ``log_det`` is :math:`\sum s`.

    Args:
        net: maps ``channels // 2`` channels to ``2 * (channels - channels // 2)``.
        bound: largest absolute log-scale b.
    """

    def __init__(self, net: Net, bound: float = 2.0) -> None:
        super().__init__()
        self.net = net
        self.bound = bound

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x_a, x_b = _halves(x)
        shift, log_scale = _shift_and_log_scale(self.net, x_a, self.bound)
        y_b = (x_b + shift) * log_scale.exp()
        return torch.cat([x_a, y_b], dim=1), log_scale.sum(dim=(1, 2, 3))

    def inverse(self, y: Tensor) -> Tensor:
        y_a, y_b = _halves(y)
        shift, log_scale = _shift_and_log_scale(self.net, y_a, self.bound)
        return torch.cat([y_a, y_b * (-log_scale).exp() - shift], dim=1)


class SplitPrior(Bijection):
    r"""Whitens the half of the channels that leaves the flow, given the half that stays.

    The conditional prior :math:`p(x_b | x_a) = N(\mu(x_a), \sigma(x_a)^2)` (Glow, section 3.4 and
    openai/glow's ``split2d_prior``), written as the bijection to the code that people edit:

    .. math:: y_a = x_a, \qquad y_b = (x_b - \mu(x_a)) / \sigma(x_a)

    so that :math:`y_b \sim N(0, I)` whatever :math:`x_a` is. Interpolating :math:`x_b` itself
    would ignore that its prior moves along the path.

    Args:
        net: maps ``channels // 2`` channels to ``2 * (channels - channels // 2)``.
        bound: largest absolute log-deviation.
    """

    def __init__(self, net: Net, bound: float = 3.0) -> None:
        super().__init__()
        self.net = net
        self.bound = bound

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x_a, x_b = _halves(x)
        mean, log_std = _shift_and_log_scale(self.net, x_a, self.bound)
        y_b = (x_b - mean) * (-log_std).exp()
        return torch.cat([x_a, y_b], dim=1), -log_std.sum(dim=(1, 2, 3))

    def inverse(self, y: Tensor) -> Tensor:
        y_a, y_b = _halves(y)
        mean, log_std = _shift_and_log_scale(self.net, y_a, self.bound)
        return torch.cat([y_a, y_b * log_std.exp() + mean], dim=1)


def _shift_and_log_scale(net: Net, x_a: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """What ``net`` makes of the half that stays: a shift and a bounded log-scale, in its dtype."""
    shift, raw = net(x_a).to(x_a.dtype).chunk(2, dim=1)
    return shift, bounded(raw, bound)


def _halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """First ``C // 2`` channels and the rest (views)."""
    half = x.shape[1] // 2
    return x[:, :half], x[:, half:]
