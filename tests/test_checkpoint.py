"""Weights in and out; every bad file is one clear sentence."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import full_disk, metadata_of, perturb
from safetensors.torch import load_file, save_file

import models
from glow_app.training import TrainConfig
from glow_app.training.optimization import make_optimizer
from models import PRESETS, CheckpointError, Glow, GlowConfig, StateRange


@pytest.fixture
def model() -> Glow:
    torch.manual_seed(3)
    return perturb(Glow(PRESETS["tiny"])).eval()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.save(Glow(PRESETS["tiny"]), tmp_path_factory.mktemp("good") / "good.safetensors")


def rewrite(
    source: Path,
    target: Path,
    tensors: dict[str, torch.Tensor] | None = None,
    config: dict[str, object] | None = None,
    **metadata: str,
) -> None:
    """Copy a checkpoint with some tensors, fields of its configuration, or metadata changed."""
    known = metadata_of(source)
    fields = json.loads(known["config"]) | (config or {})
    metadata = known | {"config": json.dumps(fields)} | metadata
    save_file(load_file(str(source)) | (tensors or {}), str(target), metadata)


def test_save_and_load_keep_everything(model, tmp_path):
    path = models.save(model, tmp_path / "m.safetensors", {"images_seen": 5})
    again = models.load(path)
    x = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(again.f(x)[0], model.f(x)[0])
    assert again.config == model.config
    assert again.facts == {"images_seen": 5}
    assert not again.training
    assert list(tmp_path.iterdir()) == [path]  # no temporary file stays


def test_half_precision_halves_the_file_and_keeps_the_flow_exact(tmp_path):
    model = perturb(Glow(PRESETS["faces64"].replace(steps=(1, 1, 1, 1)))).eval()
    full = models.save(model, tmp_path / "full.safetensors")
    half = models.save(model, tmp_path / "half.safetensors", half=True)
    assert half.stat().st_size < 0.6 * full.stat().st_size
    loaded = models.load(half)
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(loaded.g(loaded.f(x)[0]), x, atol=1e-4, rtol=0)


def test_the_usual_range_travels_beside_the_weights(model, tmp_path):
    assert models.load(models.save(model, tmp_path / "without.safetensors")).usual_range is None
    names = list(model.state_dict())
    usual = StateRange(-1 - torch.rand(1, K), torch.rand(1, K))
    model.usual_range = usual
    assert list(model.state_dict()) == names  # fingerprints of weights do not know of it
    again = models.load(models.save(model, tmp_path / "with.safetensors", half=True))
    assert torch.equal(again.usual_range.low, usual.low)
    assert torch.equal(again.usual_range.high, usual.high)
    assert list(again.state_dict()) == names
    for shape in ((1, K - 1), (2, K)):
        with pytest.raises(ValueError, match="range of states"):
            model.usual_range = StateRange(torch.zeros(shape), torch.ones(shape))


def huge(good: Path, bad: Path) -> None:
    """Sparse where the file system can."""
    bad.write_bytes(good.read_bytes())
    with open(bad, "rb+") as file:
        file.truncate(5_000_000_000)


def missing_tensor(good: Path, bad: Path) -> None:
    state = load_file(str(good))
    del state[next(iter(state))]
    save_file(state, str(bad), metadata_of(good))


def with_range(*ends: torch.Tensor) -> Callable[[Path, Path], None]:
    """With these tensors as low and high end."""
    named = dict(zip(("usual_range.low", "usual_range.high"), ends, strict=False))
    return lambda good, bad: rewrite(good, bad, {k: v.clone() for k, v in named.items()})


K = sum(PRESETS["tiny"].state_channels())
OLDER = {"dropout": 0.0, "scale_map": "tanh"}  # fields that a configuration once had
NAN, INF = torch.full((24,), float("nan")), torch.full((1, K), float("inf"))
ZEROS, ONES = torch.zeros(2, K + 1), torch.ones(2, K + 1)


def changed(**changes: object) -> Callable[[Path, Path], None]:
    """With these fields of the configuration."""
    return lambda good, bad: rewrite(good, bad, config=changes)


BAD = {
    "truncated": lambda good, bad: bad.write_bytes(good.read_bytes()[:-1000]),
    "empty": lambda good, bad: bad.write_bytes(b""),
    "text": lambda good, bad: bad.write_text("These are not weights."),
    "folder": lambda good, bad: bad.mkdir(),
    "missing": lambda good, bad: None,
    "foreign": lambda good, bad: save_file({"weight": torch.zeros(3)}, str(bad)),
    "pickled": lambda good, bad: torch.save(load_file(str(good)), bad),
    "huge": huge,
    "other version": lambda good, bad: rewrite(good, bad, version="99"),
    "other shape": changed(widths=[24, 24]),
    "missing tensor": missing_tensor,
    "not finite": lambda good, bad: rewrite(good, bad, {"top.mean": NAN}),
    "impossible config": changed(steps=[-1], x=1),
    "with dropout": changed(**OLDER | {"dropout": 0.1}),
    "sigmoid": changed(**OLDER | {"scale_map": "sigmoid"}),
    "gigantic config": changed(widths=[10**6, 10**6]),
    "endless config": changed(steps=[1, 10**9]),
    "range of another shape": with_range(ZEROS[:1], ONES[:1]),
    "range of two rows": with_range(ZEROS[:, :K], ONES[:, :K]),
    "range without a row": with_range(ZEROS[0, :K], ONES[0, :K]),
    "range with one end": with_range(ZEROS[:1, :K]),
    "range upside down": with_range(ONES[:1, :K], ZEROS[:1, :K]),
    "range not finite": with_range(ZEROS[:1, :K], INF),
}


@pytest.mark.parametrize("spoil", BAD.values(), ids=BAD.keys())
def test_bad_files_are_refused_in_one_sentence(spoil, good, tmp_path):
    bad = tmp_path / "bad.safetensors"
    spoil(good, bad)
    with pytest.raises(CheckpointError) as caught:
        models.load(bad)
    sentence = str(caught.value)
    assert "bad.safetensors" in sentence and sentence.endswith(".") and "\n" not in sentence


def test_older_files_that_ask_for_nothing_that_is_gone_load(model, tmp_path):
    good = models.save(model, tmp_path / "good.safetensors")
    rewrite(good, good, config=OLDER)
    assert_same(models.load(good), model)


def test_a_full_disk_keeps_the_old_file(model, tmp_path):
    path = models.save(model, tmp_path / "m.safetensors", {"which": "old"})
    with full_disk(path.stat().st_size // 2), pytest.raises(OSError):
        models.save(model, path, {"which": "new"})
    assert models.load(path).facts == {"which": "old"}
    assert list(tmp_path.iterdir()) == [path]


def test_names_on_disk_are_those_of_older_versions():
    """Files, fingerprints of weights and states of optimisers rest on them and their order."""
    model = Glow(TWO_DETAILS)
    names = list(model.state_dict())
    of_levels = ["details.0", "details.1", "levels.0", "levels.1", "splits.0", "top.mean"]
    first = dict.fromkeys(".".join(name.split(".")[:2]) for name in names)
    assert list(first) == [*of_levels, "top.raw_log_std"]
    finest = dict.fromkeys(n.split(".")[2] for n in names if n.startswith("details.0."))
    assert list(finest) == ["context", "steps", "prior"]
    expected = [p for p in model.state_dict(keep_vars=True).values() if p.requires_grad]
    assert len(expected) == len(list(model.parameters()))
    config = TrainConfig(model=TWO_DETAILS)
    order = {id(p): i for i, p in enumerate(expected)}
    groups = make_optimizer(model, config).param_groups
    places = [[order[id(p)] for p in group["params"]] for group in groups]
    assert all(group == sorted(group) for group in places)
    assert sum(map(len, places)) == len(expected)
    # Inside of another module, too.
    outer, other = (torch.nn.ModuleDict({"flow": m}) for m in (model, Glow(TWO_DETAILS)))
    assert list(outer.state_dict()) == [f"flow.{name}" for name in names]
    other.load_state_dict(outer.state_dict())
    assert_same(other["flow"], model)
    assert_same(copy.deepcopy(model), model)


# ------------------------------------------------------------------ a detail level on a base

BASE = PRESETS["tiny"].replace(widths=(32, 32))  # wide enough for float16
DETAILS = PRESETS["tiny"].replace(
    image_size=32, details=1, steps=(2, 2, 2), widths=(32,) * 3, blocks=(1,) * 3
)
TWO_DETAILS = DETAILS.replace(
    image_size=64, details=2, steps=(1, 2, 2, 2), widths=(32,) * 4, blocks=(1,) * 4
)


@pytest.fixture
def small() -> Glow:
    """What lies behind a detail level."""
    torch.manual_seed(3)
    return perturb(Glow(BASE)).eval()


def detailed(config: GlowConfig, base: Path, seed: int = 4) -> Glow:
    """A flow of ``config`` on the weights that ``base`` loads, its level perturbed."""
    torch.manual_seed(seed)
    model = models.add_detail_level(models.load(base), config).eval()
    perturb(model.levels[0], seed=seed)
    return model


def assert_same(a: Glow, b: Glow) -> None:
    assert a.config == b.config
    state = b.state_dict()
    assert list(a.state_dict()) == list(state)
    assert all(torch.equal(v, state[k]) for k, v in a.state_dict().items())


def test_a_level_on_a_base_is_stored_alone_and_loads_whole(small, tmp_path):
    base = models.save(small, tmp_path / "base.safetensors", half=True)  # loads rounded
    whole = detailed(DETAILS, base)
    k = sum(DETAILS.state_channels())
    whole.usual_range = StateRange(-torch.rand(1, k), torch.rand(1, k))
    path = models.save(whole, tmp_path / "m.safetensors", {"images_seen": 7}, True, base)
    stored = load_file(str(path))
    names = {k for k in whole.state_dict() if k.startswith("details.0.")}
    assert set(stored) == names | {"usual_range.low", "usual_range.high"}
    again = models.load(path)
    assert again.facts == {"images_seen": 7}
    assert torch.equal(again.usual_range.high, whole.usual_range.high)
    big = {k for k in names if ".weight" in k and whole.state_dict()[k].numel() >= 4096}
    assert any(".context." in k for k in big)
    assert all(stored[k].dtype == torch.float16 for k in big)
    for name in big:
        whole.state_dict()[name].copy_(stored[name])
    assert_same(again, whole)  # also behind the level, where nothing was rounded again
    # A whole file of the same weights is the same model.
    assert_same(models.load(models.save(again, tmp_path / "whole.safetensors")), again)


def test_a_base_may_rest_on_a_base(small, tmp_path):
    first = models.save(small, tmp_path / "first.safetensors", half=True)
    second = models.save(detailed(DETAILS, first), tmp_path / "second.safetensors", base=first)
    whole = detailed(TWO_DETAILS, second)
    third = models.save(whole, tmp_path / "third.safetensors", base=second)
    assert not {k for k in load_file(str(third)) if not k.startswith("details.0.")}
    assert_same(models.load(third), whole)
    first.unlink()
    with pytest.raises(CheckpointError, match=r"third.*second.*first"):
        models.load(third)


def base_of_other_weights(base: Path, path: Path) -> None:
    model = models.load(base)
    with torch.no_grad():
        model.levels[-1].prior.mean[0] += 1e-6
    models.save(model, base)


def base_elsewhere(base: Path, path: Path) -> None:
    (path.parent / "sub").mkdir()
    base.rename(path.parent / "sub" / base.name)
    rewrite(path, path, base=f"sub/{base.name}")


def no_digest(base: Path, path: Path) -> None:
    metadata = metadata_of(path)
    del metadata["base_digest"]
    save_file(load_file(str(path)), str(path), metadata)


def also_of_the_base(base: Path, path: Path) -> None:
    rewrite(path, path, {"top.mean": load_file(str(base))["top.mean"] + 1})


@pytest.fixture(scope="module")
def level(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detail level alone; its base lies beside it."""
    folder = tmp_path_factory.mktemp("level")
    base = models.save(Glow(BASE), folder / "base.safetensors")
    return models.save(detailed(DETAILS, base), folder / "level.safetensors", base=base)


