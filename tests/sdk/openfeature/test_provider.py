"""The provider on a small real service and offline, through the SDK and by itself."""

from __future__ import annotations

import asyncio
import copy
import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode, GeneralError, ProviderFatalError
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.track import TrackingEventDetails

from flagstone import (
    Client,
    ConfigurationError,
    Contact,
    FlagSetError,
    OfflineClient,
    parse_flag_set,
)
from flagstone.provider import FlagstoneProvider, attributes_of
from flagstone.testing import Flags

UNIT = EvaluationContext(targeting_key="u1")
KINDS = {"boolean": bool, "string": str, "integer": int, "float": float, "object": dict}
DEFAULTS: dict[str, Any] = {
    "boolean": False,
    "string": "x",
    "integer": 7,
    "float": 7.5,
    "object": {},
}
Make = Callable[..., FlagstoneProvider]


@dataclass
class Heard:
    """What handlers of every event were told, in order."""

    events: list[tuple[str, EventDetails]] = field(default_factory=list)

    def names(self) -> list[str]:
        return [name for name, _ in self.events]


@pytest.fixture
def heard() -> Heard:
    made = Heard()
    for event in ProviderEvent:
        name = event.value.removeprefix("PROVIDER_")

        def handler(details: EventDetails, name: str = name) -> None:
            if details.provider_name == "Flagstone":
                made.events.append((name, details))

        api.add_handler(event, handler)
    return made


@pytest.fixture
def make(service: Any, tools: Any) -> Iterator[Make]:
    made: list[FlagstoneProvider] = []

    def make(**options: Any) -> FlagstoneProvider:
        options = {
            "url": service.url,
            "key": tools.KEY,
            "poll_seconds": 0.05,
            "flush_seconds": 0.02,
            "start_wait_seconds": tools.DEADLINE_SECONDS,
            "timing": tools.QUICK,
            **options,
        }
        made.append(FlagstoneProvider(**options))
        return made[-1]

    yield make
    for provider in made:
        provider.shutdown()


def resolve(provider: FlagstoneProvider, kind: str, key: str, context: Any = None) -> Any:
    return getattr(provider, f"resolve_{kind}_details")(key, DEFAULTS[kind], context)


def offline(**values: Any) -> FlagstoneProvider:
    return FlagstoneProvider(Flags(values).client)


def threads() -> set[str]:
    return {t.name for t in threading.enumerate() if t.name.startswith("flagstone")}


# -- values -------------------------------------------------------------------------------------

VALUES = {
    "yes": True,
    "no": False,
    "text": "hi",
    "empty": "",
    "ten": 10,
    "zero": 0,
    "whole": 3.0,
    "half": 0.5,
    "large": 2**53 + 1,
    "object": {"a": [1, {"b": None}]},
    "list": [1, 2],
    "nothing": {},
}
GIVES: dict[str, dict[str, Any]] = {
    "boolean": {"yes": True, "no": False},
    "string": {"text": "hi", "empty": ""},
    "integer": {"ten": 10, "zero": 0, "whole": 3, "large": 2**53 + 1},
    "float": {"ten": 10.0, "zero": 0.0, "whole": 3.0, "half": 0.5},
    "object": {"object": {"a": [1, {"b": None}]}, "list": [1, 2], "nothing": {}},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", VALUES)
def test_a_value_is_resolved_losslessly_or_not_at_all(kind: str, key: str) -> None:
    details = resolve(offline(**VALUES), kind, key)
    if key in GIVES[kind]:
        wanted = GIVES[kind][key]
        assert (details.value, details.error_code) == (wanted, None)
        assert type(details.value) is type(wanted)
        assert details.variant == "override"
    else:
        assert details.value == DEFAULTS[kind]
        assert details.error_code is ErrorCode.TYPE_MISMATCH
        assert (details.reason, details.variant) == (Reason.ERROR, None)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60))
def test_numbers_never_change_by_being_resolved(value: float) -> None:
    provider = offline(number=value)
    for kind in ("integer", "float"):
        details = resolve(provider, kind, "number")
        if details.error_code is None:
            assert type(details.value) is KINDS[kind]
            assert details.value == value


def test_the_sdks_typed_getters_work_with_the_provider() -> None:
    api.set_provider_and_wait(offline(**VALUES))
    client = api.get_client()
    assert client.get_boolean_value("yes", False) is True
    assert client.get_string_value("empty", "x") == ""
    assert client.get_integer_value("whole", 0) == 3
    assert client.get_float_value("ten", 0.0) == 10.0
    assert client.get_object_value("object", {}) == {"a": [1, {"b": None}]}
    assert client.get_integer_value("yes", 5) == 5
    assert client.get_boolean_details("missing", True).error_code == ErrorCode.FLAG_NOT_FOUND
    assert asyncio.run(client.get_integer_value_async("ten", 0)) == 10


