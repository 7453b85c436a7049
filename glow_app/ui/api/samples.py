"""Endpoints that draw faces which do not exist: /sample and /neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from gradio import FileData

from glow_app.export.recipes import Origin
from glow_app.ui import limits
from glow_app.ui.api.group import Group, Temperature, still
from glow_app.ui.welcome import TEMPERATURE

__all__ = ["Samples"]


_Count = Annotated[float, f"1 to {limits.MAX_SAMPLES}"]


class Samples(Group):
    """Faces by seed, and those near one."""

    def endpoints(self) -> Sequence[Callable[..., Any]]:
        """Both."""
        return [self.sample, self.neighbours]

    def sample(
        self,
        n: _Count = 1,
        temperature: Temperature = TEMPERATURE,
        seed: Annotated[float, "of the first face"] = 0,
    ) -> list[FileData]:
        """Draw faces that do not exist from the model's prior.

        Face i of n with seed s is the face of seed s + i, so results can be reproduced one by one.
        Returns the faces as PNG files at the model's size.
        """
        count = limits.whole(n, "n", 1, limits.MAX_SAMPLES)
        first = limits.seed(seed)
        spread = limits.temperature(temperature)
        faces = self.editor.sampler.sample(count, temperature=spread, seed=first)
        origins = [Origin(first + i, spread) for i in range(count)]
        return [
            still(face, self.recipe("samples", faces=(origin,), temperatures=(spread,)))
            for face, origin in zip(faces, origins, strict=True)
        ]

    def neighbours(
        self,
        seed: float = 0,
        n: _Count = 8,
        radius: Annotated[float, "0 to 1"] = 0.3,
        temperature: Temperature = TEMPERATURE,
    ) -> list[FileData]:
        """Draw faces near the face of a seed.

        radius 0 is the face itself, 1 has nothing to do with it. Returns n PNG files at the
        model's size.
        """
        count = limits.whole(n, "n", 1, limits.MAX_SAMPLES)
        middle, spread = limits.seed(seed), limits.temperature(temperature)
        reach = limits.between(radius, "radius", 0, 1)
        faces = self.editor.sampler.neighbours(middle, count, reach, spread)
        recipe = self.recipe(
            "samples", faces=(Origin(middle, spread),), temperatures=(spread,), radius=reach
        )
        return [still(face, recipe) for face in faces]
