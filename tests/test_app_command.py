"""``python app.py`` as a newcomer runs it: the address, the refusals, the end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from glow_app import launch
from glow_app.common import cli
from glow_app.common.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


def start(*arguments: object, **options: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def address(process: subprocess.Popen) -> str:
    """Where the page says it is, once it is there."""
    assert process.stdout
    lines = [process.stdout.readline(), process.stdout.readline()]
    found = re.search(r"is at (\S+) ", lines[1])
    assert found, (lines, process.poll() and process.stderr.read())
    return found[1]


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


def test_it_serves_the_page_and_cleans_up(small_checkpoint: Path, tmp_path: Path) -> None:
    # From another folder, with a private place for temporary files to look into afterwards.
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    environment.pop("GRADIO_TEMP_DIR", None)
    began = time.monotonic()
    process = start("--checkpoint", small_checkpoint, cwd=tmp_path, env=environment)
    try:
        url = address(process)
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
        print(f"\ncommand to address: {time.monotonic() - began:.1f} s")
        page = httpx.get(url)
        assert page.status_code == 200 and "Glow Studio" in page.text
        assert list(tmp_path.glob("glow-studio-*"))
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert "Traceback" not in err and not out
    assert not list(tmp_path.glob("glow-studio-*"))


def test_it_starts_beside_proxies_on_ipv6_and_under_any_name(
    small_checkpoint: Path, tmp_path: Path
) -> None:
    """A proxy that answers nothing must never be asked; a file may have a name that is no text."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    odd.mkdir()
    checkpoint = shutil.copy(small_checkpoint, odd / os.fsdecode(b"mod\xe8le.safetensors"))
    project = odd / "project"  # its own files then have such paths, too
    project.symlink_to(ROOT)
    proxy = {f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https", "HTTP", "HTTPS")}
    proxy |= {"all_proxy": "socks5://127.0.0.1:9", "ALL_PROXY": "socks5://127.0.0.1:9"}
    process = subprocess.Popen(
        [sys.executable, project / "app.py", "--host", "[::]", "--checkpoint", checkpoint],
        env={**os.environ, **proxy}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        url = address(process)
        assert url.startswith("http://[::1]:")
        with httpx.Client(trust_env=False) as client:
            assert "mod?le" in client.get(url).text
            assert client.get(f"{url}config").status_code == 200
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    assert err.count("Everybody in your network") == 1


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


def test_without_a_port_the_next_free_one_is_taken() -> None:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", 7860))
            listener.listen()
        except OSError:
            pass  # something else holds it, which serves as well
        assert launch.find_port("127.0.0.1", None) > 7860


def test_help_is_quick_and_names_the_options() -> None:
    began = time.monotonic()
    process = start("--help")
    text, _ = process.communicate(timeout=60)
    print(f"\n--help: {time.monotonic() - began:.2f} s")
    options = ("--checkpoint", "--device", "--host", "--port", "--auth", "--name", "--root-path")
    assert process.returncode == 0 and time.monotonic() - began < 10
    assert all(option in text for option in (*options, "--open"))
