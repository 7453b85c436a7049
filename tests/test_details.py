"""Flows with detail levels: each halves an image to its means and codes what they leave out."""

from __future__ import annotations

import math

import flows
import pytest
import torch
import torch.nn.functional as F
from flows import BEHIND, ONE_DETAIL, TWO_DETAILS, smooth_images

from glow_app.training.optimization import Objective
from models import (
    Glow,
    GlowConfig,
    add_detail_level,
    bin_centers,
    bits_by_part,
    bits_per_dim,
    dequantize,
    to_levels,
)

BASE, ONE, TWO = BEHIND, ONE_DETAIL, TWO_DETAILS


def made(config: GlowConfig, amount: float = 0.05) -> Glow:
    return flows.made(config, amount, smooth_images(config, 256))


@pytest.fixture(scope="module", params=[ONE, TWO], ids=["one detail level", "two detail levels"])
def model(request: pytest.FixtureRequest) -> Glow:
    return made(request.param)


def test_details_have_the_sizes_that_they_say() -> None:
    assert TWO.code_shapes() == [(9, 16, 16), (9, 8, 8), (6, 4, 4), (24, 2, 2)]
    assert sum(math.prod(shape) for shape in TWO.code_shapes()) == TWO.dims
    assert TWO.shapes() == [(36, 8, 8), (36, 4, 4), (12, 4, 4), (24, 2, 2)]
    assert TWO.behind_finest() == ONE
    # The base knows nothing of contexts, whatever width those of the level have.
    assert ONE.behind_finest() == BASE == BASE.replace(context_width=5, context_blocks=0)


@torch.no_grad()
def test_any_code_comes_back_also_wild_ones(model: Glow) -> None:
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(3, model.dims, generator=generator) * 0.7
    torch.testing.assert_close(model.f(model.g(z))[0], z, atol=2e-3, rtol=1e-3)
    z[1] *= 40.0
    assert model._outliers(z).tolist() == [False, True, False]
    x = model.g(z)
    torch.testing.assert_close(model.f(x)[0][1], z[1], atol=0.02, rtol=1e-4)
    # What the others get does not depend on the wild one beside them.
    torch.testing.assert_close(x[[0, 2]], model.g(z[[0, 2]]), atol=1e-5, rtol=0)
    wide = model._in_float64()
    torch.testing.assert_close(x[1:2], wide._g(z[1:2]), atol=1e-4, rtol=1e-5)


def test_gradients_pass_through_wild_codes(model: Glow) -> None:
    """Those of a wild picture are those of the same flow in float64, parameters included."""
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(3, model.dims, generator=generator) * 0.7
    z[1] *= 40.0
    with torch.no_grad():
        x = model.g(z)
        expected = model.f(x)
    found = model.f(x)
    assert model._outliers(found[0]).tolist() == [False, True, False]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.detach(), b, atol=1e-5, rtol=1e-6)
    parameters = [p for n, p in model.named_parameters() if not n.endswith(("lower", "upper"))]
    grads = torch.autograd.grad(model.log_prob(x)[1], parameters, allow_unused=True)
    assert all(g is not None and bool(g.isfinite().all()) for g in grads)
    leaf = z.clone().requires_grad_()
    model.g(leaf).sum().backward()
    assert (leaf.grad.abs().sum(dim=1) > 0).all()


@torch.no_grad()
def test_details_move_no_mean(model: Glow) -> None:
    """Whatever the finest part of a code, the means are those that the rest decodes to."""
    z = model.f(smooth_images(model.config, 2))[0]
    finest = model.split_levels(z)[0][0].numel()
    other = z.clone()
    other[:, :finest] = torch.randn(2, finest, generator=torch.Generator().manual_seed(6))
    x, y = model.g(z), model.g(other)
    torch.testing.assert_close(F.avg_pool2d(x, 2), F.avg_pool2d(y, 2), atol=1e-5, rtol=0)
    assert (x - y).abs().mean() > 0.01


@torch.no_grad()
def test_bits_by_part_are_those_of_the_density(model: Glow) -> None:
    x = dequantize(to_levels(smooth_images(model.config, 3)))
    total, parts = bits_by_part(model, x)
    d = model.config.details
    assert parts.shape == (3, d + 1)
    torch.testing.assert_close(total, bits_per_dim(model.log_prob(x.double()), model.dims))
    of_details = Objective(model, True)(x).double()
    torch.testing.assert_close(parts[:, 0], of_details, atol=1e-5, rtol=0)
    # The last part is what the flow behind says of the means as an image of its own.
    behind = made(BASE)
    for own, its in zip(behind.levels, model.levels[d:], strict=True):
        own.load_state_dict(its.state_dict())
    means = behind.log_prob(F.avg_pool2d(x, 2**d)).double()
    torch.testing.assert_close(parts[:, -1], bits_per_dim(means, behind.dims), atol=1e-4, rtol=0)
    weighed = sum(3 / 4 / 4**k * part for k, part in enumerate(parts.T[:d]))
    weighed = weighed + parts[:, -1] / 4**d + sum(1 / 4**k for k in range(1, d + 1))
    torch.testing.assert_close(weighed, total)
    # In training, states are float32.
    model.train()
    torch.testing.assert_close(Objective(model, True)(x).double(), of_details, atol=1e-3, rtol=0)
    model.eval().requires_grad_(True)


@torch.no_grad()
def test_initialised_details_are_white_and_cost_less_than_noise() -> None:
    torch.manual_seed(0)
    model = Glow(ONE)
    x = smooth_images(ONE, 512)
    model.initialize(x)
    z = model.eval().f(x)[0]
    for part in model.split_levels(z):
        assert float(part.square().mean()) == pytest.approx(1, abs=0.1)
    assert bits_per_dim(model(x), model.dims).mean() < 8


# ---------------------------------------------------------------------- on a trained flow


@torch.no_grad()
def test_a_level_on_a_base_leaves_what_the_base_says_of_the_means() -> None:
    base = made(BASE)
    one = add_detail_level(base, ONE)
    two = add_detail_level(one, TWO)
    for key, value in base.state_dict().items():
        assert torch.equal(two.state_dict()[key], value)
    for key, value in one.levels[0].state_dict().items():
        assert torch.equal(two.levels[1].state_dict()[key], value)
    # Means of four levels of 8 bits: exact in float32, so codes are equal bit for bit.
    x = bin_centers(to_levels(smooth_images(TWO, 3)))
    expected = base.f(F.avg_pool2d(x, 4))[0]
    assert torch.equal(two.f(x)[0][:, -base.dims :], expected)
    assert torch.equal(one.f(F.avg_pool2d(x, 2))[0][:, -base.dims :], expected)
    assert not two.training and two.usual_range is None


@pytest.mark.parametrize(
    "changes",
    [
        {"details": 0, "image_size": 32},
        {"image_size": 32},
        {"steps": (2, 2, 2)},
        {"widths": (8, 8, 16)},
        {"details": 2, "image_size": 16},
    ],
)
def test_a_base_that_does_not_fit_is_refused(changes: dict) -> None:
    with pytest.raises(ValueError, match="configuration"):
        add_detail_level(made(BASE), ONE.replace(**changes))
