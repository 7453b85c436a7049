"""Our flow against that of `normflows`, built alike, and against our convolutions alone.

Memory of a training step is measured in a process of its own.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import metadata
from multiprocessing import get_context
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measuring import (
    Work,
    adamw_step,
    convolutions_of,
    flops_of,
    interleaved,
    peak_bytes,
    seconds_of,
)
from glow_app.training.optimization import Objective, graphed
from models import PRESETS, Glow, GlowConfig, bits_per_dim

_MISSING = "normflows is not installed: pip install --no-deps -r requirements-benchmark.txt"
_ALONE = "convolutions"
_INIT_IMAGES = 256  # for the actnorms
_TOO_MUCH = ("out of memory", "can't allocate memory")  # messages of torch on GPU and CPU


# ------------------------------------------------------------------------------------------- flows


@dataclass(frozen=True)
class Workload:
    """The architecture and the batch of a comparison: the `paper` preset, scaled down."""

    steps: int  # of flow in each level, K
    levels: int  # L
    width: int  # channels inside the coupling nets
    image_size: int = 32  # height and width of the pictures
    batch: int = 32  # pictures a training step

    def config(self) -> GlowConfig:
        """Return our configuration; split priors are the published single convolution."""
        return PRESETS["paper"].replace(
            image_size=self.image_size,
            steps=(self.steps,) * self.levels,
            widths=(self.width,) * self.levels,
            blocks=(0,) * self.levels,
            prior_width=0,
        )

    def pictures(self, n: int, device: torch.device) -> Tensor:
        """Return random pictures (n, 3, S, S) in [0, 1), the same ones each time."""
        generator = torch.Generator().manual_seed(0)
        return torch.rand(n, 3, self.image_size, self.image_size, generator=generator).to(device)


class Flow:
    """A flow to be measured, with its actnorms initialised from data.

    Subclasses add `loss(x)`, the mean negative log-likelihood up to scale and shift, `encode(x)`
    and `decode(z)`.
    """

    name: str
    model: nn.Module

    def for_training(self, precision: str) -> Flow:
        """Return a copy that trains in "float32" or "bfloat16" in the way meant for this flow."""
        other = copy.deepcopy(self)
        other.model.train()
        return other

    def training_step(self, x: Tensor) -> Work:
        """Return a step of AdamW on the pictures ``x``."""
        return adamw_step(self.model, lambda: self.loss(x))

    def encoding(self, x: Tensor) -> Work:
        """Return work that encodes the pictures ``x``."""
        return torch.no_grad()(lambda: self.encode(x))

    def decoding(self, x: Tensor) -> Work:
        """Return work that decodes the codes of the pictures ``x``."""
        z = self.encoding(x)()
        return torch.no_grad()(lambda: self.decode(z))


class OurGlow(Flow):
    """`models.Glow`; with "bfloat16" its coupling nets alone compute in it."""

    name = "ours"
    model: Glow

    def __init__(self, workload: Workload, device: torch.device) -> None:
        self.model = Glow(workload.config()).to(device)
        self.model.initialize(workload.pictures(_INIT_IMAGES, device))
        self.model.eval()

    def loss(self, x: Tensor) -> Tensor:
        return bits_per_dim(self.model(x), self.model.dims).mean()

    def encode(self, x: Tensor) -> Tensor:
        return self.model.f(x)[0]

    def decode(self, z: Tensor) -> Tensor:
        return self.model.g(z)

    def for_training(self, precision: str, compiled: bool = False) -> OurGlow:
        """As `Flow.for_training`; ``compiled``: with the couplings compiled, as in train.py."""
        other = super().for_training(precision)
        other.model.set_training_dtype(torch.bfloat16 if precision == "bfloat16" else None)
        if compiled:
            other.model.compile_couplings()
        return other

    def captured_step(self, x: Tensor) -> Work:
        """Return `training_step` with forward and backward replayed as CUDA graphs."""
        objective = graphed(Objective(self.model), x)
        return adamw_step(self.model, lambda: objective(x).mean())


class NormflowsGlow(Flow):
    """The multiscale Glow of `normflows` (Stimper et al. 2023), built as in its own example.

    With "bfloat16" it trains under autocast and channels last, the best that a user gets without
    changing its code. Raises ImportError where normflows is not installed.
    """

    name = "normflows"

    def __init__(self, workload: Workload, device: torch.device) -> None:
        self.autocast: Callable[[], AbstractContextManager] = nullcontext
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated calls inside normflows
            self.model = self._model(workload).to(device)
        with torch.no_grad():  # the first pictures initialise its actnorms
            self.model.log_prob(workload.pictures(_INIT_IMAGES, device), None)
        self.model.to(device)  # flags that the initialisation made on the CPU

    def loss(self, x: Tensor) -> Tensor:
        with self.autocast():
            return self.model.forward_kld(x)

    def encode(self, x: Tensor) -> list[Tensor]:
        return self.model.inverse_and_log_det(x)[0]

    def decode(self, z: list[Tensor]) -> Tensor:
        return self.model.forward_and_log_det(z)[0]

    def for_training(self, precision: str) -> NormflowsGlow:
        other = super().for_training(precision)
        if precision == "bfloat16":
            device = next(other.model.parameters()).device.type
            other.autocast = lambda: torch.autocast(device, torch.bfloat16)
            other.model.to(memory_format=torch.channels_last)
        return other

    @staticmethod
    def _model(workload: Workload) -> nn.Module:
        """Build it from the coarse level to the fine one, the order that normflows takes."""
        import normflows as nf

        priors, merges, levels = [], [], []
        for shape in reversed(workload.config().shapes()):  # of what the steps of a level see
            blocks = [nf.flows.GlowBlock(shape[0], workload.width) for _ in range(workload.steps)]
            levels.append([*blocks, nf.flows.Squeeze()])
            if len(levels) > 1:
                merges.append(nf.flows.Merge())
                shape = (shape[0] // 2, *shape[1:])
            priors.append(nf.distributions.GlowBase(shape))
        return nf.MultiscaleFlow(priors, levels, merges, class_cond=False)


# ------------------------------------------------------------------------------------------- speed


def compare(
    workload: Workload,
    device: torch.device,
    precisions: list[str],
    frames: int,
    repeats: int,
    compiled: bool,
) -> dict[str, Any]:
    """Return all figures by flow, and ratios that are above 1 where ours is better.

    Args:
        workload: what both flows are built like.
        precisions: to train in, "float32" first.
        frames: pictures to encode and to decode.
        repeats: timed turns of each piece of work.
        compiled: also measure our training with its couplings compiled and, on a GPU, replayed as
            CUDA graphs, as train.py does by default. normflows trains through methods that
            `torch.compile` and graphs do not reach without changing its code.
    """
    ours = OurGlow(workload, device)
    flows: list[Flow] = [ours]
    results: dict[str, Any] = {
        **dataclasses.asdict(workload),
        "frames": frames,
        "normflows_version": None,
        "compile_s": None,
    }
    try:
        flows.append(NormflowsGlow(workload, device))
        results["normflows_version"] = metadata.version("normflows")
    except ImportError:
        results["normflows_missing"] = _MISSING

    x, some = (workload.pictures(n, device) for n in (workload.batch, frames))
    works: dict[tuple[str, str], Work] = {}  # by flow and piece of work; of training: how
    for precision in precisions:
        for flow in flows:
            works[flow.name, precision] = flow.for_training(precision).training_step(x)
        works[_ALONE, precision] = convolutions_of(works[ours.name, precision], device)
    if compiled:
        how = f"{precisions[-1]} compiled"
        step = ours.for_training(precisions[-1], compiled=True).training_step(x)
        results["compile_s"] = seconds_of(step) - seconds_of(step)
        works[ours.name, how] = step
        if device.type == "cuda":
            captured = ours.for_training(precisions[-1], compiled=True)
            works[ours.name, f"{how} graph"] = captured.captured_step(x)
    steps = list(works)
    for flow in flows:
        works[flow.name, "encode"] = flow.encoding(some)
        works[flow.name, "decode"] = flow.decoding(some)
    works[_ALONE, "decode"] = convolutions_of(works[ours.name, "decode"], device)
    seconds = interleaved(works, repeats)

    for flow in flows:
        learner = flow.for_training("float32")
        flops = flops_of(lambda learner=learner: learner.loss(x).backward())
        results[flow.name] = {
            "train_images_per_s": {
                how: workload.batch / seconds[name, how]
                for name, how in steps
                if name == flow.name
            },
            "train_gflop_per_image": flops / workload.batch / 1e9,
            "encode_s": seconds[flow.name, "encode"],
            "decode_s": seconds[flow.name, "decode"],
            "train_memory": {
                p: step_memory_apart(workload, str(device), p, type(flow)) for p in precisions
            },
        }
    names = {"decode": "decode", **{p: f"train_{p}" for p in precisions}}
    results["ratios"] = {
        f"{name}_over_its_convolutions": seconds[ours.name, what] / seconds[_ALONE, what]
        for what, name in names.items()
    }
    if len(flows) > 1:
        results["ratios"] |= _against(results[NormflowsGlow.name], results[ours.name])
    return results


def _against(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, float]:
    mine, other = ours["train_images_per_s"], theirs["train_images_per_s"]
    return {
        **{f"train_{how}": mine[how] / other[how] for how in other},
        # As each comes: our fastest against float32, the only way of normflows by itself.
        "train_as_used": max(mine.values()) / other["float32"],
        "train_best_of_each": max(mine.values()) / max(other.values()),
        **{what: theirs[f"{what}_s"] / ours[f"{what}_s"] for what in ("encode", "decode")},
    }


# ------------------------------------------------------------------------------------------ memory


def step_memory(
    workload: Workload,
    device: str,
    precision: str,
    kind: type[Flow] = OurGlow,
    reversible: bool = False,
) -> dict[str, Any]:
    """Measure a training step in this process; ``reversible`` (only ours) stores no activations.

    Returns:
        ``step_s`` in seconds; in MB ``parameters_mb``, ``peak_mb`` beyond parameters and optimiser
        state, and ``activations_mb`` beyond the gradients, too. The last is a little too low for
        plain training, which peaks before all gradients exist.
    """
    where = torch.device(device)
    trained = kind(workload, where).for_training(precision)
    model = trained.model
    if reversible:
        model.set_reversible(True)
    step = trained.training_step(workload.pictures(workload.batch, where))
    step()  # allocates the optimiser's state
    seconds = seconds_of(step)
    gradients = sum(p.grad.nbytes for p in model.parameters() if p.grad is not None)
    model.zero_grad(set_to_none=True)  # so that the step allocates them while it is measured
    peak = peak_bytes(step, where)
    return {
        "activations_mb": (peak - gradients) / 1e6,
        "peak_mb": peak / 1e6,
        "parameters_mb": sum(p.nbytes for p in model.parameters()) / 1e6,
        "step_s": seconds,
    }


def step_memory_apart(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return `step_memory` measured in a new process; on failure one sentence in ``error``."""
    with ProcessPoolExecutor(1, get_context("spawn"), _silence) as pool:
        try:
            return pool.submit(step_memory, *args, **kwargs).result()
        except Exception as error:
            # The kernel kills a process that asks for too much.
            killed = isinstance(error, BrokenProcessPool)
            if killed or any(words in str(error) for words in _TOO_MUCH):
                return {"error": "does not fit into memory"}
            return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}


def _silence() -> None:
    """Send stderr nowhere: the profiler prints notices."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def memory_curve(
    workload: Workload, device: str, precision: str, steps: Iterable[int]
) -> Iterator[dict[str, Any]]:
    """Yield `step_memory` for each number of steps of flow a level, plain and reversible."""
    for count in steps:
        shape = dataclasses.replace(workload, steps=count)
        for reversible in (False, True):
            measured = step_memory_apart(shape, device, precision, reversible=reversible)
            yield {"steps": count, "reversible": reversible, **measured}


def growth(curve: list[dict[str, Any]]) -> dict[str, float | None]:
    """Return activations at the most steps over those at the fewest, "plain" and "reversible"."""
    ratios = {}
    for name, reversible in (("plain", False), ("reversible", True)):
        kind = [m.get("activations_mb") for m in curve if m["reversible"] is reversible]
        ratios[name] = kind[-1] / kind[0] if kind[0] and kind[-1] else None
    return ratios
