"""One contract for every bijection, one sweep that proves it for all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from conftest import perturb
from torch import Tensor, nn

import models  # noqa: F401 - so that every bijection is imported
from models.layers import (
    ActNorm,
    AffineCoupling,
    Bijection,
    ContextPrior,
    Haar,
    InvertibleConv,
    SplitPrior,
    Squeeze,
    TopPrior,
    by_channels,
)
from models.levels import DetailLevel, Level
from models.nets import ConvNet, LinearNet, ResidualNet
from models.steps import FlowStep, FlowSteps

SHAPES = {"image": (4, 2, 6), "odd channels": (5, 2, 2), "point": (2, 1, 1)}
TWICE_EVEN = (2, 4, 8)  # of detail levels, which squeeze twice
KNOWN = 3  # features of conditional layers


def conv_net(c: int, size: int) -> ConvNet:
    return ConvNet(c // 2, 8, 2 * (c - c // 2))


def chain(make: Callable[[], AffineCoupling], c: int, reversible: bool = False) -> FlowSteps:
    steps = FlowSteps(FlowStep(c, make()) for _ in range(2))
    steps.reversible = reversible
    return steps


def coupling(c: int, height: int, width: int, attention: bool = False) -> AffineCoupling:
    return AffineCoupling(residual_net(c, height, width, attention))


def residual_net(c: int, height: int, width: int, attention: bool = False) -> nn.Module:
    net = ResidualNet(c // 2, 8, 2 * (c - c // 2), size=1, blocks=1, attention=attention)
    net.position = nn.Parameter(torch.zeros(1, 8, height, width))
    return net


class Given(Bijection):
    """A conditional bijection, given the same features for every input."""

    def __init__(self, conditional: Bijection, height: int, width: int) -> None:
        super().__init__()
        self.conditional = conditional
        generator = torch.Generator().manual_seed(3)
        features = torch.randn(1, KNOWN, height, width, generator=generator)
        self.register_buffer("features", features)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.conditional(x, context=self.features.expand(len(x), -1, -1, -1))

    def inverse(self, y: Tensor) -> Tensor:
        context = self.features.expand(len(y), -1, -1, -1)
        return self.conditional.inverse(y, context=context)


def given_coupling(c: int) -> AffineCoupling:
    net = ResidualNet(c // 2, 8, 2 * (c - c // 2), size=None, blocks=1, context=KNOWN)
    return AffineCoupling(net)


def detail_level(c: int) -> DetailLevel:
    context = ResidualNet(c, 6, KNOWN, size=None, blocks=1)
    net = ResidualNet(6 * c, 8, 12 * c, size=None, blocks=1, context=4 * KNOWN)
    prior = ContextPrior(LinearNet(4 * KNOWN, 24 * c))
    return DetailLevel(c, context, [FlowStep(12 * c, AffineCoupling(net))], prior)


def level(c: int, h: int, w: int, squeeze: bool) -> Level:
    if squeeze:
        c, h, w = 4 * c, h // 2, w // 2
    steps, prior = chain(lambda: coupling(c, h, w), c), SplitPrior(residual_net(c, h, w))
    return Level(Squeeze() if squeeze else None, steps, prior, next_channels=c // 2)


BIJECTIONS = {
    "actnorm": lambda c, h, w: ActNorm(c),
    "invertible conv": lambda c, h, w: InvertibleConv(c),
    "coupling, published net": lambda c, h, w: AffineCoupling(conv_net(c, h)),
    "coupling, residual net": coupling,
    "split prior": lambda c, h, w: SplitPrior(residual_net(c, h, w)),
    "top prior": lambda c, h, w: TopPrior(c),
    "step": lambda c, h, w: FlowStep(c, coupling(c, h, w)),
    "steps": lambda c, h, w: chain(lambda: coupling(c, h, w), c),
    "steps, reversible": lambda c, h, w: chain(lambda: coupling(c, h, w), c, True),
    "coupling, attention": lambda c, h, w: coupling(c, h, w, attention=True),
    "split prior of one convolution": lambda c, h, w: SplitPrior(LinearNet(c // 2, c + c % 2)),
    "squeeze": lambda c, h, w: Squeeze(),
    "haar": lambda c, h, w: Haar(),
    "conditional coupling": lambda c, h, w: Given(given_coupling(c), h, w),
    "context prior": lambda c, h, w: Given(ContextPrior(LinearNet(KNOWN, 2 * c)), h, w),
    "steps, conditional": lambda c, h, w: Given(chain(lambda: given_coupling(c), c), h, w),
    "steps, conditional, reversible": lambda c, h, w: Given(
        chain(lambda: given_coupling(c), c, True), h, w
    ),
    "detail level": lambda c, h, w: detail_level(c),
    "level": lambda c, h, w: level(c, h, w, squeeze=True),
    "level without squeeze": lambda c, h, w: level(c, h, w, squeeze=False),
}


# These cannot take every shape: their sides must be even.
CASES = [
    pytest.param(name, shape, id=f"{name} of {kind}")
    for name in BIJECTIONS
    for kind, shape in SHAPES.items()
    if name != "detail level"
    and (name not in ("squeeze", "haar", "level") or shape[1] % 2 == shape[2] % 2 == 0)
] + [pytest.param("detail level", TWICE_EVEN, id="detail level")]


@pytest.fixture
def x(shape: tuple[int, int, int]) -> Tensor:
    return torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def bijection(name: str, shape: tuple[int, int, int]) -> Bijection:
    torch.manual_seed(2)
    # In a chain the conditions of the parts multiply, and with them float32 rounding.
    several = name.startswith(("steps", "detail", "level"))
    return perturb(BIJECTIONS[name](*shape), amount=0.1 if several else 0.3)


sweep = pytest.mark.parametrize(("name", "shape"), CASES)


def test_sweep_has_every_bijection():
    def all_subclasses(c: type) -> set[type]:
        return {c}.union(*(all_subclasses(s) for s in c.__subclasses__()))

    made = [make(4, 4, 4) for make in BIJECTIONS.values()]
    swept = {type(m.conditional if isinstance(m, Given) else m) for m in made}
    ours = {c for c in all_subclasses(Bijection) if c.__module__.startswith("models")}
    assert ours - {Bijection} == swept


@sweep
@pytest.mark.parametrize("mode", ["training", "cached for decoding"])
def test_inverse(bijection, x, mode):
    """In any layout of the memory, from float32 and float64, and nothing given is overwritten."""
    bijection.train(mode == "training")
    with torch.set_grad_enabled(mode == "training"):
        y, log_det = bijection(x)
        assert log_det.shape == (len(x),) and y.numel() == x.numel()
        assert y.dtype == log_det.dtype == torch.float32
        torch.testing.assert_close(bijection.inverse(y), x, atol=2e-5, rtol=1e-4)
        # The other way round goes through 1 / s and W^-1: rounding grows with their condition.
        again, _ = bijection(bijection.inverse(x.reshape(y.shape)))
        torch.testing.assert_close(again.flatten(), x.flatten(), atol=2e-4, rtol=1e-3)
        for other in (by_channels(x), x.contiguous(memory_format=torch.channels_last)):
            before = other.clone()
            other_y, other_log_det = bijection(other)
            kept = other_y.detach().clone()
            torch.testing.assert_close(other_y, y, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(other_log_det, log_det, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(bijection.inverse(other_y), x, atol=2e-5, rtol=1e-4)
            assert torch.equal(other, before) and torch.equal(other_y, kept)


@sweep
def test_log_det_and_inverse_against_autograd(bijection, x):
    """The Jacobian has the log-determinant, and its inverse is that of the inverse."""
    x = x.double()
    y, log_det = bijection(x)
    numel = x[0].numel()
    jacobian = torch.autograd.functional.jacobian(lambda v: bijection(v)[0], x[1:2])
    jacobian = jacobian.reshape(numel, numel)
    expected = torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(log_det[1].detach(), expected, atol=1e-4, rtol=1e-4)
    bijection.eval()
    back = torch.autograd.functional.jacobian(bijection.inverse, y[1:2].detach())
    product = back.reshape(numel, numel) @ jacobian
    # The nets are float32, so their slopes are rounded to that.
    torch.testing.assert_close(product, torch.eye(numel).double(), atol=1e-4, rtol=0)


@sweep
def test_results_do_not_depend_on_gradients(bijection, x):
    """Without gradients matrices are kept and memory is overwritten; the map is the same, and
    float64, in which photos are encoded and decoded, is carried through."""
    x = x.double()
    results = []
    for mode, gradients in (("training", True), ("training", False), ("", True), ("", False)):
        bijection.train(mode == "training")
        with torch.set_grad_enabled(gradients):
            for _ in range(2):  # the second time from what was kept
                y, log_det = bijection(x)
                assert y.dtype == log_det.dtype == torch.float64
                results.append((y, log_det, bijection.inverse(y)))
                torch.testing.assert_close(results[-1][2], x, atol=1e-9, rtol=1e-9)
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("make", [given_coupling, lambda c: ContextPrior(LinearNet(KNOWN, 2 * c))])
def test_conditional_layers_use_their_context(make):
    layer = perturb(make(4), 0.3)
    x, features = torch.randn(1, 4, 2, 2), torch.randn(2, 1, KNOWN, 2, 2)
    (y, _), (other, _) = (layer(x, context=f) for f in features)
    assert not torch.allclose(y, other, atol=1e-3)
    assert not torch.allclose(layer.inverse(y, context=features[1]), x, atol=1e-3)


def test_haar_means_are_the_means_of_2x2_pixels_and_the_rest_is_orthonormal():
    x = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    y, _ = Haar()(x)
    means, details = y[:, :3], y[:, 3:]
    torch.testing.assert_close(means, nn.functional.avg_pool2d(x, 2))
    # Twice the means and the details have the length of x: a rotation (Parseval).
    lengths = 4 * means.square().sum((1, 2, 3)) + details.square().sum((1, 2, 3))
    torch.testing.assert_close(lengths, x.square().sum((1, 2, 3)))
    assert Haar()(torch.full((1, 3, 4, 4), 0.3))[0][:, 3:].abs().max() == 0
    # An edge that stands upright, in the middle of a block, is seen by the first details only.
    upright = torch.tensor([0.0, 1.0]).expand(1, 1, 2, 2)
    assert Haar()(upright)[0].flatten().tolist() == [0.5, -1.0, 0.0, 0.0]


def test_detail_levels_code_each_crop_as_the_whole():
    """Nothing but the zero padding at the edge of a crop tells it from the whole picture."""
    level = perturb(detail_level(1), 0.1).double().eval()
    x = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        whole, crop = level(x)[0], level(x[:, :, 16:, 16:])[0]
    torch.testing.assert_close(crop[:, :, 12:, 12:], whole[:, :, 20:, 20:], atol=1e-9, rtol=0)
    assert not torch.allclose(crop[:, :, :2, :2], whole[:, :, 8:10, 8:10], atol=1e-5)


def test_scales_stay_bounded_for_wild_inputs():
    coupling = perturb(AffineCoupling(conv_net(4, 4), bound=2.0), 5.0)
    x = torch.randn(2, 4, 4, 4) * 1e3
    _, log_det = coupling(x)
    per_value = log_det / (2 * 4 * 4)
    assert per_value.abs().max() <= 2.0
    assert coupling.inverse(coupling(x)[0]).isfinite().all()


def test_actnorm_initialises_once_and_remembers_it():
    x = torch.randn(300, 3, 4, 4) * torch.tensor([0.1, 0.0, 9.0]).view(1, 3, 1, 1) + 5
    actnorm = ActNorm(3)
    actnorm.initialize(x)  # one of its channels is constant
    y, log_det = actnorm(x)
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(y.std((0, 2, 3)), torch.tensor([1.0, 0, 1]), atol=1e-3, rtol=0)
    assert log_det.isfinite().all()
    torch.testing.assert_close(actnorm.inverse(y), x, atol=1e-5, rtol=1e-5)
    fresh = ActNorm(3)
    fresh.load_state_dict(actnorm.state_dict())
    fresh.initialize(x * 7)
    assert torch.equal(fresh.log_scale, actnorm.log_scale)


def test_lu_takes_over_any_invertible_matrix():
    weight = torch.randn(7, 7, dtype=torch.float64)
    conv = InvertibleConv(7)
    conv.set_weight(weight)
    torch.testing.assert_close(conv.weight(torch.float64), weight, atol=1e-6, rtol=1e-5)
    expected = 15 * torch.linalg.slogdet(weight).logabsdet
    torch.testing.assert_close(conv.log_det(3, 5).double(), expected, atol=1e-4, rtol=1e-5)
    trained = {name for name, _ in conv.named_parameters()}
    assert trained == {"lower", "upper", "log_abs_s"}  # P and sign(s) are discrete


def test_principal_axes_decorrelate():
    mix = torch.randn(4, 4)
    x = torch.einsum("ij,njhw->nihw", mix, torch.randn(500, 4, 4, 4))
    conv = InvertibleConv(4)
    conv.initialize(x)
    y, log_det = conv(x)
    covariance = torch.cov(y.transpose(0, 1).flatten(1))
    off = covariance - torch.diag(covariance.diagonal())
    assert off.abs().max() < 1e-3 * covariance.diagonal().max()
    torch.testing.assert_close(log_det, torch.zeros(500), atol=1e-3, rtol=0)  # a rotation
