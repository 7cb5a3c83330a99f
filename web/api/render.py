"""What every route of the API shares: documents with ETags, expected versions, pages of a list."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
import sqlalchemy as sa
from flask import Response, current_app, request
from pydantic import Field
from sqlmodel import Session, col, select

from flags.conflicts import conflict_without_base
from flags.errors import InvalidInputError, VersionConflictError
from flags.models import Environment, Project
from web.auth.guard import WhoAndWhen, who_and_when
from web.body import Query
from web.contract import contract_of, note_read
from web.prefer import MADE, made
from web.transactions import as_seen

DEFAULT_LIMIT = 100
MAX_LIMIT = 500
_VERSION = re.compile(r'(?:W/)?"(v(?=\d+"))?(\d{1,15})(?:-([0-9a-f]{16}))?"')


class PageQuery(Query):
    """Which page of a list: at most ``limit`` entries after ``cursor``."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    cursor: Annotated[str, Field(max_length=1000)] | None = None

    def after(self) -> str | None:
        """Return what the previous page ended with, None for the first page."""
        if self.cursor is None:
            return None
        try:
            padded = self.cursor.encode() + b"=" * (-len(self.cursor) % 4)
            return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
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


class WholeQuery(PageQuery):
    """Which page of a list that is read whole: mostly all of it fits into one."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = MAX_LIMIT

    def page(self, items: list[dict[str, Any]], key: str | None = "key") -> dict[str, Any]:
        """Cut this page out of the whole list.

        Its entries are told apart by ``key``; of a list that only grows at its end (None), by their
        place.
        """
        if key is None:
            begin = self.after_number() or 0
            end = begin + self.limit
            return page(items[begin:end], end if end < len(items) else None)
        after, begin = self.after(), 0
        if after is not None:
            places = {str(each[key]): place for place, each in enumerate(items, 1)}
            if after not in places:
                message = "the cursor is not one that this list gave, or its entry is gone"
                raise InvalidInputError(message, field="cursor", hint="begin again without it")
            begin = places[after]
        shown = items[begin : begin + self.limit]
        more = begin + self.limit < len(items)
        return page(shown, shown[-1][key] if more else None)


def document(
    body: Mapping[str, Any], *, status: int = 200, etag: str | int | None = None
) -> Response:
    """Return a JSON answer; with an ETag, 304 to who has it already."""
    response = Response(
        orjson.dumps(body, option=orjson.OPT_UTC_Z), status, content_type="application/json"
    )
    if etag is not None:
        response.set_etag(str(etag))
        if request.method in {"GET", "HEAD"}:
            response.make_conditional(request)
    return response


def with_revision(response: Response, session: Session, environment_id: int) -> Response:
    """Let the caller wait until the environment's present revision is served everywhere.

    Only views that say so (``@waits``) do; the waiting is the data plane's (``web.edge.receipts``).
    """
    return _with_revisions(response, session, col(Environment.id) == environment_id)


def with_revisions(
    response: Response,
    session: Session,
    project_key: str,
    environments: Iterable[str],
    *,
    first: str | None = None,
) -> Response:
    """Let the caller wait for several environments, and name the ``first`` of them first."""
    if first is not None:
        environments = [first, *sorted(set(environments) - {first})]
    order = list(environments)
    project_id = select(Project.id).where(col(Project.key) == project_key).scalar_subquery()
    which = sa.and_(col(Environment.project_id) == project_id, col(Environment.key).in_(order))
    return _with_revisions(response, session, which, order)


def _with_revisions(
    response: Response, session: Session, which: Any, order: Sequence[str] = ()
) -> Response:
    if contract_of(current_app.view_functions[request.endpoint or ""]).waits:
        query = select(Environment.key, Environment.id, Environment.revision).where(which)
        with as_seen(session):
            # Who may not know of an environment does not hear of its clients either.
            at = {key: (number or 0, revision) for key, number, revision in session.exec(query)}
        if at:
            response.headers[MADE] = made(at[key] for key in (order or at) if key in at)
    return response


def content_etag(body: Mapping[str, Any]) -> str:
    """Return an ETag for what has no version of its own: a hash of what is shown of it."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def etag_of(guard: str | int, shown: Mapping[str, Any]) -> str:
    """Return an ETag in two parts: what ``If-Match`` guards, and a hash of all that is shown.

    Of much that is shown something moves by itself. That is no reason to refuse a change, but who
    asks again with ``If-None-Match`` is to see it.
    """
    return f"{guard}-{content_etag(shown)}"


