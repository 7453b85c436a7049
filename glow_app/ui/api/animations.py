"""Endpoints that make animations: /morph and /journey."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from gradio import FileData

from glow_app.editing.options import GROUNDS, MorphOptions
from glow_app.editing.paths import JOURNEYS, PATHS
from glow_app.export.recipes import Origin, Recipe
from glow_app.faces.face import Face
from glow_app.ui import limits
from glow_app.ui.api.group import Group, Size, made
from glow_app.ui.components import finite
from glow_app.ui.downloads import animated

__all__ = ["Animations"]

_FORMATS = ("gif", "webp", "png", "mp4")
_Format = Annotated[Literal[_FORMATS], "png is APNG"]
_Rate = Annotated[float, "1 to 50"]
_Kappa = Annotated[float | None, "0 (from the photos) to 1 (from the model); null: the default"]
_Place = Annotated[float, "{:g} to {:g}".format(*limits.BEYOND)]


class Animations(Group):
    """Morphs and journeys."""

    def endpoints(self) -> Sequence[Callable[..., Any]]:
        """Both."""
        return [self.morph, self.journey]

    def morph(
        self,
        photo_a: FileData,
        photo_b: FileData,
        frames: Annotated[float, f"2 to {limits.MAX_FRAMES}"] = limits.FRAMES,
        path: Literal[PATHS] = "linear",
        format: _Format = "gif",
        size: Size = 256,
        t_from: _Place = 0,
        t_to: _Place = 1,
        constant_speed: bool = False,
        fps: _Rate = 25,
        there_and_back: bool = True,
        ground: Literal[GROUNDS] = "switch",
        kappa: _Kappa = None,
        alone: bool = False,
    ) -> tuple[FileData, dict[str, Any]]:
        """Morph photo A into photo B with the exact flow.

        Each photo is opened, turned upright and aligned by its face (or cropped at the centre).
        Both are warped to the shape in between, where both have landmarks, and carry the picture;
        the model decides what changes on the way, as far as kappa says. ground says whose hair,
        clothes and background are shown: of A up to the middle and of B after it (switch), or of
        one of them. With alone the model draws by itself: codes of the crops as they are, the
        straight line, no photo and no warp. Returns [0] the
        animation, by default there and back, as a seamless loop that starts with A; [1] facts: t
        (position of each frame), path_kind, warped (whether it was), frames, model, image_size
        (of the model), size (of the file), native (up to which size the photos have detail of
        their own, which larger frames carry), clamped (share of colours that had to be clipped),
        clamped_frames (the same of each frame), norms (size of z at each frame and level, finest
        first, 1 = a draw at temperature 1), and for each photo in photos: bits_per_dim (null when
        off the scale), roundtrip_max_levels (0 = exact), aligned, notes.
        """
        count = limits.whole(frames, "frames", 2, limits.MAX_FRAMES)
        limits.one_of(path, "path", PATHS)
        limits.one_of(format, "format", _FORMATS)
        least = limits.download_size(size, limits.MIN_SIZE)  # native shows only with the photos
        limits.affordable(count, least)
        rate = limits.between(fps, "fps", 1, 50)
        first, last = (
            limits.between(t, name, *limits.BEYOND)
            for name, t in (("t_from", t_from), ("t_to", t_to))
        )
        prepared = self.prepared(photo_a=photo_a, photo_b=photo_b)
        how = MorphOptions(
            path=path,
            t_range=(first, last),
            constant_speed=bool(constant_speed),
            alone=bool(alone),
            frames=count,
            **_drawn(ground, kappa),
        )
        pace = {"fps": rate, "there_and_back": bool(there_and_back)}
        return self._written(prepared, how, size, pace, format)

    def journey(
        self,
        photos: list[FileData],
        frames: Annotated[float, f"of a leg, 2 to {limits.FRAMES}"] = limits.LEG_FRAMES,
        path: Literal[JOURNEYS] = "cubic",
        loop: bool = True,
        constant_speed: bool = False,
        format: _Format = "gif",
        size: Size = 256,
        fps: _Rate = 25,
        ground: Literal[GROUNDS] = "switch",
        kappa: _Kappa = None,
        alone: bool = False,
    ) -> tuple[FileData, dict[str, Any]]:
        """Morph through two to eight photos.

        frames are those of one leg, both its photos included. With loop the last leg leads back to
        the first photo, which is not repeated, so that the animation runs round without a jump.
        Returns [0] the animation, one way; [1] facts as /morph, and stops: the frame of each
        photo.
        """
        count = limits.whole(frames, "frames", 2, limits.FRAMES)
        limits.one_of(path, "path", JOURNEYS)
        limits.one_of(format, "format", _FORMATS)
        least = limits.download_size(size, limits.MIN_SIZE)  # native shows only with the photos
        limits.affordable(count, least)
        rate = limits.between(fps, "fps", 1, 50)
        prepared = self.several(photos, 2, limits.MAX_FACES)
        how = MorphOptions(
            kind="journey",
            path=path,
            loop=bool(loop),
            constant_speed=bool(constant_speed),
            alone=bool(alone),
            frames=count,
            **_drawn(ground, kappa),
        )
        return self._written(prepared, how, size, {"fps": rate}, format)

    def _written(
        self,
        prepared: list[Face],
        how: MorphOptions,
        size: Any,
        pace: dict[str, Any],
        format: str,
    ) -> tuple[FileData, dict[str, Any]]:
        *_, result = self.editor.travel(prepared, how)
        size = limits.download_size(size, result.native)
        origins = [Origin()] * len(prepared)
        recipe = Recipe.of_morph(self.editor, how, origins, size=size, **pace)
        return made(animated(result, recipe, f".{format}")), {
            "model": self.editor.name,
            "path_kind": recipe.path,
            "warped": result.warped,
            "frames": len(result.frames),
            "image_size": self.editor.image_size,
            "size": recipe.size,
            "native": result.native,
            "t": [round(float(t), 6) for t in result.t],
            "stops": list(result.stops),
            "clamped": result.clamped,
            "clamped_frames": [round(float(share), 6) for share in result.clamped_frames],
            "norms": np.round(result.norms.astype(float), 4).tolist(),
            "photos": [self._about(one) for one in prepared],
        }

    def _about(self, one: Face) -> dict[str, Any]:
        reading = self.editor.read(one)
        return {
            "bits_per_dim": finite(reading.bits_per_dim),
            "roundtrip_max_levels": reading.roundtrip_max_levels,
            "aligned": one.aligned,
            "notes": list(one.notes),
        }


def _drawn(ground: Any, kappa: Any) -> dict[str, Any]:
    """Ground and κ as they came, checked."""
    limits.one_of(ground, "ground", GROUNDS)
    return {
        "ground": ground,
        "kappa": None if kappa is None else limits.between(kappa, "kappa", 0, 1),
    }
