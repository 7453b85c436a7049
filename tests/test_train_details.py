"""Training a detail level: alone on crops, with what lies behind it, and the flow of the means."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import stats
from flows import BEHIND, ONE_DETAIL, smooth_images
from safetensors.torch import load_file

import models
from glow_app.common import cli
from glow_app.faces.looks import ReferenceFrame
from glow_app.training import TrainConfig, World, held_out_bits
from models import PRESETS, bits_per_dim, dequantize
from scripts import train as train_script
from scripts.dev import release as release_script

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def presets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "small-base", BEHIND)
        patch.setitem(PRESETS, "small-level", ONE_DETAIL)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """320 smooth pictures of 16x16 pixels with a little noise, packed."""
    x = smooth_images(ONE_DETAIL, 320)
    path = tmp_path_factory.mktemp("data") / "smooth.npy"
    np.save(path, (x * 255).round().byte().permute(0, 2, 3, 1).numpy())
    return path


def arguments(data: Path, out: Path, options: str) -> list[str]:
    own = f"--data {data} --out {out} --device cpu --precision float32 --batch 8"
    return f"{own} --warmup-steps 0 --log-steps 5 --cooldown 0 {options}".split()


def trained(data: Path, out: Path, options: str) -> models.Glow:
    assert train_script.main(arguments(data, out, options)) == 0
    return models.load(out / "model.safetensors")


@pytest.fixture(scope="module")
def base(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a flow that has learned the means of the pictures a little."""
    out = tmp_path_factory.mktemp("runs") / "base"
    trained(data, out, "--preset small-base --means 1 --steps 10")
    return out / "model.safetensors"


