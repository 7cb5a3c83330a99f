"""The worker's loop: it ticks, drains, survives a failing tick, and gives the lease back."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.models import Lease
from experiments.monitoring import monitor
from experiments.store.base import Event
from experiments.store.embedded import EmbeddedStore
from experiments.store.opening import open_store
from flags.database import Database
from web import worker
from web.settings import Settings


def test_the_worker_drains_events_and_holds_the_lease_until_it_ends(
    database: Database, database_url: str, tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    settings = Settings(database_url=database_url, data_directory=tmp_path / "data")
    store = EmbeddedStore(settings.events_directory)
    stop = threading.Event()
    running = threading.Thread(target=worker.run, args=(settings,), kwargs={"stop": stop})
    running.start()

    def lease() -> Lease | None:
        with database.read() as session:
            return session.get(Lease, "monitor")

    try:
        held = wait_until(lease, seconds=30)
        assert held.expires_at.timestamp() > time.time()
        store.append([Event(uuid.uuid4().bytes, 1, time.time(), "u1", name="purchase")])
        wait_until(lambda: store.inbox.waiting() == 0, seconds=30)
    finally:
        stop.set()
        running.join(100)
    assert not running.is_alive()
    given_back = lease()
    assert given_back is not None
    assert given_back.expires_at.timestamp() <= time.time()
    store.close()


def test_events_are_drained_while_looks_fail(
    database: Database,
    database_url: str,
    tmp_path: Path,
    wait_until: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_arguments: Any, **_more: Any) -> None:
        message = "the database is away"
        raise RuntimeError(message)

    monkeypatch.setattr(monitor, "tick", fail)
    settings = Settings(database_url=database_url, data_directory=tmp_path / "data")
    store = EmbeddedStore(settings.events_directory)
    store.append([Event(uuid.uuid4().bytes, 1, time.time(), "u1", name="purchase")])
    stop = threading.Event()
    running = threading.Thread(target=worker.run, args=(settings,), kwargs={"stop": stop})
    running.start()
    try:
        wait_until(lambda: store.inbox.waiting() == 0, seconds=30)
    finally:
        stop.set()
        running.join(100)
    assert not running.is_alive()
    store.close()


@pytest.mark.postgresql
def test_old_events_go_from_postgresql_when_nobody_needs_them(
    tmp_path: Path, postgresql_url: str, wait_until: Callable[..., Any]
) -> None:
    control = Database(f"sqlite:///{tmp_path / 'control.db'}")
    control.create_all()
    settings = Settings(
        database_url=control.url,
        data_directory=tmp_path / "data",
        events_url=postgresql_url,
        events_keep_days=2,
    )
    store = open_store(settings.events_place)
    now = time.time()
    store.append(
        [
            Event(uuid.uuid4().bytes, 1, now - days * 86_400, "u1", name=f"{days} days ago")
            for days in (0, 1, 4)
        ]
    )
    stop = threading.Event()
    running = threading.Thread(target=worker.run, args=(settings,), kwargs={"stop": stop})
    running.start()

    def names() -> set[str]:
        return {found.name for found in store.inbox.recent(1, since=0)}

    try:
        wait_until(lambda: names() == {"0 days ago", "1 days ago"}, seconds=30)
    finally:
        stop.set()
        running.join(100)
    assert not running.is_alive()
    store.close()
    control.dispose()
