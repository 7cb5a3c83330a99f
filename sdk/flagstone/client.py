"""The client: typed getters over the flag set in memory, and events on their way out.

Nothing here waits for the network but the constructor (bounded), ``flush``, ``close`` and
``wait_for_revision``; nothing but the constructor raises.
"""

from __future__ import annotations

import logging
import threading
import time as clock
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from os import PathLike
from types import TracebackType
from typing import Any, TypeVar

from flagstone import process, snapshot, values
from flagstone.arguments import attributes, path_of, positive, seconds_of, server_key
from flagstone.engine import CompiledFlagSet, ErrorCode, EvaluationDetails, Reason
from flagstone.errors import SnapshotError
from flagstone.events import MEMORY_EXPOSURES, ExposureMemory, tracking_event
from flagstone.sender import Sender
from flagstone.status import Status
from flagstone.store import ChangeCallback, FlagStore
from flagstone.stream import StreamListener
from flagstone.timing import Timing
from flagstone.transport import Endpoint, Transport
from flagstone.updater import Updater
from flagstone.workers import Workers

LOG = logging.getLogger("flagstone")
_T = TypeVar("_T")
_NOTHING: Mapping[str, Any] = {}


class Client:
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
        timing: Timing | None = None,
    ) -> None:
        endpoint = Endpoint.parse(url)
        key = server_key(key)
        start_wait_seconds = seconds_of("start_wait_seconds", start_wait_seconds)
        self._poll_seconds = seconds_of("poll_seconds", poll_seconds, least=0.01)
        self._flush_seconds = seconds_of("flush_seconds", flush_seconds)
        self._queue_size = positive("queue_size", queue_size)
        self._context = attributes("context", context)
        self._snapshot_path = path_of("snapshot_path", snapshot_path)
        self._source = snapshot.source_of(endpoint.address, key)
        self._address = endpoint.address
        timing = timing or Timing()
        self._exit_seconds = timing.exit_seconds
        self._transport = Transport(endpoint, key, timing)
        self._store = FlagStore()
        self._memory = ExposureMemory(MEMORY_EXPOSURES, timing.exposure_window_seconds)
        self._closing = threading.RLock()
        self._closed = False
        self._complaints: set[str] = set()

        found = self._load_snapshot()
        self._workers = self._hire()
        process.join(self)
        # Workers know nothing of the client: when it is forgotten, they are told to end.
        self._finalizer = weakref.finalize(self, _retire, self._workers)
        self._finalizer.atexit = False
        self._workers.start()
        if not found:
            self._store.wait_settled(start_wait_seconds)

    # -- evaluation ---------------------------------------------------------------------------

    def get_boolean(self, flag_key: str, context: Mapping[str, Any] | None, default: bool) -> bool:  # noqa: FBT001
        """Return the flag's boolean in ``context``, or ``default``."""
        return self._get(flag_key, context, default, values.boolean)

    def get_string(self, flag_key: str, context: Mapping[str, Any] | None, default: str) -> str:
        """Return the flag's string in ``context``, or ``default``."""
        return self._get(flag_key, context, default, values.string)

    def get_integer(self, flag_key: str, context: Mapping[str, Any] | None, default: int) -> int:
        """Return the flag's integer in ``context``, or ``default``."""
        return self._get(flag_key, context, default, values.integer)

    def get_float(self, flag_key: str, context: Mapping[str, Any] | None, default: float) -> float:
        """Return the flag's number in ``context``, or ``default``."""
        return self._get(flag_key, context, default, values.floating)

    def get_object(self, flag_key: str, context: Mapping[str, Any] | None, default: _T) -> Any | _T:
        """Return a copy of the flag's object or list in ``context``, or ``default``."""
        return self._get(flag_key, context, default, values.structure)

    def get_details(
        self,
        flag_key: str,
        context: Mapping[str, Any] | None,
        default: Any,
        type: str | type | None = None,  # noqa: A002  the word of the field
    ) -> EvaluationDetails:
        """Return value and reason; ``value`` is ``default`` where the flag gives none.

        Parameters
        ----------
        flag_key, context, default
            As for the other getters.
        type : str or type, optional
            ``"boolean"``, ``"string"``, ``"integer"``, ``"float"`` or ``"object"`` (or ``bool``,
            ``str``, ``int``, ``float``, ``dict``): another value is ``TYPE_MISMATCH``.

        Returns
        -------
        EvaluationDetails
            ``reason`` is ``STALE`` while the service cannot be reached.
        """
        try:
            return self._details(flag_key, context, default, values.CONVERTERS[type])
        except Exception as error:  # noqa: BLE001  never raises into the caller
            self._complain("get_details", error)
            return _failed(flag_key, default, ErrorCode.GENERAL, f"{error}")

    # -- events -------------------------------------------------------------------------------

    def track(
        self,
        name: str,
        context_or_unit: Mapping[str, Any] | str | int | None,
        value: float | None = None,
        time: datetime | float | None = None,
    ) -> None:
        """Record that a unit did something; returns at once.

        Parameters
        ----------
        name : str
            The event's name, such as ``"purchase"``.
        context_or_unit : Mapping, str or int
            The unit, or a context whose ``targetingKey`` it is.
        value : float, optional
            A finite number that goes with it.
        time : datetime or float, optional
            An aware datetime or POSIX seconds; now if left out.
        """
        try:
            queue = self._workers.sender.queue
            try:
                about = context_or_unit
                if self._context and (about is None or isinstance(about, Mapping)):
                    about = {**self._context, **(about or _NOTHING)}
                event = tracking_event(name, about, value, time, clock.time())
            except Exception as error:  # noqa: BLE001  a context may be anybody's mapping
                queue.refuse()
                self._complain(f"track({name!r})", error)
                return
            queue.put(event)
        except Exception as error:  # noqa: BLE001  never raises into the caller
            self._complain("track", error)

    def flush(self, timeout: float = 5.0) -> bool:
        """Send what is queued now; True if the service has answered for all of it in time."""
        return self._workers.sender.flush(clock.monotonic() + timeout)

    # -- what is going on ---------------------------------------------------------------------

    def status(self) -> Status:
        """Return how the client is doing."""
        store, sender = self._store, self._workers.sender
        queue, counts = sender.queue, sender.counts
        return Status(
            revision=store.revision,
            source=store.source,
            connected=not store.stale and not self._closed,
            streaming=store.streaming and not self._closed,
            refused=store.refused,
            last_update=_instant(store.last_update),
            last_contact=_instant(store.last_contact),
            last_error=store.last_error or counts.last_error,
            queued=queue.unsettled,
            sent=counts.sent,
            duplicates=counts.duplicates,
            dropped=queue.dropped,
            rejected=counts.rejected,
            invalid=queue.invalid,
            closed=self._closed,
        )

    def on_change(self, callback: ChangeCallback) -> Callable[[], None]:
        """Call ``callback(FlagsChanged)`` after every change; returns what ends that.

        It runs on the thread that fetches flags: be brief there.
        """
        return self._store.subscribe(callback)

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
        delivered = workers.sender.flush(deadline)
        # Ending threads takes a moment; without any time left they still deserve one.
        workers.stop(max(deadline, clock.monotonic() + 0.1))
        self._store.stale = True
        self._finalizer.detach()
        process.leave(self)
        if not delivered:
            LOG.warning("flagstone: closed with %d events not sent", workers.sender.queue.unsettled)

    def after_fork(self) -> None:
        """Begin anew in a forked child; called by itself, there is no need to call it.

        The parent keeps its threads, sockets and queued events and sends the latter; the child
        gets its own.
        """
        self._closing = threading.RLock()
        self._store.after_fork()
        self._memory.after_fork()
        self._workers.abandon()
        if self._closed:
            return
        self._workers = self._hire()
        self._finalizer.detach()
        self._finalizer = weakref.finalize(self, _retire, self._workers)
        self._finalizer.atexit = False
        self._workers.start()

    def at_exit(self) -> None:
        """Close at the end of the process; called by itself, there is no need to call it."""
        self.close(self._exit_seconds)

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

    def _get(
        self,
        flag_key: str,
        context: Mapping[str, Any] | None,
        default: _T,
        convert: Callable[[object], object],
    ) -> Any | _T:
        try:
            compiled = self._store.compiled
            if compiled is None:
                return default
            if self._context:
                context = {**self._context, **(context or _NOTHING)}
            elif context is None:
                context = _NOTHING
            now = clock.time()
            details = compiled.evaluate(flag_key, context, now)
            if details.variant is None:
                return default
            value = convert(details.value)
            if value is values.MISMATCH:
                return default
            if details.track:
                self._expose(compiled, details, context, now)
        except Exception as error:  # noqa: BLE001  never raises into the caller
            self._complain("a getter", error)
            return default
        return value

    def _details(
        self,
        flag_key: str,
        context: Mapping[str, Any] | None,
        default: Any,
        convert: Callable[[object], object],
    ) -> EvaluationDetails:
        compiled, stale = self._store.compiled, self._store.stale
        if compiled is None:
            return _failed(
                flag_key, default, ErrorCode.PROVIDER_NOT_READY, "no flag set has arrived yet"
            )
        context = {**self._context, **(context or _NOTHING)}
        now = clock.time()
        details = compiled.evaluate(flag_key, context, now)
        reason = Reason.STALE if stale and details.reason is not Reason.ERROR else details.reason
        if details.variant is None:
            return replace(details, value=default, reason=reason)
        value = convert(details.value)
        if value is values.MISMATCH:
            found = type(details.value).__name__
            return replace(
                _failed(flag_key, default, ErrorCode.TYPE_MISMATCH, f"variant holds a {found}"),
                metadata=details.metadata,
            )
        if details.track:
            self._expose(compiled, details, context, now)
        return replace(details, value=value, reason=reason)

    def _expose(
        self,
        compiled: CompiledFlagSet,
        details: EvaluationDetails,
        context: Mapping[str, Any],
        now: float,
    ) -> None:
        unit, variant = context.get("targetingKey"), details.variant
        if unit is None or variant is None:
            return
        met = (details.flag_key, unit, variant, details.rule_id, compiled.flag_set.version)
        try:
            self._memory.record(self._workers.sender.queue, met, now)
        except Exception as error:  # noqa: BLE001  the value is right, whatever the unit is
            self._complain("an exposure", error)

    def _hire(self) -> Workers:
        sender = Sender(self._transport, self._flush_seconds, self._queue_size)
        updater = Updater(
            self._transport,
            self._store,
            self._poll_seconds,
            snapshot_path=self._snapshot_path,
            source=self._source,
        )
        listener = StreamListener(self._transport, self._store, updater)
        return Workers(sender, updater, listener)

    def _load_snapshot(self) -> bool:
        if self._snapshot_path is None:
            return False
        try:
            found = snapshot.read(self._snapshot_path, self._source)
            if found is not None:
                self._store.apply(found.document, found.etag, "snapshot", clock.time())
        except SnapshotError as error:
            LOG.warning("flagstone: snapshot %s ignored: %s", self._snapshot_path, error)
            return False
        except Exception as error:  # noqa: BLE001  an older or newer SDK may have written it
            LOG.warning("flagstone: snapshot %s ignored: %s", self._snapshot_path, error)
            return False
        return found is not None

    def _complain(self, where: str, error: Exception) -> None:
        """Log an error of one kind once: this may be a hot loop."""
        kind = f"{where.partition('(')[0]}: {type(error).__name__}: {error}"[:200]
        if len(self._complaints) < 100 and kind not in self._complaints:
            self._complaints.add(kind)
            LOG.warning("flagstone: %s: %s: %s (said once)", where, type(error).__name__, error)


def _retire(workers: Workers) -> None:
    workers.retire()


def _failed(flag_key: str, default: Any, code: ErrorCode, message: str) -> EvaluationDetails:
    return EvaluationDetails(
        flag_key, default, None, Reason.ERROR, error_code=code, error_message=message
    )


def _instant(seconds: float | None) -> datetime | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc)  # noqa: UP017  Python 3.10
