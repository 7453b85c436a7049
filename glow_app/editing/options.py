"""The choices of a morph or a journey, for the page, the API, the command line and recipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from glow_app.common.errors import UserError
from glow_app.editing.paths import JOURNEYS, PATHS, T_RANGE

Ground = Literal["switch", "a", "b"]
GROUNDS: Final[tuple[str, ...]] = get_args(Ground)
KAPPA: Final = 0.5  # in blind judgements as good as the photos alone; 1 is a little worse
FRAMES: Final = 33
MAX_FRAMES: Final = 2000  # of one morph; at 128 px they and their looks take 200 MB


@dataclass(frozen=True)
class MorphOptions:
    """How to go from face to face; checked when it is made.

    Attributes:
        kind: "morph", from A to B, or "journey", through K ≥ 2 faces.
        path: of the code, one of `paths.PATHS`; of a journey one of `paths.JOURNEYS`.
        t_range: of a morph, first and last t within `paths.T_RANGE`; 0 is A, 1 is B, and beyond
            the path goes on straight ahead.
        alone: frames are g(z) of codes between those of the crops, without photos and warps.
        ground: one of `GROUNDS`: whose hair, clothes and background are shown. "switch": those of
            the nearer face, changing about the middle; "a", "b": of the first or the second face
            of a leg, all but next to the other photo.
        kappa: how much of the change the flow decides, 0 (only the photos) to 1; None for `KAPPA`.
        constant_speed: choose the positions so that the picture changes by the same amount from
            frame to frame (mean absolute difference of levels, measured on frames that are made
            first, which doubles the time). Photos on the way stay among the frames.
        loop: of a journey, go back to the first face, without repeating it.
        frames: of a morph all of them; of a journey those of one leg with both its ends, which
            neighbouring legs share.

    Raises:
        UserError: a value out of range.
    """

    kind: str = "morph"
    path: str = "linear"
    t_range: tuple[float, float] = (0.0, 1.0)
    alone: bool = False
    ground: str = "switch"
    kappa: float | None = None
    constant_speed: bool = False
    loop: bool = False
    frames: int = FRAMES

    def __post_init__(self) -> None:
        known = JOURNEYS if self.kind == "journey" else PATHS
        if self.path not in known:
            raise UserError(f"Unknown path {self.path!r}: choose one of {', '.join(known)}.")
        if self.ground not in GROUNDS:
            raise UserError(f"Unknown ground {self.ground!r}: choose one of {', '.join(GROUNDS)}.")
        if self.kappa is not None and not 0 <= self.kappa <= 1:
            raise UserError(
                f"How much the flow decides lies between 0 and 1, not at {self.kappa}."
            )
        low, high = T_RANGE
        first, last = self.t_range
        if not low <= first < last <= high:
            raise UserError(f"The range of t must lie between {low:g} and {high:g} and go up.")
        if self.kind == "morph" and not 2 <= self.frames <= MAX_FRAMES:
            raise UserError(f"A morph needs 2 to {MAX_FRAMES} frames, not {self.frames}.")

    def positions(self, legs: int = 1) -> np.ndarray:
        """Return the evenly spaced positions of the frames on a walk, (T,) float64 in legs: of a
        morph `t_range`, of a journey from 0 to `legs`, of a loop without the last.
        Raises UserError: a journey of so many legs has no such number of frames."""
        if self.kind == "morph":
            # Rounded, so that a 0 or a 1 on the way is exact and meets its photo.
            return np.linspace(*self.t_range, self.frames).round(12)
        most = (MAX_FRAMES - 1) // legs + 1
        if not 2 <= self.frames <= most:
            raise UserError(
                f"A journey has at most {MAX_FRAMES} frames: from one of these photos to the next "
                f"2 to {most}, not {self.frames}."
            )
        steps = legs * (self.frames - 1)
        return np.arange(steps if self.loop else steps + 1) / (self.frames - 1)


def check_positions(t: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return positions t of a morph as (T,) float64.
    Raises UserError: they are no row of numbers within `paths.T_RANGE`."""
    low, high = T_RANGE
    t = np.asarray(t, dtype=np.float64)
    if t.ndim != 1 or not 1 <= len(t) <= MAX_FRAMES:
        raise UserError(f"A morph needs a row of 1 to {MAX_FRAMES} positions.")
    if not ((t >= low) & (t <= high)).all():
        raise UserError(f"Positions on the path must lie between {low:g} and {high:g}.")
    return t
