"""A client without a service, a view that stands still, and what a client says of its contact."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flagstone import Client, Contact, FlagSetError, OfflineClient, Reason, parse_flag_set
from flagstone.engine import compile_flag_set

Connect = Callable[..., Client]


@pytest.fixture
def flags(tools: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(tools.flag_set(4, tools.flag("f", "new", track=True)))
    return document


# -- offline ------------------------------------------------------------------------------------


def test_an_offline_client_serves_what_it_is_handed(flags: Any, tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(flags))
    flag_set = parse_flag_set(flags)
    for source in (flags, flag_set, compile_flag_set(flag_set), path, str(path)):
        with OfflineClient(source) as client:
            assert client.get_string("f", {"targetingKey": "u"}, "old") == "new"
            assert client.flag_set.version == 4
    assert client.get_string("f", None, "old") == "new", "closing changes nothing"


def test_an_offline_client_is_never_stale_and_always_ready(flags: Any) -> None:
    client = OfflineClient(flags)
    assert client.get_details("f", {}, "old").reason is Reason.TARGETING_MATCH
    assert client.wait_until_ready()
    assert client.wait_for_revision(4, 0.0)
    assert not client.wait_for_revision(5, 0.0)
    assert client.flush(30)
    client.track("purchase", "u1")
    status = client.status()
    assert (status.revision, status.source, status.queued) == (4, "offline", 0)
    client.track("", "u1")
    status = client.status()
    assert (status.dropped, status.invalid, status.spooled, status.instance) == (1, 1, 0, None)
    assert status.last_update is not None
    assert "revision=4" in repr(client)


def test_an_offline_client_takes_other_flags_and_says_so(flags: Any, tools: Any) -> None:
    client = OfflineClient(flags, context={"plan": "pro"})
    heard: list[Any] = []
    stop = client.on_change(heard.append)
    client.serve(json.loads(tools.flag_set(5, tools.flag("g", 1))))
    assert client.get_integer("g", {}, 0) == 1
    assert client.get_string("f", {}, "old") == "old"
    assert [(change.revision, change.flags) for change in heard] == [(5, ("f", "g"))]
    stop()
    client.serve(flags)
    assert len(heard) == 1


def test_flags_that_cannot_be_read_are_an_error_of_the_constructor(flags: Any) -> None:
    flags["flags"]["f"]["default"] = "missing"
    with pytest.raises(FlagSetError):
        OfflineClient(flags)
    with pytest.raises(OSError, match="missing"):
        OfflineClient("missing.json")


# -- views --------------------------------------------------------------------------------------


def test_a_view_stands_still_while_flags_and_time_go_on(
    service: Any, connect: Connect, tools: Any
) -> None:
    def until(end: str) -> dict[str, Any]:
        return {"id": "r", "when": True, "serve": "given", "end": end}

    service.publish(1, tools.flag("f", "old"), tools.flag("g", 1, rules=[until("2026-01-01")]))
    client = connect(context={"region": "eu"})
    client._clock = lambda: 0.0
    view = client.view({"targetingKey": "u1"})
    later = view.view({"plan": "pro"})
    client._clock = lambda: 4e9
    service.publish(2, tools.flag("f", "new"))
    assert client.wait_for_revision(2, 30)
    for still in (view, later):
        assert still.get_string("f", {}, "x") == "old"
        assert still.get_details("g", {}, 0).reason is Reason.TARGETING_MATCH
    assert client.get_string("f", {}, "x") == "new"
    assert later._context == {"region": "eu", "targetingKey": "u1", "plan": "pro"}


def test_a_view_sends_exposures_and_events_with_its_client(
    service: Any, connect: Connect, tools: Any
) -> None:
    service.publish(1, tools.flag("f", "new", track=True))
    client = connect()
    view = client.view({"targetingKey": "u1"})
    view.get_string("f", {}, "x")
    view.track("purchase", {})
    assert client.flush(30)
    stored = sorted((event["type"], event["unit"]) for event in service.stored.values())
    assert stored == [("exposure", "u1"), ("track", "u1")]


# -- contact ------------------------------------------------------------------------------------


def test_every_attempt_to_reach_the_service_is_told(
    service: Any, connect: Connect, tools: Any
) -> None:
    client = connect()
    heard: list[Contact] = []
    stop = client.on_contact(heard.append)
    service.stop()
    tools.eventually(lambda: sum(not contact.connected for contact in heard) >= 3)
    assert not heard[-1].refused
    assert heard[-1].reason == client.status().last_error
    service.answer("/sdk/v1/flagset", tools.status(403))
    service.start()
    tools.eventually(lambda: heard[-1].refused)
    assert client.status().refused
    service.behave()
    tools.eventually(lambda: heard[-1].connected)
    assert heard[-1] == Contact(connected=True)
    stop()
    later: list[Contact] = []
    client.on_contact(later.append)
    service.stop()
    tools.eventually(lambda: later and not later[-1].connected)
    assert heard[-1].connected


def test_a_failing_callback_stops_nothing(
    service: Any, connect: Connect, tools: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect()
    client.on_contact(lambda contact: 1 / 0)
    service.publish(2, tools.flag("f", "new"))
    assert client.wait_for_revision(2, 30)
    tools.eventually(lambda: "on_contact callback failed" in caplog.text)


def test_whoever_came_too_early_may_wait_for_flags(
    service: Any, connect: Connect, tools: Any
) -> None:
    service.stop()
    client = connect(start_wait_seconds=0.0)
    assert not client.wait_until_ready(0.05)
    service.start()
    assert client.wait_until_ready(30)
    other = connect(url="http://127.0.0.1:9", start_wait_seconds=0.0)
    other.close(0.0)
    assert not other.wait_until_ready(60), "a closed client is not waited for"
