"""A simulated visitor of a running page, by Gradio's own client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import httpx
from gradio_client import Client

_TIMEOUT = httpx.Timeout(30.0, read=180.0)  # seconds; an answer may have to wait for its turn


class Visitor:
    """One session on the page at ``url``.

    Its methods raise `gradio_client.utils.QueueError` when the page's queue is full,
    `gradio_client.exceptions.AppError` with the page's sentence when it refuses, and
    `httpx.HTTPError` when the connection fails.

    Attributes:
        http: for requests beside the API.
        session: the name by which the page knows this visitor.
    """

    def __init__(self, url: str) -> None:
        options = {"timeout": _TIMEOUT, "trust_env": False}
        self.http = httpx.Client(base_url=url, **options)
        self._client = Client(
            url, download_files=False, verbose=False, analytics_enabled=False, httpx_kwargs=options
        )
        self.session = self._client.session_hash

    def upload(self, name: str, data: bytes) -> dict[str, Any]:
        """Upload a file and return what an endpoint takes for it."""
        answer = self.http.post("/gradio_api/upload", files={"files": (name, data)})
        (path,) = answer.raise_for_status().json()
        return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    def call(self, endpoint: str, *data: Any) -> list[Any]:
        """Return what an endpoint of the API returns."""
        return self._ask(self._client._infer_fn_index(f"/{endpoint}", None), data)

    def begin(self, endpoint: str, *data: Any) -> Future[list[Any]]:
        """Begin a `call` in another thread and return its future."""
        return self._client.executor.submit(self.call, endpoint, *data)

    def press(self, elem_id: str, event: str, **said: Any) -> list[Any]:
        """Return what an event of one of the page's own parts returns, as if a browser sent it.

        Other parts have the values with which the page opens; ``said`` is what the event carries.
        """
        config = self._client.config
        parts = {one["id"]: one for one in config["components"]}
        (own,) = (i for i, one in parts.items() if one["props"].get("elem_id") == elem_id)
        handler = next(one for one in config["dependencies"] if [own, event] in one["targets"])
        data = [parts[i]["props"].get("value") for i in handler["inputs"]]
        return self._ask(handler["id"], data, event_data=said)

    def _ask(self, index: int, data: Sequence[Any], **more: Any) -> list[Any]:
        # `Client.predict` uploads every file again, and sends no data of events.
        predict = self._client.endpoints[index].make_predict(self._client.new_helper(index))
        return list(predict(*data, **more))

    def file(self, given: dict[str, Any]) -> bytes:
        """Return the bytes of a file that an endpoint returned."""
        address = f"/gradio_api/file={given['path']}"
        return self.http.get(address).raise_for_status().content

    @contextmanager
    def present(self) -> Iterator[None]:
        """Hold the connection of an open page; leaving the ``with`` closes it at once."""
        with self.http.stream("GET", f"/gradio_api/heartbeat/{self.session}") as stream:
            lines = stream.iter_lines()  # a variable, so that the connection stays open
            next(lines)
            yield

    def close(self) -> None:
        """End the session."""
        self.http.close()
        self._client.close()
