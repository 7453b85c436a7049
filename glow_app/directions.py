"""Directions in latent space that change one attribute of a face: learn, save, load.

A direction d is learned from the codes of two classes of pictures, say smiling and neutral, and
applied as z + s·d. Its length is the unit: s = 1 moves a code by one difference between the
classes.

Both ways to learn one are classifiers whose normal is the direction (as Glow's own attribute
manipulation, Kingma & Dhariwal 2018, section 6, and InterFaceGAN, Shen et al. 2020,
arXiv:1907.10786), so each has a held-out accuracy, which says how much there is to it:

- `"mean"`: the difference of the class means, the direction in which the classes differ;
- `"lda"`: linear discriminant analysis with the covariance shrunk after Ledoit & Wolf 2004 ("A
  well-conditioned estimator for large-dimensional covariance matrices"), the direction that
  *tells them apart*, with what merely varies along with the attribute divided out.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import models
from models.checkpoint import read_safetensors, write_safetensors

__all__ = [
    "FOLDS",
    "METHODS",
    "Direction",
    "DirectionError",
    "learn",
    "load",
    "pretrained_folder",
    "save",
]

METHODS: tuple[str, ...] = ("mean", "lda")
FOLDS = 5

_FORMAT = "glow-studio-direction"
_VERSION = "1"
_KEY = "direction"
_MAX_BYTES = 16_000_000  # a direction of a 1024 px model in float32
_MAX_NAME = 60
_WEAK_ACCURACY = 0.6


class DirectionError(ValueError):
    """A file that is no usable direction, or examples that teach none; one sentence."""


@dataclass(frozen=True, eq=False)
class Direction:
    """One attribute as a direction in the latent space of one checkpoint.

    Attributes:
        name: of the attribute, in a word or two.
        vector: (D,) float32; z + s·vector moves by s differences between the classes.
        fingerprint: of the weights it was learned for (`glow_app.codec.Codec.fingerprint`); codes
            of other weights mean something else.
        accuracy: balanced accuracy, 0 to 1, of telling held-out pictures of the two classes apart
            by this direction, threshold half way; 0.5 is chance.
        effect_size: Cohen's d of held-out pictures along the direction: the distance of the class
            means in standard deviations within a class.
        counts: pictures with and without the attribute that it was learned from.
        facts: what else is known, JSON data: method, the words for the classes ("with",
            "without"), how the pictures were chosen.
    """

    name: str
    vector: Tensor
    fingerprint: str
    accuracy: float
    effect_size: float
    counts: tuple[int, int]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def weak(self) -> bool:
        """Whether held-out pictures are told apart hardly better than by chance.

        Below 60 %, or within two standard errors of one half.
        """
        with_, without = self.counts
        error = 0.25 * math.sqrt(1 / with_ + 1 / without)  # of the mean of two rates near 0.5
        return self.accuracy < max(_WEAK_ACCURACY, 0.5 + 2 * error)

    @property
    def with_words(self) -> str:
        """What pictures at the positive end are, "" where nobody said."""
        return str(self.facts.get("with", ""))

    @property
    def without_words(self) -> str:
        """What pictures at the negative end are, "" where nobody said."""
        return str(self.facts.get("without", ""))


# --------------------------------------------------------------------------------------- learning


def learn(
    z_with: Tensor,
    z_without: Tensor,
    *,
    name: str,
    fingerprint: str,
    method: str = "mean",
    facts: dict[str, Any] | None = None,
    seed: int = 0,
) -> Direction:
    """Learn a direction from codes of pictures with an attribute and without it.

    The direction itself comes from all of them. Accuracy and effect size are cross-validated:
    each fifth of either class, chosen at random, is judged by a direction that was learned from
    the other four.

    Args:
        z_with: (N, D) codes, N ≥ 5.
        z_without: (M, D) codes, M ≥ 5.
        name, fingerprint, facts: kept in the result; "method" is added to the facts.
        method: one of `METHODS`.
        seed: of the division into fifths.

    Raises:
        DirectionError: too few examples, codes that are not finite, or classes that do not differ.
    """
    if method not in METHODS:
        raise DirectionError(f"There is no method {method!r}: choose one of {', '.join(METHODS)}.")
    classes = [z_with.float(), z_without.float()]
    if min(len(z) for z in classes) < FOLDS:
        raise DirectionError(f"A direction needs at least {FOLDS} pictures of either class.")
    if not all(bool(z.isfinite().all()) for z in classes):
        raise DirectionError("Some of the codes are not finite numbers.")
    generator = torch.Generator().manual_seed(seed)
    fold = [torch.randperm(len(z), generator=generator) % FOLDS for z in classes]
    scores: list[list[Tensor]] = [[], []]
    for k in range(FOLDS):
        seen = [z[f != k] for z, f in zip(classes, fold, strict=True)]
        score = _scorer(seen, _unit_direction(*seen, method))
        for of_class, z, f in zip(scores, classes, fold, strict=True):
            of_class.append(score(z[f == k]))
    held_out = [torch.cat(of_class) for of_class in scores]
    return Direction(
        name=name,
        vector=_unit_direction(*classes, method),
        fingerprint=fingerprint,
        accuracy=_accuracy(*held_out),
        effect_size=_effect_size(*held_out),
        counts=(len(z_with), len(z_without)),
        facts={**(facts or {}), "method": method},
    )


def _unit_direction(z_with: Tensor, z_without: Tensor, method: str) -> Tensor:
    """(D,) whose length is one difference of the class means, seen along it."""
    difference = z_with.mean(dim=0) - z_without.mean(dim=0)
    normal = difference
    if method == "lda":
        residuals = torch.cat([z - z.mean(dim=0) for z in (z_with, z_without)])
        normal = _shrunk_solve(residuals, difference)
    length = normal.square().sum()
    if not length > 0:
        raise DirectionError("The two classes of pictures have the same mean: nothing differs.")
    return normal * (normal @ difference / length)


def _shrunk_solve(residuals: Tensor, difference: Tensor) -> Tensor:
    """Σ⁻¹·difference with Σ = (1 - ρ)·S + ρ·μ·I, S = RᵀR/N (Ledoit & Wolf 2004, eq. 14).

    ρ is their estimate of what shrinkage is best, μ the mean eigenvalue of S. D is larger than N
    here, so everything is done through the Gram matrix RRᵀ (N, N), by Woodbury's identity.
    """
    count, dims = residuals.shape
    gram = (residuals @ residuals.T).double()
    squares = gram.diagonal()
    size = squares.sum() / (count * dims)  # μ
    frobenius = gram.square().sum() / count**2  # ‖S‖²
    spread = (frobenius - dims * size**2) / dims
    error = (squares.square().sum() / count - frobenius) / (count * dims)
    shrink = float((error / spread).clamp(1e-3, 1)) if spread > 0 else 1.0  # ρ
    ridge = shrink * size
    if shrink == 1 or not ridge > 0:
        return difference
    scale = (1 - shrink) / count
    inner = gram + torch.eye(count, dtype=torch.float64) * (ridge / scale)
    factor = torch.linalg.cholesky(inner)
    seen = (residuals @ difference).double()[:, None]
    weights = torch.cholesky_solve(seen, factor)[:, 0]
    return difference - residuals.T @ weights.to(residuals.dtype)


def _scorer(classes: list[Tensor], vector: Tensor) -> Any:
    """Codes (N, D) to scores (N,): about +1/2 with the attribute and -1/2 without it."""
    high, low = (z.mean(dim=0) @ vector for z in classes)
    return lambda z: (z @ vector - (high + low) / 2) / (high - low)


def _accuracy(with_: Tensor, without: Tensor) -> float:
    rates = [(with_ > 0).double().mean(), (without < 0).double().mean()]
    return float(sum(rates) / 2)


def _effect_size(with_: Tensor, without: Tensor) -> float:
    parts = [s.double() for s in (with_, without)]
    squares = sum((s - s.mean()).square().sum() for s in parts)
    spread = (squares / (sum(len(s) for s in parts) - 2)).sqrt()
    return float((parts[0].mean() - parts[1].mean()) / spread) if spread > 0 else math.inf


# ------------------------------------------------------------------------------------------- files


def pretrained_folder() -> Path:
    """Where the directions of the released weights lie, one .safetensors each."""
    return models.pretrained_path().parent / "directions"


def save(direction: Direction, path: str | Path) -> Path:
    """Write a direction atomically, as float16: its own noise is far coarser than that.

    Raises:
        OSError: the folder is missing or the disk full; an older file at `path` survives.
    """
    path = Path(path)
    known = {
        "name": direction.name,
        "fingerprint": direction.fingerprint,
        "accuracy": direction.accuracy,
        "effect_size": direction.effect_size,
        "counts": list(direction.counts),
        "facts": direction.facts,
    }
    metadata = {"format": _FORMAT, "version": _VERSION, "about": json.dumps(known)}
    write_safetensors({_KEY: direction.vector.half().contiguous()}, metadata, path)
    return path


def load(path: str | Path, fingerprint: str | None = None) -> Direction:
    """Read a direction.

    Args:
        path: a file that `save` wrote.
        fingerprint: of the weights it is wanted for; None takes any.

    Raises:
        DirectionError: the file is missing, broken, no direction, or made for other weights; one
            sentence.
    """
    path = Path(path)
    if not path.is_file():
        raise DirectionError(f"There is no direction {path.name}.")
    if path.stat().st_size > _MAX_BYTES:
        raise DirectionError(f"{path.name} is too large to be a direction.")
    try:
        state, metadata = read_safetensors(path)
    except models.CheckpointError as error:
        raise DirectionError(str(error)) from error
    if metadata.get("format") != _FORMAT or set(state) != {_KEY}:
        raise DirectionError(f"{path.name} is not a direction of Glow Studio.")
    if metadata.get("version") != _VERSION:
        raise DirectionError(
            f"{path.name} has direction version {metadata.get('version')}; "
            f"this program reads version {_VERSION}."
        )
    try:
        direction = _checked(state[_KEY], json.loads(metadata["about"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DirectionError(f"{path.name} is damaged: what it says of itself is odd.") from error
    if fingerprint is not None and direction.fingerprint != fingerprint:
        raise DirectionError(
            f"{path.name} was learned for other weights: its numbers mean nothing here."
        )
    return direction


def _checked(vector: Tensor, about: dict[str, Any]) -> Direction:
    """A direction from what a file holds, which can be anything."""
    with_, without = (int(count) for count in about["counts"])
    direction = Direction(
        name=str(about["name"])[:_MAX_NAME],
        vector=vector.float(),
        fingerprint=str(about["fingerprint"]),
        accuracy=float(about["accuracy"]),
        effect_size=float(about["effect_size"]),
        counts=(with_, without),
        facts=dict(about["facts"]),
    )
    sound = (
        vector.ndim == 1
        and vector.is_floating_point()
        and bool(vector.isfinite().all())
        and 0 <= direction.accuracy <= 1
        and min(with_, without) > 0
        and direction.name.isprintable()
        and direction.name.strip() != ""
    )
    if not sound:
        raise ValueError("values out of range")
    return direction
