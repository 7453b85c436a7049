"""The processes of a training run: a single one, or several that torchrun started.

DistributedDataParallel averages the gradients. All other messages go through a gloo group of
their own, so that no host waits for its GPU.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from glow_app.common.errors import UserError

_TIMEOUT = timedelta(hours=2)  # while the first process packs a data set or measures all of it


@dataclass(frozen=True)
class World:
    """The processes of a run. A single process needs no network."""

    device: torch.device  # where this process computes
    rank: int = 0  # number of this process, from 0
    size: int = 1  # number of processes
    group: Any = None  # the gloo group for messages between hosts; None for a single process

    def __str__(self) -> str:
        return f"{self.size} processes on {self.device}" if self.size > 1 else str(self.device)

    @property
    def is_main(self) -> bool:
        """Return whether this is rank 0, the only process that writes files."""
        return self.rank == 0

    def all_sum(self, values: Sequence[float]) -> list[float]:
        """Return the sums of ``values`` over all ranks on every rank."""
        if self.size == 1:
            return list(values)
        message = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(message, group=self.group)
        return message.tolist()

    def barrier(self) -> None:
        """Wait until every rank has come here."""
        if self.size > 1:
            dist.barrier(group=self.group)

    def shard(self, x: Tensor) -> Tensor:
        """Return the part (N / size, ...) of ``x`` (N, ...) that this rank works on."""
        return x.chunk(self.size)[self.rank]

    def data_parallel(self, module: nn.Module) -> nn.Module:
        """Wrap ``module``: gradients are averaged over the ranks, all with rank 0's weights."""
        if self.size == 1:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(
            module, device_ids=devices, gradient_as_bucket_view=True
        )


@contextmanager
def join_world(device: torch.device) -> Iterator[World]:
    """Join the processes that torchrun started; without torchrun, yield a single process.

    Args:
        device: the requested device; of several GPUs each process takes the one of its local rank.

    Raises:
        ValueError: more processes on this machine than it has GPUs; one sentence.
        UserError: another process was lost, so that this one cannot go on.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World(device)
        return
    if device.type == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        gpus = torch.cuda.device_count()
        if local >= gpus:
            raise ValueError(f"More processes were started than there are GPUs ({gpus}).")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
    try:
        group = dist.new_group(backend="gloo", timeout=_TIMEOUT)
        yield World(device, dist.get_rank(), dist.get_world_size(), group)
    except RuntimeError as error:
        if not _is_lost_peer(error):
            raise
        if "TORCHELASTIC_RUN_ID" in os.environ:
            # torchrun sends it to those that are left, perhaps before the sentence is out.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise UserError(
            "Another process of this run was lost, so this one ends as well; the same command "
            "goes on from the last checkpoint."
        ) from error
    finally:
        dist.destroy_process_group()


def _is_lost_peer(error: RuntimeError) -> bool:
    """Return whether another process is gone; gloo has no class for that error."""
    if isinstance(error, dist.DistError):
        return True
    text = str(error).lower()
    return "gloo" in text or any(f"connection {end}" in text for end in ("closed", "reset"))
