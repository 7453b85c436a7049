"""Doors that must stay shut: passwords, foreign pages, paths, sizes, headers, pickle."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from gradio_client import Client, handle_file
from packaging.version import Version
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from glow_app.common.errors import UserError
from glow_app.ui import limits
from glow_app.ui.routes import publish, script_address
from glow_app.ui.security import MARK, AccessControl, line_for, read_users
from glow_app.ui.visitors import uploaded_file
from tests.page_tools import answer_to, serving

pytest_plugins = ["tests.page_fixtures"]

ROOT = Path(__file__).resolve().parents[1]
NAME, PASSWORD = "ann", "correct horse: battery staple"
HTTP = httpx.Client(trust_env=False, timeout=60)  # one, as each costs the time of ten requests


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def get(server: str, path: str = "/", **headers: str) -> httpx.Response:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTP.get(f"{server}{path}", headers=headers)


# ---- the file of users --------------------------------------------------------------------------


def test_users_are_known_by_password_or_hash(tmp_path):
    line = line_for(NAME, PASSWORD)
    assert PASSWORD not in line and line != line_for(NAME, PASSWORD)  # salted
    users = read_users(written(tmp_path / "users", f"# ours\n\n{line}\nbo:a:b \n"))
    assert len(users) == 2
    assert users.know(NAME, PASSWORD) and users.know("bo", "a:b ")
    for name, password in ((NAME, "a:b "), ("bo", "a:b"), ("eve", PASSWORD), ("", ""), (NAME, "")):
        assert not users.know(name, password)
    marked = written(tmp_path / "marked", f"\ufeff{line}\n")  # as Notepad writes it
    assert read_users(marked).know(NAME, PASSWORD)
    assert PASSWORD not in repr(vars(users)) and "a:b" not in repr(vars(users))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no user"),
        ("# nobody\n", "names no user"),
        ("ann\n", "Line 1 of .* is not name:password"),
        ("ann:x\n:y\n", "Line 2 of .* is not name:password"),
        ("ann:x\nann:y\n", "Line 2 of .* names ann for the second time"),
        (f"ann:{MARK}AAAA\n", "Line 1 of .* damaged hash"),
        (f"ann:{MARK}AAAA$AAAA\n", "Line 1 of .* damaged hash"),
        ("ann:" + "x" * 70_000, "too large"),
    ],
)
def test_odd_files_of_users_are_refused(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        read_users(written(tmp_path / "users", text))


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_file_that_others_can_read_is_refused(tmp_path):
    for mode in (0o644, 0o640, 0o604):
        with pytest.raises(UserError, match="chmod 600"):
            read_users(written(tmp_path / "users", "ann:x\n", mode))
    for missing in (tmp_path / "gone", tmp_path):
        with pytest.raises(UserError, match="no file"):
            read_users(missing)


def test_users_are_added_by_a_script(here, tmp_path, monkeypatch, capsys):
    file = tmp_path / "users"

    def add(name: str, typed: str) -> int:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        return here("add_user", file, name)

    assert add("ann", "old\nold\n") == add("bo", "other\nother\n") == 0
    assert add("ann", f"{PASSWORD}\n{PASSWORD}\n") == 0
    users = read_users(file)
    assert users.know("ann", PASSWORD) and users.know("bo", "other") and len(users) == 2
    capsys.readouterr()
    assert add("ann", "one\ntwo\n") == 2 and capsys.readouterr().err.count("\n") == 1
    assert read_users(file).know("ann", PASSWORD)


# ---- a page with a password ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked(small, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page that asks for a password."""
    file = written(tmp_path_factory.mktemp("auth") / "users", f"{line_for(NAME, PASSWORD)}\n")
    with serving(small, users=read_users(file)) as (_, url):
        yield url


def test_the_password_opens_everything_and_nothing_else_does(locked, photos):
    upload = {"files": ("a.jpg", photos[0].read_bytes(), "image/jpeg")}
    (uploaded,) = HTTP.post(
        f"{locked}/gradio_api/upload", files=upload, auth=(NAME, PASSWORD)
    ).json()
    file = f"/gradio_api/file={uploaded}"
    answer = HTTP.get(f"{locked}{file}", auth=(NAME, PASSWORD))
    assert answer.status_code == 200 and answer.content == photos[0].read_bytes()
    assert answer.headers["cache-control"] == "no-store"

    schema = HTTP.get(f"{locked}/gradio_api/openapi.json", auth=(NAME, PASSWORD)).json()
    paths = {"/", "/config", "/login", "/theme.css", "/assets/x.js", "/static/x", "/monitoring"}
    paths |= {file, f"/file={uploaded}", "/gradio_api/startup-events", "/nowhere", "/%2e%2e/x"}
    paths |= {f"/{script_address('player.js')}", "/ui/x"}
    paths |= {re.sub(r"{.*?}", "x", path) for path in schema["paths"]}
    for path in sorted(paths):
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            for auth in (None, (NAME, "wrong"), ("eve", PASSWORD))[: 3 if path == file else 1]:
                answer = HTTP.request(method, f"{locked}{path}", auth=auth)
                assert answer.status_code == 401, (method, path, auth)
                assert "basic" in answer.headers["www-authenticate"].lower()
                assert len(answer.content) < 100
    assert HTTP.post(f"{locked}/gradio_api/upload", files=upload).status_code == 401
    assert get(locked, cookie="access-token=x; access-token-unsecure=x").status_code == 401
    for odd in ("Basic", "Basic !", "Basic YW5u", "Bearer x", "basic " + "A" * 5000):
        assert get(locked, authorization=odd).status_code == 401

    assert "Glow Studio" in HTTP.get(f"{locked}/", auth=(NAME, PASSWORD)).text
    client = Client(locked, verbose=False, httpx_kwargs={"auth": (NAME, PASSWORD)})
    settings = {"frames": 3, "size": 16, "api_name": "/morph"}
    file, facts = client.predict(*(handle_file(photo) for photo in photos), **settings)
    assert facts["frames"] == 3 and Path(file).stat().st_size


