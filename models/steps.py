"""The steps of flow of one level, run together: in training faster, or in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.bijection import Bijection
from models.mixing import Mixing, fold
from models.numerics import exact_float32
from models.state_range import hold
from models.step import FlowStep

__all__ = ["FlowSteps"]


class FlowSteps(Bijection, nn.ModuleList):
    """A chain of :class:`FlowStep` on inputs of one shape.

    Their mixings are folded together: in training at each call, else once, with the inverses,
    and kept beside a copy of the numbers they were made of, for as long as those are the same.
    ``context`` is what conditional couplings are given.

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
        self._kept: tuple[Tensor, torch.dtype, list[Mixing]] | None = None

    def forward(
        self,
        x: Tensor,
        watch: Callable[[Tensor], None] | None = None,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """``(y, log_det)``; ``watch`` is shown the state after each step, and must not keep it."""
        if not self._needs_gradients():
            return _run(self, x, self._kept_mixings(x.dtype), watch, context)
        mixing = self._mixing(x.dtype)
        if watch is not None or not (self.reversible and torch.is_grad_enabled()):
            return _run(self, x, mixing.unbind(), watch, context)
        parameters = [p for step in self for p in step.coupling.parameters()]
        return _Reversible.apply(
            list(self), x, context, mixing.weight, mixing.bias, mixing.log_det, *parameters
        )

    def inverse(
        self,
        y: Tensor,
        within: tuple[Tensor, Tensor] | None = None,
        context: Tensor | None = None,
    ) -> Tensor:
        """Undo :meth:`forward`.

        Args:
            within: lowest and highest values of each channel of the state after each step,
                (N or 1, K, C) in the dtype of ``y``; states are held there before a step is
                undone.
        """
        gradients = self._needs_gradients()
        mixings = (
            self._mixing(y.dtype).inverted().unbind() if gradients else self._kept_mixings(y.dtype)
        )
        overwrite = False  # the first input is the caller's; what comes after it is ours
        for k in reversed(range(len(self))):
            if within is not None:
                low, high = within
                y = hold(y, low[:, k], high[:, k], overwrite)
                overwrite = not gradients
            y = self[k].inverse(y, mixings[k], overwrite, context)
            overwrite = not gradients
        return y

    def __getstate__(self) -> dict:
        # Tensors of inference mode cannot be copied: a copy makes its own.
        return {**self.__dict__, "_kept": None}

    def _mixing(self, dtype: torch.dtype) -> Mixing:
        return fold([step.actnorm for step in self], [step.conv for step in self], dtype)

    def _kept_mixings(self, dtype: torch.dtype) -> list[Mixing]:
        """Mixings with inverses, made anew whenever a number they are made of has changed.

        The numbers themselves are compared: where tensors lie and how often PyTorch says that
        they were written to does not tell (``.data``, NumPy, and foreach operations on CUDA
        write without a trace). That takes 1 ms for faces64, making them 12.
        """
        now, kept = self._sources(), self._kept
        if (
            kept is None
            or kept[1] != dtype
            or kept[0].device != now.device
            or not torch.equal(kept[0], now)
        ):
            kept = (now, dtype, self._mixing(dtype).inverted().unbind())
            self._kept = kept
        return kept[2]

    def _sources(self) -> Tensor:
        """All numbers that the mixings are made of, in one tensor of its own."""
        return torch.cat([t.detach().flatten() for step in self for t in _sources(step)])


def _run(
    steps: Iterable[FlowStep],
    x: Tensor,
    mixings: Sequence[Mixing],
    watch: Callable[[Tensor], None] | None = None,
    context: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The chain in flow direction: ``(y, log_det)``."""
    log_det = x.new_zeros(len(x))
    for step, mixing in zip(steps, mixings, strict=True):
        x, step_log_det = step(x, mixing, context)
        log_det = log_det + step_log_det
        if watch is not None:
            watch(x)
    return x, log_det


class _Reversible(torch.autograd.Function):
    """The chain, keeping nothing but the output for backward.

    The nets' parameters are inputs, so that their gradients leave by the ordinary way and
    DistributedDataParallel sees them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        steps: Sequence[FlowStep],
        x: Tensor,
        context: Tensor | None,
        weights: Tensor,
        biases: Tensor,
        log_dets: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        mixing = Mixing(weights, biases, log_dets)
        y, log_det = _run(steps, x, mixing.unbind(), context=context)
        ctx.steps = steps
        ctx.save_for_backward(y, context, weights, biases, log_dets)
        return y, log_det

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, grad_log_det: Tensor) -> tuple[Tensor | None, ...]:
        y, context, weights, biases, log_dets = ctx.saved_tensors
        grad_weights, grad_biases = torch.empty_like(weights), torch.empty_like(biases)
        grad_log_dets = (grad_log_det.sum() * (y.shape[2] * y.shape[3])).expand_as(log_dets)
        grad_context = None if context is None else torch.zeros_like(context)
        grad_parameters: list[Tensor] = []
        with exact_float32(y.device):  # backward runs outside of the contexts of forward
            mixings = Mixing(weights, biases, log_dets).inverted().unbind()
            for k in reversed(range(len(mixings))):
                y, grad_y, grad_weights[k], grad_biases[k], grad_seen, grads = ctx.steps[k].undo(
                    y, grad_y, grad_log_det, mixings[k], context
                )
                if grad_context is not None:
                    grad_context += grad_seen
                grad_parameters[:0] = grads
        grad_mixing = (grad_weights, grad_biases, grad_log_dets)
        return None, grad_y, grad_context, *grad_mixing, *grad_parameters


def _sources(step: FlowStep) -> tuple[Tensor, ...]:
    """What the mixing of ``step`` is made of."""
    norm, conv = step.actnorm, step.conv
    lu = (conv.lower, conv.upper, conv.log_abs_s, conv.permutation, conv.sign_s)
    return norm.bias, norm.log_scale, *lu
