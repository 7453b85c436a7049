"""A grown flow is the same function, and the new steps learn."""

from __future__ import annotations

import pytest
import torch
from conftest import perturb

from models import PRESETS, Glow, grow


@pytest.fixture(scope="module")
def model() -> Glow:
    torch.manual_seed(0)
    model = Glow(PRESETS["tiny"])
    model.initialize(torch.rand(256, 3, 16, 16))
    return perturb(model).eval()


@pytest.mark.parametrize("steps", [(2, 2), (3, 2), (5, 9)])
def test_a_grown_flow_is_the_same_function(model: Glow, steps: tuple[int, ...]) -> None:
    grown = grow(model, steps)
    assert [len(level.steps) for level in grown.levels] == list(steps)
    x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        (z, log_det), (grown_z, grown_log_det) = model.f(x), grown.f(x)
        torch.testing.assert_close(grown_z, z, atol=1e-4, rtol=1e-4)
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
