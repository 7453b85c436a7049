"""The same work on many things, shared out among processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from glow_app.common.errors import UserError

__all__ = ["cores", "spread"]

Job = TypeVar("Job")
Result = TypeVar("Result")

_AHEAD = 8  # jobs a worker that are handed out before their results are taken


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spread(work: Callable[[Job], Result], jobs: Iterable[Job], workers: int) -> Iterator[Result]:
    """`map(work, jobs)` in that many processes, each on one core; the results keep their order.

    With one worker it is done here. Workers end with this process, however it ends, and finish
    what they are at when it is told to stop.

    Args:
        work: a function of a module; it, the jobs and the results are pickled.

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
