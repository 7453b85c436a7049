"""Pictures to codes and back: one flow on its device, and what is known about it.

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

RELEASED = "faces128"  # the weights that are used where nobody names others
CACHED_CODES = 64  # 192 KiB each at 128 px
CACHED_SECONDS = 900.0  # a code is as private as the photo it decodes to

# Pictures a pass. Between passes work can be stopped, and other visitors' work gets in. On a CPU a
# pass is shared out among its cores, a few pictures to each: on two cores 33 frames of faces128
# took 1.06 s like that, and 1.27 to 1.83 s with PyTorch's own threads, which also make a single
# picture slower (0.094 instead of 0.071 s). A GPU wants more at once.
CORES = cores()
_BATCH = {"cpu": 3 * CORES, "cuda": 64}

Align = Literal["auto", "face", "center"]

_Result = TypeVar("_Result")


@dataclass(frozen=True, eq=False)
class Coded:
    """Codes, and the range of states in which each is to be decoded."""

    z: Tensor  # (N, D) float32 on the CPU
    within: StateRange | None = None  # N rows, or one for all; None for no limits


@dataclass(frozen=True)
class Reading:
    """What the model says about one picture.

    Attributes:
        bits_per_dim: bits that a channel of a pixel needs under the model, lower for what is more
            familiar; uniform dequantisation with fixed noise, as in `scripts/evaluate.py`.
        roundtrip_max_levels: max |level - g(f(level))| over the picture, 0 when exact.
    """

    bits_per_dim: float
    roundtrip_max_levels: int


class FaceModel:
    """Encodes, decodes and measures pictures with one flow. Safe to call from several threads.

    Args:
        checkpoint: a file written by `models.save`, or the name of released weights, which a file
            of that name in the working folder goes before; None for `RELEASED`.
        device: "auto" (a CUDA GPU if there is one), "cpu", "cuda" or "cuda:1".

    Attributes:
        flow: the `models.Glow`, in evaluation mode on `device`.
        image_size: S, the side of its pictures in pixels.
        name: the file name of the checkpoint without its ending, with ? for what is not text.
        facts: training facts stored in the checkpoint.
        coding: how its training pictures were coded (JPEG), None for uncoded ones; what it is
            given is coded likewise.
        looks: how faces with landmarks are shown to it.
        batch: pictures or codes a pass, at first what is fastest on this kind of device.

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
        """16 hexadecimal digits that tell these weights from all others, whatever their file."""
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

    # ----------------------------------------------------------------------------------- faces

    def prepare(self, source: Any, align: Align = "auto", crop: Square | None = None) -> Face:
        """Open a photo and cut out its face, for this model and at full size; see
        `faces.face.prepare`."""
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
        seen = [self.looks.of(face) if warped else face.pixels for face in faces]
        return self.encode_with_range(np.stack(seen))

    # -------------------------------------------------------------------------------- pictures

    def encode(self, pixels: np.ndarray) -> Tensor:
        """Return the codes alone of `encode_with_range`: (N, D) float32 on the CPU."""
        return self.encode_with_range(pixels).z

    def encode_with_range(self, pixels: np.ndarray, cache: bool = True) -> Coded:
        """Encode pictures: z = f((level + 0.5) / 256), all of it, whitened, and their states.

        Bin centres, so a picture always has the same code, up to float32 rounding between
        batches. The last few codes are cached by content.

        Args:
            pixels: (N, S, S, 3) or (S, S, 3) uint8.
            cache: whether they are likely to be asked for again; False leaves the cache alone.

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
        self,
        z: Tensor,
        batch: int | None = None,
        steps: Steps | None = None,
        within: StateRange | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Decode codes, and report how much had to be clamped.

        Codes made by hand can leave the region where g is well conditioned. Infinite and undefined
        numbers in z become the nearest finite ones and 0, in x black, white and grey; x is clamped
        to [0, 1].

        Args:
            z: (N, D) or (D,), any float type, any device.
            batch: codes a pass; None for what is fastest on this device.
            steps: counts the pictures, pass by pass.
            within: the range, one row for all or one for each code, in which the state of the flow
                is held; see `models.Glow.g`. A flow's inverse bursts where a state leaves what its
                couplings have seen.

        Returns:
            frames (N, S, S, 3) uint8, and for each of them (N,) float32 the share, 0 to 1, of
            numbers of x outside [0, 1], or not finite in x or z.

        Raises:
            UserError: wrong shape, or the device ran out of memory.
        """
        z = self._check_codes(z)
        steps = steps or Steps(len(z))
        frames, clamped = [], []
        size = batch or self.batch
        for first in range(0, len(z), size):
            rows = slice(first, first + size)
            held = within if within is None or len(within) == 1 else within[rows]
            pixels, shares = self._decode(z[rows], held)
            frames.append(pixels)
            clamped.append(shares)
            steps.advance(len(pixels))
        return np.concatenate(frames), np.concatenate(clamped)

    # --------------------------------------------------------------------------- measurements

    def read(self, picture: Face | np.ndarray) -> Reading:
        """Measure the look of a face, or a picture (S, S, 3) uint8 as it is.

        The same picture reads the same each time.
        """
        pixels = self.looks.of(picture) if isinstance(picture, Face) else picture
        pictures = self._check_pictures(pixels)
        if len(pictures) != 1:
            raise UserError("One picture at a time can be read.")
        return Reading(
            bits_per_dim=float(self.bits_along(pictures)[0]),
            roundtrip_max_levels=int(self.roundtrip(pictures)[0]),
        )

    def bits_per_dim(
        self, pixels: np.ndarray, seeds: Sequence[int], progress: Progress | None = None
    ) -> np.ndarray:
        """Return bits a dimension of pictures under the model, with uniform dequantisation.

        Args:
            pixels: (N, S, S, 3) uint8.
            seeds: N seeds, one for the noise of each picture, so that neither order nor batch
                changes a result.
            progress: counts the pictures, pass by pass.

        Returns:
            (N,) float64. NaN or infinite where the model breaks down.
        """
        noisy, parts = self._dequantized(pixels, seeds), []
        steps = Steps(len(noisy), progress)
        for chunk in noisy.split(self.batch):
            parts += self._on_cores(lambda x: self.flow.log_prob(x.to(self.device)).cpu(), chunk)
            steps.advance(len(chunk))
        log_prob = torch.cat(parts).double()
        return models.bits_per_dim(log_prob, self.flow.dims, self._n_bits).numpy()

    def bits_by_part(self, pixels: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
        """Return bits a number of the parts of pictures, with the noise of `bits_per_dim`.

        Returns:
            (N, P) float64: of the details of each detail level given their means, finest first,
            and bits a dimension of the means behind them as a picture of its own; without detail
            levels that is the picture itself.
        """
        measured = []
        for chunk in self._dequantized(pixels, seeds).split(self.batch):
            with self._on_device():
                measured.append(models.bits_by_part(self.flow, chunk.to(self.device))[1].cpu())
        return torch.cat(measured).numpy()

    def bits_along(self, frames: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        """Return bits a dimension of each frame of a path, for a plot under it: (T,) float64.

        The decoded picture is measured, (T, S, S, 3) uint8, every one with the noise of `read`, so
        the curve begins and ends on the readings of the two photos. The density of the code itself
        would differ from those: a code decodes to the middle of each bin, where the noise that
        dequantisation has to pay for is missing. Takes about as long as decoding.
        """
        return self.bits_per_dim(frames, [0] * len(frames), progress)

    def roundtrip(self, pixels: np.ndarray) -> np.ndarray:
        """Return max |level - g(f(level))| of each picture (N, S, S, 3): (N,) int, 0 = exact."""
        pictures = self._check_pictures(pixels)
        # A model of fewer bits promises the picture at its own depth.
        promised = to_pictures(models.to_levels(self._centres(pictures), self._n_bits))
        returned = self.decode(self.encode(pictures))
        return np.abs(promised.astype(int) - returned).max(axis=(1, 2, 3))

    def norms(self, z: Tensor) -> np.ndarray:
        """Return (N, L) float32, ‖z_l‖/√d_l of each level of codes (N, D), finest first."""
        levels = [level.flatten(1) for level in self.flow.split_levels(z)]
        return torch.stack([one.square().mean(dim=1).sqrt() for one in levels], dim=1).numpy()

    @contextmanager
    def locked(self) -> Iterator[models.Glow]:
        """Yield the flow, for what has no method here; no other thread uses it meanwhile."""
        with self._lock:
            yield self.flow

    # --------------------------------------------------------------------------------- passes

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

    def _dequantized(self, pixels: np.ndarray, seeds: Sequence[int]) -> Tensor:
        """Return images (N, 3, S, S) on the CPU, each with the noise of its own seed."""
        pictures = self._check_pictures(pixels)
        return torch.cat(
            [
                models.dequantize(to_tensor(picture[None]), self._n_bits, generator(seed))
                for picture, seed in zip(pictures, seeds, strict=True)
            ]
        )

    def _centres(self, pictures: np.ndarray) -> Tensor:
        return models.bin_centers(to_tensor(pictures), self._n_bits)

    def _encode(self, pictures: np.ndarray) -> list[Coded]:
        def part(x: Tensor) -> list[Coded]:
            z, _, states = self.flow.f_with_range(x.to(self.device))
            z, states = z.cpu(), states.to("cpu")
            # Rows by number are copies: a view would keep the whole batch.
            return [Coded(z[[i]], states[i]) for i in range(len(z))]

        chunks = self._centres(pictures).split(self.batch)
        return [row for chunk in chunks for rows in self._on_cores(part, chunk) for row in rows]

    def _decode(
        self, z: Tensor, within: StateRange | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Decode one pass: pictures, and of each the share out of range or not finite."""

        def part(z: Tensor, held: StateRange | None) -> tuple[np.ndarray, np.ndarray]:
            z = z.to(self.device, torch.float32)
            lost = (~z.isfinite()).sum(dim=1)
            x = self.flow.g(torch.nan_to_num(z), None if held is None else held.to(self.device))
            outside = (~((x >= 0) & (x <= 1))).sum(dim=(1, 2, 3))
            shares = ((lost + outside) / self.flow.dims).clamp(max=1)
            x = torch.nan_to_num(x, nan=0.5, posinf=1.0, neginf=0.0)
            return to_pictures(models.to_levels(x, self._n_bits)), shares.cpu().numpy()

        pixels, shares = zip(*self._on_cores(part, z, within), strict=True)
        return np.concatenate(pixels), np.concatenate(shares)

    def _on_cores(
        self, work: Callable[..., _Result], rows: Tensor, *more: StateRange | None
    ) -> list[_Result]:
        """Call `work` on one pass of rows, shared out among the cores of a CPU. `more`: further
        arguments of `work`: of as many rows, of one for all, or None."""
        count = min(CORES, len(rows)) if self.device.type == "cpu" else 1
        ends = [len(rows) * k // count for k in range(count + 1)]

        def part(k: int) -> _Result:
            some = slice(ends[k], ends[k + 1])
            own = [m if m is None or len(m) == 1 else m[some] for m in more]
            with torch.inference_mode():
                return work(rows[some], *own)

        with self._on_device():
            if self.device.type != "cpu":
                return [part(0)]
            return list(_workers().map(part, range(count)))

    # --------------------------------------------------------------------------------- checks

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

    def _check_codes(self, z: Tensor) -> Tensor:
        codes = z[None] if z.ndim == 1 else z
        if codes.ndim != 2 or codes.shape[1] != self.flow.dims or not len(codes):
            raise UserError(f"Codes are (N, {self.flow.dims}) here, not {tuple(z.shape)}.")
        return codes


def _weights(checkpoint: str | Path | None) -> Path:
    """Return the file of weights that are given by path, or by name if they are released ones."""
    path = Path(RELEASED if checkpoint is None else checkpoint)
    named = models.pretrained_path(path.name)
    return named if path == Path(path.name) and named.is_file() and not path.exists() else path


@functools.lru_cache(maxsize=1)
def _workers() -> ThreadPoolExecutor:
    """Start one thread for each core, in which PyTorch uses no more than that one."""
    return ThreadPoolExecutor(CORES, "model", initializer=lambda: torch.set_num_threads(1))


def generator(seed: int) -> torch.Generator:
    """Return a source of noise on the CPU, so that it is the same on every device."""
    return torch.Generator().manual_seed(seed)
