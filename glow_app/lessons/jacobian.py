"""Lesson 5: the Jacobian of one coupling, and what its determinant costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from models import NETS, Glow
from models.layers import AffineCoupling, Bijection, exact_float32

#: Sizes at which the two ways to a log-determinant are compared.
DIMS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
_HEAT_MAP = 192  # cells a side, at most
_CHUNK = 256  # rows of a Jacobian that are found at once
T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """The log-determinant of one coupling, found in two ways, with the seconds that they take."""

    dims: int  # numbers D in its input
    log_det: float  # as the flow finds it, with y: the sum of the log-scales
    log_det_diagonal: float  # Σ log |J_ii| of the whole Jacobian: D additions
    log_det_brute_force: float  # log |det J| by LU decomposition: D³/3 multiplications
    seconds: float  # of the flow's way; y comes with it
    jacobian_seconds: float  # of the first part of the other way
    elimination_seconds: float  # of its second part
    heat_map: np.ndarray  # (M, M) float32 in [0, 1], see :func:`heat_map`
    above: float  # largest |J_ij| above the diagonal: 0 if the matrix is triangular


def jacobian(bijection: Bijection, x: Tensor) -> Tensor:
    """Return ∂y/∂x (D, D) of a bijection at one input ``x`` (1, C, H, W), by autograd."""

    def flat(v: Tensor) -> Tensor:
        return bijection(v.view(x.shape))[0].flatten()

    return torch.func.jacrev(flat, chunk_size=_CHUNK)(x.flatten()).detach()


def random_coupling(dims: int) -> tuple[AffineCoupling, Tensor]:
    """Return a coupling of ``dims`` ≥ 2 numbers with random weights, and an input; float64."""
    half = dims // 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = NETS["point"](half, 64, 2 * (dims - half), size=1, blocks=0)
        # Nets start at zero, a coupling therefore as the identity.
        nn.init.normal_(net.conv_out.weight, std=0.1)
        x = torch.randn(1, dims, 1, 1, dtype=torch.float64)
    return AffineCoupling(net).double().eval(), x


@torch.no_grad()
def face_coupling(model: Glow, z: Tensor) -> tuple[AffineCoupling, Tensor]:
    """Return the coupling that g undoes first, at the coarsest level, and its input (1, C, H, W)
    float64 when f codes the picture of ``z`` (1, D)."""
    level, z = model.levels[-1], z.to(model.device, torch.float64)
    *_, step = level.steps
    with exact_float32(z.device):
        whitened = model.split_levels(z)[-1]
        return step.coupling, step.coupling.inverse(level.prior.inverse(whitened))


def cost(coupling: AffineCoupling, x: Tensor) -> Cost:
    """Find and time the log-determinant of ``coupling`` at ``x`` (1, C, H, W) in both ways."""
    with exact_float32(x.device):
        with torch.no_grad():
            (_, log_det), seconds = _timed(lambda: coupling(x), x.device, repeats=5)
        matrix, jacobian_seconds = _timed(lambda: jacobian(coupling, x), x.device)
        slogdet, elimination_seconds = _timed(lambda: torch.linalg.slogdet(matrix), x.device)
    return Cost(
        dims=x.numel(),
        log_det=float(log_det),
        log_det_diagonal=float(matrix.diagonal().abs().log().sum()),
        log_det_brute_force=float(slogdet.logabsdet),
        seconds=seconds,
        jacobian_seconds=jacobian_seconds,
        elimination_seconds=elimination_seconds,
        heat_map=heat_map(matrix),
        above=float(matrix.triu(1).abs().max()),
    )


def heat_map(matrix: Tensor, cells: int = _HEAT_MAP) -> np.ndarray:
    """Return |J_ij| on a cube root scale, its largest as 1: (M, M) float32, M at most ``cells``.

    A larger matrix is drawn by the largest element in each cell, so that nothing is hidden.
    """
    size = matrix.abs()[None].float()
    if len(matrix) > cells:
        size = nn.functional.adaptive_max_pool2d(size, cells)
    return (size[0] / size.max().clamp_min(1e-12)).pow(1 / 3).cpu().numpy()


def _timed(compute: Callable[[], T], device: torch.device, repeats: int = 1) -> tuple[T, float]:
    """Return the result, and the least of ``repeats`` times in seconds on ``device``."""
    seconds = []
    for _ in range(repeats):
        _wait(device)
        began = time.perf_counter()
        result = compute()
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return result, min(seconds)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":  # a GPU is still at work when its call returns
        torch.cuda.synchronize(device)
