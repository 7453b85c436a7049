"""The steps of flow of one level, run together: in training faster, or in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.bijection import Bijection
from models.coupling import AffineCoupling
from models.invertible_conv import lu_product, mix_channels
from models.layout import by_channels_matrix
from models.numerics import exact_float32
from models.step import FlowStep

__all__ = ["FlowSteps"]


class FlowSteps(Bijection, nn.ModuleList):
    """A chain of :class:`FlowStep` on inputs of one shape.

    In training the K small matrices W = P L U of the chain are assembled in one batch, rather
    than in K times a dozen tiny operations.

    Args:
        steps: the steps, in the order of the flow direction.

    Attributes:
        reversible: in training, store nothing but the output and recompute each step's input
            from it by the inverse while going backwards (Gomez et al. 2017, RevNet; proposed
            for Glow by its authors). Memory no longer grows with K, for a third more computing.
    """

    def __init__(self, steps: Iterable[FlowStep]) -> None:
        super().__init__(steps)
        self.reversible = False
        self.record = None
        self.held = None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if not self._needs_gradients():
            log_det = x.new_zeros(len(x))
            for step in self:
                x, step_log_det = step(x)
                if self.record is not None:
                    self.record.append((x.amin((2, 3)).float(), x.amax((2, 3)).float()))
                log_det = log_det + step_log_det
            return x, log_det
        weights, biases, per_pixel = self._mixings(x.dtype)
        if self.reversible and torch.is_grad_enabled():
            couplings = [step.coupling for step in self]
            parameters = [p for coupling in couplings for p in coupling.parameters()]
            y, log_det = _Reversible.apply(couplings, x, weights, biases, *parameters)
        else:
            y, log_det = x, x.new_zeros(len(x))
            for step, weight, bias in zip(self, weights.unbind(), biases.unbind(), strict=True):
                y, step_log_det = step.coupling(mix_channels(y, weight, bias))
                log_det = log_det + step_log_det
        return y, log_det + per_pixel * (x.shape[2] * x.shape[3])

    def inverse(self, y: Tensor) -> Tensor:
        for i, step in enumerate(reversed(self)):
            # What a step returns is ours to overwrite; the first input is the caller's.
            if self.held is not None:
                lo, hi = self.held[len(self) - 1 - i]
                y = torch.minimum(torch.maximum(y, lo), hi)
            y = step.inverse_(y) if i and not self._needs_gradients() else step.inverse(y)
        return y

    def _mixings(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Actnorm and 1x1 convolution folded: W (K, C, C), b (K, C), log_det of a pixel (1,)."""

        def stacked(tensors: Iterable[Tensor]) -> Tensor:
            return torch.stack(list(tensors)).to(dtype)

        convs, norms = [step.conv for step in self], [step.actnorm for step in self]
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
        return weights, biases, log_scale.sum() + log_abs_s.sum()


class _Reversible(torch.autograd.Function):
    """K times 1x1 convolution and coupling, keeping nothing but the output for backward.

    The nets' parameters are inputs, so that their gradients leave by the ordinary way and
    DistributedDataParallel sees them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        couplings: Sequence[AffineCoupling],
        x: Tensor,
        weights: Tensor,
        biases: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        log_det = x.new_zeros(len(x))
        for coupling, weight, bias in zip(couplings, weights, biases, strict=True):
            x, coupling_log_det = coupling(mix_channels(x, weight, bias))
            log_det += coupling_log_det
        ctx.couplings = couplings
        ctx.save_for_backward(x, weights, biases)
        return x, log_det

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, grad_log_det: Tensor) -> tuple[Tensor | None, ...]:
        y, weights, biases = ctx.saved_tensors
        grad_weights, grad_biases = torch.empty_like(weights), torch.empty_like(biases)
        grad_parameters: list[Tensor] = []
        with exact_float32(y.device):  # backward runs outside of the contexts of forward
            inverses = torch.linalg.inv(weights.double()).to(y.dtype)
            for k in reversed(range(len(ctx.couplings))):
                coupling = ctx.couplings[k]
                mixed, grad_mixed, grads = coupling.undo(y, grad_y, grad_log_det)
                grad_parameters[:0] = grads
                y = mix_channels(mixed, inverses[k], -(inverses[k] @ biases[k]))
                # mixed = W y + b at each pixel
                grad_flat = by_channels_matrix(grad_mixed)
                grad_biases[k] = grad_flat.sum(dim=1)
                grad_weights[k] = grad_flat @ by_channels_matrix(y).T
                grad_y = mix_channels(grad_mixed, weights[k].T)
        return None, grad_y, grad_weights, grad_biases, *grad_parameters
