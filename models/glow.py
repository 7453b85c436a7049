"""The multiscale flow (Kingma & Dhariwal 2018, Glow; multiscale after Dinh et al. 2017), and flows
made of trained ones: more steps, or a detail level on another base.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from models.config import GlowConfig
from models.layers import exact_float32, join_channels, log_normal
from models.levels import DetailLevel, Level, make_levels
from models.nets import Net
from models.ranges import RangeRecorder, StateRange
from models.steps import FlowStep

# Photos have codes within 8 deviations; white noise and worse are far beyond this many, where the
# flow is so steep that even float32 rounding inside the nets moves a pixel by a level.
_OUTLIER = 30.0

#: Images in [0, 1] enter the flow as [-0.5, 0.5): a shift costs no log-determinant.
CENTRE = 0.5


class Glow(nn.Module):
    r"""An invertible map between images x and codes z with z ~ N(0, I) under the model.

    :math:`\log p(x) = \log N(f(x); 0, I) + \log|\det \partial f / \partial x|`, where each of L
    levels squeezes, runs its steps of flow, and lets half of the channels leave, whitened by
    their conditional prior; the last level is whitened by the top prior. Detail levels come
    first: each halves the image to its means and codes what they leave out, given them, so that
    the flow behind is that of an image of half the size.

    The state dict has the names and the order of the files on disk, which group the tensors by
    kind (``details``, ``levels``, ``splits``, ``top``) and not by level.

    Attributes:
        levels: a :class:`DetailLevel` or :class:`Level` for each scale, finest first.
        facts: about the weights (training data, bits/dim, ...), saved with them.
        usual_range: the :func:`models.usual_range` of states, (1, K) on the CPU; None if it was
            not measured. Saved with the weights, and not part of the state dict.
    """

    levels: Sequence[Level | DetailLevel]

    def __init__(self, config: GlowConfig) -> None:
        super().__init__()
        self.config = config
        self.facts: dict[str, Any] = {}
        self._usual_range: StateRange | None = None
        self.levels = cast("Sequence[Level | DetailLevel]", nn.ModuleList(make_levels(config)))
        self.register_state_dict_post_hook(_to_names_on_disk)
        self.register_load_state_dict_pre_hook(_from_names_on_disk)
        # Convolutions are 1.5x faster on a CPU.
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @property
    def dims(self) -> int:
        """Number of values in one image, C H W, and in its code."""
        return self.config.dims

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def usual_range(self) -> StateRange | None:
        return self._usual_range

    @usual_range.setter
    def usual_range(self, usual: StateRange | None) -> None:
        if usual is not None:
            self._check_range(usual, rows=1)
            usual = usual.to("cpu")
        self._usual_range = usual

    # ------------------------------------------------------------------ f and g, side by side

    def f(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Flow direction: images ``x`` (N, C, H, W) in [0, 1] to ``(z, log_det)``.

        z is (N, C*H*W), all of the code, finest level first, and N(0, I) under the model;
        ``log_det`` is (N,), in nats. Both are float64 for a float64 ``x``, which noise hundreds of
        deviations out may need, else float32. Of bin centres, see :func:`models.bin_centers`,
        :meth:`g` gives any picture back exactly in evaluation mode; training computes in float32,
        which is not enough for that.
        """
        z, log_det = self._f(x)
        outliers = self._outliers(z)
        if outliers is not None:
            z[outliers], log_det[outliers] = self._in_float64()._f(x[outliers])
        return z, log_det

    def g(self, z: Tensor, within: StateRange | None = None) -> Tensor:
        """Generation direction, the inverse of :meth:`f`: z (N, C*H*W) to x (N, C, H, W).

        x is float64 for a float64 z, else float32, and may leave [0, 1]; :func:`models.to_levels`
        clamps it.

        Args:
            within: clamp the state to this range before each step is undone: N rows, one for
                each code, or one for all. A picture's code, decoded within its own range or a
                wider one, gives the same 8-bit picture as without.
        """
        if within is not None:
            self._check_range(within, rows=len(z))
            within = within.to(z.device)
        x = self._g(z, within)
        outliers = self._outliers(z)
        if outliers is not None:
            if within is not None and len(within) > 1:
                within = within[outliers]
            x[outliers] = self._in_float64()._g(z[outliers], within)
        return x

    def f_with_range(self, x: Tensor) -> tuple[Tensor, Tensor, StateRange]:
        """Return :meth:`f` and the range of each image's states, (N, K), for ``within`` of g."""
        recorder = RangeRecorder()
        z, log_det = self._f(x, recorder)
        seen = recorder.seen()
        outliers = self._outliers(z)
        if outliers is not None:
            recorder = RangeRecorder()
            z[outliers], log_det[outliers] = self._in_float64()._f(x[outliers], recorder)
            seen.low[outliers], seen.high[outliers] = recorder.seen().low, recorder.seen().high
        return z, log_det, seen

    def _f(self, x: Tensor, watch: RangeRecorder | None = None) -> tuple[Tensor, Tensor]:
        with exact_float32(x.device):
            codes, log_dets = zip(*self.encode_levels(x, watch), strict=True)
            out, log_det = _precision(x), sum(log_dets, start=x.new_zeros(()))
            return self.join_levels(codes).to(out), log_det.to(out)

    def encode_levels(
        self, x: Tensor, watch: RangeRecorder | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Go through the levels in the direction of f, and yield ``(code, log_det)`` of each.

        ``code`` is the part of z that leaves the level, (N, C, H, W), ``log_det`` is (N,). Call it
        within :func:`exact_float32`.
        """
        channels, side = self.config.channels, self.config.image_size
        if x.ndim != 4 or tuple(x.shape[1:]) != (channels, side, side):
            raise ValueError(
                f"Images have shape (N, {channels}, {side}, {side}), not {tuple(x.shape)}."
            )
        h = x.to(self._dtype()) - CENTRE
        for level in self.levels:
            h, log_det = level(h, watch)
            code, h = h[:, level.next_channels :], h[:, : level.next_channels]
            yield code, log_det

    def _g(self, z: Tensor, within: StateRange | None = None) -> Tensor:
        with exact_float32(z.device):
            codes = self.split_levels(z.to(self._dtype()))
            ranges = [None] * len(codes)
            if within is not None:
                ranges = within.by_level(self.config, like=codes[0])
            h = codes[-1][:, :0]
            for level, code, held in reversed(list(zip(self.levels, codes, ranges, strict=True))):
                h = level.inverse(join_channels(h, code), held)
            return (h + CENTRE).to(_precision(z))

    # ------------------------------------------------------------------ likelihood and samples

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-density (N,) in nats of ``x`` (N, C, H, W) on [0, 1]^D."""
        z, log_det = self.f(x)
        return log_normal(z) + log_det

    def detail_log_prob(self, x: Tensor) -> Tensor:
        """Return log p(details | means) (N,) of the finest level, in nats, of orthonormal details.

        ``x`` (N, C, H, W) may be crops of images of this model, of any size that 4 divides.

        Raises:
            ValueError: the finest level is no detail level.
        """
        finest = self.levels[0]
        if not isinstance(finest, DetailLevel):
            raise ValueError("The flow has no detail level.")
        with exact_float32(x.device):
            return finest.log_prob(x.to(self._dtype()) - CENTRE).float()

    def forward(self, x: Tensor) -> Tensor:
        """Return :meth:`log_prob`, so that DistributedDataParallel sees every gradient."""
        return self.log_prob(x)

    @torch.no_grad()
    def sample(
        self, n: int, temperature: float = 0.7, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw ``n`` images (n, C, H, W) from the prior, z ~ N(0, temperature^2 I).

        Noise is drawn on the generator's device (the CPU without one), so a seed gives the same
        images on every device.
        """
        source = generator.device if generator is not None else torch.device("cpu")
        z = torch.randn(n, self.dims, generator=generator, device=source)
        return self.g(z.to(self.device) * temperature)

    # ------------------------------------------------------------------ z by levels

    def split_levels(self, z: Tensor) -> list[Tensor]:
        """Split z (N, D) into views, one (N, C_l, H_l, W_l) for each level, finest first."""
        if z.ndim != 2 or z.shape[1] != self.dims:
            raise ValueError(f"A code has shape (N, {self.dims}), not {tuple(z.shape)}.")
        shapes = self.config.code_shapes()
        parts = z.split([math.prod(shape) for shape in shapes], dim=1)
        return [part.view(-1, *s) for part, s in zip(parts, shapes, strict=True)]

    def join_levels(self, levels: Sequence[Tensor]) -> Tensor:
        """Undo :meth:`split_levels`."""
        return torch.cat([level.flatten(1) for level in levels], dim=1)

    # ------------------------------------------------------------------ set-up

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Data-dependent initialisation from images ``x`` (N, C, H, W) in [0, 1].

        Outputs of actnorms get zero mean and unit variance (Glow, section 3.1), and the first 1x1
        convolution of each level starts on the principal axes of its input. Give at least 256
        images, before the model is compiled or wrapped. Layers that have been initialised or
        loaded are left alone.
        """
        with exact_float32(x.device):
            h = x.float() - CENTRE
            for level in self.levels:
                h = level.initialize(h)

    @property
    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def set_training_dtype(self, dtype: torch.dtype | None) -> None:
        """Let the insides of all nets run in ``dtype`` (bf16) while training; None: float32.

        Everything else in training stays float32; encoding and decoding are never touched.
        """
        for module in self.modules():
            if isinstance(module, Net):
                module.training_dtype = dtype

    def set_reversible(self, reversible: bool) -> None:
        """Train in memory that does not grow with the number of steps; see :class:`FlowSteps`."""
        for level in self.levels:
            level.steps.reversible = reversible

    def compile_couplings(self) -> None:
        """Compile the couplings by ``torch.compile``, in place; after :meth:`set_reversible`.

        One module for each step, so that the steps of a level share one graph. The names in
        the state dict stay.
        """
        for level in self.levels:
            for step in level.steps:
                (step.coupling.net if level.steps.reversible else step.coupling).compile()

    # ------------------------------------------------------------------ inside

    def _dtype(self) -> torch.dtype:
        """Return the dtype of states: float32 in training, float64 to encode and decode.

        The nets, which take nearly all of the time, stay float32.
        """
        return torch.float32 if self.training else torch.float64

    def _outliers(self, z: Tensor) -> Tensor | None:
        """Return which codes are so far out that rounding inside the nets would show, (N,) bool.

        None if none are, and in training, where the host would have to wait for the device.
        """
        if self.training or len(z) == 0:
            return None
        outliers = z.detach().abs().amax(dim=1) > _OUTLIER
        return outliers if outliers.any() else None

    def _in_float64(self) -> Glow:
        """Return this model with its nets in float64 too: several times slower, for outliers.

        Gradients reach the parameters of this model.
        """
        with torch.device("meta"):
            wide = Glow(self.config).eval()
        for module, own in zip(wide.modules(), self.modules(), strict=True):
            for name, parameter in own.named_parameters(recurse=False):
                delattr(module, name)  # a parameter would be a leaf, where gradients end
                setattr(module, name, parameter.double())
            for name, buffer in own.named_buffers(recurse=False):
                setattr(module, name, buffer.double() if buffer.is_floating_point() else buffer)
        return wide

    def _check_range(self, within: StateRange, rows: int) -> None:
        k = sum(self.config.state_channels())
        if within.low.shape[1] != k or len(within) not in (1, rows):
            one = "1" if rows == 1 else f"{rows} or 1"
            raise ValueError(
                f"A range of states has shape ({one}, {k}), not {tuple(within.low.shape)}."
            )


def _precision(given: Tensor) -> torch.dtype:
    """Return the dtype of results: float64 for a float64 input, else float32."""
    return torch.float64 if given.dtype == torch.float64 else torch.float32


# ---------------------------------------------------------------------- names on disk


def _names_on_disk(config: GlowConfig) -> list[tuple[str, str]]:
    """Return pairs of prefixes, in the model and on disk, in the order on disk."""
    d, last = config.details, config.levels - 1
    return [
        *((f"levels.{i}.", f"details.{i}.") for i in range(d)),
        *((f"levels.{i}.steps.", f"levels.{i - d}.") for i in range(d, last + 1)),
        *((f"levels.{i}.prior.", f"splits.{i - d}.") for i in range(d, last)),
        (f"levels.{last}.prior.", "top."),
    ]


def _to_names_on_disk(model: Glow, state: dict[str, Tensor], prefix: str, _: Any) -> None:
    _rename(state, prefix, _names_on_disk(model.config))


def _from_names_on_disk(model: Glow, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    _rename(state, prefix, [(disk, own) for own, disk in _names_on_disk(model.config)])


def _rename(state: dict[str, Tensor], prefix: str, pairs: list[tuple[str, str]]) -> None:
    renamed = {}
    for old, new in pairs:
        start = prefix + old
        for key in [key for key in state if key.startswith(start)]:
            renamed[prefix + new + key.removeprefix(start)] = state.pop(key)
    state.update(renamed)


# ---------------------------------------------------------------------- flows made of trained ones


@torch.no_grad()
def grow(model: Glow, steps: tuple[int, ...]) -> Glow:
    """Return a copy of ``model`` with more steps that computes the same f and g.

    (Chen et al. 2016, Net2Net.) The new steps are spread evenly among the old ones.

    Args:
        steps: number of steps of each level, finest first.

    Raises:
        ValueError: another number of levels, or fewer steps than there are; one sentence.
    """
    before = model.config.steps
    if len(steps) != len(before) or any(n < b for n, b in zip(steps, before, strict=False)):
        raise ValueError(f"A flow with {before} steps cannot grow to {tuple(steps)}.")
    grown = _new(model.config.replace(steps=tuple(steps)), model)
    for old_level, new_level in zip(model.levels, grown.levels, strict=True):
        state = old_level.state_dict()
        others = {name: value for name, value in state.items() if not name.startswith("steps.")}
        new_level.load_state_dict(others, strict=False)
        added, old_count = len(new_level.steps) - len(old_level.steps), len(old_level.steps)
        free = iter(new_level.steps)
        for i, old in enumerate(old_level.steps):
            here = (i + 1) * added // old_count - i * added // old_count
            _extend([next(free) for _ in range(here + 1)], old)
    grown.facts = dict(model.facts)
    return grown


def _extend(chain: list[FlowStep], old: FlowStep) -> None:
    """Make ``chain`` compute what ``old`` does; all but its last step are new.

    The first step takes over the mixing of ``old``, the last one its coupling. In between the
    channels are only permuted: first the halves change places, so that the first new coupling
    changes the half that the old one looks at.
    """
    chain[-1].load_state_dict(old.state_dict())
    if len(chain) == 1:
        return
    channels = len(old.actnorm.bias)
    eye = torch.eye(channels, dtype=torch.float64, device=old.actnorm.bias.device)
    permutation = eye.roll(channels // 2, dims=0)
    chain[0].actnorm.load_state_dict(old.actnorm.state_dict())
    chain[0].conv.set_weight(permutation @ old.conv.weight(torch.float64))
    for step in chain[1:-1]:
        shuffle = eye[torch.randperm(channels)]
        step.conv.set_weight(shuffle)
        permutation = shuffle @ permutation
    chain[-1].conv.set_weight(permutation.T)
    for step in chain[1:]:
        step.actnorm.bias.zero_()
        step.actnorm.log_scale.zero_()
        step.actnorm.initialized.fill_(True)


def add_detail_level(base: Glow, config: GlowConfig) -> Glow:
    """Return a flow of ``config`` whose levels behind the finest one are those of ``base``.

    The new detail level starts from its random weights.

    Raises:
        ValueError: ``base`` is no flow of the means that ``config`` leaves; one sentence.
    """
    if not config.details or config.behind_finest() != base.config:
        raise ValueError("Its configuration is not that of the flow behind the detail level.")
    model = _new(config, base)
    _copy(base.levels, model.levels[1:])
    return model


def put_on_base(model: Glow, base: Glow) -> Glow:
    """Return a copy of ``model`` on another ``base`` behind its finest detail level.

    Raises:
        ValueError: ``base`` is of another configuration than the flow behind it; one sentence.
    """
    moved = add_detail_level(base, model.config)
    _copy(model.levels[:1], moved.levels[:1])
    moved.facts = dict(model.facts)
    return moved.train(model.training)


def _new(config: GlowConfig, like: Glow) -> Glow:
    return Glow(config).to(like.device).train(like.training)


def _copy(source: Collection[nn.Module], target: Collection[nn.Module]) -> None:
    for old, new in zip(source, target, strict=True):
        new.load_state_dict(old.state_dict())
