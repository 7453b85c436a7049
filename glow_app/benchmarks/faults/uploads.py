"""Hostile uploads: each is read in another process, which may neither hang, crash nor grow."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from glow_app.benchmarks.faults.corpus import Case, corpus, wholes
from glow_app.benchmarks.faults.table import Row

__all__ = ["MAX_MIB", "MAX_SECONDS", "Finding", "Reader", "fuzz", "hostile", "mutated"]

MAX_SECONDS: Final = 2.0  # of processor time for one picture
MAX_MIB: Final = 1024.0  # of memory, everything that is loaded included
_PATIENCE: Final = 30.0  # seconds of the clock before a picture counts as a hang
_COMMAND: Final = ("-m", "glow_app.benchmarks.faults.reader")
_ROOT: Final = Path(__file__).resolve().parents[3]


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

    What went wrong stays in ``folder``; everything else is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def tried() -> Iterator[tuple[Case, dict[str, Any]]]:
        for name, data in mutated(count, seed):
            case = Case(f"mutated .{name.split('.')[-1]}", folder / name)
            case.path.write_bytes(data)
            answer = reader.read(case.path)
            if _wrong(case, answer) is None:
                case.path.unlink()
            yield case, answer

    with Reader() as reader:
        (folder / "whole.png").write_bytes(wholes()["png"])
        reader.read(folder / "whole.png")
        return _judged(tried(), "Fuzz: ")


def mutated(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of ``count`` files, each a sound one that went wrong in one to four ways.

    The same seed gives the same files: number i depends on seed and i alone.
    """
    sound = list(wholes().items())
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        suffix, data = sound[i % len(sound)]
        for _ in range(rng.integers(1, 5)):
            data = _mutation(data, sound[rng.integers(len(sound))][1], rng)
        yield f"{seed}-{i:05d}.{suffix}", data


def _mutation(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """One way to go wrong; most of them near the head, where the structure is."""
    if len(data) < 2:
        return other
    a = 1 + int((len(data) - 1) * rng.random() ** 3)
    b = min(len(data), a + 1 + int(rng.exponential(40)))
    special = [
        b"\0",
        b"\xff",
        b"\x7f\xff\xff\xff",
        b"\xff\xff\xff\xff",
        b"\0\0\0\0",
        b"\x80",
        b"\x01",
    ]
    way = rng.integers(8)
    if way == 0:
        return data[:a]
    if way == 1:
        return data[:a] + data[b:]
    if way == 2:
        return data[:b] + data[a:b] * int(rng.integers(1, 200)) + data[b:]
    if way == 3:
        return data[:a] + rng.bytes(b - a) + data[b:]
    if way == 4:
        value = special[rng.integers(len(special))]
        return data[:a] + value + data[a + len(value) :]
    if way == 5:
        return data[:a] + other[a:b] + data[b:]
    if way == 6:
        return data[:a] + other[a:]
    flipped = bytearray(data)
    flipped[a - 1] ^= 1 << int(rng.integers(8))
    return bytes(flipped)


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
        row.count(why is None)
        row.most("refused", answer["outcome"] == "refused", add=True)
        row.most("slowest, s", answer["cpu_s"])
        row.most("largest, MiB", answer.get("peak_mib", 0.0))
    return list(rows.values()), findings
