"""A training step as CUDA graphs: the host launches two of them, not thousands of kernels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["graphed", "tuned_convolutions"]


def graphed(objective: nn.Module, x: Tensor) -> nn.Module:
    """``objective``, whose forward and backward are replayed from graphs captured here.

    A flow is many small kernels one after another, and a fast GPU is done with each before the
    host has launched the next.
    Shapes are those of ``x`` from now on, and parameters must stay where they are in memory.
    Out of training mode nothing changes. Compile and move the model before.

    Args:
        objective: a module in training mode of one argument without gradient.
        x: an example of its argument, on the GPU.
    """
    # Gradients are handed over between the graphs' stream and that of the optimiser, once a step.
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    return torch.cuda.make_graphed_callables(objective, (x.detach().clone(),))


@contextmanager
def tuned_convolutions(device: torch.device) -> Iterator[None]:
    """Inside, cuDNN tries its algorithms for each shape once and keeps the fastest.

    For training only: which one it keeps may differ from run to run, and so do last bits.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = device.type == "cuda" or before
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
