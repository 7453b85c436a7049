"""The shapes of faces that the model draws: a Gaussian, given the coarse part of the look's code.

A model of looks draws every face in the mean shape. Its landmarks are drawn beside: principal
components of the training faces' landmarks (Cootes, Taylor, Cooper & Graham 1995, "Active shape
models"), whose scores are Gaussian around a linear function of the coarsest numbers of the code.
Drawn without looking at the code, lips that are shut would be stretched over open mouths.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

import models
from glow_app.common.errors import UserError
from glow_app.faces.landmarks import LANDMARKS
from models.checkpoint import read_safetensors, write_safetensors

__all__ = ["COMPONENTS", "ShapePrior", "pretrained_file"]

COMPONENTS: Final = 40  # of 956 numbers: 99.7 % of the variance
_FORMAT: Final = "glow-studio-shapes"


@dataclass(frozen=True, eq=False)
class ShapePrior:
    """p(S | z) = mean + (b + W·z_coarse + C·ε)·components, ε ~ N(0, I).

    Attributes:
        mean: (478, 2) float64, in fractions of the crop.
        components: (K, 956), orthonormal rows.
        offset: (K,) b.
        weights: (K, F) W, for the last F numbers of a code, which are its coarsest.
        noise: (K, K) C, lower triangular.
        fingerprint: of the weights whose codes it was fitted on (`Codec.fingerprint`).
    """

    mean: np.ndarray
    components: np.ndarray
    offset: np.ndarray
    weights: np.ndarray
    noise: np.ndarray
    fingerprint: str = ""

    @classmethod
    def fitted(
        cls, shapes: np.ndarray, codes: np.ndarray, ridge: float, fingerprint: str = ""
    ) -> ShapePrior:
        """Least squares with a penalty.

        Args:
            shapes: (N, 478, 2) landmarks.
            codes: (N, F), the coarsest numbers of the codes of their looks.
            ridge: penalty, in variances of a number of a code; larger for fewer faces.
        """
        flat = np.asarray(shapes, np.float64).reshape(len(shapes), -1)
        x, mean = np.asarray(codes, np.float64), flat.mean(axis=0)
        components = np.linalg.svd(flat - mean, full_matrices=False)[2][:COMPONENTS]
        scores, middle = (flat - mean) @ components.T, x.mean(axis=0)
        square = (x - middle).T @ (x - middle) + ridge * len(x) * np.eye(x.shape[1])
        weights = np.linalg.solve(square, (x - middle).T @ scores).T
        left = scores - (x - middle) @ weights.T
        # What a penalty leaves to explain is noise as well, but only of the size seen here.
        noise = np.linalg.cholesky(np.cov(left.T) + 1e-12 * np.eye(len(components)))
        return cls(mean.reshape(-1, 2), components, -weights @ middle, weights, noise, fingerprint)

    @property
    def size(self) -> int:
        """K, how many numbers of noise a shape takes."""
        return len(self.noise)

    def at(self, z: torch.Tensor, noise: torch.Tensor) -> np.ndarray:
        """The landmarks (478, 2) of a face.

        Args:
            z: (D,), the code of its look.
            noise: (K,), ε; times the temperature, as z is.
        """
        coarse = z[-self.weights.shape[1] :].double().numpy()
        scores = self.offset + self.weights @ coarse + self.noise @ noise.double().numpy()
        return self.mean + (scores @ self.components).reshape(-1, 2)

    def save(self, path: str | Path) -> Path:
        """Write it; half precision is enough for what is large."""
        tensors = {
            "mean": torch.from_numpy(self.mean).float(),
            "components": torch.from_numpy(self.components).half().contiguous(),
            "offset": torch.from_numpy(self.offset).float(),
            "weights": torch.from_numpy(self.weights).half().contiguous(),
            "noise": torch.from_numpy(self.noise).float(),
        }
        about = {"format": _FORMAT, "fingerprint": self.fingerprint}
        write_safetensors(tensors, {"about": json.dumps(about)}, Path(path))
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> ShapePrior:
        """Read a file that `save` wrote; raises `UserError` if it is none."""
        path = Path(path)
        try:
            tensors, metadata = read_safetensors(path)
            about = json.loads(metadata["about"])
            parts = {k: v.double().numpy() for k, v in tensors.items()}
            found = cls(**parts, fingerprint=str(about["fingerprint"]))
            k = found.size
            shapes = found.mean.shape, found.components.shape, found.offset.shape
            sound = about["format"] == _FORMAT and shapes == (
                (LANDMARKS, 2), (k, 2 * LANDMARKS), (k,)
            )  # fmt: skip
            sound = sound and found.noise.shape == (k, k) and len(found.weights) == k
            sound = sound and all(np.isfinite(v).all() for v in parts.values())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path.name} holds no shapes of faces.") from error
        if not sound:
            raise UserError(f"{path.name} holds no shapes of faces.")
        return found


def pretrained_file(name: str) -> Path:
    """Where the shapes that belong to released weights lie."""
    return models.pretrained_path().parent / "shapes" / f"{name}.safetensors"
