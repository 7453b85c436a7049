"""Many pictures through a model at once, with the ranges that their states have.

`Codec` serves one user and keeps codes by content; here a thousand pictures go through once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import models
from glow_app.editing.codec import Codec
from models import StateRange

__all__ = ["Codes", "decode", "encode"]


@dataclass(frozen=True, eq=False)
class Codes:
    """What pictures became.

    Attributes:
        z: (N, D) float32 on the CPU.
        seen: N rows, what the states of each were on the way.
    """

    z: Tensor
    seen: StateRange

    def __getitem__(self, rows: np.ndarray) -> Codes:
        index = torch.as_tensor(rows)
        return Codes(self.z[index], self.seen[index])


@torch.inference_mode()
def encode(codec: Codec, pixels: np.ndarray) -> Codes:
    """Codes of pictures (N, S, S, 3) uint8."""
    planes = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    codes, seen = [], []
    with codec.alone() as model:
        for chunk in planes.split(codec.batch):
            x = models.bin_centers(chunk.to(codec.device), model.config.n_bits)
            z, _, ranges = model.f_with_range(x)
            codes.append(z.cpu())
            seen.append(ranges.to("cpu"))
    return Codes(torch.cat(codes), StateRange.cat(seen))


@torch.inference_mode()
def decode(codec: Codec, z: Tensor, within: StateRange | None = None) -> np.ndarray:
    """Pictures (N, S, S, 3) uint8 of codes (N, D), each held in its row of `within`."""
    pictures = []
    with codec.alone() as model:
        for first in range(0, len(z), codec.batch):
            rows = slice(first, first + codec.batch)
            held = None if within is None else within[rows].to(codec.device)
            x = torch.nan_to_num(model.g(z[rows].to(codec.device), held), 0.5, 1.0, 0.0)
            levels = models.to_levels(x, model.config.n_bits)
            pictures.append(levels.permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(pictures)
