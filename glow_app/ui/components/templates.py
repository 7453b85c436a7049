"""What the components' scripts and templates share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from glow_app.ui import full_frames, limits
from glow_app.ui.assets import asset
from glow_app.ui.jobs import Jobs

__all__ = ["job_function", "options", "script", "size_options"]

_DOWNLOAD_SIZES = (128, 256, 512, limits.MAX_SIZE)  # pixels


_LIMITS = {  # what scripts know as LIMITS
    "upload_mb": limits.MAX_UPLOAD_MB,
    "faces": limits.MAX_FACES,
    "average": limits.MAX_AVERAGE,
    "clipped": limits.CLIPPED,
    "pull": full_frames.MOST_FRAMES,
    "full_sizes": full_frames.SIZES,
}


def script(*names: str, **fields: str) -> str:
    """The script of a component: what all share, then its own.

    Args:
        names: of files in this folder, or paths below ``glow_app/ui``.
    """
    own = (name if "/" in name else f"components/{name}" for name in names)
    kit = asset("components/kit.js", limits=json.dumps(_LIMITS))
    return "\n".join((kit, *(asset(name, **fields) for name in own)))


def job_function(jobs: Jobs) -> Callable[[Any], dict[str, int] | None]:
    """What long_work.js calls as ``server.job``."""

    def job(question: Any) -> dict[str, int] | None:
        return jobs.look(question)

    return job


def size_options(native: int) -> str:
    """Options for the size of a download; pictures of the model have ``native`` pixels a side.

    What size photos have themselves shows only once there are some; the script adds that.
    """
    sizes = [native, *(size for size in _DOWNLOAD_SIZES if size > native)]
    return options(sizes, min(max(native, 256), sizes[-1]))


def options(numbers: Iterable[int], chosen: int) -> str:
    """Options of an HTML select."""
    return "".join(
        f"<option{' selected' if number == chosen else ''}>{number}</option>" for number in numbers
    )
