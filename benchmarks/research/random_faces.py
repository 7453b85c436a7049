#!/usr/bin/env python3
"""Measure random faces of models by a face finder and descriptors, and write sheets of them.

python benchmarks/research/random_faces.py --val HELD_OUT.npy --out DIR ONE.safetensors OTHER...

Where dlib is installed (requirements-benchmark.txt), two more figures compare the faces with the
held-out ones, which must be packed at twice the size of the models. *Precision* (Kynkäänniemi et
al. 2019): the share of samples that lie, among descriptors, no further from some real face than
its third nearest real neighbour does. And the Fréchet distance, which also asks for variety.
"""

from __future__ import annotations

from pathlib import Path

import _project  # noqa: F401
import numpy as np
import torch

import models
from benchmarks import recognition
from benchmarks.morphs.figures import frechet_distance
from glow_app.common import cli
from glow_app.common.errors import UserError
from glow_app.export import sheets
from glow_app.export.writing import check_folder
from glow_app.faces.coding import Coding, to_pictures
from glow_app.training import from_source
from glow_app.training.batches import reduced

_SHOWN = 64
_PASS = 50
_NEIGHBOUR = 3


def main(argv: list[str] | None = None) -> int:
    p = cli.Parser(description=__doc__.split("\n")[0])
    p.add_argument("models", nargs="+", metavar="P", help="weights")
    p.add_argument("--val", required=True, metavar="NPY", help="held-out faces, packed")
    p.add_argument("--out", required=True, metavar="DIR", help="for the sheets")
    p.add_argument("--samples", type=cli.whole(2), default=200)
    p.add_argument("--temperatures", type=cli.number(0), nargs="+", default=[0.7, 1.0])
    p.add_argument("--seed", type=cli.whole(0), default=0, help="the same codes for every model")
    args = p.parse_args(argv)
    out, paths = check_folder(args.out), [Path(path) for path in args.models]
    real = _real(args.val, 2 * models.load(paths[0]).config.image_size, out)
    for path in paths:
        model = models.load(path)
        name = f"{path.parent.name}-{path.stem}"
        for temperature in args.temperatures:
            pictures = _drawn(model, args.samples, temperature, args.seed)
            found = recognition.one_face_in_place(pictures)
            if found is None:
                raise UserError("There is no face finder here.")
            sheet = out / f"{name}-{temperature:g}.png"
            sheets.save_grid(pictures[:_SHOWN], sheet, columns=8)
            figures = f"found {found.mean():.3f}"
            if real is not None:
                said = recognition.describe(pictures)
                figures += f", precision {_precision(said, real):.3f}"
                figures += f", Fréchet x 1000 {1000 * frechet_distance(said, real):.1f}"
            print(f"{name} at {temperature:g}: {figures}", flush=True)
    return 0


@torch.no_grad()
def _drawn(model: models.Glow, count: int, temperature: float, seed: int) -> np.ndarray:
    z = torch.randn(count, model.dims, generator=torch.Generator().manual_seed(seed))
    x = torch.cat([model.g(codes) for codes in (z * temperature).split(_PASS)])
    return to_pictures(models.to_levels(x, model.config.n_bits))


def _real(source: str, size: int, cache: Path) -> np.ndarray | None:
    """Return descriptors of the held-out faces at half of ``size``, cached; None without dlib."""
    if not recognition.available():
        return None
    held_out = from_source(source, size, cache, coding=Coding())
    kept = cache / f"real-{held_out.fingerprint}.npy"
    if not kept.exists():
        small = reduced(held_out.tensor(), 1)
        np.save(kept, recognition.describe(to_pictures(small)))
    return np.load(kept)


def _precision(features: np.ndarray, real: np.ndarray) -> float:
    among = np.sort(_distances(real, real), axis=1)[:, _NEIGHBOUR]  # the first is itself
    return float((_distances(features, real) <= among).any(axis=1).mean())


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a[:, None] - b[None], axis=2)


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
