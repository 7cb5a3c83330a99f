"""What is read from a request: its key and its body."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from web.edge.body import MAX_BODY_BYTES, MAX_IMPORT_BYTES

Receive = Callable[[], Awaitable[Any]]
RequestHeaders = dict[bytes, bytes]


class ClientGoneError(Exception):
    """The client left before its request was complete; there is nobody to answer."""


def secret_of(headers: RequestHeaders) -> str | None:
    """Read the key from ``Authorization: Bearer`` or ``X-API-Key``."""
    authorization = headers.get(b"authorization")
    if authorization is not None and authorization[:7].lower() == b"bearer ":
        return authorization[7:].strip().decode("latin-1") or None
    key = headers.get(b"x-api-key")
    return key.strip().decode("latin-1") or None if key is not None else None


def body_limit(path: str, headers: RequestHeaders) -> int:
    """Return how many bytes the body of a request may have."""
    if path.endswith("/import") and (secret_of(headers) or "").startswith("fs_usr_"):
        return MAX_IMPORT_BYTES
    return MAX_BODY_BYTES


async def read_body(
    headers: RequestHeaders, receive: Receive, limit: int = MAX_BODY_BYTES
) -> bytes | None:
    """Read the body, or give None as soon as it is known to be too large."""
    length = headers.get(b"content-length")
    if length is not None and length.isdigit() and int(length) > limit:
        return None
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            # Half a body must not be taken for a whole one.
            raise ClientGoneError
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            return None
        if not message.get("more_body"):
            return b"".join((*parts, part)) if parts else part
        parts.append(part)
