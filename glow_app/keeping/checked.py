"""Readers of single values that come from strangers: what is believed, or a ValueError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["number", "row", "span", "whole", "word", "yes"]

T = TypeVar("T")

_MAX_ITEMS = 1000  # faces, directions, weights
_MAX_WORD = 60  # characters


def number(low: float, high: float) -> Callable[[Any], float]:
    """Any number from `low` to `high`."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not low <= float(value) <= high:  # NaN fails as well
            raise ValueError
        return float(value)

    return read


def whole(low: int, high: int) -> Callable[[Any], int]:
    """A whole number from `low` to `high`."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return value

    return read


def word(*choices: str) -> Callable[[Any], str]:
    """One of `choices`; without any, a printable text, of which the beginning is enough."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not (
            value in choices if choices else value.isprintable()
        ):
            raise ValueError
        return value[:_MAX_WORD]

    return read


def yes(value: Any) -> bool:
    """True or false, and nothing that only looks like it."""
    if not isinstance(value, bool):
        raise ValueError
    return value


def row(item: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    """A list, each item read by `item`."""

    def read(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list | tuple) or len(value) > _MAX_ITEMS:
            raise ValueError
        return tuple(item(one) for one in value)

    return read


def span(end: Callable[[Any], float]) -> Callable[[Any], tuple[float, float]]:
    """Two numbers, each read by `end`, the smaller one first."""

    def read(value: Any) -> tuple[float, float]:
        first, last = (end(one) for one in value)
        if first >= last:
            raise ValueError
        return first, last

    return read
