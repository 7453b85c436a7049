"""The convolutions inside of some work by themselves: what it could cost at the least."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.timing import Work
from models.numerics import exact_float32

__all__ = ["convolutions_of"]

_CONVOLUTIONS = (
    torch.ops.aten.convolution.default,
    torch.ops.aten.convolution_backward.default,
    torch.ops.aten.conv2d.default,  # how it arrives in inference mode
)


def convolutions_of(work: Work, device: torch.device) -> Work:
    """Work that runs exactly the convolutions that ``work`` runs, backward ones included.

    The same inputs, weights, precision and memory formats in the same order, and nothing else.
    Of a flow these are the convolutions of its nets: it mixes channels by matrix products.
    """
    recorder = _Recorder()
    with recorder:
        work()

    @torch.no_grad()
    def convolutions() -> None:
        with exact_float32(device):  # as the flow does
            for function, arguments in recorder.calls:
                function(*arguments)

    return convolutions


class _Recorder(TorchDispatchMode):
    """Keeps the arguments of each convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in _CONVOLUTIONS:
            # A later in-place ReLU does not matter: it changes what comes out, not what goes in.
            self.calls.append((func, args))
        return func(*args, **(kwargs or {}))
