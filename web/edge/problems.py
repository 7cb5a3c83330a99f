"""How an answer and an error of the data plane become bytes; no framework.

``Answer`` is what every handler returns. Errors are ``application/problem+json`` (RFC 9457) with a
stable ``code``; OFREP's own error shape is in :mod:`web.edge.ofrep`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, NamedTuple

import orjson

Headers = tuple[tuple[bytes, bytes], ...]

JSON = (b"content-type", b"application/json")
PROBLEM_JSON = (b"content-type", b"application/problem+json")
NO_STORE = (b"cache-control", b"no-store")


class Answer(NamedTuple):
    """One HTTP answer: status, headers without ``content-length``, whole body."""

    status: int
    headers: Headers
    body: bytes


class BodyError(Exception):
    """The request's body or headers cannot be used; the caller's to mend.

    ``field`` names what is wrong, such as ``context.targetingKey`` or ``Content-Type``.
    """

    def __init__(
        self, code: str, detail: str, *, field: str | None = None, hint: str | None = None
    ):
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.field = field
        self.hint = hint


def problem_document(
    status: int, code: str, detail: str, *, field: str | None = None, hint: str | None = None
) -> dict[str, Any]:
    """Build the members of a problem document."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if field is not None:
        document["field"] = field
    if hint is not None:
        document["hint"] = hint
    return document


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    field: str | None = None,
    hint: str | None = None,
    headers: Headers = (),
) -> Answer:
    """Answer with an error as ``application/problem+json``."""
    document = problem_document(status, code, detail, field=field, hint=hint)
    return Answer(status, (PROBLEM_JSON, NO_STORE, *headers), orjson.dumps(document))


def method_not_allowed(allowed: str) -> Answer:
    """Answer 405 and say which methods there are."""
    return problem(
        405,
        "method_not_allowed",
        f"This address answers {allowed} only.",
        headers=((b"allow", allowed.encode()),),
    )


def too_large(limit_bytes: int) -> Answer:
    """Answer 413 and say what the limit is."""
    return problem(413, "body_too_large", f"The body is larger than {limit_bytes} bytes.")
