"""The faces that morphs are measured on: read once, halved, and paired by chance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from glow_app.common.errors import UserError
from glow_app.faces.coding import Coding
from glow_app.faces.landmarks import find_mesh
from glow_app.faces.prepare import prepare

__all__ = ["Faces", "Pairs", "all_pairs", "draw_pairs", "halves", "read_faces"]


@dataclass(frozen=True, eq=False)
class Faces:
    """Pictures as a model takes them.

    Attributes:
        pixels: (N, S, S, 3) uint8.
        crops: (N, C, C, 3) uint8, the same before they were coded and reduced.
        skipped: a sentence for each file that could not be used.
    """

    pixels: np.ndarray
    crops: np.ndarray
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pixels)

    @cached_property
    def meshes(self) -> dict[int, np.ndarray | None]:
        """Landmarks of those that were asked for with `Pairs.find_meshes`, by index."""
        return {}


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which faces are morphed into which.

    Attributes:
        faces: of which they are.
        index: (P, 2) places of A and B among them.
    """

    faces: Faces
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: slice) -> Pairs:
        return Pairs(self.faces, self.index[rows])

    @property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of A and of B, (P, S, S, 3) uint8 each."""
        a, b = self.faces.pixels[self.index.T]
        return a, b

    @property
    def crops(self) -> tuple[np.ndarray, np.ndarray]:
        """Crops of A and of B, (P, C, C, 3) uint8 each."""
        a, b = self.faces.crops[self.index.T]
        return a, b

    def find_meshes(self) -> list[tuple[np.ndarray, np.ndarray] | None]:
        """Landmarks of A and B for each pair; None where either has none. Looked for once."""
        known = self.faces.meshes
        for i in np.unique(self.index).tolist():
            if i not in known:
                known[i] = find_mesh(self.faces.crops[i])
        found = [(known[a], known[b]) for a, b in self.index.tolist()]
        return [None if a is None or b is None else (a, b) for a, b in found]


def read_faces(
    files: Iterable[Path],
    size: int,
    coding: Coding | None,
    align: Literal["auto", "face", "center"],
) -> Faces:
    """Prepare pictures for a model; files that cannot be used are left out.

    Args:
        files: of pictures.
        size: side of the model's pictures.
        coding: of the model's training pictures, or None.
        align: as `prepare` takes it.

    Raises:
        UserError: fewer than two can be used.
    """
    pixels, crops, skipped = [], [], []
    for file in files:
        try:
            prepared = prepare(file, size, align=align, coding=coding)
        except UserError as error:
            skipped.append(str(error))
            continue
        pixels.append(prepared.pixels)
        crops.append(prepared.crop)
    if len(pixels) < 2:
        raise UserError("A morph needs two pictures, and fewer could be read.")
    return Faces(np.stack(pixels), np.stack(crops), tuple(skipped))


def halves(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of two halves of `count` pictures by chance: of the reference, and of the others."""
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[: count // 2]), np.sort(order[count // 2 :])


def draw_pairs(members: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(count, 2) of `members` by chance: each is used as often as any other, give or take one,
    and never twice in one pair.

    Args:
        members: (N,) indices, N ≥ 2.
    """
    rng = np.random.default_rng(seed)
    rounds = []
    while sum(map(len, rounds)) < count:
        rounds.append(rng.permutation(members)[: len(members) // 2 * 2].reshape(-1, 2))
    return np.concatenate(rounds)[:count]


def all_pairs(count: int, at_most: int, seed: int) -> np.ndarray:
    """Every pair of `count` pictures once, either way round by chance, or `at_most` of them."""
    rng = np.random.default_rng(seed)
    pairs = np.stack(np.triu_indices(count, 1), axis=1)
    turned = rng.random(len(pairs)) < 0.5
    pairs[turned] = pairs[turned, ::-1]
    return rng.permutation(pairs)[:at_most]
