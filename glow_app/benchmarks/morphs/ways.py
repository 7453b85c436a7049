"""Ways to make the frames of a morph, to be compared with each other.

A way takes pairs and positions t, the same for all of them, and gives (P, T, S, S, 3) uint8. It
has a `name`, and `prepare(pairs)` does what is done once for two photos however many frames are
made of them: encoding them, finding their landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch

from glow_app.benchmarks.morphs.material import Pairs
from glow_app.editing.codec import Codec, Coded
from glow_app.editing.contrast import fitted
from glow_app.editing.guide import Studio, guided_journey
from glow_app.editing.portrait import Portrait
from glow_app.editing.shell import Shell
from glow_app.editing.walk import MARGIN, Style, Walk, journey_walk
from glow_app.faces.coding import code_and_reduce
from glow_app.faces.warp import ShapePath
from models import StateRange

__all__ = ["CrossFade", "Encoded", "LandmarkMorph", "LatentMorph", "Way", "all_ways"]


class Way(Protocol):
    """What all ways have."""

    name: str

    def prepare(self, pairs: Pairs) -> None: ...

    def __call__(self, pairs: Pairs, ts: Sequence[float]) -> np.ndarray: ...


class CrossFade:
    """(1 - t)·A + t·B, pixel by pixel."""

    name = "cross-fade"

    def prepare(self, pairs: Pairs) -> None:
        """There is nothing to prepare."""

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
    """Codes of faces, made once in full batches and shared by all ways that need them."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._rows: dict[bytes, Coded] = {}

    def prepare(self, pairs: Pairs) -> None:
        """Encode those that are not encoded yet."""
        pictures = pairs.faces.pixels[np.unique(pairs.index)]
        fresh = [picture for picture in pictures if picture.tobytes() not in self._rows]
        for first in range(0, len(fresh), self.codec.batch):
            chunk = np.stack(fresh[first : first + self.codec.batch])
            coded = self.codec.encode_with_range(chunk, keep=False)
            for i, picture in enumerate(chunk):
                row = Coded(coded.z[i : i + 1], coded.within[i])
                self._rows[picture.tobytes()] = row

    def encode(self, pictures: np.ndarray, keep: bool) -> Coded:
        """Codes of (N, S, S, 3); with `keep` of prepared ones, which cost nothing now."""
        if not keep:
            return self.codec.encode_with_range(pictures, keep=False)
        return joined([self._rows[picture.tobytes()] for picture in pictures])

    def encode_any(self, pictures: np.ndarray, keep: bool) -> Coded:
        """:meth:`encode`, of pictures that need not be prepared."""
        known = all(picture.tobytes() in self._rows for picture in pictures)
        return self.encode(pictures, keep and known)


class LatentMorph:
    """A walk between two codes, decoded: the very one of the page and the scripts.

    Args:
        name: of the way.
        encoded: the model, and the codes of the photos.
        path: one of `walk.MORPH_PATHS`.
        guarded: whether states are held in the range that the walk gives.
        guided: both crops are warped to the shape in between first, coded and encoded, and the
            walk goes between their codes. Pairs without landmarks take the plain path.
        shell: how long codes are on the way; None for what is kept with the weights.
        fit: choose the dip of each pair by its contrast, see `editing.contrast`.
    """

    def __init__(
        self,
        name: str,
        encoded: Encoded,
        path: str,
        guarded: bool = False,
        guided: bool = False,
        shell: Shell | None = None,
        fit: bool = False,
    ) -> None:
        self.name, self._fit = name, fit
        self._encoded, self._guarded, self._guided = encoded, guarded, guided
        if shell is None:
            shell = encoded.codec.shell.guided() if guided else encoded.codec.shell
        self._style = Style(path, None, shell)

    def prepare(self, pairs: Pairs) -> None:
        self._encoded.prepare(pairs)
        if self._guided:
            pairs.find_meshes()

    def __call__(self, pairs: Pairs, ts: Sequence[float]) -> np.ndarray:
        walks = self._guided_walks(pairs) if self._guided else self._plain_walks(pairs)
        coded = joined([walk.at(np.asarray(ts, np.float64)) for walk in walks])
        within = coded.within if self._guarded else None
        frames, _ = self._encoded.codec.decode_with_report(coded.z, within=within)
        return frames.reshape(len(pairs), len(ts), *frames.shape[1:])

    def _plain_walks(self, pairs: Pairs) -> list[Walk]:
        return [self._plain(np.stack(ends)) for ends in zip(*pairs.ends, strict=True)]

    def _plain(self, ends: np.ndarray) -> Walk:
        coded, style = self._encoded.encode(ends, True), self._style
        if style.share and self._fit:
            within = coded.within.merged().widened(MARGIN)
            shell = fitted(style.shell, *coded.z.split(1), within, ends, self._decode)
            style = replace(style, shell=shell)
        return journey_walk(coded, style, None)

    def _decode(self, coded: Coded) -> np.ndarray:
        within = coded.within if self._guarded else None
        return self._encoded.codec.decode_with_report(coded.z, within=within)[0]

    def _guided_walks(self, pairs: Pairs) -> list[Walk]:
        codec, walks = self._encoded.codec, []
        for ends, crops, meshes in zip(
            zip(*pairs.ends, strict=True),
            zip(*pairs.crops, strict=True),
            pairs.find_meshes(),
            strict=True,
        ):
            if meshes is None:
                walks.append(self._plain(np.stack(ends)))
                continue
            faces = tuple(Portrait(*parts) for parts in zip(ends, crops, strict=True))
            decode = self._decode if self._fit else None
            tools = self._encoded.encode_any, self._style.shell, decode
            studio = Studio(faces, codec.coding, *tools)
            walks.append(guided_journey(studio, self._style, None))
        return walks


def all_ways(codec: Codec) -> list[Way]:
    """What is compared: both baselines, then the walks with one thing more each time."""
    encoded = Encoded(codec)
    return [
        CrossFade(),
        LandmarkMorph(),
        LatentMorph("linear", encoded, "linear"),
        LatentMorph("shell", encoded, "shell"),
        LatentMorph("shell, guard", encoded, "shell", guarded=True),
        LatentMorph("guide, shell, guard", encoded, "shell", guarded=True, guided=True),
        LatentMorph(
            "guide, shell, guard, contrast", encoded, "shell", guarded=True, guided=True, fit=True
        ),
    ]


def joined(rows: Sequence[Coded]) -> Coded:
    """All rows, one below the other; each has a range, or as many as it has codes."""
    ranges = []
    for row in rows:
        many = len(row.within) == len(row.z)
        ranges.append(row.within if many else row.within[[0] * len(row.z)])
    return Coded(torch.cat([row.z for row in rows]), StateRange.cat(ranges))
