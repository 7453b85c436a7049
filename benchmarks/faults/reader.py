"""A process that reads pictures, so that those that hang or crash do it there; see `uploads`."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from glow_app.common.errors import UserError
from glow_app.faces.coding import Coding
from glow_app.faces.face import FULL, prepare

_SIZE = 128  # pixels, of the released model
_MOST_MEMORY = 8 * 2**30  # bytes of addresses, to protect the machine


def main() -> None:
    """Answer each line of stdin, a path as JSON, with a line of JSON from `read`."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries that print must not mix with the answers
    for line in sys.stdin:
        answers.write(json.dumps(read(Path(json.loads(line)))) + "\n")
        answers.flush()


def read(path: Path) -> dict[str, Any]:
    """Prepare one picture as the page does.

    Returns:
        outcome ("works", "refused" or "failed"), says (the refusal or the error), cpu_s, wall_s
        and peak_mib, the most memory of this process meanwhile.
    """
    _forget_peak()
    wall, cpu = time.monotonic(), time.process_time()
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
    return {
        "outcome": outcome,
        "says": says,
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.monotonic() - wall,
        "peak_mib": _peak_mib(),
    }


def _forget_peak() -> None:
    with suppress(OSError):  # elsewhere the peak is that since the start
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mib() -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
