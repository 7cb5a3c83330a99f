"""The client: typed getters over the flag set in memory, and events on their way out.

Nothing here waits for the network but the constructor (bounded), ``flush``, ``close`` and
``wait_for_revision``; nothing but the constructor raises.
"""

from __future__ import annotations

import socket
import threading
import time as clock
import weakref
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any

from flagstone import process, snapshot, substitute
from flagstone.arguments import (
    attribute_names,
    attributes,
    path_of,
    positive,
    seconds_of,
    server_key,
)
from flagstone.defaults import Defaults
from flagstone.errors import SnapshotError
from flagstone.events import MEMORY_EXPOSURES, ExposureMemory, Outbox
from flagstone.getters import LOG, Getters
from flagstone.heartbeat import Heartbeat
from flagstone.sender import Sender
from flagstone.sightings import Sightings
from flagstone.store import ChangeCallback, ContactCallback, FlagStore
from flagstone.stream import StreamListener
from flagstone.substitute import Substitute
from flagstone.timing import Timing
from flagstone.transport import Endpoint, Transport
from flagstone.updater import Updater
from flagstone.workers import Workers

if TYPE_CHECKING:
    from flagstone.spool import Spool
    from flagstone.status import Status

SPOOL_BYTES = 64 * 1024 * 1024


