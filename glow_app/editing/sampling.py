"""New faces from the prior of a model: by seed and temperature, and near one of them.

A model of looks draws every face in the mean shape. Where released weights come with a prior of
shapes, landmarks are drawn beside each look, and the look is warped to them: principal components
of the training faces' landmarks (Cootes, Taylor, Cooper & Graham 1995, "Active shape models"),
whose scores are Gaussian around a linear function of the coarsest numbers of the code. Drawn
independently of the code, lips that are shut would be stretched over open mouths.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import models
from glow_app.common.errors import UserError
from glow_app.common.progress import Progress, Steps
from glow_app.editing import paths
from glow_app.editing.model import CORES, FaceModel, generator
from glow_app.faces.landmarks import LANDMARKS
from glow_app.faces.warp import reshaped
from models.checkpoint import read_safetensors, write_safetensors

MAX_SEED: Final = 2**32 - 1  # torch's CPU generator looks at no more bits of a seed
SAMPLE_PASS: Final = 8  # samples a pass on a GPU, always just as many: see `Sampler.sample`
COMPONENTS: Final = 40  # of 956 numbers of a shape: 99.7 % of the variance

# A level is drawn at the temperature T to this power. Chosen in blind judgements of 64 faces each,
# against one temperature for all levels among others.
_COARSEST, _BETWEEN, _DETAILS, _SHAPE = 1, 3, 2, 2

_NEIGHBOUR_SALT: Final = 0x9E3779B9  # neighbours of seed s must not be made of the noise of s
_FORMAT: Final = "glow-studio-shapes"


class Sampler:
    """Draws faces from the prior of a model.

    Everything out of range raises `UserError`. Common arguments:

        n: how many, at least 1.
        temperature: T ≥ 0; 1 is the model's own distribution, below 1 faces are more ordinary. The
            coarsest level of a code (light, colours, identity) is drawn at T, the levels after it
            at T³, the details and the shape at T²: the middle levels, which make the two eyes
            match, are what a flow models worst.
        seed: 0 to `MAX_SEED`; of several pictures that of the first.
        progress: counts pictures.
    """

    def __init__(self, model: FaceModel) -> None:
        self.model = model

    @functools.cached_property
    def shapes(self) -> ShapePrior | None:
        """The prior of shapes that comes with these weights; None: faces are as g makes them."""
        with suppress(UserError, models.CheckpointError):
            folder = models.pretrained_path().parent / "shapes"
            found = ShapePrior.load(folder / f"{self.model.name}.safetensors")
            if found.fingerprint == self.model.fingerprint:
                return found
        return None

    def sample(
        self, n: int = 1, temperature: float = 0.7, seed: int = 0, progress: Progress | None = None
    ) -> np.ndarray:
        """Draw new faces (n, S, S, 3) uint8: z_l = T_l·ε_l, ε ~ N(0, I), and their shapes.

        Picture i of n with seed s is the picture of `sample(1, T, s + i)`, to the byte on one
        device: each has a generator of its own, on the CPU, and is decoded in a pass of fixed
        size, since another size may round differently: one per core, eight on a GPU.
        """
        return self.sample_temperatures([temperature], n, seed, progress)[0]

    def sample_temperatures(
        self,
        temperatures: Sequence[float],
        n: int = 8,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Draw the same seeds at R temperatures: (R, n, S, S, 3) uint8, rows as `sample` gives."""
        _check(n, seed, *temperatures, last=seed + n - 1)
        steps = Steps(n * len(temperatures), progress)
        rows = []
        for temperature in temperatures:
            noise = (self._noise(generator(seed + i)) for i in range(n))
            codes = (self._tempered(own, temperature) for own in noise)
            rows.append(self._decode(codes, steps)[0])
        return np.stack(rows)

    def draw(self, seed: int, temperature: float = 0.7) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the picture of `sample(1, temperature, seed)`, and its landmarks (478, 2) if its
        shape was drawn."""
        _check(1, seed, temperature)
        codes = iter([self._tempered(self._noise(generator(seed)), temperature)])
        pictures, shapes = self._decode(codes, Steps(1))
        return pictures[0], shapes[0]

    def neighbours(
        self,
        seed: int,
        n: int = 8,
        radius: float = 0.3,
        temperature: float = 0.7,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Draw faces (n, S, S, 3) uint8 near that of `seed`: T_l·(√(1 - r²)·ε_seed + r·ε_i).

        Neighbour i is the same picture for every n. The radius r, 0 to 1, is that of `paths.near`.
        """
        _check(n, seed, temperature)
        if not 0 <= radius <= 1:
            raise UserError(f"The radius lies between 0 and 1, not at {radius}.")
        centre, others = self._noise(generator(seed)), generator(seed ^ _NEIGHBOUR_SALT)
        noise = (self._noise(others) for _ in range(n))
        codes = (self._tempered(paths.near(centre, own, radius), temperature) for own in noise)
        return self._decode(codes, Steps(n, progress))[0]

    def _noise(self, source: torch.Generator) -> Tensor:
        """Draw ε (D + K,) of a look, and of its shape if there is a prior of these."""
        look = torch.randn(self.model.flow.dims, generator=source)
        if self.shapes is None:
            return look
        return torch.cat([look, torch.randn(self.shapes.size, generator=source)])

    def _tempered(self, noise: Tensor, temperature: float) -> Tensor:
        """Scale ε (D + K,) by the temperature of each level, and of the shape."""
        config = self.model.flow.config
        sizes = [math.prod(shape) for shape in config.code_shapes()]
        between = config.levels - config.details - 1
        powers = [_DETAILS] * config.details + [_BETWEEN] * between + [_COARSEST, _SHAPE]
        parts = zip(noise.split([*sizes, len(noise) - sum(sizes)]), powers, strict=True)
        return torch.cat([part * temperature**power for part, power in parts])

    def _decode(
        self, codes: Iterator[Tensor], steps: Steps
    ) -> tuple[np.ndarray, list[np.ndarray | None]]:
        """Return the pictures of codes (D + K,), and their shapes."""
        model, dims = self.model, self.model.flow.dims
        pictures, shapes = [], []
        on_cpu = model.device.type == "cpu"
        size = CORES if on_cpu else SAMPLE_PASS
        while rows := list(itertools.islice(codes, size)):
            z = torch.stack([row[:dims] for row in rows])
            if not on_cpu:  # filled up
                z = F.pad(z, (0, 0, 0, size - len(rows)))
            for look, row in zip(model.decode(z, batch=size), rows, strict=False):
                shape = None
                if self.shapes is not None:
                    shape = self.shapes.at(row[:dims], row[dims:])
                    look = reshaped(look, model.looks.mean, shape)
                pictures.append(look)
                shapes.append(shape)
            steps.advance(len(rows))
        return np.stack(pictures), shapes


