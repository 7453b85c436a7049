"""The page behind nginx, as docs/proxy.md has it: under a name, and under a sub-path."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser

from glow_app.editing.editor import Editor
from glow_app.ui.page_faces import OpeningMorph
from tests.page_tools import Visitor, far, serving

pytest_plugins = ["tests.page_fixtures"]

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "proxy.md"
NGINX, OPENSSL = shutil.which("nginx", path="/usr/sbin:/usr/bin:/bin"), shutil.which("openssl")

# What a whole configuration needs besides the example, all of it in one folder.
_AROUND = """
{user} daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/1; uwsgi_temp_path {folder}/2; scgi_temp_path {folder}/3;
    {example}
}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def example(which: str, own: int, upstream: int, folder: Path) -> str:
    """A configuration of the guide, on other ports and with a certificate made here."""
    text = GUIDE.read_text(encoding="utf-8")
    found = re.search(rf"<!-- nginx: {which} -->\n```nginx\n(.*?)```", text, flags=re.DOTALL)
    assert found
    changed = found[1].replace("listen 443 ssl", f"listen 127.0.0.1:{own} ssl")
    changed = changed.replace("127.0.0.1:7860", f"127.0.0.1:{upstream}")
    # Whoever lives at the root of that name has an icon, for which Chromium asks at first.
    root = "location = /favicon.ico { return 204; }\n    "
    changed = changed.replace("location = /glow", f"{root}location = /glow")
    return re.sub(r"/etc/letsencrypt/live/[^/]+", str(folder), changed)


@pytest.fixture(scope="module")
def opening(small: Editor) -> OpeningMorph:
    return OpeningMorph(small)


@contextmanager
def proxied(
    opening: OpeningMorph, small: Editor, which: str, folder: Path, host: str, root_path: str
) -> Iterator[tuple[int, str]]:
    """The page behind nginx, which runs in ``folder``.

    Yields:
        the port of nginx, and the address behind it.
    """
    if NGINX is None or OPENSSL is None:
        pytest.skip("no nginx and openssl here")
    own, upstream = free_port(), free_port()
    make = [OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={host}"]
    make += ["-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem", "-days", "2"]
    subprocess.run(make, check=True, capture_output=True)
    file = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # else its workers may not write here
    text = example(which, own, upstream, folder)
    file.write_text(_AROUND.format(folder=folder, example=text, user=user), encoding="utf-8")
    with serving(small, opening, upstream, names=[host], root_path=root_path):
        nginx = subprocess.Popen([NGINX, "-c", file, "-p", folder, "-e", folder / "error.log"])
        try:
            until = time.monotonic() + 10
            while time.monotonic() < until and nginx.poll() is None:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", own)) == 0:
                        break
                time.sleep(0.05)
            assert nginx.poll() is None, (folder / "error.log").read_text(encoding="utf-8")
            yield own, f"http://127.0.0.1:{upstream}"
        finally:
            nginx.terminate()
            nginx.wait(timeout=10)


@pytest.mark.parametrize(
    ("which", "host", "root_path"),
    [("name", "glow.example.org", ""), ("sub-path", "example.org", "/glow")],
)
def test_the_page_works_behind_nginx(
    chromium: Browser, opening: OpeningMorph, small: Editor, photos, tmp_path: Path,
    which: str, host: str, root_path: str,
) -> None:  # fmt: skip
    with proxied(opening, small, which, tmp_path, host, root_path) as (port, behind):
        url = f"https://{host}:{port}{root_path}"
        visitor = Visitor(chromium, url, ignore_https_errors=True)
        with visitor.watched():
            tab = visitor.open()
            tab.choose("a", photos[0])
            tab.move_to("Home")
            first = tab.canvas()
            tab.move_to("End")
            assert far(first, tab.canvas()) > 3
            assert tab.download("Download frame PNG", tmp_path).stat().st_size > 1000
            assert np.ptp(first) > 50
            icon = tab.evaluate("document.querySelector('link[rel=icon]').href")
        visitor.context.close()

        # Under the name that is not resolved here, by asking nginx itself.
        own = {"Host": f"{host}:{port}"}
        at_proxy = f"https://127.0.0.1:{port}{root_path}"
        ask = httpx.Client(verify=False, trust_env=False, headers=own)
        assert ask.get(f"{at_proxy}/health").text == "ok"
        assert ask.get(f"{at_proxy}/monitoring").status_code == 404
        assert ask.get(f"{at_proxy}/", headers={"Host": "evil.example"}).status_code == 403
        own_origin = {"Origin": f"https://{host}:{port}"}
        assert ask.get(f"{at_proxy}/config", headers=own_origin).is_success
        foreign = {"Origin": "https://evil.example"}
        assert ask.get(f"{at_proxy}/config", headers=foreign).status_code == 403
        assert icon == f"{url}/favicon.ico" and ask.get(f"{at_proxy}/favicon.ico").is_success
        if which == "sub-path":  # a proxy may leave it in what it asks for
            assert httpx.get(f"{behind}/glow/health").text == "ok"
            assert httpx.get(f"{behind}/glow/monitoring").status_code == 404
            moved = ask.get(at_proxy)
            assert moved.status_code == 301 and moved.headers["location"] == f"{url}/"
