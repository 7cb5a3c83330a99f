"""OpenFeature: Flagstone as a provider (openfeature-sdk 0.10 or later).

An opt-in module: it needs ``openfeature-sdk``, which nothing else in this package imports. Its
evaluation happens in memory, so the ``…_async`` methods inherited from ``AbstractProvider``, which
call the plain ones, block nothing either.
"""

from __future__ import annotations

import datetime as dt
import inspect
import threading
import time
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, Final, TypeVar

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent, ProviderEventDetails
from openfeature.exception import ErrorCode, GeneralError, ProviderFatalError
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.immutable_dict.mapping_proxy_type import MappingProxyType
from openfeature.provider import AbstractProvider, Metadata, ProviderStatus
from openfeature.track import TrackingEventDetails

from flagstone.arguments import server_key
from flagstone.client import Client
from flagstone.engine import CompiledFlagSet, EvaluationDetails, FlagSet
from flagstone.errors import ConfigurationError
from flagstone.getters import LOG
from flagstone.offline import OfflineClient
from flagstone.store import Contact, FlagsChanged
from flagstone.transport import Endpoint

_T = TypeVar("_T")
_Structure = Sequence[FlagValueType] | Mapping[str, FlagValueType]
_NO_METADATA: Final[Mapping[str, bool | int | float | str]] = MappingProxyType()
# Between the end of initialize() and the SDK's own READY or ERROR lie microseconds, in which a
# status that we emit would be overwritten: within this time it is emitted again.
_OVERWRITTEN_SECONDS = 1.0