@pytest.fixture(scope="module")
def alone(data: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a detail level by itself, on crops."""
    out = tmp_path_factory.mktemp("runs") / "alone"
    trained(data, out, f"--preset small-level --base {base} --crops 8 --steps 100 --lr 3e-3")
    return out


def behind(path: Path) -> dict[str, torch.Tensor]:
    """The state of what lies behind the detail level."""
    state = models.load(path).state_dict()
    return {k: v for k, v in state.items() if not k.startswith("details.")}


def test_means_are_what_the_base_learns(data, base):
    model = models.load(base)
    packed = train_script.from_source(str(data), 16, base.parent)
    _, held_out = packed.split(0.04)
    assert len(held_out) <= 64  # one pass, the noise of which has seed 0
    x = dequantize(held_out.tensor(), 8, torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = bits_per_dim(model.log_prob(F.avg_pool2d(x, 2)), model.dims).mean()
    assert model.facts["val_bits_per_dim"] == pytest.approx(float(expected), abs=1e-4)
    assert "val_bits_by_part" not in model.facts
    # The actnorms began on means as well, so that their codes are white.
    with torch.no_grad():
        z, _ = model.f(F.avg_pool2d(models.bin_centers(packed.tensor()), 2))
    assert float(z.square().mean()) == pytest.approx(1, abs=0.25)


def test_a_level_alone_learns_and_leaves_the_base_alone(alone, base):
    kept, own = behind(alone / "model.safetensors"), models.load(base).state_dict()
    assert kept.keys() == own.keys() and all(torch.equal(kept[k], own[k]) for k in own)
    state = load_file(alone / "checkpoint" / "state.safetensors")
    assert all(torch.equal(state[f"model.{k}"], own[k]) for k in own)
    moments = [k for k in state if k.endswith("exp_avg")]
    level = models.load(alone / "model.safetensors").levels[0]
    assert len(moments) == len(list(level.parameters()))  # nothing else is optimised
    bits = [r["train_bits_per_dim"] for r in stats(alone) if "train_bits_per_dim" in r]
    assert bits[-1] < bits[0] - 0.1
    facts, of_base = models.load(alone / "model.safetensors").facts, models.load(base).facts
    details, means = facts["val_bits_by_part"]
    assert details == pytest.approx(bits[-1], abs=0.5)
    assert means == pytest.approx(of_base["val_bits_per_dim"], abs=1e-3)
    assert facts["val_bits_per_dim"] == pytest.approx(details * 3 / 4 + means / 4 + 1 / 4)
    assert facts["started_from"] == of_base
    assert models.load(alone / "model.safetensors").usual_range is not None
    assert stats(alone)[-1]["val_bits_by_part"] == [details, means]


def test_a_release_is_rounded_measured_and_stored_on_the_released_base(
    alone, base, data, tmp_path, capsys
):
    released_base = models.save(models.load(base), tmp_path / "base.safetensors", half=True)
    path = tmp_path / "level.safetensors"
    options = ["--data", data, "--val", data, "--base", released_base, "--out", path]
    release_script.main([str(o) for o in (alone, *options)])
    model = models.load(path)
    assert not {k for k in load_file(path) if k.startswith(("levels", "splits", "top"))}
    own, expected = models.load(alone / "model.safetensors").facts, model.facts
    assert expected["steps"] == own["steps"] and expected["val_images"] == 320
    packed = train_script.from_source(str(data), 16, tmp_path)
    total, parts = held_out_bits(model, packed, World(CPU))
    assert expected["val_bits_per_dim"] == pytest.approx(total, abs=1e-4)
    assert expected["val_bits_by_part"] == pytest.approx(parts, abs=1e-4)
    assert model.usual_range is not None
    assert f"{parts[0]:.4f}" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        elsewhere = tmp_path / "sub" / "level.safetensors"
        release_script.main([str(o) for o in (alone, *options, "--out", elsewhere)])
    assert "folder of --out" in capsys.readouterr().err


def test_joint_training_moves_both(data, base, tmp_path):
    options = f"--preset small-level --base {base} --joint --steps 3 --reversible"
    trained(data, tmp_path / "joint", options)
    moved, own = behind(tmp_path / "joint" / "model.safetensors"), models.load(base).state_dict()
    weights = [k for k in own if k.endswith("conv_out.weight")]
    assert weights and all(not torch.equal(moved[k], own[k]) for k in weights)
    # And by little: it began on those weights.
    assert all((moved[k] - own[k]).abs().max() < 0.02 for k in weights)


def test_a_stopped_run_goes_on_exactly_and_without_its_base(data, base, tmp_path):
    copy = tmp_path / "base.safetensors"
    copy.write_bytes(base.read_bytes())
    options, on_it = "--preset small-level --crops 8", f"--base {copy}"
    unbroken = trained(data, tmp_path / "b", f"{options} {on_it} --steps 8")
    trained(data, tmp_path / "a", f"{options} {on_it} --steps 3")
    copy.unlink()
    resumed = trained(data, tmp_path / "a", f"{options} --steps 8")
    expected = unbroken.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in resumed.state_dict().items())
    assert resumed.facts["started_from"] == unbroken.facts["started_from"]
    again = trained(data, tmp_path / "a", f"{options} {on_it} --steps 9")  # not looked at
    assert again.facts["steps"] == 9


def test_init_starts_a_level_from_a_whole_model(alone, data, tmp_path):
    weights = alone / "model.safetensors"
    options = f"--preset small-level --init {weights} --steps 1 --lr 1e-9"
    model = trained(data, tmp_path / "more", options)
    before = models.load(weights).facts["val_bits_by_part"]
    assert model.facts["val_bits_by_part"] == pytest.approx(before, abs=1e-3)


def test_a_level_learns_from_crops_of_means(data, tmp_path):
    """As a second level of details does, on pictures of twice its size."""
    options = "--preset small-base --steps 1 --means 2 --image-size 4"
    assert trained(data, tmp_path / "base", options).config.image_size == 4
    options = f"--base {tmp_path}/base/model.safetensors --crops 4 --steps 2 --means 1"
    options += " --preset small-level --image-size 8"
    assert len(trained(data, tmp_path / "level", options).facts["val_bits_by_part"]) == 2


# ---------------------------------------------------------------------- what does not go


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--preset small-level", "--base, --init or --joint"),
        ("--preset faces128", "--base, --init or --joint"),
        ("--preset small-base --base BASE", "detail level"),
        ("--preset small-base --joint", "detail level"),
        ("--preset small-base --crops 8", "--crops"),
        ("--preset small-level --joint --crops 8", "--crops"),
        ("--preset small-level --base BASE --crops 6", "4 divides"),
        ("--preset small-level --base BASE --crops 32", "no larger"),
        ("--preset small-level --base BASE --init BASE", "--init"),
        ("--preset small-level --base nowhere.safetensors", "nowhere"),
        ("--preset small-level --init BASE", "another configuration"),
        ("--preset faces128 --base BASE --image-size 32", "does not fit"),
        ("--preset small-base --means 4", "from 0 to 3"),
    ],
)
def test_wrong_combinations_are_one_sentence_and_status_2(
    here, data, base, tmp_path, capsys, options, words
):
    if "--image-size" in options:  # pictures of that size
        np.save(data := tmp_path / "large.npy", np.zeros((8, 32, 32, 3), np.uint8))
    given = f"--steps 1 {options.replace('BASE', str(base))}"
    capsys.readouterr()
    assert here("train", *arguments(data, tmp_path / "run", given)) == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert words in said
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_run_without_details_has_none_to_train_alone():
    with pytest.raises(ValueError, match="no detail level"):
        TrainConfig(model=BEHIND, steps=1, details_only=True)
    with pytest.raises(ValueError, match="Only means"):
        TrainConfig(model=BEHIND, mixed=True)


# ------------------------------------------------------------------------- looks and whole crops


@pytest.fixture(scope="module")
def looks(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pictures, said to be looks."""
    path = tmp_path_factory.mktemp("looks") / "looks.npy"
    path.write_bytes(data.read_bytes())
    path.with_suffix(".json").write_text(json.dumps({"frame": ReferenceFrame.looks().to_facts()}))
    return path


def test_weights_and_pictures_of_two_frames_are_not_mixed(
    data, looks, base, alone, tmp_path, capsys
):
    def refused(main: Callable, argv: list[str]) -> str:
        assert cli.run(main, argv=argv) == 2
        return capsys.readouterr().err.splitlines()[-1]

    def not_trained(*options: object) -> str:
        return refused(train_script.main, arguments(*options))

    assert models.load(base).facts["shape"] == "crop"
    options = "--preset small-base --means 1"
    moved = tmp_path / "moved"
    trained(looks, moved, f"{options} --init {base} --steps 2")
    said = "model.safetensors learned whole crops; from here on it learns looks in the mean shape."
    assert said in "".join(capsys.readouterr())
    weights = moved / "model.safetensors"
    facts = models.load(weights).facts
    assert facts["shape"] == "mean" and np.shape(facts["mean_shape"]) == (478, 2)
    assert facts["started_from"]["shape"] == "crop"
    trained(looks, moved, f"{options} --steps 3")  # goes on
    level = "--preset small-level --steps 1"
    on_looks = tmp_path / "level"
    model = trained(looks, on_looks, f"{level} --base {weights}")
    assert ReferenceFrame.from_facts(model.facts).same_as(ReferenceFrame.looks())
    capsys.readouterr()

    line = not_trained(data, moved, f"{options} --steps 4")
    assert "holds a run on looks in the mean shape, and the pictures are whole crops" in line
    line = not_trained(looks, tmp_path / "a", f"{level} --base {base}")
    assert "learned whole crops, and the pictures are looks in the mean shape" in line
    line = not_trained(data, tmp_path / "b", f"{level} --base {weights}")
    assert "learned looks in the mean shape, and the pictures are whole crops" in line
    line = not_trained(looks, tmp_path / "c", f"{level} --init {alone}/model.safetensors")
    assert "what lies behind the detail level has to learn them, too" in line
    line = not_trained(looks, tmp_path / "d", f"{options} --steps 1 --val {data}")
    assert "--data holds looks in the mean shape, and --val whole crops." in line
    assert not any((tmp_path / name / "config.json").exists() for name in "abcd")

    crops = tmp_path / "crops.safetensors"
    crops.write_bytes(base.read_bytes())
    released = ["--out", tmp_path / "released.safetensors"]
    for wrong, said in (
        (["--data", looks, "--val", data], "--val holds whole crops."),
        (["--data", data, "--val", looks], "--data holds whole crops."),
        (["--data", looks, "--val", looks, "--base", crops], "--base learned whole crops."),
    ):
        line = refused(release_script.main, [str(o) for o in (on_looks, *wrong, *released)])
        assert f"model.safetensors learned looks in the mean shape; {said}" in line
