"""The coarse levels of a flow by themselves, and put back."""

from __future__ import annotations

import pytest
import torch
from conftest import perturb
from torch import Tensor

import models
from models import PRESETS, Glow, add_attention, coarse_part, entering, grow, put_back


@pytest.fixture(scope="module")
def model() -> Glow:
    torch.manual_seed(0)
    config = PRESETS["tiny"].replace(
        image_size=32, steps=(2, 1, 2, 2), widths=(8, 12, 16, 16), blocks=(1, 1, 1, 0)
    )
    model = Glow(config)
    model.initialize(torch.rand(256, 3, 32, 32))
    return perturb(model).eval()


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("first", [1, 2, 3])
def test_what_enters_and_the_coarse_part_make_up_the_density(
    model: Glow, x: Tensor, first: int
) -> None:
    part = coarse_part(model, first)
    with torch.no_grad():
        h, rest = entering(model, x, first)
        z, _ = part.f(h)
        torch.testing.assert_close((rest + part.log_prob(h)).float(), model.log_prob(x))
        torch.testing.assert_close(z.float(), model.f(x)[0][:, -part.dims :])


def test_behind_a_detail_level(x: Tensor) -> None:
    torch.manual_seed(0)
    config = PRESETS["tiny"].replace(
        image_size=32, details=1, steps=(1, 2, 2), widths=(8, 8, 8), blocks=(1, 1, 1)
    )
    detailed = Glow(config)
    detailed.initialize(torch.rand(256, 3, 32, 32))
    part = coarse_part(perturb(detailed).eval(), 2)
    with torch.no_grad():
        h, rest = entering(detailed, x, 2)
        torch.testing.assert_close((rest + part.log_prob(h)).float(), detailed.log_prob(x))
        same = put_back(detailed, part)
        torch.testing.assert_close(same.log_prob(x), detailed.log_prob(x))


def test_put_back_the_fine_levels_compute_what_they_did(model: Glow, x: Tensor, tmp_path) -> None:
    part = add_attention(grow(coarse_part(model, 2), (2, 3)), [1])
    with torch.no_grad():
        torch.testing.assert_close(put_back(model, part).f(x)[0], model.f(x)[0], **_CLOSE)
        perturb(part)
        part.top.mean.add_(1)
        whole = models.load(models.save(put_back(model, part), tmp_path / "whole.safetensors"))
        assert whole.config.steps == (2, 1, 2, 3)
        assert whole.config.nets == ("residual", "residual", "residual", "attention")
        for before, after in zip(entering(model, x, 2), entering(whole, x, 2), strict=True):
            torch.testing.assert_close(after, before)
        h, rest = entering(model, x, 2)
        torch.testing.assert_close(whole.log_prob(x), (rest + part.log_prob(h)).float())
        assert (whole.log_prob(x) - model.log_prob(x)).abs().min() > 1


_CLOSE = {"atol": 1e-4, "rtol": 1e-4}


def test_added_attention_changes_nothing_at_first_and_learns(model: Glow, x: Tensor) -> None:
    attentive = add_attention(model, [2])
    with torch.no_grad():
        torch.testing.assert_close(attentive.f(x)[0], model.f(x)[0], **_CLOSE)
    attentive.train()(x).mean().backward()
    added = {n for n, _ in attentive.named_parameters()} - {n for n, _ in model.named_parameters()}
    assert {n.split(".")[1] for n in added} == {"2"}
    gradients = dict(attentive.named_parameters())
    assert all(gradients[n].grad.abs().max() > 0 for n in added if n.endswith("out.weight"))


def test_what_does_not_fit_is_refused(model: Glow) -> None:
    with pytest.raises(ValueError, match="Level 4"):
        coarse_part(model, 4)
    with pytest.raises(ValueError, match="not of the size"):
        put_back(model, Glow(PRESETS["tiny"]))
    with pytest.raises(ValueError, match="no residual nets"):
        add_attention(model, [7])
    with pytest.raises(ValueError, match="one for each level"):
        model.config.replace(net=("residual", "attention"))
    with pytest.raises(ValueError, match="not 'nothing'"):
        model.config.replace(net=("residual", "residual", "residual", "nothing"))
