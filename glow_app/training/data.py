"""Training pictures: any folder of pictures, packed once into uint8 at the model's size, and the
images of a training step that are made of them: order, flips, crops and halvings.

A packed set is two files, ``NAME.npy`` (N, S, S, 3) uint8 and ``NAME.json`` (file names and what
was left out). The first can be given as data itself, so it travels to a machine without the
pictures.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from glow_app.common.devices import cores
from glow_app.common.errors import UserError
from glow_app.common.files import refuse_lfs_pointer, replacing, write_text
from glow_app.faces.coding import Coding, to_tensor
from glow_app.faces.face import prepare
from glow_app.faces.looks import CROPS, ReferenceFrame
from glow_app.faces.opening import list_pictures
from glow_app.training.distributed import World
from glow_app.training.run_folder import is_run_folder
from models import dequantize

_PACK_VERSION = 1  # raise it when prepare changes what it returns
_HASH_SPACE = 2**32
_AHEAD = 256  # pictures handed to the threads at a time

Entry = tuple[str, Any]  # the name of a picture, and what `prepare` opens
Report = Callable[[str], None]
#: Wraps an iterable of known length to show how far it is, as `glow_app.common.cli.shown`.
Show = Callable[[Iterable[Any], int, str], Iterable[Any]]


@dataclass(frozen=True)
class PackedPictures:
    """Pictures of one size with their names, or a subset of them."""

    pixels: np.ndarray  # (N, S, S, 3) uint8, usually mapped from disk
    names: tuple[str, ...]  # N names
    skipped: tuple[tuple[str, str], ...]  # name and reason of each picture that was left out
    fingerprint: str  # changes when any of the N pictures does
    frame: ReferenceFrame = CROPS  # the frame of the faces (`glow_app.faces.looks`)
    rows: np.ndarray | None = None  # which of the N are in the subset; None for all

    def __len__(self) -> int:
        return len(self.pixels if self.rows is None else self.rows)

    def subset(self, chosen: Sequence[int] | np.ndarray | slice) -> PackedPictures:
        """Return the ``chosen`` pictures of this set or subset; nothing is copied."""
        rows = np.arange(len(self.pixels)) if self.rows is None else self.rows
        return replace(self, rows=rows[chosen])

    def split(self, fraction: float) -> tuple[PackedPictures, PackedPictures]:
        """Return the pictures for training and the held-out ones, by a stable hash of each name.

        A picture stays on its side when others come or go.
        """
        held_out = np.array([is_held_out(name, fraction) for name in self.names], dtype=bool)
        return self.subset(np.flatnonzero(~held_out)), self.subset(np.flatnonzero(held_out))

    def tensor(self, chosen: Sequence[int] | np.ndarray | slice = slice(None)) -> Tensor:
        """Return the ``chosen`` pictures as uint8 (n, 3, S, S)."""
        return to_tensor(self.pixels[chosen if self.rows is None else self.rows[chosen]])


def is_held_out(name: str, fraction: float) -> bool:
    """Whether the picture called ``name`` belongs to the held-out ``fraction`` in [0, 1)."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:4], "big") < fraction * _HASH_SPACE


# ---------------------------------------------------------------------- sources


def from_source(
    source: str | Path,
    size: int,
    cache: Path,
    report: Report = print,
    show: Show | None = None,
    coding: Coding | None = None,
) -> PackedPictures:
    """Open the pictures of a folder (nested, any format, any size) or of a packed ``.npy`` file.

    A folder is packed into ``cache`` the first time and whenever its files have changed. Pictures
    that cannot be read are reported and left out; the samples of training runs in the folder are
    left out, too.

    Args:
        size: pixels a side.
        report: called with a line on what is packed and on each picture that is left out.
        show: wraps the pictures to show how far packing is.
        coding: the JPEG coding that `prepare` puts the pictures through.

    Raises:
        UserError: nothing usable at ``source``, whole crops and looks in one folder, or a packed
            file of another size or coding.
    """
    source = Path(source)
    if source.suffix == ".npy":
        return _open_packed(source, size, coding)
    files = _without_samples(list_pictures(source), source)
    frame = ReferenceFrame.of_pictures(source, files)
    names = [file.relative_to(source).as_posix() for file in files]
    stats = [file.stat() for file in files]
    listing = [(n, s.st_size, s.st_mtime_ns) for n, s in zip(names, stats, strict=True)]
    packed = cache / f"{source.resolve().name}-{size}-{_digest(coding, frame, size, listing)}.npy"
    if not _is_packed(packed):
        report(f"Packing {len(files):,} pictures at {size}x{size}, once.")
        _pack(
            zip(names, files, strict=True), len(files), size, coding, packed, report, show, frame
        )
    return _open_packed(packed, size, coding)


