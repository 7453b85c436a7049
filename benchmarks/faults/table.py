"""The one table of faults: tried, survived, lost, and what was measured on the way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Row", "markdown"]


@dataclass
class Row:
    """One kind of fault.

    Attributes:
        fault: what was done.
        tried: how often.
        survived: how often everything went as it should.
        seen: what was measured, by name.
    """

    fault: str
    tried: int = 0
    survived: int = 0
    seen: dict[str, float | str] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """How often it did not."""
        return self.tried - self.survived

    def count(self, survived: bool, times: int = 1) -> None:
        """Note that the fault was tried."""
        self.tried += times
        self.survived += times * bool(survived)

    def most(self, name: str, value: float, add: bool = False) -> None:
        """Keep the largest value of a measurement, or their sum."""
        before = float(self.seen.get(name, 0))
        self.seen[name] = before + value if add else max(before, value)

    def record(self) -> dict[str, Any]:
        """As JSON data."""
        facts = {"fault": self.fault, "tried": self.tried, "survived": self.survived}
        return {**facts, "lost": self.lost, **self.seen}


def markdown(rows: Iterable[Row]) -> str:
    """The table for people."""
    lines = ["| fault | tried | survived | lost | seen |", "|---|---:|---:|---:|---|"]
    for row in rows:
        seen = ", ".join(f"{name}: {_short(value)}" for name, value in row.seen.items())
        lines.append(f"| {row.fault} | {row.tried} | {row.survived} | {row.lost} | {seen} |")
    return "\n".join(lines)


def _short(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"
