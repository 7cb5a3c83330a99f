"""Locks between processes that the operating system lets go when their holder is killed.

SQLite is the lock manager: it is here already, and its file locks work on every platform.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_SHARED_TIMEOUT_SECONDS = 30.0


@contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Try to be the only holder, without waiting; gives whether it worked."""
    with closing(_connect(path, timeout=0.0)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if not getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                raise
            yield False
            return
        yield True


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold the lock along with others; waits for an exclusive holder, who is never long."""
    with closing(_connect(path, timeout=_SHARED_TIMEOUT_SECONDS)) as connection:
        connection.execute("BEGIN")
        # BEGIN alone takes nothing; the first read takes the shared lock until the end.
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield


def _connect(path: Path, *, timeout: float) -> sqlite3.Connection:
    # Not WAL: there, a reader would not keep an exclusive holder out.
    return sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
