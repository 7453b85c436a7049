"""The bijections that the flow is made of, and what they share: the contract :class:`Bijection`,
how states lie in memory, and the precision in which they are computed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.nets import Net

_SMALLEST_STD = 1e-4  # a channel that is constant over the first batch must not get scale 1/0
_PRIOR_BOUND = 3.0  # largest absolute log-deviation of a prior


class Bijection(nn.Module):
    r"""An invertible map :math:`y = f(x)` between tensors of the same number of elements.

    ``forward`` is the flow direction and also returns the log-determinant of its Jacobian;
    ``inverse`` is the generation direction and undoes it. Conditional bijections also take
    ``context``, features (N, C', H, W).
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Map ``x`` (N, C, H, W) to ``(y, log_det)``.

        ``log_det`` (N,) is the natural logarithm of :math:`|\det \partial y / \partial x|`. Both
        results have the dtype of ``x``: float32 in training, float64 to encode and decode.
        """
        raise NotImplementedError

    def inverse(self, y: Tensor) -> Tensor:
        """Map ``y`` back: ``inverse(forward(x)[0]) == x`` up to rounding."""
        raise NotImplementedError

    def _needs_gradients(self) -> bool:
        """Return whether intermediate results must be kept; else they may be overwritten."""
        return self.training or torch.is_grad_enabled()


# ---------------------------------------------------------------------- precision and memory


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """Compute in true float32 inside the block: no autocast, and no TF32 on CUDA.

    ``g(f(x))`` is exact only where the two directions round alike. TF32 alone costs a whole
    8-bit level of round trip in a Glow of 64 steps.
    """
    on_cuda = device.type == "cuda" and not torch.compiler.is_compiling()
    backends: list[Any] = [torch.backends.cudnn, torch.backends.cuda.matmul] if on_cuda else []
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = False
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def by_channels(x: Tensor) -> Tensor:
    """Return ``x`` (N, C, H, W) with memory in the order (C, N, H, W), copied only if needed.

    Layers take tensors of any layout; this one is the fastest: halves of the channels are
    contiguous, and a 1x1 convolution is one matrix product. The nets work in channels-last.
    """
    return x.transpose(0, 1).contiguous().transpose(0, 1)


def channels_matrix(x: Tensor) -> Tensor:
    """Return ``x`` (N, C, H, W) as a matrix (C, N*H*W): a view after :func:`by_channels`."""
    return x.transpose(0, 1).flatten(1)


def join_channels(first: Tensor, second: Tensor) -> Tensor:
    """Concatenate along the channels, by channels in memory as ``torch.cat(dim=1)`` would not."""
    return torch.cat([first.transpose(0, 1), second.transpose(0, 1)]).transpose(0, 1)


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first ``C // 2`` channels and the rest, both views."""
    half = x.shape[1] // 2
    return x[:, :half], x[:, half:]


# ---------------------------------------------------------------------- mixing of channels


class ActNorm(Bijection):
    r"""A learned shift and scale for each channel: :math:`y = (x + b) \cdot e^{s}`.

    Activation normalisation (Kingma & Dhariwal 2018, Glow, section 3.1). ``log_det`` is
    :math:`h w \sum_c s_c`. The map is the identity until :meth:`initialize` has seen data or
    trained weights are loaded; ``forward`` never changes parameters.
    """

    initialized: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))
        # A buffer, not an attribute: weights that were loaded must never be initialised again.
        self.register_buffer("initialized", torch.tensor(False))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Set shift and scale so that ``x`` leaves with mean 0 and variance 1 per channel.

        Does nothing the second time. Use at least 256 images.
        """
        if bool(self.initialized):
            return
        mean = x.double().mean(dim=(0, 2, 3))
        std = x.double().std(dim=(0, 2, 3), unbiased=False).clamp_min(_SMALLEST_STD)
        self.bias.copy_(-mean)
        self.log_scale.copy_(-std.log())
        self.initialized.fill_(True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_scale = self.log_scale.to(x.dtype)
        y = (x + self.bias.view(1, -1, 1, 1)) * log_scale.exp().view(1, -1, 1, 1)
        log_det = log_scale.sum() * (x.shape[2] * x.shape[3])
        return y, log_det.expand(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        scale = (-self.log_scale.to(y.dtype)).exp()
        return y * scale.view(1, -1, 1, 1) - self.bias.view(1, -1, 1, 1)


class InvertibleConv(Bijection):
    r"""Invertible 1x1 convolution: one learned matrix for all pixels, :math:`y_{ij} = W x_{ij}`.

    :math:`W = P L (U + \mathrm{diag}(\mathrm{sign}(s)\, e^{\log|s|}))` with a unit lower
    triangular L and a strictly upper triangular U (Glow, section 3.2, equation 10), so that
    :math:`\log|\det| = h w \sum \log|s|` costs nothing. The permutation P and the signs are
    buffers: they are discrete and do not learn. W starts as a random rotation.
    """

    permutation: Tensor
    sign_s: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lower = nn.Parameter(torch.zeros(channels, channels))
        self.upper = nn.Parameter(torch.zeros(channels, channels))
        self.log_abs_s = nn.Parameter(torch.zeros(channels))
        self.register_buffer("permutation", torch.eye(channels))
        self.register_buffer("sign_s", torch.ones(channels))
        self.set_weight(torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))[0])

    @torch.no_grad()
    def set_weight(self, weight: Tensor) -> None:
        """Take over an invertible matrix ``weight`` (C, C), by its LU decomposition in float64."""
        permutation, lower, upper = torch.linalg.lu(weight.double())
        s = upper.diagonal()
        self.permutation.copy_(permutation)
        self.sign_s.copy_(s.sign())
        self.log_abs_s.copy_(s.abs().log())
        self.lower.copy_(lower.tril(-1))
        self.upper.copy_(upper.triu(1))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Rotate onto the principal axes of the channels of ``x`` (N, C, H, W).

        There the pixels of a squeezed patch are uncorrelated, and white after the next actnorm:
        the flow starts as the best Gaussian of its patches.
        """
        values = x.double().transpose(0, 1).flatten(1)
        _, axes = torch.linalg.eigh(torch.cov(values))
        self.set_weight(axes.flip(1).T)

    def weight(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return W (C, C), assembled from its factors in ``dtype``."""
        factors = (self.permutation, self.lower, self.upper, self.sign_s, self.log_abs_s)
        return lu_product(*(factor.to(dtype) for factor in factors))

    def log_det(self, height: int, width: int) -> Tensor:
        """Scalar log-determinant of the map on images of ``height`` x ``width`` pixels."""
        return self.log_abs_s.sum() * (height * width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_det = self.log_det(*x.shape[2:]).to(x.dtype)
        return mix_channels(x, self.weight(x.dtype)), log_det.expand(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        # Inverted in float64: a float32 inverse would add its own error to every decoded image.
        return mix_channels(y, torch.linalg.inv(self.weight(torch.float64)).to(y.dtype))


def lu_product(
    permutation: Tensor, lower: Tensor, upper: Tensor, sign_s: Tensor, log_abs_s: Tensor
) -> Tensor:
    r"""Return W = P L (U + diag(s)), Glow equation 10, of one (C, C) or many (..., C, C) at once.
    Only the strict triangles of ``lower`` and ``upper`` count."""
    unit = torch.diag_embed(torch.ones_like(log_abs_s))
    s = torch.diag_embed(sign_s * log_abs_s.exp())
    return permutation @ (lower.tril(-1) + unit) @ (upper.triu(1) + s)


def mix_channels(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Apply ``weight`` (C_out, C) and ``bias`` (C_out,) at each pixel: a 1x1 convolution."""
    n, _, height, width = x.shape
    flat = channels_matrix(x)
    y = weight @ flat if bias is None else torch.addmm(bias.unsqueeze(1), weight, flat)
    return y.view(len(weight), n, height, width).transpose(0, 1)


@dataclass(frozen=True)
class Mixing:
    r"""Actnorm and 1x1 convolution folded into one map of each pixel, :math:`y = W x + b`.

    The way back is :math:`x = W^{-1} y - W^{-1} b`. :func:`fold` makes the mixings of K steps at
    once: all attributes then have a leading dimension K, until :meth:`unbind`.
    """

    weight: Tensor  # W, (C, C)
    bias: Tensor  # b, (C,)
    log_det: Tensor  # (), :math:`\log|\det W|`, for one pixel
    inverse_weight: Tensor | None = None  # :math:`W^{-1}`, or None before :meth:`inverted`
    inverse_bias: Tensor | None = None  # :math:`-W^{-1} b`, likewise

    def mix(self, x: Tensor) -> Tensor:
        """Map ``x`` (N, C, H, W) to y, in new memory."""
        return mix_channels(x, self.weight, self.bias)

    def unmix(self, y: Tensor) -> Tensor:
        """Undo :meth:`mix`; only after :meth:`inverted`."""
        assert self.inverse_weight is not None
        return mix_channels(y, self.inverse_weight, self.inverse_bias)

    def inverted(self) -> Mixing:
        """Return a copy with its inverse, made in float64: float32 would add its own error."""
        inverse = torch.linalg.inv(self.weight.double())
        shift = -(inverse @ self.bias.double().unsqueeze(-1)).squeeze(-1)
        dtype = self.weight.dtype
        return dataclasses.replace(
            self, inverse_weight=inverse.to(dtype), inverse_bias=shift.to(dtype)
        )

    def unbind(self) -> list[Mixing]:
        """Split the mixings of K steps into a list of K."""
        tensors = [getattr(self, f.name) for f in dataclasses.fields(self)]
        each = [[None] * len(self.weight) if t is None else t.unbind() for t in tensors]
        return [Mixing(*parts) for parts in zip(*each, strict=True)]


def fold(norms: Sequence[ActNorm], convs: Sequence[InvertibleConv], dtype: torch.dtype) -> Mixing:
    r"""Fold K actnorms and the 1x1 convolutions behind them, in ``dtype``.

    :math:`W((x + b) e^{s}) = (W\,\mathrm{diag}(e^{s}))\,x + W e^{s} b`: one pass over the image
    instead of three, and the K small matrices W = P L U are assembled in one batch.
    """

    def stacked(tensors: Iterable[Tensor]) -> Tensor:
        return torch.stack(list(tensors)).to(dtype)

    log_abs_s = stacked(c.log_abs_s for c in convs)
    log_scale = stacked(n.log_scale for n in norms)
    weights = lu_product(
        stacked(c.permutation for c in convs),
        stacked(c.lower for c in convs),
        stacked(c.upper for c in convs),
        stacked(c.sign_s for c in convs),
        log_abs_s,
    )
    weights = weights * log_scale.exp().unsqueeze(1)
    biases = (weights @ stacked(n.bias for n in norms).unsqueeze(2)).squeeze(2)
    return Mixing(weights, biases, (log_scale + log_abs_s).sum(dim=1))


# ---------------------------------------------------------------------- resolution


class Squeeze(Bijection):
    """(N, C, H, W) to (N, 4C, H/2, W/2): every 2x2 block of pixels becomes channels.

    Trades resolution for channels (Dinh et al. 2017, RealNVP, section 3.6). Only moves numbers,
    so ``log_det`` is zero. H and W must be even.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        n, c, h, w = x.shape
        # PyTorch leaves the shape of an empty batch as it is.
        y = F.pixel_unshuffle(x, 2) if n else x.new_zeros(n, 4 * c, h // 2, w // 2)
        return y, x.new_zeros(n)

    def inverse(self, y: Tensor) -> Tensor:
        return F.pixel_shuffle(y, 2)


class Haar(Bijection):
    r"""(N, C, H, W) to (N, 4C, H/2, W/2): C means, then C horizontal, vertical, diagonal details.

    The Haar step (Haar 1910) parts an image as one level of a wavelet flow does (Yu et al. 2020,
    Wavelet Flow, section 3). A 2x2 block with pixels a b over c d becomes

    .. math:: m = (a + b + c + d) / 4, \quad (a - b + c - d) / 2, \quad (a + b - c - d) / 2,
              \quad (a - b - c + d) / 2

    The details are orthonormal; the means are means, so that they are an image in [0, 1] like
    the one they come from. That costs ln 2 for each: ``log_det`` is -C H/2 W/2 ln 2. H and W
    must be even.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # Views of the four pixels of every block, row by row.
        a, b, c, d = (x[..., row::2, column::2] for row in (0, 1) for column in (0, 1))
        top, bottom, left, right = a + b, c + d, a - b, c - d
        parts = [(top + bottom) / 4, (left + right) / 2, (top - bottom) / 2, (left - right) / 2]
        y = by_channels(torch.cat(parts, dim=1))
        return y, y.new_full((len(x),), -math.log(2.0) * math.prod(parts[0].shape[1:]))

    def inverse(self, y: Tensor) -> Tensor:
        mean, horizontal, vertical, diagonal = y.chunk(4, dim=1)
        left, right = horizontal + diagonal, horizontal - diagonal
        top, bottom = mean + vertical / 2, mean - vertical / 2
        x = y.new_empty(len(y), mean.shape[1], 2 * y.shape[2], 2 * y.shape[3])
        x[..., ::2, ::2], x[..., ::2, 1::2] = top + left / 2, top - left / 2
        x[..., 1::2, ::2], x[..., 1::2, 1::2] = bottom + right / 2, bottom - right / 2
        return x


# ---------------------------------------------------------------------- couplings and priors


def bounded(raw: Tensor, bound: float) -> Tensor:
    """Return ``bound * tanh(raw / bound)``: the identity near zero, and always within ±``bound``.

    Log-scales need both bounds: a scale near 0 on the way in is a division by nearly 0 on the
    way out (Behrmann et al. 2021, exploding inverses).
    """
    return bound * torch.tanh(raw / bound)


def shift_and_log_scale(output: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """Split the output of a net into a shift and a log-scale within ±``bound``.

    They stay float32 when the state is float64: both directions take the same numbers.
    """
    shift, raw = by_channels(output).chunk(2, dim=1)
    return shift, bounded(raw, bound)


class AffineCoupling(Bijection):
    r"""Half of the channels sets shift and scale of the other half (Dinh et al. 2017, RealNVP).

    With :math:`(x_a, x_b)` the two halves and :math:`(t, r) = \mathrm{net}(x_a)`:

    .. math:: y_a = x_a, \qquad y_b = (x_b + t)\, e^{s}, \qquad s = b \tanh(r / b)

    The Jacobian is triangular, so ``log_det`` is :math:`\sum s`. In a conditional coupling the
    net also takes features, ``context`` (Lugmayr et al. 2020, SRFlow).

    Args:
        net: maps ``channels // 2`` channels to ``2 * (channels - channels // 2)``.
        bound: largest absolute log-scale b.
    """

    def __init__(self, net: Net, bound: float = 2.0) -> None:
        super().__init__()
        self.net = net
        self.bound = bound

    def forward(
        self, x: Tensor, overwrite: bool = False, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return ``(y, log_det)``; without gradients y may ``overwrite`` ``x`` to save a copy."""
        x_a, x_b = halves(x)
        shift, log_scale = shift_and_log_scale(self.net(x_a, context), self.bound)
        log_det = log_scale.sum(dim=(1, 2, 3), dtype=x.dtype)
        if overwrite:
            x_b.add_(shift).mul_(log_scale.exp_())
            return x, log_det
        return join_channels(x_a, (x_b + shift) * log_scale.exp()), log_det

    def inverse(self, y: Tensor, overwrite: bool = False, context: Tensor | None = None) -> Tensor:
        """Undo :meth:`forward`; without gradients x may ``overwrite`` ``y``."""
        y_a, y_b = halves(y)
        shift, log_scale = shift_and_log_scale(self.net(y_a, context), self.bound)
        # A division: exp(-s) would be rounded in another way than exp(s) was.
        if overwrite:
            y_b.div_(log_scale.exp_()).sub_(shift)
            return y
        return join_channels(y_a, y_b / log_scale.exp() - shift)


class ContextPrior(Bijection):
    r"""Whitens all channels given features c: :math:`y = (x - \mu(c)) / \sigma(c)`.

    Args:
        net: maps the features, ``context``, to twice the channels of x.
    """

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mean, log_std = shift_and_log_scale(self.net(context), _PRIOR_BOUND)
        return (x - mean) / log_std.exp(), -log_std.sum(dim=(1, 2, 3), dtype=x.dtype)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> Tensor:
        mean, log_std = shift_and_log_scale(self.net(context), _PRIOR_BOUND)
        return y * log_std.exp() + mean


class SplitPrior(ContextPrior):
    r"""Whitens the half of the channels that leaves the flow, given the half that stays.

    The conditional prior :math:`p(x_b | x_a) = N(\mu(x_a), \sigma(x_a)^2)` (Glow, section 3.4 and
    openai/glow's ``split2d_prior``), written as a bijection:

    .. math:: y_a = x_a, \qquad y_b = (x_b - \mu(x_a)) / \sigma(x_a)

    so that :math:`y_b \sim N(0, I)` whatever :math:`x_a` is.

    Args:
        net: maps ``channels // 2`` channels to ``2 * (channels - channels // 2)``.
    """

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x_a, x_b = halves(x)
        y_b, log_det = super().forward(x_b, context=x_a)
        return join_channels(x_a, y_b), log_det

    def inverse(self, y: Tensor, context: Tensor | None = None) -> Tensor:
        y_a, y_b = halves(y)
        return join_channels(y_a, super().inverse(y_b, context=y_a))


class TopPrior(Bijection):
    r"""Whitens the last level by a learned mean and deviation: :math:`y = (x - \mu) / \sigma`.

    One mean and one deviation for each channel, as in openai/glow's ``prior`` with ``learntop``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(channels))
        self.raw_log_std = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_std = bounded(self.raw_log_std.to(x.dtype), _PRIOR_BOUND)
        y = (x - self.mean.view(1, -1, 1, 1)) * torch.exp(-log_std).view(1, -1, 1, 1)
        log_det = -log_std.sum() * (x.shape[2] * x.shape[3])
        return y, log_det.expand(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        std = bounded(self.raw_log_std.to(y.dtype), _PRIOR_BOUND).exp()
        return y * std.view(1, -1, 1, 1) + self.mean.view(1, -1, 1, 1)


def log_normal(z: Tensor) -> Tensor:
    """Return log N(z; 0, I), (N,), in nats, of whitened codes ``z`` (N, D)."""
    return -0.5 * (z.square().sum(dim=1) + z.shape[1] * math.log(2 * math.pi))
