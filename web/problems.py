"""How an error becomes an answer: one table from error class to status, one shape (RFC 9457)."""

from __future__ import annotations

import dataclasses
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Flask, Response, request
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from experiments.errors import PendingError
from experiments.store.base import FullError, StoreError
from flags.errors import (
    AlreadyExistsError,
    FlagstoneError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
    StateError,
    VersionConflictError,
)
from flagstone.engine import FlagSetError
from web.errors import (
    BodyNotJsonError,
    IdempotencyError,
    SignInUnavailableError,
    TooManyAttemptsError,
    UnauthenticatedError,
)

logger = logging.getLogger("flagstone.web")

# A class is looked up with its bases, nearest first.
STATUS_BY_ERROR: Mapping[type[Exception], int] = {
    InvalidInputError: 400,
    BodyNotJsonError: 415,
    FlagSetError: 400,
    UnauthenticatedError: 401,
    NotAllowedError: 403,
    NotFoundError: 404,
    AlreadyExistsError: 409,
    StateError: 409,
    IdempotencyError: 422,
    VersionConflictError: 412,
    TooManyAttemptsError: 429,
    StoreError: 503,
    SignInUnavailableError: 503,
    FlagstoneError: 400,
}

CODE_BY_STATUS: Mapping[int, str] = {
    400: "invalid_input",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}

RETRY_AFTER_BUSY_SECONDS = 1
KILL_HOOKS = "/hooks/kill/"
_HTML_EXTENSION = "flagstone.html_problem"


@dataclass(frozen=True)
class Problem:
    """What went wrong, in the shape of RFC 9457, with our ``code``, ``field`` and ``hint``."""

    status: int
    code: str
    detail: str
    field: str | None = None
    hint: str | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def title(self) -> str:
        """Name of the status."""
        return HTTP_STATUS_CODES.get(self.status, "Error")

    def to_document(self) -> dict[str, Any]:
        """Return the body; ``field`` and ``hint`` only where there is something to say."""
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.field is not None:
            document["field"] = self.field
        if self.hint is not None:
            document["hint"] = self.hint
        return {**document, **self.more}


def problem_of(error: Exception) -> Problem:
    """Turn any exception into a problem; what nobody foresaw is logged and gets an incident id."""
    status = status_of(type(error))
    if isinstance(error, FlagSetError):
        return Problem(400, "invalid_flag_set", error.message, error.path or None, error.hint)
    if isinstance(error, FlagstoneError) and status is not None:
        return Problem(
            status,
            error.code,
            error.message,
            error.field,
            error.hint,
            _headers_of(error),
            _more_of(error),
        )
    if isinstance(error, HTTPException):
        return _problem_of_http(error)
    if isinstance(error, DBAPIError | StaleDataError):
        problem = _problem_of_database(error)
        if problem is not None:
            return problem
    incident = secrets.token_hex(6)
    logger.error("incident %s: %s", incident, _where(), exc_info=error)
    return Problem(
        500,
        "internal_error",
        f"something went wrong on our side; incident {incident}",
        hint="look for this incident in the log of the service",
        headers={"X-Incident": incident},
    )


def status_of(kind: type[Exception]) -> int | None:
    """Return the status of an error class by its nearest base in the table; None: unforeseen."""
    for base in kind.__mro__:
        if base in STATUS_BY_ERROR:
            return STATUS_BY_ERROR[base]
    return None


def _headers_of(error: FlagstoneError) -> dict[str, str]:
    if isinstance(error, UnauthenticatedError):
        return {"WWW-Authenticate": 'Bearer realm="flagstone"'}
    if isinstance(error, TooManyAttemptsError | FullError | PendingError):
        return {"Retry-After": str(error.retry_after_seconds)}
    return {}


def _more_of(error: FlagstoneError) -> dict[str, Any]:
    if isinstance(error, VersionConflictError) and error.conflict is not None:
        return {"conflict": error.conflict}
    return {}


def _problem_of_http(error: HTTPException) -> Problem:
    status = error.code or 500
    detail = error.description or HTTP_STATUS_CODES.get(status, "error")
    hint = None
    if status == 404:
        detail = "there is nothing at this address"
    if status == 413:
        detail = "the body is larger than this route accepts"
        hint = "at most 1 MiB"
    # The framework's own answer knows headers such as Allow; only its HTML is dropped.
    headers = {k: v for k, v in error.get_headers() if k.lower() in {"allow", "retry-after"}}
    code = CODE_BY_STATUS.get(status, "http_error")
    return Problem(status, code, detail, None, hint, headers)


def _problem_of_database(error: DBAPIError | StaleDataError) -> Problem | None:
    if isinstance(error, StaleDataError):
        return Problem(
            412, "version_conflict", "somebody else changed this first", hint="read it again"
        )
    if isinstance(error, IntegrityError):
        # Two requests created the same key at one time; the services refuse the ordinary case.
        return Problem(409, "already_exists", "somebody else created the same thing first")
    if isinstance(error, DataError):
        # The last line: a column cannot hold, or be compared with, what the caller sent.
        logger.warning(
            "a value passed every check but the database's: %s", _where(), exc_info=error
        )
        return Problem(400, "invalid_input", "a number or a text in the request is out of range")
    if isinstance(error, OperationalError):
        logger.warning("the database refused: %s", _where(), exc_info=error)
        return Problem(
            503,
            "database_busy",
            "the database is busy or away; nothing was written",
            hint="try again",
            headers={"Retry-After": str(RETRY_AFTER_BUSY_SECONDS)},
        )
    return None


def _where() -> str:
    # The path only: a query string or a body may hold what must not be in a log.
    return f"{request.method} {path_to_log(request.path)}"


def path_to_log(path: str) -> str:
    """Return a path as a log may have it: that of a kill hook ends in its secret."""
    return f"{KILL_HOOKS}…" if path.startswith(KILL_HOOKS) else path


def as_json(problem: Problem) -> Response:
    """Render a problem as ``application/problem+json``."""
    return Response(
        orjson.dumps(problem.to_document()),
        problem.status,
        dict(problem.headers),
        content_type="application/problem+json",
    )


def set_html_renderer(app: Flask, render: Callable[[Problem], ResponseReturnValue]) -> None:
    """Let ``render`` answer problems outside ``/api`` to callers that ask for HTML."""
    app.extensions[_HTML_EXTENSION] = render


def register(app: Flask) -> None:
    """Make every exception of the application a problem."""

    def handle(error: Exception) -> ResponseReturnValue:
        problem = problem_of(error)
        render = app.extensions.get(_HTML_EXTENSION)
        if render is not None and _wants_html():
            try:
                return _rendered(app, render, problem)
            except Exception:
                # A broken error page must not put its own failure in place of the first one.
                logger.exception("the page of a problem could not be rendered: %s", _where())
        return as_json(problem)

    app.register_error_handler(Exception, handle)


def _wants_html() -> bool:
    if request.path.startswith(("/api/", "/sdk/", "/ofrep/", "/hooks/")):
        return False
    accept = request.accept_mimetypes
    return accept["text/html"] > accept["application/json"]


def _rendered(
    app: Flask, render: Callable[[Problem], ResponseReturnValue], problem: Problem
) -> Response:
    response = app.make_response(render(problem))
    for name, value in problem.headers.items():
        response.headers.setdefault(name, value)
    return response
