"""Affine coupling and the conditional prior of a split, which is the same map seen differently."""

from __future__ import annotations

import torch
from torch import Tensor

from models.bijection import Bijection
from models.layout import by_channels, join_channels
from models.networks import Net

__all__ = ["AffineCoupling", "SplitPrior", "bounded", "heads"]


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

    The Jacobian is triangular, so ``log_det`` is :math:`\sum s`. A conditional coupling has a net
    that takes features besides :math:`x_a` (Lugmayr et al. 2020, SRFlow); every method is given
    them as ``context``, (N, C', H, W).

    Args:
        net: maps ``channels // 2`` channels to ``2 * (channels - channels // 2)``.
        bound: largest absolute log-scale b.
    """

    def __init__(self, net: Net, bound: float = 2.0) -> None:
        super().__init__()
        self.net = net
        self.bound = bound

    def forward(
        self, x: Tensor, overwrite: bool = False, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """``(y, log_det)``; without gradients y may ``overwrite`` ``x``: no memory, no copy."""
        x_a, x_b = _halves(x)
        shift, log_scale = self._shift_and_log_scale(x_a, context)
        log_det = log_scale.sum(dim=(1, 2, 3), dtype=x.dtype)
        if overwrite:
            x_b.add_(shift).mul_(log_scale.exp_())
            return x, log_det
        return join_channels(x_a, (x_b + shift) * log_scale.exp()), log_det

    def inverse(self, y: Tensor, overwrite: bool = False, context: Tensor | None = None) -> Tensor:
        """Undo :meth:`forward`; without gradients x may ``overwrite`` ``y``."""
        y_a, y_b = _halves(y)
        shift, log_scale = self._shift_and_log_scale(y_a, context)
        # A division: exp(-s) would be rounded in another way than exp(s) was.
        if overwrite:
            y_b.div_(log_scale.exp_()).sub_(shift)
            return y
        return join_channels(y_a, y_b / log_scale.exp() - shift)

    def undo(
        self, y: Tensor, grad_y: Tensor, grad_log_det: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None, tuple[Tensor, ...]]:
        """Inverse and backward in one pass of the net, for training without stored activations.

        Args:
            y: output of :meth:`forward`, (N, C, H, W), and its gradient ``grad_y``.
            grad_log_det: gradient of the other output, (N,).

        Returns:
            The input x, its gradient, that of the context if there is one, and those of
            ``self.parameters()``.
        """
        y_a, y_b = _halves(y)
        grad_a, grad_b = _halves(grad_y)
        with torch.enable_grad():
            seen = [y_a.detach().requires_grad_()]
            if context is not None:
                seen.append(context.detach().requires_grad_())
            shift, log_scale = self._shift_and_log_scale(*seen)
        scale = log_scale.detach().exp()
        x_b = y_b / scale - shift.detach()
        grad_x_b = grad_b * scale  # also that of the shift
        grad_log_scale = grad_b * y_b + grad_log_det.view(-1, 1, 1, 1)
        grads = torch.autograd.grad(
            (shift, log_scale), (*seen, *self.parameters()), (grad_x_b, grad_log_scale)
        )
        grad_context = grads[1] if context is not None else None
        grad_x = join_channels(grad_a + grads[0], grad_x_b)
        return join_channels(y_a, x_b), grad_x, grad_context, grads[len(seen) :]

    def _shift_and_log_scale(
        self, x_a: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        shift, raw = heads(self.net(x_a, context))
        return shift, bounded(raw, self.bound)


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
        mean, log_std = self._mean_and_log_std(x_a)
        y_b = (x_b - mean) / log_std.exp()
        return join_channels(x_a, y_b), -log_std.sum(dim=(1, 2, 3), dtype=x.dtype)

    def inverse(self, y: Tensor) -> Tensor:
        y_a, y_b = _halves(y)
        mean, log_std = self._mean_and_log_std(y_a)
        return join_channels(y_a, y_b * log_std.exp() + mean)

    def _mean_and_log_std(self, x_a: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = heads(self.net(x_a))
        return mean, bounded(raw, self.bound)


def heads(said: Tensor) -> tuple[Tensor, Tensor]:
    """The two halves of the channels of what a net said.

    They stay float32 when the flow's state is float64: both directions take the same numbers,
    so that nothing is lost, and their tanh and exp take half the time.
    """
    first, second = by_channels(said).chunk(2, dim=1)
    return first, second


def _halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """First ``C // 2`` channels and the rest (views)."""
    half = x.shape[1] // 2
    return x[:, :half], x[:, half:]
