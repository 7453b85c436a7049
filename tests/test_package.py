"""The package: `pip install .`, then `glow-studio` from any folder; dependencies and texts."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from packaging.requirements import Requirement

import glow_app

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("models", "glow_app")


def files_of(folder: Path) -> set[str]:
    found = (path.relative_to(folder) for name in PACKAGES for path in (folder / name).rglob("*"))
    return {str(path) for path in found if path.suffix and "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the package is installed into, without what it depends on."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in PACKAGES:
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=unwanted)
    install = ["pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [sys.executable, "-m", *install, "--no-compile", "--target", site, source],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return site


def test_all_files_are_in_the_package(site: Path) -> None:
    assert files_of(site) == files_of(ROOT)
    assert {path.name for path in site.iterdir() if "-" not in path.name} == {*PACKAGES, "bin"}


def test_the_command_works_from_any_folder(site: Path, tmp_path: Path) -> None:
    """It opens the page with the released weights, and takes nothing of this repository."""
    command = [site / "bin" / "glow-studio"]
    environment = {**os.environ, "PYTHONPATH": str(site), "TMPDIR": str(tmp_path)}
    options = {"cwd": tmp_path, "env": environment, "text": True}
    version = subprocess.run([*command, "--version"], capture_output=True, **options).stdout
    assert version.strip() == glow_app.__version__
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    try:
        lines = [process.stdout.readline(), process.stdout.readline()]
        found = re.search(r"is at (\S+) ", lines[1])
        assert found, (lines, process.poll() and process.stderr.read())
        page = httpx.get(found[1])
        assert page.status_code == 200 and "Glow Studio" in page.text
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert "Traceback" not in err


def listed(name: str) -> dict[str, Requirement]:
    """The lines of a requirements file, each of which says why it is there."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line and not line.startswith(("#", "-r "))]
    assert all(re.search(r"  # \w", line) for line in lines)
    found = [Requirement(line.partition("#")[0].strip()) for line in lines]
    return {requirement.name: requirement for requirement in found}


def test_requirements_are_those_of_the_package() -> None:
    """The same names; the same versions, or one of them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    users = [*project["dependencies"], *extras["mp4"], *extras["heic"], *extras["train"]]
    makers = [line for line in extras["dev"] if not line.startswith("glow-studio")]
    for declared, file in ((users, "requirements.txt"), (makers, "requirements-dev.txt")):
        ranges = {(found := Requirement(line)).name: found.specifier for line in declared}
        chosen = listed(file)
        assert ranges.keys() == chosen.keys()
        for name, requirement in chosen.items():
            pins = [one.version for one in requirement.specifier if one.operator == "=="]
            if pins:
                assert ranges[name].contains(pins[0]), name
            else:
                assert requirement.specifier == ranges[name], name


def test_the_example_of_the_readme_works(tmp_path, monkeypatch, capsys) -> None:
    """Its ten lines, as they are printed there."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    example = re.search(r"<!-- the example -->\n```python\n(.*?)```", text, re.DOTALL)[1]
    for name, photo in (("a", "face_1"), ("b", "face_2")):
        shutil.copy(ROOT / "glow_app" / "examples" / f"{photo}.jpg", tmp_path / f"{name}.jpg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example, names)
    assert names["frames"].shape == (33, 512, 512, 3)
    assert len(re.findall(r"\d\.\d", capsys.readouterr().out)) == 4  # bits/dim of four faces


TEXTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("models/pretrained/**/*.md")]


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_what_the_texts_link_and_run_is_there(text: Path) -> None:
    words = text.read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)#\s]+)", words):
        assert (text.parent / link).exists(), link
    for script in re.findall(r"\b(?:scripts|benchmarks)/[\w/]+\.py\b", words):
        assert (ROOT / script).exists(), script
