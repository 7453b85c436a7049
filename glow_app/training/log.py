"""The metrics of a run: ``stats.jsonl``, TensorBoard, and lines for people."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from glow_app.common.files import write_text

__all__ = ["QuietLog", "RunLog"]


class RunLog:
    """Writes each record to ``stats.jsonl`` and to TensorBoard, and says it in one line.

    On a resume, records past the checkpoint are dropped: those steps are taken again.

    Args:
        folder: the run folder.
        first_step: the step that the run starts from.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self._path = folder / "stats.jsonl"
        _drop_after(self._path, first_step)
        self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115 - closed in close()
        self._board = _summary_writer(folder, first_step)
        self._bar: Any = None

    def record(self, values: dict[str, Any]) -> None:
        """Keep one record; ``values`` has at least ``step`` and ``images``."""
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
        """One line for people, above the progress bar where there is one."""
        if self._bar is not None:
            self._bar.write(text)
        else:
            print(text, flush=True)

    def advance(self, done: float) -> None:
        """Move the progress bar to ``done`` (0 to 1). Plain lines are enough in a log file."""
        if not sys.stdout.isatty():
            return
        if self._bar is None:
            from tqdm import tqdm

            form = "{percentage:5.1f} %|{bar}| {elapsed} < {remaining}"
            self._bar = tqdm(total=1.0, bar_format=form, file=sys.stdout, dynamic_ncols=True)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """End the file, the board and the bar."""
        self._file.close()
        if self._board is not None:
            self._board.close()
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class QuietLog:
    """The log of a process that is not the first: it keeps and says nothing."""

    def record(self, values: dict[str, Any]) -> None: ...

    def picture(self, name: str, pixels: Any, step: int) -> None: ...

    def say(self, text: str) -> None: ...

    def advance(self, done: float) -> None: ...

    def __enter__(self) -> QuietLog:
        return self

    def __exit__(self, *error: object) -> None: ...


def _line(v: dict[str, Any]) -> str:
    parts = [f"step {v['step']:>7,}", f"{v['images']:>10,} images"]
    if "images_per_s" in v:
        parts.append(f"{v['images_per_s']:7.1f} images/s")
    if "train_bits_per_dim" in v:
        parts.append(f"train {v['train_bits_per_dim']:.4f}")
    if "val_bits_per_dim" in v:
        parts.append(f"val {v['val_bits_per_dim']:.4f} bits/dim")
    if "grad_norm" in v:
        parts.append(f"grad {v['grad_norm']:.2f}")
    if "lr" in v:
        parts.append(f"lr {v['lr']:.2e}")
    parts.append(f"skipped {v.get('skipped', 0)}")
    return " | ".join(parts)


def _drop_after(path: Path, step: int) -> None:
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError):
            continue  # the line that a kill cut in two
    write_text(path, "".join(f"{line}\n" for line in kept))


def _summary_writer(folder: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # it is a convenience; stats.jsonl has everything
        return None
    return SummaryWriter(str(folder), purge_step=first_step + 1 if first_step else None)
