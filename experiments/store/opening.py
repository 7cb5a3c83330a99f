"""Which store an installation has, by its address: a folder, or a PostgreSQL database.

Each is imported when it is asked for: the data plane stays light, and psycopg is optional.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.store.promises import EventInbox, EventStore


def open_front(place: Path | str) -> EventInbox:
    """Open the front of a store: append, and count what came in. Loads no DuckDB.

    Parameters
    ----------
    place : Path or str
        A folder, or ``postgresql://…``.
    """
    if isinstance(place, str):
        from experiments.store.postgresql_inbox import PostgresInbox

        return PostgresInbox(place)
    from experiments.store.inbox import Inbox, inbox_path

    return Inbox(inbox_path(place))


def open_store(place: Path | str) -> EventStore:
    """Open a whole store, for analysis and cleaning up (see :func:`open_front`)."""
    if isinstance(place, str):
        from experiments.store.postgresql import PostgresStore

        return PostgresStore(place)
    from experiments.store.embedded import EmbeddedStore

    return EmbeddedStore(place)
