"""How the state of the flow lies in memory: channel by channel over the whole batch.

A flow couples and mixes channels. With the channels outermost in memory, halves of them are one
piece each, which is joined, split and computed on without strides, and a 1x1 convolution is one
matrix product. Every function takes tensors (N, C, H, W) of any layout; the layout is a matter
of speed only. The nets work in channels-last, as fast convolutions want it.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["by_channels", "by_channels_matrix", "join_channels"]


def by_channels(x: Tensor) -> Tensor:
    """``x`` (N, C, H, W) with memory in the order (C, N, H, W); not copied if it is so already."""
    return x.transpose(0, 1).contiguous().transpose(0, 1)


def by_channels_matrix(x: Tensor) -> Tensor:
    """The same numbers as a matrix (C, N*H*W), a view when ``x`` lies by channels."""
    return x.transpose(0, 1).flatten(1)


def join_channels(first: Tensor, second: Tensor) -> Tensor:
    """Concatenate (N, C1, H, W) and (N, C2, H, W) along the channels, by channels in memory."""
    # torch.cat along dimension 1 would choose another layout.
    return torch.cat([first.transpose(0, 1), second.transpose(0, 1)]).transpose(0, 1)
