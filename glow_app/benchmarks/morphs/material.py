"""The faces that morphs are measured on: read once, halved, and paired by chance."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from glow_app.common.errors import UserError
from glow_app.editing.codec import Codec
from glow_app.faces.face import Face
from glow_app.faces.prepare import prepare

__all__ = ["SIDE", "all_pairs", "draw_pairs", "halves", "read_faces"]

SIDE = 384  # pixels a side of the frames that are marked, like those that judges marked


def read_faces(
    files: Iterable[Path], codec: Codec, align: str, skipped: Callable[[str], None]
) -> list[Face]:
    """Prepare pictures for a model; `Face.photo` is the file of each.

    Args:
        files: of pictures.
        codec: the model.
        align: "auto", "face" or "center", as for `prepare`.
        skipped: gets a sentence for each file that cannot be used.

    Raises:
        UserError: fewer than two can be used.
    """
    faces = []
    for file in files:
        try:
            face = prepare(file, codec.image_size, align, codec.coding, full=SIDE)
            faces.append(replace(face, photo=file))
        except UserError as error:
            skipped(str(error))
    if len(faces) < 2:
        raise UserError("A morph needs two pictures, and fewer could be read.")
    return faces


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
