"""Precision islands: named context managers, so that one sees where and why precision is held.

Exactness of ``g(f(x))`` needs the two directions to round alike. TF32 alone costs a whole 8-bit
level of round trip on a Glow with 64 steps, so it is off wherever the flow itself computes;
bf16 is allowed in one place only, the nets that *parametrise* the flow, and only in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

__all__ = ["exact_float32", "low_precision"]


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """Everything inside computes in true float32: no autocast, and no TF32 on CUDA."""
    with ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if device.type == "cuda" and not torch.compiler.is_compiling():
            cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
            before = cudnn.allow_tf32, matmul.allow_tf32
            cudnn.allow_tf32 = matmul.allow_tf32 = False
            stack.callback(lambda: _restore_tf32(before))
        yield


def _restore_tf32(before: tuple[bool, bool]) -> None:
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@contextmanager
def low_precision(device: torch.device, dtype: torch.dtype | None) -> Iterator[None]:
    """Autocast to ``dtype`` (``None``: leave as it is). For the insides of a net in training."""
    if dtype is None or dtype == torch.float32:
        yield
    else:
        with torch.autocast(device.type, dtype=dtype):
            yield
