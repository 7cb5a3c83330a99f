"""What every route of the API shares: documents with ETags, expected versions, pages of a list."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from flask import Response, request
from pydantic import Field

from flags.errors import InvalidInputError
from web.body import Query

DEFAULT_LIMIT = 100
MAX_LIMIT = 500
_VERSION = re.compile(r'(?:W/)?"(\d{1,15})"')


class PageQuery(Query):
    """Which page of a list: at most ``limit`` entries after ``cursor``."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    cursor: Annotated[str, Field(max_length=1000)] | None = None

    def after(self) -> str | None:
        """Return what the previous page ended with, None for the first page."""
        if self.cursor is None:
            return None
        try:
            return base64.urlsafe_b64decode(self.cursor.encode() + b"==").decode()
        except ValueError:
            message = "the cursor is not one that a list gave"
            raise InvalidInputError(message, field="cursor") from None

    def after_number(self) -> int | None:
        """Return :meth:`after` for lists that are ordered by a number."""
        text = self.after()
        if text is None:
            return None
        if not re.fullmatch(r"\d{1,15}", text):
            message = "the cursor is not one that this list gave"
            raise InvalidInputError(message, field="cursor")
        return int(text)


def page(items: list[dict[str, Any]], next_after: str | int | None) -> dict[str, Any]:
    """Return a list's document; ``next_cursor`` is null on the last page."""
    cursor = None
    if next_after is not None:
        cursor = base64.urlsafe_b64encode(str(next_after).encode()).decode().rstrip("=")
    return {"items": items, "next_cursor": cursor}


def document(body: Mapping[str, Any], *, status: int = 200, version: int | None = None) -> Response:
    """Return a JSON answer; with a version, its ETag, and 304 to who has it already."""
    response = Response(
        orjson.dumps(body, option=orjson.OPT_UTC_Z), status, content_type="application/json"
    )
    if version is not None:
        response.set_etag(str(version))
        if request.method in {"GET", "HEAD"}:
            response.make_conditional(request)
    return response


def expected_version() -> int | None:
    """Return the version in ``If-Match``, None where any will do."""
    given = request.headers.get("If-Match")
    if given is None or given.strip() == "*":
        return None
    match = _VERSION.fullmatch(given.strip())
    if match is None:
        message = "If-Match must be one ETag that this API gave"
        raise InvalidInputError(message, field="If-Match", hint='such as "17"')
    return int(match[1])
