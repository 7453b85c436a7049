"""What the page and its API accept, checked on the server; each refusal is one sentence."""

from __future__ import annotations

import math
from typing import Any

from glow_app.common.errors import UserError

FRAMES = 33  # what the player shows: 32 steps, which halve evenly down to the first five
MAX_FRAMES = 129
FULL_SIZES = (512, 1024)  # pixels a side of frames on ordinary and on dense screens
FULL_FRAMES = 4  # of full size, in one answer
BEYOND = (-0.5, 1.5)  # how far the slider goes where it leaves A and B behind
CLIPPED = 0.01  # share of clipped colours above which a picture says so
LEG_FRAMES = 17  # of one leg of a journey, both its faces among them
MAX_AVERAGE = 64  # photos of one average
MAX_FACES = 8  # of a journey
MAX_SAMPLES = 64
MAX_SEED = 2**32 - 1
MAX_UPLOAD_MB = 50  # a JPEG of 108 megapixels has up to 45
MIN_SIZE, MAX_SIZE = 16, 1024  # pixels a side of a download
MAX_PIXELS = 64_000_000  # of all frames of a download together, for the time that it takes


def _number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise UserError(f"{name} must be a number.") from None
    if not math.isfinite(number):
        raise UserError(f"{name} must be a finite number.")
    return number


def whole(value: Any, name: str, low: int, high: int) -> int:
    """Return ``value`` as a whole number from ``low`` to ``high``."""
    number = _number(value, name)
    if number != int(number) or not low <= number <= high:
        raise UserError(f"{name} must be a whole number from {low} to {high}.")
    return int(number)


def seed(value: Any) -> int:
    return whole(value, "The seed", 0, MAX_SEED)


def between(value: Any, name: str, low: float, high: float) -> float:
    """Return ``value`` as a number from ``low`` to ``high``."""
    number = _number(value, name)
    if not low <= number <= high:
        raise UserError(f"{name} must be from {low:g} to {high:g}.")
    return number


def temperature(value: Any) -> float:
    """Return ``value`` as a temperature: 0 draws the average face, 1 the full variety."""
    return between(value, "The temperature", 0, 1.5)


def download_size(value: Any, native: int | None = None) -> int:
    """Return pixels a side of a download; "native" is allowed where that size is known."""
    if value == "native" and native is not None:
        return min(max(native, MIN_SIZE), MAX_SIZE)
    return whole(value, "The size", MIN_SIZE, MAX_SIZE)


def affordable(frames: int, size: int) -> None:
    """Refuse more frames of ``size`` pixels a side than one visitor may take the time for."""
    if frames * size**2 > MAX_PIXELS:
        most = math.isqrt(MAX_PIXELS // frames)
        raise UserError(
            f"{frames} frames of {size} pixels are too much for one file:"
            f" choose a size of at most {most}, or fewer frames."
        )


def one_of(value: Any, name: str, choices: tuple[Any, ...]) -> Any:
    """Return ``value`` if it is among ``choices``."""
    if value not in choices:
        listed = ", ".join(str(choice) for choice in choices[:-1])
        raise UserError(f"{name} must be {listed} or {choices[-1]}.")
    return value
