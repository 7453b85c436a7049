"""The page's scripts without a browser: runs page_scripts.test.js by Node's own test runner."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_what_needs_no_browser() -> None:
    own = Path(sys.executable).parent  # of requirements-dev.txt
    node = shutil.which("node", path=f"{own}{os.pathsep}{os.environ.get('PATH', '')}")
    if node is None:
        pytest.skip("no Node.js: pip install -r requirements-dev.txt")
    command = [node, "--test", "tests/page_scripts.test.js"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "fail 0" in run.stdout and "pass 0" not in run.stdout