class FlagstoneProvider(AbstractProvider):
    """Resolves OpenFeature's flags with Flagstone, in this process.

    Exactly one of ``client``, ``url`` with ``key``, and ``flag_set`` says where flags come from.

    Parameters
    ----------
    client : Client or OfflineClient, optional
        A client that you have. It stays yours: ``shutdown`` flushes it and does not close it.
    url, key : str, optional
        Address of the service and a server key; the provider makes a client in ``initialize``
        and closes it in ``shutdown``.
    flag_set : FlagSet, CompiledFlagSet or Mapping, optional
        Flags to serve offline.
    start_wait_seconds : float, default 2.0
        Longest wait of ``initialize`` for the first flag set.
    **options
        Further arguments of :class:`flagstone.Client`, such as ``snapshot_path``.

    Raises
    ------
    ConfigurationError
        If it is not clear where flags come from, or address or key make no sense.

    Notes
    -----
    OpenFeature's ``targeting_key`` is the unit (``targetingKey``); datetimes in a context become
    ISO 8601 text. Tracking events carry the ``value`` of their details; OpenFeature's further
    details have no place in Flagstone's events and are left out.

    Examples
    --------
    >>> from openfeature import api
    >>> on = {"key": "f", "type": "boolean", "variants": {"on": {"value": True}}, "default": "on"}
    >>> flag_set = {"schema": 1, "version": 1, "flags": {"f": on}}
    >>> api.set_provider_and_wait(FlagstoneProvider(flag_set=flag_set))
    >>> api.get_client().get_boolean_value("f", False)
    True
    >>> api.shutdown()
    """

    def __init__(
        self,
        client: Client | OfflineClient | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        flag_set: FlagSet | CompiledFlagSet | Mapping[str, Any] | None = None,
        start_wait_seconds: float = 2.0,
        **options: Any,
    ) -> None:
        super().__init__()
        if [client is None, url is None, flag_set is None].count(False) != 1:
            raise ConfigurationError("give exactly one of client, url (with key) and flag_set")
        if url is None and (key is not None or options):
            raise ConfigurationError("key and further options belong to a url")
        self._start_wait_seconds = start_wait_seconds
        self._make: Callable[[], Client] | None = None  # only for a client of our own
        self._client: Client | OfflineClient | None = client
        if flag_set is not None:
            self._client = OfflineClient(flag_set)
        if url is not None:
            self._make = _maker(url, key, options)
        self._lock = threading.RLock()
        self._running = False
        self._subscriptions: list[Callable[[], None]] = []
        self._told = ProviderStatus.NOT_READY
        self._told_at: float | None = None
        self._initialized_at = 0.0

    @property
    def client(self) -> Client | OfflineClient | None:
        """The client that answers; None before ``initialize`` if the provider makes its own."""
        return self._client

    # -- life ---------------------------------------------------------------------------------

    def get_metadata(self) -> Metadata:
        """Return the provider's name."""
        return Metadata(name="Flagstone")

    def initialize(self, evaluation_context: EvaluationContext) -> None:  # noqa: ARG002
        """Wait, within bounds, until there are flags; the SDK emits READY when this returns.

        Raises
        ------
        ProviderFatalError
            If the service refuses the key (401, 403), or the client cannot be built.
        GeneralError
            If no flags came in time; the client goes on trying, and READY follows.
        """
        client = self._start()
        ready = client.wait_until_ready(self._start_wait_seconds)
        self._initialized_at, self._told_at = time.monotonic(), None
        if ready:
            self._told = ProviderStatus.READY
            return
        status = client.status() if isinstance(client, Client) else None
        reason = "no flags" if status is None else status.last_error or "no answer in time"
        if status is not None and status.refused:
            self._told = ProviderStatus.FATAL
            raise ProviderFatalError(reason)
        self._told = ProviderStatus.ERROR
        raise GeneralError(f"no flag set has arrived: {reason}")

    def shutdown(self) -> None:
        """Send what is queued and stop the threads of the provider's own client; harmless again."""
        with self._lock:
            client = self._client
            if client is None or not self._running:
                return
            self._running = False
            self._told = ProviderStatus.NOT_READY
            subscriptions, self._subscriptions = self._subscriptions, []
        for unsubscribe in subscriptions:
            unsubscribe()
        if self._make is not None:
            client.close()
        else:
            client.flush()

    # -- evaluation ---------------------------------------------------------------------------

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,  # noqa: FBT001  OpenFeature's signature
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Resolve a boolean."""
        return self._resolve(flag_key, default_value, evaluation_context, "boolean")

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        """Resolve a string."""
        return self._resolve(flag_key, default_value, evaluation_context, "string")

    def resolve_integer_details(
        self,
        flag_key: str,
        default_value: int,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        """Resolve an integer; a number without fraction is one, a boolean is none."""
        return self._resolve(flag_key, default_value, evaluation_context, "integer")

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        """Resolve a float; an integer that a float holds exactly becomes one."""
        return self._resolve(flag_key, default_value, evaluation_context, "float")

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: _Structure,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[_Structure]:
        """Resolve an object or a list; the caller gets a copy."""
        return self._resolve(flag_key, default_value, evaluation_context, "object")

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """Queue a tracking event; never raises and never waits."""
        try:
            if self._client is not None:
                value = None if tracking_event_details is None else tracking_event_details.value
                context = attributes_of(evaluation_context)
                self._client.track(tracking_event_name, context, value)
        except Exception as error:  # noqa: BLE001  an event is never worth an exception
            LOG.warning("flagstone: track(%r): %s", tracking_event_name, error)

    def _resolve(
        self,
        flag_key: str,
        default_value: _T,
        evaluation_context: EvaluationContext | None,
        kind: str,
    ) -> FlagResolutionDetails[_T]:
        client = self._client
        if client is None:
            return _failed(default_value, ErrorCode.PROVIDER_NOT_READY, "not initialized yet")
        try:
            context = attributes_of(evaluation_context)
        except Exception as error:  # noqa: BLE001  a context may hold anybody's objects, or itself
            return _failed(default_value, ErrorCode.INVALID_CONTEXT, type(error).__name__)
        return resolution(client.get_details(flag_key, context, default_value, kind))

    # -- events -------------------------------------------------------------------------------

    def _start(self) -> Client | OfflineClient:
        """Have a client and listen to it; harmless again."""
        with self._lock:
            if not self._running and self._make is not None:
                try:
                    self._client = self._make()
                except ConfigurationError as error:
                    raise ProviderFatalError(str(error)) from error
            client = self._client
            assert client is not None  # __init__ made sure of one or the other
            if not self._running:
                self._running = True
                self._subscriptions = [
                    client.on_change(self._flags_changed),
                    client.on_contact(self._contacted),
                ]
        return client

    def _flags_changed(self, change: FlagsChanged) -> None:
        if change.previous_revision is None and self._told is ProviderStatus.NOT_READY:
            return  # the flags that initialize() waits for
        details = ProviderEventDetails(flags_changed=list(change.flags))
        self.emit_provider_configuration_changed(details)

    def _contacted(self, contact: Contact) -> None:
        if self._told is ProviderStatus.NOT_READY:
            return  # initialize() has not decided yet
        client = self._client
        if contact.connected:
            self._tell(ProviderStatus.READY, ProviderEvent.PROVIDER_READY, ProviderEventDetails())
        elif client is not None and client.wait_until_ready(0.0):
            # Last-known values go on being served, even when the key is refused by now.
            details = ProviderEventDetails(message=contact.reason)
            self._tell(ProviderStatus.STALE, ProviderEvent.PROVIDER_STALE, details)
        elif contact.refused:
            details = ProviderEventDetails(
                message=contact.reason, error_code=ErrorCode.PROVIDER_FATAL
            )
            self._tell(ProviderStatus.FATAL, ProviderEvent.PROVIDER_ERROR, details)

    def _tell(
        self, status: ProviderStatus, event: ProviderEvent, details: ProviderEventDetails
    ) -> None:
        told_at, initialized_at = self._told_at, self._initialized_at
        overwritten = told_at is not None and told_at < initialized_at + _OVERWRITTEN_SECONDS
        if self._told is status and not overwritten:
            return
        self._told, self._told_at = status, time.monotonic()
        self.emit(event, details)


def attributes_of(context: EvaluationContext | None) -> dict[str, Any]:
    """Return OpenFeature's context as Flagstone's: one mapping with the unit in it."""
    if context is None:
        return {}
    attributes = {key: _json(value) for key, value in context.attributes.items()}
    if context.targeting_key is not None:
        attributes["targetingKey"] = context.targeting_key
    return attributes


def resolution(details: EvaluationDetails) -> FlagResolutionDetails[Any]:
    """Return Flagstone's answer in OpenFeature's words."""
    code = details.error_code
    return FlagResolutionDetails(
        value=details.value,
        error_code=None if code is None else ErrorCode(code.value),
        error_message=details.error_message,
        reason=Reason(details.reason.value),
        variant=details.variant,
        flag_metadata=_scalars(details.metadata) if details.metadata else _NO_METADATA,
    )


def _scalars(metadata: Mapping[str, Any]) -> Mapping[str, bool | int | float | str]:
    """Leave out what OpenFeature's metadata cannot hold (lists, objects and null)."""
    return MappingProxyType(
        {
            key: value
            for key, value in metadata.items()
            if isinstance(value, (bool, int, float, str))
        }
    )


def _json(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (dt.datetime, dt.date)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, (Sequence, Set)) and not isinstance(value, (bytes, bytearray)):
        return [_json(item) for item in value]
    return value


def _failed(default: _T, code: ErrorCode, message: str) -> FlagResolutionDetails[_T]:
    return FlagResolutionDetails(
        value=default, error_code=code, error_message=message, reason=Reason.ERROR
    )


def _maker(url: str, key: str | None, options: Mapping[str, Any]) -> Callable[[], Client]:
    """Check what can be checked without a connection, and return what makes the client."""
    address, key = Endpoint.parse(url).address, server_key(key)
    unknown = options.keys() - inspect.signature(Client).parameters.keys()
    if unknown:
        raise ConfigurationError(f"a client has no option {', '.join(sorted(unknown))}")
    # initialize() does the waiting, where shutdown() can end it.
    return lambda: Client(address, key, start_wait_seconds=0.0, **options)
