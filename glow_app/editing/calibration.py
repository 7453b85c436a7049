"""What a trained model must know of the faces it was trained on: where codes and states lie."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from glow_app.editing.shell import Shell
from models import Glow, StateRange, usual_range

__all__ = ["DIP", "calibrate"]

# Of the typical length half way between two faces, by scripts/evaluate_morphs.py
# (docs/results.md): there contrast equals that of the ends.
DIP = 0.93


@torch.inference_mode()
def calibrate(model: Glow, images: Iterable[Tensor], dip: float = DIP) -> None:
    """Measure the shell and the usual range of states, and keep them with the weights.

    Args:
        model: in evaluation mode; its `usual_range` and `facts` are set.
        images: batches (N, C, H, W) of bin centres on the model's device, a thousand or so.
        dip: see `Shell`.
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
    model.facts |= Shell(tuple(sizes), lengths, dip).to_facts()
