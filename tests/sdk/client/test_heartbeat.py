"""What a client tells the service of itself, and that it matters to nothing else."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstone import Client, OfflineClient, Timing, __version__, values
from flagstone.defaults import MAX_DEFAULTS, MAX_FLAGS, Defaults
from flagstone.heartbeat import Heartbeat
from flagstone.store import FlagStore

Connect = Callable[..., Client]
INSTANCES = "/sdk/v1/instances"
HOURS = 10_000.0


@pytest.fixture
def often(tools: Any) -> Timing:
    return replace(tools.QUICK, heartbeat_seconds=0.1)


# -- what is told -------------------------------------------------------------------------------


def test_a_heartbeat_arrives_as_the_wire_says(
    service: Any, connect: Connect, tools: Any, often: Timing
) -> None:
    service.publish(7, tools.flag("f", True))
    before = time.time()
    client = connect(timing=often)
    client.get_boolean("f", {}, False)
    client.get_string("gone", {}, "x")
    tools.eventually(lambda: service.told and service.told[-1]["revision"] == 7)
    tools.eventually(lambda: service.told[-1]["unknown_flags"])
    tools.eventually(lambda: service.told[-1]["source"] == "stream")
    told = {**service.told[0], **service.told[-1]}
    told.pop("defaults", None)
    assert uuid.UUID(told.pop("instance")).version == 7
    assert before <= told.pop("started") <= time.time()
    assert told == {
        "sdk": {"name": "flagstone-python", "version": __version__},
        "runtime": "cpython {}.{}.{}".format(*sys.version_info),
        "platform": sys.platform,
        "revision": 7,
        "etag": service.etag.strip('"'),
        "source": "stream",
        "unknown_flags": ["gone"],
        "events": {"queued": 0, "spooled": 0, "sent": 0, "dropped": 0},
        "defaults_complete": True,
    }
    assert client.status().instance == service.told[0]["instance"]
    # The service has heard it before the client has its answer.
    tools.eventually(lambda: client.status().told_revision == 7)
    defaults: dict[str, Any] = {}
    for each in service.told:
        defaults |= each.get("defaults", {})
    assert defaults == {
        "f": [{"type": "boolean", "value": False}],
        "gone": [{"type": "string", "value": "x"}],
    }


def test_the_machine_is_named_only_if_that_is_wanted(
    service: Any, connect: Connect, tools: Any
) -> None:
    def hosts() -> dict[str, str | None]:
        return {told["instance"]: told.get("host") for told in list(service.told)}

    silent = connect().status().instance
    named = connect(host_name=True).status().instance
    tools.eventually(lambda: hosts().keys() == {silent, named})
    assert hosts()[silent] is None
    assert hosts()[named]


def test_a_new_revision_is_told_at_once(service: Any, connect: Connect, tools: Any) -> None:
    client = connect(timing=replace(tools.QUICK, heartbeat_seconds=HOURS))

    def told() -> list[int]:
        # On a busy machine it may say that it lives before it has any flags.
        return [each["revision"] for each in list(service.told) if each["revision"] is not None]

    tools.eventually(lambda: told() == [1])
    service.publish(2)
    tools.eventually(lambda: told() == [1, 2])
    # The service has heard it before the client has its answer.
    tools.eventually(lambda: client.status().told_revision == 2)


def test_defaults_are_told_again_only_when_there_are_more_of_them_or_rarely(
    service: Any, connect: Connect, tools: Any
) -> None:
    client = connect(timing=replace(tools.QUICK, heartbeat_seconds=0.02))
    tools.eventually(lambda: len(service.told) >= 30)
    with_defaults = [n for n, told in enumerate(service.told[:30]) if "defaults" in told]
    assert 2 <= len(with_defaults) <= 6
    client.get_boolean("f", {}, True)
    tools.eventually(lambda: any(told.get("defaults") for told in service.told))


def test_a_client_that_ends_says_goodbye(service: Any, connect: Connect, tools: Any) -> None:
    client = connect()
    tools.eventually(lambda: service.told)
    client.close(30)
    *before, last = [told.get("ending") for told in service.told]
    assert last is True
    assert set(before) == {None}
    assert len({told["instance"] for told in service.told}) == 1


def test_who_was_never_heard_of_does_not_say_goodbye(
    service: Any, connect: Connect, tools: Any, often: Timing
) -> None:
    said: list[dict[str, Any]] = []
    refuse = tools.status(503)

    def hear_nothing(handler: Any) -> bool:
        said.append(json.loads(handler.body))
        return bool(refuse(handler))

    service.answer(INSTANCES, hear_nothing)
    client = connect(timing=often)
    tools.eventually(lambda: said)
    client.close(30)
    assert [each for each in said if "ending" in each] == []


def test_no_heartbeat_is_sent_if_none_is_wanted(service: Any, connect: Connect, tools: Any) -> None:
    client = connect(timing=replace(tools.QUICK, heartbeat_seconds=0.0))
    service.publish(2)
    assert client.wait_for_revision(2, 30)
    client.track("n", "u")
    client.close()
    assert len(service.stored) == 1
    assert service.told == []


def test_heartbeats_start_no_thread(service: Any, connect: Connect, tools: Any) -> None:
    before = set(threading.enumerate())
    connect()
    tools.eventually(lambda: service.told)
    started = {each.name for each in set(threading.enumerate()) - before}
    ours = {name for name in started if name.startswith("flagstone-")}
    assert ours == {"flagstone-events", "flagstone-flags", "flagstone-stream"}


# -- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [400, 401, 404, 413, 500, 503])
def test_a_refused_heartbeat_changes_nothing_else(
    service: Any, connect: Connect, tools: Any, often: Timing, code: int
) -> None:
    service.answer(INSTANCES, tools.status(code))
    client = connect(timing=often)
    tools.eventually(lambda: service.count(f"POST {INSTANCES}", code) >= 1)
    service.publish(2, tools.flag("f", "new"))
    assert client.wait_for_revision(2, 30)
    client.track("n", "u")
    assert client.flush(30)
    status = client.status()
    assert (status.last_error, status.connected, status.told_revision) == (None, True, None)
    service.behave()
    if code >= 500:
        tools.eventually(lambda: client.status().told_revision == 2)


def test_an_older_service_is_not_asked_in_a_loop(tools: Any) -> None:
    clock = [0.0]
    heartbeat, asked = made(tools, clock, 404)
    assert heartbeat._pause_after(asked, 30.0) == 600.0


def test_retry_after_is_honoured_within_bounds(tools: Any) -> None:
    clock = [0.0]
    for header, least, most in (("100", 100.0, 140.0), ("10000000", 600.0, 640.0)):
        heartbeat, answer = made(tools, clock, 503, header)
        assert least <= heartbeat._pause_after(answer, 30.0) <= most


def made(tools: Any, clock: list[float], code: int, retry: str | None = None) -> Any:
    from flagstone.transport import Answer

    timing = Timing()
    heartbeat = Heartbeat(FlagStore(), Defaults(), timing, clock=lambda: clock[0])
    return heartbeat, Answer(code, {} if retry is None else {"retry-after": retry}, b"")


def test_a_heartbeat_that_hangs_does_not_hold_up_flags(
    service: Any, connect: Connect, tools: Any, often: Timing
) -> None:
    release = threading.Event()
    service.answer(INSTANCES, lambda handler: release.wait(60))
    client = connect(timing=often)
    service.publish(2, tools.flag("f", "new"))
    assert client.wait_for_revision(2, 20), "before the heartbeat is given up"
    began = time.monotonic()
    client.close(0.3)
    assert time.monotonic() - began < 20
    release.set()


# -- defaults in the code -----------------------------------------------------------------------


def noted(client: Any) -> dict[str, Any]:
    found, complete = client._defaults.document(1_000_000)
    assert complete
    return {
        key: [(each["type"], each.get("value", ...)) for each in defaults]
        for key, defaults in found.items()
    }


def test_every_getter_notes_its_default_whatever_the_flag_gives(tools: Any) -> None:
    document = json.loads(tools.flag_set(1, tools.flag("f", True), tools.flag("s", "x")))
    client = OfflineClient(document)
    for _ in range(3):
        client.get_boolean("f", {}, True)
        client.get_boolean("f", {}, False)
        client.get_string("f", {}, "a")
        client.get_string("s", None, "b")
        client.get_integer("f", {}, 1)
        client.get_float("new", {}, 1.0)
        client.get_object("o", {}, {"a": [1]})
        client.get_details("d", {}, None)
        client.get_details("d", {}, 7, "integer")
        client.view({"plan": "pro"}).get_boolean("v", {}, True)
    assert noted(client) == {
        "f": [("boolean", True), ("boolean", False), ("string", "a"), ("integer", 1)],
        "s": [("string", "b")],
        "new": [("float", 1.0)],
        "o": [("object", {"a": [1]})],
        "d": [("null", None), ("integer", 7)],
        "v": [("boolean", True)],
    }


def test_defaults_are_noted_before_there_are_flags(tools: Any, connect: Connect) -> None:
    client = connect(url="http://127.0.0.1:9", start_wait_seconds=0.0)
    assert client.get_boolean("f", {}, True)
    assert client.get_details("g", {}, "x").value == "x"
    assert noted(client) == {"f": [("boolean", True)], "g": [("string", "x")]}


def test_a_default_that_changes_later_was_noted_as_it_was(tools: Any) -> None:
    client = OfflineClient(json.loads(tools.flag_set(1)))
    default = {"a": 1}
    client.get_object("o", {}, default)
    default["a"] = 2
    assert noted(client) == {"o": [("object", {"a": 1})]}


@pytest.mark.parametrize(
    "default", ["x" * 1_025, math.nan, math.inf, {"a": {1, 2}}, object(), [object()], "\ud800"]
)
def test_a_default_that_cannot_be_shown_is_there_without_its_value(
    tools: Any, default: Any
) -> None:
    client = OfflineClient(json.loads(tools.flag_set(1)))
    for _ in range(3):
        client.get_details("f", {}, default, "string")
    assert noted(client) == {"f": [("string", ...)]}


def test_what_is_noted_is_bounded() -> None:
    defaults = Defaults()
    for n in range(2 * MAX_FLAGS):
        defaults.note(f"f{n}", 1, values.integer)
    assert len(defaults.flags()) == MAX_FLAGS
    assert not defaults.document(1_000_000)[1]
    defaults = Defaults()
    for n in range(10 * MAX_DEFAULTS):
        defaults.note("f", n, values.integer)
    assert len(defaults.document(1_000_000)[0]["f"]) == MAX_DEFAULTS
    assert defaults.changes == MAX_DEFAULTS
    defaults = Defaults()
    for n in range(400):
        defaults.note(f"f{n}", "é" * 400, values.string)
    found, complete = defaults.document(44_000)
    assert not complete
    assert 10 < len(found) < 400
    assert len(json.dumps(found, ensure_ascii=False).encode()) < 60_000


class Odd:
    """A default of somebody's own, whose equality raises."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")


@given(
    st.lists(
        st.tuples(
            st.one_of(st.text(max_size=3), st.none(), st.integers(), st.just([])),
            st.one_of(
                st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3),
                st.builds(Odd), st.lists(st.integers(), max_size=2),
                st.dictionaries(st.text(max_size=2), st.booleans(), max_size=2),
            ),
        ),
        max_size=20,
    )
)  # fmt: skip
def test_no_key_and_no_default_makes_a_getter_raise(asked: list[tuple[Any, Any]]) -> None:
    client = OfflineClient({"schema": 1, "version": 1, "flags": {}})
    for key, default in asked:
        for getter in (client.get_boolean, client.get_string, client.get_object):
            assert getter(key, {}, default) is default
        client.get_details(key, {}, default)
    found, _ = client._defaults.document(1_000_000)
    json.dumps(found)
    assert set(found) == {key for key, _ in asked if isinstance(key, str)}
