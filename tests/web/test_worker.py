"""The worker's loop: it ticks, drains, survives a failing tick, and gives the lease back."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.models import Lease
from experiments.store.base import Event
from experiments.store.embedded import EmbeddedStore
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
        wait_until(lambda: store.inbox.waiting() == 0, seconds=20)
    finally:
        stop.set()
        running.join(20)
    assert not running.is_alive()
    given_back = lease()
    assert given_back is not None
    assert given_back.expires_at.timestamp() <= time.time()
    store.close()
