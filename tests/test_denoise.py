"""The step along the score, where the right answer is known."""

from __future__ import annotations

import pytest
import torch

from models import Glow, GlowConfig, denoise

# Untrained nets are zero, so the flow is linear and its density a Gaussian.
LINEAR = GlowConfig(image_size=4, steps=(2,), widths=(8,), prior_width=8)


@pytest.fixture
def model() -> Glow:
    torch.manual_seed(0)
    model = Glow(LINEAR)
    model.initialize(torch.rand(256, 3, 4, 4))
    return model.eval()


def test_step_is_that_of_tweedie_for_a_gaussian(model: Glow) -> None:
    r"""z = A x + b, so \nabla log p(x) = -A^T z."""
    x = torch.rand(5, 3, 4, 4)
    jacobian = torch.autograd.functional.jacobian(lambda v: model.f(v)[0], x[:1])
    a = jacobian.reshape(model.dims, model.dims)
    with torch.no_grad():
        z, _ = model.f(x)
    expected = x - (0.1 / 2) ** 2 * (z @ a).view_as(x)
    torch.testing.assert_close(denoise(model, x, 0.1), expected, atol=1e-5, rtol=1e-4)


def test_it_takes_noise_away(model: Glow) -> None:
    """Images of the model under noise it knows of come closer to what they were."""
    sigma = 0.2
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        noisy = model.sample(400, temperature=1.0, generator=generator)
    # The model is of noisy images: clean + noise, both Gaussian. Their posterior mean is known.
    cleaned = denoise(model, noisy, sigma)
    before, after = (v.flatten(1).var(dim=0).sum() for v in (noisy, cleaned))
    assert 0 < after < before
    assert torch.equal(denoise(model, noisy, 0.0), noisy)


def test_the_callers_tensors_are_left_alone(model: Glow) -> None:
    x = torch.rand(2, 3, 4, 4)
    before = x.clone()
    with torch.no_grad():
        cleaned = denoise(model, x, 0.1)
    assert torch.equal(x, before) and not x.requires_grad and not cleaned.requires_grad
    assert all(p.grad is None for p in model.parameters())
