"""An answer on its way out, in ASGI's messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from web.edge.metrics import Metrics
from web.edge.problems import Answer

Scope = dict[str, Any]
Send = Callable[[Any], Awaitable[None]]


async def reply(metrics: Metrics, scope: Scope, send: Send, route: str, answer: Answer) -> None:
    """Send an answer, and count it under its route."""
    status, headers, body = answer
    metrics.count(route, status)
    sent = list(headers)
    if status not in (204, 304) and not (scope["method"] == "HEAD" and _has_length(headers)):
        sent.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": body})


def _has_length(headers: tuple[tuple[bytes, bytes], ...]) -> bool:
    return any(name == b"content-length" for name, _ in headers)
