"""Where work runs: the GPU or the CPU, how many cores, in how many processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, TypeVar

from glow_app.common.errors import UserError

if TYPE_CHECKING:
    import torch

Job = TypeVar("Job")
Result = TypeVar("Result")

_AHEAD = 8  # jobs a worker that are handed out before their results are taken


def pick_device(name: str = "auto") -> torch.device:
    """Return the device ``name``: "cpu", "cuda", "cuda:1", or "auto" for a GPU where there is one.
    Raises UserError: there is no such device."""
    import torch  # not at the top: workers that need none of it begin sooner

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("This machine has no CUDA device that torch can use.")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"There is no device {name!r}: choose auto, cpu or cuda.") from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"Device {name!r} is not supported: choose auto, cpu or cuda.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"This machine has no device {name!r}: choose auto or cpu.")
    return device


def pick_precision(name: str, device: torch.device) -> str:
    """Return the precision of the nets in training, "float32" or "bfloat16"; ``name`` may also be
    "auto" for bfloat16 where the hardware multiplies in it."""
    if name != "auto":
        return name
    import torch

    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities()
        fast = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return "bfloat16" if fast else "float32"


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spread(work: Callable[[Job], Result], jobs: Iterable[Job], workers: int) -> Iterator[Result]:
    """Do `map(work, jobs)` in that many processes, each on one core; one is this process.

    Workers end with this process, however it ends; after Ctrl-C they finish their present job.

    Args:
        work: a function at the top of a module; it, the jobs and the results are pickled.

    Yields:
        the results, in the order of the jobs.

    Raises:
        UserError: a worker was killed, usually for want of memory.
        what `work` raises: from the first job that does, after which no other is begun.
    """
    if workers <= 1:
        yield from map(work, jobs)
        return
    # Not forked: the libraries that find faces run threads of their own.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)
    waiting: deque[Future[Result]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(work, job))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(
            "A worker was killed, perhaps for want of memory: try again with fewer --workers."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """In a new worker: leave Ctrl-C to the parent, end with it, and keep to one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        os.environ.setdefault(name, "1")
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
