"""Directions: what one slider of an edit does to a face's shape, its look and its pose.

A direction of strength s moves the landmarks by s·shape, turns the head by s·turn and moves the
code of the look by s·vector. Those that come with the program were learned by regression on
measured attributes (`scripts/dev/learn_edits.py`), so that one attribute moves and the others are
held. `learn` makes one from two classes of pictures, say smiling and neutral. The vector is the
normal of a linear classifier (InterFaceGAN, Shen et al. 2020, arXiv:1907.10786), whose accuracy
is measured on held-out pictures:

- `"mean"`: the difference of the class means (Kingma & Dhariwal 2018, Glow, section 6), without
  most of its noise;
- `"lda"`: linear discriminant analysis on top of it, with the covariance shrunk after Ledoit &
  Wolf 2004 ("A well-conditioned estimator for large-dimensional covariance matrices"), which
  divides out the variation within both classes. z is nearly white, so the two differ little.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import models
from glow_app.common.errors import UserError
from glow_app.faces.landmarks import LANDMARKS, differences, turned
from models.checkpoint import read_safetensors, write_safetensors

METHODS: tuple[str, ...] = ("mean", "lda")
GROUPS: tuple[str, ...] = ("Expression", "Shape", "Pose", "Look", "Light", "Your own")
FOLDS = 5

_FORMAT = "glow-studio-direction"
_VERSION = "2"
_LOOK, _SHAPE = "look", "shape"
_MAX_BYTES = 16_000_000  # a direction of a 1024 px model in float32
_MAX_NAME = 60
_WEAK_ACCURACY = 0.6
_LEAST_SHRINK = 1e-3
_SPAN = 0.1  # of the norm of a typical code: moves up to this usually leave a picture intact
_MOST = 1000.0  # of a slider's ends


@dataclass(frozen=True, eq=False)
class Direction:
    """One attribute of a face, as a slider moves it.

    Attributes:
        name: of the attribute, in a word or two.
        vector: (D,) float32, by which one unit moves the code of a look; None: not at all.
        shape: (478, 2) float64, by which one unit moves the landmarks, in fractions of the crop;
            None: not at all.
        turn: degrees by which one unit turns the head: turn, nod, tilt.
        fingerprint: `FaceModel.fingerprint` of the weights that `vector` was learned for; ""
            without a vector, since shapes fit any weights.
        group: one of `GROUPS`.
        unit: of the slider, such as "years"; "" for none.
        low, high: ends of the slider, in units.
        facts: JSON data: words for the ends ("with", "without"), measurements ("truth": slope,
            spread, along, marks); of one that was learned from two classes "method", "accuracy"
            (balanced, of held-out pictures, 0.5 is chance), "effect_size" (Cohen's d of them) and
            "counts" of pictures with and without.
    """

    name: str
    vector: Tensor | None = None
    shape: np.ndarray | None = None
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    fingerprint: str = ""
    group: str = GROUPS[-1]
    unit: str = ""
    low: float = -3.0
    high: float = 3.0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def everywhere(self) -> bool:
        """Whether its tint falls on all of the picture, as that of light, and not only on skin."""
        return bool(self.facts.get("everywhere"))

    @property
    def accuracy(self) -> float | None:
        """On held-out pictures of two classes; None if it was not learned from such."""
        return self.facts.get("accuracy")

    @property
    def weak(self) -> bool:
        """Whether the accuracy is below 60 % or within two standard errors of chance."""
        if self.accuracy is None:
            return False
        with_, without = self.facts["counts"]
        error = 0.25 * math.sqrt(1 / with_ + 1 / without)  # of the mean of two rates near 0.5
        return self.accuracy < max(_WEAK_ACCURACY, 0.5 + 2 * error)

    @property
    def with_words(self) -> str:
        """The words for faces at the positive end, or ""."""
        return str(self.facts.get("with", ""))

    @property
    def without_words(self) -> str:
        """The words for faces at the negative end, or ""."""
        return str(self.facts.get("without", ""))


def span(vector: Tensor) -> float:
    """Return the strength up to which a picture usually stays intact, rounded to 0.5."""
    reach = _SPAN * math.sqrt(vector.numel()) / max(float(vector.norm()), 1e-12)
    return min(max(round(2 * reach) / 2, 0.5), 10.0)


def combined(strengths: Sequence[tuple[Direction, float]]) -> tuple[Direction, float]:
    """Add up directions, each times its strength; return the sum, and the share of its look, 0 to
    1, whose tint falls on all of the picture."""
    vector, shape, turn = None, None, np.zeros(3)
    lengths = {True: 0.0, False: 0.0}  # of looks, by whether they fall on everything
    for direction, strength in strengths:
        if not strength:
            continue
        if direction.vector is not None:
            look = strength * direction.vector
            vector = look if vector is None else vector + look
            lengths[direction.everywhere] += float(look.norm())
        if direction.shape is not None:
            moved = strength * direction.shape
            shape = moved if shape is None else shape + moved
        turn += strength * np.array(direction.turn)
    degrees = float(turn[0]), float(turn[1]), float(turn[2])
    everywhere = lengths[True] / max(sum(lengths.values()), 1e-9)
    return Direction("sum", vector, shape, degrees), everywhere


def expression(
    sliders: Sequence[Direction], own: np.ndarray, other: np.ndarray, amount: float = 1.0
) -> list[tuple[Direction, float]]:
    """Return strengths of sliders that bring the expression and pose of another face to one's own.

    Args:
        sliders: of which those of expression and pose that have a measure are used, each within
            its ends.
        own, other: landmarks (478, 2).
        amount: 0 none of it, 1 all.

    Raises:
        UserError: there are no such sliders.
    """
    apart = differences(own, other)
    chosen = [
        slider
        for slider in sliders
        if slider.group in ("Expression", "Pose")
        and not slider.name.startswith("wink")  # "eyes wide" moves both eyes
        and (names := slider.facts.get("measure", ([], 1))[0])
        and set(names) <= set(apart)
    ]
    if not chosen:
        raise UserError("No sliders of expression come with this model.")
    measures = [slider.facts["measure"] for slider in chosen]

    def by_slider(apart: dict[str, float]) -> np.ndarray:
        """Return `differences` by the measure of each slider: (K,)."""
        means = [sign * sum(apart[n] for n in names) / len(names) for names, sign in measures]
        return np.array(means)

    # A smile widens the mouth, which has a slider of its own: the effect of one unit of each on
    # the measures of all is taken into account, so that together they do not go too far.
    effects = []
    for slider in chosen:
        moved = own if slider.shape is None else own + slider.shape
        moved = turned(moved, *slider.turn) if any(slider.turn) else moved
        effects.append(by_slider(differences(own, moved)))
    wanted = amount * by_slider(apart)
    strengths = np.linalg.lstsq(np.stack(effects, axis=1), wanted, rcond=0.05)[0].tolist()
    return [(d, min(max(s, d.low), d.high)) for d, s in zip(chosen, strengths, strict=True)]


def learn(
    z_with: Tensor,
    z_without: Tensor,
    levels: Sequence[tuple[int, int, int]],
    *,
    shapes: tuple[np.ndarray, np.ndarray] | None = None,
    name: str,
    fingerprint: str,
    method: str = "mean",
    facts: dict[str, Any] | None = None,
    seed: int = 0,
) -> Direction:
    """Learn a direction from codes of pictures with an attribute and without it.

    Accuracy and effect size are cross-validated: each fifth of either class, chosen at random, is
    judged by a direction that was learned from the other four.

    Args:
        z_with, z_without: (N, D) and (M, D) codes of looks, N and M ≥ 5.
        levels: (C, H, W) of each level of a code, finest first (`FaceModel.level_shapes`).
        shapes: landmarks (N, 478, 2) and (M, 478, 2) of the same pictures; None: the shape of a
            face does not move.
        name, fingerprint, facts: kept in the result.
        method: one of `METHODS`.
        seed: of the division into fifths.

    Raises:
        UserError: too few examples, codes that are not finite, or classes that do not differ
            by more than chance.
    """
    if not _sound_name(name):
        raise UserError(f"A direction needs a name of 1 to {_MAX_NAME} printable characters.")
    if method not in METHODS:
        raise UserError(f"There is no method {method!r}: choose one of {', '.join(METHODS)}.")
    classes = [z_with.float(), z_without.float()]
    if min(len(z) for z in classes) < FOLDS:
        raise UserError(f"A direction needs at least {FOLDS} pictures of either class.")
    if not all(bool(z.isfinite().all()) for z in classes):
        raise UserError("Some of the codes are not finite numbers.")
    vector = _unit_direction(classes, levels, method)
    if not vector.any():
        raise UserError("The two classes of pictures do not differ by more than chance.")
    generator = torch.Generator().manual_seed(seed)
    fold = [torch.randperm(len(z), generator=generator) % FOLDS for z in classes]
    scores: list[list[Tensor]] = [[], []]
    for k in range(FOLDS):
        learned_from = [z[f != k] for z, f in zip(classes, fold, strict=True)]
        normal = _unit_direction(learned_from, levels, method)
        middle = sum(z.mean(dim=0) @ normal for z in learned_from) / 2
        for of_class, z, f in zip(scores, classes, fold, strict=True):
            of_class.append((z[f == k] @ normal - middle) / normal.norm().clamp(min=1e-12))
    held_out = [torch.cat(of_class) for of_class in scores]  # above 0 where the attribute is
    reach = span(vector)
    return Direction(
        name=name,
        vector=vector,
        shape=None if shapes is None else _shape_difference(*shapes),
        fingerprint=fingerprint,
        low=-reach,
        high=reach,
        facts={
            **(facts or {}),
            "method": method,
            "accuracy": _accuracy(*held_out),
            "effect_size": _effect_size(*held_out),
            "counts": [len(z_with), len(z_without)],
        },
    )


def _shape_difference(with_: np.ndarray, without: np.ndarray) -> np.ndarray:
    """Return the difference (478, 2) of the mean shapes, without most of its noise, each point
    shrunk as in `without_noise`."""
    difference = with_.mean(axis=0) - without.mean(axis=0)
    errors = [s.var(axis=0, ddof=1) / len(s) for s in (with_, without)]
    noise = (errors[0] + errors[1]).sum(axis=-1)
    energy = np.square(difference).sum(axis=-1)
    keep = np.clip(1 - noise / np.maximum(energy, 1e-12), 0, None)
    return difference * keep[:, None]


def _sound_name(name: str) -> bool:
    return 0 < len(name.strip()) <= len(name) <= _MAX_NAME and name.isprintable()


def _unit_direction(
    classes: list[Tensor], levels: Sequence[tuple[int, int, int]], method: str
) -> Tensor:
    """Return a direction (D,) as long as the difference of the class means along it.

    The difference is shrunk: of a few hundred pictures most of it is noise.
    """
    with_, without = classes
    difference = with_.mean(dim=0) - without.mean(dim=0)
    noise = with_.var(dim=0) / len(with_) + without.var(dim=0) / len(without)
    difference = without_noise(difference, noise, levels)
    if method == "mean" or not difference.any():
        return difference
    normal = _shrunk_solve(torch.cat([z - z.mean(dim=0) for z in classes]), difference)
    return normal * (normal @ difference / normal.square().sum())


def without_noise(vector: Tensor, noise: Tensor, levels: Sequence[tuple[int, int, int]]) -> Tensor:
    """Shrink an estimated direction, each position of each level by the share of its energy that
    noise explains (positive-part James-Stein): d · max(0, 1 - noise/energy).

    Both are averaged over a window of half the level's side: of single positions every second has
    more energy than noise by chance alone.

    Args:
        vector: (D,).
        noise: (D,) variance of each number's error.
        levels: (C, H, W) of each level of a code, finest first.
    """
    sizes = [math.prod(shape) for shape in levels]
    shrunk = []
    for d, n, shape in zip(vector.split(sizes), noise.split(sizes), levels, strict=True):
        window = max(3, shape[1] // 2 | 1)
        energy, expected = (
            F.avg_pool2d(
                x.view(shape).mean(dim=0)[None], window, 1, window // 2, count_include_pad=False
            )
            for x in (d.square(), n)
        )
        keep = (1 - expected / energy).nan_to_num(0.0).clamp(min=0)
        shrunk.append((d.view(shape) * keep).flatten())
    return torch.cat(shrunk)


def _shrunk_solve(residuals: Tensor, difference: Tensor) -> Tensor:
    """Return a multiple of Σ⁻¹·difference, Σ = (1 - ρ)·S + ρ·μ·I, S = RᵀR/N.

    ρ is the best shrinkage by Ledoit & Wolf 2004, eq. 14, μ the mean eigenvalue of S. D is larger
    than N here, so everything is done through the Gram matrix RRᵀ (N, N), by Woodbury's identity.
    """
    count, dims = residuals.shape
    gram = (residuals @ residuals.T).double()
    squares = gram.diagonal()
    size = squares.sum() / (count * dims)  # μ
    frobenius = gram.square().sum() / count**2  # ‖S‖²
    spread = frobenius - dims * size**2
    error = (squares.square().sum() / count - frobenius) / count
    shrink = float((error / spread).clamp(_LEAST_SHRINK, 1)) if spread > 0 else 1.0  # ρ
    if shrink == 1 or size == 0:
        return difference
    ridge = shrink * size * count / (1 - shrink)
    factor = torch.linalg.cholesky(gram + ridge * torch.eye(count, dtype=torch.float64))
    seen = (residuals @ difference).double()[:, None]
    weights = torch.cholesky_solve(seen, factor)[:, 0]
    return difference - residuals.T @ weights.to(residuals.dtype)


def _accuracy(with_: Tensor, without: Tensor) -> float:
    rates = [((side > 0) + 0.5 * (side == 0)).double().mean() for side in (with_, -without)]
    return float((rates[0] + rates[1]) / 2)  # a score of just 0 is a guess


def _effect_size(with_: Tensor, without: Tensor) -> float:
    a, b = with_.double(), without.double()
    squares = (a - a.mean()).square().sum() + (b - b.mean()).square().sum()
    spread = (squares / (len(a) + len(b) - 2)).sqrt()
    return float((a.mean() - b.mean()) / spread) if spread > 0 else 0.0


def pretrained_folder() -> Path:
    """Return where the directions of released weights are, in a folder for each."""
    return models.pretrained_path().parent / "directions"


def save(direction: Direction, path: str | Path) -> Path:
    """Write a direction atomically, as float16: its own noise is far coarser than that.
    Raises OSError: the folder is missing or the disk full; an older file at `path` survives."""
    path = Path(path)
    about = {f.name: getattr(direction, f.name) for f in fields(direction)}
    del about["vector"], about["shape"]
    tensors = {}
    if direction.vector is not None:
        tensors[_LOOK] = direction.vector.half().contiguous()
    if direction.shape is not None:
        tensors[_SHAPE] = torch.from_numpy(direction.shape).half().contiguous()
    metadata = {"format": _FORMAT, "version": _VERSION, "about": json.dumps(about)}
    # A file of tensors has at least one.
    write_safetensors(tensors or {_SHAPE: torch.zeros(LANDMARKS, 2).half()}, metadata, path)
    return path


def load(path: str | Path, fingerprint: str | None = None) -> Direction:
    """Read a direction from a file that `save` wrote.

    Raises:
        UserError: the file is missing, broken, no direction, or made for weights of another
            `fingerprint`, None being any.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no direction {path.name}.")
    if path.stat().st_size > _MAX_BYTES:
        raise UserError(f"{path.name} is too large to be a direction.")
    try:
        state, metadata = read_safetensors(path)
    except models.CheckpointError as error:
        raise UserError(str(error)) from error
    if metadata.get("format") != _FORMAT:
        raise UserError(f"{path.name} is not a direction of Glow Studio.")
    if metadata.get("version") == "1":
        raise UserError(
            f"{path.name} was learned before faces had a shape and a look: learn it anew with "
            "scripts/find_direction.py."
        )
    if metadata.get("version") != _VERSION:
        raise UserError(
            f"{path.name} has direction version {metadata.get('version')}; "
            f"this program reads version {_VERSION}."
        )
    try:
        direction = _checked(state, json.loads(metadata["about"]))
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"{path.name} is damaged: what it says of itself is odd.") from error
    if fingerprint is not None and direction.fingerprint not in ("", fingerprint):
        raise UserError(
            f"{path.name} was learned for other weights: its numbers mean nothing here."
        )
    return direction


