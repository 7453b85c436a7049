"""Hostile uploads, read in another process that may neither hang, crash nor grow."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from hypothesis import HealthCheck, Phase, Verbosity, configuration, errors, given, seed, settings
from hypothesis import strategies as st

from benchmarks.faults import Row
from benchmarks.faults.hostile import Case, corpus, wholes

MAX_SECONDS: Final = 2.0  # of processor time for one picture
HUGE_SECONDS: Final = 4.0  # the same, of 29 to 108 megapixels: decoding alone takes up to 1.5
MAX_MIB: Final = 1024.0  # of memory of the process, loaded modules included
_PATIENCE: Final = 30.0  # seconds of the clock before a picture counts as a hang
_COMMAND: Final = ("-m", "benchmarks.faults.reader")
_ROOT: Final = Path(__file__).resolve().parents[2]


class Finding(NamedTuple):
    """A picture that ended as it should not have."""

    name: str
    why: str


class Reader:
    """A process that runs `benchmarks.faults.reader`, started again whenever it was lost."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def read(self, path: Path) -> dict[str, Any]:
        """Return what `reader.read` says of a picture; outcome "hung" or "crashed" if nothing."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, *_COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                cwd=_ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        self._process.stdin.write(json.dumps(str(path)) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], _PATIENCE)
        line = self._process.stdout.readline() if ready else ""
        if line:
            return json.loads(line)
        self.close()
        return {"outcome": "crashed" if ready else "hung", "says": "", "cpu_s": _PATIENCE}

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

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
    with Reader() as reader:
        cases = [case for case in corpus(folder, huge) if not kinds or case.kind in kinds]
        reader.read(folder / "whole.png")  # loads the face finder
        for case in cases:
            row = rows.setdefault(case.kind, Row(f"Upload: {case.kind}"))
            why = _count(row, case, reader.read(case.path))
            if why is not None:
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
    with Reader() as reader:
        (folder / "whole.png").write_bytes(sound["png"])
        reader.read(folder / "whole.png")
        for k, (suffix, data) in enumerate(sound.items()):
            case = Case(f"mutated .{suffix.split('.')[-1]}", folder / f"mutated.{suffix}")
            row = rows.setdefault(case.kind, Row(f"Fuzz: {case.kind}"))
            check = _Check(reader, case, row)
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
    """Read mutated files of one format until one is lost, then ever smaller forms of that one.

    Attributes:
        why: the last lost file was lost.
    """

    def __init__(self, reader: Reader, case: Case, row: Row) -> None:
        self._reader, self._case, self._row = reader, case, row
        self.why = ""

    def __call__(self, data: bytes) -> None:
        self._case.path.write_bytes(data)
        answer = self._reader.read(self._case.path)
        # Smaller forms of a lost file are not counted.
        why = _wrong(self._case, answer) if self.why else _count(self._row, self._case, answer)
        if why is not None:
            self.why = why
            raise _Lost(why)


def _count(row: Row, case: Case, answer: dict[str, Any]) -> str | None:
    """Count one answer in ``row``; return as `_wrong`."""
    why = _wrong(case, answer)
    row.count(why is None)
    row.most("refused", answer["outcome"] == "refused", add=True)
    row.most("slowest, s", answer["cpu_s"])
    row.most("largest, MiB", answer.get("peak_mib", 0.0))
    return why


def _wrong(case: Case, answer: dict[str, Any]) -> str | None:
    """Return why an answer is not how the case should end, or None."""
    if answer["outcome"] not in ("works", "refused"):
        return f"{answer['outcome']} {answer['says']}".strip()
    if answer["cpu_s"] > (HUGE_SECONDS if "megapixels" in case.kind else MAX_SECONDS):
        return f"took {answer['cpu_s']:.1f} s"
    if answer["peak_mib"] > MAX_MIB:
        return f"took {answer['peak_mib']:.0f} MiB"
    if case.wants not in ("either", answer["outcome"]):
        return f"{answer['outcome']}: {answer['says']}"
    return None


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
