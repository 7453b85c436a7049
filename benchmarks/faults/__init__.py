"""Faults made on purpose: hostile uploads, many visitors at once, and interrupted training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Row:
    """One kind of fault in the table.

    Attributes:
        fault: its description.
        tried: how often it was made.
        survived: how often everything went as it should.
        seen: measurements by name.
    """

    fault: str
    tried: int = 0
    survived: int = 0
    seen: dict[str, float | str] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        return self.tried - self.survived

    def count(self, survived: bool, times: int = 1) -> None:
        """Add the result of ``times`` tries."""
        self.tried += times
        self.survived += times * bool(survived)

    def most(self, name: str, value: float) -> None:
        """Keep the largest value of a measurement."""
        self.seen[name] = max(self.seen.get(name, 0), value)

    def record(self) -> dict[str, Any]:
        """Return the row as JSON data."""
        facts = {"fault": self.fault, "tried": self.tried, "survived": self.survived}
        return {**facts, "lost": self.lost, **self.seen}


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| fault | tried | survived | lost | seen |", "|---|---:|---:|---:|---|"]
    for row in rows:
        seen = ", ".join(f"{name}: {_short(value)}" for name, value in row.seen.items())
        lines.append(f"| {row.fault} | {row.tried} | {row.survived} | {row.lost} | {seen} |")
    return "\n".join(lines)


def _short(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"
