"""Training a detail level: alone on crops, with what lies behind it, and the flow of the means."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
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
        patch.setitem(PRESETS, "small base", BEHIND)
        patch.setitem(PRESETS, "small level", ONE_DETAIL)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """320 smooth pictures of 16x16 pixels with a little noise, packed."""
    x = smooth_images(ONE_DETAIL, 320)
    path = tmp_path_factory.mktemp("data") / "smooth.npy"
    np.save(path, (x * 255).round().byte().permute(0, 2, 3, 1).numpy())
    return path


def arguments(data: Path, out: Path, *more: object) -> list[str]:
    return [
        "--data", str(data), "--out", str(out), "--device", "cpu", "--precision", "float32",
        "--batch", "8", "--warmup-steps", "0", "--log-steps", "5", "--cooldown", "0",
        *map(str, more),
    ]  # fmt: skip


def trained(data: Path, out: Path, *more: object) -> models.Glow:
    assert train_script.main(arguments(data, out, *more)) == 0
    return models.load(out / "model.safetensors")


def stats(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def base(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a flow that has learned the means of the pictures a little."""
    out = tmp_path_factory.mktemp("runs") / "base"
    trained(data, out, "--preset", "small base", "--means", 1, "--steps", 10)
    return out / "model.safetensors"


