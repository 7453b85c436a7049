"""Figures of the lessons, drawn with matplotlib from the numbers of the other modules."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib

matplotlib.use("agg")  # files only: no window, no display

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from glow_app.lessons import chain, plane, positions
from glow_app.lessons.density import DensityView
from glow_app.lessons.jacobian import Cost
from glow_app.lessons.plane import Snapshot, shown_points
from models import Glow

_Z, _X, _INK = "#0e7c77", "#b0532a", "#182021"  # the page's colours: teal is z, copper is x
_CELL = (60, 84)
_CHAIN_POINTS = 1500
_CHAIN_COLUMNS = 5


def density_figure(view: DensityView) -> Figure:
    """Draw lesson 1: g with p_z below and p_x beside it; the edges of ``_CELL`` are shaded."""
    figure, axes = plt.subplots(
        2, 2, figsize=(8, 6.4), sharex="col", sharey="row",
        width_ratios=(2, 1), height_ratios=(3, 2), layout="constrained",
    )  # fmt: skip
    curve, beside, below = axes[0, 0], axes[0, 1], axes[1, 0]
    axes[1, 1].remove()
    chosen = slice(_CELL[0], _CELL[1] + 1)
    curve.plot(view.z, view.x, color=_INK)
    curve.plot(view.z[chosen], view.x[chosen], color=_INK, linewidth=4)
    curve.set(ylabel="x", title=f"x = {view.formula}, z {view.base}")
    for values, heights, histogram, axis, color in (
        (view.z, view.p_z, view.histogram_z, below, _Z),
        (view.x, view.p_x, view.histogram_x, beside, _X),
    ):
        edges = np.linspace(values[0], values[-1], len(histogram) + 1)
        sideways = axis is beside
        top = 1.1 * min(heights.max(), max(6 * np.median(heights), np.quantile(heights, 0.88)))
        axis.stairs(
            histogram, edges, fill=True, alpha=0.25, color=color,
            orientation="horizontal" if sideways else "vertical",
        )  # fmt: skip
        heights = heights.clip(max=10 * top)
        if sideways:
            axis.plot(heights, values, color=color)
            axis.fill_betweenx(values[chosen], heights[chosen], color=color, alpha=0.6)
            axis.set(xlim=(0, top), xlabel="p(x)")
        else:
            axis.plot(values, heights, color=color)
            axis.fill_between(values[chosen], heights[chosen], color=color, alpha=0.6)
            axis.set(ylim=(0, top), xlabel="z", ylabel="p(z)")
    areas = [mass[_CELL[1]] - mass[_CELL[0]] for mass in (view.mass_z, view.mass_x)]
    beside.set_title(f"areas {areas[0]:.4f}, {areas[1]:.4f}\n∫ p(x) dx = {view.integral:.5f}")
    return figure


@torch.no_grad()
def plane_figure(model: Glow, draw: plane.Draw) -> Figure:
    """Draw lesson 2: data and the bent grid in x, codes and the straight grid in z."""
    data = shown_points(draw)
    codes, _ = model.f(plane.as_images(data))
    straight, bent = plane.grid_lines(model)
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.8), layout="constrained")
    for axis, dots, lines, reach, title in (
        (axes[0], data, bent, plane.SPAN, "x, data: f leads to the right"),
        (axes[1], codes, straight, 4, "z, code: g leads to the left"),
    ):
        axis.plot(*lines.T, color=_Z, linewidth=0.7, alpha=0.6)
        axis.plot(*dots.T, ".", color=_X, markersize=3)
        _square(axis, reach, title)
    return figure


def fit_figure(draw: plane.Draw, shots: Sequence[Snapshot]) -> Figure:
    """Draw lesson 3: the data, the learned density with samples, and the likelihood's rise."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
    axes[0].plot(*shown_points(draw).T, ".", color=_X, markersize=3)
    _square(axes[0], plane.SPAN, "data")
    last, span = shots[-1], plane.SPAN
    axes[1].imshow(
        last.density, extent=(-span, span, -span, span), cmap="Oranges",
        vmax=np.quantile(last.density, 0.995),
    )  # fmt: skip
    axes[1].plot(*last.samples.T, ".", color=_INK, markersize=1.5, alpha=0.6)
    _square(axes[1], span, "learned density and samples")
    axes[2].plot([s.step for s in shots], [s.log_prob for s in shots], color=_X)
    axes[2].set(
        xlabel="step", title=f"Σ log p(x), {last.log_prob:.0f} nats after {last.seconds:.0f} s"
    )
    return figure