def expect_content(shown: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> None:
    """Refuse to change what is not any more as the caller read it (``If-Match``).

    Parameters
    ----------
    shown : mapping
        What is guarded; a hash of it begins its ETag.
    wanted : mapping or None
        What the caller would make of some of it; None: they would take all of it away.

    Raises
    ------
    VersionConflictError
        With what is there now, and which fields the caller would have overwritten.
    """
    note_read("if_match")
    given = request.headers.get("If-Match", "*").strip()
    if given == "*" or given.strip('"').partition("-")[0] == content_etag(shown):
        return
    raise content_conflict(shown, wanted)


def content_conflict(
    shown: Mapping[str, Any], wanted: Mapping[str, Any] | None
) -> VersionConflictError:
    """Make the refusal that tells what is there beside what the caller would have made of it."""
    theirs = shown if wanted is None else {name: shown[name] for name in wanted if name in shown}
    return VersionConflictError(
        "it is not any more as you read it",
        hint="read it again, and decide anew",
        conflict=conflict_without_base(theirs, wanted or {}),
    )


@dataclass(frozen=True)
class Expected:
    """What ``If-Match`` says that the caller read; None where any version will do.

    ``revision`` of the environment (``"17"``), or ``flag_version`` of one flag in it (``"v3"``);
    ``rest`` is what follows it in an ETag of two parts (:func:`etag_of`).
    """

    revision: int | None = None
    flag_version: int | None = None
    rest: str | None = None

    def of_flags(self, keys: Collection[str]) -> dict[str, int] | None:
        """Return the expected version by flag; one version can speak of one flag only."""
        if self.flag_version is None:
            return None
        if len(keys) != 1:
            message = "an ETag of a flag cannot guard a change of several flags or of a segment"
            hint = "send the environment's ETag"
            raise InvalidInputError(message, field="If-Match", hint=hint)
        return dict.fromkeys(keys, self.flag_version)


def expected() -> Expected:
    """Return what the request's ``If-Match`` expects."""
    note_read("if_match")
    given = request.headers.get("If-Match", "*").strip()
    if given == "*":
        return Expected()
    match = _VERSION.fullmatch(given)
    if match is None:
        message = "If-Match must be one ETag of an environment or of a flag in it"
        raise InvalidInputError(message, field="If-Match", hint='such as "17" or "v3"')
    number = int(match[2])
    return Expected(flag_version=number) if match[1] else Expected(number, rest=match[3])


class UponExpected(WhoAndWhen):
    """What every service asks for that writes a versioned thing."""

    expected_version: int | None


def upon_expected() -> UponExpected:
    """Return who is asking, when, and the version that ``If-Match`` names, as a service takes them.

    Raises
    ------
    InvalidInputError
        ``If-Match`` is no ETag of ours.
    """
    return {"expected_version": expected_version(), **who_and_when()}


def expected_version() -> int | None:
    """Return the version that ``If-Match`` names of what has one number; None for any.

    Raises
    ------
    InvalidInputError
        ``If-Match`` is no ETag of ours, or a flag's: taken for none, nothing would be guarded.
    """
    given = expected()
    if given.flag_version is not None:
        message = "If-Match must be the ETag that this resource gave, and not a flag's"
        raise InvalidInputError(message, field="If-Match", hint='such as "3"')
    return given.revision
