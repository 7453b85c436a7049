"""What one can do with faces in latent space: morph, travel, mix, edit, average, draw.

No page, no files. Pictures come in and go out as uint8 arrays, codes stay inside. Where to go is
in `walk`, the model in `codec`, the frame in `renderer`; here walks are made of faces.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from glow_app.common.errors import UserError
from glow_app.common.expiring_cache import ExpiringCache
from glow_app.common.progress import Progress, Steps
from glow_app.editing import directions, paths
from glow_app.editing.codec import CACHED_CODES, CACHED_SECONDS, Reading
from glow_app.editing.directions import Direction
from glow_app.editing.frames import (
    MAX_FRAMES,
    Morph,
    Still,
    check_even,
    decoded,
    even_positions,
    journey_positions,
    morph_positions,
    still,
)
from glow_app.editing.sampler import MAX_SEED, SAMPLE_PASS, Sampler
from glow_app.editing.walk import (
    GROUNDS,
    Average,
    Coded,
    Edit,
    Journey,
    Mix,
    Walk,
    check_path,
)
from glow_app.faces.face import Face
from glow_app.faces.landmarks import differences, turned

__all__ = [
    "GROUNDS",
    "MAX_FRAMES",
    "MAX_SEED",
    "SAMPLE_PASS",
    "Editor",
    "Morph",
    "Reading",
    "Still",
]

Picture = np.ndarray | Face


class Editor(Sampler):
    """A `Codec` with everything that can be done between encoding and decoding.

    Faces are given as what `prepare` returns or as pictures (S, S, 3) uint8, which are all there
    is then. Long work takes `progress`, see `glow_app.common.progress.Progress`, which also stops
    it. Anything out of range raises `UserError`.
    """

    def __init__(self, checkpoint: str | Path | None = None, device: str = "auto") -> None:
        super().__init__(checkpoint, device)
        self._faces: ExpiringCache[Face] = ExpiringCache(CACHED_CODES, CACHED_SECONDS)

    # ------------------------------------------------------------------------------------ walks

    def morph_walk(
        self,
        a: Picture,
        b: Picture,
        path: str = "linear",
        *,
        ground: str = "switch",
        alone: bool = False,
    ) -> Walk:
        """The walk from A (position 0) to B (1), and beyond.

        Args:
            a, b: the faces. Where both have landmarks they are warped to shapes in between.
            path: of the code, one of `paths.PATHS`.
            ground: whose hair, clothes and background are shown, one of `GROUNDS`; see
                `walk.Journey`.
            alone: the model alone: codes of the crops as they are, and frames that are g(z) and
                nothing else; no photo, no warp.

        Raises:
            UserError: wrong pictures, or an unknown path or ground.
        """
        check_path(path, paths.PATHS, ground)
        known = self._walked([a, b], alone)
        return Journey(**known, path=path, ground=ground)

    def journey_walk(
        self,
        pictures: Sequence[Picture],
        path: str = "cubic",
        loop: bool = False,
        *,
        ground: str = "switch",
        alone: bool = False,
    ) -> Walk:
        """The walk through K ≥ 2 faces at positions 0, 1, …; with `loop` back to 0 at K.

        Args:
            path: one of `paths.JOURNEYS`.
            ground, alone: as for `morph_walk`.

        Raises:
            UserError: as `morph_walk`, or fewer than two faces.
        """
        check_path(path, paths.JOURNEYS, ground)
        if len(pictures) < 2:
            raise UserError("A journey needs at least two pictures.")
        known, count = self._walked(pictures, alone), len(pictures)
        legs = count if loop else count - 1
        return Journey(**known, path=path, ground=ground, legs=legs, loop=loop)

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
        sizes = tuple(math.prod(level) for level in self.level_shapes)
        known = self._walked([a, b], alone=False, warped=shape is not None)
        return Mix(**known, sizes=sizes, levels=tuple(map(float, weights)), shape=shape or 0.0)

    def edit_walk(
        self,
        picture: Picture,
        strengths: Sequence[tuple[Direction, float]] = (),
        *,
        toward: float = 0.0,
        average: Face | None = None,
    ) -> Walk:
        """The walk from a face (0) to its edited self (1); see `edit`."""
        if not 0 <= toward <= 1:
            raise UserError(f"How far to go towards the average lies in 0 to 1, not {toward}.")
        for direction, strength in strengths:
            if not math.isfinite(strength):
                raise UserError(f"The strength of {direction.name} must be finite.")
            if direction.vector is not None and direction.fingerprint != self.fingerprint:
                raise UserError(f"The direction {direction.name} is of another model.")
            self._check_length(direction)
        known = self._walked([picture], alone=False)
        move, shift, turn = None, None, np.zeros(3)
        lengths = {True: 0.0, False: 0.0}  # of looks, those that fall on everything and others
        for direction, strength in strengths:
            if not strength:
                continue
            if direction.vector is not None:
                own = strength * direction.vector
                move = own if move is None else move + own
                lengths[bool(direction.facts.get("everywhere"))] += float(own.norm())
            if direction.shape is not None:
                own = strength * direction.shape
                shift = own if shift is None else shift + own
            turn += strength * np.array(direction.turn)
        target = None if average is None else self._coded([average], warped=True).z[0]
        shape = self.looks.mean if average is None else average.shape
        how = {"toward": toward, "target": target, "target_shape": shape}
        how["everywhere"] = lengths[True] / max(sum(lengths.values()), 1e-9)
        return Edit(**known, move=move, shift=shift, turn=tuple(turn.tolist()), **how)

    def have_landmarks(self, *pictures: Picture) -> bool:
        """Whether all of these faces can be warped."""
        return all(self.face(picture).shape is not None for picture in pictures)

    # ---------------------------------------------------------------------------------- decoding

    def morph_frames(
        self,
        a: Picture,
        b: Picture,
        frames: int | Sequence[float] = 33,
        path: str = "linear",
        *,
        ground: str = "switch",
        alone: bool = False,
        kappa: float | None = None,
        t_range: tuple[float, float] = (0.0, 1.0),
        constant_speed: bool = False,
        progress: Progress | None = None,
    ) -> Morph:
        """Morph picture A into picture B; the first and the last frame are A and B themselves.

        Args:
            a, b, path, ground, alone: as for `morph_walk`.
            frames: how many, at least 2, evenly spaced over `t_range` with both its ends; or the
                positions t themselves, each within `paths.T_RANGE`.
            kappa: how much of the change the flow decides, 0 to 1; None for `renderer.KAPPA`.
            t_range: first and last t, within `paths.T_RANGE`; beyond 0 and 1 the path goes on
                straight ahead.
            constant_speed: choose the positions so that the picture changes by the same amount
                from frame to frame (mean absolute difference of levels, measured on frames that
                are made first, which doubles the time). A and B are still met where the range has
                them. Only for a number of frames.
            progress: counts frames.

        Raises:
            UserError: wrong pictures, frames, path or range.
        """
        t = morph_positions(frames, t_range)
        if constant_speed and not isinstance(frames, int | np.integer):
            raise UserError("Constant speed chooses the positions: give a number of frames.")
        walk = self.morph_walk(a, b, path, ground=ground, alone=alone)
        *_, morph = self.along(walk, t, constant_speed, progress, kappa=kappa)
        return morph

    def journey(
        self,
        pictures: Sequence[Picture],
        frames: int = 33,
        path: str = "cubic",
        loop: bool = False,
        *,
        ground: str = "switch",
        alone: bool = False,
        kappa: float | None = None,
        constant_speed: bool = False,
        progress: Progress | None = None,
    ) -> Morph:
        """Morph through several pictures A → B → C …; with `loop`, back to A without repeating it.

        Args:
            pictures, path, loop, ground, alone: as for `journey_walk`.
            frames: frames a leg with both ends; neighbouring legs share one. See
                `paths.journey_positions` for the total.
            kappa: as for `morph_frames`.
            constant_speed: as for `morph_frames`, over the whole journey: legs on which more
                changes get more of the frames.
            progress: counts frames.

        Returns:
            The frames; picture k is frame `stops[k]`, which without `constant_speed` is
            k·(frames - 1).

        Raises:
            UserError: wrong pictures, frames or path, or fewer than two pictures.
        """
        walk = self.journey_walk(pictures, path, loop, ground=ground, alone=alone)
        u = journey_positions(walk, frames)
        *_, morph = self.along(walk, u, constant_speed, progress, kappa=kappa)
        return morph

    def along(
        self,
        walk: Walk,
        u: np.ndarray,
        constant_speed: bool = False,
        progress: Progress | None = None,
        coarse: int = 0,
        kappa: float | None = None,
    ) -> Iterator[Morph]:
        """Make the frames of a walk at positions `u` (T,), in legs; see `frames.decoded`.

        Args:
            constant_speed: choose as many positions anew, between those ends, so that the picture
                changes equally; photos on the way stay among them.
            progress: counts frames.
            coarse: yield every coarse-th frame first; nothing is made twice.
            kappa: as for `morph_frames`.

        Yields:
            the coarse frames if asked for, then all.
        """
        if kappa is not None and not 0 <= kappa <= 1:
            raise UserError(f"How much the flow decides lies between 0 and 1, not at {kappa}.")
        if not constant_speed:
            yield from decoded(self, walk, u, Steps(len(u), progress), coarse, kappa)
            return
        # Where the frames stand shows only once all were made; on a loop the way home counts.
        closed = walk.loop and u[-1] < walk.legs
        measured = np.append(u, float(walk.legs)) if closed else u
        check_even(walk, measured)
        steps = Steps(len(u) + len(measured), progress)
        *_, first = decoded(self, walk, measured, steps, kappa=kappa)
        even = even_positions(walk, measured, first.frames)
        yield from decoded(self, walk, even[: len(u)], steps, kappa=kappa)

    def mix(
        self, a: Picture, b: Picture, weights: Sequence[float], shape: float | None = None
    ) -> Still:
        """Mix two pictures scale by scale: z_l = z_a,l + w_l·(z_b,l - z_a,l) at each level l.

        The photos are mixed likewise, each band of them by the weight of its level.

        Args:
            a, b: the faces.
            weights: one for each level of the flow, finest first, within `paths.T_RANGE`: 0
                takes the level from A, 1 from B. `paths.coarse_fine` makes the usual ones.
            shape: 0 to 1: warp both faces to a shape between A's (0) and B's (1), so that eyes lie
                on eyes; where a face has no landmarks, and for None, nothing is warped.

        Raises:
            UserError: wrong pictures, weights or shape.
        """
        return still(self, self.mix_walk(a, b, weights, shape))

    def edit(
        self,
        picture: Picture,
        strengths: Sequence[tuple[Direction, float]] = (),
        *,
        toward: float = 0.0,
        average: Face | None = None,
    ) -> Still:
        """Move a face along directions: z' = z + w·(average - z) + Σ s_i·d_i, its shape likewise.

        Args:
            picture: the face.
            strengths: directions, each with its strength s in units of the direction.
            toward: w in [0, 1], how far to go towards the average first, in look and in shape.
            average: a face from `average`; None for the mean of the model's prior, z = 0, and of
                its training faces' shapes.

        Raises:
            UserError: wrong picture, a strength that is not finite, or a direction of another
                model.
        """
        return still(self, self.edit_walk(picture, strengths, toward=toward, average=average))

    def expression(
        self, picture: Picture, like: Picture, amount: float = 1.0
    ) -> list[tuple[Direction, float]]:
        """Strengths that bring the expression and the pose of another face to this one.

        What tells their shapes apart is measured, and the sliders of expression and pose make up
        for it, each within its ends; what is the person's own (nose, jaw) stays.

        Args:
            like: the face whose expression is wanted.
            amount: 0 none of it, 1 all.

        Raises:
            UserError: a face has no landmarks, or the model comes without these sliders.
        """
        own, other = (self.face(p).shape for p in (picture, like))
        if own is None or other is None:
            raise UserError("The expression of a face needs landmarks, and one here has none.")
        apart, sliders = differences(own, other), []
        for direction in self.directions():
            names, _ = direction.facts.get("measure", ([], 1))
            if direction.group not in ("Expression", "Pose") or not names:
                continue
            if direction.name.startswith("wink"):  # eyes wide has what both do
                continue
            if set(names) <= set(apart):
                sliders.append(direction)
        if not sliders:
            raise UserError("No sliders of expression come with this model.")
        # A smile widens the mouth, which has a slider of its own: what each does to the numbers of
        # all, so that together they do not go too far.
        does = [_asked_of(sliders, differences(own, _moved(own, slider))) for slider in sliders]
        wanted = amount * _asked_of(sliders, apart)
        strengths = np.linalg.lstsq(np.stack(does, axis=1), wanted, rcond=0.05)[0].tolist()
        return [(d, min(max(s, d.low), d.high)) for d, s in zip(sliders, strengths, strict=True)]

    def average(self, pictures: Sequence[Picture]) -> Face:
        """The average of one or more faces: their mean shape, and equal parts of all photos.

        Faces without landmarks are laid over each other as they are.
        """
        if not len(pictures):
            raise UserError("An average needs at least one picture.")
        made = still(self, Average(**self._walked(pictures, alone=False)))
        return self.made(made)

    def made(self, made: Still, **known: object) -> Face:
        """A picture that was made here as a face, with all the detail that its photos gave it.

        Args:
            known: more fields of the face.
        """
        wide = self.image_size if self.coding is None else max(self.coding.size, self.image_size)
        full = made.at(made.native) if made.native > self.image_size else None
        crop = made.at(wide)
        return Face(made.pixels, crop, faces=1, full=full, landmarks=made.shape, **known)

    def load_direction(self, path: str | Path) -> Direction:
        """A direction from a file; raises `UserError` if it is not one of this model."""
        direction = directions.load(path, self.fingerprint)
        self._check_length(direction)
        return direction

    @functools.cached_property
    def _shipped(self) -> tuple[Direction, ...]:
        found = []
        for path in directions.pretrained_folder().glob("*/*.safetensors"):
            with suppress(UserError):  # of other weights
                found.append(self.load_direction(path))
        order = {group: place for place, group in enumerate(directions.GROUPS)}
        place = lambda d: (order[d.group], d.facts.get("order", 0), d.name)  # noqa: E731
        return tuple(sorted(found, key=place))

    def directions(self) -> list[Direction]:
        """The directions that come with the program and fit this model, in groups."""
        return list(self._shipped)

    # ----------------------------------------------------------------------------------- inside

    def _check_length(self, direction: Direction) -> None:
        numbers, own = self.model.dims, direction.vector
        if own is not None and own.shape != (numbers,):
            raise UserError(
                f"The direction {direction.name} is damaged: it moves {own.numel()} numbers of a "
                f"look, and this model has {numbers}."
            )

    def face(self, picture: Picture) -> Face:
        """The face of a picture; of the same pixels the same one, whose landmarks are known."""
        if isinstance(picture, Face):
            self._check_one(picture.pixels)
            return picture
        wide = None if self.coding is None else self.coding.size
        fresh = Face.of_pixels(self._check_one(picture), wide)
        with self._lock:
            known = self._faces.get(fresh.key) or fresh
            self._faces.keep(fresh.key, known)
        return known

    def _walked(
        self, pictures: Sequence[Picture], alone: bool, warped: bool = True
    ) -> dict[str, object]:
        """What every walk knows of its faces."""
        faces = tuple(self.face(picture) for picture in pictures)
        shaped = warped and not alone and all(face.shape is not None for face in faces)
        coded = self._coded(faces, shaped)
        usual = self.model.usual_range
        return {
            "faces": faces, "coded": coded, "usual": usual, "shaped": shaped, "alone": alone,
        }  # fmt: skip

    def _coded(self, faces: Sequence[Face], warped: bool) -> Coded:
        """Codes of looks, or of the crops as they are."""
        seen = [self.looks.of(face) if warped else face.pixels for face in faces]
        return self.encode_with_range(np.stack(seen))


def _asked_of(sliders: Sequence[Direction], apart: dict[str, float]) -> np.ndarray:
    """(K,) `differences` by the number that each slider is measured by."""
    measures = [slider.facts["measure"] for slider in sliders]
    return np.array([sign * sum(apart[n] for n in names) / len(names) for names, sign in measures])


def _moved(shape: np.ndarray, slider: Direction) -> np.ndarray:
    """A shape (478, 2) that is moved by one unit of a slider."""
    moved = shape if slider.shape is None else shape + slider.shape
    return turned(moved, *slider.turn) if any(slider.turn) else moved