def chain_figure(model: Glow) -> Figure:
    """Draw lesson 4: points after each step of g, with the mean log-determinant of each."""
    z = torch.randn(_CHAIN_POINTS, 2, generator=torch.Generator().manual_seed(0))
    walked = chain.chain(model, z, whole_steps=True)
    hue = np.arctan2(z[:, 1], z[:, 0])
    figure, axes = _grid(len(walked.states), _CHAIN_COLUMNS, 2.5, 2.7)
    for k, (axis, state) in enumerate(zip(axes, walked.states.flatten(2).numpy(), strict=True)):
        axis.scatter(*state.T, c=hue, cmap="hsv", s=2)
        mean = walked.log_dets[k - 1].mean()
        _square(axis, 3.4, f"{walked.links[k - 1].name}: {mean:+.3f}" if k else "z")
    figure.suptitle(f"mean log |det| of each; the sum is {walked.log_dets.sum(0).mean():+.3f}")
    return figure


def face_chain_figure(model: Glow, z: torch.Tensor) -> Figure:
    """Draw lesson 4 on the face model: the state after each step of g for one code (1, D)."""
    walked = chain.chain(model, z, whole_steps=True)
    pictures = chain.pictures(walked)
    figure, axes = _grid(len(pictures), 2 * _CHAIN_COLUMNS, 1.5, 1.75)
    for k, (axis, picture) in enumerate(zip(axes, pictures, strict=True)):
        axis.imshow(picture)
        axis.axis("off")
        link = walked.links[k - 1]
        axis.set_title(f"level {link.level}\n{link.name}" if k else "z", fontsize=8)
    return figure


def _grid(count: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``count`` axes, each of that size in inches."""
    rows, size = -(-count // columns), (width * columns, height * -(-count // columns))
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained")
    for axis in axes.flat[count:]:
        axis.remove()
    return figure, list(axes.flat[:count])


def jacobian_figure(costs: Sequence[Cost]) -> Figure:
    """Draw lesson 5: the last coupling's Jacobian, and the time of both ways against D."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.8), layout="constrained")
    last = costs[-1]
    axes[0].imshow(last.heat_map, cmap="Greens", interpolation="nearest")
    axes[0].set(
        title=f"|∂y/∂x| of a coupling, D = {last.dims}\n"
        f"log |det| {last.log_det:.4f}, by elimination {last.log_det_brute_force:.4f}",
        xticks=[],
        yticks=[],
    )
    dims = [c.dims for c in costs]
    axes[1].loglog(dims, [c.seconds for c in costs], "o-", color=_Z, label="the coupling itself")
    brute_force = [c.jacobian_seconds + c.elimination_seconds for c in costs]
    axes[1].loglog(dims, brute_force, "o-", color=_X, label="Jacobian and elimination")
    axes[1].set(xlabel="D", ylabel="seconds")
    axes[1].legend()
    return figure


def directions_figure(
    views: Sequence[positions.PathView], shell: positions.PriorShell, frames: np.ndarray
) -> Figure:
    """Draw lesson 6: paths in the plane of both codes, their norms, and frames along the first."""
    figure = plt.figure(figsize=(11, 6.4), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 1))
    seen, norms, strip = (figure.add_subplot(grid[at]) for at in ((0, 0), (0, 1), (1, slice(2))))
    seen.add_patch(Circle((0, 0), shell.radius, fill=False, color="#95a4a3", linewidth=3))
    seen.plot(0, 0, ".", color=_INK)
    norms.axhspan(shell.low, shell.high, color="#c3cdcc")
    for view, color in zip(views, (_X, _Z), strict=False):
        seen.plot(*view.points.T, color=color, label=view.kind)
        norms.plot(view.t, view.norms, color=color, label=view.kind)
    for name, place in (("A", views[0].a), ("B", views[0].b)):
        seen.annotate(name, (place[0], place[1]))
    _square(seen, 1.15 * shell.high, "plane through 0, A and B; the ring is the shell")
    norms.set(xlabel="t", title="‖z‖ along the path")
    norms.legend()
    strip.imshow(np.concatenate(list(frames), axis=1))
    strip.axis("off")
    return figure


def _square(axis: Axes, reach: float, title: str) -> None:
    axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
    axis.set_title(title, fontsize=10)
