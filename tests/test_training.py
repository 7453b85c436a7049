"""Training: the data, the schedule, exact resume, and what happens when things go wrong."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import full_disk, metadata_of, stats
from PIL import Image
from safetensors.torch import load_file

import models
from glow_app.common.errors import UserError
from glow_app.faces.coding import Coding
from glow_app.faces.face import prepare
from glow_app.training import PackedPictures, TrainConfig, from_celeba, from_source, loop
from glow_app.training.data import import_torchvision, is_held_out
from glow_app.training.distributed import World
from glow_app.training.loop import train
from glow_app.training.run_folder import pick_coding
from models import PRESETS, Glow
from models.checkpoint import write_safetensors
from scripts import train as train_script

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 smooth pictures of all sorts in nested folders, and two that cannot be read."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(60):
        small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        size = (20 + i, 24) if i % 3 else (24, 24)
        where = folder / f"part {i % 3}"
        where.mkdir(exist_ok=True)
        suffix = [".png", ".JPG", ".webp"][i % 3]
        small.resize(size, Image.Resampling.BICUBIC).save(where / f"{i:02d}{suffix}")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / "notes.txt").write_text("not a picture, and not named like one")
    return folder


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    options = "--preset tiny --device cpu --batch 8 --log-steps 5 --eval-steps 20"
    options += " --warmup-steps 5 --holdout 0.2"
    return ["--data", str(data), "--out", str(out), *options.split(), *more]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As the processes have: other numbers of threads round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# ---------------------------------------------------------------------- data


@pytest.fixture(scope="module")
def packed(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> PackedPictures:
    return from_source(pictures, 16, tmp_path_factory.mktemp("packed"), lambda _: None)


def test_folder_is_packed_once_and_bad_files_are_listed(pictures, tmp_path):
    said: list[str] = []
    packed = from_source(pictures, 16, tmp_path, said.append)
    assert packed.pixels.shape == (60, 16, 16, 3) and packed.pixels.dtype == np.uint8
    assert {name for name, _ in packed.skipped} == {"broken.jpg", "empty.png"}
    assert sum("broken.jpg" in line for line in said) == 1
    for i in (0, 25, 59):
        expected = prepare(pictures / packed.names[i], 16, align="center").pixels
        assert np.array_equal(packed.pixels[i], expected)
    said.clear()
    again = from_source(pictures, 16, tmp_path, said.append)
    assert not said and again.fingerprint == packed.fingerprint and again.names == packed.names
    by_file = from_source(next(tmp_path.glob("*.npy")), 16, tmp_path)
    assert np.array_equal(by_file.pixels, packed.pixels) and by_file.names == packed.names


def test_coded_pictures_are_packed_by_themselves_and_say_so(tmp_path):
    folder, cache, coding = tmp_path / "in", tmp_path / "cache", Coding(size=32, quality=50)
    folder.mkdir()
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(sharp).save(folder / "a photo.png")
    done = prepare(folder / "a photo.png", 32, align="center").pixels
    Image.fromarray(done).save(
        folder / "coded already.jpg", quality=50, subsampling=coding.subsampling
    )
    plain = from_source(folder, 16, cache, lambda _: None)
    already = set(cache.glob("*.npy"))
    coded = from_source(folder, 16, cache, lambda _: None, coding=coding)
    (file,) = set(cache.glob("*.npy")) - already
    assert plain.names == coded.names == ("a photo.png", "coded already.jpg")
    assert not np.array_equal(plain.pixels[0], coded.pixels[0])
    assert np.array_equal(plain.pixels[1], coded.pixels[1])  # one coding is enough
    assert np.array_equal(coded.pixels[0], coded.pixels[1])
    other = Coding(size=32, quality=51)
    from_source(folder, 16, cache, lambda _: None, coding=other)
    assert len(list(cache.glob("*.npy"))) == 3
    with pytest.raises(UserError, match="--coding"):
        from_source(file, 16, cache, coding=other)
    assert np.array_equal(from_source(file, 16, cache, coding=coding).pixels, coded.pixels)


def test_a_new_picture_or_pixel_is_another_set(tmp_path):
    folder, cache = tmp_path / "in", tmp_path / "cache"
    folder.mkdir()
    Image.new("RGB", (16, 16)).save(folder / "0.png")
    first = from_source(folder, 16, cache, lambda _: None)
    Image.new("RGB", (16, 16)).save(folder / "1.png")
    second = from_source(folder, 16, cache, lambda _: None)
    assert len(first) == 1 and len(second) == 2 and first.fingerprint != second.fingerprint
    pixels = np.zeros((300, 4, 4, 3), np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    pixels[151, 2, 1, 0] = 1  # in none of the rows that a sample of 64 would see
    np.save(tmp_path / "b.npy", pixels)
    a, b = (from_source(tmp_path / f"{name}.npy", 4, tmp_path) for name in "ab")
    assert a.fingerprint != b.fingerprint


def test_celeba_is_read_as_torchvision_lays_it_out(tmp_path, monkeypatch):
    """Eight pictures in CelebA's folder layout, two of them bad; only the checksums of the real
    files are waived."""
    celeba = import_torchvision().datasets.CelebA
    monkeypatch.setattr(celeba, "_check_integrity", lambda self: True)
    base, cache = tmp_path / "celeba", tmp_path / "cache"
    (base / "img_align_celeba").mkdir(parents=True)
    names = [f"{i:06d}.jpg" for i in range(1, 9)]
    for i, name in enumerate(names):
        Image.new("RGB", (178, 218), (30 * i, 0, 0)).save(base / "img_align_celeba" / name)
    (base / "img_align_celeba" / names[1]).write_bytes(b"\xff\xd8\xff cut off")
    (base / "img_align_celeba" / names[2]).unlink()
    for file, head, row in (
        ("list_eval_partition", "", "0"), ("identity_CelebA", "", "1"),
        ("list_bbox_celeba", "8\nimage_id x_1 y_1 width height\n", "0 0 9 9"),
        ("list_landmarks_align_celeba", "8\nlefteye_x lefteye_y\n", "1 2"),
        ("list_attr_celeba", "8\nSmiling Young\n", "1 -1"),
    ):  # fmt: skip
        rows = [f"{name} {row}" for name in names]
        if file == "list_eval_partition":
            rows[6:] = [f"{name} 1" for name in names[6:]]
        (base / f"{file}.txt").write_text(head + "\n".join(rows) + "\n")
    said: list[str] = []
    packed = from_celeba(tmp_path, 16, cache, "train", said.append)
    assert packed.names == (names[0], *names[3:6])
    assert packed.pixels[:, 8, 8, 0].tolist() == pytest.approx([0, 90, 120, 150], abs=3)
    assert [name for name, _ in packed.skipped] == names[1:3]
    assert [names[1] in said[1], names[2] in said[2], len(said)] == [True, True, 3]
    held_out = from_celeba(tmp_path, 16, cache, "valid", said.append)
    assert held_out.names == tuple(names[6:])

    before = {*cache.glob("*.npy")}  # another preparation, or copy of CelebA, is packed by itself
    monkeypatch.setattr("glow_app.training.data._PACK_VERSION", -1)
    from_celeba(tmp_path, 16, cache, "train", said.append)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "celeba").symlink_to(base)
    from_celeba(elsewhere, 16, cache, "train", said.append)
    now = {*cache.glob("*.npy")}
    assert len(now - before) == 2 and before <= now
    # A damaged table is one sentence.
    (base / "list_eval_partition.txt").write_text(f"{names[0]}\n{names[1]} x\n")
    with pytest.raises(UserError, match="not found complete"):
        from_celeba(tmp_path, 16, tmp_path / "other cache", "train", said.append)


def test_pictures_that_a_run_drew_are_not_learned_from(here, pictures, tmp_path, capsys):
    data = shutil.copytree(pictures, tmp_path / "data")
    options = arguments(data, data / "runs" / "mine", "--steps", "20")
    assert here("train", *options) == 0
    assert list((data / "runs" / "mine" / "samples").glob("*.png"))
    options[options.index("--steps") + 1] = "21"
    assert here("train", *options) == 0, capsys.readouterr().err  # it goes on
    other = from_source(data, 16, tmp_path / "cache", lambda _: None)  # nor by another run
    assert len(other) == 60 and not [name for name in other.names if name.startswith("runs")]
    for out in (data, data / "x" / ".."):
        capsys.readouterr()
        assert here("train", *arguments(data, out, "--steps", "1")) == 2
        error = capsys.readouterr().err
        assert "--out must be another folder" in error and error.count("\n") == 1
    own = data / "runs" / "mine"
    assert here("train", *arguments(own / "samples", own, "--steps", "1")) == 2
    with pytest.raises(UserError, match="a run has drawn"):
        from_source(own, 16, tmp_path / "cache", lambda _: None)


def test_when_all_is_held_out_the_remedy_is_named(here, tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    name = next(f"{i}.png" for i in range(99) if is_held_out(f"{i}.png", 0.2))
    Image.new("RGB", (16, 16), "tan").save(data / name)
    assert here("train", *arguments(data, tmp_path / "run", "--steps", "1")) == 2
    assert "--holdout 0" in capsys.readouterr().err
    more = ("--steps", "1", "--holdout", "0")
    assert here("train", *arguments(data, tmp_path / "run", *more)) == 0


UNUSABLE = {
    "missing": lambda path: None,
    "empty": Path.mkdir,
    "only broken": lambda path: (path.mkdir(), (path / "a.png").write_bytes(b"x")),
    "wrong.npy": lambda path: np.save(path, np.zeros((2, 8, 8, 3), np.uint8)),
    "not packed.npy": lambda path: path.write_bytes(b"no numpy"),
    "nowhere.npy": lambda path: None,
}


@pytest.mark.parametrize(("name", "make"), UNUSABLE.items(), ids=UNUSABLE.keys())
def test_unusable_data_is_one_sentence(name, make, tmp_path):
    make(tmp_path / name)
    cache = tmp_path / "cache"
    with pytest.raises(UserError) as caught:
        from_source(tmp_path / name, 16, cache, lambda _: None)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    assert not cache.exists() or not list(cache.iterdir())


def test_held_out_part_is_stable_and_about_as_large_as_asked():
    names = [f"folder/{i}.jpg" for i in range(5000)]
    chosen = {n for n in names if is_held_out(n, 0.04)}
    assert 140 < len(chosen) < 260
    assert chosen <= {n for n in names if is_held_out(n, 0.08)}  # a larger part keeps the old
    assert not any(is_held_out(n, 0.0) for n in names)


# ---------------------------------------------------------------------- the run


@pytest.fixture(scope="module")
def unbroken(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    assert train_script.main(arguments(pictures, out, "--steps", "60")) == 0
    return out


def test_a_run_leaves_what_it_promises(unbroken, pictures):
    records = stats(unbroken)
    fields = ["step", "images", "images_per_s", "train_bits_per_dim", "grad_norm", "lr", "skipped"]
    assert all(r.keys() >= {*fields} for r in records[:-1])
    assert [r["step"] for r in records] == [*range(5, 65, 5), 60]
    val = [r["val_bits_per_dim"] for r in records if "val_bits_per_dim" in r]
    assert len(val) == 4 and val[-1] < val[0]  # it learns
    assert json.loads((unbroken / "config.json").read_text())["steps"] == 60
    assert (unbroken / "checkpoint" / "state.safetensors").exists()
    assert list(unbroken.glob("events.out.tfevents.*"))
    for step in (20, 40, 60):
        for kind, size in (("grid", (8 * 16, 4 * 16)), ("morph", (9 * 16, 16))):
            with Image.open(unbroken / "samples" / f"{kind}_{step:08d}.png") as picture:
                assert picture.size == size
    model = models.load(unbroken / "model.safetensors")
    assert model.facts["images_seen"] == 480 and model.facts["preset"] == "tiny"
    assert model.facts["val_bits_per_dim"] == pytest.approx(val[-1])
    # They hold how their pictures were coded, and where states lie.
    assert Coding.from_facts(model.facts) == Coding()
    packed = from_source(pictures, 16, unbroken / "data", pytest.fail, coding=Coding())
    rest, _ = packed.split(0.2)
    *_, states = model.f_with_range(models.bin_centers(rest.tensor()))
    assert (states.low.amin(0) <= model.usual_range.low[0] + 1e-5).all()
    assert (model.usual_range.high[0] <= states.high.amax(0) + 1e-5).all()
    assert (model.usual_range.low < model.usual_range.high).all()


def test_killed_and_stopped_at_any_moment_it_ends_with_the_same_numbers(
    here, unbroken, pictures, tmp_path, monkeypatch, capsys
):
    """kill -9, Ctrl-C, then the same command: byte for byte the unbroken run. A run at work keeps
    others out."""
    out = tmp_path / "killed"
    same_run = arguments(pictures, out, "--steps", "60")
    program = [sys.executable, str(ROOT / "scripts" / "train.py")]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    with subprocess.Popen(
        [*program, *same_run, "--checkpoint-minutes", "0.001"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**environment, "OMP_NUM_THREADS": "1", "OMP_DISPLAY_ENV": "VERBOSE"},
    ) as process:  # fmt: skip
        wait_past(process, out, 12)
        process.send_signal(signal.SIGSTOP)
        assert here("train", *arguments(pictures, out, "--steps", "1")) == 2
        error = capsys.readouterr().err
        assert "at work" in error and str(out) in error and error.count("\n") == 1
        process.kill()
        said, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, "it ended before it could be stopped"
    assert "Traceback" not in said
    # Waiting threads of a script sleep, as the OpenMP that PyTorch has loaded says itself: how
    # often they look before that is 300,000 times without a policy.
    assert "GOMP_" not in said or re.search(r"GOMP_SPINCOUNT ?= ?'?0\b", said), said

    real, calls = loop.dequantize, []

    def stopped(*given, **options):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return real(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "dequantize", stopped)
        assert here("train", *same_run) == 130
    said = capsys.readouterr()
    step = json.loads(metadata_of(out / "checkpoint/state.safetensors")["counters"])["step"]
    assert step > 12 and "from step 0." not in said.out and "Traceback" not in said.err
    assert f"Stopped at step {step}; the same command continues." in said.out
    assert here("train", *same_run) == 0
    assert f"from step {step}." in capsys.readouterr().out
    ours, theirs = (load_file(d / "model.safetensors") for d in (out, unbroken))
    assert "usual_range.low" in theirs and all(torch.equal(ours[k], theirs[k]) for k in theirs)
    ours, theirs = (models.load(d / "model.safetensors").facts for d in (out, unbroken))
    assert ours["val_bits_per_dim"] == theirs["val_bits_per_dim"]
    assert ours.keys() == theirs.keys() and ours["images_seen"] == theirs["images_seen"]
    same_state(out, unbroken)
    same = ("step", "train_bits_per_dim", "val_bits_per_dim", "grad_norm", "lr")
    last = {r["step"]: [r.get(k) for k in same] for r in stats(out)}
    expected = {r["step"]: [r.get(k) for k in same] for r in stats(unbroken)}
    # A log line right after a resume averages over fewer steps; all else must agree.
    assert list(last) == list(expected) and last[60] == expected[60]


def same_state(*runs: Path) -> None:
    ours, theirs = (load_file(out / "checkpoint" / "state.safetensors") for out in runs)
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)


def wait_past(process: subprocess.Popen, out: Path, step: int) -> None:
    """Wait until a run in another process has logged this step, or has ended."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, ValueError, IndexError, KeyError):
            if stats(out)[-1]["step"] >= step:
                return
        time.sleep(0.01)