def test_a_structure_is_a_copy() -> None:
    provider = offline(**VALUES)
    resolve(provider, "object", "object").value["a"].append("mine")
    assert resolve(provider, "object", "object").value == VALUES["object"]


def flag_set(**changes: Any) -> dict[str, Any]:
    flag = {
        "key": "f",
        "type": "string",
        "variants": {"a": {"value": "A"}, "b": {"value": "B"}},
        "default": "a",
        "off": "b",
        **changes,
    }
    return {"schema": 1, "environment": "e", "version": 1, "flags": {"f": flag}, "segments": {}}


SPLIT = {"split": {"salt": "s", "to": [{"variant": "b", "ranges": [[0, 10000]]}]}}


@pytest.mark.parametrize(
    ("changes", "reason", "variant"),
    [
        ({}, "STATIC", "a"),
        ({"rules": [{"id": "r", "when": True, "serve": "b"}]}, "TARGETING_MATCH", "b"),
        ({"rules": [{"id": "r", "when": True, "serve": SPLIT}]}, "SPLIT", "b"),
        ({"targets": [{"variant": "b", "keys": ["other"]}]}, "DEFAULT", "a"),
        ({"enabled": False}, "DISABLED", "b"),
        ({"enabled": False, "off": None}, "DISABLED", None),
        ({"default": None}, "STATIC", None),
    ],
)
def test_reasons_and_variants_are_passed_on(
    changes: dict[str, Any], reason: str, variant: str | None
) -> None:
    details = resolve(FlagstoneProvider(flag_set=flag_set(**changes)), "string", "f", UNIT)
    assert (details.reason, details.variant) == (reason, variant)
    assert details.value == {"a": "A", "b": "B", None: "x"}[variant]
    assert details.error_code is None


def test_flag_metadata_is_passed_on_as_far_as_openfeature_can_hold_it() -> None:
    metadata = {"owner": "growth", "n": 1, "x": 0.5, "on": True, "list": [1], "none": None}
    provider = FlagstoneProvider(flag_set=flag_set(metadata=metadata))
    found: Any = resolve(provider, "string", "f").flag_metadata
    assert found == {"owner": "growth", "n": 1, "x": 0.5, "on": True}
    with pytest.raises(TypeError):
        found["owner"] = "me"
    assert copy.deepcopy(dict(found)) == found
    # A mismatch still says whose flag it is.
    assert resolve(provider, "boolean", "f").flag_metadata["owner"] == "growth"


# -- contexts -----------------------------------------------------------------------------------


def test_the_targeting_key_is_the_unit() -> None:
    assert attributes_of(None) == {}
    assert attributes_of(EvaluationContext("u1", {"a": 1})) == {"targetingKey": "u1", "a": 1}
    assert attributes_of(EvaluationContext(None, {"targetingKey": "u2"})) == {"targetingKey": "u2"}
    assert attributes_of(EvaluationContext("u1", {"targetingKey": "u2"}))["targetingKey"] == "u1"
    assert attributes_of(EvaluationContext("", {})) == {"targetingKey": ""}


def test_datetimes_become_iso_8601_however_deep() -> None:
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    context = EvaluationContext(
        attributes={"at": moment, "day": moment.date(), "deep": [{"at": moment}, (1, "x")]}  # type: ignore[dict-item]
    )
    text = "2026-01-02T03:04:05+00:00"
    wanted = {"at": text, "day": "2026-01-02", "deep": [{"at": text}, [1, "x"]]}
    assert attributes_of(context) == wanted
    is_it = {"attr": "at", "op": "in", "values": [text]}
    later = {"attr": "at", "op": "after", "values": ["2026-01-01T00:00:00Z"]}
    for when in (is_it, later):
        rules = [{"id": "r", "when": when, "serve": "b"}]
        provider = FlagstoneProvider(flag_set=flag_set(rules=rules))
        assert resolve(provider, "string", "f", context).value == "B"


def test_a_context_that_holds_itself_is_an_error_and_no_exception() -> None:
    ring: dict[str, Any] = {}
    ring["ring"] = ring
    details = resolve(offline(f="x"), "string", "f", EvaluationContext("u", ring))
    assert details.error_code is ErrorCode.INVALID_CONTEXT
    assert details.value == "x"


# -- where flags come from ----------------------------------------------------------------------