@pytest.fixture(scope="module")
def alone(data: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a detail level by itself, on crops."""
    out = tmp_path_factory.mktemp("runs") / "alone"
    trained(
        data, out, "--preset", "small level", "--base", base, "--crops", 8, "--steps", 100,
        "--lr", 3e-3,
    )  # fmt: skip
    return out


def parts_of(path: Path) -> tuple[dict, dict]:
    """The state of the detail level, and that of what lies behind it."""
    state = models.load(path).state_dict()
    level = {k: v for k, v in state.items() if k.startswith("details.")}
    return level, {k: v for k, v in state.items() if k not in level}


def test_means_are_what_the_base_learns(data: Path, base: Path) -> None:
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


def test_a_level_alone_learns_and_leaves_the_base_alone(alone: Path, base: Path) -> None:
    _, behind = parts_of(alone / "model.safetensors")
    own = models.load(base).state_dict()
    assert behind.keys() == own.keys() and all(torch.equal(behind[k], own[k]) for k in own)
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
    alone: Path, base: Path, data: Path, tmp_path: Path, capsys
) -> None:
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


def test_joint_training_moves_both(data: Path, base: Path, tmp_path: Path) -> None:
    options = ["--preset", "small level", "--base", base, "--joint", "--steps", 3, "--reversible"]
    trained(data, tmp_path / "joint", *options)
    _, behind = parts_of(tmp_path / "joint" / "model.safetensors")
    own = models.load(base).state_dict()
    weights = [k for k in own if k.endswith("conv_out.weight")]
    assert weights and all(not torch.equal(behind[k], own[k]) for k in weights)
    # And by little: it began on those weights.
    assert all((behind[k] - own[k]).abs().max() < 0.02 for k in weights)


def test_a_stopped_run_goes_on_exactly_and_without_its_base(
    data: Path, base: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "base.safetensors"
    copy.write_bytes(base.read_bytes())
    options = ["--preset", "small level", "--crops", 8]
    unbroken = trained(data, tmp_path / "b", *options, "--base", copy, "--steps", 8)
    trained(data, tmp_path / "a", *options, "--base", copy, "--steps", 3)
    copy.unlink()
    resumed = trained(data, tmp_path / "a", *options, "--steps", 8)
    expected = unbroken.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in resumed.state_dict().items())
    assert resumed.facts["started_from"] == unbroken.facts["started_from"]
    again = trained(data, tmp_path / "a", *options, "--base", copy, "--steps", 9)  # not looked at
    assert again.facts["steps"] == 9


def test_init_starts_a_level_from_a_whole_model(alone: Path, data: Path, tmp_path: Path) -> None:
    weights = alone / "model.safetensors"
    options = ["--preset", "small level", "--init", weights, "--steps", 1, "--lr", 1e-9]
    model = trained(data, tmp_path / "more", *options)
    before = models.load(weights).facts["val_bits_by_part"]
    assert model.facts["val_bits_by_part"] == pytest.approx(before, abs=1e-3)


def test_a_level_learns_from_crops_of_means(data: Path, tmp_path: Path) -> None:
    """As a second level of details does, on pictures of twice its size."""
    base = trained(
        data, tmp_path / "base", "--preset", "small base", "--steps", 1, "--means", 2,
        "--image-size", 4,
    )  # fmt: skip
    assert base.config.image_size == 4
    model = trained(
        data, tmp_path / "level", "--preset", "small level", "--image-size", 8, "--means", 1,
        "--base", tmp_path / "base" / "model.safetensors", "--crops", 4, "--steps", 2,
    )  # fmt: skip
    assert len(model.facts["val_bits_by_part"]) == 2


# ---------------------------------------------------------------------- what does not go


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--preset", "small level"], "--base, --init or --joint"),
        (["--preset", "faces128"], "--base, --init or --joint"),
        (["--preset", "small base", "--base", "BASE"], "detail level"),
        (["--preset", "small base", "--joint"], "detail level"),
        (["--preset", "small base", "--crops", "8"], "--crops"),
        (["--preset", "small level", "--joint", "--crops", "8"], "--crops"),
        (["--preset", "small level", "--base", "BASE", "--crops", "6"], "4 divides"),
        (["--preset", "small level", "--base", "BASE", "--crops", "32"], "no larger"),
        (["--preset", "small level", "--base", "BASE", "--init", "BASE"], "--init"),
        (["--preset", "small level", "--base", "nowhere.safetensors"], "nowhere"),
        (["--preset", "small level", "--init", "BASE"], "another configuration"),
        (["--preset", "faces128", "--base", "BASE"], "does not fit"),
        (["--preset", "small base", "--means", "4"], "from 0 to 3"),
    ],
)
def test_wrong_combinations_are_one_sentence_and_status_2(
    data: Path, base: Path, tmp_path: Path, capsys, options: list[str], words: str
) -> None:
    given = [str(base) if o == "BASE" else o for o in options]
    if "faces128" in given and "--base" in given:  # at a size that the pictures have
        given += ["--image-size", "32"]
        np.save(tmp_path / "large.npy", np.zeros((8, 32, 32, 3), np.uint8))
        data = tmp_path / "large.npy"
    capsys.readouterr()
    out = tmp_path / "run"
    try:
        status = cli.run(train_script.main, argv=arguments(data, out, "--steps", 1, *given))
    except SystemExit as stop:  # argparse
        status = stop.code
    said = capsys.readouterr().err.strip().splitlines()
    assert status == 2 and len(said) == 1 and words in said[0], said
    assert not (out / "config.json").exists()


def test_a_run_without_details_has_none_to_train_alone() -> None:
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
    data: Path, looks: Path, base: Path, alone: Path, tmp_path: Path, capsys
) -> None:
    def refused(main: Callable, argv: list[str]) -> str:
        assert cli.run(main, argv=argv) == 2
        return capsys.readouterr().err.splitlines()[-1]

    def not_trained(*options: object) -> str:
        return refused(train_script.main, arguments(*options))

    assert models.load(base).facts["shape"] == "crop"
    options = ["--preset", "small base", "--means", 1]
    moved = tmp_path / "moved"
    trained(looks, moved, *options, "--init", base, "--steps", 2)
    said = "model.safetensors learned whole crops; from here on it learns looks in the mean shape."
    assert said in "".join(capsys.readouterr())
    weights = moved / "model.safetensors"
    facts = models.load(weights).facts
    assert facts["shape"] == "mean" and np.shape(facts["mean_shape"]) == (478, 2)
    assert facts["started_from"]["shape"] == "crop"
    trained(looks, moved, *options, "--steps", 3)  # goes on
    level = ["--preset", "small level", "--steps", 1]
    on_looks = tmp_path / "level"
    model = trained(looks, on_looks, *level, "--base", weights)
    assert ReferenceFrame.from_facts(model.facts).same_as(ReferenceFrame.looks())
    capsys.readouterr()

    line = not_trained(data, moved, *options, "--steps", 4)
    assert "holds a run on looks in the mean shape, and the pictures are whole crops" in line
    line = not_trained(looks, tmp_path / "a", *level, "--base", base)
    assert "learned whole crops, and the pictures are looks in the mean shape" in line
    line = not_trained(data, tmp_path / "b", *level, "--base", weights)
    assert "learned looks in the mean shape, and the pictures are whole crops" in line
    line = not_trained(looks, tmp_path / "c", *level, "--init", alone / "model.safetensors")
    assert "what lies behind the detail level has to learn them, too" in line
    line = not_trained(looks, tmp_path / "d", *options, "--steps", 1, "--val", data)
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
