"""The multiscale flow as a whole."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import perturb
from flows import (
    CONFIGS,
    ONE_DETAIL,
    POINTS,
    SMALL,
    TWO_DETAILS,
    made,
    shape,
    smooth_images,
)

import models
from glow_app.faces.face import prepare
from glow_app.faces.opening import list_pictures
from models import PRESETS, Glow, GlowConfig, bin_centers, bits_per_dim, dequantize, to_levels
from models.steps import FlowStep


@pytest.fixture(scope="module", params=CONFIGS.items(), ids=CONFIGS.keys())
def model(request: pytest.FixtureRequest) -> Glow:
    return made(request.param[1])


@torch.no_grad()
def test_g_inverts_f_and_f_inverts_g(model: Glow) -> None:
    """Samples are reproducible, and the temperature scales z."""
    x = torch.rand(3, *shape(model.config), generator=torch.Generator().manual_seed(1))
    z, log_det = model.f(x)
    assert z.shape == (3, model.dims) and log_det.shape == (3,)
    torch.testing.assert_close(model.g(z), x, atol=1e-4, rtol=0)
    a, b = (model.sample(3, 0.7, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(a, b) and a.shape[1:] == shape(model.config)
    expected = torch.randn(3, model.dims, generator=torch.Generator().manual_seed(5)) * 0.7
    torch.testing.assert_close(model.f(a)[0], expected, atol=2e-3, rtol=1e-3)
    assert model.sample(0).shape == (0, *shape(model.config))
    levels = model.split_levels(z)
    assert [tuple(level.shape[1:]) for level in levels] == model.config.code_shapes()
    storage = z.untyped_storage().data_ptr()
    assert all(level.untyped_storage().data_ptr() == storage for level in levels)
    assert torch.equal(model.join_levels(levels), z)


@pytest.mark.parametrize("kind", ["smooth", "noise", "black and white"])
@torch.no_grad()
def test_any_picture_of_a_small_flow_comes_back_byte_for_byte(model: Glow, kind: str) -> None:
    """Also within the range of its own states, or a wider one."""
    levels = to_levels(smooth_images(model.config, 4))
    if kind != "smooth":
        generator = torch.Generator().manual_seed(2)
        levels = torch.randint(0, 256, levels.shape, generator=generator, dtype=torch.uint8)
    if kind == "black and white":
        levels = (levels > 127).to(torch.uint8) * 255
    z, log_det = model.f(bin_centers(levels))
    assert z.shape == (4, model.dims) and z.dtype == log_det.dtype == torch.float32
    back = torch.cat([model.g(row) for row in z.split(1)])
    assert torch.equal(to_levels(back), levels)
    same_z, same_log_det, seen = model.f_with_range(bin_centers(levels))
    assert torch.equal(same_z, z) and torch.equal(same_log_det, log_det)
    expected = model.g(z)
    for margin in (0.0, 0.1, 0.25):
        x = model.g(z, seen.widened(margin))
        assert torch.equal(to_levels(x), levels)
        torch.testing.assert_close(x, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("config", "atol"),
    [
        pytest.param(POINTS, 1e-3, id="points"),
        pytest.param(SMALL.replace(image_size=4), 1e-3, id="image"),
        pytest.param(
            ONE_DETAIL.replace(image_size=8, steps=(2, 1), widths=(8, 8), blocks=(1, 1)),
            1e-2,
            id="detail level",
        ),
    ],
)
def test_log_prob_against_the_brute_force_determinant(config: GlowConfig, atol: float) -> None:
    model = made(config, 0.2, smooth_images(config, 256) if config.details else None)
    x = smooth_images(config, 1) if config.details else torch.rand(2, *shape(config))
    z, log_det = model.f(x)
    for i in range(len(x)):
        jacobian = torch.autograd.functional.jacobian(lambda v: model.f(v)[0], x[i : i + 1])
        matrix = jacobian.reshape(model.dims, model.dims).double()
        expected = torch.linalg.slogdet(matrix).logabsdet.float()
        torch.testing.assert_close(log_det[i].detach(), expected, atol=atol, rtol=1e-4)
    normal = torch.distributions.Normal(0, 1).log_prob(z).sum(1)
    torch.testing.assert_close(model.log_prob(x), normal + log_det)
    torch.testing.assert_close(model(x), model.log_prob(x))


def test_density_of_points_integrates_to_one() -> None:
    model = made(POINTS, 0.3)
    axis = torch.linspace(-6, 7, 400)
    grid = torch.cartesian_prod(axis, axis).view(-1, 2, 1, 1)
    with torch.no_grad():
        density = model.log_prob(grid).double().exp()
    step = float(axis[1] - axis[0])
    assert float(density.sum()) * step**2 == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("config", [PRESETS["tiny"], ONE_DETAIL, TWO_DETAILS])
@torch.no_grad()
def test_uniform_noise_costs_at_least_8_bits(config: GlowConfig) -> None:
    for seed in range(3):
        model = perturb(made(config), 0.1, seed)
        generator = torch.Generator().manual_seed(seed)
        noise = torch.rand(64, *shape(config), generator=generator)
        assert bits_per_dim(model(noise), model.dims).mean() >= 8
    if config.details:  # one that has learned what pictures are like
        model = made(config, x=smooth_images(config, 256))
        assert bits_per_dim(model(noise), model.dims).mean() >= 8


@torch.no_grad()
def test_fold_follows_the_parameters() -> None:
    """Also as `torch._foreach_lerp_` writes on CUDA: neither address nor version tells."""
    model = made(PRESETS["tiny"])
    x = torch.rand(2, *shape(model.config))
    bias = model.levels[0].steps[0].actnorm.bias
    for write in (
        lambda: bias.add_(0.5),
        lambda: bias.data.add_(0.5),
        lambda: np.add(bias.detach().numpy(), 0.5, out=bias.detach().numpy()),
    ):
        before, _ = model.f(x)
        write()
        after, _ = model.f(x)
        fresh = Glow(model.config).eval()
        fresh.load_state_dict(model.state_dict())
        torch.testing.assert_close(after, fresh.f(x)[0], atol=0, rtol=0)
        assert not torch.allclose(before, after, atol=1e-3)
        torch.testing.assert_close(model.g(after), x, atol=1e-4, rtol=0)


@pytest.mark.parametrize("reversible", [False, True])
def test_one_code_of_a_step_trains_encodes_and_decodes(
    reversible: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code that the sweep of bijections proves, and that the page shows, is what runs."""
    calls: list[str] = []

    def counted(real: Callable) -> Callable:
        def called(*given):
            calls.append(real.__name__)
            return real(*given)

        return called

    model = made(PRESETS["tiny"])
    model.set_reversible(reversible)
    x, steps = torch.rand(2, *shape(model.config)), sum(model.config.steps)
    monkeypatch.setattr(FlowStep, "forward", counted(FlowStep.forward))
    monkeypatch.setattr(FlowStep, "inverse", counted(FlowStep.inverse))
    with torch.no_grad():
        model.g(model.f(x)[0])
    assert calls == ["forward"] * steps + ["inverse"] * steps
    calls.clear()
    model.train()(x)
    assert calls == ["forward"] * steps


