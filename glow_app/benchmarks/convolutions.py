"""The convolutions of a model's nets by themselves: what decoding could cost at the least."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from glow_app.benchmarks.timing import Work
from models import Glow
from models.networks import Net
from models.numerics import exact_float32

__all__ = ["convolutions_of_decoding"]

_convolution = torch.ops.aten.convolution.default


def convolutions_of_decoding(model: Glow, z: Tensor) -> Work:
    """Work that runs exactly the convolutions that the nets run in ``model.g(z)``.

    The same inputs, weights, precision and memory formats in the same order, and nothing else.
    """
    recorder = _Recorder()
    hooks = []
    for module in model.modules():
        if isinstance(module, Net):
            hooks += [
                module.register_forward_pre_hook(recorder.enter),
                module.register_forward_hook(recorder.leave),
            ]
    try:
        with torch.no_grad(), recorder:
            model.g(z)
    finally:
        for hook in hooks:
            hook.remove()

    @torch.no_grad()
    def work() -> None:
        with exact_float32(z.device):  # as the flow does
            for arguments in recorder.calls:
                _convolution(*arguments)

    return work


class _Recorder(TorchDispatchMode):
    """Keeps the arguments of each convolution between :meth:`enter` and :meth:`leave`."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []
        self._inside = False

    def enter(self, *_: Any) -> None:
        self._inside = True

    def leave(self, *_: Any) -> None:
        self._inside = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if self._inside and func is _convolution:
            # A later in-place ReLU does not matter: it changes what comes out, not what goes in.
            self.calls.append(args)
        return func(*args, **(kwargs or {}))
