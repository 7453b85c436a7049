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
        page: what the page says of itself, from another visitor's `page`; None: it is asked.
    """

    def __init__(self, url: str, page: dict[str, Any] | None = None) -> None:
        self.session = secrets.token_hex(8)
        self.http = httpx.Client(base_url=url, timeout=_TIMEOUT, trust_env=False)
        self.page = self.http.get("/config").raise_for_status().json() if page is None else page
        known = self.page["dependencies"]
        self.endpoints = {one["api_name"]: one["id"] for one in known if one["api_name"]}

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
        return self._answer()

    def press(self, elem_id: str, event: str, **said: Any) -> list[Any]:
        """What an event of a part of the page returns, as if a browser had sent it.

        What other parts of the page say then is what they said when it was opened.

        Args:
            elem_id: of the part.
            event: its name, such as "click".
            said: what the event carries.

        Raises:
            as `call`.
        """
        parts = {one["id"]: one for one in self.page["components"]}
        (own,) = (i for i, one in parts.items() if one["props"].get("elem_id") == elem_id)
        handlers = self.page["dependencies"]
        handler = next(one for one in handlers if [own, event] in one["targets"])
        data = [parts[i]["props"].get("value") for i in handler["inputs"]]
        self._join({"fn_index": handler["id"], "data": data, "event_data": said})
        return self._answer()

    def _answer(self) -> list[Any]:
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
        self._join({"fn_index": self.endpoints[endpoint], "data": list(data)})

    def _join(self, body: dict[str, Any]) -> None:
        body = {**body, "session_hash": self.session}
        answer = self.http.post("/gradio_api/queue/join", json=body)
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
