"""Activation normalisation (Kingma & Dhariwal 2018, Glow, section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.bijection import Bijection

__all__ = ["ActNorm"]

_SMALLEST_STD = 1e-4  # a channel that is constant over the first batch must not get scale 1/0


class ActNorm(Bijection):
    r"""A learned shift and scale for each channel: :math:`y = (x + b) \cdot e^{s}`.

    ``log_det`` is :math:`h w \sum_c s_c`. Until :meth:`initialize` has seen data, or trained
    weights are loaded, the map is the identity; ``forward`` never changes its own parameters, so
    it may be compiled, wrapped by DistributedDataParallel and called in any order.

    Args:
        channels: number of channels C of (N, C, H, W) inputs.
    """

    bias: Tensor
    log_scale: Tensor
    initialized: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))
        # A buffer, not an attribute: weights that were loaded must never be initialised again.
        self.register_buffer("initialized", torch.tensor(False))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Set shift and scale so that ``x`` leaves with mean 0 and variance 1 per channel.

        Does nothing the second time. The estimate is as good as the batch is large: use at
        least 256 images.
        """
        if bool(self.initialized):
            return
        mean = x.double().mean(dim=(0, 2, 3))
        std = x.double().std(dim=(0, 2, 3), unbiased=False).clamp_min(_SMALLEST_STD)
        self.bias.copy_(-mean)
        self.log_scale.copy_(-std.log())
        self.initialized.fill_(True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_scale = self.log_scale.to(x.dtype)
        y = (x + self.bias.view(1, -1, 1, 1)) * log_scale.exp().view(1, -1, 1, 1)
        log_det = log_scale.sum() * (x.shape[2] * x.shape[3])
        return y, log_det.expand(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        scale = (-self.log_scale.to(y.dtype)).exp()
        return y * scale.view(1, -1, 1, 1) - self.bias.view(1, -1, 1, 1)
