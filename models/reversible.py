"""Backward without stored activations: memory does not grow with the number of steps.

Only the output of a chain of steps is stored. Going backwards, the input of each step is
recomputed from its output by the inverse (Gomez et al. 2017, RevNet; proposed for Glow by its
authors), for a third more computing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.layers import (
    AffineCoupling,
    Mixing,
    channels_matrix,
    exact_float32,
    halves,
    join_channels,
    mix_channels,
    shift_and_log_scale,
)

if TYPE_CHECKING:
    from models.steps import FlowStep, FlowSteps


class ReversibleChain(torch.autograd.Function):
    """The steps of a level as one function, which stores its output alone for backward.

    The nets' parameters are inputs, so that their gradients leave in the ordinary way and
    DistributedDataParallel sees them.
    """

    @staticmethod
    def run(
        steps: FlowSteps, x: Tensor, mixing: Mixing, context: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return ``(y, log_det)`` of ``steps`` with ``mixing``, all of theirs folded."""
        parameters = [p for step in steps for p in step.coupling.parameters()]
        return ReversibleChain.apply(
            steps, x, context, mixing.weight, mixing.bias, mixing.log_det, *parameters
        )  # type: ignore[return-value]

    @staticmethod
    def forward(
        ctx: Any,
        steps: FlowSteps,
        x: Tensor,
        context: Tensor | None,
        weights: Tensor,
        biases: Tensor,
        log_dets: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        mixing = Mixing(weights, biases, log_dets)
        y, log_det = steps.run(x, mixing.unbind(), context=context)
        ctx.steps = list(steps)
        ctx.save_for_backward(y, context, weights, biases, log_dets)
        return y, log_det

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        grad_y, grad_log_det = grad_outputs
        y, context, weights, biases, log_dets = ctx.saved_tensors
        grad_weights, grad_biases = torch.empty_like(weights), torch.empty_like(biases)
        grad_log_dets = (grad_log_det.sum() * (y.shape[2] * y.shape[3])).expand_as(log_dets)
        grad_context = None if context is None else torch.zeros_like(context)
        grad_parameters: list[Tensor] = []
        with exact_float32(y.device):  # backward runs outside of the contexts of forward
            mixings = Mixing(weights, biases, log_dets).inverted().unbind()
            for k in reversed(range(len(mixings))):
                y, grad_y, grad_weights[k], grad_biases[k], grad_seen, grads = _undo_step(
                    ctx.steps[k], y, grad_y, grad_log_det, mixings[k], context
                )
                if grad_context is not None and grad_seen is not None:
                    grad_context += grad_seen
                grad_parameters[:0] = grads
        grad_mixing = (grad_weights, grad_biases, grad_log_dets)
        return None, grad_y, grad_context, *grad_mixing, *grad_parameters


def _undo_step(
    step: FlowStep,
    y: Tensor,
    grad_y: Tensor,
    grad_log_det: Tensor,
    mixing: Mixing,
    context: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, tuple[Tensor, ...]]:
    """Compute inverse and backward of one step together.

    Args:
        y: output of the step, (N, C, H, W), and its gradient ``grad_y``.
        grad_log_det: gradient of the other output, (N,).
        mixing: that of the step, with its inverse.

    Returns:
        The input x, its gradient, those of ``mixing.weight`` and ``mixing.bias``, that of the
        context if there is one, and those of ``step.coupling.parameters()``.
    """
    mixed, grad_mixed, grad_context, grad_parameters = _undo_coupling(
        step.coupling, y, grad_y, grad_log_det, context
    )
    x = mixing.unmix(mixed)
    # mixed = W x + b at each pixel
    grad_flat = channels_matrix(grad_mixed)
    grad_weight = grad_flat @ channels_matrix(x).T
    grad_x = mix_channels(grad_mixed, mixing.weight.T)
    return x, grad_x, grad_weight, grad_flat.sum(dim=1), grad_context, grad_parameters


def _undo_coupling(
    coupling: AffineCoupling,
    y: Tensor,
    grad_y: Tensor,
    grad_log_det: Tensor,
    context: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor | None, tuple[Tensor, ...]]:
    """Compute inverse and backward of a coupling in one pass of its net.

    Returns:
        The input x, its gradient, that of the context if there is one, and those of
        ``coupling.parameters()``.
    """
    y_a, y_b = halves(y)
    grad_a, grad_b = halves(grad_y)
    with torch.enable_grad():
        seen = [y_a.detach().requires_grad_()]
        if context is not None:
            seen.append(context.detach().requires_grad_())
        shift, log_scale = shift_and_log_scale(coupling.net(*seen), coupling.bound)
    scale = log_scale.detach().exp()
    x_b = y_b / scale - shift.detach()
    grad_x_b = grad_b * scale  # also that of the shift
    grad_log_scale = grad_b * y_b + grad_log_det.view(-1, 1, 1, 1)
    grads = torch.autograd.grad(
        (shift, log_scale), (*seen, *coupling.parameters()), (grad_x_b, grad_log_scale)
    )
    grad_context = grads[1] if context is not None else None
    grad_x = join_channels(grad_a + grads[0], grad_x_b)
    return join_channels(y_a, x_b), grad_x, grad_context, grads[len(seen) :]
