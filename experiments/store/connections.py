"""Connections to the PostgreSQL that holds events: durable commits, limits on waiting, errors.

psycopg and nothing else, for the data plane. A connection is lent to one thread at a time; as many
are kept as threads were ever busy at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from experiments.store.base import EventError, FullError

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 10.0

Connection = psycopg.Connection[tuple[Any, ...]]


def connect(url: str, *, statement_seconds: float = STATEMENT_SECONDS) -> Connection:
    """Open a connection that commits by itself, durably, and waits for nothing for ever.

    Parameters
    ----------
    url : str
        ``postgresql://…``; SQLAlchemy's ``postgresql+psycopg://…`` is understood too.
    statement_seconds : float
        A statement that takes longer is cancelled; 0 for no limit.
    """
    _, _, rest = url.partition("://")
    connection: Connection = psycopg.connect(
        f"postgresql://{rest}",
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        # A peer that vanished without a word is noticed as soon as one that is too slow.
        tcp_user_timeout=int(STATEMENT_SECONDS * 1_000),
        application_name="flagstone events",
    )
    try:
        connection.execute(
            # What the server says is only ever raised: a replica's "remote_apply" stays.
            "SELECT set_config('synchronous_commit', 'on', false) "
            "WHERE current_setting('synchronous_commit') = 'off'"
        )
        connection.execute(
            "SELECT set_config('statement_timeout', %s, false), "
            "set_config('idle_in_transaction_session_timeout', '0', false), "
            "set_config('search_path', 'flagstone_events', false)",
            (str(int(statement_seconds * 1_000)),),
        )
    except BaseException:
        connection.close()
        raise
    return connection


class Connections:
    """Connections of one process to one database.

    Parameters
    ----------
    url : str
        See :func:`connect`.
    statement_seconds : float
        See :func:`connect`.
    """

    def __init__(self, url: str, *, statement_seconds: float = STATEMENT_SECONDS) -> None:
        self._url = url
        self._statement_seconds = statement_seconds
        self._closed = False
        self._idle: list[Connection]
        self._start()

    @contextmanager
    def lend(self, *, fresh: bool = False) -> Iterator[Connection]:
        """Lend a connection; one on which anything failed is closed and not lent again.

        Parameters
        ----------
        fresh : bool
            Open a new one: all that lie here may be as dead as the one that just failed.
        """
        if os.getpid() != self._pid:
            # After a fork the sockets are the parent's: not ours to use, or even to close.
            self._inherited = self._idle
            self._start()
        if fresh:
            self._discard()
        connection = None
        with self._lock:
            if self._idle:
                connection = self._idle.pop()
        if connection is None:
            connection = connect(self._url, statement_seconds=self._statement_seconds)
        try:
            yield connection
        except BaseException:
            with suppress(Exception):
                connection.close()
            raise
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close what lies here; what is lent is closed when it comes back."""
        self._closed = True
        self._discard()

    def _discard(self) -> None:
        idle: list[Connection] = []
        with self._lock:
            idle, self._idle = self._idle, idle
        for connection in idle:
            connection.close()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle = []


def is_lost(error: psycopg.Error) -> bool:
    """Tell whether the connection itself failed, so that another one may work."""
    return isinstance(error, psycopg.OperationalError) and (
        # Without a state the server was not heard any more; 57P0x is its own farewell.
        error.sqlstate is None or error.sqlstate in {"57P01", "57P02", "57P03"}
    )


def translated(error: psycopg.Error) -> Exception:
    """Turn a driver's error into one of the store's; it never names the address."""
    state = error.sqlstate or ""
    if state == "53100":
        return FullError("the disk of the event database is full", retry_after_seconds=60)
    if state == "57014":
        return FullError("the event database is too slow", retry_after_seconds=5)
    if state.startswith("40") or state == "55P03":
        return FullError("the event database is busy", retry_after_seconds=1)
    if isinstance(error, psycopg.OperationalError) or state == "25006":
        # 25006 is a server that may only be read: the old primary after a failover.
        return FullError("the event database does not answer", retry_after_seconds=5)
    if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
        text = error.diag.message_primary or type(error).__name__
        return EventError(f"the event breaks a rule of the store: {text}")
    return error
