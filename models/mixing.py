"""Actnorm and 1x1 convolution folded into one: a matrix and a shift at each pixel."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.actnorm import ActNorm
from models.invertible_conv import InvertibleConv, lu_product, mix_channels

__all__ = ["Mixing", "fold"]


@dataclass(frozen=True)
class Mixing:
    r""":math:`y = W x + b` at each pixel, and the way back, :math:`x = W^{-1} y - W^{-1} b`.

    Attributes:
        weight: W, (C, C). Of a chain of K steps all attributes have a leading dimension K.
        bias: b, (C,).
        log_det: (), :math:`\log|\det W|`, for one pixel.
        inverse_weight: :math:`W^{-1}`, or None where nobody has asked for it.
        inverse_bias: :math:`-W^{-1} b`, likewise.
    """

    weight: Tensor
    bias: Tensor
    log_det: Tensor
    inverse_weight: Tensor | None = None
    inverse_bias: Tensor | None = None

    def mix(self, x: Tensor) -> Tensor:
        """``x`` (N, C, H, W) to y, in memory of its own."""
        return mix_channels(x, self.weight, self.bias)

    def unmix(self, y: Tensor) -> Tensor:
        """The inverse of :meth:`mix`; only after :meth:`inverted`."""
        assert self.inverse_weight is not None
        return mix_channels(y, self.inverse_weight, self.inverse_bias)

    def inverted(self) -> Mixing:
        """The same with its inverse, made in float64: a float32 one would add its own error."""
        inverse = torch.linalg.inv(self.weight.double())
        shift = -(inverse @ self.bias.double().unsqueeze(-1)).squeeze(-1)
        dtype = self.weight.dtype
        return dataclasses.replace(
            self, inverse_weight=inverse.to(dtype), inverse_bias=shift.to(dtype)
        )

    def unbind(self) -> list[Mixing]:
        """Those of a chain one by one."""
        tensors = [getattr(self, f.name) for f in dataclasses.fields(self)]
        each = [[None] * len(self.weight) if t is None else t.unbind() for t in tensors]
        return [Mixing(*parts) for parts in zip(*each, strict=True)]


def fold(norms: Sequence[ActNorm], convs: Sequence[InvertibleConv], dtype: torch.dtype) -> Mixing:
    r"""Fold K actnorms and the 1x1 convolutions behind them, in ``dtype``.

    :math:`W((x + b) e^{s}) = (W\,\mathrm{diag}(e^{s}))\,x + W e^{s} b`: one pass over the image
    instead of three. The K small matrices W = P L U are assembled in one batch, rather than in
    K times a dozen tiny operations.
    """

    def stacked(tensors: Iterable[Tensor]) -> Tensor:
        return torch.stack(list(tensors)).to(dtype)

    log_abs_s = stacked(c.log_abs_s for c in convs)
    log_scale = stacked(n.log_scale for n in norms)
    weights = lu_product(
        stacked(c.permutation for c in convs),
        stacked(c.lower for c in convs),
        stacked(c.upper for c in convs),
        stacked(c.sign_s for c in convs),
        log_abs_s,
    )
    weights = weights * log_scale.exp().unsqueeze(1)
    biases = (weights @ stacked(n.bias for n in norms).unsqueeze(2)).squeeze(2)
    return Mixing(weights, biases, (log_scale + log_abs_s).sum(dim=1))
