"""Training that is killed, has a full disk, a damaged state, NaNs, or loses a worker.

Every run is scripts/train.py in a process of its own, on a tiny model of 16 pixels.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks.faults import Row
from glow_app.common import cli

Done = subprocess.CompletedProcess[str]

_ROOT: Final = Path(__file__).resolve().parents[2]
_PATIENCE: Final = 600.0  # seconds for one run
_STEPS: Final = 30  # of the runs that are not killed
_SAVE_OFTEN: Final = ("--checkpoint-minutes", "0")
_SCRIPT: Final = (sys.executable, str(_ROOT / "scripts" / "train.py"))
_TWO_WORKERS: Final = (
    sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
    _SCRIPT[1],
)  # fmt: skip
_OPTIONS: Final = (
    "--preset", "tiny", "--device", "cpu", "--batch", "8", "--log-steps", "5", "--eval-steps",
    "100000", "--precision", "float32", "--warmup-steps", "5", "--holdout", "0.1",
)  # fmt: skip

_ALWAYS: Final = 99_999
_POISONS: Final = ((7, 7, "nan"), (7, 7, "inf"), (3, 22, "nan"), (5, _ALWAYS, "nan"))

# scripts/train.py with pictures times NaN or infinity in some steps.
_POISONED: Final = f"""
import sys
sys.path.insert(0, {str(_ROOT / "scripts")!r})
import train
from glow_app.training import loop
from glow_app.common import cli
first, last, value = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
real, calls = loop.dequantize, []
def poisoned(*args, **kwargs):
    calls.append(1)
    x = real(*args, **kwargs)
    return x * value if first <= len(calls) <= last else x
