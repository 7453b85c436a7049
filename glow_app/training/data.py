"""Training data: any folder of pictures, packed once into uint8 at the model's size.

A packed set is two files, ``NAME.npy`` (N, S, S, 3) uint8 and ``NAME.json`` (file names and what
was left out); the first can be given as data itself, so it travels to a machine without the
pictures. Batches are a pure function of (seed, step): nothing about their order is ever stored,
and a resumed run goes on exactly.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glow_app.common.errors import UserError
from glow_app.common.files import refuse_lfs_pointer, replacing, write_text
from glow_app.faces.coding import Coding, to_tensor
from glow_app.faces.face import prepare
from glow_app.faces.looks import CROPS, ReferenceFrame
from glow_app.faces.opening import list_pictures
from glow_app.training.distributed import World
from glow_app.training.parts import count_pictures, picture_parts, read_pictures
from glow_app.training.run_folder import is_run_folder

__all__ = ["Batches", "PackedPictures", "from_celeba", "from_source", "is_held_out"]

_PACK_VERSION = 1  # raise it when prepare changes what it returns
_HASH_SPACE = 2**32

Report = Callable[[str], None]
#: Wraps an iterable of known length to show how far it is, as `glow_app.common.cli.shown`.
Show = Callable[[Iterable[Any], int, str], Iterable[Any]]


@dataclass(frozen=True)
class PackedPictures:
    """Pictures (N, S, S, 3) uint8, usually mapped from disk, with their names.

    ``fingerprint`` changes when the pictures do; ``frame`` is that of their faces.
    """

    pixels: np.ndarray
    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    fingerprint: str
    frame: ReferenceFrame = CROPS

    def __len__(self) -> int:
        return len(self.pixels)

    def split(self, fraction: float) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers for (training, held-out), by a stable hash of each name.

        A picture stays on its side when others come or go.
        """
        held_out = np.array([is_held_out(name, fraction) for name in self.names], dtype=bool)
        return np.flatnonzero(~held_out), np.flatnonzero(held_out)

    def tensor(self, rows: Sequence[int] | np.ndarray) -> Tensor:
        """uint8 (len(rows), 3, S, S)."""
        return to_tensor(self.pixels[rows])


