"""Hostile uploads, read in another process that may neither hang, crash nor grow."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, Verbosity, configuration, errors, given, seed, settings
from hypothesis import strategies as st

from benchmarks.faults import Row, reader
from benchmarks.faults.hostile import Case, corpus, wholes

MAX_MIB: Final = 1024.0  # of memory of the process, loaded modules included
_PATIENCE: Final = 30.0  # seconds of the clock before a picture counts as a hang


class Finding(NamedTuple):
    """A picture that ended as it should not have."""

    name: str
    why: str


class Reader:
    """Reads pictures in another process, which is started again whenever it was lost."""

    def __init__(self, read: Callable[[Any], dict[str, Any]] = reader.read) -> None:
        self._read = read
        self._pool: futures.ProcessPoolExecutor | None = None

    def read(self, path: Path) -> dict[str, Any]:
        """Return what `reader.read` says of a picture; outcome "hung" or "crashed" if nothing."""
        if self._pool is None:
            self._pool = futures.ProcessPoolExecutor(1, get_context("spawn"), reader.begin)
        with patch.dict(os.environ, OMP_NUM_THREADS="1"):  # for a process that starts now
            answer = self._pool.submit(self._read, path)
        try:
            return answer.result(_PATIENCE)
        except (futures.TimeoutError, BrokenProcessPool) as error:
            self.close()
            outcome = "crashed" if isinstance(error, BrokenProcessPool) else "hung"
            return {"outcome": outcome, "says": "", "cpu_s": _PATIENCE, "peak_mib": 0.0}

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            for process in list((self._pool._processes or {}).values()):
                process.kill()  # `shutdown` would wait for one that hangs
            self._pool.shutdown()
            self._pool = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def hostile(
    folder: Path, huge: bool = True, kinds: Collection[str] = ()
) -> tuple[list[Row], list[Finding]]:
    """Read the whole corpus, or only some kinds of it.

    Returns:
        a row for each kind, and what went wrong.
    """
    rows: dict[str, Row] = {}
    findings = []
    with Reader() as reads:
        cases = [case for case in corpus(folder, huge) if not kinds or case.kind in kinds]
        reads.read(folder / "whole.png")  # loads the face finder
        for case in cases:
            row = rows.setdefault(case.kind, Row(f"Upload: {case.kind}"))
            if why := _count(row, case, reads.read(case.path)):
                findings.append(Finding(case.path.name, why))
    return list(rows.values()), findings


def fuzz(folder: Path, count: int, seed: int = 0) -> tuple[list[Row], list[Finding]]:
    """Read ``count`` mutated files of all formats. Returns as `hostile`.

    A format is left at its first failure, whose smallest form stays in ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    configuration.set_hypothesis_home_dir(folder / ".hypothesis")
    sound = wholes()
    others = list(sound.values())
    rows: dict[str, Row] = {}
    findings = []
    with Reader() as reads:
        (folder / "whole.png").write_bytes(sound["png"])
        reads.read(folder / "whole.png")
        for k, (suffix, data) in enumerate(sound.items()):
            case = Case(f"mutated .{suffix.split('.')[-1]}", folder / f"mutated.{suffix}")
            row = rows.setdefault(case.kind, Row(f"Fuzz: {case.kind}"))
            check = _Check(reads, case, row)
            share = len(range(k, count, len(sound)))
            try:
                each_mutation(data, others, share, seed * len(sound) + k, check)
            except (_Lost, errors.Flaky):  # flaky: the same file failed only once
                findings.append(Finding(case.path.name, check.why))
            else:
                case.path.unlink(missing_ok=True)
    return list(rows.values()), findings


class _Lost(Exception):
    """A mutated file did not end as it should."""


