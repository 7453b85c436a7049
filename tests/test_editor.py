"""The editor: exact ends, honest reports, reproducible samples, threads, refusals.

Most tests use a tiny model with random couplings, so they hold for any weights; those that speak
of faces use the released one.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from flows import made

import models
from glow_app.common.errors import UserError
from glow_app.common.memory import ExpiringCache
from glow_app.common.progress import Stopped
from glow_app.editing import model as model_module
from glow_app.editing.directions import Direction
from glow_app.editing.editor import Editor
from glow_app.editing.options import MorphOptions
from glow_app.editing.paths import PATHS, coarse_fine
from glow_app.editing.sampling import COMPONENTS, SAMPLE_PASS, ShapePrior
from glow_app.faces.landmarks import find_shape, mean_shape
from glow_app.ui.page_faces import drawn_face

pytest_plugins = ["tests.full_size_faces"]


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint: Path) -> Editor:
    return Editor(tiny_checkpoint, device="cpu")


def noise(editor: Editor, count: int, seed: int = 0) -> np.ndarray:
    """Pictures without any structure: the hardest ones to return exactly."""
    side = editor.image_size
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def step_sizes(frames: np.ndarray) -> np.ndarray:
    """How much the picture changes from frame to frame: mean absolute difference of levels."""
    return np.abs(np.diff(frames.astype(int), axis=0)).mean(axis=(1, 2, 3))


def unevenness(frames: np.ndarray) -> float:
    steps = step_sizes(frames)
    return float(steps.std() / steps.mean())


# --------------------------------------------------------------------------------- exact and equal


def test_every_picture_comes_back_to_the_byte(tiny):
    side = tiny.image_size
    flat = [np.full((1, side, side, 3), level, np.uint8) for level in (0, 127, 255)]
    pictures = np.concatenate([noise(tiny, 11), *flat])
    z = tiny.model.encode(pictures)
    assert z.shape == (14, tiny.model.flow.dims) and z.dtype == torch.float32
    decoded, clamped = tiny.model.decode_with_report(z)
    np.testing.assert_array_equal(decoded, pictures)
    assert clamped.shape == (14,) and not clamped.any()
    np.testing.assert_array_equal(tiny.model.roundtrip(pictures), np.zeros(14))
    assert not z.is_inference() and not z.requires_grad
    z += 1  # tensors made under inference_mode would refuse


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_a_morph_of_faces_starts_on_a_and_ends_on_b(small, faces, path, alone):
    a, b = faces[0], faces[5]
    morph = small.morph_frames(a, b, frames=9, path=path, alone=alone)
    assert morph.frames.shape == (9, 64, 64, 3) and morph.frames.dtype == np.uint8
    assert morph.path == path and morph.t.dtype == np.float32 and morph.stops == (0, 8)
    np.testing.assert_allclose(morph.t, np.linspace(0, 1, 9), atol=1e-7)
    np.testing.assert_array_equal(morph.frames[0], a)
    np.testing.assert_array_equal(morph.frames[-1], b)
    # Between them each frame is nearer to its neighbours than A is to B.
    steps = step_sizes(morph.frames)
    assert steps.min() > 0 and steps.max() < np.abs(a.astype(int) - b).mean()


def test_the_model_alone_is_decoded_and_not_pasted(tiny, monkeypatch):
    """The ends come out of g: a model that is off shows it. Between photos it does not."""
    a, b = noise(tiny, 2)
    g = tiny.model.flow.g
    monkeypatch.setattr(tiny.model.flow, "g", lambda z, within=None: g(z, within) + 3 / 256)
    frames = tiny.morph_frames(a, b, 3, alone=True).frames
    np.testing.assert_array_equal(frames[0], np.minimum(a.astype(int) + 3, 255))
    np.testing.assert_array_equal(frames[-1], np.minimum(b.astype(int) + 3, 255))
    morph = tiny.morph_frames(a, b, 3)
    np.testing.assert_array_equal(morph.frames[[0, 2]], [a, b])
    np.testing.assert_array_equal(morph.looks[[0, 2]], frames[[0, 2]])
    assert tiny.read(np.full((16, 16, 3), 127, np.uint8)).roundtrip_max_levels == 3


def test_the_model_alone_draws_the_codes_of_a_straight_line(small, examples):
    """g(z_t), z_t between the codes of the crops as they are, and no photo or warp beside."""
    a, b = examples[:2]
    t = np.array([0.0, 0.3, 0.5, 0.8, 1.0])
    morph = small.morph_frames(a, b, t, alone=True)
    coded = small.model.encode_with_range(np.stack([a.pixels, b.pixels]))
    z = torch.stack([torch.lerp(*coded.z.double(), float(share)) for share in t]).float()
    within = coded.within.merged().widened(0.25)
    expected = small.model.decode_with_report(z, within=within)[0]
    assert np.abs(morph.frames.astype(int) - expected).max() <= 1  # rounding of other passes
    assert (morph.frames == expected).mean() > 0.999
    np.testing.assert_array_equal(morph.frames, morph.looks)
    np.testing.assert_array_equal(morph.frames[[0, -1]], [a.pixels, b.pixels])
    assert morph.native == 64 and morph.renderer is None and not morph.warped
    loop = small.journey([a, b], 3, "linear", loop=True, alone=True)
    assert np.abs(loop.frames[1].astype(int) - morph.frames[2]).max() <= 1


def test_constant_speed_evens_out_the_steps_and_keeps_the_ends(small, examples):
    """The change of the ground gets more frames."""
    a, b = examples[:2]
    plain, even = (small.morph_frames(a, b, 17, constant_speed=c) for c in (False, True))
    assert even.stops == (0, 16) and even.t[0] == 0 and even.t[-1] == 1
    np.testing.assert_array_equal(even.frames[[0, -1]], [a.pixels, b.pixels])
    assert unevenness(even.frames) < unevenness(plain.frames) / 2
    both = [sum(len(point.grounds) == 2 for point in morph.points) for morph in (plain, even)]
    assert both[1] >= 2 * both[0]


def test_a_constant_speed_loop_visits_every_photo(small, faces):
    plain, loop = (
        small.journey(faces[:3], 9, loop=True, alone=True, constant_speed=c) for c in (False, True)
    )
    assert len(loop.frames) == 24 and loop.stops[0] == 0 and len(loop.stops) == 3
    np.testing.assert_array_equal(loop.frames[list(loop.stops)], faces[:3])
    np.testing.assert_allclose(loop.t[list(loop.stops)], [0, 1 / 3, 2 / 3], rtol=1e-6)
    uneven, ring = (np.concatenate([m.frames, m.frames[:1]]) for m in (plain, loop))
    assert unevenness(ring) < min(0.1, unevenness(uneven) / 2)
    # A cubic loop has no jump at its seam: no farther than between the neighbours.
    between = small.journey(faces[:2], 9, loop=True)
    np.testing.assert_array_equal(between.frames[list(between.stops)], faces[:2])
    for closed in (uneven, np.concatenate([between.frames, between.frames[:1]])):
        steps = step_sizes(closed)
        assert 0 < steps[-1] <= max(steps[-2], steps[0])


def test_beyond_the_ends_the_path_goes_on_and_says_what_it_clamped(released, faces):
    a, b = faces[0], faces[5]
    wide = released.morph_frames(a, b, 5, "linear", alone=True, t_range=(-0.5, 1.5))
    np.testing.assert_allclose(wide.t, np.linspace(-0.5, 1.5, 5))
    assert wide.stops == (1, 3)
    np.testing.assert_array_equal(wide.frames[[1, 3]], [a, b])
    assert wide.clamped_frames.shape == (5,) and not wide.clamped_frames[[1, 3]].any()
    assert wide.norms[0].mean() > 1.2 * wide.norms[1].mean()
    z_a, z_b = released.model.encode(np.stack([a, b]))
    walk = released.walk((a, b), MorphOptions(alone=True))
    with torch.no_grad():
        x = released.model.flow.g((z_a - 0.5 * (z_b - z_a)).unsqueeze(0), walk.within(-0.5))
    share = ((x < 0) | (x > 1)).float().mean()
    assert 0 < wide.clamped_frames[0] == pytest.approx(float(share), abs=2 / x.numel())
    assert wide.clamped == pytest.approx(wide.clamped_frames.mean())
    kept = released.morph_frames(a, b, [-0.5], "spherical", alone=True)
    assert kept.clamped_frames[0] < wide.clamped_frames[0]


def test_statistics_are_those_of_each_frame(tiny):
    a, b = pictures = noise(tiny, 2)
    morph = tiny.morph_frames(a, b, np.array([1.0, 0.0, 0.5]))
    np.testing.assert_array_equal(morph.t, np.array([1.0, 0.0, 0.5], np.float32))
    np.testing.assert_array_equal(morph.u, [1.0, 0.0, 0.5])
    np.testing.assert_array_equal(morph.frames[:2], [b, a])
    assert morph.stops == (0, 1) and morph.norms.shape == (3, len(tiny.model.level_shapes))
    z_a, z_b = tiny.model.encode(pictures)
    for norms, code in zip(morph.norms, (z_b, z_a, (z_a + z_b) / 2), strict=True):
        parts = tiny.model.flow.split_levels(code[None])
        expected = [float(p.norm() / p.numel() ** 0.5) for p in parts]
        np.testing.assert_allclose(norms, expected, rtol=1e-4)
    bits = tiny.model.bits_per_dim(morph.frames)
    expected = [tiny.read(frame).bits_per_dim for frame in morph.frames]
    np.testing.assert_allclose(bits, expected, rtol=1e-5)
    for path in PATHS:  # identical photos stand still
        still = tiny.morph_frames(a, a.copy(), 5, path)
        np.testing.assert_array_equal(still.frames, np.repeat(a[None], 5, axis=0))


def test_coarse_frames_come_first_and_none_is_made_twice(tiny, monkeypatch):
    pictures = noise(tiny, 2)
    walk, u = tiny.walk(pictures, MorphOptions()), np.linspace(0, 1, 9)
    decode, passes = tiny.model.decode_with_report, []

    def counted(z: torch.Tensor, **how: object) -> object:
        passes.append(len(z))
        return decode(z, **how)

    monkeypatch.setattr(tiny.model, "decode_with_report", counted)
    first, whole = tiny.along(walk, u, coarse=4)
    assert sum(passes) == 9
    np.testing.assert_array_equal(first.t, [0, 0.5, 1])
    assert first.stops == (0, 2) and whole.stops == (0, 8)
    np.testing.assert_array_equal(first.frames, whole.frames[::4])
    (same,) = tiny.along(walk, u)
    difference = np.abs(whole.frames.astype(int) - same.frames)  # rounding of other passes
    assert difference.max() <= 2 and difference[[0, -1]].max() == 0
    np.testing.assert_array_equal(whole.points[3].shape, same.points[3].shape)


@pytest.mark.parametrize("cores", [1, 5, 16])
def test_a_pass_shared_among_cores_gives_what_single_pictures_give(
    tiny_checkpoint, cores, monkeypatch
):
    monkeypatch.setattr(model_module, "CORES", cores)
    model = Editor(tiny_checkpoint, device="cpu").model
    model.batch = 7
    pictures = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    together = model.encode_with_range(pictures)
    z, within = together.z, together.within.widened(0.1)
    decoded, clamped = model.decode_with_report(1.5 * z, within=within)
    bits = model.bits_per_dim(pictures, list(range(9)))
    for i, picture in enumerate(pictures):
        model._codes = ExpiringCache(4, 60)
        alone = model.encode_with_range(picture)
        torch.testing.assert_close(z[i], alone.z[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(together.within.low[i], alone.within.low[0])
        torch.testing.assert_close(together.within.high[i], alone.within.high[0])
        one, share = model.decode_with_report(1.5 * z[i], within=within[i])
        assert np.abs(one[0].astype(int) - decoded[i]).max() <= 1
        assert share[0] == pytest.approx(clamped[i], abs=0.01)
        assert bits[i] == pytest.approx(model.bits_per_dim(picture, [i])[0], rel=1e-5)
    assert len(np.unique(model.bits_per_dim(np.repeat(pictures[:1], 3, 0), [1, 2, 3]))) == 3
    np.testing.assert_array_equal(model.decode(z), pictures)
    usual = together.within.merged()  # one range for all goes to every part
    held = model.decode_with_report(1.5 * z, within=usual)[0]
    again = model.decode_with_report(1.5 * z[8], within=usual)[0]
    assert np.abs(held[8].astype(int) - again[0]).max() <= 1


def test_an_error_in_a_part_of_a_pass_is_told(tiny, monkeypatch):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError

    codes = torch.zeros(5, tiny.model.flow.dims)
    with monkeypatch.context() as patch:
        patch.setattr(tiny.model.flow, "g", full)
        with pytest.raises(UserError, match="memory"):
            tiny.model.decode(codes)
    assert len(tiny.model.decode(codes)) == 5  # nothing stayed locked


# ------------------------------------------------------------------------------------------- edits


def test_mix_takes_each_level_from_one_of_the_two(tiny):
    a, b = noise(tiny, 2)
    levels = len(tiny.model.level_shapes)
    np.testing.assert_array_equal(tiny.mix(a, b, [0] * levels).pixels, a)
    np.testing.assert_array_equal(tiny.mix(a, b, [1] * levels).pixels, b)
    # The code of the mix has the fine level of B and the coarse one of A.
    z = tiny.model.encode(np.stack([a, b]))
    (_, coarse_a), (fine_b, _) = (tiny.model.flow.split_levels(row[None]) for row in z)
    mixed = tiny.model.flow.join_levels([fine_b, coarse_a])
    weights = coarse_fine(levels, 1)
    guard = tiny.mix_walk(a, b, weights).within(1.0)
    expected, _ = tiny.model.decode_with_report(mixed, within=guard)
    np.testing.assert_array_equal(tiny.mix(a, b, weights).looks, expected)


def made_direction(editor: Editor, name: str = "made", seed: int = 3) -> Direction:
    vector = torch.randn(editor.model.flow.dims, generator=torch.Generator().manual_seed(seed))
    return Direction(name, 0.1 * vector, fingerprint=editor.fingerprint)


def test_an_edit_adds_directions_in_the_code(tiny):
    picture = noise(tiny, 1)[0]
    one, two = made_direction(tiny), made_direction(tiny, seed=4)
    np.testing.assert_array_equal(tiny.edit(picture).pixels, picture)
    np.testing.assert_array_equal(tiny.edit(picture, [(one, 0.0), (two, 0.0)]).pixels, picture)
    z = tiny.model.encode(picture) + 2 * one.vector - 0.5 * two.vector
    both = tiny.edit(picture, [(one, 2.0), (two, -0.5)])
    within = tiny.model.encode_with_range(picture).within.widened(0.1)
    np.testing.assert_array_equal(both.looks, tiny.model.decode_with_report(z, within=within)[0])
    assert 0 <= both.clamped <= 1


def test_the_fingerprint_is_of_the_weights_and_not_of_the_file(tiny, tiny_checkpoint, tmp_path):
    again = models.save(tiny.model.flow, tmp_path / "renamed.safetensors", {"note": "other facts"})
    assert Editor(again, device="cpu").fingerprint == tiny.fingerprint
    model = models.load(tiny_checkpoint)
    with torch.no_grad():
        model.levels[-1].prior.mean[0] += 1e-3
    changed = Editor(models.save(model, tmp_path / "changed.safetensors"), device="cpu")
    assert changed.fingerprint != tiny.fingerprint


# ------------------------------------------------------------------------------- progress and stop


@pytest.mark.parametrize(
    "work",
    [
        lambda e, p, report: e.morph_frames(*p[:2], 5, constant_speed=True, progress=report),
        lambda e, p, report: e.journey(p[:3], 3, loop=True, progress=report),
        lambda e, p, report: e.model.bits_per_dim(p, progress=report),
        lambda e, p, report: e.morph_frames(*p[:2], 5).enlarged(40, progress=report),
        lambda e, p, report: e.sampler.sample_temperatures([0.5, 0.7], 3, progress=report),
        lambda e, p, report: e.sampler.neighbours(1, SAMPLE_PASS + 1, progress=report),
    ],
)
def test_progress_goes_from_nothing_to_all_and_can_stop(tiny_checkpoint, work):
    editor = Editor(tiny_checkpoint, device="cpu")
    editor.model.batch = 2
    pictures, reports = noise(editor, 5), []
    whole = work(editor, pictures, lambda done, total: reports.append((done, total)))
    total = reports[0][1]
    assert reports[0] == (0, total) and reports[-1] == (total, total) and len(reports) > 2
    assert [d for d, _ in reports] == sorted({d for d, _ in reports})

    def stop(done: int, total: int) -> None:
        if done:
            raise Stopped

    with pytest.raises(Stopped):
        work(editor, pictures, stop)
    again = work(editor, pictures, None)  # nothing was left locked or half done
    for first, second in zip(*(getattr(r, "frames", r) for r in (whole, again)), strict=True):
        np.testing.assert_array_equal(first, second)


def test_fewer_bits_are_exact_at_their_own_depth(tmp_path):
    """A 5-bit model cannot hold the low bits, but returns its own levels exactly."""
    model = made(models.PRESETS["tiny"].replace(n_bits=5))
    five = Editor(models.save(model, tmp_path / "five.safetensors"), device="cpu")
    pictures = noise(five, 3)
    decoded = five.model.decode(five.model.encode(pictures))
    np.testing.assert_array_equal(decoded, pictures // 8 * 8 + 4)
    np.testing.assert_array_equal(five.model.roundtrip(pictures), [0, 0, 0])


def test_codes_are_computed_once_kept_apart_and_bounded(tiny_checkpoint, monkeypatch):
    monkeypatch.setattr(model_module, "CACHED_CODES", 8)
    model = Editor(tiny_checkpoint, device="cpu").model
    f, counts = model.flow.f_with_range, []  # how many pictures each call of it gets
    monkeypatch.setattr(model.flow, "f_with_range", lambda x: (counts.append(len(x)), f(x))[1])
    pictures = np.random.default_rng(0).integers(0, 256, (13, 16, 16, 3), dtype=np.uint8)
    first = model.encode(pictures[:3])
    twice = model.encode(pictures[[2, 0, 2]])
    assert torch.equal(twice, first[[2, 0, 2]])
    twice.zero_()  # a caller may do what it likes with its codes
    assert torch.equal(model.encode(pictures[:3]), first)
    assert sum(counts) == 3
    codes = model.encode(pictures)  # more than fit, in one call
    assert len(model._codes) == 8
    counts.clear()
    model.encode(pictures[5:])
    assert counts == []
    torch.testing.assert_close(model.encode(pictures[:1]), codes[:1], rtol=1e-4, atol=1e-4)
    assert counts == [1] and len(model._codes) == 8
    pictures[0, 0, 0, 0] ^= 1
    assert not torch.equal(model.encode(pictures[:1]), codes[:1])


def test_a_code_is_kept_no_longer_than_promised():
    """Also if nothing else is asked for; and a second photo must not renew the first one."""
    cache = ExpiringCache(size=4, seconds=0.8)
    cache.keep(b"old", torch.zeros(3))
    assert cache.get(b"old") is not None
    time.sleep(0.5)
    cache.keep(b"new", torch.zeros(3))
    time.sleep(0.4)
    assert cache.get(b"old") is None and cache.get(b"new") is not None
    for left in (1, 0):  # forgotten when it was due, not a period after the timer last rang
        deadline = time.monotonic() + (0.25 if left else 5)
        while len(cache) > left and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(cache) == left


def test_codes_out_of_range_neither_crash_nor_spread(tiny):
    pictures = noise(tiny, 3)
    for bad in (float("nan"), float("inf"), float("-inf"), 1e38, -1e30):
        z = tiny.model.encode(pictures)
        z[1, ::7] = bad
        decoded, clamped = tiny.model.decode_with_report(z)
        np.testing.assert_array_equal(decoded[[0, 2]], pictures[[0, 2]])
        assert 0 < clamped[1] <= 1 and not clamped[[0, 2]].any()
        decoded, clamped = tiny.model.decode_with_report(torch.full((tiny.model.flow.dims,), bad))
        assert decoded.shape == (1, 16, 16, 3)
        assert np.isfinite(bad) or clamped == [1]


def test_clamped_counts_what_left_the_range(tiny, monkeypatch):
    x = torch.full((1, 3, tiny.image_size, tiny.image_size), 0.5)
    x[0, 0, 0, :4] = torch.tensor([-0.1, 1.1, float("nan"), float("inf")])
    monkeypatch.setattr(tiny.model.flow, "g", lambda z, within: x)
    decoded, clamped = tiny.model.decode_with_report(torch.zeros(1, tiny.model.flow.dims))
    assert clamped == pytest.approx([4 / tiny.model.flow.dims])
    assert decoded[0, 0, :5, 0].tolist() == [0, 255, 128, 255, 128]


def test_reading_is_the_likelihood_of_this_picture(tiny):
    picture = noise(tiny, 1)[0]
    reading = tiny.read(picture)
    levels = torch.from_numpy(picture).permute(2, 0, 1)[None]
    x = models.dequantize(levels, 8, torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = models.bits_per_dim(tiny.model.flow.log_prob(x), tiny.model.flow.dims)
    assert reading.bits_per_dim == pytest.approx(float(expected), rel=1e-5)
    assert reading.roundtrip_max_levels == 0 and tiny.read(picture) == reading


# ----------------------------------------------------------------------------------------- samples


def test_each_sample_has_its_own_seed_at_any_temperature(tiny):
    count = SAMPLE_PASS + 3  # one full pass and one that is not
    grid = tiny.sampler.sample(count, temperature=0.8, seed=40)
    assert grid.shape == (count, tiny.image_size, tiny.image_size, 3)
    assert len({picture.tobytes() for picture in grid}) == count
    for i in (0, SAMPLE_PASS - 1, count - 1):
        np.testing.assert_array_equal(tiny.sampler.sample(1, 0.8, 40 + i)[0], grid[i])
    rows = tiny.sampler.sample_temperatures([0.3, 0.8], n=count, seed=40)
    np.testing.assert_array_equal(rows, [tiny.sampler.sample(count, 0.3, 40), grid])


def test_temperature_scales_the_levels_of_the_code(tiny):
    cold = tiny.sampler.sample(3, temperature=0, seed=1)
    np.testing.assert_array_equal(cold[0], cold[1])
    z = torch.randn(tiny.model.flow.dims, generator=torch.Generator().manual_seed(7))
    *finer, coarsest = tiny.model.flow.split_levels(z[None])
    scaled = tiny.model.flow.join_levels([*(level / 8 for level in finer), coarsest / 2])
    np.testing.assert_array_equal(
        tiny.sampler.sample(1, temperature=0.5, seed=7), tiny.model.decode(scaled)
    )
    np.testing.assert_array_equal(
        tiny.sampler.sample(1, temperature=1, seed=7), tiny.model.decode(z)
    )


def test_neighbours_lie_around_their_face(small):
    centre = small.sampler.sample(1, 0.7, seed=22)[0]
    same = small.sampler.neighbours(22, 2, radius=0, temperature=0.7)
    np.testing.assert_array_equal(same, [centre, centre])
    more = small.sampler.neighbours(22, SAMPLE_PASS + 1, radius=0.2)
    np.testing.assert_array_equal(more[:3], small.sampler.neighbours(22, 3, radius=0.2))
    assert len({p.tobytes() for p in more}) == len(more)


def width(shape: np.ndarray) -> float:
    return float(np.ptp(shape[:, 0]))


def test_a_prior_of_shapes_follows_the_code_and_varies_by_what_that_leaves_open(tmp_path):
    """Fitted to faces whose width follows the first coarse number, and whose height is free."""
    chance = np.random.default_rng(0)
    codes, mean = chance.normal(size=(600, 4)), mean_shape().astype(float)
    shapes = mean + 2e-4 * chance.normal(size=(600, *mean.shape))
    shapes[..., 1] += 0.03 * chance.normal(size=(600, 1)) * (shapes[..., 1] - 0.5)
    shapes[..., 0] += 0.05 * codes[:, :1] * (shapes[..., 0] - 0.5)
    prior = ShapePrior.fitted(shapes, codes, ridge=1e-3, fingerprint="abc")
    still = torch.zeros(COMPONENTS)
    wide, slim = (
        prior.at(torch.tensor([9.0, 9.0, s, 0.0, 0.0, 0.0]), still) for s in (2.0, -2.0)
    )  # only the last four numbers count
    assert width(wide) - width(slim) == pytest.approx(0.05 * 4 * width(mean), rel=0.1)
    guessed = np.stack([prior.at(torch.from_numpy(z), still) for z in codes[:50]])
    assert np.abs(guessed - shapes[:50])[..., 0].mean() < 0.001

    noise = torch.randn(400, COMPONENTS, generator=torch.Generator().manual_seed(0))
    drawn = np.stack([prior.at(torch.zeros(4), row) for row in noise])
    widths, heights = (np.ptp(drawn, axis=1) / np.ptp(mean, axis=0)).T
    assert heights.std() == pytest.approx(0.03, rel=0.15) and widths.std() < 0.005

    back, noise = ShapePrior.load(prior.save(tmp_path / "shapes.safetensors")), noise[0]
    z = torch.tensor([0.5, -1.0, 0.2, 0.1])
    np.testing.assert_allclose(back.at(z, noise), prior.at(z, noise), atol=1e-4)
    assert back.fingerprint == "abc"
    for content in (b"", b"no shapes", models.pretrained_path("faces128").read_bytes()):
        (tmp_path / "other.safetensors").write_bytes(content)
        with pytest.raises((UserError, ValueError), match=r"no shapes|damaged"):
            ShapePrior.load(tmp_path / "other.safetensors")


def test_released_faces_have_shapes_of_their_own(default, tiny_checkpoint):
    """What was drawn is what the face finder finds on the picture."""
    sampler, folder = default.sampler, models.pretrained_path().parent / "shapes"
    assert sampler.shapes is not None and sampler.shapes.size == COMPONENTS
    assert (folder / f"{default.name}.safetensors").stat().st_size < 500_000
    drawn, near, far = [sampler.draw(seed, 0.7) for seed in range(6)], [], []
    np.testing.assert_array_equal([pixels for pixels, _ in drawn[:2]], sampler.sample(2, 0.7, 0))
    for pixels, shape in drawn:
        if (found := find_shape(pixels)) is not None:
            near.append(np.abs(found - shape).mean())
            far.append(np.abs(found - default.model.looks.mean).mean())
    assert len(near) >= 5 and np.mean(near) < 0.02
    assert np.mean(near) < 0.75 * np.mean(far)
    assert np.ptp([width(shape) for _, shape in drawn]) > 0.01
    assert Editor(tiny_checkpoint, device="cpu").sampler.draw(0)[1] is None
    face = drawn_face(default, 3, 0.7)
    np.testing.assert_array_equal(face.pixels, drawn[3][0])
    np.testing.assert_array_equal(face.shape, drawn[3][1])
    pixels, shape = sampler.draw(0, 0.0)  # without temperature it is the middle
    np.testing.assert_array_equal(pixels, sampler.draw(1, 0.0)[0])
    assert np.abs(shape - sampler.shapes.mean).mean() < 0.01
    # Details and shapes have temperatures of their own.
    noise = torch.ones(default.model.flow.dims + COMPONENTS)
    z, shape = sampler._tempered(noise, 0.5).split([default.model.flow.dims, COMPONENTS])
    levels = default.model.flow.split_levels(z[None])
    assert [float(level.unique()) for level in levels] == [1 / 4, 1 / 8, 1 / 8, 1 / 8, 1 / 2]
    assert float(shape.unique()) == 1 / 4


# ----------------------------------------------------------------------------- threads and devices


def test_threads_do_not_disturb_each_other(tiny_checkpoint):
    editor, fresh = (Editor(tiny_checkpoint, device="cpu") for _ in range(2))  # own caches
    pictures = noise(editor, 8)
    alone = [editor.morph_frames(pictures[i], pictures[-1 - i], 5).frames for i in range(4)]
    barrier = threading.Barrier(4)

    def work(i: int) -> list[np.ndarray]:
        barrier.wait()
        return [fresh.morph_frames(pictures[i], pictures[-1 - i], 5).frames for _ in range(2)]

    with ThreadPoolExecutor(4) as pool:
        for expected, results in zip(alone, pool.map(work, range(4)), strict=True):
            for frames in results:
                difference = np.abs(frames.astype(int) - expected)
                assert difference.max() <= 1  # codes of another batch may round differently
                np.testing.assert_array_equal(frames[0], expected[0])


def test_unknown_devices_are_one_sentence(tiny_checkpoint):
    for device in ("warp", "cuda:99", "meta", ""):
        with pytest.raises(UserError) as caught:
            Editor(tiny_checkpoint, device=device)
        assert "\n" not in str(caught.value)
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="CUDA"):
            Editor(tiny_checkpoint, device="cuda")
        assert Editor(tiny_checkpoint, device="auto").model.device.type == "cpu"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda e, p: e.model.encode(p[:, :-1]), "takes 16x16"),
        (lambda e, p: e.model.encode(p[:0]), "takes 16x16"),
        (lambda e, p: e.model.encode(p / 255), "uint8"),
        (lambda e, p: e.model.decode(torch.zeros(2, 5)), "Codes are"),
        (lambda e, p: e.read(p), "One picture"),
        (lambda e, p: e.morph_frames(p, p), "One picture"),
        (lambda e, p: e.morph_frames(*p, 1), "frames"),
        (lambda e, p: e.morph_frames(*p, 10**9), "frames"),
        (lambda e, p: e.morph_frames(*p, []), "positions"),
        (lambda e, p: e.morph_frames(*p, [0.5, 1.6]), "between -0.5 and 1.5"),
        (lambda e, p: e.morph_frames(*p, [float("nan")]), "between -0.5 and 1.5"),
        (lambda e, p: e.morph_frames(*p, 3, "curly"), "curly"),
        (lambda e, p: e.morph_frames(*p, [0.0, 1.0], constant_speed=True), "number of frames"),
        (lambda e, p: e.journey(p[:1]), "two pictures"),
        (lambda e, p: e.journey(p, frames=1), "frames"),
        (lambda e, p: e.journey(p, frames=10**9), "at most 2000 frames: .* 2 to 2000, not"),
        (lambda e, p: e.journey([*p, *p], frames=999), "from one .* the next 2 to 667, not 999"),
        (lambda e, p: e.journey(p, path="curly"), "curly"),
        (lambda e, p: e.morph_frames(*p, 3, "cubic"), "'cubic': choose one of linear, spherical"),
        (lambda e, p: e.morph_frames(*p, 3, ground="c"), "'c': choose one of switch, a, b"),
        (lambda e, p: e.journey(p, ground="c"), "ground"),
        (lambda e, p: e.morph_frames(*p, 3, kappa=1.1), "between 0 and 1"),
        (lambda e, p: e.morph_frames(*p, 3, kappa=float("nan")), "between 0 and 1"),
        (lambda e, p: e.mix(*p, [0.5, 0.5], -0.1), "shape"),
        (lambda e, p: e.morph_frames(*p, 3, t_range=(-1, 1)), "range of t"),
        (lambda e, p: e.morph_frames(*p, 3, t_range=(1, 0)), "range of t"),
        (lambda e, p: e.morph_frames(*p, 3, t_range=(-0.5, 1.5), constant_speed=True),
         "at least 4 frames, not 3"),
        (lambda e, p: e.morph_frames(*p, 2, t_range=(0.5, 1.5), constant_speed=True), "3 fr"),
        (lambda e, p: e.mix(*p, [0.5]), "weights"),
        (lambda e, p: e.mix(*p, [0.5, 1.6]), "weight"),
        (lambda e, p: e.mix(*p, [0.5, float("nan")]), "weight"),
        (lambda e, p: e.edit(p[0], [(made_direction(e), float("nan"))]), "finite"),
        (lambda e, p: e.edit(p[0], [(replace(made_direction(e), fingerprint="x"), 1.0)]),
         "of another model"),
        (lambda e, p: e.edit(p[0], toward=1.1), "average"),
        (lambda e, p: e.average([p[0], p]), "One picture"),
        (lambda e, p: e.average([]), "at least one"),
        (lambda e, p: e.sampler.sample_temperatures([0.5, -1]), "temperature"),
        (lambda e, p: e.sampler.neighbours(1, radius=1.5), "radius"),
        (lambda e, p: e.sampler.neighbours(-1), "Seeds"),
        (lambda e, p: e.sampler.sample(0), "sample"),
        (lambda e, p: e.sampler.sample(1, temperature=-1), "temperature"),
        (lambda e, p: e.sampler.sample(1, temperature=float("nan")), "temperature"),
        (lambda e, p: e.sampler.sample(1, seed=-1), "Seeds"),
        (lambda e, p: e.sampler.sample(1, seed=2**32), "Seeds"),  # would be the picture of seed 0
        (lambda e, p: e.sampler.sample(2, seed=2**32 - 1), "Seeds"),
    ],
)  # fmt: skip
def test_refusals_are_one_sentence(tiny, call, words):
    with pytest.raises(UserError, match=words) as caught:
        call(tiny, noise(tiny, 2))
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
