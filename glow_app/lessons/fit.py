"""Lesson 3: a flow fitted to points of the plane by maximum likelihood, while one watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import models
from glow_app.lessons.points import SPAN, Draw, as_images, as_points
from glow_app.training.optimization import learning_rate, progress
from models import Glow, GlowConfig

__all__ = [
    "FLOW",
    "GRID",
    "FitConfig",
    "Snapshot",
    "density_on_grid",
    "example_flow",
    "fit",
    "shown_points",
]

#: Eight steps of actnorm, 1x1 (a 2x2 matrix here) and affine coupling: the faces' own layers.
FLOW = GlowConfig(
    image_size=1, channels=2, steps=(8,), widths=(128,), blocks=(0,), net="point", squeeze=False
)
GRID = 60  # cells a side of a density that is drawn
SHOWN = 600  # data points and samples that are drawn
_INIT_POINTS = 2048


@dataclass(frozen=True)
class FitConfig:
    """How a flow is fitted: ``steps`` or ``seconds``, whichever is over first."""

    steps: int = 1500
    seconds: float = 22.0  # leaves some of half a minute to drawing and to the page
    batch: int = 256  # points a step
    lr: float = 4e-3  # AdamW
    warmup_steps: int = 30
    cooldown: float = 0.5  # last part, in which the learning rate falls to 1 %
    clip: float = 5.0  # largest gradient norm
    seed: int = 0
    frame_seconds: float = 0.4  # between snapshots, or three times what one takes to make


@dataclass(frozen=True)
class Snapshot:
    """What lesson 3 draws of a flow in training.

    Attributes:
        step: optimiser steps taken.
        seconds: since the start, drawing included.
        done: share of the training that is over, 0 to 1.
        log_prob: Σ log p(x_i) over the ``SHOWN`` points that are drawn, in nats.
        density: (GRID, GRID) float32, p(x) at the cells' centres; row 0 is the top.
        samples: (SHOWN, 2) float32, x = g(z) for the same z in every snapshot.
    """

    step: int
    seconds: float
    done: float
    log_prob: float
    density: np.ndarray
    samples: np.ndarray


def fit(
    draw: Draw,
    config: FitConfig | None = None,
    flow: GlowConfig = FLOW,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Glow, Snapshot]]:
    r"""Maximise :math:`\sum_i \log p(x_i)` over fresh batches of points.

    Yields:
        the flow, in evaluation mode, and what to draw of it: before the first step, then every
        ``frame_seconds``, and at the end, which comes early once ``stopped()``.
    """
    config = config or FitConfig()
    generator = torch.Generator().manual_seed(config.seed)
    shown = shown_points(draw, config.seed)
    with torch.random.fork_rng(devices=[]):  # the weights' own dice, nobody else's
        torch.manual_seed(config.seed)
        model = Glow(flow)
    model.initialize(as_images(draw(_INIT_POINTS, generator)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, betas=(0.9, 0.99), fused=True)

    began = drawn = time.monotonic()
    step, rate, done, pause = 0, 0.0, 0.0, config.frame_seconds
    yield model.eval(), _snapshot(model, shown, step, 0.0, done)
    while done < 1.0 and not stopped():
        model.train()
        rate = learning_rate(config.lr, rate, done, config.warmup_steps, config.cooldown)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = -model(as_images(draw(config.batch, generator))).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        if bool(norm.isfinite()):
            optimizer.step()
        step += 1
        now = time.monotonic()
        done = progress(step, (now - began) / 60, config.steps, config.seconds / 60)
        if now - drawn >= pause and done < 1.0:
            yield model.eval(), _snapshot(model, shown, step, now - began, done)
            drawn = time.monotonic()
            pause = max(config.frame_seconds, 3 * (drawn - now))
    yield model.eval(), _snapshot(model, shown, step, time.monotonic() - began, done)


def shown_points(draw: Draw, seed: int = 0) -> Tensor:
    """The points (SHOWN, 2) that are drawn, and whose likelihood is reported."""
    return draw(SHOWN, torch.Generator().manual_seed(seed + 1))


@torch.no_grad()
def density_on_grid(model: Glow, cells: int = GRID, span: float = SPAN) -> np.ndarray:
    """p(x) at the centres of ``cells`` x ``cells`` cells of [-span, span]², row 0 at the top.

    Summed and multiplied by the area of a cell it is close to 1: a flow's density needs no
    normalising.
    """
    centres = (torch.arange(cells) + 0.5) * (2 * span / cells) - span
    y, x = torch.meshgrid(centres.flip(0), centres, indexing="ij")
    points = torch.stack([x, y], dim=-1).view(-1, 2)
    return model.log_prob(as_images(points)).exp().view(cells, cells).numpy()


def example_flow() -> Glow:
    """A flow that ``scripts/learn.py`` has fitted to the two moons, to begin with."""
    return models.load(Path(__file__).with_name("moons.safetensors"))


@torch.no_grad()
def _snapshot(model: Glow, shown: Tensor, step: int, seconds: float, done: float) -> Snapshot:
    return Snapshot(
        step=step,
        seconds=seconds,
        done=done,
        log_prob=float(model.log_prob(as_images(shown)).double().sum()),
        density=density_on_grid(model),
        samples=as_points(model.sample(SHOWN, 1.0, torch.Generator().manual_seed(0))).numpy(),
    )
