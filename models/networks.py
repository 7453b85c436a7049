"""The nets inside the flow: they may be anything, since nobody ever has to invert them.

Each maps (N, C_in, H, W) to (N, C_out, H, W) and ends in a convolution that starts at zero, so
that a new flow is the identity up to its actnorms and rotations (Glow, section 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.numerics import low_precision

__all__ = ["NETS", "ConvNet", "Net", "PointNet", "ResidualNet"]


class Net(nn.Module):
    """Base: bounds the input; runs the body in ``training_dtype`` while training, else float32.

    Far outside of what training pictures look like, a net's slope amplifies every rounding error
    of the flow until the inverse explodes (Behrmann et al. 2021). Inputs beyond
    ``input_bound`` deviations are cut off for the net, and for the net only: nothing is lost,
    since the flow itself carries them on, and even white noise comes back exactly.
    """

    training_dtype: torch.dtype | None = None
    input_bound: float = math.inf
    conv_in: nn.Conv2d

    def body(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        dtype = self.conv_in.weight.dtype
        x = x.to(dtype).clamp(-self.input_bound, self.input_bound)
        with low_precision(x.device, self.training_dtype if self.training else None):
            y = self.body(x)
        return y.to(dtype)


class ConvNet(Net):
    """The published net: 3x3 - ReLU - 1x1 - ReLU - 3x3 (Glow, section 5).

    Args:
        in_channels, width, out_channels: channels before, inside and after.
    """

    def __init__(self, in_channels: int, width: int, out_channels: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, width, 3, padding=1)
        self.conv_mid = nn.Conv2d(width, width, 1)
        self.conv_out = _zeroed(nn.Conv2d(width, out_channels, 3, padding=1))

    def body(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv_in(x))
        x = F.relu(self.conv_mid(x))
        return self.conv_out(x)


class PointNet(Net):
    """1x1 - sine - 1x1 - sine - 1x1: no neighbours, for points of the plane as 1x1 images.

    Sines of several frequencies (Sitzmann et al. 2020, SIREN) learn the fine detail of a function
    of one number far sooner than ReLUs, and draw no creases. Computed as matrix products:
    libraries take ten times as long for a convolution of a single pixel.

    Args:
        in_channels, width, out_channels: channels before, inside and after.
        frequency: the first convolution starts at this multiple of its usual size.
    """

    def __init__(
        self, in_channels: int, width: int, out_channels: int, frequency: float = 3.0
    ) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, width, 1)
        with torch.no_grad():
            self.conv_in.weight.mul_(frequency)
            self.conv_in.bias.mul_(frequency)
        self.conv_mid = nn.Conv2d(width, width, 1)
        self.conv_out = _zeroed(nn.Conv2d(width, out_channels, 1))

    def body(self, x: Tensor) -> Tensor:
        h = x.permute(0, 2, 3, 1)
        h = torch.sin(_pointwise(self.conv_in, h))
        h = torch.sin(_pointwise(self.conv_mid, h))
        return _pointwise(self.conv_out, h).permute(0, 3, 1, 2)


def _pointwise(conv: nn.Conv2d, h: Tensor) -> Tensor:
    """A 1x1 convolution of ``h`` (N, H, W, C) as a matrix product."""
    return F.linear(h, conv.weight.flatten(1), conv.bias)


class ResidualNet(Net):
    """3x3, then pre-activation residual blocks of two 3x3 (He et al. 2016), then 3x3.

    No normalisation inside: the blocks start as the identity, which keeps so shallow a net
    stable (Zhang et al. 2019, Fixup), and batch statistics have no place inside a bijection.
    A learned bias for each position tells the net where in the picture it is, worth a lot
    on faces that are all aligned alike.

    Args:
        in_channels, width, out_channels: channels before, inside and after.
        size: height and width of the inputs, fixed by the learned position.
        blocks: number of residual blocks, 0 or more.
        dropout: probability inside each block while training.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        out_channels: int,
        size: int,
        blocks: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, width, 3, padding=1)
        self.position = nn.Parameter(torch.zeros(1, width, size, size))
        self.blocks = nn.ModuleList(_ResidualBlock(width, dropout) for _ in range(blocks))
        self.conv_out = _zeroed(nn.Conv2d(width, out_channels, 3, padding=1))

    def body(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        x = x + self.position.to(x.dtype)
        for block in self.blocks:
            x = block(x)
        return self.conv_out(F.relu(x))


class _ResidualBlock(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = _zeroed(nn.Conv2d(width, width, 3, padding=1))
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.conv1(F.relu(x)))
        if self.dropout:
            h = F.dropout(h, self.dropout, self.training)
        return x + self.conv2(h)


def _zeroed(conv: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    return conv


def _conv(in_channels, width, out_channels, *, size, blocks, dropout) -> Net:
    return ConvNet(in_channels, width, out_channels)


def _point(in_channels, width, out_channels, *, size, blocks, dropout) -> Net:
    return PointNet(in_channels, width, out_channels)


def _residual(in_channels, width, out_channels, *, size, blocks, dropout) -> Net:
    return ResidualNet(in_channels, width, out_channels, size, blocks, dropout)


#: Coupling nets by the name a :class:`models.GlowConfig` gives them. Add a line to plug one in.
NETS: dict[str, Callable[..., Net]] = {"conv": _conv, "point": _point, "residual": _residual}
