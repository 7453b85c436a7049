"""Which device, and which precision for the nets in training."""

from __future__ import annotations

import ctypes
import sys

import torch

__all__ = ["keep_freed_memory", "pick_device", "pick_precision"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def pick_device(name: str = "auto") -> torch.device:
    """ "auto" (the GPU where there is one), "cpu" or "cuda" to a device.

    Raises:
        ValueError: CUDA was asked for and is not there; one sentence.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("This machine has no CUDA device that torch can use.")
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> str:
    """ "auto" to "bfloat16" where the hardware multiplies in it, "float32" elsewhere."""
    if name != "auto":
        return name
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.11 and later
        fast = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return "bfloat16" if fast else "float32"


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next tensor, instead of giving it back.

    By default glibc maps every large activation anew, and the kernel fills it with zeros first:
    about a tenth of training and a fifth of decoding on a CPU. Peak memory stays as it is; it
    is only held for longer. Does nothing where there is no glibc.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