def from_celeba(
    root: str | Path,
    size: int,
    cache: Path,
    split: str,
    report: Report = print,
    show: Show | None = None,
    coding: Coding | None = None,
) -> PackedPictures:
    """Open CelebA (Liu et al. 2015) as torchvision reads it, ``split`` "train" or "valid".

    The other arguments are those of :func:`from_source`.

    Raises:
        UserError: the data set is not at ``root``; it is never downloaded.
    """
    import_torchvision()
    from torchvision.datasets import CelebA

    digest = _digest(coding, CROPS, split, size, str(Path(root).resolve()))
    packed = cache / f"celeba-{split}-{size}-{digest}.npy"
    if not _is_packed(packed):
        try:
            pictures = CelebA(str(root), split=split, download=False)
        except (RuntimeError, OSError, ImportError, ValueError, LookupError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise UserError(f"CelebA was not found complete in {root} ({reason}).") from error
        folder = Path(root) / pictures.base_folder / "img_align_celeba"
        # By path and not by pictures[i], which ends everything at the first one that is damaged.
        entries = ((str(name), folder / str(name)) for name in pictures.filename)
        report(f"Packing {len(pictures):,} pictures of CelebA at {size}x{size}, once.")
        _pack(entries, len(pictures), size, coding, packed, report, show, CROPS)
    return _open_packed(packed, size, coding)


_declared: torch.library.Library | None = None  # the declarations live as long as this does


def import_torchvision() -> Any:
    """Import and return torchvision, also beside a CPU-only torch.

    PyPI's Linux build of torchvision needs CUDA libraries that a CPU build of torch does not
    have; its compiled part then fails to load, and the import stops at two missing operators.
    Declared here where they are missing, everything in Python works (datasets, transforms). Never
    call ``torchvision.io`` or ``ops.nms``: those do need the compiled part.
    """
    global _declared
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _declared = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            _declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision
    return torchvision


def _without_samples(files: list[Path], source: Path) -> list[Path]:
    """Return ``files`` without those in the folder of a run. Raises UserError: nothing is left."""

    @functools.cache
    def in_run(folder: Path) -> bool:
        outside = folder in (source, folder.parent)
        return is_run_folder(folder) or (not outside and in_run(folder.parent))

    kept = [file for file in files if not in_run(file.parent)]
    if not kept:
        raise UserError(f"{source} holds pictures that a run has drawn, and no others.")
    return kept


# ---------------------------------------------------------------------- packing


def _digest(coding: Coding | None, frame: ReferenceFrame, *key: Any) -> str:
    """Return 16 hexadecimal digits of all that decides how packed pictures come out."""
    if coding is not None:  # without one the key is that of packs made before there was any
        key += (asdict(coding),)
    if frame.mean is not None:  # likewise
        key += (frame.to_facts(),)
    return hashlib.sha256(json.dumps([_PACK_VERSION, *key]).encode()).hexdigest()[:16]


def _is_packed(packed: Path) -> bool:
    return packed.exists() and packed.with_suffix(".json").exists()


def _pack(
    entries: Iterable[Entry],
    total: int,
    size: int,
    coding: Coding | None,
    packed: Path,
    report: Report,
    show: Show | None,
    frame: ReferenceFrame,
) -> None:
    """Prepare every picture into ``packed``; readers never see a half-written file."""
    packed.parent.mkdir(parents=True, exist_ok=True)
    names: list[str] = []
    skipped: list[tuple[str, str]] = []
    try:
        # Rows are written as raw bytes and the header last, when their number is known.
        with replacing(packed) as temporary:
            with open(temporary, "wb") as file:
                _write_header(file, 0, size)
                done: Iterable[Any] = _prepared(entries, size, coding)
                for name, result in show(done, total, "packing") if show else done:
                    if isinstance(result, str):
                        skipped.append((name, result))
                        report(f"Left out {name}: {result}")
                    else:
                        names.append(name)
                        file.write(result.tobytes())
                file.seek(0)
                _write_header(file, len(names), size)
            if not names:
                raise UserError("None of the pictures could be read.")
            facts = {"names": names, "skipped": skipped, "coding": coding and asdict(coding)}
            facts["frame"] = frame.to_facts()
            write_text(packed.with_suffix(".json"), json.dumps(facts))
    except OSError as error:
        raise UserError(f"The packed pictures could not be written: {error.strerror}.") from error


def _write_header(file: IO[bytes], rows: int, size: int) -> None:
    """Write a .npy header. Its length does not depend on ``rows``: numpy pads it for that."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (rows, size, size, 3)}
    np.lib.format.write_array_header_1_0(file, header)


def _prepared(
    entries: Iterable[Entry], size: int, coding: Coding | None
) -> Iterator[tuple[str, np.ndarray | str]]:
    """Yield name, and pixels or the reason why there are none, of each picture in order."""

    def one(entry: Entry) -> tuple[str, np.ndarray | str]:
        name, picture = entry
        try:
            return name, prepare(picture, size, align="center", coding=coding).pixels
        except UserError as error:
            return name, str(error)

    with ThreadPoolExecutor(cores()) as pool:  # Pillow decodes without holding the GIL
        rest = iter(entries)
        # Bounded: Executor.map would open the whole folder ahead of the writer.
        while batch := list(islice(rest, _AHEAD)):
            yield from pool.map(one, batch)


def _open_packed(path: Path, size: int, coding: Coding | None) -> PackedPictures:
    try:
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise UserError(f"There is no packed data at {path}.") from error
    except (OSError, ValueError) as error:
        refuse_lfs_pointer(path)
        raise UserError(f"{path.name} is not a packed set of pictures.") from error
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (size, size, 3) or len(pixels) == 0:
        raise UserError(
            f"{path.name} holds {pixels.dtype} {pixels.shape}; the model needs "
            f"uint8 pictures of {size}x{size}x3."
        )
    facts_path = path.with_suffix(".json")
    facts = json.loads(facts_path.read_text(encoding="utf-8")) if facts_path.exists() else {}
    names = facts.get("names") or [f"{i:08d}" for i in range(len(pixels))]
    if len(names) != len(pixels):
        raise UserError(f"{facts_path.name} does not belong to {path.name}.")
    wanted = coding and asdict(coding)
    if facts.get("coding", wanted) != wanted:  # older files lack it
        raise UserError(f"{path.name} was packed with another --coding.")
    skipped = tuple((str(n), str(r)) for n, r in facts.get("skipped", []))
    frame = ReferenceFrame.from_facts(facts.get("frame", {}))
    return PackedPictures(pixels, tuple(names), skipped, _fingerprint(pixels), frame)


def _fingerprint(pixels: np.ndarray) -> str:
    """Return 16 hexadecimal digits of every pixel; 2 s for the 2 GB of CelebA at 64x64."""
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=8)
    for first in range(0, len(pixels), 1024):
        digest.update(np.ascontiguousarray(pixels[first : first + 1024]).data)
    return digest.hexdigest()


# ---------------------------------------------------------------------- batches

_SUPPORT = 3  # lobes of the Lanczos filter, as Pillow's
_FIXED_POINT = 2**22  # of Pillow's coefficients


class Batches:
    """Batches of uint8 pictures (B, 3, S, S), shuffled anew each epoch, as a function of the step.

    Step k takes pictures k*B to (k+1)*B of the shuffled epochs, one after the other, and flips
    half of them left to right: nothing of the order has to be stored to resume a run exactly. The
    whole set is held on a GPU with room for it.

    Args:
        batch: pictures a step, over all processes.
        world: the processes that share each batch.
        crop: pixels a side, at a random place of each picture; 0: the whole picture.
        grid: crops begin at multiples of so many pixels.
    """

    def __init__(
        self,
        pictures: PackedPictures,
        batch: int,
        seed: int,
        world: World,
        crop: int = 0,
        grid: int = 4,
    ) -> None:
        self.pictures, self.batch, self.seed, self.world = pictures, batch, seed, world
        self.crop, self.grid = crop, grid
        self._order = functools.lru_cache(maxsize=2)(self._shuffled)  # a batch spans two at most
        self._resident: Tensor | None = None
        if world.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(world.device)
            if pictures.pixels[:1].nbytes * len(pictures) < 0.3 * free:
                self._resident = pictures.tensor().to(world.device)

    def at(self, step: int, generator: torch.Generator) -> Tensor:
        """Return this process's part of the batch of ``step`` (from 0), on its device.

        ``generator`` draws flips and crops for the whole batch.
        """
        flip = torch.rand(self.batch, generator=generator, device=generator.device) < 0.5
        chosen = self.world.shard(self._positions(step))
        if self._resident is not None:
            pictures = self._resident[chosen]
        else:
            pictures = self.pictures.tensor(chosen.numpy()).to(self.world.device)
        flip = self.world.shard(flip).to(self.world.device)
        pictures = torch.where(flip[:, None, None, None], pictures.flip(3), pictures)
        return self._cropped(pictures, generator) if self.crop else pictures

    def _cropped(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        places = (pictures.shape[2] - self.crop) // self.grid + 1
        corners = torch.randint(
            places, (self.batch, 2), generator=generator, device=generator.device
        )
        corners = self.grid * self.world.shard(corners).to(pictures.device)
        along = torch.arange(self.crop, device=pictures.device)
        rows = (corners[:, :1] + along)[:, :, None]
        columns = (corners[:, 1:] + along)[:, None, :]
        each = torch.arange(len(pictures), device=pictures.device)[:, None, None]
        return pictures[each, :, rows, columns].permute(0, 3, 1, 2)

    def _positions(self, step: int) -> Tensor:
        """Return the indices (B,) of the pictures of ``step``, on the device of the pictures."""
        n, start = len(self.pictures), step * self.batch
        parts = []
        while start < (step + 1) * self.batch:
            epoch, first = divmod(start, n)
            last = min(n, first + (step + 1) * self.batch - start)
            parts.append(self._order(epoch)[first:last])
            start += last - first
        return torch.cat(parts)

    def _shuffled(self, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.pictures), generator=generator)
        return order if self._resident is None else order.to(self._resident.device)


# ---------------------------------------------------------------------- smaller images


def means_of(x: Tensor, times: int) -> Tensor:
    """Replace every 2x2 pixels of ``x`` (N, C, H, W) by their mean, ``times`` times over."""
    for _ in range(times):
        x = F.avg_pool2d(x, 2)
    return x


def reduced(levels: Tensor, halvings: int) -> Tensor:
    """Resize uint8 pictures (N, 3, S, S) to S / 2^halvings as `glow_app.faces.face.prepare` does.

    Equal to Pillow's Lanczos filter to the last level, but computed where the pictures are: a GPU
    does not wait for the host.
    """
    if not halvings:
        return levels
    size = levels.shape[-1]
    matrix = _lanczos(size, size >> halvings, levels.device)
    rows = _rounded(levels.double() @ matrix.T)
    return _rounded(matrix @ rows).byte()


def mixture(levels: Tensor, halvings: int, n_bits: int, noise: Tensor) -> Tensor:
    """Dequantise and halve a batch by means and by :func:`reduced` in turn.

    Behind a detail level the flow sees means of dequantised pictures; by itself it sees 8-bit
    pictures from the resampling filter. One model can learn both.

    Args:
        levels: uint8 pictures (N, 3, S, S).
        halvings: at least 1.
        noise: uniform on [0, 1), of the shape of ``levels``, for the dequantisation of both.

    Returns:
        images (N, 3, S / 2^halvings, S / 2^halvings) in [0, 1].
    """
    images = means_of(dequantize(levels, n_bits, noise=noise), halvings)
    small = reduced(levels[1::2], halvings)
    its_noise = noise[1::2, :, : small.shape[2], : small.shape[3]]
    images[1::2] = dequantize(small, n_bits, noise=its_noise)
    return images


def _rounded(sums: Tensor) -> Tensor:
    """Return the levels 0 to 255 of fixed-point ``sums``, which float64 holds exactly."""
    return ((sums + _FIXED_POINT / 2) / _FIXED_POINT).floor().clamp(0, 255)


@functools.lru_cache(maxsize=8)
def _lanczos(size: int, small: int, device: torch.device) -> Tensor:
    """Fixed-point weights (small, size), float64, of Pillow's ``precompute_coeffs``."""
    scale = size / small
    centres = (torch.arange(small, dtype=torch.float64) + 0.5) * scale
    first = (centres - _SUPPORT * scale + 0.5).floor().clamp(min=0)
    last = (centres + _SUPPORT * scale + 0.5).floor().clamp(max=size)
    pixels = torch.arange(size, dtype=torch.float64)
    x = (pixels - centres[:, None] + 0.5) / scale
    inside = (pixels >= first[:, None]) & (pixels < last[:, None]) & (x.abs() < _SUPPORT)
    weights = torch.where(inside, torch.sinc(x) * torch.sinc(x / _SUPPORT), 0.0)
    weights = weights / weights.sum(dim=1, keepdim=True) * _FIXED_POINT
    return (weights + torch.sign(weights) * 0.5).trunc().to(device)
