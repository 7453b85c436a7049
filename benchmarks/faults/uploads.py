"""Hostile uploads: each is read in another process, which may neither hang, crash nor grow."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.faults.corpus import Case, corpus, wholes
from benchmarks.faults.table import Row

__all__ = ["MAX_MIB", "MAX_SECONDS", "Finding", "Reader", "fuzz", "hostile"]

MAX_SECONDS: Final = 2.0  # of processor time for one picture
MAX_MIB: Final = 1024.0  # of memory, everything that is loaded included
_PATIENCE: Final = 30.0  # seconds of the clock before a picture counts as a hang
_COMMAND: Final = ("-m", "benchmarks.faults.reader")
_ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Finding:
    """How one picture ended that should not have ended so."""

    name: str
    why: str


class Reader:
    """The other process, started again whenever it was lost."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def read(self, path: Path) -> dict[str, Any]:
        """What `reader.read` says of a picture; outcome "hung" or "crashed" if it says nothing."""
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
    """Read the whole corpus, or only some kinds of tricks.

    Returns:
        a row for each kind, and what went wrong.
    """
    cases = [case for case in corpus(folder, huge) if not kinds or case.kind in kinds]
    with Reader() as reader:
        reader.read(folder / "whole.png")  # loads what finds faces
        return _judged(((case, reader.read(case.path)) for case in cases), "Upload: ")


def fuzz(folder: Path, count: int, seed: int = 0) -> tuple[list[Row], list[Finding]]:
    """Read ``count`` mutated files of all formats. Returns as `hostile`.

    A format is left at its first failure, whose smallest form stays in ``folder``.
    """
    from hypothesis import configuration, errors

    from benchmarks.faults.mutations import each_mutation

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
    """Reads mutated files of one format until one is lost, and that in ever smaller forms."""

    def __init__(self, reader: Reader, case: Case, row: Row) -> None:
        self._reader, self._case, self._row = reader, case, row
        self.why = ""  # of the last that was lost

    def __call__(self, data: bytes) -> None:
        self._case.path.write_bytes(data)
        answer = self._reader.read(self._case.path)
        why = _wrong(self._case, answer)
        if not self.why:
            _note(self._row, answer, why)
        if why is not None:
            self.why = why
            raise _Lost(why)


def _wrong(case: Case, answer: dict[str, Any]) -> str | None:
    """Why this is not how it should end; None: it is."""
    if answer["outcome"] not in ("works", "refused"):
        return f"{answer['outcome']} {answer['says']}".strip()
    if answer["cpu_s"] > MAX_SECONDS:
        return f"took {answer['cpu_s']:.1f} s"
    if answer["peak_mib"] > MAX_MIB:
        return f"took {answer['peak_mib']:.0f} MiB"
    if case.wants not in ("either", answer["outcome"]):
        return f"{answer['outcome']}: {answer['says']}"
    return None


def _judged(
    tried: Iterable[tuple[Case, dict[str, Any]]], prefix: str
) -> tuple[list[Row], list[Finding]]:
    rows: dict[str, Row] = {}
    findings = []
    for case, answer in tried:
        row = rows.setdefault(case.kind, Row(prefix + case.kind))
        why = _wrong(case, answer)
        if why is not None:
            findings.append(Finding(case.path.name, why))
        _note(row, answer, why)
    return list(rows.values()), findings


def _note(row: Row, answer: dict[str, Any], why: str | None) -> None:
    row.count(why is None)
    row.most("refused", answer["outcome"] == "refused", add=True)
    row.most("slowest, s", answer["cpu_s"])
    row.most("largest, MiB", answer.get("peak_mib", 0.0))
