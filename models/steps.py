"""Steps of flow: one step, and the chain of steps of a level (Glow, figure 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from models.layers import ActNorm, AffineCoupling, Bijection, InvertibleConv, Mixing, fold
from models.ranges import clamp_channels
from models.reversible import ReversibleChain


class FlowStep(Bijection):
    """One step of flow: actnorm, invertible 1x1 convolution, affine coupling (Glow, figure 2a).

    Actnorm and convolution are computed as one :class:`~models.layers.Mixing`. Training, encoding
    and decoding all go through here; :class:`FlowSteps` folds the mixings of a level together and
    gives each step its own.

    Args:
        channels: number of channels C of (N, C, H, W) inputs.
        coupling: the coupling layer of this step.
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

        With ``principal_axes`` the 1x1 convolution starts on those of ``x``. A step that has been
        initialised or loaded is left alone.
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

    The mixings of all steps are folded together. In training that happens at each call;
    otherwise once, with the inverses, and the result is cached until a number that it was made of
    changes.

    Args:
        steps: the steps, in the order of the flow direction.

    Attributes:
        reversible: train in memory that does not grow with the number of steps, see
            :class:`~models.reversible.ReversibleChain`.
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
        return ReversibleChain.run(self, x, mixing, context)

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
        self,
        y: Tensor,
        within: tuple[Tensor, Tensor] | None = None,
        context: Tensor | None = None,
    ) -> Tensor:
        """Undo :meth:`forward`.

        Args:
            within: lowest and highest values of each channel of the state after each step,
                (N or 1, K, C) in the dtype of ``y``; states are clamped to them before a step is
                undone.
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
        """Initialise all steps from ``x`` and return the output; see :meth:`FlowStep.initialize`.

        With ``principal_axes`` the first 1x1 convolution starts on those of ``x``.
        """
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

        The numbers themselves are compared: addresses and version counters do not tell (``.data``,
        NumPy, and foreach operations on CUDA write without a trace). That takes 1 ms for faces64,
        making them 12.
        """
        now = torch.cat([t.detach().flatten() for step in self for t in step.mixing_sources()])
        if self._cache is not None:
            numbers, known_dtype, mixings = self._cache
            if known_dtype == dtype and numbers.device == now.device and torch.equal(numbers, now):
                return mixings
        mixings = self._mixing(dtype).inverted().unbind()
        self._cache = (now, dtype, mixings)
        return mixings
