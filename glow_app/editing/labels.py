"""Choose two classes of pictures from a table of labels, balanced in other columns.

A direction learned from old faces of one collection and young faces of another would lead from
one collection to the other. Balancing takes as many pictures of either class from each group of
pictures that have the same values in the given columns.
"""

from __future__ import annotations

import codecs
import csv
import io
import operator
import random
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from glow_app.common.errors import UserError
from glow_app.common.files import refuse_lfs_pointer
from glow_app.faces.opening import printable

Row = dict[str, str]

FILE = "file"
_DELIMITERS = "\t;,"
_DECADE = 10  # numbers are alike for balancing within one
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


def read_labels(path: str | Path) -> list[Row]:
    """Read a table with `read_table`, and take paths in "file" as relative to its folder."""
    path = Path(path)
    return [{**row, FILE: str(path.parent / row[FILE])} for row in read_table(path)]


def read_table(path: str | Path) -> list[Row]:
    """Read the rows of a table with a header, as programs and spreadsheets write them.

    UTF-8 or UTF-16, with or without a byte order mark, with tabs, commas or semicolons between
    columns, one of which is called "file". Missing fields are "". Rows without any field are left
    out.

    Raises:
        UserError: the file is missing, no such table, or empty; a row has more fields than the
            header, or no file.
    """
    path = Path(path)
    name = printable(path.name)
    refuse_lfs_pointer(path)
    try:
        content = path.read_bytes()
        marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if marked else "utf-8-sig")
    except OSError as error:
        raise UserError(f"{name} cannot be read as a table: {error.strerror}.") from error
    except UnicodeError as error:
        raise UserError(f"{name} is not text in UTF-8: save it as CSV in UTF-8.") from error
    try:
        delimiter = _delimiter(text)
        lines = csv.reader(
            io.StringIO(text, newline=""),
            strict=True,
            delimiter=delimiter,
            skipinitialspace=delimiter != "\t",  # people write "file, age"
        )
        header = [column.strip() for column in next(lines, [])]
        while header and not header[-1]:  # spreadsheets write columns that were emptied
            header.pop()
        rows = [_row(header, fields, name, lines.line_num) for fields in lines if any(fields)]
    except csv.Error as error:
        raise UserError(f"{name} cannot be read as a table: {error}.") from error
    if FILE not in header:
        raise UserError(
            f"{name} needs a column {FILE!r}, with tabs, commas or semicolons between columns; it "
            f"has {', '.join(printable(column) for column in header) or 'none'}."
        )
    if len(set(header)) < len(header):
        twice = next(column for column in header if header.count(column) > 1)
        raise UserError(f"{name} has several columns {printable(twice)!r}.")
    if not rows:
        raise UserError(f"{name} has a header and no rows below it.")
    return rows


def _delimiter(text: str) -> str:
    """Find the delimiter in the header alone: fields below may hold any of them."""
    header = next(iter(text.splitlines()), "")
    for delimiter in _DELIMITERS:
        if FILE in (column.strip() for column in next(csv.reader([header], delimiter=delimiter))):
            return delimiter
    return max(_DELIMITERS, key=header.count)


def _row(header: list[str], fields: list[str], name: str, line: int) -> Row:
    if any(fields[len(header) :]):
        raise UserError(
            f"Line {line} of {name} has {len(fields)} fields, and its header {len(header)}."
        )
    row = dict(zip(header, [*fields, *[""] * len(header)], strict=False))
    if row.get(FILE) == "":
        raise UserError(f"Line {line} of {name} names no file.")
    return row


def condition(text: str, columns: Sequence[str]) -> Callable[[Row], bool]:
    """Return a test of rows from text such as `age>=50` or, for both, `gender=m,source=utk`.

    `=` and `!=` compare words, `<`, `<=`, `>` and `>=` numbers. No test holds for an empty field.

    Raises:
        UserError: not a condition, a column that the table lacks, or a word instead of a number.
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
    """Choose files with and without, as many of either in every group that is alike in `columns`.

    Args:
        rows: from `read_labels`.
        with_, without: from `condition`; rows for which both or none hold are left out.
        columns: to balance, numbers by decades; none takes all rows.
        limit: at most so many of either class, chosen at random.
        seed: of the choice.

    Raises:
        UserError: a column that the table lacks, or a class without pictures.
    """
    for column in columns:
        _known(column, [*rows[0]])
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
        for side in chosen:
            side[:] = chance.sample(side, min(limit, len(side)))
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
