"""The faces that morphs are measured on: read once, halved, and paired by chance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from glow_app.common.errors import UserError
from glow_app.editing.codec import Codec
from glow_app.faces.face import Face
from glow_app.faces.prepare import prepare

__all__ = ["SIDE", "draw_pairs", "halves", "read_faces"]

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


def draw_pairs(faces: Sequence[Face], at_most: int, seed: int) -> list[tuple[Face, Face]]:
    """Pairs of different faces by chance, either way round, none of them twice.

    Args:
        faces: N ≥ 2 of them.
        at_most: how many pairs; there are no more than N·(N - 1) / 2.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(np.stack(np.triu_indices(len(faces), 1), axis=1))[:at_most]
    return [(faces[i], faces[k]) for i, k in rng.permuted(chosen, axis=1)]
