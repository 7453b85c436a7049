"""Choose two classes of pictures from a table of labels, balanced in all else that is known.

A direction learned from old faces of one collection and young faces of another would be a
direction from one collection to the other. Balancing takes as many pictures of either class from
each group of pictures that are alike in the given columns.
"""

from __future__ import annotations

import csv
import operator
import random
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from glow_app.common.errors import UserError

__all__ = ["balanced", "condition", "read_labels"]

Row = dict[str, str]

FILE = "file"
_DECADE = 10  # numbers are alike for balancing within one
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


def read_labels(path: str | Path) -> list[Row]:
    """The rows of a tab-separated table with a header.

    One column is called "file": paths of pictures, relative to the table's folder, made whole
    here. An empty field means that nothing is known.

    Raises:
        UserError: the file is missing, no such table, or empty.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t", restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path.name} cannot be read as a table.") from error
    if not rows or FILE not in rows[0]:
        raise UserError(f"{path.name} needs a header with a column {FILE!r} and rows below it.")
    return [{**row, FILE: str(path.parent / row[FILE])} for row in rows]


def condition(text: str, columns: Sequence[str]) -> Callable[[Row], bool]:
    """A test of rows such as `age>=50` or `gender=m,source=utk`; commas mean "and".

    `=` and `!=` compare words, `<`, `<=`, `>` and `>=` numbers. A row that does not say is in no
    class.

    Raises:
        UserError: not a condition, a column that the table lacks, or a number that is none.
    """
    tests = [_one(part.strip(), columns) for part in text.split(",")]
    return lambda row: all(test(row) for test in tests)


def balanced(
    rows: Sequence[Row],
    with_: Callable[[Row], bool],
    without: Callable[[Row], bool],
    columns: Sequence[str] = (),
    limit: int | None = None,
    seed: int = 0,
) -> tuple[list[str], list[str]]:
    """Files of two classes, as many of either in every group that is alike in `columns`.

    Args:
        rows: from `read_labels`.
        with_, without: from `condition`; rows for which both or none hold are left out.
        columns: to balance, numbers by decades; none takes all rows.
        limit: at most so many of either class, chosen at random.
        seed: of the choice.

    Returns:
        Files with and without, in the order of the table.

    Raises:
        UserError: a column that the table lacks, or a class without pictures.
    """
    for column in columns:
        _known(column, rows[0].keys())
    chance = random.Random(seed)
    groups: dict[tuple[str, ...], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for i, row in enumerate(rows):
        sides = with_(row), without(row)
        if sides[0] != sides[1]:
            key = tuple(_alike(row[column]) for column in columns)
            groups[key][sides[1]].append(i)
    chosen: tuple[list[int], list[int]] = ([], [])
    for group in groups.values():
        count = min(map(len, group))
        for side, members in zip(chosen, group, strict=True):
            side.extend(chance.sample(members, count) if columns else members)
    if not all(chosen):
        raise UserError("These conditions leave one of the two classes without pictures.")
    if limit is not None:
        chosen = tuple(chance.sample(side, min(limit, len(side))) for side in chosen)
    with_files, without_files = ([rows[i][FILE] for i in sorted(side)] for side in chosen)
    return with_files, without_files


def _one(text: str, columns: Sequence[str]) -> Callable[[Row], bool]:
    parts = re.fullmatch(r"([^=<>!]+)(<=|>=|!=|<|>|=)([^=<>!]+)", text)
    if parts is None:
        raise UserError(f"{text!r} is no condition such as age>=50 or gender=m.")
    column, sign, wanted = (part.strip() for part in parts.groups())
    _known(column, columns)
    if sign in ("=", "!="):
        return lambda row: row[column] != "" and (row[column] == wanted) == (sign == "=")
    try:
        bound = float(wanted)
    except ValueError:
        raise UserError(f"{wanted!r} is no number to compare {column} with.") from None
    compare = _COMPARISONS[sign]

    def test(row: Row) -> bool:
        try:
            return compare(float(row[column]), bound)
        except ValueError:
            return False

    return test


def _known(column: str, columns: Sequence[str]) -> None:
    if column not in columns:
        raise UserError(f"The table has no column {column!r}, only {', '.join(columns)}.")


def _alike(value: str) -> str:
    try:
        return str(int(float(value) // _DECADE))
    except (ValueError, OverflowError):
        return value