def test_a_full_disk_leaves_the_last_good_checkpoint(here, unbroken, pictures, tmp_path, capsys):
    out = shutil.copytree(unbroken, tmp_path / "full")
    state = out / "checkpoint" / "state.safetensors"
    before = state.read_bytes()
    more = arguments(pictures, out, "--steps", "80", "--checkpoint-minutes", "0")
    with full_disk(len(before) // 2):
        assert here("train", *more) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1, error
    assert state.read_bytes() == before
    names = {p.name for p in state.parent.iterdir()}
    assert names == {"state.safetensors", "constant.safetensors"}  # and nothing half-written
    # And it goes on from there.
    assert here("train", *arguments(pictures, out, "--steps", "62")) == 0
    assert stats(out)[-1]["step"] == 62


def test_another_run_or_other_pictures_are_refused(here, unbroken, pictures, tmp_path, capsys):
    assert here("train", *arguments(pictures, unbroken, "--steps", "60", "--lr", "0.5")) == 2
    error = capsys.readouterr().err
    assert "another lr" in error and len(error.strip().splitlines()) == 1
    data = shutil.copytree(pictures, tmp_path / "data")
    Image.new("RGB", (16, 16), "tan").save(data / "new.png")
    assert here("train", *arguments(data, unbroken, "--steps", "61")) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"--init {unbroken / 'model.safetensors'}" in error and "--out" in error
    (tmp_path / "config.json").write_text("{")
    assert here("train", *arguments(pictures, tmp_path, "--steps", "1")) == 2
    assert "config.json is damaged" in capsys.readouterr().err


def test_init_starts_from_given_weights(here, unbroken, pictures, tmp_path, capsys):
    """Here with more steps than they have, which makes no difference at the start."""
    weights = unbroken / "model.safetensors"
    grown = ["--model-steps", "4", "2"]
    more = arguments(pictures, tmp_path / "more", "--lr", "1e-9", "--init", str(weights), *grown)
    assert here("train", *more, "--steps", 5) == 0
    started = stats(tmp_path / "more")[-1]["val_bits_per_dim"]
    before = models.load(weights).facts
    assert started == pytest.approx(before["val_bits_per_dim"], abs=1e-3)
    assert here("train", *more, "--steps", 6) == 0
    facts = models.load(tmp_path / "more" / "model.safetensors").facts
    assert facts["steps"] == 6 and facts["started_from"] == before  # also after a resume
    less = arguments(pictures, tmp_path / "less", "--init", str(weights), "--steps", "5")
    assert here("train", *less, "--model-steps", "1", "2") == 2
    assert "cannot grow" in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "less" / "config.json").exists()  # the folder is free for another run


