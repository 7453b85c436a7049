"""The folder of a run: its settings, its lock, and the checkpoints from which it resumes.

A checkpoint is one safetensors file with everything that exact resuming needs. Random numbers are
drawn from generators seeded by (seed, step), so the step is the whole state of shuffling, flips
and dequantisation noise.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glow_app.common.errors import UserError
from glow_app.common.files import write_text
from glow_app.faces.coding import Coding, coding_at
from glow_app.faces.looks import ReferenceFrame
from glow_app.training.config import TrainConfig
from glow_app.training.optimization import Ema, GradientGuard
from models import CheckpointError, Glow, GlowConfig, load
from models.checkpoint import digest, read_safetensors, write_safetensors

try:
    import fcntl
except ImportError:  # Windows: two runs in one folder go unnoticed there
    fcntl = None

_SETTINGS, _CHECKPOINTS = "config.json", "checkpoint"
_FRAME = "frame"  # entry of the settings: the frame of the pictures, as facts
_ORIGIN = "started_from"  # entry of the settings: the facts of the weights of --init or --base
_FORMAT, _DIGEST = "glow-studio-training-state", "digest"  # metadata of a checkpoint
_DEFAULTS = {
    field.name: field.default
    for field in dataclasses.fields(TrainConfig)
    if field.default is not dataclasses.MISSING
}


# ---------------------------------------------------------------------- one checkpoint


@dataclass
class TrainState:
    """All that changes in a run."""

    model: Glow
    ema: Ema
    optimizer: torch.optim.Optimizer
    guard: GradientGuard
    step: int = 0  # optimizer steps taken, skipped ones included: the position in the data
    minutes: float = 0.0  # time spent on steps, over all resumes
    lr: float = 0.0  # learning rate of the last step

    def save(self, path: Path) -> None:
        """Write atomically. Raises OSError; the file that was there survives."""
        parts = {"model": self.model.state_dict(), "ema": self.ema.model.state_dict()}
        for index, values in self.optimizer.state_dict()["state"].items():
            parts[f"optimizer.{index}"] = values
        tensors = {
            f"{prefix}.{name}": value.detach().cpu().contiguous()
            for prefix, values in parts.items()
            for name, value in values.items()
        }
        counters = {
            "step": self.step,
            "skipped": int(self.guard.skipped),
            "minutes": self.minutes,
            "lr": self.lr,
            "grad_norms": self.guard.norms(),
        }
        metadata = {"format": _FORMAT, "counters": json.dumps(counters)}
        metadata[_DIGEST] = digest(tensors, metadata["counters"])
        write_safetensors(tensors, metadata, path)

    def load(self, path: Path) -> None:
        """Take over what :meth:`save` wrote.
        Raises CheckpointError: the file is damaged or of another model."""
        tensors, metadata = read_safetensors(path)
        if metadata.get("format") != _FORMAT:
            raise CheckpointError(f"{path} is not a training state of this program.")
        stored = metadata.get(_DIGEST)  # older states have none
        if stored is not None and stored != digest(tensors, metadata.get("counters", "")):
            raise CheckpointError(f"{path} is damaged.")
        try:
            self.model.load_state_dict(_under("model", tensors))
            self.ema.model.load_state_dict(_under("ema", tensors))
            optimizer = self.optimizer.state_dict()
            parameters = [p for g in self.optimizer.param_groups for p in g["params"]]
            optimizer["state"] = {
                i: {k: _laid_out_like(p, v) for k, v in values.items()}
                for i, p in enumerate(parameters)
                if (values := _under(f"optimizer.{i}", tensors))
            }
            self.optimizer.load_state_dict(optimizer)
            counters: dict[str, Any] = json.loads(metadata["counters"])
            self.step, self.minutes = int(counters["step"]), float(counters["minutes"])
            self.lr = float(counters["lr"])
            self.guard.restore([float(g) for g in counters["grad_norms"]], counters["skipped"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise CheckpointError(f"{path} does not fit this model.") from error


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that were saved with ``prefix``, without it."""
    start = f"{prefix}."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """Return ``value`` with the strides of ``parameter``: fused optimizers pair them by memory."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, requires_grad=False).copy_(value)


# ---------------------------------------------------------------------- the folder


def is_run_folder(path: Path) -> bool:
    """Return whether a run has begun in ``path``; its samples are no training pictures."""
    return (path / _SETTINGS).is_file() and (path / _CHECKPOINTS).is_dir()


class RunFolder:
    """The files of a run: besides those named here, stats.jsonl, TensorBoard's, and a lock.

    Nothing on the disk is touched before a method is called.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.weights = path / "model.safetensors"  # the averaged model
        self.samples = path / "samples"  # pictures of each evaluation
        self.latest = path / _CHECKPOINTS / "state.safetensors"  # the same command resumes here
        self.previous = path / _CHECKPOINTS / "previous.safetensors"  # should that be damaged
        self.constant = path / _CHECKPOINTS / "constant.safetensors"  # before the cooldown
        #: Which weights the run started from: an entry of config.json and of the new weights.
        self.origin: dict[str, Any] = {}
        self._settings = path / _SETTINGS

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the folder; the lock ends with the process at the latest.
        Raises UserError: another process holds the lock."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / "lock", "ab") as file:
            try:
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"Another training is at work in {self.path}: wait for its end, or choose "
                    "another --out."
                ) from error
            except OSError:  # a disk without locks
                pass
            yield

    def settings(self) -> dict[str, Any] | None:
        """Return what config.json holds; None for a new run. Raises UserError: it is damaged."""
        if not self._settings.exists():
            return None
        try:
            return json.loads(self._settings.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{self._settings} is damaged; remove it to go on.") from error

    def open(self, config: TrainConfig, data: str, frame: ReferenceFrame) -> None:
        """Make the folder, or check that the run in it may go on with ``config``.

        Args:
            data: the fingerprint of the training pictures.
            frame: the frame of their faces.

        Raises:
            UserError: the folder holds another run, or config.json is damaged.
        """
        self.latest.parent.mkdir(parents=True, exist_ok=True)
        self.samples.mkdir(exist_ok=True)
        if (before := self.settings()) is None:
            return
        learned = ReferenceFrame.from_facts(before.get(_FRAME) or {})
        if not learned.same_as(frame):
            raise UserError(
                f"{self.path} holds a run on {learned.words}, and the pictures are {frame.words}: "
                "choose another --out, where --init may start from the weights of this run."
            )
        now = json.loads(json.dumps({**config.fixed(), "data": data}))
        # A setting that config.json lacks is newer than the run, which had the present default.
        before = {**_DEFAULTS, **before}
        with suppress(KeyError, TypeError, ValueError):  # as this version would have written it
            model = GlowConfig.from_dict(before["model"])
            before["model"] = json.loads(json.dumps(model.to_dict()))
        different = sorted(k for k in now if before.get(k) != now[k])
        if different == ["data"]:
            init = f" and --init {self.weights}" if self.weights.exists() else ""
            raise UserError(
                f"The pictures are not those that the run in {self.path} learns from: to learn "
                f"from these, choose another --out{init}."
            )
        if different:
            raise UserError(
                f"{self.path} holds a run with another {', '.join(different)}; "
                "choose another --out or the same settings."
            )
        if before.get(_ORIGIN) is not None:
            self.set_origin(before[_ORIGIN])

    def set_origin(self, facts: dict[str, Any]) -> None:
        """Remember the facts of the weights that the run starts from."""
        self.origin = {_ORIGIN: facts}

    def write_settings(self, config: TrainConfig, data: str, frame: ReferenceFrame) -> None:
        """Write config.json; only when the run could start, so that no failed one is left."""
        settings = {**dataclasses.asdict(config), "data": data, **self.origin}
        settings[_FRAME] = frame.to_facts()
        write_text(self._settings, json.dumps(settings, indent=2) + "\n")

    def checkpoints(self, from_constant: bool = False) -> list[Path]:
        """Return the checkpoints to continue from, the best one first; none for a new run."""
        saved = [self.latest, self.previous]
        if from_constant and self.constant.exists():
            saved.insert(0, self.constant)
        return [path for path in saved if path.exists()]

    def resume(self, state: TrainState, from_constant: bool = False) -> str | None:
        """Load into ``state`` the first of :meth:`checkpoints`, at least one, that is sound.

        Returns:
            one sentence if the best one was damaged; None if not.

        Raises:
            CheckpointError: none is sound; the sentence is about the best one.
        """
        saved, wrong = self.checkpoints(from_constant), []
        for path in saved:
            try:
                state.load(path)
            except CheckpointError as error:
                wrong.append(error)
                continue
            if not wrong:
                return None
            damaged = f"{str(wrong[0]).rstrip('.')}, so the run goes on from {path.name}"
            return f"{damaged}, step {state.step:,}."
        raise wrong[0]

    def save(self, state: TrainState, path: Path) -> None:
        """Write ``state`` to ``path``, one of the checkpoints.

        Nothing is written while steps are being skipped: the last good checkpoint stays. When the
        latest is replaced, it becomes the previous one; at no moment is there none.
        """
        if int(state.guard.in_a_row) != 0:
            return
        if path != self.latest or not path.exists():
            state.save(path)
            return
        fresh = path.with_name("next.safetensors")  # whole, before the older ones are touched
        try:
            state.save(fresh)
            os.replace(path, self.previous)  # from which a run killed here resumes
            os.replace(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)


def pick_coding(
    choice: str, size: int, init: Path | None = None, run: Path | None = None
) -> Coding | None:
    """Return the JPEG coding of the pictures that a model of `size` pixels learns from.

    Args:
        choice: "auto" or "none", as of --coding.
        init: weights whose own coding a new run takes over.
        run: folder of a run, whose coding stays if it has begun.
    """
    if choice == "none":
        return None
    if run is not None and (settings := RunFolder(run).settings()) is not None:
        return Coding.from_facts(settings)
    coding = Coding.from_facts(load(init).facts) if init is not None else Coding()
    return coding_at(coding, size)
