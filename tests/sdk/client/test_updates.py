"""Starting, keeping fresh, losing and finding the service."""

from __future__ import annotations

import gc
import json
import logging
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flagstone import Client, FlagsChanged, Reason
from flagstone.engine import parse_flag_set
from flagstone.store import FlagStore, changed_flags
from flagstone.timing import Timing
from flagstone.transport import Endpoint, Transport
from flagstone.updater import Updater

Connect = Callable[..., Client]
HOURS = 10_000.0
# Below every wait that would be wrong here, and far above what a busy machine adds to a right one.
SOON = 20.0


# -- start --------------------------------------------------------------------------------------


def test_a_start_waits_for_the_first_flag_set(service: Any, connect: Connect, tools: Any) -> None:
    service.publish(5, tools.flag("f", "new"))
    client = connect()
    assert client.get_string("f", {}, "old") == "new"
    status = client.status()
    assert (status.revision, status.source, status.connected) == (5, "service", True)
    assert status.last_update is not None
    assert status.last_update.tzinfo is not None


def test_a_start_without_the_service_ends_in_bounded_time(service: Any, connect: Connect) -> None:
    service.stop()
    began = time.monotonic()
    client = connect(start_wait_seconds=0.2)
    assert 0.15 < time.monotonic() - began < SOON
    assert client.get_string("f", {}, "mine") == "mine"
    assert not client.status().connected
    assert client.status().last_error


def test_a_start_does_not_wait_for_a_service_that_never_answers(
    service: Any, connect: Connect, tools: Any
) -> None:
    release = threading.Event()
    service.answer("/sdk/v1/flagset", lambda handler: release.wait(60))
    began = time.monotonic()
    client = connect(start_wait_seconds=0.1)
    assert time.monotonic() - began < SOON
    assert client.get_integer("f", {}, 1) == 1
    began = time.monotonic()
    client.close(0.5)
    assert time.monotonic() - began < SOON
    release.set()


def test_a_start_from_the_snapshot_is_at_once_and_without_the_service(
    service: Any, connect: Connect, tools: Any, tmp_path: Path
) -> None:
    path = tmp_path / "snapshot"
    service.publish(9, *[tools.flag(f"flag-{n}", "new", track=True) for n in range(100)])
    first = connect(snapshot_path=path)
    first.close()
    service.stop()
    took = []
    for _ in range(3):
        # What this thread does takes no time worth naming; how long it waits for others is not
        # ours to say on a busy machine, but it is far from the time that it may wait.
        began, worked = time.monotonic(), time.thread_time()
        client = connect(snapshot_path=str(path), start_wait_seconds=60)
        took.append(time.thread_time() - worked)
        assert time.monotonic() - began < SOON
    assert client.get_string("flag-7", {"targetingKey": "u"}, "old") == "new"
    assert client.status().source == "snapshot"
    assert client.get_details("flag-7", {}, "old").reason is Reason.STALE
    assert min(took) < 0.05


def test_the_snapshots_etag_saves_the_first_download(
    service: Any, connect: Connect, tmp_path: Path
) -> None:
    connect(snapshot_path=tmp_path / "s").close()
    client = connect(snapshot_path=tmp_path / "s")
    assert service.count("GET /sdk/v1/flagset", 200) == 1
    assert client._store.wait_settled(30)
    assert client.status().connected
    assert service.count("GET /sdk/v1/flagset", 200) == 1
    assert service.count("GET /sdk/v1/flagset", 304) >= 1


@pytest.mark.parametrize("content", [b"", b"garbage", b'{"format": 1}\n{}', b"\x00" * 5000])
def test_a_corrupt_snapshot_is_ignored_with_a_warning_and_written_anew(
    service: Any,
    connect: Connect,
    tools: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    content: bytes,
) -> None:
    path = tmp_path / "snapshot"
    path.write_bytes(content)
    service.publish(4, tools.flag("f", "new"))
    with caplog.at_level(logging.WARNING, "flagstone"):
        client = connect(snapshot_path=path)
    assert client.get_string("f", {}, "old") == "new"
    assert "ignored" in caplog.text
    tools.eventually(lambda: b'"version":4' in path.read_bytes())


