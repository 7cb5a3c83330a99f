"""What one web process knows and keeps: flag sets and keys, what clients tell, and its life."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from flags.database import Database
from web.edge.contexts import Contexts
from web.edge.evaluations import Evaluations
from web.edge.events import Intake
from web.edge.instances import Instances
from web.edge.key_uses import KeyUses
from web.edge.loader import Loader
from web.edge.metrics import Metrics
from web.edge.receipts import Receipts
from web.edge.state import State
from web.edge.stream import Changes
from web.edge.watcher import Watcher
from web.settings import Settings

logger = logging.getLogger("flagstone.edge")

FIRST_LOAD_SECONDS = 10.0
REFRESH_SECONDS = 2.0


class Process:
    """The state of one web process, replaced as a whole whenever the database says so.

    Parameters
    ----------
    settings : Settings
        Where the database and the event store are.
    clock : callable
        POSIX seconds.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.clock = clock
        self.state = State()
        self.metrics = Metrics()
        self.changes = Changes()
        self.intake = Intake(settings.events_place, self._count_events)
        self.instances = Instances(clock)
        self.contexts = Contexts(clock)
        self.key_uses = KeyUses(clock)
        self.evaluations = Evaluations(clock)
        self.receipts = Receipts(clock)
        self._watcher: Watcher | None = None
        self._database: Database | None = None
        self._refreshing: asyncio.Future[None] | None = None

    @property
    def has_database(self) -> bool:
        """Whether the database answered when it was last asked."""
        return self._watcher is not None and self._watcher.error is None

    async def start(self, began: Callable[[], None] | None = None) -> None:
        """Load flag sets and keys, and watch for changes; ``began``: what to do meanwhile.

        The service starts without a database too: it says so at ``/readyz`` and goes on trying.
        """
        loop = asyncio.get_running_loop()
        self._database = Database(self.settings.database_url, pool_size=1)
        loaded = asyncio.Event()

        def publish(state: State) -> None:
            def swap() -> None:
                self.swap(state)
                loaded.set()

            loop.call_soon_threadsafe(swap)

        self.receipts.start(self._database)
        self._watcher = Watcher(Loader(self._database), publish, noticed=self.receipts.notice)
        self._watcher.start()
        self.instances.start(self._database)
        self.contexts.start(self._database)
        self.key_uses.start(self._database)
        self.evaluations.start(self._database)
        if began is not None:
            began()
        try:
            await asyncio.wait_for(loaded.wait(), FIRST_LOAD_SECONDS)
        except TimeoutError:
            logger.error("no flag sets yet: %s", self._watcher.error or "the database is slow")

    def end_streams(self) -> None:
        """End every event stream and every wait, so that open ones do not hold up a shutdown."""
        self.changes.close()
        self.receipts.close()

    async def stop(self) -> None:
        """Stop watching, finish commits, let go of threads."""
        self.end_streams()
        loop = asyncio.get_running_loop()
        if self._watcher is not None:
            await loop.run_in_executor(None, self._watcher.stop)
        await loop.run_in_executor(None, self.intake.close)
        await loop.run_in_executor(None, self.instances.close)
        await loop.run_in_executor(None, self.contexts.close)
        await loop.run_in_executor(None, self.key_uses.close)
        await loop.run_in_executor(None, self.evaluations.close)
        if self._database is not None:
            self._database.dispose()

    def swap(self, state: State) -> None:
        """Put a new state into service and wake the streams that it concerns."""
        before, self.state = self.state, state
        if before.keys != state.keys:
            self.changes.notify_all()
        for number, snapshot in state.snapshots.items():
            if before.snapshots.get(number) is not snapshot:
                self.metrics.changes.inc()
                self.metrics.version.labels(snapshot.flag_set_id).set(snapshot.version)
                self.changes.notify(number)
        for number in before.snapshots.keys() - state.snapshots.keys():
            self.changes.notify(number)
        self.metrics.failed_flag_sets.set(len(state.failures))

    async def refresh(self) -> None:
        """Read the database now; callers that come together share one read."""
        if self._watcher is None:
            return
        if self._refreshing is None or self._refreshing.done():
            loop = asyncio.get_running_loop()
            self._refreshing = asyncio.ensure_future(
                loop.run_in_executor(None, self._watcher.check)
            )
        await asyncio.wait_for(asyncio.shield(self._refreshing), REFRESH_SECONDS)
        # The new state was handed to the loop before the read was reported as done.
        await asyncio.sleep(0)

    def _count_events(self, environment_id: int, counts: Mapping[str, int]) -> None:
        snapshot = self.state.snapshots.get(environment_id)
        if snapshot is not None:
            self.metrics.count_events(snapshot.flag_set_id, counts)
