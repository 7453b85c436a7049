"""Steps of flow (Glow, figure 2), chains of them, and backward without stored activations.

Of a chain that is trained reversibly only the output is stored. Going backwards, the input of each
step is recomputed from its output by the inverse (Gomez et al. 2017, RevNet), for a third more
computing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.layers import (
    ActNorm,
    AffineCoupling,
    Bijection,
    InvertibleConv,
    Mixing,
    channels_matrix,
    exact_float32,
    fold,
    halves,
    join_channels,
    mix_channels,
    shift_and_log_scale,
)
from models.ranges import clamp_channels


class FlowStep(Bijection):
    """One step of flow: actnorm, invertible 1x1 convolution, affine coupling (Glow, figure 2a).

    Actnorm and convolution are computed as one :class:`~models.layers.Mixing`. Training, encoding
    and decoding all go through here; :class:`FlowSteps` folds the mixings of a level together and
    gives each step its own.
    """

    def __init__(self, channels: int, coupling: AffineCoupling) -> None:
        super().__init__()
        self.actnorm = ActNorm(channels)
        self.conv = InvertibleConv(channels)
        self.coupling = coupling

    def forward(
        self, x: Tensor, mixing: Mixing | None = None, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return ``(y, log_det)``; a ``mixing`` that is not given is folded here."""
        if mixing is None:
            mixing = self._mixing(x.dtype)
        y, log_det = self.coupling(mixing.mix(x), not self._needs_gradients(), context)
        return y, log_det + mixing.log_det * (x.shape[2] * x.shape[3])

    def inverse(
        self,
        y: Tensor,
        mixing: Mixing | None = None,
        overwrite: bool = False,
        context: Tensor | None = None,
    ) -> Tensor:
        """Undo :meth:`forward`; without gradients it may ``overwrite`` ``y`` to save a copy."""
        if mixing is None:
            mixing = self._mixing(y.dtype).inverted()
        return mixing.unmix(self.coupling.inverse(y, overwrite, context))

    def initialize(
        self, x: Tensor, principal_axes: bool = False, context: Tensor | None = None
    ) -> Tensor:
        """Initialise from data ``x`` (N, C, H, W) and return the output for it.

        With ``principal_axes`` the 1x1 convolution starts on those of the normalised ``x``. A step
        that has been initialised or loaded is left alone.
        """
        fresh = not bool(self.actnorm.initialized)
        self.actnorm.initialize(x)
        if fresh and principal_axes:
            self.conv.initialize(self.actnorm(x)[0])
        return self(x, context=context)[0]

    def mixing_sources(self) -> tuple[Tensor, ...]:
        """Return the tensors that the mixing of this step is made of."""
        norm, conv = self.actnorm, self.conv
        lu = (conv.lower, conv.upper, conv.log_abs_s, conv.permutation, conv.sign_s)
        return norm.bias, norm.log_scale, *lu

    def _mixing(self, dtype: torch.dtype) -> Mixing:
        return fold([self.actnorm], [self.conv], dtype).unbind()[0]