def test_one_place_of_flags_must_be_named(tools: Any) -> None:
    client = OfflineClient({"schema": 1, "version": 1, "flags": {}})
    for wrong in (
        {},
        {"client": client, "flag_set": {}},
        {"url": "http://h", "key": tools.KEY, "client": client},
        {"client": client, "key": tools.KEY},
        {"flag_set": {}, "poll_seconds": 1.0},
        {"url": "http://h"},
        {"url": "http://h", "key": "fs_cli_x"},
        {"url": "gopher://h", "key": tools.KEY},
        {"url": "http://h", "key": tools.KEY, "pol_seconds": 1.0},
    ):
        with pytest.raises(ConfigurationError):
            FlagstoneProvider(**wrong)  # type: ignore[arg-type]
    with pytest.raises(FlagSetError):
        FlagstoneProvider(flag_set=flag_set(default="missing"))


def test_flags_may_be_a_document_a_flag_set_or_a_client() -> None:
    document = flag_set()
    client = OfflineClient(document)
    for provider in (
        FlagstoneProvider(flag_set=document),
        FlagstoneProvider(flag_set=parse_flag_set(document)),
        FlagstoneProvider(client),
    ):
        api.set_provider_and_wait(provider)
        assert api.get_client().get_string_value("f", "x") == "A"


def test_a_client_of_the_caller_stays_open(connect: Any, service: Any, tools: Any) -> None:
    service.publish(2, tools.flag("f", "new", track=True))
    client: Client = connect(flush_seconds=60)
    provider = FlagstoneProvider(client)
    api.set_provider_and_wait(provider)
    assert api.get_client().get_string_value("f", "x", UNIT) == "new"
    provider.shutdown()
    assert [event["unit"] for event in service.stored.values()] == ["u1"], "it is flushed"
    assert not client.status().closed
    service.publish(3, tools.flag("f", "newer"))
    assert client.wait_for_revision(3, 30)


# -- initialize and shutdown --------------------------------------------------------------------


def test_a_provider_of_a_service_connects_in_initialize_and_not_before(
    make: Make, service: Any, tools: Any, heard: Heard
) -> None:
    service.publish(2, tools.flag("f", "new"))
    provider = make()
    assert service.requests == []
    assert resolve(provider, "string", "f").error_code is ErrorCode.PROVIDER_NOT_READY
    api.set_provider_and_wait(provider)
    assert api.get_client().get_string_value("f", "x") == "new"
    tools.eventually(lambda: heard.events)
    assert heard.names() == ["READY"], "the SDK says it, and the provider does not repeat it"


def test_initialize_fails_fatally_when_the_key_is_refused(make: Make, tools: Any) -> None:
    provider = make(key="fs_srv_unknown")
    with pytest.raises(ProviderFatalError, match="401"):
        api.set_provider_and_wait(provider)
    client = api.get_client()
    assert client.get_provider_status().value == "FATAL"
    assert client.get_string_details("f", "x").error_code == ErrorCode.PROVIDER_FATAL


@pytest.mark.parametrize("code", [401, 403])
def test_a_refusal_is_fatal_and_a_mended_key_is_ready(
    make: Make, service: Any, tools: Any, code: int
) -> None:
    service.publish(2, tools.flag("f", "new"))
    service.answer("/sdk/v1/flagset", tools.status(code))
    with pytest.raises(ProviderFatalError, match=str(code)):
        api.set_provider_and_wait(make())
    service.behave()
    client = api.get_client()
    tools.eventually(lambda: client.get_provider_status().value == "READY")
    assert client.get_string_value("f", "x") == "new"


def test_initialize_fails_in_bounded_time_and_readiness_follows(
    make: Make, service: Any, tools: Any, heard: Heard
) -> None:
    service.stop()
    began = time.monotonic()
    with pytest.raises(GeneralError, match="no flag set"):
        api.set_provider_and_wait(make(start_wait_seconds=0.2))
    assert 0.15 < time.monotonic() - began < 20
    client = api.get_client()
    assert client.get_provider_status().value == "ERROR"
    # Threads of a pool run the handlers: two events that follow each other may change places.
    tools.eventually(lambda: heard.names() == ["ERROR"])
    assert client.get_string_details("f", "x").error_code == ErrorCode.PROVIDER_NOT_READY
    service.document = tools.flag_set(2, tools.flag("f", "new"))
    service.start()
    tools.eventually(lambda: client.get_provider_status().value == "READY")
    assert client.get_string_value("f", "x") == "new"
    tools.eventually(lambda: "READY" in heard.names())


