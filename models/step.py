"""One step of flow: actnorm, invertible 1x1 convolution, affine coupling (Glow, figure 2a)."""

from __future__ import annotations

import torch
from torch import Tensor

from models.actnorm import ActNorm
from models.bijection import Bijection
from models.coupling import AffineCoupling
from models.invertible_conv import InvertibleConv, mix_channels
from models.layout import by_channels_matrix
from models.mixing import Mixing, fold

__all__ = ["FlowStep"]


class FlowStep(Bijection):
    """A mixing of the channels, which is actnorm and 1x1 convolution in one, and a coupling.

    Training, encoding and decoding all compute a step here. :class:`models.steps.FlowSteps`,
    which runs the steps of a level, folds their mixings together and hands each step its own.
    ``context`` is what conditional couplings are given.

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
        """``(y, log_det)``; ``mixing`` is that of this step, folded here where it is not given."""
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
        """Undo :meth:`forward`; without gradients it may ``overwrite`` ``y``: no copy is made."""
        if mixing is None:
            mixing = self._mixing(y.dtype).inverted()
        return mixing.unmix(self.coupling.inverse(y, overwrite, context))

    def undo(
        self,
        y: Tensor,
        grad_y: Tensor,
        grad_log_det: Tensor,
        mixing: Mixing,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, tuple[Tensor, ...]]:
        """:meth:`inverse` and backward in one, for training without stored activations.

        Args:
            y: output of :meth:`forward`, (N, C, H, W), and its gradient ``grad_y``.
            grad_log_det: gradient of the other output, (N,).
            mixing: that of this step, with its inverse.

        Returns:
            The input x, its gradient, those of ``mixing.weight`` and ``mixing.bias``, that of
            the context if there is one, and those of ``self.coupling.parameters()``.
        """
        mixed, grad_mixed, grad_context, grad_parameters = self.coupling.undo(
            y, grad_y, grad_log_det, context
        )
        x = mixing.unmix(mixed)
        # mixed = W x + b at each pixel
        grad_flat = by_channels_matrix(grad_mixed)
        grad_weight = grad_flat @ by_channels_matrix(x).T
        grad_x = mix_channels(grad_mixed, mixing.weight.T)
        return x, grad_x, grad_weight, grad_flat.sum(dim=1), grad_context, grad_parameters

    def initialize(
        self, x: Tensor, principal_axes: bool = False, context: Tensor | None = None
    ) -> Tensor:
        """Initialise from data ``x`` (N, C, H, W), return where ``x`` goes.

        With ``principal_axes`` the 1x1 convolution starts on those of ``x``. Does nothing to a
        step that has been initialised or loaded.
        """
        fresh = not bool(self.actnorm.initialized)
        self.actnorm.initialize(x)
        if fresh and principal_axes:
            self.conv.initialize(self.actnorm(x)[0])
        return self(x, context=context)[0]

    def _mixing(self, dtype: torch.dtype) -> Mixing:
        return fold([self.actnorm], [self.conv], dtype).unbind()[0]
