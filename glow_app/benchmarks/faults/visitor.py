"""A visitor of a running page, over plain HTTP as browsers and clients speak it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

__all__ = ["QueueFull", "Refused", "Visitor"]

_TIMEOUT = httpx.Timeout(30.0, read=180.0)  # seconds; an answer may have to wait for its turn


class QueueFull(Exception):
    """The visitor was told to come again."""


class Refused(Exception):
    """The page answered with an error; the message is its sentence."""


class Visitor:
    """One session.

    Args:
        url: of the page.
        endpoints: number of each endpoint by name, from `Visitor.look`.
    """

    def __init__(self, url: str, endpoints: dict[str, int] | None = None) -> None:
        self.session = secrets.token_hex(8)
        self.http = httpx.Client(base_url=url, timeout=_TIMEOUT, trust_env=False)
        self.endpoints = endpoints if endpoints is not None else self.look()

    def look(self) -> dict[str, int]:
        """The endpoints of the page."""
        known = self.http.get("/config").raise_for_status().json()["dependencies"]
        return {one["api_name"]: one["id"] for one in known if one["api_name"]}

    def upload(self, name: str, data: bytes) -> dict[str, Any]:
        """Upload a file; returns what an endpoint takes for it."""
        answer = self.http.post("/gradio_api/upload", files={"files": (name, data)})
        (path,) = answer.raise_for_status().json()
        meta = {"_type": "gradio.FileData"}
        return {"path": path, "orig_name": name, "meta": meta}

    def call(self, endpoint: str, *data: Any) -> list[Any]:
        """What an endpoint returns.

        Raises:
            QueueFull: the page said so.
            Refused: it said something else.
            httpx.HTTPError: it did not answer as it should.
        """
        self.begin(endpoint, *data)
        where = {"session_hash": self.session}
        with self.http.stream("GET", "/gradio_api/queue/data", params=where) as stream:
            for line in stream.iter_lines():
                message = json.loads(line[5:]) if line.startswith("data:") else {}
                if message.get("msg") != "process_completed":
                    continue
                output = message["output"]
                if not message["success"]:
                    raise Refused(str(output.get("error")))
                return output["data"]
        raise httpx.RemoteProtocolError("the answer ended too early")

    def begin(self, endpoint: str, *data: Any) -> None:
        """Put a call into the queue and do not wait for it; raises as `call`."""
        body = {"fn_index": self.endpoints[endpoint], "session_hash": self.session}
        answer = self.http.post("/gradio_api/queue/join", json={**body, "data": list(data)})
        if answer.status_code == 503 and "full" in answer.text:
            raise QueueFull
        answer.raise_for_status()

    def file(self, given: dict[str, Any]) -> bytes:
        """The bytes of a file that an endpoint returned."""
        address = f"/gradio_api/file={given['path']}"
        return self.http.get(address).raise_for_status().content

    @contextmanager
    def present(self) -> Iterator[None]:
        """Be there, as an open page is; leaving the ``with`` is closing it."""
        with self.http.stream("GET", f"/gradio_api/heartbeat/{self.session}") as stream:
            lines = stream.iter_lines()  # held, since the connection goes with it
            next(lines)
            yield

    def close(self) -> None:
        """Hang up."""
        self.http.close()
