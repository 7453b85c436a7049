"""Edit faces in latent space: morph, journey, mix, edit, average.

A photo becomes a frame in these steps: `Editor.prepare` makes a `Face`, `Editor.walk` (or
`mix_walk`, `edit_walk`) a `Walk` between faces, and `Walk.at` a `Point` of it; `model` decodes the
code of the point, `renderer` makes its picture, and `frames` collects them in a `Morph` or a
`Still`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from glow_app.common.errors import UserError
from glow_app.common.progress import Progress, Steps
from glow_app.editing import directions, paths
from glow_app.editing.directions import Direction
from glow_app.editing.frames import Morph, Still, make_even_frames, make_frames, make_still
from glow_app.editing.model import Align, Coded, FaceModel, Reading
from glow_app.editing.options import FRAMES, MorphOptions, check_positions
from glow_app.editing.sampling import Sampler
from glow_app.editing.walk import Average, Edit, Journey, Mix, Walk
from glow_app.faces.alignment import Square
from glow_app.faces.face import Face
from models import StateRange

Picture = np.ndarray | Face


class Editor:
    """A model, and everything that can be done with faces in its latent space.

    Faces are given as what `prepare` returns or as pictures (S, S, 3) uint8. Long work takes
    `progress`, see `glow_app.common.progress.Progress`, which also stops it. Anything out of range
    raises `UserError`.

    Args:
        checkpoint, device: see `FaceModel`.

    Attributes:
        model: encodes, decodes and measures pictures.
        sampler: draws new faces.
        name, image_size: those of the model.
    """

    def __init__(self, checkpoint: str | Path | None = None, device: str = "auto") -> None:
        self.model = FaceModel(checkpoint, device)
        self.sampler = Sampler(self.model)
        self.name, self.image_size = self.model.name, self.model.image_size

    @property
    def fingerprint(self) -> str:
        """See `FaceModel.fingerprint`."""
        return self.model.fingerprint

    def prepare(self, source: Any, align: Align = "auto", crop: Square | None = None) -> Face:
        """See `FaceModel.prepare`."""
        return self.model.prepare(source, align, crop)

    def read(self, picture: Picture) -> Reading:
        """See `FaceModel.read`."""
        return self.model.read(picture)

    def walk(self, pictures: Sequence[Picture], options: MorphOptions) -> Walk:
        """Return the walk through K ≥ 2 faces at positions 0, 1, …; a loop ends at 0 again.

        Where all have landmarks they are warped to shapes in between.
        """
        if len(pictures) < 2:
            raise UserError("A journey needs at least two pictures.")
        return Journey(
            *self._encoded(pictures, alone=options.alone),
            path=options.path,
            ground=options.ground,
            legs=len(pictures) if options.loop else len(pictures) - 1,
            loop=options.loop,
        )

    def mix_walk(
        self, a: Picture, b: Picture, weights: Sequence[float], shape: float | None = None
    ) -> Walk:
        """Return the walk from A (0) to a mix of A and B (1), level by level; see `mix`."""
        low, high = paths.T_RANGE
        levels = self.model.level_shapes
        if len(weights) != len(levels):
            raise UserError(f"A mix needs {len(levels)} weights, one a level.")
        if not all(low <= w <= high for w in weights):
            raise UserError(f"The weight of a level lies between {low:g} and {high:g}.")
        if shape is not None and not 0 <= shape <= 1:
            raise UserError(f"The shape lies between 0 (A) and 1 (B), not at {shape}.")
        return Mix(
            *self._encoded([a, b], warped=shape is not None),
            sizes=tuple(math.prod(level) for level in levels),
            levels=tuple(map(float, weights)),
            shape=shape or 0.0,
        )

    def edit_walk(
        self,
        picture: Picture,
        strengths: Sequence[tuple[Direction, float]] = (),
        *,
        toward: float = 0.0,
        average: Face | None = None,
    ) -> Walk:
        """Return the walk from a face (0) to its edited self (1); see `edit`."""
        if not 0 <= toward <= 1:
            raise UserError(f"How far to go towards the average lies in 0 to 1, not {toward}.")
        for direction, strength in strengths:
            if not math.isfinite(strength):
                raise UserError(f"The strength of {direction.name} must be finite.")
            if direction.vector is not None and direction.fingerprint != self.fingerprint:
                raise UserError(f"The direction {direction.name} is of another model.")
            self._check_length(direction)
        total, everywhere = directions.combined(strengths)
        model = self.model
        return Edit(
            *self._encoded([picture]),
            move=total.vector,
            shift=total.shape,
            turn=total.turn,
            toward=toward,
            target=None if average is None else model.encode_faces([average], warped=True).z[0],
            target_shape=model.looks.mean if average is None else average.shape,
            everywhere=everywhere,
        )

    def have_landmarks(self, *pictures: Picture) -> bool:
        """Return whether all of these faces can be warped."""
        return all(self.model.face(picture).shape is not None for picture in pictures)

    def along(
        self,
        walk: Walk,
        u: np.ndarray,
        constant_speed: bool = False,
        progress: Progress | None = None,
        coarse: int = 0,
        kappa: float | None = None,
    ) -> Iterator[Morph]:
        """Make the frames of a walk at positions `u` (T,), in legs.

        Args:
            constant_speed: choose as many positions anew, see `frames.make_even_frames`.
            progress: counts frames.
            coarse: without constant speed, yield every coarse-th frame first, see
                `frames.make_frames`.
            kappa: see `MorphOptions`.
        """
        if constant_speed:
            yield make_even_frames(self.model, walk, u, progress, kappa)
        else:
            steps = Steps(len(u), progress)
            yield from make_frames(self.model, walk, u, steps, coarse, kappa)

    def travel(
        self,
        pictures: Sequence[Picture],
        options: MorphOptions,
        progress: Progress | None = None,
        coarse: int = 0,
    ) -> Iterator[Morph]:
        """Make the frames of a morph or a journey; arguments are those of `walk` and `along`."""
        walk = self.walk(pictures, options)
        u = options.positions(walk.legs)
        return self.along(walk, u, options.constant_speed, progress, coarse, options.kappa)

    def morph_frames(
        self,
        a: Picture,
        b: Picture,
        frames: int | Sequence[float] | np.ndarray = FRAMES,
        path: str = "linear",
        *,
        progress: Progress | None = None,
        **choices: Any,
    ) -> Morph:
        """Morph picture A into picture B; the first and the last frame are A and B themselves.

        Args:
            frames: how many, at least 2, evenly spaced; or the positions t themselves, each within
                `paths.T_RANGE`.
            path, choices: further fields of `MorphOptions`.
            progress: counts frames.
        """
        if isinstance(frames, int | np.integer):
            options = MorphOptions(path=path, frames=int(frames), **choices)
            *_, morph = self.travel((a, b), options, progress)
            return morph
        t, options = check_positions(frames), MorphOptions(path=path, **choices)
        if options.constant_speed:
            raise UserError("Constant speed chooses the positions: give a number of frames.")
        walk = self.walk((a, b), options)
        *_, morph = self.along(walk, t, progress=progress, kappa=options.kappa)
        return morph

    def journey(
        self,
        pictures: Sequence[Picture],
        frames: int = FRAMES,
        path: str = "cubic",
        loop: bool = False,
        *,
        progress: Progress | None = None,
        **choices: Any,
    ) -> Morph:
        """Morph through several pictures A → B → C …; with `loop`, back to A without repeating it.

        Args:
            frames: frames a leg with both ends; neighbouring legs share one.
            path, loop, choices: further fields of `MorphOptions`.
            progress: counts frames.

        Returns:
            The frames; picture k is frame `stops[k]`, which without `constant_speed` is
            k·(frames - 1).
        """
        options = MorphOptions("journey", path, frames=frames, loop=loop, **choices)
        *_, morph = self.travel(pictures, options, progress)
        return morph

    def mix(
        self, a: Picture, b: Picture, weights: Sequence[float], shape: float | None = None
    ) -> Still:
        """Mix two pictures scale by scale: z_l = z_a,l + w_l·(z_b,l - z_a,l) at each level l.

        The photos are mixed likewise, each band of them by the weight of its level.

        Args:
            weights: w_l, finest level first, within `paths.T_RANGE`: 0 takes the level from A, 1
                from B. `paths.coarse_fine` makes the usual ones.
            shape: warp both faces to a shape between A's (0) and B's (1), so that eyes lie on
                eyes; None, or a face without landmarks: nothing is warped.
        """
        return make_still(self.model, self.mix_walk(a, b, weights, shape))

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
            strengths: directions, each with its strength s in units of the direction.
            toward: w in [0, 1], how far to go towards the average first, in look and in shape.
            average: a face from `average`; None for the mean of the model's prior, z = 0, and of
                its training faces' shapes.
        """
        walk = self.edit_walk(picture, strengths, toward=toward, average=average)
        return make_still(self.model, walk)

    def average(self, pictures: Sequence[Picture]) -> Face:
        """Return the average of faces, in their mean shape if all have landmarks."""
        if not len(pictures):
            raise UserError("An average needs at least one picture.")
        return self.face_of(make_still(self.model, Average(*self._encoded(pictures))))

    def face_of(self, still: Still, **fields: Any) -> Face:
        """Return a still as a face, with all the detail of its photos; `fields` are of `Face`."""
        side = self.image_size
        full = still.at(still.native) if still.native > side else None
        crop = still.at(max(self.model.crop_size, side))
        return Face(still.pixels, crop, faces=1, full=full, landmarks=still.shape, **fields)

    def directions(self) -> list[Direction]:
        """Return the directions that come with the program and fit this model, in groups."""
        return list(self._shipped)

    def load_direction(self, path: str | Path) -> Direction:
        """Read a direction from a file; raise `UserError` if it is not one of this model."""
        direction = directions.load(path, self.fingerprint)
        self._check_length(direction)
        return direction

    def expression(
        self, picture: Picture, like: Picture, amount: float = 1.0
    ) -> list[tuple[Direction, float]]:
        """Return strengths that bring the expression and the pose of another face, `like`, to this
        one; `amount` 0 is none of it, 1 all. Both need landmarks."""
        own, other = (self.model.face(p).shape for p in (picture, like))
        if own is None or other is None:
            raise UserError("The expression of a face needs landmarks, and one here has none.")
        return directions.expression(self.directions(), own, other, amount)

    @functools.cached_property
    def _shipped(self) -> tuple[Direction, ...]:
        # The model's own come first; shapes fit any weights, and each name is taken once.
        files = sorted(
            directions.pretrained_folder().glob("*/*.safetensors"),
            key=lambda path: (path.parent.name != self.name, path),
        )
        found: dict[str, Direction] = {}
        for path in files:
            if path.name not in found:
                with suppress(UserError):  # of other weights
                    found[path.name] = self.load_direction(path)
        place = directions.GROUPS.index
        return tuple(
            sorted(found.values(), key=lambda d: (place(d.group), d.facts.get("order", 0), d.name))
        )

    def _check_length(self, direction: Direction) -> None:
        numbers, own = self.model.flow.dims, direction.vector
        if own is not None and own.shape != (numbers,):
            raise UserError(
                f"The direction {direction.name} is damaged: it moves {own.numel()} numbers of a "
                f"look, and this model has {numbers}."
            )

    def _encoded(
        self, pictures: Sequence[Picture], warped: bool = True, alone: bool = False
    ) -> tuple[tuple[Face, ...], Coded, StateRange | None, bool, bool]:
        """Return the first fields of a `Walk`: `warped` only where all faces can be."""
        faces = tuple(self.model.face(picture) for picture in pictures)
        warped = warped and not alone and all(face.shape is not None for face in faces)
        coded = self.model.encode_faces(faces, warped)
        return faces, coded, self.model.flow.usual_range, warped, alone