BAD_BASES = {
    "none": lambda base, path: base.unlink(),
    "damaged": lambda base, path: base.write_bytes(base.read_bytes()[:-1000]),
    "other weights": base_of_other_weights,
    "another config": lambda base, path: models.save(Glow(BASE.replace(steps=(2, 1))), base),
    "itself": lambda base, path: rewrite(path, path, base=path.name),
    "without a name": lambda base, path: rewrite(path, path, base=""),
    "elsewhere": base_elsewhere,
    "above": lambda base, path: rewrite(path, path, base=f"../{path.parent.name}/{base.name}"),
    "no digest": no_digest,
    "tensors of the base": also_of_the_base,
    "without details": lambda base, path: rewrite(base, path, base=base.name),
}


@pytest.mark.parametrize("spoil", BAD_BASES.values(), ids=BAD_BASES.keys())
def test_a_base_that_is_not_the_one_is_refused(spoil, level, tmp_path):
    folder = shutil.copytree(level.parent, tmp_path / "in")
    base, path = folder / "base.safetensors", folder / level.name
    models.load(path)
    spoil(base, path)
    with pytest.raises(CheckpointError) as caught:
        models.load(path)
    sentence = str(caught.value)
    assert "level.safetensors" in sentence and sentence.endswith(".") and "\n" not in sentence
    assert str(tmp_path) not in sentence


