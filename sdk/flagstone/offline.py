"""A client without a service: it evaluates the flag set that it is handed, and nothing else.

For tests, for programs on machines without a network, and for flags that ship with a program.
"""

from __future__ import annotations

import json
import time as clock
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any

from flagstone import substitute
from flagstone.arguments import attributes
from flagstone.engine import CompiledFlagSet, FlagSet, parse_flag_set
from flagstone.events import Outbox
from flagstone.getters import Getters
from flagstone.status import Status, instant
from flagstone.store import ChangeCallback, ContactCallback, FlagStore
from flagstone.substitute import Substitute

FlagSource = FlagSet | CompiledFlagSet | Mapping[str, Any] | str | PathLike[str]
"""A flag set, its document, or the path of a file that holds the document."""


class OfflineClient(Getters):
    """Evaluates a flag set that you have; same getters as :class:`flagstone.Client`.

    Parameters
    ----------
    flags : FlagSet, CompiledFlagSet, Mapping or path
        The flag set, its document, or a JSON file that holds it.
    context : Mapping, optional
        Attributes of every evaluation; callers' win.
    outbox : Outbox, optional
        Takes exposures and events; without one they are forgotten, and ``status`` counts events as
        dropped.

    Raises
    ------
    FlagSetError
        If a flag cannot be read: with no service to mend it, better now than at an evaluation.

    Examples
    --------
    >>> on = {"key": "f", "type": "boolean", "variants": {"on": {"value": True}}, "default": "on"}
    >>> OfflineClient({"schema": 1, "version": 1, "flags": {"f": on}}).get_boolean("f", {}, False)
    True
    """

    _store: FlagStore

    def __init__(
        self,
        flags: FlagSource,
        *,
        context: Mapping[str, Any] | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self._own_store = FlagStore()
        self._forgotten = _Forgotten()
        self._own_outbox = outbox or self._forgotten.outbox
        super().__init__(self._own_store, self._own_outbox, attributes("context", context))
        self.serve(flags)
        substitute.enlist(self)

    def serve(self, flags: FlagSource) -> None:
        """Serve another flag set from now on; ``on_change`` callbacks hear of it."""
        self._own_store.serve(read_flag_set(flags), None, "offline", clock.time())
        self._own_store.stale = False

    @property
    def flag_set(self) -> FlagSet:
        """The flag set being served."""
        compiled = self._own_store.compiled
        assert compiled is not None  # from the constructor on
        return compiled.flag_set

    def status(self) -> Status:
        """Return how the client is doing: well, always."""
        store = self._store
        return Status(
            revision=store.revision,
            source=store.source,
            connected=False,
            streaming=False,
            refused=False,
            last_update=instant(store.last_update),
            last_contact=None,
            last_error=None,
            queued=0,
            sent=0,
            duplicates=0,
            dropped=self._forgotten.dropped,
            rejected=0,
            invalid=self._forgotten.invalid,
            closed=False,
        )

    def as_substitute(self) -> Substitute:
        """Return what lets every client of the process be served from here (for tests)."""
        return Substitute(self._own_store, self._own_outbox)

    def follow(self, standing: Substitute | None) -> None:
        """Serve from what stands in for flags of one's own, or from these again (for tests)."""
        self._store = self._own_store if standing is None else standing.store
        self._outbox = self._own_outbox if standing is None else standing.outbox

    def on_change(self, callback: ChangeCallback) -> Callable[[], None]:
        """Call ``callback(FlagsChanged)`` after every ``serve``; returns what ends that."""
        return self._store.subscribe(callback)

    def on_contact(self, callback: ContactCallback) -> Callable[[], None]:
        """Accept a callback that is never called: there is nobody to be in contact with."""
        return self._store.subscribe_contact(callback)

    def wait_until_ready(self, timeout: float = 0.0) -> bool:  # noqa: ARG002  as Client's
        """Return True: there are flags from the beginning."""
        return True

    def wait_for_revision(self, revision: int, timeout: float = 5.0) -> bool:
        """Wait until ``revision`` or a later one is served; True if it is."""
        return self._store.wait_for_revision(revision, timeout)

    def flush(self, timeout: float = 0.0) -> bool:  # noqa: ARG002  as Client's
        """Return True: nothing is on its way."""
        return True

    def close(self, timeout: float = 0.0) -> None:
        """Do nothing: there is no thread to end and nothing to send."""

    def __enter__(self) -> OfflineClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"OfflineClient(revision={self._store.revision})"


def read_flag_set(flags: FlagSource) -> FlagSet:
    """Return the flag set that ``flags`` is, describes or names.

    Raises
    ------
    FlagSetError
        If a flag in it cannot be read.
    OSError, ValueError
        If it names a file that cannot be read, or that holds no JSON.
    """
    if isinstance(flags, FlagSet):
        return flags
    if isinstance(flags, CompiledFlagSet):
        return flags.flag_set
    if isinstance(flags, Mapping):
        return parse_flag_set(flags, strict=True)
    return parse_flag_set(json.loads(Path(flags).read_text(encoding="utf-8")), strict=True)


class _Forgotten:
    """Where events go that nobody wants; it counts them."""

    def __init__(self) -> None:
        self.dropped = 0
        self.invalid = 0

    @property
    def outbox(self) -> Outbox:
        """Return what counts and forgets."""
        return Outbox(_forget_exposure, self._drop, self._refuse)

    def _drop(self, _: object) -> None:
        self.dropped += 1

    def _refuse(self) -> None:
        self.invalid += 1


def _forget_exposure(_met: object, _now: float) -> None:
    return None
