"""torchvision beside a CPU-only torch.

PyPI's Linux build of torchvision needs CUDA libraries that a CPU build of torch does not have;
its compiled part then fails to load and ``import torchvision`` stops at two missing operators.
Declaring them lets everything in Python work (datasets, transforms, utils). Never call
``torchvision.io`` or ``ops.nms`` in this project: those do need the compiled part.
"""

from __future__ import annotations

from types import ModuleType

import torch

__all__ = ["import_torchvision"]

_declared: torch.library.Library | None = None  # the declarations live as long as this does


def import_torchvision() -> ModuleType:
    """``import torchvision``, with the missing operators declared only where that is needed."""
    global _declared
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _declared = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            _declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision
    return torchvision
