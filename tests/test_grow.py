"""A flow with more steps computes what it did, and learns with all of them."""

from __future__ import annotations

import pytest
import torch
from flows import ONE_DETAIL, made, smooth_images

from models import PRESETS, Glow, grow


@pytest.fixture(scope="module")
def model() -> Glow:
    return made(PRESETS["tiny"])


@pytest.fixture(scope="module")
def detailed() -> Glow:
    return made(ONE_DETAIL, x=smooth_images(ONE_DETAIL, 256))


@pytest.mark.parametrize(
    ("flow", "steps"),
    [
        *(("model", steps) for steps in [(2, 2), (5, 9)]),
        *(("detailed", steps) for steps in [(5, 2, 1), (3, 4, 2)]),
    ],
)
@torch.no_grad()
def test_a_grown_flow_is_the_same_function(
    request: pytest.FixtureRequest, flow: str, steps: tuple[int, ...]
) -> None:
    model: Glow = request.getfixturevalue(flow)
    grown = grow(model, steps)
    assert [len(level.steps) for level in grown.levels] == list(steps)
    x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    close = {"atol": 1e-4, "rtol": 1e-4}
    if model.config.details:
        x, close = smooth_images(model.config, 4), {"atol": 1e-3, "rtol": 1e-3}
    (z, log_det), (grown_z, grown_log_det) = model.f(x), grown.f(x)
    torch.testing.assert_close(grown_z, z, **close)
    torch.testing.assert_close(grown_log_det, log_det, atol=1e-2, rtol=1e-5)
    torch.testing.assert_close(grown.g(z), model.g(z), atol=1e-4, rtol=0)


def test_every_new_coupling_gets_a_gradient(model: Glow) -> None:
    grown = grow(model, (4, 7)).train()
    grown.initialize(torch.rand(256, 3, 16, 16))  # does nothing: nothing is fresh
    grown(torch.rand(8, 3, 16, 16)).mean().backward()
    for level in grown.levels:
        for step in level.steps:
            assert step.coupling.net.conv_out.weight.grad.abs().max() > 0
            assert bool(step.actnorm.initialized)


def test_new_couplings_do_not_change_what_a_neighbour_changes(model: Glow) -> None:
    """The coupling behind a new step looks at the half that the new one changes."""
    grown = grow(model, (4, 2))
    new, old, *_ = grown.levels[0].steps
    with torch.no_grad():
        new.coupling.net.conv_out.bias.fill_(1.0)
        x = torch.rand(1, 12, 8, 8, generator=torch.Generator().manual_seed(2))
        y, _ = new(x)
        seen, _ = old.conv(y)
        first = model.levels[0].steps[0]
        unchanged, _ = first.conv(first.actnorm(x)[0])
    half = 6
    assert ((seen - unchanged)[:, :half].abs() > 1e-3).all()
    torch.testing.assert_close(seen[:, half:], unchanged[:, half:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("steps", [(1, 2), (2, 2, 2), (2,)])
def test_a_flow_does_not_shrink(model: Glow, steps: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="cannot grow"):
        grow(model, steps)
