"""Which pages may ask: OFREP is for browsers, and a key, not a page's origin, decides what it sees.

No cookie counts here, so an answer may be read from anywhere.
"""

from __future__ import annotations

from web.edge.problems import Answer, Headers

HEADERS: Headers = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"ETag, Retry-After"),
)


def readable(answer: Answer) -> Answer:
    """Let a page of any origin read an answer."""
    return Answer(answer.status, answer.headers + HEADERS, answer.body)


def _preflight(methods: bytes, headers: bytes) -> Answer:
    allowed = (
        (b"access-control-allow-origin", b"*"),
        (b"access-control-allow-methods", methods),
        (b"access-control-allow-headers", headers),
        (b"access-control-max-age", b"7200"),
    )
    return Answer(204, allowed, b"")


PREFLIGHT = _preflight(b"POST, OPTIONS", b"authorization, content-type, if-none-match, x-api-key")
# A browser's own EventSource asks for no permission; one that is made of fetch does.
STREAM_PREFLIGHT = _preflight(b"GET, OPTIONS", b"cache-control, last-event-id")
