"""The figures of all ways as one Markdown table, a row each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.report import table

__all__ = ["morph_table"]

# Key, title, format, factor.
_COLUMNS: Final = (
    ("mark", "mark", "{:.1f}", 1),
    ("swd", "SWD", "{:.0f}", 1),
    ("contrast", "contrast", "{:.0f} %", 100),
    ("ghosting", "ghosting", "{:.2f}", 1),
    ("found", "face found", "{:.1f} %", 100),
    ("identity", "identity", "{:.0f} %", 100),
    ("frechet", "Fréchet", "{:.0f}", 1),
    ("saturated", "saturated", "{:.2f} %", 100),
    ("ms", "ms", "{:.1f}", 1),
)


def morph_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown. Columns that no row has a figure for are left out.

    Args:
        rows: figures by the name of a way, as `evaluation.measure_way` gives them.
    """
    columns = [c for c in _COLUMNS if any(row.get(c[0]) is not None for row in rows.values())]
    lines = []
    for name, row in rows.items():
        values = [(row.get(key), form, factor) for key, _, form, factor in columns]
        lines.append([name, *("-" if v is None else f.format(k * v) for v, f, k in values)])
    return table(["middle frame", *(column[1] for column in columns)], lines)