class FlowSteps(Bijection, nn.ModuleList):
    """A chain of :class:`FlowStep` on inputs of one shape.

    The mixings of all steps are folded together: in training at each call, otherwise once, with
    the inverses, until a number that they are made of changes.

    Attributes:
        reversible: train by a :class:`ReversibleChain`, in memory that does not grow with the
            number of steps.
    """

    def __init__(self, steps: Iterable[FlowStep]) -> None:
        super().__init__(steps)
        self.reversible = False
        self._cache: tuple[Tensor, torch.dtype, list[Mixing]] | None = None

    def __iter__(self) -> Iterator[FlowStep]:
        return cast("Iterator[FlowStep]", super().__iter__())

    def forward(
        self,
        x: Tensor,
        watch: Callable[[Tensor], None] | None = None,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return ``(y, log_det)``; ``watch`` gets the state after each step, not to keep it."""
        if not self._needs_gradients():
            return self.run(x, self._cached_mixings(x.dtype), watch, context)
        mixing = self._mixing(x.dtype)
        if watch is not None or not (self.reversible and torch.is_grad_enabled()):
            return self.run(x, mixing.unbind(), watch, context)
        parameters = [p for step in self for p in step.coupling.parameters()]
        return ReversibleChain.apply(
            self, x, context, mixing.weight, mixing.bias, mixing.log_det, *parameters
        )  # type: ignore[return-value]

    def run(
        self,
        x: Tensor,
        mixings: Sequence[Mixing],
        watch: Callable[[Tensor], None] | None = None,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Apply one step after the other, each with its mixing: ``(y, log_det)``."""
        log_det = x.new_zeros(len(x))
        for step, mixing in zip(self, mixings, strict=True):
            x, step_log_det = step(x, mixing, context)
            log_det = log_det + step_log_det
            if watch is not None:
                watch(x)
        return x, log_det

    def inverse(
        self, y: Tensor, within: tuple[Tensor, Tensor] | None = None, context: Tensor | None = None
    ) -> Tensor:
        """Undo :meth:`forward`.

        Before a step is undone, the state is clamped to ``within``, lowest and highest values of
        each channel of the state after each step, (N or 1, K, C) in the dtype of ``y``.
        """
        gradients = self._needs_gradients()
        if gradients:
            mixings = self._mixing(y.dtype).inverted().unbind()
        else:
            mixings = self._cached_mixings(y.dtype)
        overwrite = False  # the first input is the caller's; what comes after it is ours
        for k, step in reversed(list(enumerate(self))):
            if within is not None:
                low, high = within
                y = clamp_channels(y, low[:, k], high[:, k], overwrite)
                overwrite = not gradients
            y = step.inverse(y, mixings[k], overwrite, context)
            overwrite = not gradients
        return y

    def initialize(
        self, x: Tensor, principal_axes: bool = True, context: Tensor | None = None
    ) -> Tensor:
        """Initialise all steps from ``x``, the first with ``principal_axes``: the output."""
        for i, step in enumerate(self):
            x = step.initialize(x, principal_axes and i == 0, context)
        return x

    def __getstate__(self) -> dict[str, Any]:
        # Tensors of inference mode cannot be copied: a copy makes its own.
        return {**self.__dict__, "_cache": None}

    def _mixing(self, dtype: torch.dtype) -> Mixing:
        return fold([step.actnorm for step in self], [step.conv for step in self], dtype)

    def _cached_mixings(self, dtype: torch.dtype) -> list[Mixing]:
        """Return mixings with inverses, made anew when a number they are made of has changed.

        The numbers themselves are compared, as ``.data``, NumPy, and foreach operations on CUDA
        change no version counter. That takes 1 ms for faces64, making the mixings 12.
        """
        now = torch.cat([t.detach().flatten() for step in self for t in step.mixing_sources()])
        if self._cache is not None:
            numbers, known_dtype, mixings = self._cache
            if known_dtype == dtype and numbers.device == now.device and torch.equal(numbers, now):
                return mixings
        mixings = self._mixing(dtype).inverted().unbind()
        self._cache = (now, dtype, mixings)
        return mixings


class ReversibleChain(torch.autograd.Function):
    """The steps of a level as one function, which stores its output alone for backward.

    The nets' parameters are inputs, so that DistributedDataParallel sees their gradients.
    """

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
                mixed, grad_y, grad_seen, grads = _undo_coupling(
                    ctx.steps[k].coupling, y, grad_y, grad_log_det, context
                )
                if grad_context is not None and grad_seen is not None:
                    grad_context += grad_seen
                grad_parameters[:0] = grads
                y = mixings[k].unmix(mixed)
                # mixed = W y + b at each pixel
                grad_flat = channels_matrix(grad_y)
                grad_weights[k] = grad_flat @ channels_matrix(y).T
                grad_biases[k] = grad_flat.sum(dim=1)
                grad_y = mix_channels(grad_y, mixings[k].weight.T)
        grad_mixing = (grad_weights, grad_biases, grad_log_dets)
        return None, grad_y, grad_context, *grad_mixing, *grad_parameters


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
        inputs = [t.detach().requires_grad_() for t in (y_a, context) if t is not None]
        shift, log_scale = shift_and_log_scale(coupling.net(*inputs), coupling.bound)
    scale = log_scale.detach().exp()
    x_b = y_b / scale - shift.detach()
    grad_x_b = grad_b * scale  # also that of the shift
    grad_log_scale = grad_b * y_b + grad_log_det.view(-1, 1, 1, 1)
    grads = torch.autograd.grad(
        (shift, log_scale), (*inputs, *coupling.parameters()), (grad_x_b, grad_log_scale)
    )
    grad_context = grads[1] if context is not None else None
    grad_x = join_channels(grad_a + grads[0], grad_x_b)
    return join_channels(y_a, x_b), grad_x, grad_context, grads[len(inputs) :]
