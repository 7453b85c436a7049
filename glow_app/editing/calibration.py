"""What a trained model must know of the faces it was trained on: where codes and states lie."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from glow_app.editing.shell import Shell
from models import Glow, StateRange, usual_range

__all__ = ["DIP", "GUIDED_DIP", "calibrate"]

# Of the typical length half way between two faces, and between two in one shape. By
# scripts/evaluate_morphs.py (docs/results.md): there contrast equals that of the ends, a little
# more for sharp photos and a little less for the held-out faces.
DIP, GUIDED_DIP = 1.01, 0.965


@torch.inference_mode()
def calibrate(model: Glow, images: Iterable[Tensor]) -> None:
    """Measure the shell and the usual range of states, and keep them with the weights.

    Args:
        model: in evaluation mode; its `usual_range` and `facts` are set.
        images: batches (N, C, H, W) of bin centres on the model's device, a thousand or so.
    """
    sizes, sums, count, ranges = None, 0.0, 0, []
    for x in images:
        z, _, states = model.f_with_range(x)
        levels = model.split_levels(z)
        sizes = [level[0].numel() for level in levels]
        norms = [level.flatten(1).double().norm(dim=1).sum() for level in levels]
        sums, count = sums + torch.stack(norms).cpu(), count + len(x)
        ranges.append(states.to("cpu"))
    lengths = tuple((sums / count).tolist())
    model.usual_range = usual_range(StateRange.cat(ranges))
    model.facts |= Shell(tuple(sizes), lengths, DIP, GUIDED_DIP).to_facts()