def is_held_out(name: str, fraction: float) -> bool:
    """Whether the picture called ``name`` belongs to the held-out ``fraction`` in [0, 1)."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:4], "big") < fraction * _HASH_SPACE


def from_source(
    source: str | Path,
    size: int,
    cache: Path,
    report: Report = print,
    show: Show | None = None,
    coding: Coding | None = None,
) -> PackedPictures:
    """Pictures from a folder (nested, any format, any size) or from a packed ``.npy`` file.

    A folder is packed into ``cache`` the first time and whenever its files have changed; it may
    also be one that ``scripts/dev/rental.py pack`` filled. Pictures that cannot be read are
    reported and left out, and so is what runs have drawn whose folders lie in this one.
    ``coding`` is what `prepare` puts them through.

    Raises:
        UserError: nothing usable at ``source``, whole crops and looks in one folder, or a packed
            file of another size or coding.
    """
    source = Path(source)
    if source.suffix == ".npy":
        return _open_packed(source, size, coding)
    parts = picture_parts(source)
    files = parts or _without_drawn(list_pictures(source), source)
    frame = ReferenceFrame.of_pictures(source, files)
    names = [file.relative_to(source).as_posix() for file in files]
    stats = [file.stat() for file in files]
    listing = [(n, s.st_size, s.st_mtime_ns) for n, s in zip(names, stats, strict=True)]
    packed = cache / f"{source.resolve().name}-{size}-{_digest(coding, frame, size, listing)}.npy"
    if not (packed.exists() and packed.with_suffix(".json").exists()):
        total = count_pictures(parts) if parts else len(files)
        entries = read_pictures(parts) if parts else zip(names, files, strict=True)
        report(f"Packing {total:,} pictures at {size}x{size}, once.")
        _pack(entries, total, size, coding, packed, report, show, frame)
    return _open_packed(packed, size, coding)


def _without_drawn(files: list[Path], source: Path) -> list[Path]:
    """``files`` without what lies in the folder of a run: samples are nothing to learn from."""
    runs: dict[Path, bool] = {}

    def drawn(folder: Path) -> bool:
        if folder not in runs:
            outside = folder == source or folder == folder.parent
            runs[folder] = is_run_folder(folder) or (not outside and drawn(folder.parent))
        return runs[folder]

    kept = [file for file in files if not drawn(file.parent)]
    if not kept:
        raise UserError(f"{source} holds pictures that a run has drawn, and no others.")
    return kept


def from_celeba(
    root: str | Path,
    size: int,
    cache: Path,
    split: str,
    report: Report = print,
    show: Show | None = None,
    coding: Coding | None = None,
) -> PackedPictures:
    """CelebA (Liu et al. 2015) as torchvision reads it, ``split`` "train" or "valid".

    Pictures that cannot be read are reported and left out.

    Raises:
        UserError: the data set is not at ``root``; it is never downloaded.
    """
    from glow_app.training.torchvision_compat import import_torchvision

    import_torchvision()
    from torchvision.datasets import CelebA

    digest = _digest(coding, CROPS, split, size, str(Path(root).resolve()))
    packed = cache / f"celeba-{split}-{size}-{digest}.npy"
    if not (packed.exists() and packed.with_suffix(".json").exists()):
        try:
            pictures = CelebA(str(root), split=split, download=False)
        except (RuntimeError, OSError, ImportError, ValueError, LookupError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise UserError(f"CelebA was not found complete in {root} ({reason}).") from error
        folder = Path(root) / pictures.base_folder / "img_align_celeba"
        # By path and not by pictures[i], which ends everything at the first one that is damaged.
        entries = ((str(name), folder / str(name)) for name in pictures.filename)
        report(f"Packing {len(pictures):,} pictures of CelebA at {size}x{size}, once.")
        _pack(entries, len(pictures), size, coding, packed, report, show)
    return _open_packed(packed, size, coding)


def _digest(coding: Coding | None, frame: ReferenceFrame, *key: Any) -> str:
    """16 hexadecimal digits of what decides how packed pictures come out, _PACK_VERSION too."""
    if coding is not None:  # without one the key is that of packs made before there was any
        key += (asdict(coding),)
    if frame.mean is not None:  # likewise
        key += (frame.to_facts(),)
    return hashlib.sha256(json.dumps([_PACK_VERSION, *key]).encode()).hexdigest()[:16]


def _pack(
    entries: Iterable[tuple[str, Any]],
    total: int,
    size: int,
    coding: Coding | None,
    packed: Path,
    report: Report,
    show: Show | None,
    frame: ReferenceFrame = CROPS,
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
            facts = {"names": names, "skipped": skipped, "coding": _plain(coding)}
            facts["frame"] = frame.to_facts()
            write_text(packed.with_suffix(".json"), json.dumps(facts))
    except OSError as error:
        raise UserError(f"The packed pictures could not be written: {error.strerror}.") from error


def _write_header(file: Any, rows: int, size: int) -> None:
    """A .npy header; its length does not depend on ``rows``: numpy pads for that purpose."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (rows, size, size, 3)}
    np.lib.format.write_array_header_1_0(file, header)


def _plain(coding: Coding | None) -> dict[str, Any] | None:
    return None if coding is None else asdict(coding)


def _prepared(
    entries: Iterable[tuple[str, Any]], size: int, coding: Coding | None
) -> Iterator[tuple[str, Any]]:
    """(name, pixels or the reason why not) in order; Pillow decodes without holding the GIL."""

    def one(entry: tuple[str, Any]) -> tuple[str, Any]:
        name, picture = entry
        try:
            return name, prepare(picture, size, align="center", coding=coding).pixels
        except UserError as error:
            return name, str(error)

    window = 256  # bounded: Executor.map would open the whole folder ahead of the writer
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        batch: list[tuple[str, Any]] = []
        for entry in entries:
            batch.append(entry)
            if len(batch) == window:
                yield from pool.map(one, batch)
                batch = []
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
    if facts.get("coding", _plain(coding)) != _plain(coding):  # older ones do not say
        raise UserError(f"{path.name} was packed with another --coding.")
    skipped = tuple((str(n), str(r)) for n, r in facts.get("skipped", []))
    frame = ReferenceFrame.from_facts(facts.get("frame", {}))
    return PackedPictures(pixels, tuple(names), skipped, _fingerprint(pixels), frame)