def test_a_service_that_refuses_only_later_makes_an_unready_provider_fatal(
    make: Make, service: Any, tools: Any
) -> None:
    service.stop()
    with pytest.raises(GeneralError):
        api.set_provider_and_wait(make(start_wait_seconds=0.05))
    service.answer("/sdk/v1/flagset", tools.status(401))
    service.start()
    tools.eventually(lambda: api.get_client().get_provider_status().value == "FATAL")


def test_an_option_that_makes_no_sense_is_fatal(make: Make) -> None:
    with pytest.raises(ProviderFatalError, match="queue_size"):
        api.set_provider_and_wait(make(queue_size=0))


def test_shutdown_ends_threads_sends_events_and_is_harmless_again(
    make: Make, service: Any, tools: Any
) -> None:
    tools.eventually(lambda: not threads())
    service.publish(2, tools.flag("f", "new", track=True))
    provider = make(flush_seconds=60)
    provider.shutdown()
    provider.initialize(EvaluationContext())
    assert threads() == {"flagstone-flags", "flagstone-stream", "flagstone-events"}
    resolve(provider, "string", "f", UNIT)
    provider.track("purchase", UNIT, TrackingEventDetails(12.5))
    provider.shutdown()
    assert not threads()
    assert sorted(event["type"] for event in service.stored.values()) == ["exposure", "track"]
    provider.shutdown()
    details = resolve(provider, "string", "f", UNIT)
    assert (details.value, details.reason) == ("new", Reason.STALE), "last-known values stay"


def test_a_provider_can_be_initialized_again(make: Make, service: Any, tools: Any) -> None:
    service.publish(2, tools.flag("f", "new"))
    provider = make()
    provider.initialize(EvaluationContext())
    first = provider.client
    provider.initialize(EvaluationContext())
    assert provider.client is first
    provider.shutdown()
    service.publish(3, tools.flag("f", "newer"))
    provider.initialize(EvaluationContext())
    assert provider.client is not first
    details = resolve(provider, "string", "f")
    assert (details.value, details.reason) == ("newer", Reason.STATIC)


def test_shutdown_ends_a_wait_in_initialize(make: Make, service: Any, tools: Any) -> None:
    service.stop()
    provider = make(start_wait_seconds=60)
    failures: list[Exception] = []

    def initialize() -> None:
        try:
            provider.initialize(EvaluationContext())
        except GeneralError as error:
            failures.append(error)

    thread = threading.Thread(target=initialize)
    thread.start()
    tools.eventually(lambda: provider.client is not None)
    began = time.monotonic()
    tools.eventually(lambda: provider.shutdown() or not thread.is_alive())
    assert time.monotonic() - began < 20
    assert len(failures) == 1


# -- events -------------------------------------------------------------------------------------


def test_a_change_is_told_with_its_flags_once_the_new_values_are_served(
    make: Make, service: Any, tools: Any
) -> None:
    service.publish(2, tools.flag("f", "old"), tools.flag("same", 1), tools.flag("gone", 1))
    provider = make()
    seen: list[tuple[list[str] | None, str]] = []

    def handler(details: EventDetails) -> None:
        seen.append((details.flags_changed, resolve(provider, "string", "f").value))

    api.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, handler)
    api.set_provider_and_wait(provider)
    service.publish(3, tools.flag("f", "new"), tools.flag("same", 1), tools.flag("more", 1))
    tools.eventually(lambda: seen)
    assert seen == [(["f", "gone", "more"], "new")]


def test_lost_contact_is_stale_and_its_return_is_ready(
    make: Make, service: Any, tools: Any, heard: Heard
) -> None:
    service.publish(2, tools.flag("f", "old"))
    provider = make()
    api.set_provider_and_wait(provider)
    client = api.get_client()
    assert client.get_string_details("f", "x").reason == Reason.STATIC
    service.stop()
    tools.eventually(lambda: client.get_provider_status().value == "STALE")
    details = client.get_string_details("f", "x")
    assert (details.value, details.variant, details.reason) == ("old", "given", Reason.STALE)
    service.document = tools.flag_set(3, tools.flag("f", "new"))
    service.start()
    tools.eventually(lambda: client.get_provider_status().value == "READY")
    assert client.get_string_details("f", "x").reason == Reason.STATIC
    # In no order: threads of a pool run the handlers. Soon after the start READY may come again.
    told = {"READY", "STALE", "CONFIGURATION_CHANGED"}
    tools.eventually(lambda: set(heard.names()) == told and heard.names().count("READY") > 1)
    assert next(details for name, details in heard.events if name == "STALE").message


