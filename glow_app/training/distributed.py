"""One process or many (torchrun): who I am, and the little that processes say to each other.

Gradients are averaged by DistributedDataParallel. What is here goes over a group of its own on
the hosts, so that asking whether to stop never makes a host wait for its GPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from glow_app.common.errors import UserError

__all__ = ["World", "join_world"]

_PATIENCE = timedelta(hours=2)  # while the first process packs a data set or measures all of it


@dataclass(frozen=True)
class World:
    """The processes of a run. A single process is a world of its own, and needs no network.

    Attributes:
        rank: number of this process, from 0; only rank 0 writes files.
        size: number of processes.
        device: where this process computes.
    """

    device: torch.device
    rank: int = 0
    size: int = 1
    hosts: Any = None  # the group for messages between hosts; None in a single process

    def __str__(self) -> str:
        return f"{self.size} processes on {self.device}" if self.size > 1 else str(self.device)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def told(self, values: Sequence[float]) -> list[float]:
        """The ``values`` of rank 0, on every rank."""
        if self.size == 1:
            return list(values)
        message = torch.tensor(values, dtype=torch.float64)
        dist.broadcast(message, src=0, group=self.hosts)
        return message.tolist()

    def total(self, values: Sequence[float]) -> list[float]:
        """Sums of ``values`` over all ranks, on every rank."""
        if self.size == 1:
            return list(values)
        message = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(message, group=self.hosts)
        return message.tolist()

    def wait(self) -> None:
        """Until every rank is here."""
        if self.size > 1:
            dist.barrier(group=self.hosts)

    def share(self, x: Tensor) -> Tensor:
        """The part (N / size, ...) of ``x`` (N, ...) that this rank works on."""
        return x.chunk(self.size)[self.rank]

    def wrap(self, model: nn.Module) -> nn.Module:
        """``model`` with averaged gradients; the parameters and buffers become rank 0's."""
        if self.size == 1:
            return model
        devices = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(
            model, device_ids=devices, gradient_as_bucket_view=True
        )


@contextmanager
def join_world(device: torch.device) -> Iterator[World]:
    """Join the processes that torchrun started, or be alone.

    Args:
        device: what was asked for; with several GPUs each process takes the one of its number.

    Raises:
        ValueError: more processes on this machine than it has GPUs; one sentence.
        UserError: another process was lost, so that this one cannot go on.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World(device)
        return
    if device.type == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            gpus = torch.cuda.device_count()
            raise ValueError(f"More processes were started than there are GPUs ({gpus}).")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        hosts = dist.new_group(backend="gloo", timeout=_PATIENCE)
        yield World(device, dist.get_rank(), dist.get_world_size(), hosts)
    except RuntimeError as error:
        if not _is_of_a_lost_peer(error):
            raise
        raise UserError(
            "Another process of this run was lost, so this one ends as well; the same command "
            "goes on from the last checkpoint."
        ) from error
    finally:
        dist.destroy_process_group()


def _is_of_a_lost_peer(error: RuntimeError) -> bool:
    """Whether a collective failed because the other side is gone; gloo has no class for that."""
    if isinstance(error, dist.DistError):
        return True
    text = str(error).lower()
    return "gloo" in text or any(f"connection {end}" in text for end in ("closed", "reset"))
