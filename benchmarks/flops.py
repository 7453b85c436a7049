"""The work of a model, which does not depend on how fast the machine is."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from models import Glow

__all__ = ["flops_per_frame"]


def flops_per_frame(model: Glow) -> int:
    """Floating point operations of decoding one frame, a multiply-add counted as two."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.g(torch.zeros(1, model.dims, device=model.top.mean.device))
    return counter.get_total_flops()
