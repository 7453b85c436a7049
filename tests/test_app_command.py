"""``python app.py``: what it loads and what it refuses. Tests of the package let it serve."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import glow_app
from glow_app import launch
from glow_app.common import cli
from glow_app.common.errors import UserError

SWITCHES = {"GRADIO_ALLOWED_PATHS": "/", "GRADIO_SHARE": "true", "GRADIO_VIBE_MODE": "1"}
PROGRAM = f"""
import os, runpy, sys
import numpy

def loaded(*names):
    return [name for name in names if name in sys.modules]

from glow_app.faces import landmarks, regions, warp
assert not loaded("scipy", "mediapipe"), "landmarks, regions and warps"

from glow_app.faces.face import prepare
prepare(numpy.zeros((32, 32, 3), "u1"), 16, "center")
assert not loaded("mediapipe", "torch"), "a crop of the middle"

sys.argv = ["app.py", "--help"]
try:
    runpy.run_path("app.py", run_name="__main__")
except SystemExit:
    assert not loaded("torch", "gradio"), "help"

import glow_app.training, models
assert not loaded("gradio"), "training"

import glow_app.ui
assert not {set(SWITCHES)} & set(os.environ), "switches of Gradio in the environment"
"""


def test_imports_bring_nothing_unwanted() -> None:
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, **SWITCHES, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=root, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    options = ("--checkpoint", "--device", "--host", "--port", "--auth", "--name", "--root-path")
    assert all(option in done.stdout for option in (*options, "--open", "--version"))


@pytest.fixture
def refusal(capsys, monkeypatch) -> Callable[..., str]:
    """``refusal(*arguments)``: what a command that cannot work writes on stderr."""

    def refused(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["app.py"])
        try:
            status = cli.run(launch.main, argv=[str(a) for a in arguments])
        except SystemExit as stop:  # argparse
            status = stop.code
        assert status == 2
        return capsys.readouterr().err

    return refused


def is_one_line(text: str) -> bool:
    return text.endswith("\n") and text.count("\n") == 1 and len(text) > 10


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_folder_for_uploads_without_a_name_in_utf8_is_refused(monkeypatch) -> None:
    from glow_app.ui.visitors import private_folder

    monkeypatch.setenv("GRADIO_TEMP_DIR", os.fsdecode(b"caf\xe9"))
    with pytest.raises(UserError, match=r"caf\?.* not UTF-8: set TMPDIR"):
        private_folder()


def test_files_and_ports_of_no_use_are_one_sentence(
    refusal, taken_port: int, tmp_path: Path, monkeypatch
) -> None:
    foreign, users = tmp_path / "foreign.safetensors", tmp_path / "users"
    foreign.write_bytes(b"something else entirely")
    users.write_text("ann:x\n")
    users.chmod(0o644)
    monkeypatch.setenv("HOME", str(tmp_path))
    for arguments, words in (
        (("--checkpoint", foreign), "foreign.safetensors"),
        (("--checkpoint", tmp_path / "nowhere.safetensors"), "nowhere"),
        (("--port", taken_port), f"Port {taken_port} is in use: choose another with --port"),
        (("--auth", users), "chmod 600"),
        (("--auth=~/users",), "chmod 600"),
    ):
        message = refusal(*arguments)
        assert is_one_line(message) and words in message, arguments


@pytest.mark.parametrize(
    ("reached", "warning"),
    [
        (("--host", "0.0.0.0"), "Everybody in your network can use"),
        (("--name", "Glow.Example.org"), "Everybody who reaches glow.example.org can use"),
        (("--host", "::1"), ""),
    ],
)
def test_a_page_that_others_reach_warns_in_one_line(
    refusal, tmp_path: Path, reached: tuple[str, str], warning: str
) -> None:
    err = refusal(*reached, "--checkpoint", tmp_path / "nowhere.safetensors")
    assert err.count("\n") == 1 + bool(warning) and err.startswith(warning)
    assert ("--auth" in err) == bool(warning)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--port", "70000"), ("--port", "http"), ("--host", "192.0.2.1"),
        ("--host", "fe80::1%eth0"), ("--host", "::ffff:127.0.0.1"),
        ("--name", "https://glow.example.org"), ("--name", "glow.example.org:8000"),
        ("--name", "a b"), ("--root-path", "glow"), ("--root-path", "/a?b"),
        ("--root-path", "/../etc"), ("--root-path", "//evil.example"), ("--frames", "3"), ("x",),
    ],
)  # fmt: skip
def test_wrong_arguments_are_one_sentence(refusal, arguments: tuple[str, ...]) -> None:
    assert is_one_line(refusal(*arguments))


def test_its_version_is_that_of_the_package(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        launch.main(["--version"])
    assert stop.value.code == 0 and capsys.readouterr().out.strip() == glow_app.__version__


def test_without_a_port_the_next_free_one_is_taken(taken_port: int, monkeypatch) -> None:
    monkeypatch.setattr(launch, "_FIRST_PORT", taken_port)
    assert launch.find_port("127.0.0.1", None) > taken_port
