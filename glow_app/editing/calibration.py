"""What a trained model must know of the faces it was trained on: where its states lie."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from models import Glow, StateRange, usual_range

__all__ = ["calibrate"]


@torch.inference_mode()
def calibrate(model: Glow, images: Iterable[Tensor]) -> None:
    """Measure the usual range of states, and keep it with the weights.

    Args:
        model: in evaluation mode; its `usual_range` is set.
        images: batches (N, C, H, W) of bin centres on the model's device, a thousand or so.
    """
    ranges = [model.f_with_range(x)[2].to("cpu") for x in images]
    model.usual_range = usual_range(StateRange.cat(ranges))
