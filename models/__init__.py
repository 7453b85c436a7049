"""The flow: pure PyTorch, tensors in and tensors out.

>>> model = load(pretrained_path())
>>> z, log_det = model.f(bin_centers(pictures))  # (N, 3, 64, 64) uint8 -> codes
>>> to_levels(model.g(z))  # the same pictures, exactly
>>> z, _, seen = model.f_with_range(bin_centers(pictures))
>>> model.g(z.mean(0, keepdim=True), seen.merged().widened(0.25))  # decoded safely
"""

from models.bits import bin_centers, bits_by_part, bits_per_dim, dequantize, to_levels
from models.checkpoint import CheckpointError, load, pretrained_path, save
from models.config import PRESETS, GlowConfig
from models.glow import Glow, add_detail_level, grow, put_on_base
from models.nets import NETS
from models.ranges import StateRange, usual_range

__all__ = [
    "NETS",
    "PRESETS",
    "CheckpointError",
    "Glow",
    "GlowConfig",
    "StateRange",
    "add_detail_level",
    "bin_centers",
    "bits_by_part",
    "bits_per_dim",
    "dequantize",
    "grow",
    "load",
    "pretrained_path",
    "put_on_base",
    "save",
    "to_levels",
    "usual_range",
]
