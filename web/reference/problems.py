"""``errors.md``: every code of a problem, with its status and its meaning."""

from __future__ import annotations

from collections.abc import Iterator

import experiments.errors
import experiments.store.base  # noqa: F401  its errors are found below their base
import web.errors  # noqa: F401
from flags.errors import FlagstoneError
from flagstone.engine import FlagSetError
from web.problems import CODE_BY_STATUS, status_of
from web.reference.markdown import code, page, sentence, table

_HOW = """Every error of `/api/v1` is `application/problem+json` (RFC 9457): `status`, `title`,
`detail` (a sentence), `code` (stable, from this page), and where there is something to say `field`
(where in your request) and `hint` (what to do). Nothing is ever written in part. Rely on `code`;
sentences may get better. The data plane answers its requests as OFREP 0.3 and the SDK expect."""

# Answers of no error class of ours: the framework's, the database's, and the unforeseen.
_OTHERS = (
    (
        500,
        "internal_error",
        "something went wrong on our side; `detail` names an incident of the log",
    ),
    (503, "database_busy", "the database is busy or away; nothing was written; try again"),
)
_WORDS_BY_STATUS = {
    400: "the request is no HTTP that can be read",
    404: "there is nothing at this address",
    405: "the address knows other methods; `Allow` names them",
    413: "the body is larger than this route accepts",
    415: "the body is of a type that this route does not read",
}
# Never sent by a route: they end a process, or a tick of the worker.
_ELSEWHERE = {"bad_setting", "cannot_start", "fenced", "error", "invalid_row"}


def error_classes(base: type[FlagstoneError] = FlagstoneError) -> Iterator[type[FlagstoneError]]:
    """Give every class of error below the base, and it."""
    yield base
    for child in base.__subclasses__():
        yield from error_classes(child)


def codes() -> dict[str, tuple[int, str]]:
    """Give the status and the meaning of every code that a route may answer with."""
    found: dict[str, tuple[int, str]] = {}
    for kind in error_classes():
        status = status_of(kind)
        own = "code" in vars(kind)
        if own and kind.code not in _ELSEWHERE and status is not None:
            found[kind.code] = (status, sentence(kind.__doc__))
    found["invalid_flag_set"] = (400, sentence(FlagSetError.__doc__))
    for status, name in CODE_BY_STATUS.items():
        found.setdefault(name, (status, _WORDS_BY_STATUS[status]))
    for status, name, says in _OTHERS:
        found[name] = (status, says)
    return found


def problems_page() -> str:
    """Write the page."""
    rows = sorted((status, name, says) for name, (status, says) in codes().items())
    return page(
        "Errors",
        "the error classes and `web/problems.py`",
        _HOW,
        table(
            ["status", "code", "means"],
            [[str(status), code(name), says] for status, name, says in rows],
        ),
        "Of the command line, 409 and 412 are exit code 3, `needs_approval` is 4, all others are 1 "
        "([cli.md](cli.md)).",
    )