# ---- scripts and styles -------------------------------------------------------------------------


def test_scripts_may_be_kept_for_good_and_only_they_are_served(server):
    preloaded = re.findall(r'modulepreload\\?" href=\\?"([^"\\]+)', get(server).text)
    assert len(preloaded) > 15 and script_address("player.js") in preloaded
    for address in preloaded:
        answer = get(server, f"/{address}")
        assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-type"].startswith("text/javascript")
        for name in re.findall(r"from '(\.[^']+)'", answer.text):  # what it imports is there, too
            assert urljoin(address, name) in preloaded, name
    version = script_address("player.js").split("/")[1]
    wrong = ["", "x", "x/player.js", f"{version}/", f"{version}/../routes.py"]
    wrong += [f"{version}/%2e%2e/routes.py", f"{version}//etc/passwd", f"{version}/x.js"]
    for address in wrong:
        assert get(server, f"/ui/{address}").status_code == 404, address
    # What is published twice has one address; what differs in a byte has another.
    one, other = (publish(content, "x.jpg") for content in (b"one", b"other"))
    assert one == publish(b"one", "x.jpg") != other
    assert len(one.split("/")[1]) >= 16


def test_the_page_is_light(server):
    answer = get(server, "/config")
    assert len(answer.content) < 430_000
    assert "LatestWins" not in answer.text  # no script is inside of a component
    theme = get(server, f"/theme.css?v={answer.json()['theme_hash']}")
    assert ":is(#ui, .ui-player)" in theme.text and ":is(#ui, .ui-card)" in theme.text
    assert "immutable" in theme.headers["cache-control"]
    assert "cache-control" not in get(server, "/theme.css").headers


# ---- who may ask --------------------------------------------------------------------------------


def test_only_its_own_names_lead_to_the_page(server):
    port = server.rpartition(":")[2]
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", "LOCALHOST", "[::1]:7860"):
        assert get(server, host=host).status_code == 200, host
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "localhost@x"):
        answer = get(server, host=host)
        assert answer.status_code == 403 and len(answer.content) < 100, host


def test_pages_of_others_may_link_but_not_ask(server):
    own, path = server.removeprefix("http://"), "/gradio_api/info"
    assert get(server, path, origin=f"http://{own}").status_code == 200
    assert get(server, path, sec_fetch_site="same-origin").status_code == 200
    for origin in ("https://evil.example", "null", "http://localhost:1", f"http://{own}.evil"):
        answer = get(server, path, origin=origin)
        assert answer.status_code == 403, origin
        assert not [name for name in answer.headers if name.startswith("access-control")]
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert get(server, sec_fetch_dest="document", **link).status_code == 200
    assert get(server, sec_fetch_dest="iframe", **link).status_code == 403
    assert get(server, path, sec_fetch_site="cross-site", sec_fetch_mode="no-cors").is_error
    ask = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    asked = HTTP.options(f"{server}{path}", headers=ask)
    assert asked.status_code == 403 and "access-control-allow-origin" not in asked.headers


def judged(path: str = "/", root_path: str = "", **headers: str) -> int:
    """The status that a guard of a page called glow.example.org gives; 200 if it lets it pass."""

    async def app(scope, receive, send) -> None:
        await PlainTextResponse("in")(scope, receive, send)

    guard = AccessControl(app, "127.0.0.1", names=["glow.example.org"])

    async def under(scope, receive, send) -> None:
        await guard({**scope, "root_path": root_path}, receive, send)

    return TestClient(under, "http://127.0.0.1").get(path, headers=headers).status_code


