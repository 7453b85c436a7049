"""The nets inside couplings and priors. They are never inverted, so any net will do.

Each maps (N, C_in, H, W) to (N, C_out, H, W) and ends in a convolution that starts at zero, so
that a new flow is the identity up to its actnorms and rotations (Glow, section 3.3). Outputs of
convolutions are changed in place, since backward needs their inputs only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ATTENTION_UP_TO = 16  # pixels a side; above, convolutions give more for their time
_HEADS = 4
_FREQUENCY = 3.0  # of a `PointNet`: its first convolution starts at so many times its usual size


class Net(nn.Module):
    """Base class: clamps the input and runs :meth:`body`, in ``training_dtype`` while training.

    Far from the training pictures a net's slope amplifies every rounding error of the flow until
    the inverse explodes (Behrmann et al. 2021). Inputs beyond ``input_bound`` deviations are
    therefore clamped, for the net alone: the flow itself carries them on, and nothing is lost.
    """

    training_dtype: torch.dtype | None = None
    input_bound: float = math.inf
    conv_in: nn.Conv2d

    def body(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Map ``x``; ``context`` has features (N, C', H, W) for nets that take them."""
        raise NotImplementedError

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        dtype = self.conv_in.weight.dtype
        x = x.to(dtype, memory_format=torch.channels_last)
        x = x.clamp(-self.input_bound, self.input_bound)
        if context is not None:
            context = context.to(dtype, memory_format=torch.channels_last)
        low = self.training_dtype if self.training else None
        with torch.autocast(x.device.type, low) if low is not None else nullcontext():
            y = self.body(x, context)
        return y.to(dtype)


class LinearNet(Net):
    """A single 3x3 convolution, the published net of the split priors (openai/glow)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_in = _zeroed(nn.Conv2d(in_channels, out_channels, 3, padding=1))

    def body(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.conv_in(x)


class ConvNet(Net):
    """The published net: 3x3 - ReLU - 1x1 - ReLU - 3x3 (Glow, section 5)."""

    def __init__(self, in_channels: int, width: int, out_channels: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, width, 3, padding=1)
        self.conv_mid = nn.Conv2d(width, width, 1)
        self.conv_out = _zeroed(nn.Conv2d(width, out_channels, 3, padding=1))

    def body(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.conv_out(F.relu_(self.conv_mid(F.relu_(self.conv_in(x)))))


class PointNet(Net):
    """1x1 - sine - 1x1 - sine - 1x1, for points of the plane as 1x1 images.

    Sines of several frequencies (Sitzmann et al. 2020, SIREN) learn fine detail sooner than ReLUs,
    and draw no creases. Computed as matrix products: libraries take ten times as long for a
    convolution of a single pixel.
    """

    def __init__(self, in_channels: int, width: int, out_channels: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, width, 1)
        with torch.no_grad():
            for parameter in self.conv_in.parameters():
                parameter.mul_(_FREQUENCY)
        self.conv_mid = nn.Conv2d(width, width, 1)
        self.conv_out = _zeroed(nn.Conv2d(width, out_channels, 1))

    def body(self, x: Tensor, context: Tensor | None = None) -> Tensor:
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

    Args:
        size: height and width of the inputs, for a learned bias at each position, which helps on
            aligned faces; None: no such bias, and inputs of any size.
        blocks: number of residual blocks, 0 or more.
        attention: add self-attention over all positions after the blocks.
        context: channels of the features that set the bias of each position through a 1x1
            convolution. 0: none.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        out_channels: int,
        size: int | None,
        blocks: int = 1,
        attention: bool = False,
        context: int = 0,
    ) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, width, 3, padding=1)
        self.position = None if size is None else nn.Parameter(torch.zeros(1, width, size, size))
        self.conv_context = nn.Conv2d(context, width, 1, bias=False) if context else None
        self.blocks = nn.ModuleList(_ResidualBlock(width) for _ in range(blocks))
        if attention:
            self.blocks.append(_Attention(width))
        self.conv_out = _zeroed(nn.Conv2d(width, out_channels, 3, padding=1))

    def body(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x = self.conv_in(x)
        if self.position is not None:
            x = x.add_(self.position.to(x.dtype))
        if self.conv_context is not None:
            x = x.add_(self.conv_context(context))
        for block in self.blocks:
            x = block(x)
        return self.conv_out(F.relu_(x))


class _ResidualBlock(nn.Module):
    """ReLU - 3x3 - ReLU - 3x3, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = _zeroed(nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu_(self.conv1(F.relu(x)))
        return self.conv2(h).add_(x)


class _Attention(nn.Module):
    """Self-attention over all positions (Vaswani et al. 2017), added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % _HEADS:
            raise ValueError(f"Attention needs a width that {_HEADS} divides, not {width}.")
        self.norm = nn.GroupNorm(1, width)  # over each picture alone: no batch statistics
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.out = _zeroed(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).view(n, 3, _HEADS, c // _HEADS, h * w).transpose(3, 4)
        if not x.is_cuda and qkv.dtype == torch.bfloat16:
            qkv = qkv.float()  # several times as fast on a CPU
        mixed = F.scaled_dot_product_attention(*qkv.unbind(dim=1))
        mixed = mixed.transpose(2, 3).reshape(n, c, h, w).to(x.dtype)
        return self.out(mixed).add_(x)


def _zeroed(conv: nn.Conv2d) -> nn.Conv2d:
    for parameter in conv.parameters():
        nn.init.zeros_(parameter)
    return conv


def _attention_net(c_in: int, width: int, c_out: int, size: int, blocks: int) -> ResidualNet:
    return ResidualNet(c_in, width, c_out, size, blocks, attention=size <= _ATTENTION_UP_TO)


#: Coupling nets by their name in a :class:`models.GlowConfig`, each made from the channels
#: before, inside and after, the side of its inputs in pixels, and the number of residual blocks.
NETS: dict[str, Callable[..., Net]] = {
    "conv": lambda c_in, width, c_out, size, blocks: ConvNet(c_in, width, c_out),
    "point": lambda c_in, width, c_out, size, blocks: PointNet(c_in, width, c_out),
    "residual": ResidualNet,
    "attention": _attention_net,
}
