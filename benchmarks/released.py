"""Latency of a checkpoint as the page uses it, and training speed on its architecture."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import Work, adamw_step, convolutions_of, flops_of, interleaved
from glow_app.editing.editor import Editor
from glow_app.faces.coding import resized, to_tensor
from glow_app.faces.face import Face
from glow_app.faces.landmarks import mean_shape
from models import Glow, bin_centers, bits_per_dim

_FIRST = 9  # frames that the page decodes first
_FULL = 512  # pixels a side


def measure_released(
    editor: Editor, precisions: list[str], batch: int, frames: int, repeats: int
) -> dict[str, Any]:
    """Return medians in seconds, and training in images/s. Faces of morphs are encoded already.

    Args:
        editor: the checkpoint on its device.
        precisions: to train in, "float32" first.
        batch: pictures a training step.
        frames: of one morph.
        repeats: timed turns of each piece of work.
    """
    flow, device = editor.model.flow, editor.model.device
    z = torch.randn(frames, flow.dims, generator=torch.Generator().manual_seed(0)) * 0.7
    pictures = editor.model.decode(z)
    a, b = _as_photo(pictures[0], editor), _as_photo(pictures[-1], editor, wide=0.95)
    morph = editor.morph_frames(a, b, frames)

    @torch.inference_mode()
    def in_this_thread() -> None:  # convolutions of the editor's other threads are not recorded
        for chunk in z.split(editor.model.batch):
            flow.g(chunk.to(device))

    @torch.inference_mode()
    def encode() -> None:  # past the editor's cache of codes
        flow.f(bin_centers(to_tensor(pictures).to(device), flow.config.n_bits))

    works: dict[str, Work] = {
        "decode_frames_s": lambda: editor.model.decode(z),
        "convolutions": convolutions_of(in_this_thread, device),
        "decode_one_frame_s": lambda: editor.model.decode(z[:1]),
        "encode_frames_s": encode,
        "morph_alone_s": lambda: editor.morph_frames(a, b, frames, alone=True),
        "morph_photos_s": lambda: editor.morph_frames(a, b, frames),
        "morph_photos_first_s": lambda: editor.morph_frames(a, b, _FIRST),
        "full_size_s": lambda: morph.enlarged(_FULL),
    }
    steps = {p: _training_step(flow, p, batch) for p in precisions}
    seconds = interleaved({**works, **steps}, repeats)
    one = z[:1].to(device)
    return {
        "checkpoint": editor.name,
        "parameters": flow.parameter_count,
        "gflop_per_frame": flops_of(torch.no_grad()(lambda: flow.g(one))) / 1e9,
        "frames": frames,
        **{name: seconds[name] for name in works if name.endswith("_s")},
        "decode_over_its_convolutions": seconds["decode_frames_s"] / seconds["convolutions"],
        "first_frames": _FIRST,
        "full_size": _FULL,
        "peak_memory_mb": _peak_memory(),
        "batch": batch,
        "train_images_per_s": {p: batch / seconds[p] for p in precisions},
    }


def _peak_memory() -> int | None:
    """Return the peak memory of this process in MB; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _as_photo(picture: np.ndarray, editor: Editor, wide: float = 1.0) -> Face:
    """Return a drawn face as if it came from a photo of 512 pixels.

    Its landmarks are those of the mean face, `wide` times as wide: a face finder might find none
    in what small or untrained weights draw, and the work is the same.
    """
    side = editor.image_size if editor.model.coding is None else editor.model.coding.size
    shape = mean_shape() * [wide, 1] + [(1 - wide) / 2, 0]
    full = resized(picture, _FULL)
    return Face(picture, resized(picture, side), faces=1, full=full, landmarks=shape)


def _training_step(released: Glow, precision: str, batch: int) -> Work:
    device, size = next(released.parameters()).device, released.config.image_size
    model = copy.deepcopy(released).train()
    model.set_training_dtype(torch.bfloat16 if precision == "bfloat16" else None)
    x = torch.rand(batch, 3, size, size, device=device)
    return adamw_step(model, lambda: bits_per_dim(model(x), model.dims).mean())
