"""Ways to make the frames of a morph, to be compared with each other.

A way takes pairs and positions t, the same for all of them, and gives (P, T, S, S, 3) uint8. It
has a `name`, and `prepare(pairs)` does what is done once for two photos however many frames there
are: encoding them, finding their landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from glow_app.benchmarks.morphs.flow import Codes, decode, encode
from glow_app.benchmarks.morphs.material import Faces, Pairs
from glow_app.benchmarks.morphs.shell import Shell, between
from glow_app.editing.codec import Codec
from glow_app.pictures.coding import Coding, code_and_reduce
from glow_app.pictures.warp import ShapePath
from models import StateRange

__all__ = ["CrossFade", "Encoded", "LandmarkMorph", "LatentMorph", "Way"]


class Way(Protocol):
    """What all ways have."""

    name: str

    def prepare(self, pairs: Pairs) -> None: ...

    def __call__(self, pairs: Pairs, ts: Sequence[float]) -> np.ndarray: ...


class CrossFade:
    """(1 - t)·A + t·B, pixel by pixel."""

    name = "cross-fade"

    def prepare(self, pairs: Pairs) -> None:
        del pairs

    def __call__(self, pairs: Pairs, ts: Sequence[float]) -> np.ndarray:
        a, b = (end.astype(np.float32)[:, None] for end in pairs.ends)
        t = np.asarray(ts, np.float32)[:, None, None, None]
        return ((1 - t) * a + t * b + 0.5).astype(np.uint8)


class LandmarkMorph:
    """The classical morph: both crops warped to the landmarks in between, then a cross-fade.

    Pairs without landmarks are only faded. Frames are reduced to the model's size at last.
    """

    name = "landmark morph"

    def prepare(self, pairs: Pairs) -> None:
        pairs.find_meshes()

    def __call__(self, pairs: Pairs, ts: Sequence[float]) -> np.ndarray:
        frames = CrossFade()(pairs, ts)
        size = frames.shape[-2]
        for frame, meshes, a, b in zip(frames, pairs.find_meshes(), *pairs.crops, strict=True):
            if meshes is not None:
                frame[:] = code_and_reduce(ShapePath(*meshes).dissolve(a, b, ts), size, None)
        return frames


class Encoded:
    """Codes of faces under one model, made once and shared by all ways that need them."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._faces: Faces | None = None
        self._place = np.empty(0, int)
        self._codes: Codes | None = None

    def prepare(self, pairs: Pairs) -> None:
        """Encode what is not encoded yet."""
        if self._faces is not pairs.faces:
            self._faces, self._codes = pairs.faces, None
            self._place = np.full(len(pairs.faces), -1)
        fresh = np.unique(pairs.index[self._place[pairs.index] < 0])
        if not len(fresh):
            return
        codes, before = encode(self.codec, pairs.faces.pixels[fresh]), self._codes
        self._place[fresh] = np.arange(len(fresh)) + (0 if before is None else len(before.z))
        self._codes = codes if before is None else _joined(before, codes)

    def ends(self, pairs: Pairs) -> tuple[Codes, Codes]:
        """Codes of A and of B, a row for each pair."""
        self.prepare(pairs)
        a, b = self._place[pairs.index].T
        return self._codes[a], self._codes[b]


class LatentMorph:
    """A path between two codes, decoded.

    Args:
        name: of the way.
        encoded: the model and the codes of the photos.
        shell: how long codes are on the way; None for the straight line.
        margin: states are held in what those of A and of B are together, widened by this share
            on both sides; None for no guard.
        coding: of the model's training pictures, for `guided`.
        guided: both crops are warped to the shape in between first, coded and encoded, and the
            frame is a point between their codes, held by their states. Pairs without landmarks
            take the plain path.
    """

    def __init__(
        self,
        name: str,
        encoded: Encoded,
        shell: Shell | None = None,
        margin: float | None = None,
        guided: bool = False,
        coding: Coding | None = None,
    ) -> None:
        self.name = name
        self._encoded, self._shell, self._margin = encoded, shell, margin
        self._guided, self._coding = guided, coding

    def prepare(self, pairs: Pairs) -> None:
        self._encoded.prepare(pairs)
        if self._guided:
            pairs.find_meshes()

    def __call__(self, pairs: Pairs, ts: Sequence[float]) -> np.ndarray:
        a, b = self._encoded.ends(pairs)
        every = np.repeat(np.arange(len(pairs)), len(ts))
        a, b = a[every], b[every]
        if self._guided:
            self._guide(pairs, ts, a, b)
        return self._decoded(a, b, np.tile(ts, len(pairs))).reshape(
            len(pairs), len(ts), *pairs.faces.pixels.shape[1:]
        )

    def _decoded(self, a: Codes, b: Codes, t: np.ndarray) -> np.ndarray:
        """Frames (N, S, S, 3) between N codes and N others, each at its own t (N,)."""
        z = between(a.z, b.z, torch.from_numpy(t)[:, None], self._shell)[:, 0]
        within = None
        if self._margin is not None:
            within = a.seen.union(b.seen).widened(self._margin)
        return decode(self._encoded.codec, z, within)

    def _guide(self, pairs: Pairs, ts: Sequence[float], a: Codes, b: Codes) -> None:
        """Put the codes of warped crops in the place of those of the photos."""
        codec = self._encoded.codec
        inner = np.array([k for k, t in enumerate(ts) if 0 < t < 1], int)
        for i, (meshes, *crops) in enumerate(zip(pairs.find_meshes(), *pairs.crops, strict=True)):
            if meshes is None or not len(inner):
                continue
            warped = ShapePath(*meshes).warp(*crops, [ts[k] for k in inner])
            rows = torch.from_numpy(i * len(ts) + inner)
            for codes, pictures in zip((a, b), warped, strict=True):
                small = code_and_reduce(pictures, codec.image_size, self._coding)
                fresh = encode(codec, small)
                codes.z[rows] = fresh.z
                codes.seen.low[rows], codes.seen.high[rows] = fresh.seen.low, fresh.seen.high


def _joined(first: Codes, second: Codes) -> Codes:
    z = torch.cat([first.z, second.z])
    return Codes(z, StateRange.cat([first.seen, second.seen]))