def test_coding_is_that_of_the_weights_a_run_starts_from(tmp_path):
    model = Glow(PRESETS["tiny"])
    silent = models.save(model, tmp_path / "silent.safetensors", {})
    own = Coding(size=64, quality=70)
    named = models.save(model, tmp_path / "named.safetensors", own.to_facts())
    assert pick_coding("auto", 16, silent) is None
    assert pick_coding("auto", 16, named) == own and pick_coding("none", 16, named) is None
    (tmp_path / "config.json").write_text('{"steps": 9}')  # a run from before there was any
    assert pick_coding("auto", 16, named, tmp_path) is None
    settings = own.to_facts() | {"steps": 9}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert pick_coding("auto", 16, None, tmp_path) == own
    assert pick_coding("auto", 128) == Coding() and pick_coding("auto", 129) is None


@pytest.mark.parametrize(
    "wrong",
    [
        "--data nowhere --out x --steps 1",
        "--data nowhere --out x",
        "--data nowhere --out x --steps -1",
        "--data . --out x --steps 1 --image-size 37",
        "--dataset celeba --data nowhere --out x --steps 1",
        "--out x --steps 1",
    ],
)
def test_wrong_arguments_are_one_line_and_status_2(here, wrong, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert here("train", *wrong.split()) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


# ---------------------------------------------------------------------- damaged states


def in_process(packed: PackedPictures, out: Path, from_constant: bool = False, **changes) -> None:
    """A run on all pictures but four, which are held out."""
    settings = {"steps": 20, "batch": 4, "log_steps": 5, "eval_steps": 100, "warmup_steps": 0}
    config = TrainConfig(model=PRESETS["tiny"], **{**settings, **changes})
    parts = packed.subset(slice(4, None)), packed.subset(slice(4))
    train(config, out, *parts, World(torch.device("cpu")), from_constant=from_constant)


@pytest.fixture(scope="module")
def runs(packed: PackedPictures, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run with a state after 5 steps and one after 7, and one of 9 steps at once."""
    out = tmp_path_factory.mktemp("runs")
    for steps in (5, 7):
        in_process(packed, out / "run", steps=steps, cooldown=0.0)
    in_process(packed, out / "unbroken", steps=9, cooldown=0.0)
    return out / "run", out / "unbroken"


def test_a_run_of_an_older_version_goes_on(packed, runs, tmp_path):
    """Its config.json names options that are gone, of which only neutral values are the same run,
    and its states have no digests."""
    out = shutil.copytree(runs[0], tmp_path / "run")
    settings = json.loads((out / "config.json").read_text())
    older = settings | {"noise": 0.0, "augment": False}
    older["model"] = settings["model"] | {"dropout": 0.0, "scale_map": "tanh"}
    (out / "config.json").write_text(json.dumps(older))
    state = out / "checkpoint" / "state.safetensors"
    metadata = metadata_of(state)
    del metadata["digest"]
    write_safetensors(load_file(state), metadata, state)
    in_process(packed, out, steps=8, cooldown=0.0)
    assert stats(out)[-1]["step"] == 8
    older["model"] |= {"dropout": 0.1}
    (out / "config.json").write_text(json.dumps(older))
    with pytest.raises(UserError, match="another model"):
        in_process(packed, out, steps=9, cooldown=0.0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-9] + bytes([data[-9] ^ 4]) + data[-8:],  # a bit flipped
        lambda data: data[:-1],
        lambda data: b"",
    ],
)
def test_a_damaged_state_gives_way_to_the_one_before(damage, packed, runs, tmp_path, capsys):
    out, unbroken = shutil.copytree(runs[0], tmp_path / "run"), runs[1]
    state, previous = (out / "checkpoint" / f"{n}.safetensors" for n in ("state", "previous"))
    assert set(state.parent.iterdir()) == {state, previous}
    assert json.loads(metadata_of(previous)["counters"])["step"] == 5
    state.write_bytes(damage(state.read_bytes()))
    capsys.readouterr()
    in_process(packed, out, steps=9, cooldown=0.0)
    said = [line for line in capsys.readouterr().out.splitlines() if "is damaged" in line]
    assert len(said) == 1 and said[0].endswith("goes on from previous.safetensors, step 5.")
    same_state(out, unbroken)


def test_without_a_sound_state_a_run_says_so_and_starts_nothing(packed, runs, tmp_path, capsys):
    out = shutil.copytree(runs[0], tmp_path / "run")
    for path in (out / "checkpoint").iterdir():
        path.write_bytes(b"")
    with pytest.raises(models.CheckpointError, match="damaged") as caught:
        in_process(packed, out, steps=9, cooldown=0.0)
    assert "state.safetensors" in str(caught.value) and "\n" not in str(caught.value)

    out = shutil.copytree(runs[0], tmp_path / "killed between two renames")
    (out / "checkpoint" / "state.safetensors").unlink()
    in_process(packed, out, steps=6, cooldown=0.0)
    assert "from step 5." in capsys.readouterr().out


# ---------------------------------------------------------------------- numbers going wrong


def test_diverging_training_skips_counts_and_says_so(packed, tmp_path, monkeypatch):
    """A learning rate that is absurd makes the loss infinite; no weight becomes NaN."""
    monkeypatch.setattr(loop, "_GIVE_UP_AFTER", 20)
    out = tmp_path / "diverged"
    with pytest.raises(UserError, match="lower --lr") as caught:
        in_process(packed, out, lr=1e4, steps=2000, eval_steps=10_000)
    assert "\n" not in str(caught.value)
    records = stats(out)
    assert records[-1]["skipped"] > 0
    assert all(np.isfinite(v) for r in records for v in r.values())


def test_one_exploding_gradient_is_skipped(packed, tmp_path, monkeypatch):
    """One batch whose gradient is not finite leaves weights and average untouched."""
    real, calls = loop.dequantize, []

    def poisoned(*given, **options):
        x = real(*given, **options)
        calls.append(1)
        return x * float("nan") if len(calls) == 8 else x

    monkeypatch.setattr(loop, "dequantize", poisoned)
    in_process(packed, tmp_path / "poisoned", steps=10)
    assert stats(tmp_path / "poisoned")[-1]["skipped"] == 1
    model = models.load(tmp_path / "poisoned" / "model.safetensors")  # refuses NaN
    assert model.facts["steps"] == 10


def test_the_state_before_a_cooldown_stays_to_branch_from(packed, tmp_path):
    out = tmp_path / "run"
    in_process(packed, out, steps=8, cooldown=0.5)
    counters = json.loads(metadata_of(out / "checkpoint/constant.safetensors")["counters"])
    step = counters["step"]
    assert counters["lr"] == TrainConfig.lr and 4 <= step <= 5
    in_process(packed, out, from_constant=True, steps=step + 1, log_steps=1, cooldown=0.0)
    assert stats(out)[-1]["step"] == step + 1
    assert stats(out)[-2]["lr"] == TrainConfig.lr