def _fingerprint(pixels: np.ndarray) -> str:
    """16 hexadecimal digits of every pixel; two seconds for the 2 GB of CelebA at 64x64."""
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=8)
    for first in range(0, len(pixels), 1024):
        digest.update(np.ascontiguousarray(pixels[first : first + 1024]))
    return digest.hexdigest()


class Batches:
    """Batches of uint8 pictures (B, 3, S, S), shuffled anew each epoch, as a function of the step.

    The stream is the concatenation of the shuffled epochs; step k takes pictures k*B to (k+1)*B
    of it. Half of them are flipped left to right.

    Args:
        pictures: where the rows come from.
        rows: the training rows.
        batch: pictures a step, over all processes.
        seed: of shuffling and flips.
        world: the processes that share each batch; the whole set is held on the device of this
            one if it is a GPU with room for it.
        crop: pixels a side, at a random place of each picture; 0: the whole picture.
        grid: crops begin at multiples of so many pixels.
    """

    def __init__(
        self,
        pictures: PackedPictures,
        rows: np.ndarray,
        batch: int,
        seed: int,
        world: World,
        crop: int = 0,
        grid: int = 4,
    ) -> None:
        self.pictures, self.rows, self.batch, self.seed = pictures, rows, batch, seed
        self.world, self.crop, self.grid = world, crop, grid
        self._orders: dict[int, Tensor] = {}
        self._resident: Tensor | None = None
        if world.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(world.device)
            if pictures.pixels[:1].nbytes * len(rows) < 0.3 * free:
                self._resident = pictures.tensor(rows).to(world.device)

    def at(self, step: int, generator: torch.Generator) -> Tensor:
        """This process's part of the batch of ``step`` (from 0), on its device.

        ``generator`` draws for the whole batch, so the pictures do not depend on the number of
        processes.
        """
        flip = torch.rand(self.batch, generator=generator, device=generator.device) < 0.5
        chosen = self.world.share(self._positions(step))
        if self._resident is not None:
            pictures = self._resident[chosen]
        else:
            pictures = self.pictures.tensor(self.rows[chosen.numpy()]).to(self.world.device)
        flip = self.world.share(flip).to(self.world.device)
        pictures = torch.where(flip[:, None, None, None], pictures.flip(3), pictures)
        return self._cropped(pictures, generator) if self.crop else pictures

    def _cropped(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """A crop of each whose blocks of ``grid`` pixels are those of the whole picture."""
        places = (pictures.shape[2] - self.crop) // self.grid + 1
        corners = torch.randint(
            places, (self.batch, 2), generator=generator, device=generator.device
        )
        corners = self.grid * self.world.share(corners).to(pictures.device)
        along = torch.arange(self.crop, device=pictures.device)
        rows = (corners[:, :1] + along)[:, :, None]
        columns = (corners[:, 1:] + along)[:, None, :]
        each = torch.arange(len(pictures), device=pictures.device)[:, None, None]
        return pictures[each, :, rows, columns].permute(0, 3, 1, 2)

    def _positions(self, step: int) -> Tensor:
        """Which rows, on the device where the pictures are: no transfer within an epoch."""
        n, start = len(self.rows), step * self.batch
        parts = []
        while start < (step + 1) * self.batch:
            epoch, first = divmod(start, n)
            last = min(n, first + (step + 1) * self.batch - start)
            parts.append(self._order(epoch)[first:last])
            start += last - first
        return torch.cat(parts)

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            # Only the newest epochs are kept: a batch spans two at most, tiny sets excepted.
            self._orders = {e: o for e, o in self._orders.items() if e >= epoch - 1}
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            order = torch.randperm(len(self.rows), generator=generator)
            where = self._resident.device if self._resident is not None else order.device
            self._orders[epoch] = order.to(where)
        return self._orders[epoch]
