#!/usr/bin/env python3
"""Draw the figures of the Learn tab into a folder, from the same functions.

    python scripts/learn.py --out figures
    python scripts/learn.py --out figures --data rings --seconds 60

Writes 1-density.png to 6-directions.png. Lesson 3 fits a flow to --data, lessons 2 and 4 use
that flow; --save-flow keeps it (this is how glow_app/lessons/moons.safetensors was made).
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import _project  # noqa: F401

from glow_app.common import cli

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DATA = ("moons", "rings", "checkerboard")
_FRAMES = 9


def parser() -> cli.Parser:
    p = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default="figures", metavar="DIR", help="folder to write to (figures)")
    p.add_argument("--data", choices=_DATA, default="moons", help="what to fit (moons)")
    p.add_argument(
        "--steps", type=cli.whole(1), default=1500, help="most steps of the fit (default 1500)"
    )
    p.add_argument(
        "--seconds", type=cli.number(1), default=25.0, help="longest time of the fit (default 25)"
    )
    p.add_argument("--save-flow", metavar="P", help="keep the fitted flow as a .safetensors file")
    cli.add_model_arguments(p)
    return p


def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)

    from glow_app.export.writing import check_folder, check_target

    out = check_folder(args.out)
    flow = args.save_flow and check_target(args.save_flow, (".safetensors",))

    import torch

    import models
    from glow_app.editing import paths
    from glow_app.editing.editor import Editor
    from glow_app.lessons import density, figures, jacobian, plane, positions

    editor = Editor(args.checkpoint, args.device)

    def keep(name: str, figure: Figure) -> None:
        file = out / f"{name}.png"
        figure.savefig(file, dpi=110)
        print(file)

    keep("1-density", figures.density_figure(density.density_view("uniform", "square")))

    draw = plane.DATASETS[args.data]
    fit = plane.fit(draw, args.steps, args.seconds)
    fitted = list(cli.shown(fit, desc=f"fitting {args.data}"))
    model, shots = fitted[-1][0], [shot for _, shot in fitted]
    if flow:
        models.save(model, flow, {"data": args.data, "steps": shots[-1].step}, half=True)
    keep("2-plane", figures.plane_figure(model, draw))
    keep("3-fit", figures.fit_figure(draw, shots))
    keep("4-chain", figures.chain_figure(model))

    faces = editor.sampler.sample(2, seed=18)
    z = editor.model.encode(faces)
    keep("4-chain-face", figures.face_chain_figure(editor.model.flow, z[:1]))
    costs = [jacobian.cost(*jacobian.random_coupling(dims)) for dims in jacobian.DIMS]
    costs.append(jacobian.cost(*jacobian.face_coupling(editor.model.flow, z[:1])))
    keep("5-jacobian", figures.jacobian_figure(costs))

    shell, t = positions.shell(editor.model.flow.dims), torch.linspace(-0.25, 1.25, 97)
    views = [positions.path_view(z[0], z[1], t, kind, shell) for kind in paths.PATHS]
    frames = editor.morph_frames(faces[0], faces[1], _FRAMES).frames
    keep("6-directions", figures.directions_figure(views, shell, frames))


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
