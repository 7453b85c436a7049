"""Fixtures that all tests share: faces, a tiny model, the released model."""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import sys

# Before torch loads: threads that wait must not spin, for a browser needs the same two cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # each of several workers has a core
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn

import models
from models import PRESETS, Glow

if TYPE_CHECKING:
    from glow_app.editing.editor import Editor

_MAY_LACK = ("GPU", "CUDA")  # in the reason of a skip: all else CI has to install


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """In CI a test that lacks its tool fails instead of skipping."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(word in reason for word in _MAY_LACK):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} was skipped in CI. {reason}"


# Files that take long, about longest first: of several workers none then ends on one of them
# alone. Those of the page stand among others: where one worker gets most of them, one page is
# started.
_LONG = (
    "test_scripts", "test_page_browser", "test_page_tabs", "test_glow", "test_page_api",
    "test_faults", "test_page_files", "test_benchmark", "test_page_crop", "test_training",
    "test_evaluate_morphs", "test_reversible", "test_app_command", "test_faces", "test_package",
    "test_security", "test_proxy", "test_prepare_faces", "test_edits",
    "test_distributed", "test_renderer", "test_bijections", "test_downloads", "test_editor",
    "test_put_back", "test_page_looks", "test_page_scenes", "test_page_firefox", "test_learn_page",
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    # pytest-xdist would put files with many tests first, which are not those that take long.
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: k for k, name in enumerate(_LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(_LONG)))


_ROOT = Path(__file__).resolve().parents[1]
_REAL_FACES = Path(__file__).resolve().parents[2] / "shared" / "faces" / "val"


def perturb(module: nn.Module, amount: float = 0.05, seed: int = 0) -> nn.Module:
    """Move every parameter off its start: zero-initialised nets would hide their errors."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * amount)
    return module


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file may grow beyond ``limit`` bytes: writing stops half-way, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(str(path), framework="pt") as file:
        return file.metadata()


def stats(out: Path) -> list[dict]:
    """What a training run has logged."""
    return [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``here("train", *arguments)`` does in this process what the script does in one of its own,
    which takes seconds to start, and returns the exit status."""
    from glow_app.common import cli

    def run(name: str, *arguments: object) -> int:
        path = _ROOT / "scripts" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [path.name])
        try:
            return cli.run(module.main, argv=[str(a) for a in arguments])
        except SystemExit as stop:  # argparse
            return stop.code

    return run


@pytest.fixture(scope="session")
def released_checkpoint() -> Path:
    return models.pretrained_path()


@pytest.fixture(scope="session")
def released(released_checkpoint: Path) -> Editor:
    """An Editor on the released weights."""
    from glow_app.editing.editor import Editor

    return Editor(released_checkpoint, device="cpu")


@pytest.fixture(scope="session")
def default() -> Editor:
    """An Editor on the weights that programs and the page take by themselves: faces of 128
    pixels, which all sliders fit."""
    from glow_app.editing.editor import Editor

    return Editor(device="cpu")


@pytest.fixture(scope="session")
def small_checkpoint() -> Path:
    """A twentieth of the released model: faces of 64 pixels, trained for twelve minutes."""
    return Path(__file__).with_name("small64.safetensors")


@pytest.fixture(scope="session")
def small(small_checkpoint: Path) -> Editor:
    """An Editor on a model that is quick, for what does not depend on how good it is."""
    from glow_app.editing.editor import Editor

    return Editor(small_checkpoint, device="cpu")


@pytest.fixture(scope="session")
def face_folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder with at least 8 aligned faces: real ones where they lie beside the project,
    else faces that the released model draws."""
    if _REAL_FACES.is_dir() and not os.environ.get("GLOW_DRAWN_FACES"):
        return _REAL_FACES
    folder = tmp_path_factory.mktemp("faces")
    editor = request.getfixturevalue("default")
    for seed, pixels in enumerate(editor.sampler.sample(12, 0.6, seed=0)):
        Image.fromarray(pixels).save(folder / f"drawn_{seed:02d}.png")
    return folder


@pytest.fixture(scope="session")
def faces(face_folder: Path) -> np.ndarray:
    """Eight faces (8, 64, 64, 3) uint8."""
    from glow_app.faces.face import prepare
    from glow_app.faces.opening import list_pictures

    files = list_pictures(face_folder)
    chosen = files[:: max(1, len(files) // 8)][:8]
    return np.stack([prepare(file, 64, align="center").pixels for file in chosen])


@pytest.fixture(scope="session")
def detailed_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with two detail levels, untrained."""
    torch.manual_seed(0)
    config = PRESETS["tiny"].replace(
        image_size=32, details=2, steps=(1, 2, 2), widths=(8,) * 3, blocks=(1,) * 3,
        context_width=4, context_blocks=1,
    )  # fmt: skip
    model = Glow(config)
    model.initialize(torch.rand(256, 3, 32, 32))
    perturb(model, 0.02)
    return models.save(model, tmp_path_factory.mktemp("detailed") / "detailed.safetensors")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose couplings do something, untrained."""
    torch.manual_seed(0)
    model = Glow(PRESETS["tiny"])
    size = model.config.image_size
    model.initialize(torch.rand(256, 3, size, size))
    perturb(model)
    return models.save(
        model, tmp_path_factory.mktemp("tiny") / "tiny.safetensors", {"preset": "tiny"}
    )
