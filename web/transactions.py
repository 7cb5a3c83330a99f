"""One request, one transaction: how a view gets at the database and the clock.

``transaction()`` inside ``transaction()`` joins it, so that a wrapper (idempotent requests) can put
its own row into the very transaction of the view.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import sqlalchemy as sa
from flask import Flask, current_app, g, request
from sqlalchemy.orm import ORMExecuteState, with_loader_criteria
from sqlmodel import Session, SQLModel

from flags.database import Database, ask_again
from flags.models import Environment

_DATABASE = "flagstone.database"
_CLOCK = "flagstone.clock"
_HIDDEN = "flagstone.hidden_environments"
# The execution option of a query that must know of every environment.
SEES_ALL = "flagstone_sees_all"


def bind(app: Flask, database: Database, clock: Callable[[], dt.datetime]) -> None:
    """Give the application its database and its clock."""
    app.extensions[_DATABASE] = database
    app.extensions[_CLOCK] = clock


def current_database() -> Database:
    """Return the database of the running application."""
    return cast("Database", current_app.extensions[_DATABASE])


def our_address() -> str:
    """Return where readers reach this service: what the settings say, else what they asked for."""
    settings = current_app.extensions["flagstone.settings"]
    return str(settings.public_url or request.host_url).rstrip("/")


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
        hide(session, g.get("hidden_environments", frozenset()))
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
        if g.get("is_open"):
            message = f"{request.endpoint} writes and has not asked in which environment it may"
            raise UnsettledError(message)


class UnsettledError(RuntimeError):
    """A view writes without having asked for its caller's rights: a mistake of ours."""


def leave_open() -> None:
    """Keep nothing that the view writes until :func:`settle` is called."""
    g.is_open = True


def settle() -> None:
    """Say that the caller's rights were asked for where the view writes."""
    g.is_open = False


def hide(session: Session, environments: frozenset[int]) -> None:
    """Let this session, and those for reading of this request, find nothing of environments.

    A list that forgets to ask for rights shows nothing then that it must not. Sessions for writing
    see everything: what is written must fit to all that is there.
    """
    g.hidden_environments = environments
    if environments:
        session.info[_HIDDEN] = environments
        ask_again(session)


@contextmanager
def as_seen(session: Session) -> Iterator[None]:
    """Let a session, though it writes, find for a while only what the caller may know of."""
    before = session.info.get(_HIDDEN)
    session.info[_HIDDEN] = g.get("hidden_environments", frozenset())
    try:
        yield
    finally:
        session.info[_HIDDEN] = before


@sa.event.listens_for(Session, "do_orm_execute")
def _leave_hidden_out(state: ORMExecuteState) -> None:
    hidden: frozenset[int] | None = state.session.info.get(_HIDDEN)
    if not hidden or state.execution_options.get(SEES_ALL) or not state.is_select:
        return
    if state.is_column_load or state.is_relationship_load:
        return
    for table, where in _criteria(hidden):
        option = with_loader_criteria(table, where, include_aliases=True)
        state.statement = state.statement.options(option)


def _criteria(hidden: frozenset[int]) -> Iterator[tuple[type[Any], sa.ColumnElement[bool]]]:
    for mapper in SQLModel._sa_registry.mappers:
        column = mapper.columns.get("environment_id")
        if mapper.class_ is Environment:
            yield mapper.class_, mapper.class_.id.not_in(hidden)
        elif column is not None:
            own = mapper.class_.environment_id
            shown = own.not_in(hidden)
            # What belongs to the project and to none of its environments stays.
            yield mapper.class_, sa.or_(own.is_(None), shown) if column.nullable else shown
