"""Invertible 1x1 convolution (Kingma & Dhariwal 2018, Glow, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.bijection import Bijection
from models.layout import by_channels_matrix

__all__ = ["InvertibleConv", "lu_product", "mix_channels"]


class InvertibleConv(Bijection):
    r"""Mixes the channels of every pixel by one learned matrix, :math:`y_{ij} = W x_{ij}`.

    :math:`W = P L (U + \mathrm{diag}(\mathrm{sign}(s)\, e^{\log|s|}))` with a unit lower
    triangular L and a strictly upper triangular U (equation 10), so that
    :math:`\log|\det| = h w \sum \log|s|` costs nothing. The permutation P and the signs are
    buffers: they are discrete and do not learn. W starts as a random rotation.

    Args:
        channels: number of channels C of (N, C, H, W) inputs.
    """

    permutation: Tensor
    sign_s: Tensor
    lower: Tensor
    upper: Tensor
    log_abs_s: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lower = nn.Parameter(torch.zeros(channels, channels))
        self.upper = nn.Parameter(torch.zeros(channels, channels))
        self.log_abs_s = nn.Parameter(torch.zeros(channels))
        self.register_buffer("permutation", torch.eye(channels))
        self.register_buffer("sign_s", torch.ones(channels))
        self.set_weight(torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))[0])

    @torch.no_grad()
    def set_weight(self, weight: Tensor) -> None:
        """Take over an invertible matrix ``weight`` (C, C), by its LU decomposition in float64."""
        permutation, lower, upper = torch.linalg.lu(weight.double())
        s = upper.diagonal()
        self.permutation.copy_(permutation)
        self.sign_s.copy_(s.sign())
        self.log_abs_s.copy_(s.abs().log())
        self.lower.copy_(lower.tril(-1))
        self.upper.copy_(upper.triu(1))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Rotate onto the principal axes of the channels of ``x`` (N, C, H, W).

        The pixels of a squeezed patch are almost equal. On their principal axes they are
        uncorrelated, which the next actnorm turns into white: the flow starts out as the best
        Gaussian of its patches rather than having to learn that first.
        """
        values = x.double().transpose(0, 1).flatten(1)
        _, axes = torch.linalg.eigh(torch.cov(values))
        self.set_weight(axes.flip(1).T)

    def weight(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """W (C, C), assembled from its factors in ``dtype``."""
        factors = (self.permutation, self.lower, self.upper, self.sign_s, self.log_abs_s)
        return lu_product(*(factor.to(dtype) for factor in factors))

    def log_det(self, height: int, width: int) -> Tensor:
        """Scalar log-determinant of the map on images of ``height`` x ``width`` pixels."""
        return self.log_abs_s.sum() * (height * width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_det = self.log_det(*x.shape[2:]).to(x.dtype)
        return mix_channels(x, self.weight(x.dtype)), log_det.expand(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        # Inverted in float64: a float32 inverse would add its own error to every decoded image.
        return mix_channels(y, torch.linalg.inv(self.weight(torch.float64)).to(y.dtype))


def lu_product(
    permutation: Tensor, lower: Tensor, upper: Tensor, sign_s: Tensor, log_abs_s: Tensor
) -> Tensor:
    r"""W = P L (U + diag(s)), equation 10, for one matrix (C, C) or many (..., C, C) at once.

    Only the strict triangles of ``lower`` and ``upper`` count; ``sign_s`` and ``log_abs_s`` are
    (..., C).
    """
    unit = torch.diag_embed(torch.ones_like(log_abs_s))
    s = torch.diag_embed(sign_s * log_abs_s.exp())
    return permutation @ (lower.tril(-1) + unit) @ (upper.triu(1) + s)


def mix_channels(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 1x1 convolution: ``weight`` (C_out, C) and ``bias`` (C_out,) at each pixel of ``x``."""
    n, _, height, width = x.shape
    flat = by_channels_matrix(x)
    y = weight @ flat if bias is None else torch.addmm(bias.unsqueeze(1), weight, flat)
    return y.view(len(weight), n, height, width).transpose(0, 1)
