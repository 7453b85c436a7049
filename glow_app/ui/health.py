"""GET /health: whether the page answers, for programs that watch it. It says nothing else."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

__all__ = ["HEALTH"]


async def _health(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok", headers={"Cache-Control": "no-store"})


HEALTH = Route("/health", _health)
