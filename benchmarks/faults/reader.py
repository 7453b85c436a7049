"""Reads pictures in a process of its own, so that those that hang or crash do it there."""

from __future__ import annotations

import os
import resource
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from glow_app.common.errors import UserError
from glow_app.faces.coding import Coding
from glow_app.faces.face import FULL, prepare

_SIZE = 128  # pixels, of the released model
_MOST_MEMORY = 8 * 2**30  # bytes of addresses, to protect the machine


def begin() -> None:
    """Set up the process: a limit of memory, and nothing that libraries print."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def read(path: Path) -> dict[str, Any]:
    """Prepare one picture as the page does.

    Returns:
        outcome ("works", "refused" or "failed"), says (the refusal or the error), cpu_s and
        peak_mib, the most memory of this process meanwhile.
    """
    with suppress(OSError):  # elsewhere the peak is that since the start
        Path("/proc/self/clear_refs").write_text("5")
    began = time.process_time()
    try:
        made = prepare(path, _SIZE, "auto", Coding(), FULL)
        sound = made.pixels.shape == (_SIZE, _SIZE, 3) and str(made.pixels.dtype) == "uint8"
        outcome, says = ("works", "") if sound else ("failed", f"made {made.pixels.shape}")
    except UserError as error:
        says = str(error)
        sound = says.endswith(".") and says.isprintable() and len(says) < 300
        outcome = "refused" if sound else "failed"
    except Exception as error:
        outcome, says = "failed", repr(error)[:300]
    cpu_s = time.process_time() - began
    return {"outcome": outcome, "says": says, "cpu_s": cpu_s, "peak_mib": _peak_mib()}


def _peak_mib() -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
