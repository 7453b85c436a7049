"""Access control between the network and Gradio: who is let in, to what, with which headers.

Users stand in a file. A line of it is ``name:password``, or better ``name:scrypt$…`` as
:func:`line_for` makes it, which does not tell the password. Empty lines and lines that begin with
# are skipped.

Gradio serves more than this page needs (a proxy for any address, saved links, monitoring), answers
whatever host it is asked for, allows other origins where the host is not localhost, and leaves
some routes open when it asks for a password. So one layer around all of it refuses what does not
belong to the page, and everything that it does not know.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import logging
import os
import re
import secrets
import socket
import stat
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from starlette._utils import get_route_path
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glow_app.common.errors import UserError
from glow_app.ui import limits
from glow_app.ui.routes import IMMUTABLE

# ---- users --------------------------------------------------------------------------------------

MARK = "scrypt$"

# 16 MiB and some 50 ms a guess, as OWASP recommends for scrypt where memory is scarce.
_COST = {"n": 2**14, "r": 8, "p": 1}
_SALT = 16  # bytes
_DIGEST = 32  # bytes
_MAX_FILE = 64_000  # bytes
_MAX_USERS = 100  # each plain password is hashed while the file is read


class Users:
    """Names and salted hashes of passwords; the passwords themselves are not kept."""

    def __init__(self, stored: Mapping[str, tuple[bytes, bytes]]) -> None:
        self._stored = dict(stored)  # (salt, digest) of each name
        self._unknown = _hashed(secrets.token_hex())

    def __len__(self) -> int:
        return len(self._stored)

    def know(self, name: str, password: str) -> bool:
        """Return whether this is the password of ``name``, as slowly for an unknown name."""
        salt, digest = self._stored.get(name, self._unknown)
        given = _hashed(password, salt)[1]
        return hmac.compare_digest(given, digest) and name in self._stored


def line_for(name: str, password: str) -> str:
    """Return the line of the file for a new user, with a fresh salt.
    Raises UserError: the name or the password is of no use."""
    if not password:
        raise UserError("A password is needed.")
    if not _is_name(name):
        raise UserError("A name needs printable characters, no colon, and no # at its beginning.")
    salt, digest = (base64.b64encode(part).decode() for part in _hashed(password))
    return f"{name}:{MARK}{salt}${digest}"


def read_users(path: str | Path) -> Users:
    """Read a file of users. Raises UserError: it is missing, others can read it, it names no user,
    or a line is malformed."""
    path = Path(path)
    try:
        if not path.is_file():
            raise UserError(f"There is no file {path}.")
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
                raise UserError(f"Others can read {path}, which holds passwords: chmod 600 {path}")
            text = file.read(_MAX_FILE + 1).decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file of users.") from error
    if len(text) > _MAX_FILE:
        raise UserError(f"{path} is too large to be a file of users.")
    stored: dict[str, tuple[bytes, bytes]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, secret = line.partition(":")
        if not secret or not _is_name(name):
            raise UserError(f"Line {number} of {path} is not name:password.")
        if name in stored:
            raise UserError(f"Line {number} of {path} names {name} for the second time.")
        if len(stored) == _MAX_USERS:
            raise UserError(f"{path} has more than {_MAX_USERS} users.")
        try:
            stored[name] = _parsed(secret)
        except ValueError as error:
            raise UserError(f"Line {number} of {path} has a damaged hash.") from error
    if not stored:
        raise UserError(f"{path} names no user: a line is name:password.")
    return Users(stored)


def _is_name(name: str) -> bool:
    clean = name.isprintable() and name == name.strip() and ":" not in name
    return clean and name != "" and not name.startswith("#")


def _parsed(secret: str) -> tuple[bytes, bytes]:
    """Return salt and digest of what follows the colon; ValueError for a damaged hash."""
    if not secret.startswith(MARK):
        return _hashed(secret)
    parts = secret[len(MARK) :].strip().split("$")
    salt, digest = (base64.b64decode(part, validate=True) for part in parts)
    if len(salt) != _SALT or len(digest) != _DIGEST:
        raise ValueError("not such a hash")
    return salt, digest


def _hashed(password: str, salt: bytes | None = None) -> tuple[bytes, bytes]:
    """Return the salt, by default a new one, and the digest of a password."""
    salt = salt or secrets.token_bytes(_SALT)
    return salt, hashlib.scrypt(password.encode(), salt=salt, dklen=_DIGEST, **_COST)


# ---- access control -----------------------------------------------------------------------------

_log = logging.getLogger(__name__)

_API = "/gradio_api"
_FILE = f"{_API}/file="

# What the page and gradio_client ask for; whatever else Gradio serves is not there.
_ROUTES = re.compile(
    r"/|/(health|config|theme\.css|favicon\.ico|robots\.txt|manifest\.json)/?|/(assets|static|svelte|ui)/.+"
    rf"|{_API}/(info|openapi\.json|app_id|startup-events|theme\.css|login_check|user)/?"
    rf"|{_API}/(upload|upload_progress|component_server|cancel|reset)/?"
    rf"|{_API}/(heartbeat|queue|call|run|api)/.+|{_FILE}([A-Za-z]:)?[^:]*"  # no other scheme
)
_MAX_BODY = 16_000_000  # bytes of a call; photos come as uploads
_MAX_UPLOAD = limits.MAX_FACES * limits.MAX_UPLOAD_MB * 1_000_000 + 1_000_000  # of one request
_MAX_KNOWN = 1000  # credentials that need no second look

# Gradio needs inline styles and scripts, and makes functions of text for components of one's own
# (unsafe-eval). What remains: nothing is loaded from, sent to or framed by another site.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
}


def is_loopback(host: str) -> bool:
    """Return whether only programs on this computer reach a page that listens on ``host``."""
    address = _address(host)
    return host.lower() == "localhost" or (address is not None and address.is_loopback)


class AccessControl:
    """An ASGI application around another one; host, users and names as in `page.launch_options`.

    It has to lie outside of Gradio's own middleware, whose headers for other origins it removes.
    Refused are, in this order: a host that is not this page's (a stranger's name that was made to
    lead here, DNS rebinding), a request that another site's page makes, one without the password
    of a user where there are users, a route that the page does not need, and a body too large.
    """

    def __init__(
        self, app: ASGIApp, host: str, users: Users | None = None, names: Iterable[str] = ()
    ) -> None:
        self._app = app
        self._given = frozenset(names)
        self._names = {"localhost", host.lower(), *self._given}
        if not is_loopback(host):  # others reach it by the name of this computer
            name = socket.gethostname().lower()
            self._names |= {name, f"{name}.local"}
        self._users = users
        self._started = False
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._one_guess = asyncio.Lock()  # guessing is as slow for many as for one

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        own_send = _with_headers(send, get_route_path(scope), scope["query_string"])
        answer = await self._refusal(scope) or self._app
        await answer(scope, receive, own_send)

    async def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        # Below --root-path, where there is one: what is judged here must be what is routed there.
        headers, path = Headers(scope=scope), get_route_path(scope)
        if not self._is_own_host(headers.get("host", "")):
            return PlainTextResponse("This page does not go by that name.", 403)
        if _is_foreign(scope["method"], headers, self._given):
            return PlainTextResponse("Only the page itself may ask for this.", 403)
        if path == f"{_API}/startup-events" and not self._started:
            self._started = True  # only the first is Gradio's own call, while it starts
            return None
        given = headers.get("authorization", "")
        if self._users is not None and not await self._is_known(self._users, given):
            if "authorization" in headers:
                _log.warning("wrong name or password from %s", (scope.get("client") or ["?"])[0])
            challenge = {"WWW-Authenticate": 'Basic realm="Glow Studio", charset="UTF-8"'}
            return PlainTextResponse("A name and a password are needed.", 401, challenge)
        if not _ROUTES.fullmatch(path):
            return PlainTextResponse("There is nothing here.", 404)
        return _too_much(path, headers)

    def _is_own_host(self, host: str) -> bool:
        if self._users is not None:
            return True  # browsers keep a password for each name apart: rebinding gains nothing
        name = _host_name(host)
        return name in self._names or _address(name) is not None  # no site can choose an address

    async def _is_known(self, users: Users, authorization: str) -> bool:
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic" or len(encoded) > 1000:
            return False
        mark = hashlib.blake2b(encoded.encode(), key=self._key).digest()
        if mark in self._known:
            return True
        try:
            name, colon, password = base64.b64decode(encoded).decode("utf-8").partition(":")
        except ValueError:
            return False
        async with self._one_guess:
            known = await asyncio.to_thread(users.know, name, password)
        if known and colon:
            self._known[mark] = None
            if len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)
        return mark in self._known


def _is_foreign(method: str, headers: Headers, names: Collection[str]) -> bool:
    """Return whether another site's page asks; browsers tell, and other programs need not.

    A link to the page from elsewhere is allowed. A proxy may pass on another Host than the browser
    asked for, so an origin under one of the page's own ``names`` is its own.
    """
    origin = headers.get("origin")
    if origin is not None:
        place = origin.partition("://")[2].lower()
        if place != headers.get("host", "").lower() and _host_name(place) not in names:
            return True
    asked = method, headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    is_link = asked == ("GET", "navigate", "document")
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and not is_link


def _too_much(path: str, headers: Headers) -> PlainTextResponse | None:
    if "transfer-encoding" in headers:
        return PlainTextResponse("Say how long the request is.", 411)
    length = headers.get("content-length", "0")
    most = _MAX_UPLOAD if path.rstrip("/") == f"{_API}/upload" else _MAX_BODY
    if not length.isascii() or not length.isdigit() or len(length) > 15 or int(length) > most:
        return PlainTextResponse(f"A request may have at most {most // 1_000_000} MB.", 413)
    return None


def _with_headers(send: Send, path: str, query: bytes) -> Send:
    """Return ``send`` that adds the headers of this module and drops those for other origins."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name in [name for name in headers if name.startswith("access-control-")]:
                del headers[name]
            headers.update(_HEADERS)
            if path.startswith(_FILE):
                headers["Cache-Control"] = "no-store"  # photos do not stay in a browser's cache
            elif path == "/theme.css" and query.startswith(b"v="):  # its digest
                headers["Cache-Control"] = IMMUTABLE
        await send(message)

    return sending


def _host_name(host: str) -> str:
    """Return the name in a Host header, without port and brackets, lower case; "" for none."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(:\d{1,5})?", host)
    return match[1].strip("[]").rstrip(".").lower() if match else ""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
