"""Lesson 4: a flow as a chain of layers, with the state after each and its log-determinant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import models
from glow_app.faces.coding import to_pictures
from models import Glow
from models.glow import CENTRE
from models.layers import Bijection, Squeeze, exact_float32, join_channels
from models.levels import DetailLevel


@dataclass(frozen=True)
class Link:
    """One bijection of the chain, the level it works at (from 1), and its name."""

    level: int
    name: str
    bijection: Bijection


@dataclass(frozen=True)
class Chain:
    """All states of g on the way from z to x, through K bijections."""

    links: list[Link]  # in the order in which g undoes them
    states: Tensor  # (K + 1, N, C, H, W) float64: z and then each state, laid out as images
    log_dets: Tensor  # (K, N) float64, log |det| of each link of g; sum: -log |det ∂f/∂x|


class _OnDetails(Bijection):
    """A layer of a detail level, which works on the squeezed details, as a bijection of the whole
    state, whose means it leaves alone; a conditional one takes the features of the means."""

    def __init__(self, detail: DetailLevel, layer: Bijection, conditional: bool) -> None:
        super().__init__()
        self.detail, self.layer, self.conditional = detail, layer, conditional

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        means, details, given = self._parted(x)
        y, log_det = self.layer(details, **given)
        return join_channels(means, self.detail.squeeze.inverse(y)), log_det

    def inverse(self, y: Tensor) -> Tensor:
        means, details, given = self._parted(y)
        x = self.layer.inverse(details, **given)
        return join_channels(means, self.detail.squeeze.inverse(x))

    def _parted(self, h: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        means, details = h[:, : self.detail.next_channels], h[:, self.detail.next_channels :]
        given = {"context": self.detail.features(means)} if self.conditional else {}
        return means, self.detail.squeeze(details)[0], given


def links(model: Glow, whole_steps: bool = False) -> list[Link]:
    """Return the bijections of a flow in the order of f.

    Args:
        whole_steps: one link for each step of flow rather than for each of its three layers.
    """
    found = []
    for number, level in enumerate(model.levels, start=1):
        layers: dict[str, Bijection] = {}
        for i, step in enumerate(level.steps, start=1):
            parts = {"": step}
            if not whole_steps:
                parts = {" actnorm": step.actnorm, " 1x1": step.conv, " coupling": step.coupling}
            layers |= {f"step {i}{name}": layer for name, layer in parts.items()}
        if isinstance(level, DetailLevel):
            found.append(Link(number, "Haar", level.haar))
            for name, layer in {**layers, "prior of details": level.prior}.items():
                conditional = not name.endswith(("actnorm", "1x1"))
                found.append(Link(number, name, _OnDetails(level, layer, conditional)))
        else:
            layers["split" if level.next_channels else "prior"] = level.prior
            found += [Link(number, name, layer) for name, layer in layers.items()]
    return found


@torch.no_grad()
def chain(model: Glow, z: Tensor, whole_steps: bool = False) -> Chain:
    r"""Apply g to ``z`` (N, D), one bijection after the other, in float64.

    .. math:: x = g_1(g_2(\dots g_K(z))), \qquad
        \log p(x) = \log N(z; 0, I) - \sum_k \log|\det \partial g_k|
    """
    backwards = links(model, whole_steps)[::-1]
    z = z.to(model.device, torch.float64)
    with exact_float32(z.device):  # or "the last is x" would not hold
        codes = model.split_levels(z)
        level = model.config.levels
        h = codes[-1]
        states, log_dets = [_laid_out(model, h, codes, level)], []
        for link in backwards:
            if link.level < level:  # what had left joins again, one level finer
                if level > model.config.details and model.config.squeeze:
                    h = Squeeze().inverse(h)
                level = link.level
                h = torch.cat([h, codes[level - 1]], dim=1)
            h = link.bijection.inverse(h)
            _, log_det = link.bijection(h)  # of the flow direction: that of g is its negative
            log_dets.append(-log_det)
            states.append(_laid_out(model, h, codes, level))
    states[-1] = states[-1] + CENTRE
    return Chain(backwards, torch.stack(states).cpu(), torch.stack(log_dets).double().cpu())


def pictures(walked: Chain) -> np.ndarray:
    """Return the states of a chain of one colour picture as pictures (K + 1, H, W, 3) uint8, all
    but the last, which is x itself, scaled to a contrast of three deviations either way."""
    states = walked.states[:, 0]
    spread = states.flatten(1).std(dim=1).view(-1, 1, 1, 1)
    seen = CENTRE + (states - states.mean(dim=(1, 2, 3), keepdim=True)) / (6 * spread)
    seen[-1] = states[-1]
    return to_pictures(models.to_levels(seen))


@torch.no_grad()
def so_far(model: Glow, z: Tensor) -> Tensor:
    """Show what each level adds: (L, C, H, W) for ``z`` (1, D), coarsest level first.

    Picture l is g of the code with everything that joins after it at 0, its most likely value;
    the last picture is g(z).
    """
    codes = model.split_levels(z.to(model.device))
    kept = [
        model.join_levels([c if i >= finest else torch.zeros_like(c) for i, c in enumerate(codes)])
        for finest in reversed(range(len(codes)))
    ]
    return model.g(torch.cat(kept)).cpu()


def _laid_out(model: Glow, h: Tensor, codes: list[Tensor], level: int) -> Tensor:
    """Lay the whole state out as an image: ``h`` of ``level`` and the codes yet to join it.

    What left at a split goes back to its place, squeezes are undone, and details lie in three
    quarters of a picture whose first one is their means, as wavelets are shown.
    """
    for finer in reversed(range(level)):
        if h.shape[2] > codes[finer].shape[2]:
            continue  # its Haar step has been undone: an image already
        if finer < level - 1:
            h = torch.cat([h, codes[finer]], dim=1)
        if finer < model.config.details:
            means, horizontal, vertical, diagonal = h.chunk(4, dim=1)
            rows = (means, horizontal), (vertical, diagonal)
            h = torch.cat([torch.cat(row, dim=3) for row in rows], dim=2)
        elif model.config.squeeze:
            h = Squeeze().inverse(h)
    return h
