"""Access control between the network and Gradio: who is let in, to what, with which headers.

Gradio serves more than this page needs (a proxy for any address, saved links, monitoring), answers
whatever host it is asked for, allows other origins where the host is not localhost, and leaves
some routes open when it asks for a password. So one layer around all of it refuses what does not
belong to the page, and everything that it does not know.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import ipaddress
import logging
import re
import secrets
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from typing import Any

from starlette._utils import get_route_path
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glow_app.ui import limits
from glow_app.ui.routes import FOR_GOOD
from glow_app.ui.users import Users

_log = logging.getLogger(__name__)

_API = "/gradio_api"
_STARTED = f"{_API}/startup-events"
_UPLOAD = f"{_API}/upload"
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
# (unsafe-eval). What remains: nothing is loaded from, sent to or framed by anybody else.
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
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


def with_access_control(
    host: str, users: Users | None, names: Iterable[str] = ()
) -> Callable[[Any], Any]:
    """Return a lifespan for Gradio's application that puts `AccessControl` around all of it.

    Middleware given to Gradio would come to lie inside its own, whose answers to other origins it
    could not take back.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        app.middleware_stack = AccessControl(app.middleware_stack, host, users, names)
        yield

    return lifespan


class AccessControl:
    """An ASGI application around another one.

    Refused are, in this order: a host that is not this page's (a stranger's name that was made to
    lead here, DNS rebinding), a request that another site's page makes, one without the password
    of a user where there are users, a route that the page does not need, and a body too large.
    """

    def __init__(
        self, app: ASGIApp, host: str, users: Users | None = None, names: Iterable[str] = ()
    ) -> None:
        """
        Args:
            app: the one inside.
            host: where it listens.
            users: who may use it; None for everybody who reaches it.
            names: by which a proxy in front of it is reached, lower case.
        """
        self._app = app
        self._given = frozenset(names)
        self._names = {"localhost", host.lower(), *_own_names(host), *self._given}
        self._users = users
        self._started = False
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._one_guess = asyncio.Lock()  # guessing is as slow for many as for one

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        own_send = _with_headers(send, get_route_path(scope), scope["query_string"])
        refusal = await self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, own_send)
        else:
            await refusal(scope, receive, own_send)

    async def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        # Below --root-path, where there is one: what is judged here must be what is routed there.
        headers, path = Headers(scope=scope), get_route_path(scope)
        if not self._is_own_host(headers.get("host", "")):
            return _answer(403, "This page does not go by that name.")
        if _is_foreign(scope["method"], headers, self._given):
            return _answer(403, "Only the page itself may ask for this.")
        if path == _STARTED and not self._started:
            self._started = True  # Gradio's own call while it starts, and nobody else's
            return None
        given = headers.get("authorization", "")
        if self._users is not None and not await self._is_known(self._users, given):
            if "authorization" in headers:
                _log.warning("wrong name or password from %s", (scope.get("client") or ["?"])[0])
            challenge = {"WWW-Authenticate": 'Basic realm="Glow Studio", charset="UTF-8"'}
            return _answer(401, "A name and a password are needed.", challenge)
        if not _ROUTES.fullmatch(path):
            return _answer(404, "There is nothing here.")
        return _too_much(path, headers)

    def _is_own_host(self, host: str) -> bool:
        if self._users is not None:
            return True  # browsers keep a password for each name apart: rebinding gains nothing
        name = _host_name(host)
        return name in self._names or _address(name) is not None  # an address is nobody's name

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
            return True
        return False


def _answer(status: int, words: str, headers: dict[str, str] | None = None) -> PlainTextResponse:
    return PlainTextResponse(words, status, headers)


def _is_foreign(method: str, headers: Headers, names: Collection[str]) -> bool:
    """Return whether another site's page asks; browsers tell, and other programs need not.

    A link to the page from elsewhere is welcome. A proxy may pass on another Host than the browser
    asked for, so an origin under one of the page's own ``names`` is its own.
    """
    origin = headers.get("origin")
    if origin is not None:
        place = origin.partition("://")[2].lower()
        if place != headers.get("host", "").lower() and _host_name(place) not in names:
            return True
    is_link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    is_link = is_link and headers.get("sec-fetch-dest") == "document"
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and not is_link


def _too_much(path: str, headers: Headers) -> PlainTextResponse | None:
    if "transfer-encoding" in headers:
        return _answer(411, "Say how long the request is.")
    length = headers.get("content-length", "0")
    most = _MAX_UPLOAD if path.rstrip("/") == _UPLOAD else _MAX_BODY
    if not length.isascii() or not length.isdigit() or len(length) > 15 or int(length) > most:
        return _answer(413, f"A request may have at most {most // 1_000_000} MB.")
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
                headers["Cache-Control"] = FOR_GOOD
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


def _own_names(host: str) -> set[str]:
    """Return the names of this computer, where more than itself may reach it."""
    if is_loopback(host):
        return set()
    name = socket.gethostname().lower()
    return {name, f"{name}.local"}
