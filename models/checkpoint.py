"""Save and load weights: safetensors, with the configuration and the training facts inside.

A file may hold a detail level alone and name another file beside it, its base, for the flow
behind it.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from models.config import GlowConfig
from models.glow import Glow
from models.ranges import StateRange

_FORMAT = "glow-studio"
_VERSION = "1"
_LFS = b"version https://git-lfs"  # the first bytes of a file that Git has not fetched
_BASE, _DIGEST = "base", "base_digest"  # metadata of a file that rests on another one
_FINEST = "details.0."  # prefix of the finest detail level in a state dict
_RANGE = ("usual_range.low", "usual_range.high")  # tensors beside the state dict
_MAX_BYTES = 4_000_000_000  # of weights; the largest preset takes a hundredth
_MAX_STATE = 64_000_000_000  # of anything else, such as the state of a training run
_MAX_PARTS = 5000  # steps and blocks of a configuration: building as many takes seconds
_HALF_FROM = 4096  # float16 is for the big convolutions; actnorm, 1x1 and priors stay float32


class CheckpointError(ValueError):
    """A file is not a usable checkpoint; the message is one sentence."""


def pretrained_path(name: str = "faces64") -> Path:
    """Return the path of the released weights ``name``; a partial copy may lack the file."""
    return Path(__file__).parent / "pretrained" / f"{name}.safetensors"


def save(
    model: Glow,
    path: str | Path,
    facts: dict[str, Any] | None = None,
    half: bool = False,
    base: str | Path | None = None,
) -> Path:
    """Write ``model``, with its ``usual_range`` if it has one, to ``path`` atomically.

    Args:
        facts: training facts to keep with the weights, JSON data; by default ``model.facts``.
        half: store the convolutions of the nets as float16; :func:`load` makes them float32.
        base: another checkpoint in the folder of ``path``, of the flow behind the finest detail
            level of ``model``; only that level is stored then.

    Raises:
        CheckpointError: ``base`` is no such file, or its weights are not those of ``model`` bit
            for bit; one sentence.
        OSError: the disk is full or the folder missing; an older file at ``path`` survives.
    """
    path = Path(path)
    state = model.state_dict()
    named = {} if base is None else _check_base(model, path, Path(base))
    if named:
        state = {k: v for k, v in state.items() if k.startswith(_FINEST)}
    state = {k: _storable(k, v, half) for k, v in state.items()}
    if model.usual_range is not None:
        ends = (model.usual_range.low, model.usual_range.high)
        state.update(zip(_RANGE, (end.contiguous() for end in ends), strict=True))
    metadata = {
        "format": _FORMAT,
        "version": _VERSION,
        "config": json.dumps(model.config.to_dict()),
        "facts": json.dumps(model.facts if facts is None else facts),
        **named,
    }
    write_safetensors(state, metadata, path)
    return path


def load(path: str | Path, device: str | torch.device = "cpu") -> Glow:
    """Read a checkpoint into a :class:`Glow` on ``device``, in evaluation mode.

    Raises:
        CheckpointError: the file is missing, truncated, no checkpoint of this project, does not
            match its own configuration, or rests on a base that is not beside it; one sentence.
    """
    model = _load(Path(path)).to(device).eval()
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _load(path: Path, wanted: GlowConfig | None = None) -> Glow:
    """Read a checkpoint on the CPU; with ``wanted``, refuse any other configuration."""
    state, metadata = read_safetensors(path, _MAX_BYTES)
    config = _read_config(metadata, path)
    if wanted is not None and config != wanted:
        raise CheckpointError(f"{path.name} has another configuration.")
    # Without memory: a huge configuration must not eat it, and random weights would be wasted.
    with torch.device("meta"), _buildable(path):
        model = Glow(config)
        facts = json.loads(metadata.get("facts", "{}"))
    ends = {key: state.pop(key) for key in _RANGE if key in state}
    expected = {k: v.shape for k, v in model.state_dict().items()}
    if _BASE in metadata:
        expected = {k: shape for k, shape in expected.items() if k.startswith(_FINEST)}
    if {k: v.shape for k, v in state.items()} != expected:
        raise CheckpointError(f"The weights in {path.name} do not match its configuration.")
    if not all(bool(v.isfinite().all()) for v in state.values() if v.is_floating_point()):
        raise CheckpointError(f"{path.name} holds weights that are not finite numbers.")
    state = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    if _BASE in metadata:
        state |= _load_base(config, metadata, path)
    model.load_state_dict(state, assign=True)
    model.facts = facts if isinstance(facts, dict) else {}
    if ends:
        _set_range(model, ends, path)
    return model


def _read_config(metadata: dict[str, str], path: Path) -> GlowConfig:
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(f"{path.name} is not a Glow Studio checkpoint.")
    if metadata.get("version") != _VERSION:
        raise CheckpointError(
            f"{path.name} has checkpoint version {metadata.get('version')}; "
            f"this program reads version {_VERSION}."
        )
    with _buildable(path):
        config = GlowConfig.from_dict(json.loads(metadata["config"]))
    parts = sum(n * (1 + k) for n, k in zip(config.steps, config.blocks, strict=True))
    if parts + config.context_blocks > _MAX_PARTS:
        raise CheckpointError(f"{path.name} has a configuration too large to be built.")
    return config


@contextmanager
def _buildable(path: Path) -> Iterator[None]:
    """Turn what building from wrong metadata raises into a :class:`CheckpointError`."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path.name} has a configuration that cannot be built ({_first_line(error)})."
        ) from error


