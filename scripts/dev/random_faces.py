#!/usr/bin/env python3
"""How many random faces of each model a face finder takes for a face, and a sheet of some.

python scripts/dev/random_faces.py --out DIR faces64.safetensors other.safetensors
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import models
from glow_app.benchmarks.morphs.faces_found import one_face_in_place
from glow_app.common import cli
from glow_app.common.errors import UserError
from glow_app.keeping import sheets
from glow_app.pictures.tensors import to_pictures

_SHOWN = 64
_PASS = 50


def main(argv: list[str] | None = None) -> int:
    p = cli.Parser(description=__doc__.split("\n")[0])
    p.add_argument("models", nargs="+", metavar="P", help="weights")
    p.add_argument("--out", required=True, metavar="DIR", help="for the sheets")
    p.add_argument("--samples", type=cli.whole(1), default=200)
    p.add_argument("--temperature", type=cli.number(0), default=0.7)
    p.add_argument("--seed", type=cli.whole(0), default=0, help="the same codes for every model")
    args = p.parse_args(argv)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for path in map(Path, args.models):
        model = models.load(path)
        generator = torch.Generator().manual_seed(args.seed)
        z = torch.randn(args.samples, model.dims, generator=generator) * args.temperature
        with torch.no_grad():
            x = torch.cat([model.g(codes) for codes in z.split(_PASS)])
        pictures = to_pictures(models.to_levels(x, model.config.n_bits))
        found = one_face_in_place(pictures)
        if found is None:
            raise UserError("There is no face finder here.")
        share = found.mean()
        error = math.sqrt(share * (1 - share) / len(found))
        name = f"{path.parent.name}-{path.stem}"
        sheets.save_grid(pictures[:_SHOWN], out / f"{name}.png", columns=8)
        print(f"{name}: {found.sum()} of {len(found)}, {share:.3f} (one deviation {error:.3f})")
    return 0


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
