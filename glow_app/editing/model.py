"""Encode, decode and measure pictures with one flow on its device.

Pictures are uint8 arrays (S, S, 3) at the model's size, codes are float32 tensors (N, D) on the
CPU. `models` keeps the precision that this needs: encode then decode returns the very same bytes.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

import models
from glow_app.common.devices import cores, pick_device
from glow_app.common.errors import UserError
from glow_app.common.memory import ExpiringCache
from glow_app.common.progress import Progress, Steps
from glow_app.faces.alignment import Square
from glow_app.faces.coding import Coding, to_pictures, to_tensor
from glow_app.faces.face import FULL, Face, prepare
from glow_app.faces.looks import Looks
from glow_app.faces.opening import printable
from models import StateRange

RELEASED = "faces128"  # the default weights
CACHED_CODES = 64  # 192 KiB each at 128 px
CACHED_SECONDS = 900.0  # a code is as private as the photo it decodes to

# Pictures per pass. Between passes work can be stopped, and other requests get their turn. On a
# CPU a pass is shared among its cores, a few pictures each: on two cores 33 frames of faces128
# took 1.06 s, and 1.27 to 1.83 s with PyTorch's own threads, which also make a single picture
# slower (0.094 instead of 0.071 s). A GPU wants more at once.
CORES = cores()
_BATCH = {"cpu": 3 * CORES, "cuda": 64}

Align = Literal["auto", "face", "center"]

_Result = TypeVar("_Result")


@dataclass(frozen=True, eq=False)
class Coded:
    """Codes, and the range that the states of the flow took on the way to each."""

    z: Tensor  # (N, D) float32 on the CPU
    within: StateRange | None = None  # N rows, or one for all; None: not known


@dataclass(frozen=True)
class Reading:
    """What the model measures on one picture."""

    bits_per_dim: float  # uniform dequantisation with fixed noise, as in `scripts/evaluate.py`
    roundtrip_max_levels: int  # max |level - g(f(level))| over the picture, 0 when exact


class FaceModel:
    """Encodes, decodes and measures pictures with one flow. Safe to call from several threads.

    Args:
        checkpoint: a file written by `models.save`, or the name of released weights (a file of
            that name in the working folder comes first); None for `RELEASED`.
        device: "auto" (a CUDA GPU if there is one), "cpu", "cuda" or "cuda:1".

    Attributes:
        flow: the `models.Glow`, in evaluation mode on `device`.
        image_size: S, the side of its pictures in pixels.
        name: the file name of the checkpoint without its ending, with ? for what is not text.
        facts: training facts stored in the checkpoint.
        coding: the JPEG coding of its training pictures, which its input gets too; None for none.
        looks: warps faces to the shape that it was trained on.
        batch: pictures or codes per pass, at first the fastest number on this kind of device.

    Raises:
        UserError: there is no such device.
        models.CheckpointError: the file is missing or not a checkpoint.
    """

    def __init__(self, checkpoint: str | Path | None = None, device: str = "auto") -> None:
        path = _weights(checkpoint)
        self.device = pick_device(device)
        self.flow = models.load(path, self.device)
        if self.flow.config.channels != 3:
            raise UserError(f"{path.name} is not a model of colour pictures.")
        self.image_size: int = self.flow.config.image_size
        self.name = printable(path.stem)
        self.facts: dict[str, Any] = dict(self.flow.facts)
        self.coding = Coding.from_facts(self.facts)
        self.looks = Looks.from_facts(self.facts, self.image_size)
        self._n_bits: int = self.flow.config.n_bits
        self.batch: int = _BATCH[self.device.type]
        self._lock = threading.RLock()
        self._codes: ExpiringCache[Coded] = ExpiringCache(CACHED_CODES, CACHED_SECONDS)
        self._faces: ExpiringCache[Face] = ExpiringCache(CACHED_CODES, CACHED_SECONDS)

    @functools.cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits, a digest of the weights, whatever the name of their file."""
        digest = hashlib.blake2b(digest_size=8)
        for name, value in sorted(self.flow.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def level_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(C, H, W) of the part of a code that each level of the flow holds, finest first."""
        return tuple(self.flow.config.code_shapes())

    @property
    def crop_size(self) -> int:
        """Pixels a side of the crops that are coded and reduced to the model's size."""
        return self.image_size if self.coding is None else self.coding.size

    def prepare(self, source: Any, align: Align = "auto", crop: Square | None = None) -> Face:
        """Cut the face out of a photo; see `faces.face.prepare`."""
        return prepare(source, self.image_size, align, self.coding, full=FULL, square=crop)

    def face(self, picture: np.ndarray | Face) -> Face:
        """Return a picture (S, S, 3) uint8 as a face; a face comes back as it is.

        The same pixels give the same object, so that landmarks are found once.

        Raises:
            UserError: wrong size or type.
        """
        if isinstance(picture, Face):
            self._check_one(picture.pixels)
            return picture
        fresh = Face.of_pixels(self._check_one(picture), self.crop_size)
        with self._lock:
            known = self._faces.get(fresh.key) or fresh
            self._faces.keep(fresh.key, known)
        return known

    def encode_faces(self, faces: Sequence[Face], warped: bool) -> Coded:
        """Encode the looks of faces, or with `warped` False their crops as they are."""
        pictures = [self.looks.of(face) if warped else face.pixels for face in faces]
        return self.encode_with_range(np.stack(pictures))

    def encode(self, pixels: np.ndarray) -> Tensor:
        """Return the codes alone of `encode_with_range`: (N, D) float32 on the CPU."""
        return self.encode_with_range(pixels).z

    def encode_with_range(self, pixels: np.ndarray, cache: bool = True) -> Coded:
        """Encode pictures: z = f((level + 0.5) / 256), all of it, whitened, and their states.

        Bin centres, so a picture always has the same code, up to float32 rounding between
        batches. The last few codes are cached by content.

        Args:
            pixels: (N, S, S, 3) or (S, S, 3) uint8.
            cache: whether to keep these codes for the next call.

        Returns:
            N codes, D = 3·S·S, and for each the range that the state takes after every step of
            the flow on the way to it; N = 1 for a single picture.

        Raises:
            UserError: wrong shape or type, or the device ran out of memory.
        """
        pictures = self._check_pictures(pixels)
        keys = [hashlib.blake2b(one.tobytes(), digest_size=16).digest() for one in pictures]
        with self._lock:
            known = {key: row for key in keys if (row := self._codes.get(key)) is not None}
            missing = {k: p for k, p in zip(keys, pictures, strict=True) if k not in known}
            if missing:
                fresh = self._encode(np.stack([*missing.values()]))
                known.update(zip(missing, fresh, strict=True))
            for key, row in known.items() if cache else ():
                self._codes.keep(key, row)
        rows = [known[key] for key in keys]
        ranges = StateRange.cat([row.within for row in rows if row.within is not None])
        return Coded(torch.cat([row.z for row in rows]), ranges)

    def decode(self, z: Tensor, batch: int | None = None) -> np.ndarray:
        """Return pictures (N, S, S, 3) uint8 of codes (N, D) or (D,); see `decode_with_report`."""
        return self.decode_with_report(z, batch)[0]

    def decode_with_report(
        self, z: Tensor, batch: int | None = None, within: StateRange | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Decode codes, and report how much had to be clamped.

        An edited code can leave the region where g is well conditioned. Infinite and undefined
        numbers in z become the nearest finite ones and 0, in x black, white and grey; x is clamped
        to [0, 1].

        Args:
            z: (N, D) or (D,), any float type, any device.
            batch: codes per pass; None for what is fastest on this device.
            within: the range, one row for all or one for each code, in which the state of the flow
                is held, since its inverse diverges outside of what its couplings were trained on;
                see `models.Glow.g`.

        Returns:
            frames (N, S, S, 3) uint8, and for each of them (N,) float32 the share, 0 to 1, of
            numbers of x outside [0, 1], or not finite in x or z.

        Raises:
            UserError: wrong shape, or the device ran out of memory.
        """
        codes = z[None] if z.ndim == 1 else z
        if codes.ndim != 2 or codes.shape[1] != self.flow.dims or not len(codes):
            raise UserError(f"Codes are (N, {self.flow.dims}) here, not {tuple(z.shape)}.")

        size, steps, passes = batch or self.batch, Steps(len(codes)), []
        for first in range(0, len(codes), size):
            rows = slice(first, first + size)
            held = within if within is None or len(within) == 1 else within[rows]
            passes.append(self._decode(codes[rows], held))
            steps.advance(len(passes[-1][0]))
        frames, clamped = zip(*passes, strict=True)
        return np.concatenate(frames), np.concatenate(clamped)

    def read(self, picture: Face | np.ndarray) -> Reading:
        """Measure the look of a face, or a picture (S, S, 3) uint8 as it is.

        The same picture reads the same each time.
        """
        pixels = self.looks.of(picture) if isinstance(picture, Face) else picture
        pictures = self._check_pictures(pixels)
        if len(pictures) != 1:
            raise UserError("One picture at a time can be read.")
        return Reading(
            bits_per_dim=float(self.bits_per_dim(pictures)[0]),
            roundtrip_max_levels=int(self.roundtrip(pictures)[0]),
        )

    def bits_per_dim(
        self,
        pixels: np.ndarray,
        seeds: Sequence[int] | None = None,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Return bits per dimension of pictures under the model, with uniform dequantisation.

        Args:
            pixels: (N, S, S, 3) uint8.
            seeds: N seeds, one for the noise of each picture, so that neither order nor batch
                changes a result; None: the noise of `read` for each.
            progress: counts the pictures, pass by pass.

        Returns:
            (N,) float64. NaN or infinite where the model breaks down.
        """
        noisy = self._dequantized(pixels, [0] * len(pixels) if seeds is None else seeds)

        def part(rows: slice) -> Tensor:
            return self.flow.log_prob(noisy[rows].to(self.device)).cpu()

        steps = Steps(len(noisy), progress)
        log_prob = torch.cat(self._in_passes(part, len(noisy), steps=steps)).double()
        return models.bits_per_dim(log_prob, self.flow.dims, self._n_bits).numpy()

    def bits_by_part(self, pixels: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
        """Return bits per dimension of the parts of pictures, (N, P) float64, with the noise of
        `bits_per_dim`: of each detail level given its means, finest first, then of the means
        behind them as a picture of its own, which without detail levels is the whole picture."""
        measured = []
        for chunk in self._dequantized(pixels, seeds).split(self.batch):
            with self._on_device():
                measured.append(models.bits_by_part(self.flow, chunk.to(self.device))[1].cpu())
        return torch.cat(measured).numpy()

    def roundtrip(self, pixels: np.ndarray) -> np.ndarray:
        """Return max |level - g(f(level))| of each picture (N, S, S, 3): (N,) int, 0 = exact."""
        pictures = self._check_pictures(pixels)
        # A model of fewer bits returns the picture at its own depth.
        centres = models.bin_centers(to_tensor(pictures), self._n_bits)
        expected = to_pictures(models.to_levels(centres, self._n_bits))
        returned = self.decode(self.encode(pictures))
        return np.abs(expected.astype(int) - returned).max(axis=(1, 2, 3))

    def norms(self, z: Tensor) -> np.ndarray:
        """Return (N, L) float32, ‖z_l‖/√d_l of each level of codes (N, D), finest first."""
        levels = [level.flatten(1) for level in self.flow.split_levels(z)]
        return torch.stack([one.square().mean(dim=1).sqrt() for one in levels], dim=1).numpy()

    @contextmanager
    def locked(self) -> Iterator[models.Glow]:
        """Yield the flow, for what has no method here; no other thread uses it meanwhile."""
        with self._lock:
            yield self.flow

    @contextmanager
    def _on_device(self) -> Iterator[None]:
        """Wrap every use of `flow`: one thread, no autograd, memory errors as `UserError`."""
        with self.locked(), torch.inference_mode():
            try:
                yield
            except torch.OutOfMemoryError as error:
                raise UserError(
                    "The GPU has not enough free memory: ask for less at once or use the CPU."
                ) from error

    def _in_passes(
        self,
        work: Callable[[slice], _Result],
        count: int,
        batch: int | None = None,
        steps: Steps | None = None,
    ) -> list[_Result]:
        """Call `work` on slices of `count` rows, pass by pass, each shared among the cores of a
        CPU; between passes `steps` are counted, and other threads may use the flow."""
        results: list[_Result] = []
        on_cpu, size = self.device.type == "cpu", batch or self.batch

        def part(rows: slice) -> _Result:
            with torch.inference_mode():  # of each thread
                return work(rows)

        for first in range(0, count, size):
            rows = min(size, count - first)
            shares = min(CORES, rows) if on_cpu else 1
            ends = [first + rows * k // shares for k in range(shares + 1)]
            with self._on_device():
                results += (_workers().map if on_cpu else map)(part, map(slice, ends, ends[1:]))
            if steps is not None:
                steps.advance(rows)
        return results

    def _dequantized(self, pixels: np.ndarray, seeds: Sequence[int]) -> Tensor:
        """Return images (N, 3, S, S) on the CPU, each with the noise of its own seed."""
        pictures = self._check_pictures(pixels)
        return torch.cat(
            [
                models.dequantize(to_tensor(picture[None]), self._n_bits, generator(seed))
                for picture, seed in zip(pictures, seeds, strict=True)
            ]
        )

    def _encode(self, pictures: np.ndarray) -> list[Coded]:
        centres = models.bin_centers(to_tensor(pictures), self._n_bits)

        def part(rows: slice) -> list[Coded]:
            z, _, states = self.flow.f_with_range(centres[rows].to(self.device))
            z, states = z.cpu(), states.to("cpu")
            # Rows by number are copies: a view would keep the whole batch.
            return [Coded(z[[i]], states[i]) for i in range(len(z))]

        return [row for rows in self._in_passes(part, len(centres)) for row in rows]

    def _decode(self, z: Tensor, within: StateRange | None) -> tuple[np.ndarray, np.ndarray]:
        """Decode one pass, see `decode_with_report`."""

        def part(rows: slice) -> tuple[np.ndarray, np.ndarray]:
            codes = z[rows].to(self.device, torch.float32)
            held = within if within is None or len(within) == 1 else within[rows]
            lost = (~codes.isfinite()).sum(dim=1)
            x = self.flow.g(
                torch.nan_to_num(codes), None if held is None else held.to(self.device)
            )
            outside = (~((x >= 0) & (x <= 1))).sum(dim=(1, 2, 3))
            shares = ((lost + outside) / self.flow.dims).clamp(max=1)
            x = torch.nan_to_num(x, nan=0.5, posinf=1.0, neginf=0.0)
            return to_pictures(models.to_levels(x, self._n_bits)), shares.cpu().numpy()

        pixels, shares = zip(*self._in_passes(part, len(z), len(z)), strict=True)
        return np.concatenate(pixels), np.concatenate(shares)

    def _check_one(self, picture: np.ndarray) -> np.ndarray:
        if np.ndim(picture) != 3:
            raise UserError(f"One picture is (S, S, 3), not {np.shape(picture)}.")
        return self._check_pictures(picture)[0]

    def _check_pictures(self, pixels: np.ndarray) -> np.ndarray:
        pixels = np.asarray(pixels)
        pictures = pixels[None] if pixels.ndim == 3 else pixels
        side = self.image_size
        if pictures.shape[1:] != (side, side, 3) or not len(pictures):
            raise UserError(f"This model takes {side}x{side} RGB pictures, not {pixels.shape}.")
        if pictures.dtype != np.uint8:
            raise UserError(f"Pictures must be uint8, not {pictures.dtype}.")
        return pictures


def _weights(checkpoint: str | Path | None) -> Path:
    """Return the file of weights given by path, or by name if they are released ones."""
    path = Path(RELEASED if checkpoint is None else checkpoint)
    named = models.pretrained_path(path.name)
    return named if path == Path(path.name) and named.is_file() and not path.exists() else path


@functools.lru_cache(maxsize=1)
def _workers() -> ThreadPoolExecutor:
    """Start one thread for each core, in which PyTorch uses no more than that one."""
    return ThreadPoolExecutor(CORES, "model", initializer=lambda: torch.set_num_threads(1))


def generator(seed: int) -> torch.Generator:
    """Return a generator on the CPU, whose noise is the same on every device."""
    return torch.Generator().manual_seed(seed)
