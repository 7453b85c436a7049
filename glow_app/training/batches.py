"""From packed pictures to the images of a training step: order, flips, crops and halvings."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from glow_app.training.data import PackedPictures
from glow_app.training.distributed import World
from models import dequantize

_SUPPORT = 3  # lobes of the Lanczos filter, as Pillow's
_FIXED_POINT = 2**22  # of Pillow's coefficients


class Batches:
    """Batches of uint8 pictures (B, 3, S, S), shuffled anew each epoch, as a function of the step.

    The stream is the concatenation of the shuffled epochs; step k takes pictures k*B to (k+1)*B
    of it. Half of them are flipped left to right. Nothing of the order is ever stored, and a
    resumed run goes on exactly.

    Args:
        batch: pictures a step, over all processes.
        seed: of shuffling and flips.
        world: the processes that share each batch. The whole set is held on the device of this
            process if that is a GPU with room for it.
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
        self._orders: dict[int, Tensor] = {}
        self._resident: Tensor | None = None
        if world.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(world.device)
            if pictures.pixels[:1].nbytes * len(pictures) < 0.3 * free:
                self._resident = pictures.tensor().to(world.device)

    def at(self, step: int, generator: torch.Generator) -> Tensor:
        """Return this process's part of the batch of ``step`` (from 0), on its device.

        ``generator`` draws for the whole batch, so the pictures do not depend on the number of
        processes.
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
        """Cut a crop out of each picture, at a corner that is a multiple of ``grid``."""
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
        """Return the indices (B,) of the pictures of ``step``, on the device of the pictures.

        Within an epoch nothing is transferred.
        """
        n, start = len(self.pictures), step * self.batch
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
            order = torch.randperm(len(self.pictures), generator=generator)
            where = self._resident.device if self._resident is not None else order.device
            self._orders[epoch] = order.to(where)
        return self._orders[epoch]


# ---------------------------------------------------------------------- smaller images


def means_of(x: Tensor, times: int) -> Tensor:
    """Replace every 2x2 pixels of ``x`` (N, C, H, W) by their mean, so many times over."""
    for _ in range(times):
        x = F.avg_pool2d(x, 2)
    return x


def reduced(levels: Tensor, halvings: int) -> Tensor:
    """Resize uint8 pictures (N, 3, S, S) to S / 2^halvings as `glow_app.faces.face.prepare` does.

    Equal to Pillow's Lanczos filter to the last level, rows and columns rounded in turn, but
    computed where the pictures are: a GPU does not wait for the host.
    """
    if not halvings:
        return levels
    size = levels.shape[-1]
    matrix = _lanczos(size, size >> halvings, levels.device)
    rows = _rounded(levels.double() @ matrix.T)
    return _rounded(matrix @ rows).byte()


def mixture(levels: Tensor, halvings: int, n_bits: int, noise: Tensor) -> Tensor:
    """Dequantise and halve a batch by means and by :func:`reduced` in turn.

    What is behind a detail level sees means of dequantised pictures, what is shown a small photo
    sees the 8-bit picture that the resampling filter left. One model can learn both.

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
    """Levels 0 to 255 of fixed-point ``sums``, float64, which hold them exactly."""
    return ((sums + _FIXED_POINT / 2) / _FIXED_POINT).floor().clamp(0, 255)


@lru_cache(maxsize=8)
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
