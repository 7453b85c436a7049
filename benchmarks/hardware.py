"""What a measurement was made on and with."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

import torch

__all__ = ["hardware", "version_of"]


def hardware(device: torch.device) -> dict[str, str | int]:
    """Device, processor, threads and versions, for a report."""
    facts: dict[str, str | int] = {
        "device": str(device),
        "cpu": _cpu_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
        facts["cuda"] = torch.version.cuda or ""
    return facts


def version_of(package: str) -> str | None:
    """Version of an installed package, None where it is missing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
