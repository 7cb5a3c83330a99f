"""One request, one transaction: how a view gets at the database and the clock.

``transaction()`` inside ``transaction()`` joins it, so that a wrapper (idempotent requests) can put
its own row into the very transaction of the view.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from flask import Flask, current_app, g
from sqlmodel import Session

from flags.database import Database

_DATABASE = "flagstone.database"
_CLOCK = "flagstone.clock"


def bind(app: Flask, database: Database, clock: Callable[[], dt.datetime]) -> None:
    """Give the application its database and its clock."""
    app.extensions[_DATABASE] = database
    app.extensions[_CLOCK] = clock


def current_database() -> Database:
    """Return the database of the running application."""
    return cast("Database", current_app.extensions[_DATABASE])


def now() -> dt.datetime:
    """Return the time of this request: asked once, the same to its end."""
    if "now" not in g:
        g.now = current_app.extensions[_CLOCK]()
    return cast("dt.datetime", g.now)


@contextmanager
def reading() -> Iterator[Session]:
    """Give a session for reading; within a transaction, that transaction's."""
    if "write_session" in g:
        yield g.write_session
        return
    with current_database().read() as session:
        yield session


@contextmanager
def transaction() -> Iterator[Session]:
    """Give the request's write session: committed at the end, undone by an exception."""
    if "write_session" in g:
        yield g.write_session
        return
    with current_database().write() as session:
        g.write_session = session
        try:
            yield session
        finally:
            del g.write_session
