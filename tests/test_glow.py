"""The multiscale flow as a whole."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import perturb
from flows import CONFIGS, ONE_DETAIL, POINTS, SMALL, TWO_DETAILS, made, shape, smooth_images
from torch.utils.flop_counter import FlopCounterMode

import models
from glow_app.faces.face import prepare
from glow_app.faces.opening import list_pictures
from models import PRESETS, Glow, bin_centers, bits_per_dim, dequantize, to_levels
from models.steps import FlowStep


@pytest.fixture(scope="module", params=CONFIGS.items(), ids=CONFIGS.keys())
def model(request: pytest.FixtureRequest) -> Glow:
    return made(request.param[1])


@torch.no_grad()
def test_g_inverts_f_and_f_inverts_g(model):
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


@torch.no_grad()
def test_any_picture_of_a_small_flow_comes_back_byte_for_byte(model):
    """Smooth, noise, black and white; also within the range of its own states, or a wider one."""
    smooth = to_levels(smooth_images(model.config, 3))
    generator = torch.Generator().manual_seed(2)
    noise = torch.randint(0, 256, smooth.shape, generator=generator, dtype=torch.uint8)
    levels = torch.cat([smooth, noise, (noise > 127).to(torch.uint8) * 255])
    z, log_det = model.f(bin_centers(levels))
    assert z.shape == (9, model.dims) and z.dtype == log_det.dtype == torch.float32
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
        (POINTS, 1e-3),
        (SMALL.replace(image_size=4), 1e-3),
        (ONE_DETAIL.replace(image_size=8, steps=(2, 1), widths=(8, 8), blocks=(1, 1)), 1e-2),
    ],
    ids=["points", "image", "detail level"],
)
def test_log_prob_against_the_brute_force_determinant(config, atol):
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


@pytest.mark.parametrize("config", [PRESETS["tiny"], ONE_DETAIL, TWO_DETAILS])
@torch.no_grad()
def test_uniform_noise_costs_at_least_8_bits(config):
    for seed in range(3):
        model = perturb(made(config), 0.1, seed)
        generator = torch.Generator().manual_seed(seed)
        noise = torch.rand(64, *shape(config), generator=generator)
        assert bits_per_dim(model(noise), model.dims).mean() >= 8
    if config.details:  # one that has learned what pictures are like
        model = made(config, x=smooth_images(config, 256))
        assert bits_per_dim(model(noise), model.dims).mean() >= 8


@torch.no_grad()
def test_fold_follows_the_parameters():
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
def test_one_code_of_a_step_trains_encodes_and_decodes(reversible, monkeypatch):
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


def test_training_precision_stays_out_of_encoding_and_decoding():
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


def test_gradients_reach_every_parameter():
    model = made(PRESETS["tiny"]).train()
    model(torch.rand(4, *shape(model.config))).mean().backward()
    missing = [
        n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    triangles = {n for n in missing if n.endswith(("lower", "upper"))}
    assert not set(missing) - triangles  # the unused triangle of L and U is zero, no more


def test_initialise_leaves_a_loaded_model_alone():
    model = made(PRESETS["tiny"])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.initialize(torch.rand(256, *shape(model.config)) * 0.1)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_wrong_shapes_are_said():
    model = made(PRESETS["tiny"])
    with pytest.raises(ValueError, match=r"shape \(N, 3, 16, 16\), not \(1, 3, 8, 8\)\.$"):
        model.f(torch.rand(1, 3, 8, 8))
    with pytest.raises(ValueError, match="768"):
        model.g(torch.rand(1, 5))


@functools.cache
def load(name: str) -> Glow:
    """Released weights."""
    return models.load(models.pretrained_path(name))


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
def test_impossible_configurations_are_refused(config, changes, words):
    with pytest.raises(ValueError, match=words):
        config.replace(**changes)


def test_released_presets_are_within_their_budget():
    for name, most in (("faces64", 5e9), ("faces128", 9e9)):
        model = load(name)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model.g(torch.randn(1, model.dims))
        assert counter.get_total_flops() <= most
    assert sum(p.numel() for p in load("faces64").parameters()) <= 12_000_000
    assert PRESETS["faces128"].behind_finest() == PRESETS["faces64"]


# ---------------------------------------------------------------------- quantisation


def test_levels_survive_quantisation():
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


def test_bits_per_dim_of_the_uniform_density_is_the_number_of_bits():
    assert bits_per_dim(torch.zeros(1), 10).item() == 8
    assert bits_per_dim(torch.zeros(1), 10, n_bits=5).item() == 5
    # A density of 2 everywhere saves one bit in each dimension.
    assert bits_per_dim(torch.tensor([10 * math.log(2)]), 10).item() == pytest.approx(7)


# ---------------------------------------------------------------------- the released weights


@pytest.fixture(scope="module", params=["faces64", "faces128", "free128"])
def released_model(request: pytest.FixtureRequest) -> Glow:
    return load(request.param)


def hard_picture(kind: str, side: int) -> torch.Tensor:
    g, size = torch.Generator().manual_seed(0), (1, 3, side, side)
    if kind == "noise":
        return torch.randint(0, 256, size, generator=g, dtype=torch.uint8)
    if kind == "black and white noise":
        return torch.randint(0, 2, size, generator=g, dtype=torch.uint8) * 255
    places = torch.arange(side)
    values = {
        "checkerboard": ((places[:, None] + places) % 2 * 255).expand(size),
        "flat": torch.tensor([0, 255, 128, 1]).view(4, 1, 1, 1).expand(4, *size[1:]),
        "stripes": (places // 3 % 2 * 255).expand(size),
    }
    return values[kind].to(torch.uint8).contiguous()


def test_released_files_are_what_was_promised():
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
def test_any_picture_comes_back_byte_for_byte(released_model, kind):
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
def test_faces_come_back_have_white_codes_and_cost_less_than_noise(released_model, face_folder):
    """Under the model z ~ N(0, I): each level of real faces has a mean square near 1. Of drawn
    faces, which a clone has instead, nearer to the square of their temperature, 0.36."""
    files, side = list_pictures(face_folder), released_model.config.image_size
    if files[0].name.startswith("drawn_"):  # at 64 pixels, without detail: the model draws others
        four = to_levels(released_model.sample(4, 0.6, torch.Generator().manual_seed(0)))
    else:
        chosen = files[:: max(1, len(files) // 4)][:4]
        pixels = np.stack([prepare(file, side, align="center").pixels for file in chosen])
        four = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    z, _ = released_model.f(bin_centers(four))
    back = to_levels(torch.cat([released_model.g(row) for row in z.split(1)]))
    assert torch.equal(back, four)
    for part in released_model.split_levels(z):
        assert 0.3 < float(part.square().mean()) < 1.5
    middle = (z[:2] + z[2:]) / 2  # f(g(z)) = z where people edit: between two faces
    again, _ = released_model.f(released_model.g(middle))
    torch.testing.assert_close(again, middle, atol=5e-3, rtol=1e-3)
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(four[:2].shape, generator=generator)
    assert bits_per_dim(released_model(noise), released_model.dims).mean() >= 8
    x = dequantize(four, generator=generator)
    assert bits_per_dim(released_model(x), released_model.dims).mean() < 4
