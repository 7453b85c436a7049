"""What one can do with faces in latent space: morph, travel, mix, edit, average, draw.

No page, no files. Pictures come in and go out as uint8 arrays; codes stay inside, but for that of
an average. Where to go is in `walk` and `guide`, the model in `codec`; here walks are decoded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from glow_app.common.errors import UserError
from glow_app.common.expiring_cache import ExpiringCache
from glow_app.common.progress import Progress, Steps
from glow_app.editing import directions, paths
from glow_app.editing.codec import CACHED_CODES, CACHED_SECONDS, Coded, Reading
from glow_app.editing.contrast import fitted_journey
from glow_app.editing.directions import Direction
from glow_app.editing.frames import (
    MAX_FRAMES,
    Morph,
    Still,
    decoded,
    even_positions,
    journey_positions,
    morph_positions,
)
from glow_app.editing.full_size import Blend, PhotoDetail
from glow_app.editing.guide import Studio, guided_journey, guided_mix
from glow_app.editing.portrait import Portrait
from glow_app.editing.sampler import MAX_SEED, SAMPLE_PASS, Sampler
from glow_app.editing.walk import (
    JOURNEY_PATHS,
    MORPH_PATHS,
    Style,
    Walk,
    check_path,
    edit_walk,
    journey_walk,
    mix_walk,
)
from glow_app.pictures.prepare import Prepared

__all__ = ["MAX_FRAMES", "MAX_SEED", "SAMPLE_PASS", "Editor", "Morph", "Reading", "Still"]

Picture = np.ndarray | Prepared

_CACHED_STUDIOS = 16


class Editor(Sampler):
    """A `Codec` with everything that can be done between encoding and decoding.

    Faces are given as pictures (S, S, 3) uint8 or, better, as what `prepare` returns, whose crop
    holds more detail for a guided walk. Long work takes `progress`, see
    `glow_app.common.progress.Progress`, which also stops it. Anything out of range raises
    `UserError`.
    """

    def __init__(self, checkpoint: str | Path | None = None, device: str = "auto") -> None:
        super().__init__(checkpoint, device)
        self._portraits: ExpiringCache[Portrait] = ExpiringCache(CACHED_CODES, CACHED_SECONDS)
        self._studios: ExpiringCache[Studio] = ExpiringCache(_CACHED_STUDIOS, CACHED_SECONDS)

    # ------------------------------------------------------------------------------------ walks

    def morph_walk(
        self,
        a: Picture,
        b: Picture,
        path: str = "shell",
        *,
        sharpness: float | None = None,
        guide: bool | None = None,
    ) -> Walk:
        """The walk from A (position 0) to B (1), and beyond.

        Args:
            a, b: the faces.
            path: one of `walk.MORPH_PATHS`; see `walk.Style`.
            sharpness: 0 to 1, see `walk.Style`; None for what the path says.
            guide: warp both faces to the shape in between and walk between *their* codes, see
                `guide`. None: where both faces have landmarks.

        Raises:
            UserError: wrong pictures, an unknown path, or a guide where a face has no landmarks.
        """
        check_path(path, MORPH_PATHS, sharpness)
        return self._walk([a, b], path, sharpness, guide, loop=False)

    def journey_walk(
        self,
        pictures: Sequence[Picture],
        path: str = "cubic",
        loop: bool = False,
        *,
        sharpness: float | None = None,
        guide: bool | None = None,
    ) -> Walk:
        """The walk through K ≥ 2 faces at positions 0, 1, …; with `loop` back to 0 at K.

        Args:
            path: one of `walk.JOURNEY_PATHS`.
            sharpness, guide: as for `morph_walk`.

        Raises:
            UserError: as `morph_walk`, or fewer than two faces.
        """
        check_path(path, JOURNEY_PATHS, sharpness)
        if len(pictures) < 2:
            raise UserError("A journey needs at least two pictures.")
        return self._walk(pictures, path, sharpness, guide, loop)

    def mix_walk(
        self, a: Picture, b: Picture, weights: Sequence[float], shape: float | None = None
    ) -> Walk:
        """The walk from A (0) to a mix of A and B (1), level by level; see `mix`."""
        low, high = paths.T_RANGE
        if len(weights) != len(self.level_shapes):
            raise UserError(f"A mix needs {len(self.level_shapes)} weights, one a level.")
        if not all(low <= w <= high for w in weights):
            raise UserError(f"The weight of a level lies between {low:g} and {high:g}.")
        if shape is not None and not 0 <= shape <= 1:
            raise UserError(f"The shape lies between 0 (A) and 1 (B), not at {shape}.")
        faces, usual = (self._portrait(a), self._portrait(b)), self.model.usual_range
        # Landmarks are not looked for in vain.
        shaped = shape is not None and all(face.mesh is not None for face in faces)
        if shaped:
            walk = guided_mix(self._studio(faces), weights, shape, usual)
        else:
            coded = self.encode_with_range(np.stack([face.pixels for face in faces]))
            walk = mix_walk(coded, weights, self.shell, usual)
        share = min(max(weights[0], 0.0), 1.0)  # detail belongs to the finest level
        blend = Blend(0, 1, share, shape if shaped else None)
        return replace(walk, detail=PhotoDetail(faces, lambda _: blend))

    def edit_walk(
        self,
        picture: Picture,
        strengths: Sequence[tuple[Direction, float]] = (),
        *,
        toward: float = 0.0,
        average: Tensor | None = None,
    ) -> Walk:
        """The walk from a face (0) to its edited self (1); see `edit`."""
        if not 0 <= toward <= 1:
            raise UserError(f"How far to go towards the average lies in 0 to 1, not {toward}.")
        for direction, strength in strengths:
            if not math.isfinite(strength):
                raise UserError(f"The strength of {direction.name} must be finite.")
            if direction.fingerprint != self.fingerprint:
                raise UserError(f"The direction {direction.name} is of another model.")
        target = None if average is None else self._check_codes(average)[0]
        face = self._portrait(picture)
        coded = self.encode_with_range(face.pixels)
        walk = edit_walk(coded, strengths, toward, target, self.shell, self.model.usual_range)
        return walk.with_detail([face])

    def have_landmarks(self, *pictures: Picture) -> bool:
        """Whether all of these faces can be warped, as a guided walk does."""
        return all(self._portrait(picture).mesh is not None for picture in pictures)

    # ---------------------------------------------------------------------------------- decoding

    def morph_frames(
        self,
        a: Picture,
        b: Picture,
        frames: int | Sequence[float] = 33,
        path: str = "shell",
        *,
        sharpness: float | None = None,
        guide: bool | None = None,
        t_range: tuple[float, float] = (0.0, 1.0),
        constant_speed: bool = False,
        progress: Progress | None = None,
    ) -> Morph:
        """Morph picture A into picture B: x_t = g(z_t), z_t on a walk from f(A) to f(B).

        The ends are decoded like any other frame; they equal A and B because g(f(x)) = x.

        Args:
            a, b, path, sharpness, guide: as for `morph_walk`.
            frames: how many, at least 2, evenly spaced over `t_range` with both its ends; or the
                positions t themselves, each within `paths.T_RANGE`.
            t_range: first and last t, within `paths.T_RANGE`; beyond 0 and 1 the path goes on
                straight ahead, and colours may have to be clamped.
            constant_speed: choose the positions so that the picture changes by the same amount
                from frame to frame (mean absolute difference of levels, measured on frames that
                are decoded first, which doubles the time). A and B are still met where the
                range has them. Only for a number of frames.
            progress: counts decoded frames.

        Raises:
            UserError: wrong pictures, frames, path or range.
        """
        t = morph_positions(frames, t_range)
        if constant_speed and not isinstance(frames, int | np.integer):
            raise UserError("Constant speed chooses the positions: give a number of frames.")
        walk = self.morph_walk(a, b, path, sharpness=sharpness, guide=guide)
        *_, morph = self.along(walk, t, constant_speed, progress)
        return morph

    def journey(
        self,
        pictures: Sequence[Picture],
        frames: int = 33,
        path: str = "cubic",
        loop: bool = False,
        *,
        sharpness: float | None = None,
        guide: bool | None = None,
        constant_speed: bool = False,
        progress: Progress | None = None,
    ) -> Morph:
        """Morph through several pictures A → B → C …; with `loop`, back to A without repeating it.

        Args:
            pictures, path, loop, sharpness, guide: as for `journey_walk`.
            frames: frames a leg with both ends; neighbouring legs share one. See
                `paths.journey_positions` for the total.
            constant_speed: as for `morph_frames`, over the whole journey: legs on which more
                changes get more of the frames.
            progress: counts decoded frames.

        Returns:
            The frames; picture k is frame `stops[k]`, which without `constant_speed` is
            k·(frames - 1).

        Raises:
            UserError: wrong pictures, frames or path, or fewer than two pictures.
        """
        walk = self.journey_walk(pictures, path, loop, sharpness=sharpness, guide=guide)
        u = journey_positions(walk, frames)
        *_, morph = self.along(walk, u, constant_speed, progress)
        return morph

    def along(
        self,
        walk: Walk,
        u: np.ndarray,
        constant_speed: bool = False,
        progress: Progress | None = None,
        coarse: int = 0,
    ) -> Iterator[Morph]:
        """Decode a walk at positions `u` (T,), in legs; see `frames.decoded`.

        Args:
            constant_speed: choose as many positions anew, between those ends, so that the picture
                changes equally; photos on the way stay among them.
            progress: counts decoded frames.
            coarse: yield every coarse-th frame first; nothing is decoded twice.

        Yields:
            the coarse frames if asked for, then all.
        """
        if not constant_speed:
            yield from decoded(self, walk, u, Steps(len(u), progress), coarse)
            return
        # Where the frames stand shows only once all were decoded; on a loop the way home counts.
        closed = walk.loop and u[-1] < walk.legs
        measured = np.append(u, float(walk.legs)) if closed else u
        steps = Steps(len(u) + len(measured), progress)
        *_, first = decoded(self, walk, measured, steps)
        even = even_positions(walk, measured, first.frames)
        yield from decoded(self, walk, even[: len(u)], steps)

    def mix(
        self, a: Picture, b: Picture, weights: Sequence[float], shape: float | None = None
    ) -> Still:
        """Mix two pictures scale by scale: z_l = z_a,l + w_l·(z_b,l - z_a,l) at each level l.

        Args:
            a, b: the faces.
            weights: one for each level of the flow, finest first, within `paths.T_RANGE`: 0
                takes the level from A, 1 from B. `paths.coarse_fine` makes the usual ones.
            shape: 0 to 1: warp both faces to a shape between A's (0) and B's (1) first, so that
                eyes lie on eyes; where a face has no landmarks, and for None, nothing is warped.

        Raises:
            UserError: wrong pictures, weights or shape.
        """
        return self._still(self.mix_walk(a, b, weights, shape))

    def edit(
        self,
        picture: Picture,
        strengths: Sequence[tuple[Direction, float]] = (),
        *,
        toward: float = 0.0,
        average: Tensor | None = None,
    ) -> Still:
        """Move a face along directions: z' = z + w·(average - z) + Σ s_i·d_i.

        Args:
            picture: the face.
            strengths: directions, learned for this very model, each with its strength s: 1 moves
                by one difference between the two classes it was learned from.
            toward: w in [0, 1], how far to go towards the average first.
            average: (D,) code from `average`; None for the mean of the model's prior, z = 0.

        Raises:
            UserError: wrong picture, a strength that is not finite, a direction or an average
                of another model.
        """
        return self._still(self.edit_walk(picture, strengths, toward=toward, average=average))

    def average(self, pictures: Sequence[np.ndarray], progress: Progress | None = None) -> Tensor:
        """The average code (D,) of one or more pictures, on the shell; `decode` shows it.

        The mean of many codes lies near the origin, where faces are grey and soft, so it is given
        the length that a point half way between two codes has.
        """
        if not len(pictures):
            raise UserError("An average needs at least one picture.")
        total = torch.zeros(self.model.dims, dtype=torch.float64)
        for codes in self.encode_each(pictures, progress):
            total += codes.double().sum(dim=0)
        mean = total / len(pictures)
        return (mean if len(pictures) == 1 else self.shell.inside(mean)).float()

    def load_direction(self, path: str | Path) -> Direction:
        """A direction from a file; raises `UserError` if it is not one of this model."""
        return directions.load(path, self.fingerprint)

    def directions(self) -> list[Direction]:
        """The directions that come with the program and fit this model, by name; often none."""
        found = []
        for path in sorted(directions.pretrained_folder().glob("*/*.safetensors")):
            with suppress(UserError):  # of other weights
                found.append(self.load_direction(path))
        return found

    # ----------------------------------------------------------------------------------- inside

    def _walk(
        self,
        pictures: Sequence[Picture],
        path: str,
        sharpness: float | None,
        guide: bool | None,
        loop: bool,
    ) -> Walk:
        usual = self.model.usual_range
        faces = [self._portrait(picture) for picture in pictures]
        if guide is not False:
            if all(face.mesh is not None for face in faces):
                style = Style(path, sharpness, self.shell.guided())
                walk = guided_journey(self._studio(faces), style, usual, loop)
                return walk.with_detail(faces)
            if guide:
                raise UserError("A guided morph needs landmarks, and a face has none here.")
        photos = np.stack([face.pixels for face in faces])
        coded, style = self.encode_with_range(photos), Style(path, sharpness, self.shell)
        if style.share:
            shell = fitted_journey(self.shell, coded, photos, loop, self._decode_coded)
            style = replace(style, shell=shell)
        return journey_walk(coded, style, usual, loop).with_detail(faces)

    def _decode_coded(self, coded: Coded) -> np.ndarray:
        return self.decode_with_report(coded.z, within=coded.within)[0]

    def _studio(self, faces: Sequence[Portrait]) -> Studio:
        """Kept for a while: sliders ask for the same faces again and again."""
        key = b"".join(face.key for face in faces)
        with self._lock:
            studio = self._studios.get(key)
            if studio is None:
                tools = self.encode_with_range, self.shell.guided(), self._decode_coded
                studio = Studio(tuple(faces), self.coding, *tools)
            self._studios.keep(key, studio)
        return studio

    def _portrait(self, picture: Picture) -> Portrait:
        """With landmarks, which are found once and kept for a while, as codes are."""
        pixels = self._pixels_of(picture)
        fresh = Portrait.of(picture, len(pixels) if self.coding is None else self.coding.size)
        with self._lock:
            known = self._portraits.get(fresh.key) or fresh
            self._portraits.keep(fresh.key, known)
        return known

    def _pixels_of(self, picture: Picture) -> np.ndarray:
        return self._check_one(picture if isinstance(picture, np.ndarray) else picture.pixels)

    def _still(self, walk: Walk) -> Still:
        coded = walk.at(np.ones(1))
        pixels, clamped = self.decode_with_report(coded.z, within=coded.within)
        return Still(pixels[0], float(clamped[0]), walk.detail)
