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

_ROOT: Final = Path(__file__).resolve().parents[2]
_PATIENCE: Final = 600.0  # seconds for one run
_STEPS: Final = 30  # of the runs that are not killed
_SAVE_OFTEN: Final = ("--checkpoint-minutes", "0")
_SCRIPT: Final = (sys.executable, str(_ROOT / "scripts" / "train.py"))

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


class Trainings:
    """Training runs in ``folder``; each method makes one kind of fault and returns its row.

    Args:
        say: gets a line for each failure.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] = print) -> None:
        self.folder, self.say = folder, say
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        smooth = rng.integers(0, 256, (200, 2, 2, 3)).repeat(8, 1).repeat(8, 2)
        noisy = smooth + rng.normal(0, 9, smooth.shape)
        self._data = folder / "pictures.npy"
        np.save(self._data, noisy.round().clip(0, 255).astype(np.uint8))

    # ------------------------------------------------------------------------------------ faults

    def killed(self, times: int = 50, seed: int = 0) -> Row:
        """kill -9 one run at random moments; it must end as a run without kills does."""
        row, rng = Row("Training: kill -9 at a random moment"), np.random.default_rng(seed)
        steps = max(_STEPS, 30 * times)
        began = time.monotonic()
        self._run("unbroken-long", steps=1)
        starts_in = time.monotonic() - began
        unbroken, out = self.folder / "unbroken-long", self.folder / "killed"
        self._run("unbroken-long", steps=steps, fresh=True)
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
        done = self._run("killed", steps=steps)
        same = done.returncode == 0 and _same_end(out, unbroken)
        if not same:
            self.say(f"killed {kills} times: another end, {_last(done)}")
        row.count(same, kills)
        row.seen["same weights, optimiser and log as unbroken"] = "yes" if same else "no"
        return row

    def full_disk(self) -> Row:
        """The disk is full while a checkpoint is written; the one before must stay."""
        row = Row("Training: the disk is full")
        for share in (0.01, 0.5, 0.99):
            name = f"full-{share}"
            self._run(name, steps=10)
            state = self._state(name)
            before = state.read_bytes()
            limit = int(share * len(before))
            done = self._run(name, steps=_STEPS, file_limit=limit)
            sentence = done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
            kept = state.read_bytes() == before and not _rubbish(state.parent)
            again = self._run(name, steps=_STEPS)
            goes_on = again.returncode == 0 and "from step 10." in again.stdout
            self._judge(row, sentence and kept and goes_on, done, f"disk full at {share:.0%}")
        return row

    def damaged(self) -> Row:
        """The newest state is damaged; the run must go on from the one before, and name it."""
        row = Row("Training: the newest checkpoint is damaged")
        unbroken = self.folder / "unbroken"
        self._run("unbroken", steps=_STEPS)
        self._run("begun", steps=10, more=["--cooldown", "0"])
        ways: dict[str, Callable[[bytes], bytes]] = {
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
        for k, (way, damage) in enumerate(ways.items()):
            name = f"damaged-{k}"
            # Two sittings, so that there is a state before the newest.
            self._run(name, steps=_STEPS, more=_SAVE_OFTEN)
            state = self._state(name)
            previous = state.with_name("previous.safetensors")
            there = previous.exists()
            state.write_bytes(damage(state.read_bytes()))
            done = self._run(name, steps=_STEPS)
            told = "goes on from previous.safetensors" in done.stdout
            same = _same_end(self.folder / name, unbroken)
            survived = there and done.returncode == 0 and told and same
            self._judge(row, survived, done, f"checkpoint with {way}")
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
            done = self._run(name, steps=5000 if always else _STEPS, command=code)
            if always:
                survived = done.returncode == 2 and "lower --lr" in done.stderr
            else:
                records = _records(self.folder / name)
                skipped = bool(records) and records[-1]["skipped"] == last - first + 1
                survived = skipped and done.returncode == 0 and _all_finite(self.folder / name)
            self._judge(row, survived, done, f"{value} in steps {first} to {last}")
        return row

    def worker_lost(self, times: int = 3) -> Row:
        """Kill one of two processes of torchrun; the job must end and say so, and resume."""
        row = Row("Training: a worker of torchrun is killed")
        launcher = [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc_per_node=2", _SCRIPT[1]),
        ]
        for k in range(times):
            name = f"lost-{k}"
            process = self._start(name, 100_000, _SAVE_OFTEN, launcher)
            out = self.folder / name
            _wait_until(lambda out=out: bool(_records(out)), process)
            workers = _children(process.pid)
            if len(workers) == 2:
                os.kill(workers[k % 2], signal.SIGKILL)
            began = time.monotonic()
            try:
                _, errors = process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                _, errors = process.communicate()
            took = time.monotonic() - began
            gone = not any(_is_alive(worker) for worker in workers)
            told = process.returncode not in (0, -9) and "Another process of this run" in errors
            row.most("the job ended after at most, s", took)
            step = _records(out)[-1]["step"]
            again = self._run(name, steps=step + 5, command=launcher)
            goes_on = again.returncode == 0 and "from step 0." not in again.stdout
            survived = len(workers) == 2 and gone and told and goes_on
            if not survived:
                self.say(
                    f"worker lost: told {told}, gone {gone}, goes on {goes_on}: {errors[-900:]}"
                )
            row.count(survived)
        return row

    # ------------------------------------------------------------------------------------ inside

    def _state(self, name: str) -> Path:
        return self.folder / name / "checkpoint" / "state.safetensors"

    def _judge(
        self, row: Row, survived: bool, done: subprocess.CompletedProcess[str], what: str
    ) -> None:
        """Count a run in ``row`` and say so if it failed."""
        row.count(survived)
        if not survived:
            self.say(f"{what}: status {done.returncode}, {_last(done)}")

    def _start(
        self,
        name: str,
        steps: int,
        more: Sequence[str] = (),
        command: Sequence[str] = _SCRIPT,
        file_limit: int | None = None,
    ) -> subprocess.Popen[str]:
        arguments = [
            *("--data", str(self._data), "--out", str(self.folder / name), "--preset", "tiny"),
            *("--device", "cpu", "--batch", "8", "--log-steps", "5", "--eval-steps", "100000"),
            *("--precision", "float32", "--warmup-steps", "5", "--holdout", "0.1"),
            *("--steps", str(steps)),
        ]
        limit = (file_limit, file_limit)
        return subprocess.Popen(
            [*command, *arguments, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT)},
            preexec_fn=file_limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)),
        )

    def _run(self, name: str, fresh: bool = False, **how: Any) -> subprocess.CompletedProcess[str]:
        if fresh and (self.folder / name).exists():
            (self.folder / name).rename(self.folder / f"{name}-before")
        process = self._start(name, **how)
        try:
            said, errors = process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            said, errors = process.communicate()
            errors += f"\nIt hung for {_PATIENCE:.0f} s."
        return subprocess.CompletedProcess(process.args, process.returncode, said, errors)


def _last(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr.strip().splitlines() or ["nothing said"])[-1]


def _flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 4
    return bytes(changed)


def _records(out: Path) -> list[dict[str, Any]]:
    try:
        lines = (out / "stats.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]
    except (OSError, ValueError):  # not there yet, or just being written
        return []


def _same_end(ours: Path, theirs: Path) -> bool:
    """Return whether two runs ended with the same weights, optimiser and record, bit for bit."""
    try:
        for file in ("model.safetensors", "checkpoint/state.safetensors"):
            a, b = (load_file(out / file) for out in (ours, theirs))
            if a.keys() != b.keys() or not all(torch.equal(a[k], b[k]) for k in a):
                return False
        a, b = (_records(out)[-1] for out in (ours, theirs))
        return a["step"] == b["step"] and a["val_bits_per_dim"] == b["val_bits_per_dim"]
    except (OSError, ValueError, IndexError, KeyError):
        return False


def _all_finite(out: Path) -> bool:
    values = load_file(out / "model.safetensors").values()
    return all(bool(v.isfinite().all()) for v in values if v.is_floating_point())


def _rubbish(folder: Path) -> bool:
    known = {"state.safetensors", "constant.safetensors", "previous.safetensors"}
    return not {path.name for path in folder.iterdir()} <= known


def _wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not true() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)


def _children(pid: int) -> list[int]:
    """Return the processes that a process started; Linux only."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(child) for child in found]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
