"""Which device, and which precision for the nets in training."""

from __future__ import annotations

import torch

__all__ = ["pick_device", "pick_precision"]


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