class Client(Getters):
    """Evaluates the flags of one environment in this process, and reports exposures and events.

    Parameters
    ----------
    url : str
        Address of the service, such as ``http://127.0.0.1:8400``.
    key : str
        A server key (``fs_srv_…``) of the environment.
    snapshot_path : path, optional
        File that keeps the flag set between runs; with it a start needs no service.
    start_wait_seconds : float, default 2.0
        Longest wait for the first flag set, if there is no snapshot.
    poll_seconds : float, default 15.0
        How often to ask while there is no stream (± 20 %).
    flush_seconds : float, default 1.0
        Longest time that an event waits for company.
    queue_size : int, default 10000
        Events held in memory; what does not fit is dropped and counted.
    context : Mapping, optional
        Attributes of every evaluation (region, application version, ...); callers' win.
    spool_path : path, optional
        Folder for events that the service cannot take, so that they survive this process. Several
        processes may share it.
    spool_bytes : int, default 64 MiB
        As much as may lie there; what does not fit stays in memory while there is room.
    exposure_attributes : sequence of str, default ()
        Names of context attributes, at most eight, whose values go along with exposures, for
        results by segment: text of up to 64 characters, numbers and booleans.
    share_contexts : bool, default True
        Where the environment keeps a sample of contexts (an administrator switches it), tell it
        now and then of at most twenty, so that previews know whom a change moves: of each the
        targeting key and those attributes that published flags ask about, and nothing else. With
        False nothing of a context leaves the process but ``exposure_attributes``.
    host_name : bool, default False
        Tell the service the name of this machine, to be shown in its list of instances.
    timing : Timing, optional
        Further limits, for unusual networks.

    Raises
    ------
    ConfigurationError
        If an argument makes no sense. Nothing else in this class raises.

    Examples
    --------
    >>> with Client("http://127.0.0.1:8400", "fs_srv_...") as client:        # doctest: +SKIP
    ...     client.get_boolean("new-checkout", {"targetingKey": "u1"}, False)
    ...     client.track("purchase", "u1", 12.5)
    True
    """

    _store: FlagStore

    def __init__(
        self,
        url: str,
        key: str,
        *,
        snapshot_path: str | PathLike[str] | None = None,
        start_wait_seconds: float = 2.0,
        poll_seconds: float = 15.0,
        flush_seconds: float = 1.0,
        queue_size: int = 10_000,
        context: Mapping[str, Any] | None = None,
        spool_path: str | PathLike[str] | None = None,
        spool_bytes: int = SPOOL_BYTES,
        exposure_attributes: Iterable[str] = (),
        share_contexts: bool = True,
        host_name: bool = False,
        timing: Timing | None = None,
    ) -> None:
        endpoint = Endpoint.parse(url)
        key = server_key(key)
        start_wait_seconds = seconds_of("start_wait_seconds", start_wait_seconds)
        self._poll_seconds = seconds_of("poll_seconds", poll_seconds, least=0.01)
        self._flush_seconds = seconds_of("flush_seconds", flush_seconds)
        self._queue_size = positive("queue_size", queue_size)
        own_attributes = attributes("context", context)
        told = attribute_names("exposure_attributes", exposure_attributes)
        self._snapshot_path = path_of("snapshot_path", snapshot_path)
        self._spool_path = path_of("spool_path", spool_path)
        self._spool_bytes = positive("spool_bytes", spool_bytes)
        self._host = socket.gethostname() if host_name else None
        self._source = snapshot.source_of(endpoint.address, key)
        self._address = endpoint.address
        timing = timing or Timing()
        self._exit_seconds = timing.exit_seconds
        self._transport = Transport(endpoint, key, timing)
        self._own_store = FlagStore()
        self._memory = ExposureMemory(MEMORY_EXPOSURES, timing.exposure_window_seconds, told)
        self._closing = threading.RLock()
        self._closed = False

        self._defaults = Defaults()
        self._shares = bool(share_contexts)
        self._workers = self._hire()
        super().__init__(
            self._own_store,
            self._own_outbox(),
            own_attributes,
            defaults=self._defaults,
            sightings=self._workers.heartbeat.sightings,
        )
        process.join(self)
        # Workers know nothing of the client: when it is forgotten, they are told to end.
        self._finalizer = weakref.finalize(self, _retire, self._workers)
        self._finalizer.atexit = False
        # One made while something stands in for the service never talks to the service.
        self._talks = not substitute.enlist(self)
        if self._talks:
            found = self._load_snapshot()
            self._workers.start()
            if not found:
                self._own_store.wait_settled(start_wait_seconds)

    # -- events -------------------------------------------------------------------------------

    def flush(self, timeout: float = 5.0) -> bool:
        """Send what is queued now; True if the service has answered for all of it in time."""
        return self._workers.sender.flush(clock.monotonic() + timeout)

    # -- what is going on ---------------------------------------------------------------------

    def status(self) -> Status:
        """Return how the client is doing."""
        from flagstone.status import Status, instant

        store, sender = self._store, self._workers.sender
        queue, counts = sender.queue, sender.counts
        return Status(
            revision=store.revision,
            source=store.source,
            connected=not store.stale and not self._closed,
            streaming=store.streaming and not self._closed,
            refused=store.refused,
            last_update=instant(store.last_update),
            last_contact=instant(store.last_contact),
            last_error=store.last_error or counts.last_error,
            queued=queue.unsettled,
            sent=counts.sent,
            duplicates=counts.duplicates,
            dropped=sender.dropped,
            rejected=counts.rejected,
            invalid=queue.invalid,
            closed=self._closed,
            spooled=sender.spooled,
            instance=self._workers.heartbeat.instance,
            told_revision=self._workers.heartbeat.told_revision,
        )

    def on_change(self, callback: ChangeCallback) -> Callable[[], None]:
        """Call ``callback(FlagsChanged)`` after every change; returns what ends that.

        It runs on the thread that fetches flags: be brief there.
        """
        return self._store.subscribe(callback)

    def on_contact(self, callback: ContactCallback) -> Callable[[], None]:
        """Call ``callback(Contact)`` after every attempt to reach the service.

        It runs on the thread that fetches flags, after each answer and each failure, so that a
        listener who missed one hears the next; returns what ends that.
        """
        return self._store.subscribe_contact(callback)

    def wait_until_ready(self, timeout: float = 2.0) -> bool:
        """Wait until there are flags to serve, of whatever age; True if there are."""
        if self._store.compiled is None and not self._closed:
            self._store.wait_settled(timeout)
        return self._store.compiled is not None

    def wait_for_revision(self, revision: int, timeout: float = 5.0) -> bool:
        """Wait until ``revision`` or a later one is served; True if it is."""
        return self._store.wait_for_revision(revision, timeout)

    # -- life ---------------------------------------------------------------------------------

    def close(self, timeout: float = 5.0) -> None:
        """Send what is queued, within ``timeout`` seconds, and stop; again is harmless.

        Getters go on serving the last-known values; further events are dropped and counted.
        """
        with self._closing:
            if self._closed:
                return
            self._closed = True
        deadline = clock.monotonic() + timeout
        workers = self._workers
        workers.sender.queue.close()
        workers.sender.part(deadline)
        # Ending threads takes a moment; without any time left they still deserve one, and a little
        # more to bring onto the disk what the service did not take.
        moment = 0.1 if workers.sender.spool is None else 1.0
        workers.stop(max(deadline, clock.monotonic() + moment))
        self._own_store.stale = True
        self._own_store.settle()  # whoever still waits for a first flag set
        self._finalizer.detach()
        process.leave(self)
        lost = workers.sender.queue.unsettled
        if lost:
            LOG.warning("flagstone: closed with %d events not sent", lost)

    def after_fork(self) -> None:
        """Begin anew in a forked child; called by itself, there is no need to call it.

        The parent keeps its threads, sockets and queued events and sends the latter; the child
        gets its own.
        """
        self._closing = threading.RLock()
        self._own_store.after_fork()
        self._memory.after_fork()
        self._defaults.after_fork()
        self._workers.abandon()
        if self._closed:
            return
        self._workers = self._hire()
        self.arm(0)
        self._sightings = self._workers.heartbeat.sightings
        self._sightings.watch(self)
        if self._store is self._own_store:
            self._outbox = self._own_outbox()
        self._finalizer.detach()
        self._finalizer = weakref.finalize(self, _retire, self._workers)
        self._finalizer.atexit = False
        if self._talks:
            self._workers.start()

    def at_exit(self) -> None:
        """Close at the end of the process; called by itself, there is no need to call it."""
        self.close(self._exit_seconds)

    def follow(self, standing: Substitute | None) -> None:
        """Serve from what stands in for the service, or from the service again (for tests)."""
        self._store = self._own_store if standing is None else standing.store
        self._outbox = self._own_outbox() if standing is None else standing.outbox

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._address!r}, revision={self._store.revision})"

    def __reduce__(self) -> Any:
        raise TypeError("a flagstone Client cannot be pickled: make one in each process")

    # -- inside -------------------------------------------------------------------------------

    def _own_outbox(self) -> Outbox:
        return self._memory.outbox(self._workers.sender.queue)

    def _hire(self) -> Workers:
        heartbeat = Heartbeat(
            self._own_store,
            self._defaults,
            self._transport.timing,
            self._host,
            Sightings(allowed=self._shares),
        )
        sender = Sender(
            self._transport,
            self._flush_seconds,
            self._queue_size,
            spool=self._open_spool(),
            heartbeat=heartbeat,
        )
        heartbeat.on(sender)
        updater = Updater(
            self._transport,
            self._own_store,
            self._poll_seconds,
            snapshot_path=self._snapshot_path,
            source=self._source,
            applied=heartbeat.applied,
        )
        listener = StreamListener(self._transport, self._own_store, updater)
        return Workers(sender, updater, listener, heartbeat)

    def _open_spool(self) -> Spool | None:
        if self._spool_path is None:
            return None
        from flagstone.spool import Spool

        return Spool(self._spool_path / self._source, self._spool_bytes)

    def _load_snapshot(self) -> bool:
        if self._snapshot_path is None:
            return False
        try:
            found = snapshot.read(self._snapshot_path, self._source)
            if found is not None:
                self._own_store.apply(found.document, found.etag, "snapshot", clock.time())
        except SnapshotError as error:
            LOG.warning("flagstone: snapshot %s ignored: %s", self._snapshot_path, error)
            return False
        except Exception as error:  # noqa: BLE001  an older or newer SDK may have written it
            LOG.warning("flagstone: snapshot %s ignored: %s", self._snapshot_path, error)
            return False
        return found is not None


def _retire(workers: Workers) -> None:
    workers.retire()
