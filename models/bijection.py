"""The one contract of every invertible layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Bijection"]


class Bijection(nn.Module):
    r"""An invertible map :math:`y = f(x)` between tensors of the same number of elements.

    ``forward`` is the flow direction and also returns the log-determinant of its Jacobian;
    ``inverse`` is the generation direction and undoes it. One parametrised test proves both for
    every subclass, against :func:`torch.linalg.slogdet` of the autograd Jacobian.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Map ``x`` (N, C, H, W) to ``(y, log_det)``.

        ``log_det`` has shape (N,) and holds the natural logarithm of
        :math:`|\det \partial y / \partial x|` of each example. Both results are float32 for a
        float32 ``x``, and float64 for a float64 one, which is how photos are encoded and decoded.
        """
        raise NotImplementedError

    def inverse(self, y: Tensor) -> Tensor:
        """Map ``y`` back: ``inverse(forward(x)[0]) == x`` up to float32 rounding."""
        raise NotImplementedError

    def _needs_gradients(self) -> bool:
        """Whether intermediates may be needed again: else they can be overwritten and cached."""
        return self.training or torch.is_grad_enabled()