def test_a_page_behind_a_proxy_goes_by_its_name_and_is_judged_below_its_root():
    for host in ("glow.example.org", "Glow.example.org:8443", "localhost", "127.0.0.1:7860"):
        assert judged(host=host) == 200, host
    for host in ("example.org", "x.glow.example.org", "glow.example.org.evil.example"):
        assert judged(host=host) == 403, host
    # A proxy that passes on another Host than the browser asked for.
    assert judged(host="127.0.0.1:7860", origin="https://glow.example.org") == 200
    assert judged(host="127.0.0.1:7860", origin="https://glow.example.org:8443") == 200
    for origin in ("https://evil.example", "https://glow.example.org.evil.example", "null"):
        assert judged(host="glow.example.org", origin=origin) == 403, origin
    for root_path in ("/glow", "/static"):
        for path in ("/config", f"{root_path}/config", f"{root_path}/", "/"):
            assert judged(path, root_path) == 200, path
        for path in ("/monitoring", f"{root_path}/monitoring", f"{root_path}/gradio_api/proxy=x"):
            assert judged(path, root_path) == 404, path


def test_every_answer_has_the_headers(server):
    answers = [get(server), get(server, "/theme.css"), get(server, "/none"), get(server, host="x")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
        assert "http" not in policy and "*" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in answer.headers


# ---- paths and sizes ----------------------------------------------------------------------------


def test_no_path_from_a_client_is_read(server):
    """As a text, and as the two forms of a file that clients send."""
    meta = {"meta": {"_type": "gradio.FileData"}}
    places = ["README.md", f"{os.environ['GRADIO_TEMP_DIR']}/../x", "http://[::1]/x"]
    for file in (
        "/etc/passwd", {"path": "/etc/passwd"}, {"path": "/etc/passwd"} | meta,
        *({"path": place} | meta for place in places),
    ):  # fmt: skip
        for name, data in (
            ("open", {"file": file}),
            ("morph", {"photo_a": file, "photo_b": file}),
            ("average", {"photos": [file]}),
        ):
            said = answer_to(HTTP, server, name, **data)
            assert said.startswith("event: error") and "went wrong inside" not in said, said
            assert "root:" not in said and "exact, invertible" not in said


def test_an_event_names_only_files_that_were_uploaded(photos):
    for path in (str(photos[0]), "/etc/passwd", "../etc/passwd", "a\0b", "", 3, None, {}):
        with pytest.raises(UserError):
            uploaded_file(path)


def test_the_server_fetches_and_serves_nothing_else(server):
    for path in (
        "/gradio_api/file=http://127.0.0.1/", "/gradio_api/file=https://example.com/x.png",
        "/gradio_api/proxy=https://example.com/", "/gradio_api/file=/etc/passwd",
        f"/gradio_api/file={ROOT}/README.md", "/gradio_api/file=../../etc/passwd",
        "/gradio_api/file/etc/passwd", "/static/../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/monitoring", "/login",
        "/gradio_api/deep_link", "/gradio_api/vibe-code", "/gradio_api/dev/reload",
        "/gradio_api/runs",
    ):  # fmt: skip
        answer = get(server, path)
        assert answer.status_code in (403, 404), path
        assert "root:" not in answer.text


def test_uploads_are_limited(server):
    def upload(content: bytes) -> int:
        files = {"files": ("a.jpg", io.BytesIO(content), "image/jpeg")}
        return HTTP.post(f"{server}/gradio_api/upload", files=files).status_code

    assert limits.MAX_UPLOAD_MB == 50
    assert upload(bytes(1000)) == 200
    assert upload(bytes(50 * 1024**2 + 10_000)) == 413
    chunks = HTTP.post(f"{server}/gradio_api/upload", content=iter([b"x", b"y"]))
    assert chunks.status_code == 411
    assert HTTP.post(f"{server}/gradio_api/queue/join", content=bytes(17_000_000)).is_error


def test_files_are_data():
    """Nothing here can be made to run what a file says, weights are safetensors, and OpenCV, whose
    decoders have known holes (SECURITY.md), opens no picture."""
    runs_files = r"\bpickle\b|torch\.load\(|joblib|\bdill\b|\bmarshal\b|shelve|(?<![.\w])eval\("
    runs_files += r"|\bexec\(|yaml\.(unsafe_)?load\(|allow_pickle=True|weights_only=False"
    for folder in ("models", "glow_app", "scripts"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            assert not re.search(r"imread|imdecode|VideoCapture", text), file
            code = re.sub(r"#.*", "", text)
            code = re.sub(r"\"\"\".*?\"\"\"", "", code, flags=re.DOTALL)
            assert not re.search(runs_files, code), file
    for file in (ROOT / "models" / "pretrained").rglob("*"):
        assert file.is_dir() or file.suffix in {".safetensors", ".md"}, file


def test_versions_are_not_older_than_what_security_md_says():
    rows = re.findall(
        r"^\| ([\w-]+) \| .*(?:CVE|GHSA|ReDoS).* \| ([\d.]+) \|$",
        (ROOT / "SECURITY.md").read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    assert len(rows) > 10
    for package, fixed in rows:
        assert Version(version(package)) >= Version(fixed), package
