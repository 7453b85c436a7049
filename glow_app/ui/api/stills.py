"""Endpoints that make one picture of photos: /mix, /edit with /directions, and /average."""

from __future__ import annotations

from typing import Any

import gradio as gr

from glow_app.common.errors import UserError
from glow_app.keeping.recipes import Origin
from glow_app.ui import limits
from glow_app.ui.api.group import Group, endpoint, file, number, size, still

__all__ = ["Stills"]


class Stills(Group):
    """Mixes, edits and averages."""

    def build(self) -> None:
        """Add the endpoints."""
        endpoint(
            self.mix,
            [
                file("photo_a"),
                file("photo_b"),
                gr.JSON(label="weights"),
                size(),
                number(None, "shape, 0 (A) to 1 (B); null: nothing is warped"),
            ],
            [gr.File(label="picture"), gr.JSON(label="facts")],
        )
        endpoint(
            self.edit,
            [file("photo"), gr.JSON({}, label="strengths"), number(0, "toward, 0 to 1"), size()],
            [gr.File(label="picture"), gr.JSON(label="facts")],
        )
        endpoint(self.directions, [], gr.JSON(label="directions"))
        endpoint(self.average, [file("photos", many=True), size()], gr.File(label="picture"))

    def mix(
        self,
        photo_a: str | None,
        photo_b: str | None,
        weights: list[float] | None = None,
        size: float = 256,
        shape: float | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """Mix two photos scale by scale.

        weights has one number for each level of the flow, finest first: 0 takes the level from A,
        1 from B. shape warps both faces to a shape between A's and B's first. Returns [0] the
        picture (PNG); [1] facts: clamped, levels (height and width of each level).
        """
        levels = len(self.editor.level_shapes)
        if not isinstance(weights, list) or len(weights) != levels:
            raise UserError(f"weights must be a list of {levels} numbers, finest level first.")
        row = [limits.between(weight, "A weight", *limits.BEYOND) for weight in weights]
        side = limits.download_size(size)
        if shape is not None:
            shape = limits.between(shape, "shape", 0, 1)
        a, b = self.prepared(photo_a=photo_a, photo_b=photo_b)
        mixed = self.editor.mix(a, b, row, shape)
        faces = (Origin(), Origin())
        recipe = self.recipe("mix", faces=faces, weights=tuple(row), shape=shape, size=side)
        shapes = [shape[1:] for shape in self.editor.level_shapes]
        return still(mixed.pixels, recipe), {"clamped": mixed.clamped, "levels": shapes}

    def edit(
        self,
        photo: str | None,
        strengths: dict[str, float] | None = None,
        toward: float = 0,
        size: float = 256,
    ) -> tuple[str, dict[str, Any]]:
        """Move a photo's code along learned directions.

        strengths gives a number for each direction by name, in units of the difference between the
        two groups of pictures it was learned from; /directions lists them. toward moves it to the
        average face first, 0 to 1. Returns [0] the picture (PNG); [1] facts: clamped.
        """
        known = {direction.name: direction for direction in self.editor.directions()}
        strengths = {} if strengths is None else strengths
        if not isinstance(strengths, dict):
            raise UserError("strengths must be numbers by the names of directions.")
        strange = sorted(set(strengths) - set(known))
        if strange:
            names = ", ".join(known) or "none"
            raise UserError(f"There is no direction {strange[0]!r} here; there are: {names}.")
        ends = (-limits.MAX_STRENGTH, limits.MAX_STRENGTH)
        row = {
            name: limits.between(s, f"The strength of {name}", *ends)
            for name, s in strengths.items()
        }
        share = limits.between(toward, "toward", 0, 1)
        side = limits.download_size(size)
        (prepared,) = self.prepared(photo=photo)
        moves = [(known[name], strength) for name, strength in row.items()]
        edited = self.editor.edit(prepared.pixels, moves, toward=share)
        recipe = self.recipe(
            "edit", faces=(Origin(),), directions=tuple(row.items()), toward=share, size=side
        )
        return still(edited.pixels, recipe), {"clamped": edited.clamped}

    def directions(self) -> list[dict[str, Any]]:
        """The directions that come with this model: name, accuracy on held-out pictures (0.5 is
        chance), effect_size, weak (whether it means little), words for both ends."""
        return [
            {
                "name": direction.name,
                "accuracy": direction.accuracy,
                "effect_size": direction.effect_size,
                "weak": direction.weak,
                "with": direction.with_words,
                "without": direction.without_words,
            }
            for direction in self.editor.directions()
        ]

    def average(self, photos: list[str] | None, size: float = 256) -> str:
        """The average face of 1 to 64 photos: the picture of the mean of their codes."""
        side = limits.download_size(size)
        prepared = self.several(photos, 1, limits.MAX_AVERAGE)
        code = self.editor.average([one.pixels for one in prepared])
        recipe = self.recipe("edit", toward=1.0, average="photos", size=side)
        return still(self.editor.decode(code)[0], recipe)