class _Check:
    """Reads mutated files of one format until one is lost, then ever smaller forms of that one.

    `why` says why the last lost file was lost.
    """

    def __init__(self, reads: Reader, case: Case, row: Row) -> None:
        self._reads, self._case, self._row = reads, case, row
        self.why = ""

    def __call__(self, data: bytes) -> None:
        self._case.path.write_bytes(data)
        answer = self._reads.read(self._case.path)
        # Smaller forms of a lost file are not counted.
        why = _wrong(self._case, answer) if self.why else _count(self._row, self._case, answer)
        if why:
            self.why = why
            raise _Lost(why)


def _count(row: Row, case: Case, answer: dict[str, Any]) -> str:
    """Count one answer in ``row``; return as `_wrong`."""
    why = _wrong(case, answer)
    row.count(not why)
    row.seen["refused"] = row.seen.get("refused", 0) + (answer["outcome"] == "refused")
    row.most("slowest, s", answer["cpu_s"])
    row.most("largest, MiB", answer["peak_mib"])
    return why


def _wrong(case: Case, answer: dict[str, Any]) -> str:
    """Return why an answer is not how the case should end, or an empty string."""
    if answer["outcome"] not in ("works", "refused"):
        return f"{answer['outcome']} {answer['says']}".strip()
    if answer["cpu_s"] > case.max_seconds:
        return f"took {answer['cpu_s']:.1f} s"
    if answer["peak_mib"] > MAX_MIB:
        return f"took {answer['peak_mib']:.0f} MiB"
    if case.wants not in ("either", answer["outcome"]):
        return f"{answer['outcome']}: {answer['says']}"
    return ""


# --------------------------------------------------------------------------------------- mutations

_MOST: Final = 4  # mutations of one file
_LONG: Final = 200  # bytes, or times, at once
_NUMBERS: Final = (b"\0", b"\x01", b"\x80", b"\xff", b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff" * 4)
_WAYS: Final = ("flip", "cut", "remove", "number", "repeat", "rubbish", "piece", "splice")


def each_mutation(
    sound: bytes,
    others: Sequence[bytes],
    count: int,
    start: int,
    check: Callable[[bytes], None],
) -> None:
    """Call ``check`` with ``count`` files that follow from the seed ``start``.

    Raises:
        what ``check`` raises, for the smallest file that Hypothesis found, its last argument.
    """
    quiet = settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        print_blob=False,
    )

    @seed(start)
    @quiet
    @given(_mutated(sound, others))
    def each(data: bytes) -> None:
        check(data)

    each()


@st.composite
def _mutated(draw: st.DrawFn, sound: bytes, others: Sequence[bytes]) -> bytes:
    """Draw ``sound`` after one to four mutations, which may take pieces of ``others``."""
    data = sound
    for _ in range(draw(st.integers(1, _MOST))):
        if len(data) > 2:
            data = _mutation(draw, data, others)
    return data


def _mutation(draw: st.DrawFn, data: bytes, others: Sequence[bytes]) -> bytes:
    """Draw one mutation; most are near the head, where formats keep their structure."""
    ends = {min(end, len(data) - 1) for end in (64, 1024, len(data))}
    a = draw(st.one_of(*(st.integers(1, end) for end in sorted(ends))))
    b = min(len(data), a + draw(st.integers(1, _LONG)))
    match draw(st.sampled_from(_WAYS)):
        case "flip":
            flipped = data[a] ^ 1 << draw(st.integers(0, 7))
            return data[:a] + bytes([flipped]) + data[a + 1 :]
        case "cut":
            return data[:a]
        case "remove":
            return data[:a] + data[b:]
        case "repeat":
            return data[:b] + data[a:b] * draw(st.integers(1, _LONG)) + data[b:]
        case "number":
            number = draw(st.sampled_from(_NUMBERS))
            return data[:a] + number + data[a + len(number) :]
        case "rubbish":
            return data[:a] + draw(st.binary(min_size=b - a, max_size=b - a)) + data[b:]
        case "piece":
            return data[:a] + draw(st.sampled_from(others))[a:b] + data[b:]
        case _:
            return data[:a] + draw(st.sampled_from(others))[a:]
