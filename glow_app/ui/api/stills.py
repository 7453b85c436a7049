"""Endpoints that make one picture: /mix, /edit with /directions, /average and /put_back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from gradio import FileData

from glow_app.common.errors import UserError
from glow_app.editing.directions import Direction
from glow_app.export.recipes import Origin
from glow_app.export.sheets import save_photo
from glow_app.faces.put_back import put_back
from glow_app.ui import limits
from glow_app.ui.api.group import Group, Size, arrived, made, still
from glow_app.ui.uploads import outgoing

__all__ = ["Stills"]


_FORMATS = ("jpg", "png")


class Stills(Group):
    """Mixes, edits and averages."""

    def endpoints(self) -> Sequence[Callable[..., Any]]:
        """All five."""
        return [self.mix, self.edit, self.put_back, self.directions, self.average]

    def mix(
        self,
        photo_a: FileData,
        photo_b: FileData,
        weights: list[float] | None = None,
        size: Size = 256,
        shape: Annotated[float | None, "0 (A) to 1 (B); null: nothing is warped"] = None,
    ) -> tuple[FileData, dict[str, Any]]:
        """Mix two photos scale by scale.

        weights has one number for each level of the flow, finest first: 0 takes the level from A,
        1 from B. shape warps both faces to a shape between A's and B's first. Returns [0] the
        picture (PNG); [1] facts: clamped, levels (height and width of each level).
        """
        levels = len(self.editor.model.level_shapes)
        if not isinstance(weights, list) or len(weights) != levels:
            raise UserError(f"weights must be a list of {levels} numbers, finest level first.")
        row = [limits.between(weight, "A weight", *limits.BEYOND) for weight in weights]
        limits.download_size(size, limits.MAX_SIZE)
        if shape is not None:
            shape = limits.between(shape, "shape", 0, 1)
        a, b = self.prepared(photo_a=photo_a, photo_b=photo_b)
        mixed = self.editor.mix(a, b, row, shape)
        side = limits.download_size(size, mixed.native)
        faces = (Origin(), Origin())
        recipe = self.recipe("mix", faces=faces, weights=tuple(row), shape=shape, size=side)
        shapes = [shape[1:] for shape in self.editor.model.level_shapes]
        return still(mixed.at(side), recipe), {"clamped": mixed.clamped, "levels": shapes}

    def edit(
        self,
        photo: FileData,
        strengths: dict[str, float] | None = None,
        toward: Annotated[float, "0 to 1"] = 0,
        size: Size = 256,
    ) -> tuple[FileData, dict[str, Any]]:
        """Move a photo's code along learned directions.

        strengths gives a number for each slider by name, in its unit (deviations, degrees, years);
        /directions lists them. toward moves it to the
        average face first, 0 to 1. Returns [0] the picture (PNG); [1] facts: clamped.
        """
        row, moves = self._moves(strengths)
        share = limits.between(toward, "toward", 0, 1)
        limits.download_size(size, limits.MAX_SIZE)
        (prepared,) = self.prepared(photo=photo)
        edited = self.editor.edit(prepared, moves, toward=share)
        side = limits.download_size(size, edited.native)
        recipe = self.recipe(
            "edit", faces=(Origin(),), directions=tuple(row.items()), toward=share, size=side
        )
        return still(edited.at(side), recipe), {"clamped": edited.clamped}

    def put_back(
        self,
        photo_a: FileData,
        photo_b: FileData | None = None,
        t: Annotated[float, "0 (A) to 1 (B)"] = 0.5,
        strengths: dict[str, float] | None = None,
        format: Literal[_FORMATS] = "jpg",
    ) -> FileData:
        """Put a morphed or edited face back into its whole photo.

        With photo_b, the face at t, 0 (A) to 1 (B), of their morph goes into photo A below
        0.5 and into photo B from there on. Without, photo A's own face is edited by strengths, as
        /edit does. Returns the photo in its full size, jpg (quality 95) or png, without any of
        its metadata.
        """
        limits.one_of(format, "format", _FORMATS)
        row, moves = self._moves(strengths)
        place = limits.between(t, "t", 0, 1)
        if photo_b and moves:
            raise UserError("Give strengths or photo_b, not both.")
        names = {"photo_a": photo_a, **({"photo_b": photo_b} if photo_b else {})}
        prepared, origins = self.prepared(**names), (Origin(),) * len(names)
        which = int(len(prepared) == 2 and place >= 0.5)
        side = prepared[which].native
        if photo_b:
            result = self.editor.morph_frames(*prepared, [place])
            recipe = self.recipe("morph", faces=origins, way="photos", t=place)
        else:
            result = self.editor.edit(*prepared, moves)
            recipe = self.recipe("edit", faces=origins, directions=tuple(row.items()))
        face, shape = result.enlarged(side)[0], result.points[0].shape
        whole = put_back(arrived(list(names.values())[which]), prepared[which], face, shape)
        return made(save_photo(whole, outgoing(recipe.file_name(f"-in-photo.{format}"))))

    def directions(self) -> list[dict[str, Any]]:
        """The sliders of /edit: name, group, unit, low and high ends, words for both ends, and
        truth: what was measured on held-out faces (slope: measured over asked; spread)."""
        return [
            {
                "name": direction.name,
                "group": direction.group,
                "unit": direction.unit,
                "low": direction.low,
                "high": direction.high,
                "with": direction.with_words,
                "without": direction.without_words,
                "truth": direction.facts.get("truth", {}),
            }
            for direction in self.editor.directions()
        ]

    def average(self, photos: list[FileData], size: Size = 256) -> FileData:
        """The average face of 1 to 64 photos: their mean shape, and equal parts of all."""
        limits.download_size(size, limits.MAX_SIZE)
        average = self.editor.average(self.several(photos, 1, limits.MAX_AVERAGE))
        side = limits.download_size(size, average.native)
        recipe = self.recipe("edit", toward=1.0, average="photos", size=side)
        return still(average.at(side), recipe)

    def _moves(
        self, strengths: dict[str, float] | None
    ) -> tuple[dict[str, float], list[tuple[Direction, float]]]:
        """Strengths that were asked for, by name and by direction."""
        known = {direction.name: direction for direction in self.editor.directions()}
        strengths = {} if strengths is None else strengths
        if not isinstance(strengths, dict):
            raise UserError("strengths must be numbers by the names of directions.")
        strange = sorted(set(strengths) - set(known))
        if strange:
            names = ", ".join(known) or "none"
            raise UserError(f"There is no direction {strange[0]!r} here; there are: {names}.")
        row = {
            name: limits.between(s, f"The strength of {name}", known[name].low, known[name].high)
            for name, s in strengths.items()
        }
        return row, [(known[name], strength) for name, strength in row.items()]
