"""Exposures and tracking events: bounded, batched, at least once, never twice."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstone import Client
from flagstone.events import Event, EventQueue, ExposureMemory, tracking_event, unit_text

Connect = Callable[..., Client]
EVENTS = "/sdk/v1/events"
HOURS = 10_000.0


# -- what is sent -------------------------------------------------------------------------------


def test_a_tracking_event_arrives_as_the_wire_says(service: Any, connect: Connect) -> None:
    before = time.time()
    client = connect()
    client.track("purchase", {"targetingKey": "u1", "other": 1}, 12.5)
    client.track("visit", "u2")
    client.track("visit", 3, 4, datetime(2026, 1, 1, tzinfo=timezone.utc))  # noqa: UP017
    assert client.flush(30)
    first, second, third = service.stored.values()
    assert uuid.UUID(first.pop("id")).version == 7
    assert before <= first.pop("time") <= time.time()
    assert first == {"type": "track", "unit": "u1", "name": "purchase", "value": 12.5}
    assert "value" not in second
    assert (third["unit"], third["value"], third["time"]) == ("3", 4, 1767225600.0)
    status = client.status()
    assert (status.sent, status.queued, status.dropped, status.invalid) == (3, 0, 0, 0)


def test_an_exposure_arrives_as_the_wire_says(service: Any, connect: Connect, tools: Any) -> None:
    service.publish(17, tools.flag("checkout", "new", track=True))
    client = connect()
    assert client.get_string("checkout", {"targetingKey": "u1"}, "old") == "new"
    assert client.flush(30)
    (event,) = service.stored.values()
    assert uuid.UUID(event.pop("id")).version == 7
    assert abs(event.pop("time") - time.time()) < 60
    assert event == {
        "type": "exposure",
        "unit": "u1",
        "flag": "checkout",
        "variant": "given",
        "rule": "everybody",
        "revision": 17,
    }


def test_nothing_of_a_context_goes_along_unless_it_is_named(
    service: Any, connect: Connect, tools: Any
) -> None:
    service.publish(17, tools.flag("checkout", "new", track=True))
    context = {"targetingKey": "u1", "country": "DE", "plan": "pro", "age": 33}
    for options in ({}, {"exposure_attributes": ("country", "age", "city")}):
        with connect(**options) as client:
            client.get_string("checkout", context, "old")
            assert client.flush(30)
    plain, told = service.stored.values()
    assert "attributes" not in plain
    assert told["attributes"] == {"country": "DE", "age": 33}


def test_an_attribute_that_the_service_would_refuse_stays_here(
    service: Any, connect: Connect, tools: Any
) -> None:
    service.publish(17, tools.flag("checkout", "new", track=True))
    odd = {"a": "x" * 65, "b": float("nan"), "c": [1], "d": "", "e": "\ud800", "f": 1e16}
    good = {"g": False, "h": "y" * 64}
    client = connect(exposure_attributes=tuple("abcdefgh"), context={"h": "client's own"})
    client.get_string("checkout", {"targetingKey": "u1", **odd, **good}, "old")
    client.get_string("checkout", {"targetingKey": "u2"}, "old")
    assert client.flush(30)
    first, second = service.stored.values()
    assert first["attributes"] == good
    assert second["attributes"] == {"h": "client's own"}


def test_only_units_that_met_a_tracked_rule_are_exposed(
    service: Any, connect: Connect, tools: Any
) -> None:
    service.publish(2, tools.flag("tracked", True, track=True), tools.flag("plain", True))
    client = connect()
    client.get_boolean("plain", {"targetingKey": "u1"}, False)
    client.get_boolean("tracked", {}, False)  # no unit
    client.get_string("tracked", {"targetingKey": "u2"}, "not met: the caller got this")
    client.get_details("tracked", {"targetingKey": "u3"}, "default", "string")
    client.get_details("tracked", {"targetingKey": "u4"}, False, "boolean")
    assert client.flush(30)
    assert [event["unit"] for event in service.stored.values()] == ["u4"]


def test_a_hot_loop_exposes_each_unit_once(service: Any, connect: Connect, tools: Any) -> None:
    service.publish(2, tools.flag("a", 1, track=True), tools.flag("b", 2, track=True))
    client = connect()

    def loop() -> None:
        for n in range(3_000):
            client.get_integer("a", {"targetingKey": f"u{n % 10}"}, 0)
            client.get_integer("b", {"targetingKey": f"u{n % 10}"}, 0)

    threads = [threading.Thread(target=loop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush(30)
    assert len(service.stored) == 20
    service.publish(3, tools.flag("a", 1, track=True), tools.flag("c", 1))
    assert client.wait_for_revision(3, 30)
    loop()
    assert client.flush(30)
    assert len(service.stored) == 20, "a new revision is no new exposure"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("", "u1"), "name"),
        ((None, "u1"), "name"),
        (("n\ud800", "u1"), "name"),
        (("n" * 257, "u1"), "name"),
        (("n", "u" * 513), "unit"),
        (("n", "u1", 1.1e15), "value"),
        (("n", None), "unit"),
        (("n", ""), "unit"),
        (("n", {}), "unit"),
        (("n", True), "unit"),
        (("n", 1.5), "unit"),
        (("n", "u\ud800"), "unit"),
        (("n", "u1", "12"), "value"),
        (("n", "u1", True), "value"),
        (("n", "u1", float("nan")), "value"),
        (("n", "u1", float("inf")), "value"),
        (("n", "u1", 10**400), "value"),
        (("n", "u1", 1, datetime(2026, 1, 1)), "time zone"),
        (("n", "u1", 1, "yesterday"), "time"),
        (("n", "u1", 1, float("nan")), "time"),
    ],
)
def test_what_can_never_be_sent_is_counted_and_said_once(
    service: Any,
    connect: Connect,
    arguments: tuple[Any, ...],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = connect()
    with caplog.at_level(logging.WARNING, "flagstone"):
        client.track(*arguments)
        client.track(*arguments)
    assert client.status().invalid == 2
    assert client.status().queued == 0
    messages = [r.getMessage() for r in caplog.records if "track" in r.getMessage()]
    assert len(messages) == 1
    assert reason in messages[0]


@given(
    st.text(), st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.dictionaries(
        st.sampled_from(["targetingKey", "x"]), st.one_of(st.text(), st.integers(), st.floats())
    )), st.one_of(st.none(), st.integers(), st.floats(), st.fractions(), st.text(), st.booleans())
)  # fmt: skip
def test_an_event_is_either_sendable_or_refused_with_a_value_error(
    name: str, about: Any, value: Any
) -> None:
    try:
        event = tracking_event(name, about, value, None, 5.0)
    except ValueError:
        return
    import json

    text = json.dumps({"unit": event.unit, **event.fields}, allow_nan=False, ensure_ascii=False)
    assert json.loads(text.encode())["unit"] == event.unit


@pytest.mark.parametrize(
    ("unit", "text"),
    [("a", "a"), (7, "7"), (7.0, "7"), (7.5, None), (True, None), (None, None), ([], None)],
)
def test_a_unit_prints_as_the_engine_prints_it(unit: object, text: str | None) -> None:
    assert unit_text(unit) == text


def test_fractions_and_negative_times_are_numbers() -> None:
    event = tracking_event("n", "u", Fraction(1, 4), -5, 0.0)
    assert (event.fields["value"], event.time) == (0.25, -5.0)
    moment = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert tracking_event("n", "u", 10**15, moment, 0.0).time == 1767225600.0


# -- batches ------------------------------------------------------------------------------------


def test_events_leave_in_order_in_batches_of_at_most_500(service: Any, connect: Connect) -> None:
    client = connect(flush_seconds=HOURS)
    for n in range(1_200):
        client.track("n", f"u{n}", n)
    assert client.flush(30)
    assert max(map(len, service.batches)) <= 500
    assert [event["value"] for batch in service.batches for event in batch] == list(range(1_200))
    ids = list(service.stored)
    assert ids == sorted(ids)


def test_a_full_batch_does_not_wait_for_its_time(
    service: Any, connect: Connect, tools: Any
) -> None:
    client = connect(flush_seconds=HOURS)
    for n in range(499):
        client.track("n", f"u{n}")
    assert client.status().queued == 499
    client.track("n", "u499")
    tools.eventually(lambda: len(service.stored) == 500)


def test_an_event_waits_at_most_flush_seconds(service: Any, connect: Connect, tools: Any) -> None:
    client = connect(flush_seconds=0.2)
    began = time.monotonic()
    client.track("n", "u")
    tools.eventually(lambda: len(service.stored) == 1)
    assert time.monotonic() - began > 0.1


def test_big_bodies_travel_compressed_and_small_ones_do_not(service: Any, connect: Connect) -> None:
    client = connect(flush_seconds=HOURS)
    client.track("n", "u")
    assert client.flush(30)
    for n in range(100):
        client.track("n", f"u{n}")
    assert client.flush(30)
    sent = [h for h in service.request_headers if h[":path"] == EVENTS]
    assert ["content-encoding" in h for h in sent] == [False, True]


def test_long_events_are_cut_into_bodies_that_the_service_takes(
    service: Any, connect: Connect
) -> None:
    import json

    client = connect(flush_seconds=HOURS)
    for n in range(500):
        client.track("🎏" * 256, f"{n:🏁>512}")
    assert client.flush(30)
    assert len(service.stored) == 500
    assert len(service.batches) > 1
    for batch in service.batches:
        assert len(json.dumps(batch, ensure_ascii=False).encode()) < 1024 * 1024
    units = [int(event["unit"].strip("🏁")) for event in service.stored.values()]
    assert units == list(range(500))


# -- failures -----------------------------------------------------------------------------------


def test_a_retry_keeps_the_identifiers_so_that_nothing_counts_twice(
    service: Any, connect: Connect, tools: Any
) -> None:
    """The service stores the batch, and the answer is lost on the way."""

    def store_and_hang_up(handler: Any) -> bool:
        wfile, handler.wfile = handler.wfile, open("/dev/null", "wb")  # noqa: SIM115, PTH123
        handler.events()
        handler.wfile.close()
        handler.wfile = wfile
        handler.close_connection = True
        return True

    service.answer(EVENTS, store_and_hang_up, store_and_hang_up, tools.status(500), tools.decline)
    client = connect(flush_seconds=HOURS)
    for n in range(3):
        client.track("purchase", f"u{n}", n)
    assert client.flush(30)
    ids = [[event["id"] for event in batch] for batch in service.batches]
    assert len(ids) >= 4
    assert all(batch == ids[0] for batch in ids)
    assert len(service.stored) == 3
    assert client.status().duplicates == 3
    assert client.status().sent == 3


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
def test_a_passing_failure_loses_nothing(
    service: Any, connect: Connect, tools: Any, code: int
) -> None:
    service.answer(EVENTS, tools.status(code), tools.status(code), tools.decline)
    client = connect(flush_seconds=HOURS)
    client.track("n", "u")
    assert client.flush(30)
    assert len(service.stored) == 1
    assert service.count(f"POST {EVENTS}", code) == 2
    assert client.status().rejected == 0
    assert client.status().last_error is None


def test_an_event_outlives_a_restart_of_the_service(
    service: Any, connect: Connect, tools: Any
) -> None:
    client = connect()
    service.stop()
    client.track("n", "u")
    tools.eventually(lambda: client._workers.sender._failures >= 2)
    assert client.status().queued == 1
    assert client.flush(0.05) is False
    service.start()
    assert client.flush(30)
    assert len(service.stored) == 1


def test_retry_after_holds_events_back_though_flush_is_called(
    service: Any, connect: Connect, tools: Any
) -> None:
    asked: list[float] = []
    later = tools.status(503, {"Retry-After": "1"})

    def refuse(handler: Any) -> bool:
        asked.append(time.monotonic())
        return bool(later(handler))

    def take(handler: Any) -> bool:
        asked.append(time.monotonic())
        return False

    service.answer(EVENTS, refuse, take)
    client = connect()
    client.track("n", "u")
    tools.eventually(lambda: client._workers.sender._not_before > 0.0)
    client.flush(0.1)
    assert client.flush(30)
    assert asked[1] - asked[0] > 0.8
    assert service.count(f"POST {EVENTS}", 503) == 1


def test_an_absurd_retry_after_is_cut_short(service: Any, connect: Connect, tools: Any) -> None:
    timing = replace(tools.QUICK, retry_after_limit_seconds=0.05)
    service.answer(EVENTS, tools.status(503, {"Retry-After": "999999999999"}), tools.decline)
    client = connect(timing=timing)
    client.track("n", "u")
    assert client.flush(30)


@pytest.mark.parametrize("code", [400, 404, 409, 413, 422])
def test_a_refused_batch_is_dropped_counted_and_warned_of_once(
    service: Any, connect: Connect, tools: Any, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = tools.status(code, {}, b'{"detail": "no such events"}')
    service.answer(EVENTS, refusal, refusal, tools.decline)
    client = connect(flush_seconds=HOURS)
    for n in range(2):
        client.track("n", f"u{n}")
        client.track("n", f"v{n}")
        assert client.flush(30)
    assert client.status().rejected == 4
    assert client.status().queued == 0
    assert "no such events" in str(client.status().last_error)
    assert sum("refused and dropped" in r.getMessage() for r in caplog.records) == 1
    client.track("n", "w")
    assert client.flush(30)
    assert [event["unit"] for event in service.stored.values()] == ["w"]


def test_one_poisonous_event_is_dropped_and_the_rest_arrives(
    service: Any, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    service.poison = "poison"
    client = connect(flush_seconds=HOURS)
    for unit in ["a", "poison", "b", "poison", "c"]:
        client.track("n", unit)
    assert client.flush(30)
    assert [event["unit"] for event in service.stored.values()] == ["a", "b", "c"]
    assert client.status().rejected == 2
    assert client.status().sent == 3
    assert sum("is refused and dropped" in r.getMessage() for r in caplog.records) == 1
    first, _, third = service.batches
    assert [e["id"] for e in third] == [e["id"] for e in first if e["unit"] != "poison"]


def test_a_flood_of_bad_events_slows_down(service: Any, connect: Connect, tools: Any) -> None:
    """A wrong clock makes every event a bad one, and each costs the service a request."""
    service.poison = "bad"
    timing = replace(tools.QUICK, backoff_seconds=HOURS, backoff_limit_seconds=HOURS)
    # Without heartbeats: the step below would share their connection.
    client = connect(flush_seconds=HOURS, timing=replace(timing, heartbeat_seconds=0.0))
    for _ in range(100):
        client.track("n", "bad")
    assert client.flush(0) is False
    tools.eventually(lambda: client.status().rejected == 11)
    tools.eventually(lambda: client._workers.sender._not_before > 0.0, "it has begun to wait")
    assert client._workers.sender.step() > 0.0, "though it is woken"
    assert client.flush(0) is False
    assert client.status().rejected == 11


def test_a_poisonous_event_may_be_named_in_the_detail(
    service: Any, connect: Connect, tools: Any
) -> None:
    refusal = tools.status(400, {}, b'{"detail": "events[1].unit is not a string"}')
    service.answer(EVENTS, refusal, tools.decline)
    client = connect(flush_seconds=HOURS)
    for unit in "abc":
        client.track("n", unit)
    assert client.flush(30)
    assert [event["unit"] for event in service.stored.values()] == ["a", "c"]


@pytest.mark.parametrize("field", ["events[7].unit", "events[-1]", "events[x]", "events", "", None])
def test_a_name_that_fits_no_event_drops_the_batch(
    service: Any, connect: Connect, tools: Any, field: object
) -> None:
    import json

    body = json.dumps({"field": field, "detail": ["?"]}).encode()
    service.answer(EVENTS, tools.status(400, {}, body), tools.decline)
    client = connect(flush_seconds=HOURS)
    client.track("n", "a")
    client.track("n", "b")
    assert client.flush(30)
    assert client.status().rejected == 2


def test_events_of_a_refused_key_are_kept_and_tried_again_slowly(
    service: Any, connect: Connect, tools: Any
) -> None:
    service.answer(EVENTS, tools.status(401), tools.status(403), tools.decline)
    client = connect()
    client.track("n", "u")
    tools.eventually(lambda: len(service.stored) == 1)
    assert client.status().rejected == 0


def test_a_full_queue_drops_what_comes_and_counts_it(
    service: Any, connect: Connect, tools: Any
) -> None:
    service.answer(EVENTS, tools.status(503))
    client = connect(queue_size=100)
    for n in range(250):
        client.track("n", f"u{n}")
    assert client.status().dropped == 150
    assert client.status().queued == 100
    service.behave()
    assert client.flush(30)
    assert [event["unit"] for event in service.stored.values()] == [f"u{n}" for n in range(100)]
    client.track("n", "later")
    assert client.flush(30)
    assert len(service.stored) == 101


def test_an_exposure_that_found_no_room_is_recorded_the_next_time(
    service: Any, connect: Connect, tools: Any
) -> None:
    service.publish(2, tools.flag("f", True, track=True))
    service.answer(EVENTS, tools.status(503))
    client = connect(queue_size=1)
    client.track("n", "u0")
    client.get_boolean("f", {"targetingKey": "u1"}, False)
    assert client.status().dropped == 1
    service.behave()
    assert client.flush(30)
    client.get_boolean("f", {"targetingKey": "u1"}, False)
    assert client.flush(30)
    assert [event["type"] for event in service.stored.values()] == ["track", "exposure"]


# -- ends ---------------------------------------------------------------------------------------


def test_close_sends_what_is_queued_and_drops_what_comes_after(
    service: Any, connect: Connect
) -> None:
    client = connect(flush_seconds=HOURS)
    for n in range(700):
        client.track("n", f"u{n}")
    client.close(10)
    assert len(service.stored) == 700
    client.track("n", "too late")
    assert client.status().dropped == 1
    assert client.flush(1) is True
    client.close()


def test_close_is_bounded_and_says_what_was_lost(
    service: Any, connect: Connect, tools: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect()
    service.stop()
    client.track("n", "u")
    began = time.monotonic()
    client.close(0.2)
    assert time.monotonic() - began < 4
    assert "closed with 1 events not sent" in caplog.text


def test_flush_has_nothing_to_wait_for_when_nothing_is_queued(
    service: Any, connect: Connect
) -> None:
    service.stop()
    client = connect(start_wait_seconds=0)
    assert client.flush(0) is True


# -- the parts ----------------------------------------------------------------------------------


def test_an_exposure_is_forgotten_after_its_window_and_when_room_is_needed() -> None:
    memory = ExposureMemory(2, 300.0)
    queue = EventQueue(1_000, lambda: None)

    def record(unit: str, now: float, revision: int = 1) -> bool:
        before = queue.accepted
        memory.record(queue, ("f", unit, "on", "r", revision, None), now)
        return queue.accepted > before

    assert record("a", 0.0)
    assert not record("a", 299.0)
    assert not record("a", 299.0, revision=2)
    assert record("a", 300.0)
    assert record("a", -100.0), "the clock stepped back"
    assert record("b", -100.0)
    assert not record("a", -100.0)
    assert record("c", -100.0), "and a, which was recorded first, is forgotten"
    assert not record("b", -100.0)
    assert record("a", -100.0)


def test_the_queue_may_be_entered_again_while_it_is_entered() -> None:
    """A finaliser or a signal handler may call ``track`` in the middle of ``track``."""
    queue = EventQueue(10, lambda: None)
    event = Event("track", 0.0, "u", {})
    with queue._lock:
        assert queue.put(event)
    memory = ExposureMemory(10, 1.0)
    with memory._lock:
        memory.record(queue, ("f", "u", "on", None, 1, None), 0.0)
    assert queue.unsettled == 2
