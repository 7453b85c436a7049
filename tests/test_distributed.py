"""Several processes train as one: real torchrun, two gloo processes on the CPU."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import stats
from safetensors.torch import load_file

from glow_app.common.errors import UserError
from glow_app.training import PackedPictures, TrainConfig, World, join_world, train
from models import PRESETS
from scripts import train as train_script

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 smooth random pictures, already of the model's size."""
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 256, (300, 2, 2, 3)).astype(np.float32)
    ramp = np.linspace(1, 0, 16, dtype=np.float32)
    weights = np.stack([ramp, 1 - ramp], axis=1)
    pictures = np.einsum("yi,xj,nijc->nyxc", weights, weights, corners)
    noise = rng.normal(0, 3, pictures.shape)
    path = tmp_path_factory.mktemp("packed") / "smooth.npy"
    np.save(path, (pictures + noise).round().clip(0, 255).astype(np.uint8))
    return path


def options(packed: Path, out: Path, *more: str) -> list[str]:
    own = "--preset tiny --device cpu --precision float32 --batch 8 --warmup-steps 0"
    own += " --log-steps 4 --holdout 0.2"
    return ["--data", str(packed), "--out", str(out), *own.split(), *more]


def train_alone(packed: Path, out: Path, *more: str) -> None:
    assert train_script.main(options(packed, out, *more)) == 0


def started_as_two(
    packed: Path, folder: Path, runs: dict[str, list[str]]
) -> subprocess.Popen[str]:
    """torchrun with two processes that train one run after the other."""
    lines = ["import os", "from glow_app.common import cli", "from scripts import train"]
    for name, more in runs.items():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        # Each run meets anew: what torchrun keeps for that is used up by the first.
        meet = {"TORCHELASTIC_USE_AGENT_STORE": "False", "MASTER_PORT": str(port)}
        call = options(packed, folder / name, *more)
        lines += [f"os.environ.update({meet})", f"status = cli.run(train.main, argv={call})"]
        lines += ["if status: raise SystemExit(status)"]
    program = folder / "runs.py"
    program.write_text("\n".join(lines))
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(program)]
    found = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'scripts'}", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *launch], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **found},
    )  # fmt: skip


def the_same_gradients(alone: Path, two: Path) -> None:
    """After one step the first moments of AdamW are a tenth of the gradients."""
    states = [load_file(out / "checkpoint/state.safetensors") for out in (alone, two)]
    moments = [k for k in states[0] if k.endswith("exp_avg")]
    assert len(moments) > 20
    ours, theirs = (torch.cat([s[k].flatten() for k in moments]) for s in states)
    assert ours.norm() > 0
    assert float((ours - theirs).norm() / ours.norm()) < 1e-5
    # Dequantisation, flips and validation do not depend on the number of processes either.
    first, second = stats(alone)[-1], stats(two)[-1]
    for name in ("train_bits_per_dim", "grad_norm", "val_bits_per_dim"):
        assert second[name] == pytest.approx(first[name], rel=1e-4)


def test_two_processes_have_the_gradients_of_one_and_end_when_one_is_lost(
    packed, tmp_path, capsys
):
    """Whether they store what gradients need or recompute it; and one process can go on."""
    one, two, again, lost = (tmp_path / name for name in ("one", "two", "again", "lost"))
    step = ["--steps", "1"]
    train_alone(packed, one, *step)
    endless = ["--steps", "100000", "--checkpoint-minutes", "0"]
    runs = {"two": step, "again": [*step, "--reversible"], "lost": endless}
    with started_as_two(packed, tmp_path, runs) as torchrun:
        log, deadline = lost / "stats.jsonl", time.monotonic() + 120
        while torchrun.poll() is None and time.monotonic() < deadline:
            if log.exists() and log.read_text().endswith("\n"):  # it has logged and saved steps
                break
            time.sleep(0.05)
        found = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children")
        children = found.read_text().split() if found.exists() else []
        for child in children[:1]:
            os.kill(int(child), signal.SIGKILL)
        try:
            said, error = torchrun.communicate(timeout=120)
        finally:
            torchrun.kill()
    assert torchrun.returncode not in (0, -signal.SIGKILL), error
    assert "Another process of this run was lost" in error
    assert len(children) == 2 and not any(Path(f"/proc/{child}").exists() for child in children)
    assert said.count("2 processes on cpu") == 3
    the_same_gradients(one, two)
    the_same_gradients(one, again)
    for out in (two, one):
        capsys.readouterr()
        train_alone(packed, out, "--steps", "12")
        assert "from step 1." in capsys.readouterr().out
    ours, theirs = stats(two), stats(one)
    assert [r["images"] for r in ours] == [r["images"] for r in theirs]
    assert ours[-1]["val_bits_per_dim"] == pytest.approx(theirs[-1]["val_bits_per_dim"], abs=0.02)
    assert len(list(two.glob("events.out.tfevents.*"))) == 2  # one writer a sitting
    train_alone(packed, lost, "--steps", str(stats(lost)[-1]["step"] + 5))
    assert "from step 0." not in capsys.readouterr().out


def test_only_errors_of_the_network_are_put_down_to_a_lost_process(monkeypatch):
    for name in ("init_process_group", "new_group", "destroy_process_group"):
        monkeypatch.setattr(torch.distributed, name, lambda *args, **options: None)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]")
    with pytest.raises(UserError, match="Another process of this run was lost"):
        with join_world(torch.device("cpu")):
            raise lost
    with pytest.raises(RuntimeError, match="shapes"):
        with join_world(torch.device("cpu")):
            raise RuntimeError("shapes do not match")


def test_a_batch_that_cannot_be_shared_is_one_sentence(tmp_path):
    world = World(torch.device("cpu"), rank=0, size=2)
    config = TrainConfig(model=PRESETS["tiny"], steps=1, batch=7)
    pictures = PackedPictures(np.zeros((9, 16, 16, 3), np.uint8), tuple("abcdefghi"), (), "x")
    with pytest.raises(UserError, match="batch of 7 cannot be shared by 2"):
        train(config, tmp_path, pictures, pictures, world)
    assert not list(tmp_path.iterdir())