def test_training_precision_stays_out_of_encoding_and_decoding() -> None:
    model = made(PRESETS["tiny"])
    x = torch.rand(4, *shape(model.config))
    with torch.no_grad():
        z, log_det = model.f(x)
        model.set_training_dtype(torch.bfloat16)
        assert torch.equal(model.f(x)[0], z) and torch.equal(model.f(x)[1], log_det)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(model.f(x)[0], z)
        model.train()
        assert model.f(x)[0].dtype == torch.float32
        assert not torch.equal(model.f(x)[0], z)  # it does work in training


def test_gradients_reach_every_parameter() -> None:
    model = made(PRESETS["tiny"]).train()
    model(torch.rand(4, *shape(model.config))).mean().backward()
    missing = [
        n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    triangles = {n for n in missing if n.endswith(("lower", "upper"))}
    assert not set(missing) - triangles  # the unused triangle of L and U is zero, no more


def test_initialise_leaves_a_loaded_model_alone() -> None:
    model = made(PRESETS["tiny"])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.initialize(torch.rand(256, *shape(model.config)) * 0.1)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_wrong_shapes_are_said() -> None:
    model = made(PRESETS["tiny"])
    with pytest.raises(ValueError, match=r"shape \(N, 3, 16, 16\), not \(1, 3, 8, 8\)\.$"):
        model.f(torch.rand(1, 3, 8, 8))
    with pytest.raises(ValueError, match="768"):
        model.g(torch.rand(1, 5))


@pytest.mark.parametrize(
    ("config", "changes", "words"),
    [
        (PRESETS["tiny"], {"steps": (1,)}, "one entry for each level"),
        (PRESETS["tiny"], {"steps": (0, 1)}, "at least 1"),
        (PRESETS["tiny"], {"net": "transformer"}, "not 'transformer'"),
        (PRESETS["tiny"], {"image_size": 10}, "cannot be halved"),
        (PRESETS["tiny"], {"n_bits": 9}, "n_bits"),
        (PRESETS["tiny"], {"channels": 3, "squeeze": False}, "less than two channels"),
        (ONE_DETAIL, {"details": 3}, "below the number of levels"),
        (ONE_DETAIL, {"details": -1}, "below the number of levels"),
        (ONE_DETAIL, {"image_size": 20}, "cannot be halved"),
        (ONE_DETAIL, {"context_width": 0}, "context_width"),
        (ONE_DETAIL, {"context_blocks": -1}, "context_blocks"),
        (ONE_DETAIL, {"squeeze": False}, "without squeeze"),
    ],
)
def test_impossible_configurations_are_refused(
    config: GlowConfig, changes: dict, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        config.replace(**changes)


@pytest.mark.parametrize(("name", "flops"), [("faces64", 5e9), ("faces128", 9e9)])
def test_released_presets_are_within_their_budget(name: str, flops: float) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = Glow(PRESETS[name]).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.g(torch.randn(1, model.dims))
    assert counter.get_total_flops() <= flops
    if name == "faces64":
        assert sum(p.numel() for p in model.parameters()) <= 12_000_000
    assert PRESETS["faces128"].behind_finest() == PRESETS["faces64"]


# ---------------------------------------------------------------------- quantisation


def test_levels_survive_quantisation() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_levels(bin_centers(levels)), levels)
    noisy = dequantize(levels, generator=torch.Generator().manual_seed(0))
    assert torch.equal(to_levels(noisy), levels)
    u = noisy * 256 - levels
    assert u.min() >= 0 and u.max() < 1 and abs(float(u.mean()) - 0.5) < 0.1
    with pytest.raises(TypeError, match="uint8"):
        bin_centers(levels.float())
    white = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    assert int(to_levels(bin_centers(white, 5), 5).min()) == 252
    assert torch.equal(bin_centers(to_levels(bin_centers(white, 5), 5), 5), bin_centers(white, 5))
    x = torch.tensor([float("nan"), float("inf"), float("-inf"), 0.5, -1.0, 2.0]).view(1, 1, 2, 3)
    assert to_levels(x).flatten().tolist() == [0, 255, 0, 128, 0, 255]


def test_bits_per_dim_of_the_uniform_density_is_the_number_of_bits() -> None:
    assert bits_per_dim(torch.zeros(1), 10).item() == 8
    assert bits_per_dim(torch.zeros(1), 10, n_bits=5).item() == 5
    # A density of 2 everywhere saves one bit in each dimension.
    assert bits_per_dim(torch.tensor([10 * math.log(2)]), 10).item() == pytest.approx(7)


# ---------------------------------------------------------------------- the released weights


@functools.cache
def load(name: str) -> Glow:
    return models.load(models.pretrained_path(name))


@pytest.fixture(scope="module", params=["faces64", "faces128", "free128"])
def released_model(request: pytest.FixtureRequest) -> Glow:
    return load(request.param)


@pytest.fixture(scope="module")
def eight(released_model: Glow, face_folder: Path) -> torch.Tensor:
    """Eight faces as the model sees them: (8, 3, S, S) uint8. Where there are none but those drawn
    at 64 pixels, which have no detail, the model draws its own."""
    files = list_pictures(face_folder)
    if files[0].name.startswith("drawn_"):
        with torch.no_grad():
            x = released_model.sample(8, 0.6, torch.Generator().manual_seed(0))
        return to_levels(x)
    chosen = files[:: max(1, len(files) // 8)][:8]
    size = released_model.config.image_size
    pixels = np.stack([prepare(file, size, align="center").pixels for file in chosen])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def hard_picture(kind: str, side: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    size = (1, 3, side, side)
    if kind == "noise":
        return torch.randint(0, 256, size, generator=g, dtype=torch.uint8)
    if kind == "black and white noise":
        return torch.randint(0, 2, size, generator=g, dtype=torch.uint8) * 255
    if kind == "checkerboard":
        board = (torch.arange(side)[:, None] + torch.arange(side)) % 2 * 255
        return board.to(torch.uint8).expand(size).contiguous()
    if kind == "flat":
        values = torch.tensor([0, 255, 128, 1], dtype=torch.uint8)
        return values.view(4, 1, 1, 1).expand(4, *size[1:]).contiguous()
    stripes = (torch.arange(side) // 3 % 2 * 255).to(torch.uint8)
    return stripes.expand(size).contiguous()


def test_released_files_are_what_was_promised() -> None:
    """At most 25 MB each and 40 MB together, each with its card and facts, and the 128 px one
    rests on the other."""
    names = ("faces64", "faces128")
    paths = [models.pretrained_path(name) for name in names]
    sizes = [path.stat().st_size for path in paths]
    assert max(sizes) <= 25e6 and sum(sizes) <= 40e6
    small, large = map(load, names)
    for path, model in zip(paths, (small, large), strict=True):
        assert model.config == PRESETS[path.stem] and path.with_suffix(".md").exists()
        assert {"val_bits_per_dim", "images_seen", "data"} <= set(model.facts)
    behind = {k: v for k, v in large.state_dict().items() if not k.startswith("details.")}
    assert behind.keys() == small.state_dict().keys()
    assert all(torch.equal(behind[k], v) for k, v in small.state_dict().items())


@pytest.mark.parametrize(
    "kind", ["noise", "black and white noise", "checkerboard", "flat", "stripes"]
)
def test_any_picture_comes_back_byte_for_byte(released_model: Glow, kind: str) -> None:
    """Black and white noise has codes of 800 deviations in `faces64`, where the rounding of a
    float32 z is worth some levels of the picture, as its card says, and a float64 one is needed.
    Behind the detail level the flow sees means, which are not as extreme."""
    side, far_out = released_model.config.image_size, kind == "black and white noise"
    levels = hard_picture(kind, side)
    x = bin_centers(levels)
    if far_out and side == 64:
        x = x.double()
    with torch.set_grad_enabled(far_out):  # with gradients and without
        z, _ = released_model.f(x)
        # One by one: kernels round differently for another batch, and that must not show.
        back = torch.cat([released_model.g(row.detach()) for row in z.split(1)]).detach()
    assert z.requires_grad == far_out and (z.abs().max() > 30 or not far_out)
    wrong = (to_levels(back).int() - levels.int()).abs()
    assert not wrong.any(), f"{int((wrong > 0).sum())} off by up to {int(wrong.max())}"


@torch.no_grad()
def test_faces_come_back_have_white_codes_and_cost_less_than_noise(
    released_model: Glow, eight: torch.Tensor
) -> None:
    """Under the model z ~ N(0, I): each level of real faces has a mean square near 1. Of drawn
    faces, which a clone has instead, nearer to the square of their temperature, 0.36."""
    z, _ = released_model.f(bin_centers(eight))
    back = to_levels(torch.cat([released_model.g(row) for row in z.split(1)]))
    assert torch.equal(back, eight)
    for part in released_model.split_levels(z):
        assert 0.3 < float(part.square().mean()) < 1.5
    middle = (z[:4] + z[4:]) / 2  # f(g(z)) = z where people edit: between two faces
    again, _ = released_model.f(released_model.g(middle))
    torch.testing.assert_close(again, middle, atol=5e-3, rtol=1e-3)
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(eight[:2].shape, generator=generator)
    assert bits_per_dim(released_model(noise), released_model.dims).mean() >= 8
    x = dequantize(eight[:4], generator=generator)
    assert bits_per_dim(released_model(x), released_model.dims).mean() < 4
