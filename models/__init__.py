"""The flow: pure PyTorch, tensors in and tensors out.

>>> model = load(pretrained_path())
>>> z, log_det = model.f(bin_centers(pictures))  # (N, 3, 64, 64) uint8 -> codes
>>> to_levels(model.g(z))  # the very same pictures
>>> z, _, seen = model.f_with_range(bin_centers(pictures))
>>> model.g(z.mean(0, keepdim=True), seen.merged().widened(0.25))  # in between, nothing bursts
"""

from models.checkpoint import CheckpointError, load, pretrained_path, save
from models.coarse import coarse_part, entering, put_back
from models.config import PRESETS, GlowConfig
from models.glow import Glow, bits_per_dim
from models.grow import add_attention, add_detail_level, grow, put_on_base
from models.networks import NETS
from models.parts import bits_by_part
from models.quantize import bin_centers, dequantize, to_levels
from models.state_range import StateRange, usual_range

__all__ = [
    "NETS",
    "PRESETS",
    "CheckpointError",
    "Glow",
    "GlowConfig",
    "StateRange",
    "add_attention",
    "add_detail_level",
    "bin_centers",
    "bits_by_part",
    "bits_per_dim",
    "coarse_part",
    "dequantize",
    "entering",
    "grow",
    "load",
    "pretrained_path",
    "put_back",
    "put_on_base",
    "save",
    "to_levels",
    "usual_range",
]
