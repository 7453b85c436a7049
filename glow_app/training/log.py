"""The metrics of a run: measured, and written to ``stats.jsonl``, TensorBoard and the terminal."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glow_app.common.files import write_text
from glow_app.training.distributed import World


class Meter:
    """Mean bits/dim, mean gradient norm and time since the last line of the log.

    Sums stay on the device until they are asked for, so the host never waits in between.

    Args:
        device: where the values of the steps are.
        clock: returns seconds.
        minutes: of training until now.
    """

    def __init__(self, device: torch.device, clock: Callable[[], float], minutes: float) -> None:
        self._steps = 0
        self._clock, self._began, self._minutes = clock, clock(), minutes
        self._sums = torch.zeros(2, device=device)
        self._counts = torch.zeros(2, device=device)

    def add(self, bits: Tensor, norm: Tensor) -> None:
        """Add one step: its bits/dim and its gradient norm, scalars on the device."""
        self._steps += 1
        values = torch.stack([bits, norm])
        finite = values.isfinite()
        self._sums += torch.where(finite, values, 0)
        self._counts += finite

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time spent inside out of the training time."""
        began = self._clock()
        yield
        self._began += self._clock() - began

    def minutes(self) -> float:
        """Return the minutes of training until now, over all sittings."""
        return self._minutes + (self._clock() - self._began) / 60

    def values(self, world: World, batch: int) -> tuple[dict[str, float], float]:
        """Return entries of a log line, and the minutes when the device had finished them.

        Means are over the steps where they were finite, and left out where none was; bits/dim is
        that of the whole batch of ``batch`` pictures. Every process must call this.
        """
        if not self._steps:
            return {}, self._minutes
        bits, norm = (self._sums / self._counts).tolist()  # here the host waits for the device
        minutes = self.minutes()
        rate = self._steps * batch / max((minutes - self._minutes) * 60, 1e-9)
        bits = world.all_sum([bits])[0] / world.size
        values = {"images_per_s": round(rate, 2)}
        if math.isfinite(bits):
            values["train_bits_per_dim"] = round(bits, 5)
        if math.isfinite(norm):
            values["grad_norm"] = round(norm, 4)
        return values, minutes


class RunLog:
    """Writes each record to ``stats.jsonl`` and to TensorBoard, and prints it as one line.

    On a resume, records past the checkpoint are dropped: those steps are taken again.

    Args:
        folder: the run folder; None for a log that keeps and says nothing, as that of all
            processes but the main one.
        first_step: the step that the run starts from.
    """

    def __init__(self, folder: Path | None, first_step: int) -> None:
        self._file = self._board = self._bar = None
        if folder is None:
            return
        path = folder / "stats.jsonl"
        _drop_after(path, first_step)
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed in close()
        self._board = _summary_writer(folder, first_step)

    def record(self, values: dict[str, Any]) -> None:
        """Keep one record; ``values`` has at least ``step`` and ``images``."""
        if self._file is not None:
            self._file.write(json.dumps(values) + "\n")
            self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, int | float) and name != "step":
                    self._board.add_scalar(name, value, values["step"])
        self.say(_line(values))

    def picture(self, name: str, pixels: Any, step: int) -> None:
        """Show a picture (H, W, 3) uint8 in TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, pixels, step, dataformats="HWC")

    def say(self, text: str) -> None:
        """Print one line, above the progress bar where there is one."""
        if self._bar is not None:
            self._bar.write(text)
        elif self._file is not None:
            print(text, flush=True)

    def advance(self, done: float) -> None:
        """Move the progress bar to ``done`` (0 to 1); on a terminal only."""
        if self._file is None or not sys.stdout.isatty():
            return
        if self._bar is None:
            from tqdm import tqdm

            form = "{percentage:5.1f} %|{bar}| {elapsed} < {remaining}"
            self._bar = tqdm(total=1.0, bar_format=form, file=sys.stdout, dynamic_ncols=True)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Close the file, the board and the bar."""
        for part in (self._file, self._board, self._bar):
            if part is not None:
                part.close()


_FORMATS = {
    "images_per_s": "{:7.1f} images/s",
    "train_bits_per_dim": "train {:.4f}",
    "val_bits_per_dim": "val {:.4f} bits/dim",
    "grad_norm": "grad {:.2f}",
    "lr": "lr {:.2e}",
}


def _line(values: dict[str, Any]) -> str:
    """Format a record for people."""
    parts = [f"step {values['step']:>7,}", f"{values['images']:>10,} images"]
    parts += [form.format(values[name]) for name, form in _FORMATS.items() if name in values]
    return " | ".join([*parts, f"skipped {values.get('skipped', 0)}"])


def _drop_after(path: Path, step: int) -> None:
    """Remove the records after ``step``, and a line that a kill cut in two."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError):
            continue
    write_text(path, "".join(f"{line}\n" for line in kept))


def _summary_writer(folder: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # it is a convenience; stats.jsonl has everything
        return None
    return SummaryWriter(str(folder), purge_step=first_step + 1 if first_step else None)
