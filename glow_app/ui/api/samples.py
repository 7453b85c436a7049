"""Endpoints that draw faces which do not exist: /sample and /neighbours."""

from __future__ import annotations

import gradio as gr

from glow_app.keeping.recipes import Origin
from glow_app.ui import limits
from glow_app.ui.api.group import Group, endpoint, number, still, temperature
from glow_app.ui.welcome import TEMPERATURE

__all__ = ["Samples"]


class Samples(Group):
    """Faces by seed, and those near one."""

    def build(self) -> None:
        """Add the endpoints."""
        count = f"n, 1 to {limits.MAX_SAMPLES}"
        endpoint(
            self.sample,
            [number(1, count), temperature(), number(0, "seed of the first face")],
            gr.File(label="faces", file_count="multiple"),
        )
        endpoint(
            self.neighbours,
            [number(0, "seed"), number(8, count), number(0.3, "radius, 0 to 1"), temperature()],
            gr.File(label="faces", file_count="multiple"),
        )

    def sample(self, n: float = 1, temperature: float = TEMPERATURE, seed: float = 0) -> list[str]:
        """Draw faces that do not exist from the model's prior.

        Face i of n with seed s is the face of seed s + i, so results can be reproduced one by one.
        Returns the faces as PNG files at the model's size.
        """
        count = limits.whole(n, "n", 1, limits.MAX_SAMPLES)
        first = limits.seed(seed)
        spread = limits.temperature(temperature)
        faces = self.editor.sample(count, temperature=spread, seed=first)
        origins = [Origin(first + i, spread) for i in range(count)]
        return [
            still(face, self.recipe("samples", faces=(origin,), temperatures=(spread,)))
            for face, origin in zip(faces, origins, strict=True)
        ]

    def neighbours(
        self,
        seed: float = 0,
        n: float = 8,
        radius: float = 0.3,
        temperature: float = TEMPERATURE,
    ) -> list[str]:
        """Draw faces near the face of a seed.

        radius 0 is the face itself, 1 has nothing to do with it. Returns n PNG files at the
        model's size.
        """
        count = limits.whole(n, "n", 1, limits.MAX_SAMPLES)
        middle, spread = limits.seed(seed), limits.temperature(temperature)
        reach = limits.between(radius, "radius", 0, 1)
        faces = self.editor.neighbours(middle, count, reach, spread)
        recipe = self.recipe(
            "samples", faces=(Origin(middle, spread),), temperatures=(spread,), radius=reach
        )
        return [still(face, recipe) for face in faces]