def _load_base(config: GlowConfig, metadata: dict[str, str], path: Path) -> dict[str, Tensor]:
    """Read the part of a state dict that ``path`` leaves to its base."""
    name = metadata[_BASE]
    if not config.details or name in ("", ".", "..") or any(c in name for c in "/\\:\0"):
        raise CheckpointError(f"{path.name} does not name a file beside it that it could rest on.")
    beside = path.with_name(name)
    if not beside.is_file():
        raise CheckpointError(f"{path.name} needs the file {name} beside it.")
    try:
        # Each base has one detail level less, so that a ring of files is found out.
        base = _load(beside, config.behind_finest()).state_dict()
    except CheckpointError as error:
        raise CheckpointError(f"{path.name} cannot use its base: {_first_line(error)}.") from error
    if digest(base) != metadata.get(_DIGEST):
        raise CheckpointError(f"{path.name} rests on another {name} than the one beside it.")
    return {_renumbered(name, 1): value for name, value in base.items()}


def _check_base(model: Glow, path: Path, base: Path) -> dict[str, str]:
    """Return the metadata by which ``path`` names ``base``. Raises CheckpointError: it may not."""

    def refuse(why: str) -> NoReturn:
        raise CheckpointError(f"{base.name} cannot be the base of {path.name}: {why}.")

    if not model.config.details:
        refuse("the model has no detail level")
    if base.resolve().parent != path.resolve().parent or base.name == path.name:
        refuse("it is not another file in the same folder")
    found = digest(_load(base, model.config.behind_finest()).state_dict())
    state = model.state_dict().items()
    if found != digest({_renumbered(k, -1): v for k, v in state if not k.startswith(_FINEST)}):
        refuse("its weights are not those of the model")
    return {_BASE: base.name, _DIGEST: found}


def digest(state: dict[str, Tensor], text: str = "") -> str:
    """Return a hash of ``text`` and of all names and tensors: 32 hexadecimal digits."""
    found = hashlib.blake2b(text.encode(), digest_size=16)
    for name, value in sorted(state.items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        found.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _renumbered(name: str, by: int) -> str:
    """Return the name of the tensor ``name`` in the flow with ``by`` more detail levels."""
    part, *rest = name.split(".")
    if part == "details":
        rest[0] = str(int(rest[0]) + by)
    return ".".join([part, *rest])


def _set_range(model: Glow, ends: dict[str, Tensor], path: Path) -> None:
    try:
        low, high = (ends[key].float() for key in _RANGE)
        if not bool((low <= high).all() and (high - low).isfinite().all()):
            raise ValueError("its ends are not two finite numbers in order")
        model.usual_range = StateRange(low, high)
    except (KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path.name} has a range of states that does not match its configuration."
        ) from error


def read_safetensors(
    path: Path, most: int = _MAX_STATE
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read all tensors and the metadata of a safetensors file of at most ``most`` bytes.
    Raises CheckpointError: the file is missing, larger, damaged or of another kind."""
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint at {path}.")
    if path.stat().st_size > most:
        raise CheckpointError(f"{path.name} is too large: more than {most // 1_000_000} MB.")
    try:
        with _utf8_name(path) as name, safe_open(name, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return state, file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:  # its header must fit the size
        with path.open("rb") as file:
            pointer = file.read(len(_LFS)) == _LFS
        what = (
            "a pointer of Git LFS and not the file itself: fetch it with git lfs pull"
            if pointer
            else "damaged or not a safetensors file"
        )
        raise CheckpointError(f"{path.name} is {what}.") from error


@contextmanager
def _utf8_name(path: Path) -> Iterator[str]:
    """Give a name of the file that is UTF-8, as safetensors needs; file systems take any bytes."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        with open(path, "rb") as file:
            yield f"/dev/fd/{file.fileno()}"
    else:
        yield str(path)


def write_safetensors(state: dict[str, Tensor], metadata: dict[str, str], path: Path) -> None:
    """Write a safetensors file atomically: to a temporary name, flushed to disk, then renamed.
    Raises OSError: the disk is full or the folder missing; an older file at ``path`` survives."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        try:
            save_file(state, temporary, metadata=metadata)
        except SafetensorError as error:  # raised when the disk is full
            raise OSError(f"{path.name} could not be written: {error}") from error
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _storable(name: str, value: Tensor, half: bool) -> Tensor:
    """Return a tensor to write: on the CPU, and float16 for large kernels if ``half``."""
    value = value.detach().cpu().contiguous()
    big_net = (".net." in name or ".context." in name) and value.numel() >= _HALF_FROM
    return value.half() if half and big_net else value


def _first_line(error: Exception) -> str:
    """Return the first line of a message without its full stop, to quote in a sentence."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
