"""The most that this machine computes: one large matrix product, one large convolution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from benchmarks.timing import Work
from models.numerics import exact_float32

__all__ = ["Ceiling", "ceilings"]

# Large enough to keep the device busy, small enough for a hundredth of a second or so.
_MATRIX = {"cpu": 1024, "cuda": 8192}  # rows and columns
_CONVOLUTION = {"cpu": (8, 128, 32), "cuda": (128, 512, 32)}  # pictures, channels, side


@dataclass(frozen=True)
class Ceiling:
    """Work of a known size.

    Attributes:
        work: does it once.
        flops: its floating point operations, a multiply-add counted as two.
    """

    work: Work
    flops: int


def ceilings(device: torch.device, precision: str) -> dict[str, Ceiling]:
    """The "matmul" and the 3x3 "convolution" (channels last) in "float32" or "bfloat16".

    float32 is true float32, without TF32, as the flow itself computes.
    """
    dtype = getattr(torch, precision)
    size = _MATRIX[device.type]
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    n, channels, side = _CONVOLUTION[device.type]
    x = torch.randn(n, channels, side, side, device=device).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3, device=device).to(dtype)
    weight = weight.contiguous(memory_format=torch.channels_last)

    def multiply() -> None:
        with exact_float32(device):
            a @ b

    def convolve() -> None:
        with exact_float32(device):
            F.conv2d(x, weight, padding=1)

    return {
        "matmul": Ceiling(multiply, 2 * size**3),
        "convolution": Ceiling(convolve, 2 * 9 * n * (channels * side) ** 2),
    }
