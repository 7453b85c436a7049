"""The folder of a run: whose it is, where things lie in it, and which states are kept."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from glow_app.common.errors import UserError
from glow_app.common.files import write_text
from glow_app.faces.looks import CROPS, ReferenceFrame
from glow_app.training.config import TrainConfig
from glow_app.training.state import TrainState
from models import CheckpointError, GlowConfig

try:
    import fcntl
except ImportError:  # Windows: nothing watches there that a folder has one run at a time
    fcntl = None

__all__ = ["RunFolder", "is_run_folder"]

_SETTINGS, _STATES = "config.json", "checkpoint"
_FRAME = "frame"  # that of the pictures, as facts
_ORIGIN = "started_from"  # the facts of the weights of --init
_DEFAULTS = {
    field.name: field.default
    for field in dataclasses.fields(TrainConfig)
    if field.default is not dataclasses.MISSING
}


def is_run_folder(path: Path) -> bool:
    """Whether a run has begun there, whose pictures are drawn and none to learn from."""
    return (path / _SETTINGS).is_file() and (path / _STATES).is_dir()


class RunFolder:
    """Paths of a run, and the one who may use them.

    Attributes:
        path: holds config.json, stats.jsonl, samples/, checkpoint/, model.safetensors and an
            empty file called lock.
        weights: the averaged model.
        samples: pictures of each evaluation.
        newest: the last state, from which the same command goes on.
        previous: the state before that, should the last one turn out to be damaged.
        constant: the state before the cooldown, from which another one can branch.
        origin: entry of config.json and of the facts of the weights that says which weights the
            run started from; empty if none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.weights = path / "model.safetensors"
        self.samples = path / "samples"
        self.newest = path / _STATES / "state.safetensors"
        self.previous = path / _STATES / "previous.safetensors"
        self.constant = path / _STATES / "constant.safetensors"
        self.origin: dict[str, Any] = {}
        self._settings = path / _SETTINGS

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have the folder for this process alone; whatever ends the process gives it back.

        Raises:
            UserError: another one has it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / "lock", "ab") as file:
            self._lock(file)
            yield

    def _lock(self, file: BinaryIO) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"Another training is at work in {self.path}: wait for its end, or choose another "
                "--out."
            ) from error
        except OSError:  # a disk without locks
            return

    def settings(self) -> dict[str, Any] | None:
        """What config.json holds; None for a new run. Raises UserError: it is damaged."""
        if not self._settings.exists():
            return None
        try:
            return json.loads(self._settings.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{self._settings} is damaged; remove it to go on.") from error

    def open(self, config: TrainConfig, data: str, frame: ReferenceFrame = CROPS) -> None:
        """Make the folder, or go on with it.

        Args:
            data: the fingerprint of the training pictures.
            frame: that of their faces.

        Raises:
            UserError: it holds another run, or what it says of its run is damaged.
        """
        self.newest.parent.mkdir(parents=True, exist_ok=True)
        self.samples.mkdir(exist_ok=True)
        if (before := self.settings()) is None:
            return
        known = ReferenceFrame.from_facts(before.get(_FRAME) or {})
        if not known.same_as(frame):
            raise UserError(
                f"{self.path} holds a run on {known.words}, and the pictures are {frame.words}: "
                "choose another --out, where --init may start from the weights of this run."
            )
        now = json.loads(json.dumps({**config.fixed(), "data": data}))
        # A setting that the run does not name came later: then it was what is the default now.
        before = {**_DEFAULTS, **before}
        different = sorted(k for k in now if _modern(k, before.get(k)) != now[k])
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
            self.origin = {_ORIGIN: before[_ORIGIN]}

    def starts_from(self, facts: dict[str, Any]) -> None:
        """Remember the facts of the weights that the run starts from."""
        self.origin = {_ORIGIN: facts}

    def claim(self, config: TrainConfig, data: str, frame: ReferenceFrame = CROPS) -> None:
        """Write config.json; not before the run could start: what failed leaves no claim."""
        settings = {**dataclasses.asdict(config), "data": data, **self.origin}
        settings[_FRAME] = frame.to_facts()
        write_text(self._settings, json.dumps(settings, indent=2) + "\n")

    def states_to_resume(self, from_constant: bool = False) -> list[Path]:
        """Where states to go on with lie, the best one first; none for a new run."""
        saved = [self.newest, self.previous]
        if from_constant and self.constant.exists():
            saved.insert(0, self.constant)
        return [path for path in saved if path.exists()]

    def resume(self, state: TrainState, from_constant: bool = False) -> str | None:
        """Load the best of the `states_to_resume`, of which there is one, that is sound.

        Returns:
            one sentence if another one than the best had to do; None if not.

        Raises:
            CheckpointError: none is sound; what is wrong with the best.
        """
        saved, wrong = self.states_to_resume(from_constant), []
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

    def keep(self, state: TrainState, path: Path) -> None:
        """Save ``state``, unless it is just going wrong: the last good one stays.

        The newest before it becomes the previous one; at no moment is there none.
        """
        if int(state.guard.in_a_row) != 0:
            return
        if path != self.newest or not path.exists():
            state.save(path)
            return
        fresh = path.with_name("next.safetensors")  # whole, before the older ones are touched
        try:
            state.save(fresh)
            link = path.with_name("link.safetensors")
            link.unlink(missing_ok=True)
            try:
                os.link(path, link)
                os.replace(link, self.previous)
            except OSError:  # no such links on this disk: for a moment there is only the previous
                os.replace(path, self.previous)
            os.replace(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)


def _modern(name: str, value: Any) -> Any:
    """An entry of config.json, as this version would have written it."""
    if name != "model":
        return value
    try:
        return json.loads(json.dumps(GlowConfig.from_dict(value).to_dict()))
    except (TypeError, ValueError):
        return value
