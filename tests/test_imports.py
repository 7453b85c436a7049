"""What is imported brings nothing with it that takes long, or that opens doors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
