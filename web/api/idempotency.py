"""``Idempotency-Key``: a POST that is sent twice is done once, and answered the same.

The key is claimed and the answer kept in the transaction of the change itself. A failed request
keeps nothing: its repetition is a first attempt. A second request with the same key that arrives
while the first one works waits for the row, and then gets the first one's answer. A receipt
(``Prefer: wait=N``) is no part of what is kept: each repetition gets one of its own.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, current_app, request
from flask.typing import ResponseReturnValue
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, delete, select

from flags.errors import InvalidInputError, StateError
from web.auth.guard import current_caller
from web.auth.models import IdempotentResponse
from web.errors import IdempotencyError
from web.prefer import MADE
from web.transactions import now, settle, transaction

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEPT_FOR = dt.timedelta(hours=24)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_IDEMPOTENT = "flagstone_idempotent"
_KEPT_HEADERS = ("Content-Type", "ETag", "Location", MADE)

View = Callable[..., ResponseReturnValue]


def idempotent(*, secret: bool = False) -> Callable[[View], View]:
    """Let callers repeat a POST safely; a ``secret`` answer is not kept, and cannot be repeated."""

    def decorate(view: View) -> View:
        @wraps(view)
        def answer(**kwargs: Any) -> ResponseReturnValue:
            key = request.headers.get(HEADER)
            if key is None:
                return view(**kwargs)
            if not _KEY.fullmatch(key):
                message = "an Idempotency-Key has 1 to 255 visible ASCII characters"
                raise InvalidInputError(message, field=HEADER, hint="send a UUID")
            with transaction() as session:
                row, is_new = _claim(session, current_caller().principal, key, _fingerprint())
                if not is_new:
                    # The view, which would ask where its caller may write, is not called.
                    settle()
                    return _replay(row)
                response = current_app.make_response(view(**kwargs))
                _keep(row, response, secret=secret)
                session.add(row)
            return response

        setattr(answer, _IDEMPOTENT, True)
        return answer

    return decorate


def is_idempotent(view: Callable[..., Any]) -> bool:
    """Tell whether callers may send an ``Idempotency-Key`` to a view."""
    return bool(getattr(view, _IDEMPOTENT, False))


def _fingerprint() -> str:
    line = f"{request.method} {request.full_path} {request.headers.get('If-Match', '')}\n"
    return hashlib.sha256(line.encode() + request.get_data(cache=True)).hexdigest()


def _claim(
    session: Session, principal: str, key: str, fingerprint: str
) -> tuple[IdempotentResponse, bool]:
    session.exec(
        delete(IdempotentResponse).where(col(IdempotentResponse.created_at) < now() - KEPT_FOR)
    )
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    insert = postgresql.insert if is_postgresql else sqlite.insert
    # On PostgreSQL this waits for another request's claim of the same key to be decided.
    claimed = session.execute(
        insert(IdempotentResponse)
        .values(
            principal=principal, key=key, request_hash=fingerprint, headers={}, created_at=now()
        )
        .on_conflict_do_nothing(index_elements=["principal", "key"])
        .returning(col(IdempotentResponse.id))
    ).first()
    row = session.exec(
        select(IdempotentResponse).where(
            IdempotentResponse.principal == principal, IdempotentResponse.key == key
        )
    ).one()
    return row, claimed is not None


def _keep(row: IdempotentResponse, response: Response, *, secret: bool) -> None:
    row.status = response.status_code
    row.headers = {n: response.headers[n] for n in _KEPT_HEADERS if n in response.headers}
    row.body = None if secret else response.get_data(as_text=True)


def _replay(row: IdempotentResponse) -> Response:
    if row.request_hash != _fingerprint():
        message = "this Idempotency-Key was used for another request"
        raise IdempotencyError(message, field=HEADER, hint="use a new key for a new request")
    if row.body is None or row.status is None:
        message = "this was done before, and its answer held a secret that is shown only once"
        raise StateError(message, field=HEADER, hint="revoke what was created, and create another")
    response = Response(row.body, row.status, row.headers)
    response.headers[REPLAYED] = "true"
    return response
