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
    for weights in source.glob("models/pretrained/*.safetensors"):
        weights.write_bytes(b"")  # 40 MB that nothing here opens take seconds to pack
    install = ["pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [sys.executable, "-m", *install, "--no-compile", "--target", site, source],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return site


def test_all_files_are_in_the_package(site):
    assert files_of(site) == files_of(ROOT)
    assert {path.name for path in site.iterdir() if "-" not in path.name} == {*PACKAGES, "bin"}


def test_the_command_works_from_any_folder(site, small_checkpoint, tmp_path):
    """It takes nothing of this repository, never asks a proxy, of which those here answer nothing,
    opens files whose names are no text, and leaves no temporary file behind."""
    odd, temporary = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")), tmp_path / "temporary"
    odd.mkdir()
    temporary.mkdir()
    (odd / "site").symlink_to(site)
    checkpoint = shutil.copy(small_checkpoint, odd / os.fsdecode(b"mod\xe8le.safetensors"))
    proxy = {f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https", "HTTP", "HTTPS")}
    proxy |= {"all_proxy": "socks5://127.0.0.1:9", "ALL_PROXY": "socks5://127.0.0.1:9"}
    environment = os.environ | proxy | {"PYTHONPATH": f"{odd}/site", "TMPDIR": str(temporary)}
    environment.pop("GRADIO_TEMP_DIR", None)
    process = subprocess.Popen(
        [odd / "site" / "bin" / "glow-studio", "--host", "[::]", "--checkpoint", checkpoint],
        cwd=odd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        lines = [process.stdout.readline(), process.stdout.readline()]
        found = re.search(r"is at (http://\[::1\]:\d+/) ", lines[1])
        assert found, (lines, process.poll() and process.stderr.read())
        with httpx.Client(trust_env=False, base_url=found[1]) as client:
            page = client.get("/")
            assert page.status_code == 200 and "Glow Studio" in page.text and "mod?le" in page.text
            assert client.get("/config").status_code == 200
        assert list(temporary.glob("glow-studio-*"))
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert not out and "Traceback" not in err and err.count("Everybody in your network") == 1
    assert not list(temporary.glob("glow-studio-*"))


def listed(name: str) -> dict[str, Requirement]:
    """The lines of a requirements file, each of which says why it is there."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line and not line.startswith(("#", "-r "))]
    assert all(re.search(r"  # \w", line) for line in lines)
    found = [Requirement(line.partition("#")[0].strip()) for line in lines]
    return {requirement.name: requirement for requirement in found}


def test_requirements_are_those_of_the_package():
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


def test_the_example_of_the_readme_works(tmp_path, monkeypatch, capsys):
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


def test_what_the_texts_link_and_run_is_there():
    for text in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("models/**/*.md")):
        words = text.read_text(encoding="utf-8")
        found = [text.parent / link for link in re.findall(r"\]\((?!https?:)([^)#\s]+)", words)]
        found += [ROOT / s for s in re.findall(r"\b(?:scripts|benchmarks)/[\w/]+\.py\b", words)]
        assert all(path.exists() for path in found), (text, found)