def test_saving_refuses_a_base_that_is_not_the_one(small, tmp_path):
    (tmp_path / "sub").mkdir()
    base = models.save(small, tmp_path / "base.safetensors")
    rounded = models.save(small, tmp_path / "rounded.safetensors", half=True)
    elsewhere = models.save(small, tmp_path / "sub" / "base.safetensors")
    with torch.no_grad():
        small.levels[-1].prior.mean[0] += 1e-6
    other = models.save(small, tmp_path / "other.safetensors")
    whole = detailed(DETAILS, base)
    path = models.save(whole, tmp_path / "level.safetensors", base=base)
    before = path.read_bytes()
    missing = tmp_path / "missing.safetensors"
    for wrong in (rounded, elsewhere, other, missing, path):
        with pytest.raises(CheckpointError, match=wrong.name):
            models.save(whole, path, base=wrong)
    with pytest.raises(CheckpointError, match="no detail level"):
        models.save(small, tmp_path / "m.safetensors", base=other)
    assert path.read_bytes() == before and not (tmp_path / "m.safetensors").exists()


def test_released_level_is_stored_on_the_released_base(small, tmp_path):
    """A whole run, in float32, onto a base that was rounded for release."""
    ran = models.save(small, tmp_path / "ran.safetensors")
    base = models.save(small, tmp_path / "base.safetensors", half=True)
    run = detailed(DETAILS, ran)
    run.facts = {"images_seen": 7}
    moved = models.put_on_base(run, models.load(base))
    assert moved.facts == run.facts
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(moved.detail_log_prob(x), run.detail_log_prob(x))
    assert_same(models.load(models.save(moved, tmp_path / "m.safetensors", base=base)), moved)
