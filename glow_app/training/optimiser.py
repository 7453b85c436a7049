"""The optimiser of a run."""

from __future__ import annotations

import torch

from glow_app.training.config import TrainConfig
from models import Glow

__all__ = ["make_optimiser"]


def make_optimiser(model: Glow, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW; only the convolutions inside nets decay, never the flow's own scales."""
    decayed = {id(p) for n, p in model.named_parameters() if ".net." in n and p.ndim == 4}
    decayed -= {id(p) for n, p in model.named_parameters() if n.endswith("position")}
    # One group for each kind, in the order of model.parameters() within it.
    groups = [
        {"params": [p for p in model.parameters() if id(p) in decayed]},
        {"params": [p for p in model.parameters() if id(p) not in decayed], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=config.lr, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=True
    )
