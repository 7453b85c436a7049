"""Lessons 2 and 3: a flow of the plane, looked at around one point, and fitted to data.

The flow takes points (N, 2) as 1x1 images of two channels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

import models
from glow_app.common.errors import UserError
from glow_app.training.optimization import learning_rate, progress
from models import Glow, GlowConfig

#: Eight steps of actnorm, 1x1 (a 2x2 matrix here) and affine coupling: the faces' own layers.
FLOW = GlowConfig(
    image_size=1, channels=2, steps=(8,), widths=(128,), blocks=(0,), net="point", squeeze=False
)
SPAN = 2.5  # all data lie in the square [-SPAN, SPAN]²
GRID = 60  # cells a side of a density that is drawn
SHOWN = 600  # data points and samples that are drawn

_BLOB = 0.06  # deviation of the blob that a clicked point stands for
_RING = 0.1  # radius of the small ring that shows how f stretches
_RING_POINTS = 64
_REACH = 2.4  # of the grid in z
_INIT_POINTS = 2048
_BATCH = 256  # points a step of the fit
_LR, _WARMUP_STEPS = 4e-3, 30
_COOLDOWN = 0.5  # last part of the fit, in which the learning rate falls to 1 %
_LARGEST_NORM = 5.0  # of the gradient, which is clipped there


def as_images(points: Tensor) -> Tensor:
    """Return points (N, 2) as :class:`models.Glow` takes them, (N, 2, 1, 1)."""
    return points.view(-1, 2, 1, 1)


def example_flow() -> Glow:
    """Load a flow that ``scripts/learn.py`` has fitted to the two moons."""
    return models.load(Path(__file__).with_name("moons.safetensors"))


@torch.no_grad()
def _f(model: Glow, points: Tensor) -> Tensor:
    return model.f(as_images(points))[0]


@torch.no_grad()
def _g(model: Glow, codes: Tensor) -> Tensor:
    return model.g(codes).flatten(1)


# ---- data ---------------------------------------------------------------------------------------

Draw = Callable[[int, Generator], Tensor]  # (n, generator) to n points (n, 2) float32


def _moons(n: int, generator: Generator) -> Tensor:
    """Two half circles that reach into each other."""
    angle = math.pi * torch.rand(n, generator=generator)
    upper = torch.rand(n, generator=generator) < 0.5
    x = torch.where(upper, angle.cos(), 1 - angle.cos()) - 0.5
    y = torch.where(upper, angle.sin(), 0.5 - angle.sin()) - 0.25
    return 1.3 * torch.stack([x, y], dim=1) + 0.08 * torch.randn(n, 2, generator=generator)


def _rings(n: int, generator: Generator) -> Tensor:
    """Two rings, one inside the other; the outer one holds more, being longer."""
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    inner = torch.rand(n, generator=generator) < 1 / 3
    radius = torch.where(inner, 0.8, 1.8) + 0.08 * torch.randn(n, generator=generator)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


def _checkerboard(n: int, generator: Generator) -> Tensor:
    """The eight black fields of a board of four by four."""
    column = torch.randint(0, 4, (n,), generator=generator)
    row = 2 * torch.randint(0, 2, (n,), generator=generator) + column % 2
    corner = torch.stack([column, row], dim=1) - 2
    return corner + torch.rand(n, 2, generator=generator)


#: Data sets by the name that the page and the script give them.
DATASETS: dict[str, Draw] = {"moons": _moons, "rings": _rings, "checkerboard": _checkerboard}


def scattered(points: Sequence[Sequence[float]]) -> Draw:
    """Return a data set of small blobs around given ``points`` (N, 2): on a single point the
    likelihood has no bound, and a flow would put an ever higher spike there.
    Raises UserError: no points, or not pairs of finite numbers within ±SPAN."""
    try:
        centres = torch.as_tensor(points, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        centres = torch.empty(0)
    if centres.ndim != 2 or centres.shape[1] != 2 or not len(centres):
        raise UserError("Points are pairs of numbers, and at least one of them is needed.")
    if not bool((centres.abs() <= SPAN).all()):  # NaN fails, too
        raise UserError(f"Points lie between −{SPAN} and {SPAN} on either axis.")

    def draw(n: int, generator: Generator) -> Tensor:
        chosen = torch.randint(0, len(centres), (n,), generator=generator)
        return centres[chosen] + _BLOB * torch.randn(n, 2, generator=generator)

    return draw


def shown_points(draw: Draw, seed: int = 0) -> Tensor:
    """Draw the points (SHOWN, 2) that are shown, and whose likelihood is reported."""
    return draw(SHOWN, torch.Generator().manual_seed(seed + 1))


# ---- lesson 2: f and g around one point ---------------------------------------------------------


@dataclass(frozen=True)
class Probe:
    """One point, sent there and back."""

    x: np.ndarray  # (2,) the point
    z: np.ndarray  # (2,) its code, f(x)
    back: np.ndarray  # (2,) where the round trip ends: g(f(x)), or f(g(z)) if z was given
    off: float  # largest coordinate of the difference to where it began
    log_prob: float  # log p(x) in nats
    log_det: float  # log |det ∂f/∂x| at x
    ring_x: np.ndarray  # (M, 2) a small ring around x
    ring_z: np.ndarray  # (M, 2) where f takes it
    stretch: float  # area inside ring_z over the area inside ring_x; nearly exp(log_det)


def probe_x(model: Glow, x: Tensor) -> Probe:
    """Send ``x`` (2,) in flow direction, x → z, and back in generation direction."""
    z = _f(model, x[None])[0]
    return _probe(model, x, z, back=_g(model, z[None])[0], start=x)


def probe_z(model: Glow, z: Tensor) -> Probe:
    """Send ``z`` (2,) in generation direction, z → x, and back in flow direction."""
    x = _g(model, z[None])[0]
    return _probe(model, x, z, back=_f(model, x[None])[0], start=z)


@torch.no_grad()
def _probe(model: Glow, x: Tensor, z: Tensor, back: Tensor, start: Tensor) -> Probe:
    angle = torch.arange(_RING_POINTS) * (2 * math.pi / _RING_POINTS)
    ring_x = x + _RING * torch.stack([angle.cos(), angle.sin()], dim=1)
    ring_z = _f(model, ring_x)
    _, log_det = model.f(as_images(x[None]))
    return Probe(
        x=x.numpy(),
        z=z.numpy(),
        back=back.numpy(),
        off=float((back - start).abs().max()),
        log_prob=float(model.log_prob(as_images(x[None]))),
        log_det=float(log_det),
        ring_x=ring_x.numpy(),
        ring_z=ring_z.numpy(),
        stretch=area(ring_z) / area(ring_x),
    )


def area(ring: Tensor) -> float:
    """Return the area inside a closed polygon (M, 2), by the shoelace formula."""
    x, y = ring.double().unbind(dim=1)
    return 0.5 * abs(float((x * y.roll(-1) - x.roll(-1) * y).sum()))


def grid_lines(model: Glow) -> tuple[np.ndarray, np.ndarray]:
    """Return 9 upright and 9 level lines of a square grid in z, and where g takes them in x: two
    arrays (18, 97, 2). They show how g bends the plane, without tearing or folding it."""
    along, across = (torch.linspace(-_REACH, _REACH, points) for points in (97, 9))
    upright = torch.stack(torch.meshgrid(across, along, indexing="ij"), dim=-1)
    z = torch.cat([upright, upright.flip(-1)])
    return z.numpy(), _g(model, z.view(-1, 2)).view(z.shape).numpy()


# ---- lesson 3: fitting by maximum likelihood ----------------------------------------------------


@dataclass(frozen=True)
class Snapshot:
    """A flow in training, as lesson 3 draws it."""

    step: int  # optimizer steps taken
    seconds: float  # since the start, drawing included
    done: float  # share of the training that is over, 0 to 1
    log_prob: float  # Σ log p(x_i) over the ``SHOWN`` points that are drawn, in nats
    density: np.ndarray  # (GRID, GRID) float32, p(x) at the cells' centres; row 0 is the top
    samples: np.ndarray  # (SHOWN, 2) float32, x = g(z) for the same z in every snapshot


def fit(
    draw: Draw,
    steps: int = 1500,
    seconds: float = 22.0,  # leaves some of half a minute to drawing and to the page
    frame_seconds: float = 0.4,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Glow, Snapshot]]:
    r"""Maximise :math:`\sum_i \log p(x_i)` over fresh batches of points, for ``steps`` or
    ``seconds``, whichever is over first.

    Yields:
        the flow, in evaluation mode, and a snapshot of it: before the first step, then every
        ``frame_seconds``, or three times what one takes to make, and at the end, which comes early
        once ``stopped()``.
    """
    generator, shown = torch.Generator().manual_seed(0), shown_points(draw)
    with torch.random.fork_rng(devices=[]):  # seeding the weights must not seed others
        torch.manual_seed(0)
        model = Glow(FLOW)
    model.initialize(as_images(draw(_INIT_POINTS, generator)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LR, betas=(0.9, 0.99), fused=True)

    began = drawn = time.monotonic()
    step, rate, done, pause = 0, 0.0, 0.0, frame_seconds
    yield model.eval(), _snapshot(model, shown, step, 0.0, done)
    while done < 1.0 and not stopped():
        model.train()
        rate = learning_rate(_LR, rate, done, _WARMUP_STEPS, _COOLDOWN)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = -model(as_images(draw(_BATCH, generator))).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), _LARGEST_NORM)
        if bool(norm.isfinite()):
            optimizer.step()
        step += 1
        now = time.monotonic()
        done = progress(step, (now - began) / 60, steps, seconds / 60)
        if now - drawn >= pause and done < 1.0:
            yield model.eval(), _snapshot(model, shown, step, now - began, done)
            drawn = time.monotonic()
            pause = max(frame_seconds, 3 * (drawn - now))
    yield model.eval(), _snapshot(model, shown, step, time.monotonic() - began, done)


@torch.no_grad()
def _snapshot(model: Glow, shown: Tensor, step: int, seconds: float, done: float) -> Snapshot:
    return Snapshot(
        step=step,
        seconds=seconds,
        done=done,
        log_prob=float(model.log_prob(as_images(shown)).double().sum()),
        density=density_on_grid(model),
        samples=model.sample(SHOWN, 1.0, torch.Generator().manual_seed(0)).flatten(1).numpy(),
    )


@torch.no_grad()
def density_on_grid(model: Glow, cells: int = GRID, span: float = SPAN) -> np.ndarray:
    """Return p(x) at the centres of square cells of [-span, span]²: (cells, cells) float32, row 0
    at the top. Times the area of a cell their sum is near 1: a flow needs no normalising."""
    centres = (torch.arange(cells) + 0.5) * (2 * span / cells) - span
    y, x = torch.meshgrid(centres.flip(0), centres, indexing="ij")
    points = torch.stack([x, y], dim=-1).view(-1, 2)
    return model.log_prob(as_images(points)).exp().view(cells, cells).numpy()
