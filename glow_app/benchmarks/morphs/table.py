"""The figures of all ways as one Markdown table, a row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from glow_app.benchmarks.report import table

__all__ = ["morph_table"]

_NONE: Final = "-"


def _plain(digits: int) -> Callable[[float], str]:
    return lambda value: f"{value:.{digits}f}"


def _percent(digits: int) -> Callable[[float], str]:
    return lambda value: f"{100 * value:.{digits}f} %"


_COLUMNS: Final[tuple[tuple[str, str, Callable[[float], str]], ...]] = (
    ("swd", "SWD", _plain(0)),
    ("swd_quarters", "SWD at ¼, ¾", _plain(0)),
    ("brightness", "brightness", _percent(0)),
    ("contrast", "contrast", _percent(0)),
    ("sharpness", "sharpness", _percent(0)),
    ("saturated", "saturated", _percent(2)),
    ("found", "face found", _percent(1)),
    ("ghosting", "ghosting", _plain(2)),
    ("evenness", "unevenness", _plain(2)),
    ("frechet", "Fréchet", _plain(0)),
    ("identity", "identity", _percent(0)),
    ("ms", "ms", _plain(1)),
)


def morph_table(rows: Mapping[str, Mapping[str, Any]], size: int) -> str:
    """Markdown. Columns that no row has a figure for are left out.

    Args:
        rows: figures by the name of a way, as `evaluation.measure_way` gives them.
        size: side of the pictures, which names the levels of the pyramid.
    """
    columns = [c for c in _COLUMNS if any(row.get(c[0]) is not None for row in rows.values())]
    levels = len(next(iter(rows.values()))["swd_levels"])
    head = ["middle frame", *(f"{size >> k} px" for k in range(levels))]
    head += [title for _, title, _ in columns]
    lines = []
    for name, row in rows.items():
        cells = [name, *(f"{level:.0f}" for level in row["swd_levels"])]
        for key, _, form in columns:
            value = row.get(key)
            cells.append(_NONE if value is None else form(value))
        lines.append(cells)
    return table(head, lines)
