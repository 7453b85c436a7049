"""What holds on a CPU holds on a CUDA device: exactness, honest figures, training without waits.

Needs nothing of the page: a machine with a GPU often has torch and no gradio.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import perturb
from PIL import Image

import models
from glow_app.editing.editor import Editor
from glow_app.lessons import chain, jacobian
from glow_app.training import TrainConfig
from glow_app.training.data import mixture
from glow_app.training.optimization import (
    Ema,
    GradientGuard,
    Objective,
    graphed,
    make_optimizer,
)
from models import PRESETS, Glow

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]


@pytest.fixture(scope="module")
def on_gpu() -> Editor:
    return Editor(device="cuda")


@pytest.fixture(scope="module")
def pictures(on_gpu: Editor) -> np.ndarray:
    """Six drawn faces and two pictures of pure noise, (8, S, S, 3) uint8."""
    side = on_gpu.image_size
    drawn = on_gpu.sampler.sample(6, temperature=0.7, seed=1)
    noise = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    return np.concatenate([drawn, noise])


def test_the_round_trip_is_exact_also_where_a_program_allows_tf32(
    on_gpu: Editor, pictures: np.ndarray
) -> None:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    try:
        for allowed in (False, True):
            matmul.allow_tf32 = cudnn.allow_tf32 = allowed
            wrong = on_gpu.model.roundtrip(pictures)
            np.testing.assert_array_equal(wrong, np.zeros(len(pictures)))
            assert matmul.allow_tf32 == cudnn.allow_tf32 == allowed
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def test_a_morph_starts_and_ends_with_the_very_pictures(
    on_gpu: Editor, pictures: np.ndarray
) -> None:
    morph = on_gpu.morph_frames(pictures[0], pictures[1], 9)
    np.testing.assert_array_equal(morph.frames[0], pictures[0])
    np.testing.assert_array_equal(morph.frames[-1], pictures[1])
    np.testing.assert_array_equal(
        on_gpu.sampler.sample(3, seed=5)[2], on_gpu.sampler.sample(1, seed=7)[0]
    )


def test_codes_likelihoods_and_pictures_are_those_of_a_cpu(
    on_gpu: Editor, pictures: np.ndarray
) -> None:
    cpu = models.load(models.pretrained_path("faces128"))
    x = models.dequantize(torch.from_numpy(pictures).permute(0, 3, 1, 2), 8)
    with torch.no_grad():
        here, there = cpu.log_prob(x), on_gpu.model.flow.log_prob(x.cuda()).cpu()
        bits = models.bits_per_dim(here - there, cpu.dims, 8) - 8  # of a difference
        assert bits.abs().max() < 1e-4
        z = cpu.f(x)[0]
        torch.testing.assert_close(on_gpu.model.flow.f(x.cuda())[0].cpu(), z, rtol=0, atol=0.02)
        decoded = models.to_levels(on_gpu.model.flow.g(z.cuda()).cpu())
    np.testing.assert_array_equal(decoded.permute(0, 2, 3, 1), pictures)


def test_lessons_run(tiny_checkpoint: Path) -> None:
    model = models.load(tiny_checkpoint, "cuda")
    z = torch.randn(1, model.dims, generator=torch.Generator().manual_seed(6))
    found = jacobian.cost(*jacobian.face_coupling(model, z))
    assert found.log_det == pytest.approx(found.log_det_brute_force, abs=1e-4)
    walked = chain.chain(model, z)
    torch.testing.assert_close(walked.states[-1, 0].float(), model.g(z.cuda())[0].cpu())


def test_a_training_step_never_makes_the_host_wait() -> None:
    torch.manual_seed(0)
    model = Glow(PRESETS["tiny"])
    side = model.config.image_size
    model.initialize(torch.rand(256, 3, side, side))
    model.cuda().train()
    model.set_training_dtype(torch.bfloat16)
    optimizer = make_optimizer(model, TrainConfig(model=model.config, steps=1))
    objective, guard = Objective(model), GradientGuard(torch.device("cuda"))
    levels = torch.randint(0, 256, (8, 3, 2 * side, 2 * side), device="cuda").byte()
    noise = torch.rand(levels.shape, device="cuda")

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        objective(mixture(levels, 1, 8, noise)).mean().backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.found_inf = guard.should_skip(norm)
        optimizer.step()

    step()  # lazily made handles and copies of constants
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as waits:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert [f"{w.filename}:{w.lineno}" for w in waits] == []


@torch.no_grad()  # with gradients nothing is kept, and nothing could be stale
def test_an_average_that_was_measured_is_measured_anew_after_it_moved() -> None:
    torch.manual_seed(0)
    model = Glow(PRESETS["tiny"]).cuda()
    x = torch.rand(8, 3, model.config.image_size, model.config.image_size, device="cuda")
    ema = Ema(model)
    before = ema.model.log_prob(x)
    perturb(model.cpu(), 0.05)
    model.cuda()
    ema.update(model, 0.0)
    assert (ema.model.log_prob(x) - before).abs().min() > 1e-3
    torch.testing.assert_close(ema.model.log_prob(x), model.eval().log_prob(x))


def test_graphs_have_the_very_gradients() -> None:
    torch.manual_seed(0)
    model = Glow(PRESETS["tiny"])
    side = model.config.image_size
    x = torch.rand(256, 3, side, side)
    model.initialize(x)
    perturb(model, 0.02)
    model.cuda().train()
    objective, x = Objective(model), x[:16].cuda()

    def gradients() -> list[torch.Tensor]:
        model.zero_grad(set_to_none=True)
        bits = objective(x)
        bits.mean().backward()
        return [bits.detach().clone(), *(p.grad.clone() for p in model.parameters())]

    plain = gradients()
    objective = graphed(objective, torch.rand_like(x))
    with torch.no_grad():  # what the optimiser does, in place
        model.levels[-1].prior.mean.add_(0.0)
    torch.testing.assert_close(gradients(), plain, rtol=1e-3, atol=1e-5)
    x = x.flip(3)
    again = gradients()
    assert (again[0] - plain[0]).abs().max() > 1e-3


def test_a_run_goes_on_where_it_stopped(here, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    rng = np.random.default_rng(0)
    for i in range(40):
        pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((32, 32)).save(data / f"{i}.png")

    def run(steps: int) -> int:
        return here(
            "train", "--data", data, "--out", out, "--preset", "tiny", "--device", "cuda",
            "--batch", 8, "--log-steps", 5, "--warmup-steps", 5, "--holdout", 0.2,
            "--steps", steps,
        )  # fmt: skip

    assert run(20) == 0 and run(40) == 0
    lines = [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "train_bits_per_dim" in line][-1] == 40
    assert lines[-1]["val_bits_per_dim"] < lines[0]["train_bits_per_dim"]
    assert models.load(out / "model.safetensors").parameter_count > 0
