"""Flows made of trained flows: grown ones, and coarse levels by themselves and put back."""

from __future__ import annotations

import pytest
import torch
from conftest import perturb
from flows import ONE_DETAIL, made, smooth_images
from torch import Tensor

import models
from models import PRESETS, Glow, add_attention, coarse_part, entering, grow, put_back

_CLOSE = {"atol": 1e-4, "rtol": 1e-4}


@pytest.fixture(scope="module")
def model() -> Glow:
    return made(PRESETS["tiny"])


@pytest.fixture(scope="module")
def detailed() -> Glow:
    return made(ONE_DETAIL, x=smooth_images(ONE_DETAIL, 256))


@pytest.mark.parametrize(
    ("flow", "steps"),
    [
        *(("model", steps) for steps in [(2, 2), (3, 2), (5, 9)]),
        *(("detailed", steps) for steps in [(2, 2, 1), (5, 2, 1), (3, 4, 2)]),
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


# ---------------------------------------------------------------------- coarse levels


@pytest.fixture(scope="module")
def whole() -> Glow:
    config = PRESETS["tiny"].replace(
        image_size=32, steps=(2, 1, 2, 2), widths=(8, 12, 16, 16), blocks=(1, 1, 1, 0)
    )
    return made(config, 0.02)  # codes of noise stay in reach of float32


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("first", [1, 2, 3])
def test_what_enters_and_the_coarse_part_make_up_the_density(
    whole: Glow, x: Tensor, first: int
) -> None:
    part = coarse_part(whole, first)
    with torch.no_grad():
        h, rest = entering(whole, x, first)
        z, _ = part.f(h)
        torch.testing.assert_close((rest + part.log_prob(h)).float(), whole.log_prob(x))
        torch.testing.assert_close(z.float(), whole.f(x)[0][:, -part.dims :])


def test_behind_a_detail_level(x: Tensor) -> None:
    config = PRESETS["tiny"].replace(
        image_size=32, details=1, steps=(1, 2, 2), widths=(8, 8, 8), blocks=(1, 1, 1)
    )
    detailed = made(config)
    part = coarse_part(detailed, 2)
    with torch.no_grad():
        h, rest = entering(detailed, x, 2)
        torch.testing.assert_close((rest + part.log_prob(h)).float(), detailed.log_prob(x))
        same = put_back(detailed, part)
        torch.testing.assert_close(same.log_prob(x), detailed.log_prob(x))


def test_put_back_the_fine_levels_compute_what_they_did(whole: Glow, x: Tensor, tmp_path) -> None:
    part = add_attention(grow(coarse_part(whole, 2), (2, 3)), [1])
    with torch.no_grad():
        torch.testing.assert_close(put_back(whole, part).f(x)[0], whole.f(x)[0], **_CLOSE)
        perturb(part)
        part.levels[-1].prior.mean.add_(1)
        path = models.save(put_back(whole, part), tmp_path / "changed.safetensors")
        changed = models.load(path)
        assert changed.config.steps == (2, 1, 2, 3)
        assert changed.config.nets == ("residual", "residual", "residual", "attention")
        for before, after in zip(entering(whole, x, 2), entering(changed, x, 2), strict=True):
            torch.testing.assert_close(after, before)
        h, rest = entering(whole, x, 2)
        torch.testing.assert_close(changed.log_prob(x), (rest + part.log_prob(h)).float())
        assert (changed.log_prob(x) - whole.log_prob(x)).abs().min() > 1


def test_added_attention_changes_nothing_at_first_and_learns(whole: Glow, x: Tensor) -> None:
    attentive = add_attention(whole, [2])
    with torch.no_grad():
        torch.testing.assert_close(attentive.f(x)[0], whole.f(x)[0], **_CLOSE)
    attentive.train()(x).mean().backward()
    added = {n for n, _ in attentive.named_parameters()} - {n for n, _ in whole.named_parameters()}
    assert {n.split(".")[1] for n in added} == {"2"}
    gradients = dict(attentive.named_parameters())
    assert all(gradients[n].grad.abs().max() > 0 for n in added if n.endswith("out.weight"))


def test_what_does_not_fit_is_refused(whole: Glow) -> None:
    with pytest.raises(ValueError, match="Level 4"):
        coarse_part(whole, 4)
    with pytest.raises(ValueError, match="not of the size"):
        put_back(whole, Glow(PRESETS["tiny"]))
    with pytest.raises(ValueError, match="no residual nets"):
        add_attention(whole, [7])
    with pytest.raises(ValueError, match="one for each level"):
        whole.config.replace(net=("residual", "attention"))
    with pytest.raises(ValueError, match="not 'nothing'"):
        whole.config.replace(net=("residual", "residual", "residual", "nothing"))