def test_a_sound_snapshot_of_an_unusable_flag_set_is_ignored_too(
    service: Any, connect: Connect, tmp_path: Path, tools: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from flagstone import snapshot

    path = tmp_path / "snapshot"
    source = snapshot.source_of(service.url, tools.KEY)
    snapshot.write(path, source, snapshot.Snapshot(b"[]", '"x"'))
    client = connect(snapshot_path=path)
    assert client.status().source == "service"
    assert "ignored" in caplog.text


def test_a_snapshot_that_cannot_be_written_is_warned_of_and_harmless(
    service: Any, connect: Connect, tools: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    client = connect(snapshot_path=tmp_path / "file" / "snapshot")
    for version in (2, 3):
        service.publish(version)
        assert client.wait_for_revision(version, 30)
    tools.eventually(lambda: "cannot be" in caplog.text)
    assert sum("cannot be written" in r.getMessage() for r in caplog.records) <= 1


# -- stream and polling -------------------------------------------------------------------------


def test_a_change_arrives_over_the_stream(service: Any, connect: Connect, tools: Any) -> None:
    client = connect(poll_seconds=HOURS)
    tools.eventually(lambda: client.status().streaming)
    service.publish(2, tools.flag("f", "new"))
    assert client.wait_for_revision(2, 30)
    assert client.get_string("f", {}, "old") == "new"


def test_without_a_stream_changes_arrive_by_polling(
    service: Any, connect: Connect, tools: Any
) -> None:
    service.streams = False
    client = connect(poll_seconds=0.05)
    service.publish(2, tools.flag("f", "new"))
    assert client.wait_for_revision(2, 30)
    assert not client.status().streaming
    assert client.status().connected


def test_an_unchanged_flag_set_is_not_sent_again(
    service: Any, connect: Connect, tools: Any
) -> None:
    service.streams = False
    connect(poll_seconds=0.02)
    tools.eventually(lambda: service.count("GET /sdk/v1/flagset", 304) >= 3)
    assert service.count("GET /sdk/v1/flagset", 200) == 1


def test_a_big_flag_set_travels_compressed(service: Any, connect: Connect, tools: Any) -> None:
    service.publish(2, *[tools.flag(f"f{n}", n) for n in range(200)])
    client = connect()
    assert client.get_integer("f199", {}, 0) == 199
    (asked,) = [
        headers
        for headers in service.request_headers
        if headers["accept"] == "application/json" and "if-none-match" not in headers
    ]
    assert asked["accept-encoding"] == "gzip"
    assert asked["user-agent"].startswith("flagstone-sdk/")


def test_a_restarted_service_is_found_again(service: Any, connect: Connect, tools: Any) -> None:
    service.publish(1, tools.flag("f", "one"))
    client = connect(poll_seconds=HOURS)
    tools.eventually(lambda: client.status().streaming)
    service.stop()
    tools.eventually(lambda: not client.status().connected)
    assert client.get_string("f", {}, "mine") == "one"
    assert client.get_details("f", {}, "mine").reason is Reason.STALE
    service.document = tools.flag_set(2, tools.flag("f", "two"))
    service.start()
    assert client.wait_for_revision(2, 30)
    tools.eventually(lambda: client.status().connected and client.status().streaming)
    assert client.get_details("f", {}, "mine").reason is Reason.STATIC
    assert client.get_string("f", {}, "mine") == "two"


def test_a_stream_that_ends_is_opened_again(service: Any, connect: Connect, tools: Any) -> None:
    client = connect(poll_seconds=HOURS)
    for version in (2, 3, 4):
        tools.eventually(lambda: service.open_streams == 1)
        service.drop_streams()
        tools.eventually(lambda n=version: service.count("GET /sdk/v1/stream", 200) >= n)
        service.publish(version)
        assert client.wait_for_revision(version, 30)


def test_a_stream_that_is_lost_for_good_gives_way_to_polling(
    service: Any, connect: Connect, tools: Any
) -> None:
    client = connect(poll_seconds=0.05)
    tools.eventually(lambda: client.status().streaming)
    service.streams = False
    service.drop_streams()
    tools.eventually(lambda: not client.status().streaming)
    service.publish(2)
    assert client.wait_for_revision(2, 30)


def test_a_silent_stream_is_given_up(service: Any, connect: Connect, tools: Any) -> None:
    silent = threading.Event()

    def hang(handler: Any) -> bool:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n"
        handler.wfile.write(head)
        silent.set()
        return handler.rfile.read(1) == b""  # until the client hangs up

    service.answer("/sdk/v1/stream", hang, tools.decline)
    client = connect(poll_seconds=HOURS, timing=replace(tools.QUICK, silence_seconds=0.2))
    assert silent.wait(30)
    tools.eventually(lambda: service.count("GET /sdk/v1/stream", 200) >= 1)
    service.publish(2)
    assert client.wait_for_revision(2, 30)


def test_heartbeats_keep_a_quiet_stream_alive(service: Any, connect: Connect, tools: Any) -> None:
    service.heartbeat_seconds = 0.02
    client = connect(poll_seconds=HOURS, timing=replace(tools.QUICK, silence_seconds=1.5))
    tools.eventually(lambda: client.status().streaming)
    tools.eventually(lambda: service.heartbeats >= 90, "longer than the silence that would end it")
    assert client.status().streaming
    assert service.count("GET /sdk/v1/stream") == 1


def test_an_answer_older_than_the_stream_said_is_asked_for_again(
    service: Any, connect: Connect, tools: Any
) -> None:
    """Another process of the service may be some milliseconds behind the one that streams."""
    old = service.document, service.etag
    client = connect(poll_seconds=HOURS)
    tools.eventually(lambda: client.status().streaming)
    behind = tools.status(200, {"ETag": old[1]}, old[0])
    service.answer("/sdk/v1/flagset", behind, behind, tools.decline)
    service.publish(2)
    assert client.wait_for_revision(2, 30)


def test_a_message_of_nonsense_only_makes_the_client_look(
    service: Any, connect: Connect, tools: Any
) -> None:
    messages = b"event: flagset\ndata: <html>\n\nevent: flagset\ndata: [1]\n\nevent: x\ndata: 1\n\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    service.answer("/sdk/v1/stream", tools.raw(head + messages), tools.decline)
    client = connect(poll_seconds=HOURS)
    service.publish(2)
    assert client.wait_for_revision(2, 30)


@pytest.mark.parametrize("etag", ['"ü"', '"\x7f"', "", "W/"])
def test_a_strange_etag_does_not_spoil_the_next_request(
    service: Any, connect: Connect, tools: Any, etag: str
) -> None:
    document = tools.flag_set(1, tools.flag("f", "one"))
    service.answer("/sdk/v1/flagset", tools.status(200, {"ETag": etag}, document), tools.decline)
    client = connect()
    service.publish(2)
    assert client.wait_for_revision(2, 30)


def test_lost_and_found_contact_are_logged_once_each(
    service: Any, connect: Connect, tools: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "flagstone")
    service.streams = False
    client = connect(poll_seconds=0.02)
    service.answer("/sdk/v1/flagset", tools.status(500))
    tools.eventually(lambda: service.count("GET /sdk/v1/flagset", 500) >= 3)
    service.behave()
    tools.eventually(lambda: client.status().connected)
    lost, found = [record.getMessage() for record in caplog.records]
    assert lost.startswith("flagstone: no contact with the service, last-known values stay: ")
    assert lost.endswith("the flag set was answered with HTTP 500")
    assert found == "flagstone: in contact with the service again"


def test_an_earlier_revision_is_served_if_the_service_goes_back_to_it(
    service: Any, connect: Connect, tools: Any
) -> None:
    service.publish(8, tools.flag("f", "eight"))
    client = connect()
    service.publish(3, tools.flag("f", "three"))
    tools.eventually(lambda: client.get_string("f", {}, "") == "three")
    assert client.status().revision == 3


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_key_is_reported_and_the_last_values_stay(
    service: Any, connect: Connect, tools: Any, code: int
) -> None:
    service.publish(1, tools.flag("f", "one"))
    client = connect(poll_seconds=0.05)
    service.answer("/sdk/v1/flagset", tools.status(code))
    service.answer("/sdk/v1/stream", tools.status(code))
    service.drop_streams()
    tools.eventually(lambda: client.status().refused)
    assert client.get_string("f", {}, "mine") == "one"
    assert client.get_details("f", {}, "mine").reason is Reason.STALE
    assert str(code) in str(client.status().last_error)
    service.behave()
    service.publish(2, tools.flag("f", "two"))
    assert client.wait_for_revision(2, 30)
    # A revision is served a moment before the contact is noted.
    tools.eventually(lambda: not client.status().refused)


def test_a_refused_key_ends_the_wait_at_the_start(service: Any, connect: Connect) -> None:
    began = time.monotonic()
    client = connect(key="fs_srv_wrong", start_wait_seconds=60)
    assert time.monotonic() - began < SOON
    assert client.status().refused
    assert client.get_boolean("f", {}, True) is True


def test_a_key_that_is_known_a_moment_later_is_in_time_for_the_start(
    service: Any, connect: Connect, tools: Any
) -> None:
    service.publish(1, tools.flag("f", "one"))
    service.answer("/sdk/v1/flagset", tools.status(401), tools.decline)
    service.answer("/sdk/v1/stream", tools.status(401), tools.decline)
    client = connect()
    assert client.get_string("f", {}, "mine") == "one"
    tools.eventually(lambda: client.status().streaming)


def test_a_refused_client_asks_slowly(service: Any, tools: Any) -> None:
    timing = replace(tools.QUICK, refused_seconds=HOURS)
    transport = Transport(Endpoint.parse(service.url), "fs_srv_wrong", timing)
    updater = Updater(transport, FlagStore(), 0.01, snapshot_path=None, source="")
    assert 0.8 <= updater.step() <= 1.2
    assert 0.0 < updater.step() <= 1.2, "though it is woken"
    assert service.count("GET /sdk/v1/flagset", 401) == 1
    waits = [timing.refused(refusals) for refusals in range(1, 40)]
    assert 0.8 <= waits[0] <= 1.2
    assert 6.4 <= waits[3] <= 9.6
    assert min(waits[-20:]) >= 0.8 * HOURS
    assert max(waits) <= 1.2 * HOURS


@pytest.mark.parametrize("code", [429, 503])
def test_retry_after_is_honoured_though_the_stream_tells_of_changes(
    service: Any, connect: Connect, tools: Any, code: int
) -> None:
    client = connect(poll_seconds=0.05)
    tools.eventually(lambda: client.status().streaming)
    asked: list[float] = []
    later = tools.status(code, {"Retry-After": "1"})

    def refuse(handler: Any) -> bool:
        asked.append(time.monotonic())
        return bool(later(handler))

    def give(handler: Any) -> bool:
        asked.append(time.monotonic())
        return False

    service.answer("/sdk/v1/flagset", refuse, give)
    service.publish(2)
    assert client.wait_for_revision(2, 30)
    assert asked[1] - asked[0] > 0.8
    assert service.count("GET /sdk/v1/flagset", code) == 1


def test_the_wait_after_failures_is_random_and_bounded() -> None:
    timing = Timing(backoff_seconds=0.5, backoff_limit_seconds=30.0)
    for failures, limit in [(1, 0.5), (2, 1.0), (5, 8.0), (8, 30.0), (5000, 30.0)]:
        waits = [timing.backoff(failures) for _ in range(500)]
        assert 0.0 <= min(waits) < 0.2 * limit
        assert 0.8 * limit < max(waits) <= limit


# -- callbacks and ends -------------------------------------------------------------------------


def test_on_change_names_the_flags_that_changed(
    service: Any, connect: Connect, tools: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service.publish(1, tools.flag("a", 1), tools.flag("b", 1), tools.flag("c", 1))
    client = connect()
    heard: list[FlagsChanged] = []
    seen: list[int] = []

    def broken(change: FlagsChanged) -> None:
        raise RuntimeError("broken callback")

    client.on_change(broken)
    client.on_change(lambda change: seen.append(client.get_integer("b", {}, 0)))
    end = client.on_change(heard.append)
    service.publish(2, tools.flag("a", 1), tools.flag("b", 2), tools.flag("d", 1))
    tools.eventually(lambda: heard)
    assert heard == [FlagsChanged(2, 1, ("b", "c", "d"))]
    assert seen == [2], "the new values are served before the callback runs"
    assert "broken callback" in caplog.text
    end()
    end()
    service.publish(3)
    tools.eventually(lambda: len(seen) == 2)
    assert len(heard) == 1


def test_a_changed_segment_may_change_every_flag() -> None:
    def flags(segment: str) -> Any:
        when = {"attr": "email", "op": "ends_with", "values": [segment]}
        flag = {"key": "f", "type": "boolean", "variants": {"on": {"value": True}}}
        flag |= {"enabled": True, "default": "on", "rules": []}
        document = {"schema": 1, "version": 1, "environment": "e"}
        return parse_flag_set(
            json.dumps({**document, "flags": {"f": flag}, "segments": {"s": when}})
        )

    assert changed_flags(flags("@a"), flags("@b")) == ("f",)
    assert changed_flags(flags("@a"), flags("@a")) == ()
    assert changed_flags(None, flags("@a")) == ("f",)


def test_waiting_for_a_revision_that_does_not_come_ends_in_time(connect: Connect) -> None:
    client = connect()
    began = time.monotonic()
    assert client.wait_for_revision(99, 0.1) is False
    assert time.monotonic() - began < SOON
    assert client.wait_for_revision(1, 0) is True


def test_a_closed_client_serves_its_last_values_and_leaves_no_thread(
    service: Any, connect: Connect, tools: Any
) -> None:
    service.publish(1, tools.flag("f", "one"))
    service.heartbeat_seconds = 60.0
    with connect(timing=replace(tools.QUICK, silence_seconds=60.0)) as client:
        tools.eventually(lambda: client.status().streaming)
        workers = client._workers
        began = time.monotonic()
        client.close(60)
    assert time.monotonic() - began < SOON, "the silent stream is not waited for"
    client.close()
    assert client.status().closed
    assert not client.status().connected
    assert client.get_string("f", {}, "mine") == "one"
    for worker in (workers.sender, workers.updater, workers.listener):
        assert not worker.alive


def test_a_forgotten_client_ends_its_threads_and_sends_its_events(service: Any, tools: Any) -> None:
    client = Client(service.url, tools.KEY, flush_seconds=HOURS, timing=tools.QUICK)
    client.track("purchase", "u1")
    workers, ref = client._workers, weakref.ref(client)
    del client
    gc.collect()
    assert ref() is None
    for worker in (workers.sender, workers.updater, workers.listener):
        tools.eventually(lambda worker=worker: not worker.alive)
    assert [event["unit"] for event in service.stored.values()] == ["u1"]
