"""One step of flow: actnorm, invertible 1x1 convolution, affine coupling (Glow, figure 2a)."""

from __future__ import annotations

import torch
from torch import Tensor

from models.actnorm import ActNorm
from models.bijection import Bijection
from models.coupling import AffineCoupling
from models.invertible_conv import InvertibleConv, mix_channels

__all__ = ["FlowStep"]


class FlowStep(Bijection):
    r"""Actnorm, 1x1 convolution and coupling; without gradients the first two are folded into one.

    :math:`W((x + b) e^{s}) = (W\,\mathrm{diag}(e^{s}))\,x + W(b\,e^{s})`: one pass over the
    image instead of three. The fold is made once, in float64, for both directions; in training
    :class:`models.steps.FlowSteps` makes those of a whole level at each call.

    Args:
        channels: number of channels C of (N, C, H, W) inputs.
        coupling: the coupling layer of this step.
    """

    def __init__(self, channels: int, coupling: AffineCoupling) -> None:
        super().__init__()
        self.actnorm = ActNorm(channels)
        self.conv = InvertibleConv(channels)
        self.coupling = coupling
        self._folded: tuple[object, _Folded] | None = None

    def initialize(self, x: Tensor, principal_axes: bool = False) -> Tensor:
        """Initialise from data ``x`` (N, C, H, W), return where ``x`` goes.

        With ``principal_axes`` the 1x1 convolution starts on those of ``x``. Does nothing to a
        step that has been initialised or loaded.
        """
        fresh = not bool(self.actnorm.initialized)
        self.actnorm.initialize(x)
        y, _ = self.actnorm(x)
        if fresh and principal_axes:
            self.conv.initialize(y)
        y, _ = self.conv(y)
        y, _ = self.coupling(y)
        return y

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self._needs_gradients():
            y, actnorm_log_det = self.actnorm(x)
            y, conv_log_det = self.conv(y)
            y, coupling_log_det = self.coupling(y)
            return y, actnorm_log_det + conv_log_det + coupling_log_det
        fold = self._fold(x.dtype)
        y = mix_channels(x, fold.weight, fold.bias)
        log_det = self.coupling.forward_(y)
        per_pixel = self.actnorm.log_scale.sum() + self.conv.log_abs_s.sum()
        return y, log_det + per_pixel * (x.shape[2] * x.shape[3])

    def inverse(self, y: Tensor) -> Tensor:
        if self._needs_gradients():
            return self.actnorm.inverse(self.conv.inverse(self.coupling.inverse(y)))
        return self.inverse_(y.clone())

    def inverse_(self, y: Tensor) -> Tensor:
        """:meth:`inverse` without gradients, overwriting ``y``: no copy of it is made."""
        fold = self._fold(y.dtype)
        y = self.coupling.inverse_(y)
        return mix_channels(y, fold.inverse_weight, fold.inverse_bias)

    def _fold(self, dtype: torch.dtype) -> _Folded:
        """The folded convolutions in ``dtype``, made anew whenever a parameter has changed."""
        sources = (
            self.actnorm.bias,
            self.actnorm.log_scale,
            self.conv.lower,
            self.conv.upper,
            self.conv.log_abs_s,
            self.conv.permutation,
            self.conv.sign_s,
        )
        key = (dtype, *((p.data_ptr(), _version(p), p.device) for p in sources))
        if self._folded is None or self._folded[0] != key:
            self._folded = (key, _Folded(self.actnorm, self.conv, dtype))
        return self._folded[1]

    def train(self, mode: bool = True) -> FlowStep:
        self._folded = None
        return super().train(mode)

    def __getstate__(self) -> dict:
        # The fold belongs to this very object's tensors: a deepcopy makes its own.
        return {**self.__dict__, "_folded": None}


class _Folded:
    """Weights and biases of the two folded convolutions, rounded once from float64."""

    def __init__(self, actnorm: ActNorm, conv: InvertibleConv, dtype: torch.dtype) -> None:
        scale = actnorm.log_scale.double().exp()
        bias = actnorm.bias.double()
        matrix = conv.weight(torch.float64)
        folded = matrix * scale
        inverse = torch.linalg.inv(matrix) / scale[:, None]
        self.weight, self.bias = folded.to(dtype), (folded @ bias).to(dtype)
        self.inverse_weight, self.inverse_bias = inverse.to(dtype), (-bias).to(dtype)


def _version(p: Tensor) -> int:
    """How often ``p`` was written to; inference tensors, which cannot be, have no counter."""
    return -1 if p.is_inference() else p._version
