"""The optimiser of a run."""

from __future__ import annotations

import torch

from glow_app.training.config import TrainConfig
from models import Glow

__all__ = ["make_optimiser"]


def make_optimiser(model: Glow, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW of what learns; only convolutions inside nets decay, never the flow's own scales."""
    # By the names and in the order of files, so that the states of a saved optimiser fit.
    tensors = model.state_dict(keep_vars=True).items()
    learned = {name: p for name, p in tensors if p.requires_grad}
    kernels = [n for n, p in learned.items() if p.ndim == 4 and not n.endswith("position")]
    decayed = {n for n in kernels if ".net." in n or ".context." in n}
    # One group for each kind, in the order of files within it.
    groups = [
        {"params": [p for n, p in learned.items() if n in decayed]},
        {"params": [p for n, p in learned.items() if n not in decayed], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=config.lr, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=True
    )
