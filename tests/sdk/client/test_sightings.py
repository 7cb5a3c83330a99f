"""Contexts that a client met: told when asked for, as far as flags ask about them, and no more."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flags.context_samples import HASHES
from flags.context_samples import hash_of as hash_of_service
from flagstone import Client, Timing
from flagstone.defaults import Defaults
from flagstone.engine import FlagSet, compile_flag_set, parse_flag_set
from flagstone.getters import Frozen, Getters
from flagstone.sightings import Sightings, hash_of

Connect = Callable[..., Client]
ALL = {"Flagstone-Contexts": str(HASHES)}
RULE = {
    "id": "r",
    "when": {
        "all": [
            {"attr": "country", "op": "in", "values": ["DE"]},
            {"attr": ["device", "os"], "op": "in", "values": ["ios"]},
        ]
    },
    "serve": "on",
}


def flag_set(rules: list[Any] | None = None) -> FlagSet:
    flag = {
        "key": "f",
        "type": "boolean",
        "version": 1,
        "variants": {"off": {"value": False}, "on": {"value": True}},
        "enabled": True,
        "off": "off",
        "default": "off",
        "rules": [RULE] if rules is None else rules,
    }
    document = {
        "schema": 1,
        "environment": "e",
        "version": 1,
        "flags": {"f": flag},
        "segments": {},
    }
    return parse_flag_set(document, strict=True)


class NoOutbox:
    """Takes nothing."""


def getters(sightings: Sightings, context: dict[str, Any] | None = None) -> Getters:
    served = Frozen(compile_flag_set(flag_set()))
    return Getters(
        served,
        NoOutbox(),  # type: ignore[arg-type]
        context or {},
        defaults=Defaults(),
        sightings=sightings,
    )


def told(sightings: Sightings) -> list[dict[str, Any]]:
    document = sightings.document(flag_set())
    return [] if document is None else [each["context"] for each in document["seen"]]


@pytest.fixture
def wanted() -> Sightings:
    sightings = Sightings()
    sightings.wanted(str(HASHES))
    return sightings


def ask(client: Getters, kind: str, context: dict[str, Any]) -> None:
    defaults = {"boolean": True, "string": "x", "integer": 1, "float": 1.0, "object": {}}
    getattr(client, f"get_{kind}")("f", context, defaults[kind])


@pytest.mark.parametrize("kind", ["boolean", "string", "integer", "float", "object", "details"])
def test_every_getter_is_looked_at_once_it_is_armed_and_not_before(
    wanted: Sightings, kind: str
) -> None:
    client = getters(wanted)
    person = {"targetingKey": "u1", "country": "DE"}

    def question() -> None:
        if kind == "details":
            client.get_details("f", person, None)
        else:
            ask(client, kind, person)

    for _ in range(3):
        question()
    assert told(wanted) == []
    wanted.look(flag_set())
    question()
    assert told(wanted) == [person]


def test_only_a_few_questions_take_the_long_way(wanted: Sightings) -> None:
    client = getters(wanted, {"region": "eu"})
    plain = getters(wanted)
    for each in (client, plain):
        before = (each._true, each._false, each._latest)
        each.arm(5)
        for number in range(5):
            each.get_boolean("f", {"targetingKey": f"u{number}"}, False)
        assert each._armed == 0
        assert (each._true, each._false, each._latest) == before
        assert each._latest is each._defaults.latest
    assert client._true == frozenset()
    assert plain._true is plain._defaults.true


def test_what_flags_do_not_ask_about_stays_here(wanted: Sightings) -> None:
    client = getters(wanted)
    wanted.look(flag_set())
    nested = {"os": "ios", "serial": "secret"}
    client.get_boolean(
        "f", {"targetingKey": "u1", "email": "ada@example.org", "device": nested}, False
    )
    document = wanted.document(flag_set())
    assert document is not None
    assert [each["context"] for each in document["seen"]] == [
        {"targetingKey": "u1", "device": {"os": "ios"}}
    ]
    assert document["asked"] == [["targetingKey"], ["country"], ["device", "os"]]
    assert "secret" not in json.dumps(document)
    assert "ada@" not in json.dumps(document)


@pytest.mark.parametrize(
    "value", [object(), b"bytes", "x" * 600, [1] * 60, float("nan"), {"os": object()}, "\ud800"]
)
def test_a_context_of_which_something_cannot_be_told_is_not_told_at_all(
    wanted: Sightings, value: Any
) -> None:
    for place in ({"country": value}, {"device": {"os": value}}):
        wanted.meet({"targetingKey": "u1", **place})
        wanted.meet({"targetingKey": "u2"})
        for each in told(wanted):
            # It is JSON, and the service makes of it what it will.
            json.dumps(each, allow_nan=False)
            assert value == "\ud800" or each == {"targetingKey": "u2"}
    wanted.meet({"targetingKey": "u1", "password": value})
    assert {"targetingKey": "u1"} in told(wanted)


def test_what_is_told_is_bounded_and_each_unit_is_told_once_in_a_while() -> None:
    now = [1000.0]
    sightings = Sightings(clock=lambda: now[0])
    sightings.wanted(str(HASHES))
    for number in range(300):
        sightings.meet({"targetingKey": f"u{number % 100}"})
        sightings._sort(flag_set())
    first = told(sightings)
    assert len(first) == 20
    # Of all that were met those whose places in the sample are the first.
    everybody = sorted(
        ({"targetingKey": f"u{number}"} for number in range(100)), key=hash_of_service
    )
    assert first == everybody[:20]
    sightings.told()
    for context in everybody[:20]:
        sightings.meet(context)
    assert told(sightings) == []
    now[0] += 601
    sightings.meet(everybody[0])
    assert told(sightings) == everybody[:1]


def test_units_past_what_the_service_takes_are_not_told() -> None:
    people = [{"targetingKey": f"u{number}"} for number in range(30)]
    places = sorted(map(hash_of_service, people))
    sightings = Sightings()
    sightings.wanted(str(places[4]))
    for context in people:
        sightings.meet(context)
        sightings._sort(flag_set())
    assert {hash_of_service(each) for each in told(sightings)} == set(places[:5])


@pytest.mark.parametrize(("allowed", "below"), [(False, str(HASHES)), (True, None), (True, "x")])
def test_what_is_not_wanted_or_not_allowed_is_not_even_looked_at(
    allowed: bool, below: str | None
) -> None:
    sightings = Sightings(allowed=allowed)
    client = getters(sightings)
    sightings.wanted(str(HASHES))
    sightings.meet({"targetingKey": "u1"})
    client.arm(9)
    sightings.wanted(below)
    assert client._armed == 0
    assert sightings.look(flag_set()) is None
    assert client._armed == 0
    assert sightings.document(flag_set()) is None
    assert len(sightings._met) == 0


@given(st.text() | st.integers(-(2**53), 2**53))
def test_the_place_of_a_unit_is_the_services(unit: Any) -> None:
    context = {"targetingKey": unit}
    assert hash_of(context, json.dumps(context)) == hash_of_service(context)


def test_heartbeats_carry_contexts_while_the_answers_ask_for_them(
    service: Any, connect: Connect, tools: Any
) -> None:
    timing: Timing = replace(tools.QUICK, heartbeat_seconds=0.05)
    service.publish(1, tools.flag("f", True))
    client, silent = connect(timing=timing), connect(timing=timing, share_contexts=False)
    instance = client.status().instance
    ended = threading.Event()

    def traffic() -> None:
        number = 0
        while not ended.wait(0.001):
            number += 1
            context = {"targetingKey": f"u{number}", "email": "ada@example.org"}
            for each in (client, silent, client.view({"plan": "pro"})):
                each.get_boolean("f", context, False)

    def carried() -> set[str]:
        return {each["instance"] for each in list(service.told) if "contexts" in each}

    def of_client() -> list[dict[str, Any]]:
        return [each for each in list(service.told) if each["instance"] == instance]

    thread = threading.Thread(target=traffic)
    thread.start()
    try:
        tools.eventually(lambda: len(service.told) > 10)
        assert carried() == set()
        service.heartbeat_headers = ALL
        tools.eventually(lambda: carried() == {instance})
        service.heartbeat_headers = {}
        # The one that follows the last such answer may still carry some.
        count = len(of_client()) + 2
        tools.eventually(lambda: len(of_client()) > count + 6)
    finally:
        ended.set()
        thread.join()
    assert not any("contexts" in each for each in of_client()[count:])
    (seen,) = [each for each in service.told if "contexts" in each][:1]
    assert seen["contexts"]["asked"] == [["targetingKey"]]
    assert all(set(each["context"]) == {"targetingKey"} for each in seen["contexts"]["seen"])
    assert "ada@" not in json.dumps(service.told)
