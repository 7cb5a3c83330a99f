"""The flag set in force: swapped in one assignment, read without a lock."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from flagstone.engine import CompiledFlagSet, FlagSet, compile_flag_set, parse_flag_set
from flagstone.errors import TransportError
from flagstone.worker import LOG

_C = TypeVar("_C")
_ALWAYS_THERE = frozenset({"schema", "version", "flags"})


@dataclass(frozen=True, slots=True)
class FlagsChanged:
    """What ``on_change`` callbacks receive: the new values are already being served.

    ``flags`` names, in order, every flag that may answer differently now.
    """

    revision: int
    previous_revision: int | None
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contact:
    """What ``on_contact`` callbacks receive after every attempt to reach the service.

    ``refused`` says that it answered 401 or 403; ``reason`` is None while ``connected``.
    """

    connected: bool
    refused: bool = False
    reason: str | None = None


ChangeCallback = Callable[[FlagsChanged], object]
ContactCallback = Callable[[Contact], object]


class FlagStore:
    """Holds the compiled flag set, and what is known about its freshness.

    ``compiled`` and ``stale`` are what an evaluation reads. One thread (the updater) writes.
    """

    def __init__(self) -> None:
        self.compiled: CompiledFlagSet | None = None
        self.stale = True
        self.etag: str | None = None
        self.source = "none"
        self.last_update: float | None = None
        self.last_contact: float | None = None
        self.last_error: str | None = None
        self.refused = False
        self.streaming = False
        self._callbacks: list[ChangeCallback] = []
        self._contact_callbacks: list[ContactCallback] = []
        self._condition = threading.Condition(threading.RLock())
        self._settled = False
        self._said_lost = False

    @property
    def revision(self) -> int | None:
        """The revision being served, None before the first."""
        compiled = self.compiled
        return None if compiled is None else compiled.flag_set.version

    def apply(self, document: bytes, etag: str | None, source: str, now: float) -> None:
        """Serve ``document`` from now on; an unusable one raises and changes nothing."""
        self.serve(published_flag_set(document), etag, source, now)

    def serve(self, flag_set: FlagSet, etag: str | None, source: str, now: float) -> None:
        """Serve ``flag_set`` from now on."""
        compiled = compile_flag_set(flag_set)
        with self._condition:
            before, self.compiled = self.compiled, compiled
            # What cannot stand in a header line must not spoil every request to come.
            self.etag = etag if etag is not None and etag.isascii() and etag.isprintable() else None
            self.source = source
            self.last_update = now
            callbacks = list(self._callbacks)
            self._condition.notify_all()
        if callbacks:
            _tell(callbacks, before, compiled)

    def contact(self, now: float) -> None:
        """Note that the service has answered, and what is served is what it publishes."""
        if self._said_lost:
            self._said_lost = False
            LOG.info("flagstone: in contact with the service again")
        self.last_contact = now
        self.last_error = None
        self.refused = False
        self.stale = False
        self.settle()
        self._tell_contact(Contact(connected=True))

    def lost(self, reason: str, *, refused: bool = False) -> None:
        """Note that the service cannot be reached, or makes no sense, or refuses the key."""
        if not self._said_lost:
            self._said_lost = True
            kept = "callers' defaults" if self.compiled is None else "last-known values"
            LOG.warning("flagstone: no contact with the service, %s stay: %s", kept, reason)
        self.last_error = reason
        self.stale = True
        self.refused = self.refused or refused
        self._tell_contact(Contact(connected=False, refused=refused, reason=reason))

    def wait_settled(self, timeout: float) -> bool:
        """Wait until the service has answered with flags or keeps refusing the key."""
        return self._wait(lambda: self._settled, timeout)

    def wait_for_revision(self, revision: int, timeout: float) -> bool:
        """Wait until ``revision`` or a later one is served."""
        return self._wait(
            lambda: (current := self.revision) is not None and current >= revision, timeout
        )

    def subscribe(self, callback: ChangeCallback) -> Callable[[], None]:
        """Call ``callback`` after every change; returns what ends that."""
        return self._enter(self._callbacks, callback)

    def subscribe_contact(self, callback: ContactCallback) -> Callable[[], None]:
        """Call ``callback`` after every attempt to reach the service; returns what ends that."""
        return self._enter(self._contact_callbacks, callback)

    def after_fork(self) -> None:
        """Replace the lock, whose owner may not exist in this process."""
        self._condition = threading.Condition(threading.RLock())
        self.streaming = False

    def settle(self) -> None:
        """End the wait for the first flag set: it is there, or will not come soon."""
        if not self._settled:
            with self._condition:
                self._settled = True
                self._condition.notify_all()

    def _enter(self, callbacks: list[_C], callback: _C) -> Callable[[], None]:
        with self._condition:
            callbacks.append(callback)

        def leave() -> None:
            with self._condition:
                if callback in callbacks:
                    callbacks.remove(callback)

        return leave

    def _tell_contact(self, contact: Contact) -> None:
        for callback in list(self._contact_callbacks):
            try:
                callback(contact)
            except Exception:  # noqa: BLE001  somebody else's code must not stop the updates
                LOG.exception("flagstone: an on_contact callback failed")

    def _wait(self, reached: Callable[[], bool], timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        with self._condition:
            while not reached():
                left = deadline - time.monotonic()
                if left <= 0.0:
                    return False
                self._condition.wait(left)
        return True


def published_flag_set(document: bytes) -> FlagSet:
    """Read what a service published; flags that cannot be read stay in as broken ones.

    The engine takes ``{}`` for a flag set without flags. The service never publishes it, but a
    portal or a proxy may answer ``{"error": ...}``, which must not take everybody's flags away.
    """
    whole = json.loads(document)
    if not isinstance(whole, dict) or not whole.keys() >= _ALWAYS_THERE:
        raise TransportError(f"a flag set has {', '.join(sorted(_ALWAYS_THERE))}")
    return parse_flag_set(whole, strict=False)


def changed_flags(before: FlagSet | None, after: FlagSet) -> tuple[str, ...]:
    """Name the flags that may answer differently; a changed segment may concern them all."""
    if before is None or before.segments != after.segments:
        return tuple(sorted({*after.flags, *(before.flags if before else ())}))
    keys = {*before.flags, *after.flags}
    return tuple(sorted(k for k in keys if before.flags.get(k) != after.flags.get(k)))


def _tell(
    callbacks: list[ChangeCallback], before: CompiledFlagSet | None, after: CompiledFlagSet
) -> None:
    previous = None if before is None else before.flag_set
    change = FlagsChanged(
        after.flag_set.version,
        None if previous is None else previous.version,
        changed_flags(previous, after.flag_set),
    )
    for callback in callbacks:
        try:
            callback(change)
        except Exception:  # noqa: BLE001  somebody else's code must not stop the updates
            LOG.exception("flagstone: an on_change callback failed")