loop.dequantize = poisoned
raise SystemExit(cli.run(lambda argv: train.main(sys.argv[4:])))
"""

_DAMAGES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "empty": lambda data: b"",
    "cut in the head": lambda data: data[:100],
    "cut in the middle": lambda data: data[: len(data) // 2],
    "cut at the end": lambda data: data[:-1],
    "zeros": lambda data: bytes(len(data)),
    "text": lambda data: b"no space left on device" * 99,
    "a bit flipped in the head": lambda data: _flipped(data, 9),
    "a bit flipped in the middle": lambda data: _flipped(data, len(data) // 2),
    "a bit flipped at the end": lambda data: _flipped(data, len(data) - 2),
}


class Trainings:
    """Training runs in ``folder``; each method makes one kind of fault and returns its row.

    Each failure is a line on stderr.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        smooth = rng.integers(0, 256, (200, 2, 2, 3)).repeat(8, 1).repeat(8, 2)
        noisy = smooth + rng.normal(0, 9, smooth.shape)
        self._data = folder / "pictures.npy"
        np.save(self._data, noisy.round().clip(0, 255).astype(np.uint8))

    def killed(self, times: int = 50, seed: int = 0) -> Row:
        """kill -9 one run at random moments; it must end as a run without kills does."""
        row, rng = Row("Training: kill -9 at a random moment"), np.random.default_rng(seed)
        steps = max(_STEPS, 30 * times)
        began = time.monotonic()
        self._run("first", 1)
        starts_in = time.monotonic() - began
        self._run("unbroken-long", steps)
        kills = 0
        while kills < times:
            process = self._start("killed", steps, _SAVE_OFTEN)
            try:
                process.wait(rng.uniform(0.2 * starts_in, starts_in + 1.0))
                break  # it came to its end
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
        done = self._run("killed", steps)
        same = done.returncode == 0 and self._same_end("killed", "unbroken-long")
        _judge(row, same, done, f"another end after {kills} kills", kills)
        row.seen["same weights, optimiser and log as unbroken"] = "yes" if same else "no"
        return row

    def full_disk(self) -> Row:
        """The disk is full while a checkpoint is written; the one before must stay."""
        row = Row("Training: the disk is full")
        for share in (0.01, 0.5, 0.99):
            name = f"full-{share}"
            self._run(name, 10)
            state = self._state(name)
            before = state.read_bytes()
            done = self._run(name, file_limit=int(share * len(before)))
            sentence = done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
            known = {"state.safetensors", "constant.safetensors", "previous.safetensors"}
            clean = {path.name for path in state.parent.iterdir()} <= known
            kept = state.read_bytes() == before and clean
            again = self._run(name)
            goes_on = again.returncode == 0 and "from step 10." in again.stdout
            _judge(row, sentence and kept and goes_on, done, f"disk full at {share:.0%}")
        return row

    def damaged(self) -> Row:
        """The newest state is damaged; the run must go on from the one before, and name it."""
        row = Row("Training: the newest checkpoint is damaged")
        self._run("unbroken")
        for k, (way, damage) in enumerate(_DAMAGES.items()):
            name = f"damaged-{k}"
            self._run(name, more=_SAVE_OFTEN)  # so that there is a state before the newest
            state = self._state(name)
            there = state.with_name("previous.safetensors").exists()
            state.write_bytes(damage(state.read_bytes()))
            done = self._run(name)
            named = done.returncode == 0 and "goes on from previous.safetensors" in done.stdout
            survived = there and named and self._same_end(name, "unbroken")
            _judge(row, survived, done, f"checkpoint with {way}")
        return row

    def poisoned(self, ways: Sequence[tuple[int, int, str]] = _POISONS) -> Row:
        """Steps with NaN or infinity must be skipped; if all are, the run must end and say so.

        Args:
            ways: first and last step, and what their pictures are multiplied by.
        """
        row = Row("Training: NaN and infinity injected")
        for first, last, value in ways:
            name, always = f"poisoned-{last}-{value}", last == _ALWAYS
            code = [sys.executable, "-c", _POISONED, str(first), str(last), value]
            done = self._run(name, 5000 if always else _STEPS, command=code)
            if always:
                survived = done.returncode == 2 and "lower --lr" in done.stderr
            else:
                records = self._records(name)
                skipped = bool(records) and records[-1]["skipped"] == last - first + 1
                survived = skipped and done.returncode == 0 and self._all_finite(name)
            _judge(row, survived, done, f"{value} in steps {first} to {last}")
        return row

    def worker_lost(self, times: int = 3) -> Row:
        """Kill one of two processes of torchrun; the job must end and say so, and resume."""
        row = Row("Training: a worker of torchrun is killed")
        for k in range(times):
            name = f"lost-{k}"
            process = self._start(name, 100_000, _SAVE_OFTEN, _TWO_WORKERS)
            deadline = time.monotonic() + 120
            while not self._records(name) and process.poll() is None:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)
            workers = _children(process.pid)
            if len(workers) == 2:
                os.kill(workers[k % 2], signal.SIGKILL)
            began = time.monotonic()
            done = _ended(process, 60)
            row.most("the job ended after at most, s", time.monotonic() - began)
            gone = not any(Path(f"/proc/{worker}").exists() for worker in workers)
            said = "Another process of this run" in done.stderr
            ended = len(workers) == 2 and gone and said and done.returncode not in (0, -9)
            step = self._records(name)[-1]["step"]
            again = self._run(name, step + 5, command=_TWO_WORKERS)
            goes_on = again.returncode == 0 and "from step 0." not in again.stdout
            _judge(row, ended and goes_on, done, f"worker lost, resumed: {goes_on}")
        return row

    def _run(self, name: str, steps: int = _STEPS, **how: Any) -> Done:
        return _ended(self._start(name, steps, **how), _PATIENCE)

    def _start(
        self,
        name: str,
        steps: int,
        more: Sequence[str] = (),
        command: Sequence[str] = _SCRIPT,
        file_limit: int | None = None,
    ) -> subprocess.Popen[str]:
        paths = ["--data", str(self._data), "--out", str(self.folder / name)]
        limit = (file_limit, file_limit)
        return subprocess.Popen(
            [*command, *paths, *_OPTIONS, "--steps", str(steps), *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT)},
            preexec_fn=file_limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)),
        )

    def _state(self, name: str) -> Path:
        return self.folder / name / "checkpoint" / "state.safetensors"

    def _records(self, name: str) -> list[dict[str, Any]]:
        try:
            lines = (self.folder / name / "stats.jsonl").read_text().splitlines()
            return [json.loads(line) for line in lines]
        except (OSError, ValueError):  # not there yet, or just being written
            return []

    def _same_end(self, ours: str, theirs: str) -> bool:
        """Return whether two runs ended with the same weights, optimiser and record."""
        try:
            for file in ("model.safetensors", "checkpoint/state.safetensors"):
                a, b = (load_file(self.folder / name / file) for name in (ours, theirs))
                if a.keys() != b.keys() or not all(torch.equal(a[k], b[k]) for k in a):
                    return False
            a, b = (self._records(name)[-1] for name in (ours, theirs))
            return all(a[key] == b[key] for key in ("step", "val_bits_per_dim"))
        except (OSError, ValueError, IndexError, KeyError):
            return False

    def _all_finite(self, name: str) -> bool:
        values = load_file(self.folder / name / "model.safetensors").values()
        return all(bool(v.isfinite().all()) for v in values if v.is_floating_point())


def _judge(row: Row, survived: bool, done: Done, what: str, times: int = 1) -> None:
    """Count a run in ``row`` and say so if it failed."""
    row.count(survived, times)
    if not survived:
        cli.say(f"{what}: status {done.returncode}, {done.stderr[-900:].strip()}")


def _ended(process: subprocess.Popen[str], seconds: float) -> Done:
    """Return a process that has ended, killed if it takes longer than ``seconds``."""
    try:
        said, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        said, errors = process.communicate()
        errors += f"\nIt hung for {seconds:.0f} s."
    return Done(process.args, process.returncode, said, errors)


def _flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 4
    return bytes(changed)


def _children(pid: int) -> list[int]:
    """Return the processes that a process started; Linux only."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
