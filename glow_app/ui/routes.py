"""What the page serves beside Gradio's own files: its scripts, small pictures, and ``/health``.

Every file has a digest of what it is in its address, so a browser may keep it forever and never
shows an old one after an update. Only what was published here can be asked for.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

STATIC = Path(__file__).parent / "static"  # scripts, styles and HTML templates

_PREFIX = "ui"  # of all addresses
IMMUTABLE = "private, max-age=31536000, immutable"  # Cache-Control of what never changes
_TYPES = {".js": "text/javascript", ".jpg": "image/jpeg"}

_published: dict[str, bytes] = {}  # by address below the prefix


def publish(content: bytes, name: str, version: str | None = None) -> str:
    """Serve ``content`` for as long as the program runs; return its address, which is relative to
    the page and so is right behind any proxy.

    Args:
        name: the end of its address; the suffix tells its type.
        version: the middle of its address; None for a digest of the content.
    """
    version = version or _digest(content)
    _published[f"{version}/{name}"] = content
    return f"{_PREFIX}/{version}/{name}"


def _publish_scripts() -> dict[str, str]:
    """Serve all scripts under one version, as they import each other; return their addresses."""
    folder = STATIC / "scripts"
    files = sorted(folder.rglob("*.js"))
    contents = {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}
    version = _digest(b"".join(name.encode() + content for name, content in contents.items()))
    return {name: publish(content, name, version) for name, content in contents.items()}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


_SCRIPTS = _publish_scripts()


def script_address(name: str) -> str:
    """Return the address of a script below ``static/scripts``, relative to the page."""
    return _SCRIPTS[name]


def preloads() -> str:
    """Return HTML for the head that fetches all scripts before components ask for them."""
    return "".join(f'<link rel="modulepreload" href="{where}">' for where in _SCRIPTS.values())


def template(name: str, /, **fields: str) -> str:
    """Return the HTML in ``static/html/name`` with each ``[[field]]`` replaced; ``[[long_work]]``
    is the bar that shows how far long work is.

    Square brackets, because Gradio runs the text through a JavaScript template and Handlebars,
    which own ``${}`` and ``{{}}``.
    """
    folder = STATIC / "html"
    text = (folder / name).read_text("utf-8")
    if "[[long_work]]" in text:
        fields["long_work"] = (folder / "long_work.html").read_text("utf-8")
    for field, value in fields.items():
        text = text.replace(f"[[{field}]]", value)
    return text


async def _file(request: Request) -> Response:
    address = request.path_params["address"]
    if address not in _published:
        return PlainTextResponse("There is nothing here.", 404)
    kind = _TYPES[Path(address).suffix]
    return Response(_published[address], media_type=kind, headers={"Cache-Control": IMMUTABLE})


async def _health(request: Request) -> PlainTextResponse:
    """Say whether the page answers, for programs that watch it, and nothing else."""
    return PlainTextResponse("ok", headers={"Cache-Control": "no-store"})


ROUTES = [Route("/health", _health), Route(f"/{_PREFIX}/{{address:path}}", _file)]