def _checked(state: dict[str, Tensor], about: dict[str, Any]) -> Direction:
    """Return a direction from the content of a file, which can be anything; raise ValueError."""
    if not state or not set(state) <= {_LOOK, _SHAPE}:
        raise ValueError("other tensors")
    vector, shape = state.get(_LOOK), state.get(_SHAPE)
    facts = dict(about["facts"])
    turn, nod, tilt = (float(x) for x in about["turn"])
    direction = Direction(
        name=str(about["name"]),
        vector=None if vector is None else vector.float(),
        shape=None if shape is None else shape.double().numpy(),
        turn=(turn, nod, tilt),
        fingerprint=str(about["fingerprint"]),
        group=str(about["group"]),
        unit=str(about["unit"])[:_MAX_NAME],
        low=float(about["low"]),
        high=float(about["high"]),
        facts=facts,
    )
    sound = (
        all(t.is_floating_point() and bool(t.float().isfinite().all()) for t in state.values())
        and (vector is None or (vector.ndim == 1 and direction.fingerprint))
        and (shape is None or shape.shape == (LANDMARKS, 2))
        and all(math.isfinite(x) for x in direction.turn)
        and -_MOST <= direction.low <= 0 <= direction.high <= _MOST
        and direction.low < direction.high
        and direction.group in GROUPS
        and _sound_name(direction.name)
    )
    if "accuracy" in facts:
        with_, without = (int(count) for count in facts["counts"])
        facts |= {"accuracy": float(facts["accuracy"]), "counts": [with_, without]}
        sound = sound and 0 <= facts["accuracy"] <= 1 and min(with_, without) > 0
    truth = facts.get("truth", {})
    for name in {"slope", "spread"} & set(truth):
        truth[name] = float(truth[name])
        sound = sound and math.isfinite(truth[name])
    if not sound:
        raise ValueError("values out of range")
    return direction