def _check(n: int, seed: int, *temperatures: float, last: int | None = None) -> None:
    """Raise UserError for arguments out of range; `last`: the seed of the last picture."""
    if n < 1:
        raise UserError(f"At least one sample must be asked for, not {n}.")
    for temperature in temperatures:
        if not (math.isfinite(temperature) and temperature >= 0):
            raise UserError(f"The temperature must be a number from 0 up, not {temperature}.")
    if not 0 <= seed <= (seed if last is None else last) <= MAX_SEED:
        raise UserError(f"Seeds are whole numbers from 0 to {MAX_SEED}, not {seed}.")


@dataclass(frozen=True, eq=False)
class ShapePrior:
    """p(S | z) = mean + (b + W·z_coarse + C·ε)·components, ε ~ N(0, I)."""

    mean: np.ndarray  # (478, 2) float64, in fractions of the crop
    components: np.ndarray  # (K, 956), orthonormal rows
    offset: np.ndarray  # (K,) b
    weights: np.ndarray  # (K, F) W, for the last F numbers of a code, which are its coarsest
    noise: np.ndarray  # (K, K) C, lower triangular
    fingerprint: str = ""  # of the weights whose codes it was fitted on (`FaceModel.fingerprint`)

    @classmethod
    def fitted(
        cls, shapes: np.ndarray, codes: np.ndarray, ridge: float, fingerprint: str = ""
    ) -> ShapePrior:
        """Fit by ridge regression.

        Args:
            shapes: (N, 478, 2) landmarks.
            codes: (N, F), the coarsest numbers of the codes of their looks.
            ridge: penalty, in variances of one number of a code.
        """
        flat = np.asarray(shapes, np.float64).reshape(len(shapes), -1)
        x, mean = np.asarray(codes, np.float64), flat.mean(axis=0)
        components = np.linalg.svd(flat - mean, full_matrices=False)[2][:COMPONENTS]
        scores, middle = (flat - mean) @ components.T, x.mean(axis=0)
        square = (x - middle).T @ (x - middle) + ridge * len(x) * np.eye(x.shape[1])
        weights = np.linalg.solve(square, (x - middle).T @ scores).T
        left = scores - (x - middle) @ weights.T
        # What the regression leaves unexplained is noise.
        noise = np.linalg.cholesky(np.cov(left.T) + 1e-12 * np.eye(len(components)))
        return cls(mean.reshape(-1, 2), components, -weights @ middle, weights, noise, fingerprint)

    @property
    def size(self) -> int:
        """K, the numbers of noise of one shape."""
        return len(self.noise)

    def at(self, z: Tensor, noise: Tensor) -> np.ndarray:
        """Return the landmarks (478, 2) of a face with the code `z` (D,) and noise ε (K,)."""
        coarse = z[-self.weights.shape[1] :].double().numpy()
        scores = self.offset + self.weights @ coarse + self.noise @ noise.double().numpy()
        return self.mean + (scores @ self.components).reshape(-1, 2)

    def save(self, path: str | Path) -> Path:
        """Write it, the large arrays in half precision."""
        names = ("mean", "components", "offset", "weights", "noise")
        tensors = {name: torch.from_numpy(getattr(self, name)).float() for name in names}
        for large in ("components", "weights"):
            tensors[large] = tensors[large].half().contiguous()
        about = {"format": _FORMAT, "fingerprint": self.fingerprint}
        write_safetensors(tensors, {"about": json.dumps(about)}, Path(path))
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> ShapePrior:
        """Read a file that `save` wrote; raise `UserError` if it is none."""
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
            if not (sound and all(np.isfinite(v).all() for v in parts.values())):
                raise ValueError("values out of range")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path.name} holds no shapes of faces.") from error
        return found