def test_a_long_outage_is_told_once(make: Make, service: Any, tools: Any, heard: Heard) -> None:
    provider = make()
    api.set_provider_and_wait(provider)
    provider._initialized_at -= 60.0  # as if it had been so long ago
    service.stop()
    tools.eventually(lambda: "STALE" in heard.names())
    client = provider.client
    assert isinstance(client, Client)
    failures = client._workers.updater._failures
    tools.eventually(lambda: client._workers.updater._failures >= failures + 3)
    assert heard.names().count("STALE") == 1


def test_what_the_sdk_may_have_overwritten_at_the_start_is_told_again() -> None:
    provider = offline(f="x")
    told: list[ProviderEvent] = []
    provider.attach(lambda _, event, details: told.append(event))
    provider.initialize(EvaluationContext())
    lost = Contact(connected=False, reason="gone")
    provider._contacted(lost)  # and now the SDK says READY, since initialize() has returned
    provider._contacted(lost)
    assert told == [ProviderEvent.PROVIDER_STALE] * 2
    provider._initialized_at -= 60.0
    provider._contacted(lost)
    assert told == [ProviderEvent.PROVIDER_STALE] * 2
    provider._contacted(Contact(connected=True))
    provider._contacted(Contact(connected=True))
    assert told[2:] == [ProviderEvent.PROVIDER_READY]


def test_a_refused_key_leaves_a_running_provider_its_values(
    make: Make, service: Any, tools: Any
) -> None:
    service.publish(2, tools.flag("f", "old"))
    api.set_provider_and_wait(make())
    service.answer("/sdk/v1/flagset", tools.status(401))
    client = api.get_client()
    tools.eventually(lambda: client.get_provider_status().value == "STALE")
    assert client.get_string_value("f", "x") == "old"


def test_a_start_from_the_snapshot_alone_becomes_stale(
    make: Make, service: Any, tools: Any, tmp_path: Any
) -> None:
    service.publish(2, tools.flag("f", "kept"))
    first = make(snapshot_path=tmp_path / "s")
    first.initialize(EvaluationContext())
    first.shutdown()
    service.stop()
    api.set_provider_and_wait(make(snapshot_path=tmp_path / "s"))
    client = api.get_client()
    assert client.get_string_value("f", "x") == "kept"
    tools.eventually(lambda: client.get_provider_status().value == "STALE")


# -- tracking -----------------------------------------------------------------------------------


def test_tracking_carries_unit_and_value(heard: Heard) -> None:
    flags = Flags()
    api.set_provider_and_wait(FlagstoneProvider(flags.client))
    client = api.get_client()
    details = TrackingEventDetails(12.5, {"currency": "EUR"})
    client.track("purchase", EvaluationContext("u1"), details)
    client.track("visit", EvaluationContext("u2"))
    assert flags.assert_tracked("purchase", unit="u1").value == 12.5
    assert flags.assert_tracked("visit", unit="u2").value is None


@pytest.mark.parametrize("name", ["", None, 5, "x" * 5000])
@pytest.mark.parametrize(
    "context",
    [None, UNIT, EvaluationContext(None, {}), EvaluationContext("u", {"ring": ...})],  # type: ignore[dict-item]
)
@pytest.mark.parametrize("value", [None, float("nan"), "much", object()])
def test_tracking_never_raises(name: Any, context: Any, value: Any) -> None:
    details = TrackingEventDetails(value)
    for provider in (offline(), FlagstoneProvider(url="http://h", key="fs_srv_x")):
        provider.track(name, context, details)
        provider.track(name, context)
        provider.track(name)


def test_tracking_never_waits_for_the_service(make: Make, service: Any, tools: Any) -> None:
    release = threading.Event()
    service.answer("/sdk/v1/events", lambda handler: release.wait(60) and False)
    provider = make()
    provider.initialize(EvaluationContext())
    began = time.monotonic()
    for _ in range(200):
        provider.track("purchase", UNIT, TrackingEventDetails(1.0))
    assert time.monotonic() - began < 20
    release.set()


# -- the interface ------------------------------------------------------------------------------


def test_asynchronous_resolution_is_the_same() -> None:
    provider = offline(**VALUES)
    for kind, gives in GIVES.items():
        for key, wanted in gives.items():
            ask = getattr(provider, f"resolve_{kind}_details_async")
            details: FlagResolutionDetails[Any] = asyncio.run(ask(key, DEFAULTS[kind]))
            assert details.value == wanted


def test_the_provider_has_a_name_and_no_hooks() -> None:
    provider = offline()
    assert provider.get_metadata().name == "Flagstone"
    assert provider.get_provider_hooks() == []
