"""The multiscale flow (Kingma & Dhariwal 2018, Glow; multiscale after Dinh et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.config import GlowConfig
from models.layout import by_channels, join_channels
from models.levels import detail_level, level_steps, split_prior
from models.networks import Net
from models.numerics import exact_float32
from models.prior import TopPrior, log_normal
from models.squeeze import Squeeze
from models.state_range import RangeRecorder, StateRange
from models.steps import FlowSteps

__all__ = ["Glow", "bits_per_dim"]

# Photos have codes within 8 deviations; white noise and worse are far beyond this many, where the
# flow is so steep that even float32 rounding inside the nets moves a pixel by a level.
_WILD = 30.0
_CENTRE = 0.5  # images in [0, 1] enter the flow as [-0.5, 0.5): a shift costs no log_det


def bits_per_dim(log_prob: Tensor, dims: int, n_bits: int = 8) -> Tensor:
    """Bits that the model needs for one channel of one pixel; lower is better.

    ``log_prob`` (N,) in nats is the density on [0, 1]^dims of dequantised images. The bins are
    2^-n_bits wide, hence n_bits - log_prob / (dims ln 2) (Theis et al. 2016, section 3.1). No
    model can code uniform noise in fewer than ``n_bits``.
    """
    return n_bits - log_prob / (dims * math.log(2.0))


class Glow(nn.Module):
    r"""An invertible map between images x and codes z with z ~ N(0, I) under the model.

    :math:`\log p(x) = \log N(f(x); 0, I) + \log|\det \partial f / \partial x|`, where each of L
    levels squeezes, runs its steps of flow, and lets half of the channels leave, whitened by
    their conditional prior; the last level is whitened by the top prior. Detail levels come
    first: each halves the image to its means and codes what they leave out, given them, so that
    the flow behind is that of an image of half the size.

    Args:
        config: the shape of the model, kept as ``Glow.config``.

    Attributes:
        facts: what is known about the weights (training data, bits/dim, ...), saved and
            loaded with them.
        usual_range: what states inside the flow usually are, see
            :func:`models.usual_range`; (1, K) on the CPU, or None where nobody has looked.
            Saved and loaded with the weights, and no part of the state dict.
    """

    def __init__(self, config: GlowConfig) -> None:
        super().__init__()
        self.config = config
        self.facts: dict[str, Any] = {}
        self._usual_range: StateRange | None = None
        shapes = config.shapes()
        behind = range(config.details, config.levels)
        self.details = nn.ModuleList(detail_level(config, i) for i in range(config.details))
        self.squeeze = Squeeze() if config.squeeze else None
        self.levels = nn.ModuleList(level_steps(config, i) for i in behind)
        self.splits = nn.ModuleList(split_prior(config, i) for i in behind[:-1])
        self.top = TopPrior(shapes[-1][0])
        self.to(memory_format=torch.channels_last)  # 1.5x faster convolutions on a CPU

    @property
    def dims(self) -> int:
        """Numbers in one image, 3 H W, and in its code."""
        return self.config.dims

    @property
    def chains(self) -> list[FlowSteps]:
        """The steps of every level, finest first."""
        return [*(detail.steps for detail in self.details), *self.levels]

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

        z is (N, C*H*W) float32, all of the code, finest level first, and N(0, I) under the
        model. ``log_det`` is (N,), in nats. For a photo give bin centres, (level + 0.5) / 256,
        see :func:`models.bin_centers`: then the same photo always has the same z. In evaluation
        mode :meth:`g` gives any such picture back exactly, with gradients or without; training
        computes in float32, which is not enough for that. Of a float64 ``x``, z and ``log_det``
        are float64: a picture hundreds of deviations out, which only noise is, may need that.
        """
        self._check_images(x)
        z, log_det = self._f(x)
        wild = self._wild(z)
        if wild is not None:
            z[wild], log_det[wild] = self._in_float64()._f(x[wild])
        return z, log_det

    def g(self, z: Tensor, within: StateRange | None = None) -> Tensor:
        """Generation direction, the inverse of :meth:`f`: z (N, C*H*W) to x (N, C, H, W).

        x may leave [0, 1] for codes that no photo has; :func:`models.to_levels` clamps. It is
        float64 for a float64 z, else float32.

        Args:
            within: hold the state there before each step is undone: N rows, one for each code,
                or one for all. A picture's code, decoded within its own range or a wider one,
                gives the same 8-bit picture as without.
        """
        if within is not None:
            self._check_range(within, rows=len(z))
            within = within.to(z.device)
        x = self._g(z, within)
        wild = self._wild(z)
        if wild is not None:
            if within is not None and len(within) > 1:
                within = within[wild]
            x[wild] = self._in_float64()._g(z[wild], within)
        return x

    def f_with_range(self, x: Tensor) -> tuple[Tensor, Tensor, StateRange]:
        """:meth:`f`, and the extremes of each image's states, (N, K), for ``within`` of :meth:`g`.

        Stores activations in training, also where it is reversible.
        """
        self._check_images(x)
        recorder = RangeRecorder()
        z, log_det = self._f(x, recorder)
        seen = recorder.seen()
        wild = self._wild(z)
        if wild is not None:
            recorder = RangeRecorder()
            z[wild], log_det[wild] = self._in_float64()._f(x[wild], recorder)
            seen.low[wild], seen.high[wild] = recorder.seen().low, recorder.seen().high
        return z, log_det, seen

    def _f(self, x: Tensor, watch: RangeRecorder | None = None) -> tuple[Tensor, Tensor]:
        with exact_float32(x.device):
            h = x.to(self._dtype()) - _CENTRE
            log_det = h.new_zeros(h.shape[0])
            codes = []
            for level in range(self.config.levels):
                h, level_log_det = self._through(level, h, watch)
                log_det = log_det + level_log_det
                kept = self._kept(level)
                codes.append(h[:, kept:])
                h = h[:, :kept]
            out = _precision(x)
            return self.join_levels(codes).to(out), log_det.to(out)

    def _through(
        self, level: int, h: Tensor, watch: RangeRecorder | None
    ) -> tuple[Tensor, Tensor]:
        """One level: ``(h, log_det)``, the channels that go on and then those that leave."""
        if level < self.config.details:
            return self.details[level](h, watch)
        level -= self.config.details
        h, steps_log_det = self.levels[level](self._enter_level(h), watch)
        leaves = self.splits[level] if level < len(self.splits) else self.top
        h, leaves_log_det = leaves(h)
        return h, steps_log_det + leaves_log_det

    def _back(self, level: int, h: Tensor, held: tuple[Tensor, Tensor] | None) -> Tensor:
        """Undo :meth:`_through`, with states held in a range."""
        if level < self.config.details:
            return self.details[level].inverse(h, held)
        level -= self.config.details
        leaves = self.splits[level] if level < len(self.splits) else self.top
        return self._leave_level(self.levels[level].inverse(leaves.inverse(h), held))

    def _g(self, z: Tensor, within: StateRange | None = None) -> Tensor:
        with exact_float32(z.device):
            codes = self.split_levels(z.to(self._dtype()))
            held = None if within is None else within.by_level(self.config, like=codes[0])
            h = codes[-1][:, :0]
            for level in reversed(range(self.config.levels)):
                h = join_channels(h, codes[level])
                h = self._back(level, h, None if held is None else held[level])
            return (h + _CENTRE).to(_precision(z))

    # ------------------------------------------------------------------ likelihood and samples

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density (N,) in nats of ``x`` (N, C, H, W) on [0, 1]^D."""
        z, log_det = self.f(x)
        return log_normal(z) + log_det

    def log_prob_by_part(self, x: Tensor) -> Tensor:
        r"""Log-densities (N, details + 1) in nats of the parts of ``x``, finest first.

        Each detail level's is that of its orthonormal details given their means; the last is that
        of the means as an image of its own, on [0, 1]^D. With d detail levels,
        :math:`\log p(x) = \sum_i \mathrm{parts}_i - \ln 2 \sum_{i \le d} D_i`, where
        :math:`D_i` is the number of means behind level i: a mean is half of an orthonormal
        coefficient.
        """
        self._check_images(x)
        h, parts = x.to(self._dtype()) - _CENTRE, []
        with exact_float32(x.device):
            for detail in self.details:
                h, details, _ = detail.part(h)
                parts.append(detail.log_prob(h, details))
            codes, log_det = [], h.new_zeros(h.shape[0])
            for level in range(self.config.details, self.config.levels):
                h, level_log_det = self._through(level, h, None)
                log_det = log_det + level_log_det
                codes.append(h[:, self._kept(level) :])
                h = h[:, : self._kept(level)]
            parts.append(log_normal(self.join_levels(codes)) + log_det)
        return torch.stack(parts, dim=1).float()

    def detail_log_prob(self, x: Tensor) -> Tensor:
        """log p(details | means) (N,) of the finest level, in nats, of orthonormal details.

        ``x`` (N, C, H, W) may be crops of images of this model, of any size that 4 divides.
        """
        with exact_float32(x.device):
            means, details, _ = self.details[0].part(x.to(self._dtype()) - _CENTRE)
            return self.details[0].log_prob(means, details).float()

    def forward(self, x: Tensor) -> Tensor:
        """:meth:`log_prob`, so that DistributedDataParallel sees every gradient."""
        return self.log_prob(x)

    @torch.no_grad()
    def sample(
        self, n: int, temperature: float = 0.7, generator: torch.Generator | None = None
    ) -> Tensor:
        """``n`` images (n, C, H, W) from the prior, z ~ N(0, temperature^2 I).

        Values may lie outside [0, 1]. The noise is drawn on the generator's device (the CPU
        without one), so a seed gives the same faces on every device.
        """
        device = self.top.mean.device
        source = generator.device if generator is not None else torch.device("cpu")
        z = torch.randn(n, self.dims, generator=generator, device=source)
        return self.g(z.to(device) * temperature)

    # ------------------------------------------------------------------ z by levels

    def split_levels(self, z: Tensor) -> list[Tensor]:
        """Views of z (N, D), one (N, C_l, H_l, W_l) for each level, finest first."""
        if z.ndim != 2 or z.shape[1] != self.dims:
            raise ValueError(f"A code has shape (N, {self.dims}), not {tuple(z.shape)}.")
        shapes = self.config.code_shapes()
        parts = z.split([math.prod(shape) for shape in shapes], dim=1)
        return [part.view(-1, *s) for part, s in zip(parts, shapes, strict=True)]

    def join_levels(self, levels: Sequence[Tensor]) -> Tensor:
        """The inverse of :meth:`split_levels`: z (N, D)."""
        return torch.cat([level.flatten(1) for level in levels], dim=1)

    # ------------------------------------------------------------------ set-up

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Data-dependent initialisation from images ``x`` (N, C, H, W) in [0, 1].

        Actnorms get zero mean and unit variance (Glow, section 3.1), and the first 1x1
        convolution of each level starts on the principal axes of its input. Give at least 256
        images, once, before the model is compiled or wrapped. Layers that have been initialised
        or loaded are left alone.
        """
        self._check_images(x)
        with exact_float32(x.device):
            h = x.float() - _CENTRE
            for detail in self.details:
                h = detail.initialize(h)
            for level, steps in enumerate(self.levels, self.config.details):
                h = self._enter_level(h)
                for i, step in enumerate(steps):
                    h = step.initialize(h, principal_axes=i == 0 and len(steps) > 1)
                h = h[:, : self._kept(level)]

    @property
    def parameter_count(self) -> int:
        """How many numbers are learned."""
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
        for steps in self.chains:
            steps.reversible = reversible

    def compile_couplings(self) -> None:
        """Compile what training spends its time on by ``torch.compile``, in place.

        One module for each step, so that the steps of a level share one graph. The names in
        the state dict stay. Call it last, after :meth:`set_reversible`.
        """
        for steps in self.chains:
            for step in steps:
                (step.coupling.net if steps.reversible else step.coupling).compile()

    # ------------------------------------------------------------------ inside

    def _dtype(self) -> torch.dtype:
        """Of the flow's state: float32 in training, float64 when encoding and decoding.

        The nets, which take nearly all of the time, stay float32. What float64 buys is that
        rounding on the way never adds to that of z itself.
        """
        return torch.float32 if self.training else torch.float64

    def _wild(self, z: Tensor) -> Tensor | None:
        """(N,) bool: codes so far out that rounding inside the nets would show; None: none are.

        Not asked in training, where the answer would make the host wait for the device.
        """
        if self.training or len(z) == 0:
            return None
        wild = z.detach().abs().amax(dim=1) > _WILD
        return wild if wild.any() else None

    def _in_float64(self) -> Glow:
        """This model with its nets in float64 too: several times slower, for a few wild codes.

        Its tensors are made of this model's, so that gradients reach the parameters of this one.
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

    def _enter_level(self, h: Tensor) -> Tensor:
        if self.squeeze is not None:
            h, _ = self.squeeze(h)
        return by_channels(h)

    def _leave_level(self, h: Tensor) -> Tensor:
        return h if self.squeeze is None else self.squeeze.inverse(h)

    def _kept(self, level: int) -> int:
        """Channels that go on from ``level`` to the next one; the first ones are kept."""
        if level < self.config.details:
            return self.config.channels
        channels = self.config.shapes()[level][0]
        return channels // 2 if level < self.config.levels - 1 else 0

    def _check_range(self, within: StateRange, rows: int) -> None:
        k = sum(self.config.state_channels())
        if within.low.shape[1] != k or len(within) not in (1, rows):
            one = "1" if rows == 1 else f"{rows} or 1"
            raise ValueError(
                f"A range of states has shape ({one}, {k}), not {tuple(within.low.shape)}."
            )

    def _check_images(self, x: Tensor) -> None:
        channels, side = self.config.channels, self.config.image_size
        if x.ndim != 4 or tuple(x.shape[1:]) != (channels, side, side):
            raise ValueError(
                f"Images have shape (N, {channels}, {side}, {side}), not {tuple(x.shape)}."
            )


def _precision(given: Tensor) -> torch.dtype:
    """Of what comes out: float32, unless float64 went in."""
    return torch.float64 if given.dtype == torch.float64 else torch.float32
