"""What every client offers: typed getters over a flag set in memory, and ``track``.

Nothing here raises, and nothing waits. Where flags come from and where events go is decided by
who inherits: the :class:`~flagstone.client.Client` of a service, one without a service
(:mod:`flagstone.offline`), or the fixed view of one request.
"""

from __future__ import annotations

import logging
import time as clock
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

from flagstone import values
from flagstone.defaults import Defaults
from flagstone.engine import CompiledFlagSet, ErrorCode, EvaluationDetails, Reason
from flagstone.events import Outbox, chosen, tracking_event
from flagstone.sightings import Sightings

LOG = logging.getLogger("flagstone")
_T = TypeVar("_T")
_NOTHING: Mapping[str, Any] = {}
_NEVER_ASKED = object()
_NONE: AbstractSet[str] = frozenset()


class Served(Protocol):
    """The flag set in force, None before the first; ``stale`` while contact is lost."""

    compiled: CompiledFlagSet | None
    stale: bool


class Frozen:
    """A flag set that nobody replaces."""

    __slots__ = ("compiled", "stale")

    def __init__(self, compiled: CompiledFlagSet | None, stale: bool = False) -> None:  # noqa: FBT001, FBT002
        self.compiled = compiled
        self.stale = stale


class Getters:
    """Typed getters and ``track`` over what is ``served``; exposures and events go to ``outbox``.

    Parameters
    ----------
    served : Served
        Holds the flag set; read at each evaluation.
    outbox : Outbox
        Takes exposures and events.
    context : Mapping
        Attributes of every evaluation; callers' win.
    clock : callable, optional
        Returns POSIX seconds.
    defaults : Defaults, optional
        Remembers which flags are asked for, and with which defaults.
    sightings : Sightings, optional
        Is shown a few contexts, when the service asks for them.
    """

    _store: Served

    def __init__(
        self,
        served: Served,
        outbox: Outbox,
        context: Mapping[str, Any],
        clock: Callable[[], float] = clock.time,
        defaults: Defaults | None = None,
        sightings: Sightings | None = None,
    ) -> None:
        self._store = served
        self._outbox = outbox
        self._context = context
        self._clock = clock
        self._defaults = Defaults() if defaults is None else defaults
        # With attributes of its own, no question of this client is a common one.
        self._true: AbstractSet[str] = _NONE if context else self._defaults.true
        self._false: AbstractSet[str] = _NONE if context else self._defaults.false
        self._latest = self._defaults.latest
        self._complaints: set[str] = set()
        self._sightings = sightings
        self._armed = 0
        if sightings is not None:
            sightings.watch(self)

    def arm(self, questions: int) -> None:
        """Let so many questions go the long way round, where their contexts are met.

        The short way is shut by taking away what it looks into: while nobody wants contexts, and
        between two looks, it costs nothing that they could be wanted.
        """
        self._armed = questions
        shut = questions > 0
        plain = not self._context and not shut
        self._true = self._defaults.true if plain else _NONE
        self._false = self._defaults.false if plain else _NONE
        self._latest = {} if shut else self._defaults.latest

    def view(self, context: Mapping[str, Any] | None = None) -> Getters:
        """Return getters that stand still: the flags and the time of now, whatever changes.

        For one request or one job, in which the same question must have the same answer.
        ``context`` joins the client's own.
        """
        now = self._clock()
        store = self._store
        joined = {**self._context, **(context or _NOTHING)}
        frozen = Frozen(store.compiled, store.stale)
        still = Getters(frozen, self._outbox, joined, lambda: now, self._defaults)
        still._complaints = self._complaints
        if self._armed and joined:
            self._meet(joined)
        return still

    # -- evaluation ---------------------------------------------------------------------------

    # The common case in one frame: a flag that was asked with this default before, in a context
    # that is there, by a client that adds nothing to it. All else goes the long way round, also
    # what fails, for that one says what is wrong.

    def get_boolean(self, flag_key: str, context: Mapping[str, Any] | None, default: bool) -> bool:  # noqa: FBT001
        """Return the flag's boolean in ``context``, or ``default``."""
        try:
            if flag_key in self._true if default else flag_key in self._false:
                compiled: Any = self._store.compiled
                now = self._clock()
                details = compiled.evaluate(flag_key, context, now)
                value: bool = details.value
                if value.__class__ is bool:
                    if details.track:
                        self._expose(compiled, details, context, now)
                    return value
        except Exception:  # noqa: BLE001, S110  see above
            pass
        return self._get(flag_key, context, default, values.boolean)

    def get_string(self, flag_key: str, context: Mapping[str, Any] | None, default: str) -> str:
        """Return the flag's string in ``context``, or ``default``."""
        try:
            if self._latest[flag_key] is default and not self._context:
                compiled: Any = self._store.compiled
                now = self._clock()
                details = compiled.evaluate(flag_key, context, now)
                value: str = details.value
                if value.__class__ is str:
                    if details.track:
                        self._expose(compiled, details, context, now)
                    return value
        except Exception:  # noqa: BLE001, S110  see above
            pass
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
            outbox = self._outbox
            try:
                about = context_or_unit
                if self._context and (about is None or isinstance(about, Mapping)):
                    about = {**self._context, **(about or _NOTHING)}
                event = tracking_event(name, about, value, time, self._clock())
            except Exception as error:  # noqa: BLE001  a context may be anybody's mapping
                outbox.refuse()
                self._complain(f"track({name!r})", error)
                return
            outbox.put(event)
        except Exception as error:  # noqa: BLE001  never raises into the caller
            self._complain("track", error)

    # -- inside -------------------------------------------------------------------------------

    def _get(
        self,
        flag_key: str,
        context: Mapping[str, Any] | None,
        default: _T,
        convert: Callable[[object], object],
    ) -> Any | _T:
        try:
            self._note(flag_key, default, convert)
            compiled = self._store.compiled
            if compiled is None:
                return default
            if self._context:
                context = {**self._context, **(context or _NOTHING)}
            elif context is None:
                context = _NOTHING
            if self._armed:
                self._meet(context)
            now = self._clock()
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
        self._note(flag_key, default, convert)
        compiled, stale = self._store.compiled, self._store.stale
        if compiled is None:
            return _failed(
                flag_key, default, ErrorCode.PROVIDER_NOT_READY, "no flag set has arrived yet"
            )
        context = {**self._context, **(context or _NOTHING)}
        if self._armed:
            self._meet(context)
        now = self._clock()
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

    def _meet(self, context: Mapping[str, Any]) -> None:
        """Show a context to who looks at some, and open the short way after the last one."""
        left = self._armed - 1
        if left > 0:
            self._armed = left
        else:
            self.arm(0)
        try:
            if self._sightings is not None:
                self._sightings.meet(context)
        except Exception as error:  # noqa: BLE001  the value is right, whatever the context is
            self._complain("a context", error)

    def _note(self, flag_key: str, default: object, convert: Callable[[object], object]) -> None:
        """Remember a default, unless the flag was asked with the same one just before."""
        if flag_key.__class__ is str and self._latest.get(flag_key, _NEVER_ASKED) is not default:
            self._defaults.note(flag_key, default, convert)

    def _expose(
        self,
        compiled: CompiledFlagSet,
        details: EvaluationDetails,
        context: Mapping[str, Any] | None,
        now: float,
    ) -> None:
        if context is None:
            return
        unit = context.get("targetingKey")
        flag_key, variant, rule_id = details.flag_key, details.variant, details.rule_id
        outbox = self._outbox
        try:
            # Most units were met just before: then there is nothing to build and nothing to lock.
            met_at = outbox.recent.get((flag_key, unit, variant, rule_id))
            # abs: after the clock stepped back, an entry of the future must not last for long.
            if met_at is not None and abs(now - met_at) < outbox.window_seconds:
                return
            if unit is None or variant is None:
                return
            names = outbox.attributes
            told = chosen(names, context) if names else None
            outbox.expose((flag_key, unit, variant, rule_id, compiled.flag_set.version, told), now)
        except Exception as error:  # noqa: BLE001  the value is right, whatever the unit is
            self._complain("an exposure", error)

    def _complain(self, where: str, error: Exception) -> None:
        """Log an error of one kind once: this may be a hot loop."""
        kind = f"{where.partition('(')[0]}: {type(error).__name__}: {error}"[:200]
        if len(self._complaints) < 100 and kind not in self._complaints:
            self._complaints.add(kind)
            LOG.warning("flagstone: %s: %s: %s (said once)", where, type(error).__name__, error)


def _failed(flag_key: str, default: Any, code: ErrorCode, message: str) -> EvaluationDetails:
    return EvaluationDetails(
        flag_key, default, None, Reason.ERROR, error_code=code, error_message=message
    )
