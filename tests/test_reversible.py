"""Training without stored activations: the same gradients, in memory that does not grow."""

from __future__ import annotations

import gc
from functools import partialmethod

import pytest
import torch
from conftest import perturb
from torch import Tensor, nn

from glow_app.training.optimization import Objective
from models import Glow, GlowConfig, bits_per_dim

SMALL = GlowConfig(image_size=16, steps=(4, 4), widths=(16, 16), net="attention", prior_width=8)

DETAILED = SMALL.replace(steps=(3, 2, 2), widths=(16,) * 3, blocks=(1,) * 3, details=1)
DETAILED = DETAILED.replace(net="residual", context_width=4, context_blocks=1)


def small_model(config: GlowConfig = SMALL) -> tuple[Glow, Tensor]:
    torch.manual_seed(0)
    model = Glow(config)
    x = torch.rand(64, 3, config.image_size, config.image_size)
    model.initialize(x)
    return perturb(model, 0.02).train(), x[:8]


def loss_and_gradient(model: Glow, x: Tensor) -> tuple[Tensor, Tensor]:
    model.zero_grad()
    loss = bits_per_dim(model(x), model.dims).mean()
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in model.parameters()])


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("config", [SMALL, DETAILED], ids=["plain", "detail level"])
def test_gradients_equal_those_of_stored_activations(config: GlowConfig) -> None:
    """Of parameters and of the input."""
    model, x = small_model(config)
    x.requires_grad_()
    found = []
    for reversible in (False, True):
        model.set_reversible(reversible)
        x.grad = None
        loss, gradient = loss_and_gradient(model, x)
        found.append((float(loss), gradient, x.grad))
    (expected_loss, expected, expected_of_x), (loss, gradient, of_x) = found
    assert loss == pytest.approx(expected_loss, abs=1e-6)
    assert distance(gradient, expected) < 1e-5 and distance(of_x, expected_of_x) < 1e-5


def test_gradients_of_a_detail_level_alone_are_those_of_stored_activations() -> None:
    """On a crop, with the flow behind it frozen: as `train.py --base` does."""
    model, x = small_model(DETAILED)
    objective = Objective(model, details_only=True)
    gradients = []
    for reversible in (False, True):
        model.set_reversible(reversible)
        model.zero_grad()
        objective(x[..., 4:, :12]).mean().backward()
        learned = dict(model.levels[0].named_parameters())
        gradients.append(torch.cat([p.grad.flatten() for p in learned.values()]))
        assert all(p.grad.abs().max() > 0 for n, p in learned.items() if "context" in n)
        behind = [p for level in model.levels[1:] for p in level.parameters()]
        assert behind and all(p.grad is None for p in behind)
    assert distance(gradients[1], gradients[0]) < 1e-5


def test_bfloat16_nets_differ_by_their_rounding_only() -> None:
    model, x = small_model()
    _, exact = loss_and_gradient(model, x)
    model.set_training_dtype(torch.bfloat16)
    _, stored = loss_and_gradient(model, x)
    model.set_reversible(True)
    _, recomputed = loss_and_gradient(model, x)
    rounding = distance(stored, exact)
    assert 0 < rounding < 0.1
    assert distance(recomputed, stored) < 2 * rounding


def test_compiled_gradients_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As PyTorch traces them; what its compiler makes of that takes half a minute."""
    monkeypatch.setattr(
        nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager")
    )
    one_graph = SMALL.replace(steps=(2,), widths=(8,), net="conv", blocks=(0,))
    model, x = small_model(one_graph)
    _, expected = loss_and_gradient(model, x)
    names = list(model.state_dict())
    model.set_reversible(True)
    model.compile_couplings()
    _, gradient = loss_and_gradient(model, x)
    assert distance(gradient, expected) < 1e-5
    assert list(model.state_dict()) == names  # checkpoints do not know of it


def stored_by_autograd(steps: int, reversible: bool) -> int:
    """Bytes that backward keeps alive, parameters aside, counted by autograd's own hooks."""
    model, _ = small_model(SMALL.replace(steps=(steps, 1), net="residual"))
    x = torch.rand(16, 3, 16, 16)
    model.set_reversible(reversible)
    own = {p.data_ptr() for p in model.state_dict().values()}
    alive: dict[int, int] = {}

    def keep(t: Tensor) -> Tensor:
        if t.data_ptr() not in own:
            storage = t.untyped_storage()
            alive[storage.data_ptr()] = storage.nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        loss = model(x).mean()
    held = sum(alive.values())
    del loss
    gc.collect()
    return held


def test_memory_does_not_grow_with_the_number_of_steps() -> None:
    plain = [stored_by_autograd(k, reversible=False) for k in (4, 16)]
    reversible = [stored_by_autograd(k, reversible=True) for k in (4, 16)]
    assert plain[1] > 2.5 * plain[0]
    assert reversible[1] < 1.15 * reversible[0] and reversible[1] < plain[0]
