"""Heartbeats of SDKs: read strictly, kept in batches, and never in anybody's way."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import select

from flags.database import Database
from flags.models import SdkInstance
from web.edge.instances import MAX_BODY_BYTES, MAX_WAITING, Instances, parse_heartbeat
from web.edge.problems import Answer

NOW = 1_780_000_000.0


def heartbeat(**changes: Any) -> dict[str, Any]:
    told = {
        "instance": str(uuid.uuid4()),
        "sdk": {"name": "flagstone-python", "version": "0.1.0"},
        "runtime": "cpython 3.11.9",
        "platform": "linux",
        "started": NOW - 5,
        "revision": 3,
        "etag": "e3",
        "source": "stream",
        "events": {"queued": 1, "spooled": 0, "sent": 7, "dropped": 0},
        "unknown_flags": ["chekout"],
        "defaults": {"checkout": [{"type": "boolean", "value": False}]},
        "defaults_complete": True,
        **changes,
    }
    return {name: value for name, value in told.items() if value is not ...}


@pytest.fixture
def instances(database: Database, clock: list[float]) -> Iterator[Instances]:
    made = Instances(lambda: clock[0])
    made._database = database
    yield made
    made.close()


def take(
    instances: Instances, here: int, told: Any, received: float = NOW, **headers: bytes
) -> Answer:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    return instances.take(body, environment_id=here, received=received, **headers)


def rows(database: Database) -> dict[str, SdkInstance]:
    with database.read() as session:
        return {row.id: row for row in session.exec(select(SdkInstance))}


# -- the door -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "status", "field"),
    [
        (b"", 400, "instance"),
        (b"{", 400, "body"),
        (b"[]", 400, "body"),
        (b'{"instance": "a", "instance": "b"}', 400, "instance"),
        (b'{"x": ' * 100, 400, None),
        (heartbeat(instance=...), 400, "instance"),
        (heartbeat(instance="7"), 400, "instance"),
        (heartbeat(instance=7), 400, "instance"),
        (heartbeat(sdk=...), 400, "sdk"),
        (heartbeat(sdk={"name": "x"}), 400, "sdk.version"),
        (heartbeat(sdk={"name": "", "version": "1"}), 400, "sdk.name"),
        (heartbeat(sdk={"name": "x", "version": "1", "more": 1}), 400, "sdk.more"),
        (heartbeat(surprise=1), 400, "surprise"),
        (heartbeat(revision="3"), 400, "revision"),
        (heartbeat(revision=True), 400, "revision"),
        (heartbeat(revision=-1), 400, "revision"),
        (heartbeat(revision=2**31), 400, "revision"),
        (heartbeat(started="now"), 400, "started"),
        (heartbeat(started=-1), 400, "started"),
        (heartbeat(started=1e300), 400, "started"),
        (heartbeat(etag="a\u0000b"), 400, "etag"),
        (heartbeat(host="\x1b[2J"), 400, "host"),
        (heartbeat(host="h" * 257), 400, "host"),
        (heartbeat(source=7), 400, "source"),
        (heartbeat(events={"queued": -1}), 400, "events.queued"),
        (heartbeat(unknown_flags=["a", 7]), 400, "unknown_flags[1]"),
        (heartbeat(unknown_flags=["a"] * 501), 400, "unknown_flags"),
        (heartbeat(defaults={"f": 7}), 400, "defaults[...]"),
        (heartbeat(defaults={"f": [{"value": 1}]}), 400, "defaults[...][0].type"),
        (heartbeat(defaults={"f" * 257: []}), 400, "defaults"),
        (heartbeat(defaults={str(n): [] for n in range(501)}), 400, "defaults"),
        (b" " * (MAX_BODY_BYTES + 1), 413, None),
        (gzip.compress(b" " * (MAX_BODY_BYTES + 1), mtime=0), 413, None),
    ],
)
def test_what_is_no_heartbeat_is_refused_and_the_field_named(
    instances: Instances, here: int, told: Any, status: int, field: str | None
) -> None:
    zipped = isinstance(told, bytes) and told[:2] == b"\x1f\x8b"
    headers = {"content_encoding": b"gzip"} if zipped else {}
    answer = take(instances, here, told, **headers)
    assert answer.status == status, answer.body
    assert (b"content-type", b"application/problem+json") in answer.headers
    if field is not None:
        assert json.loads(answer.body)["field"] == field
    assert instances._waiting == {}


def test_only_json_is_read(instances: Instances, here: int) -> None:
    answer = take(instances, here, heartbeat(), content_type=b"text/plain")
    assert json.loads(answer.body)["field"] == "Content-Type"


def test_the_least_that_a_client_must_say(instances: Instances, here: int, database: Any) -> None:
    least = {
        "instance": "0197a0b0-0000-7000-8000-000000000000",
        "sdk": {"name": "x", "version": "1"},
        "started": 5,
        "source": "none",
    }
    assert take(instances, here, least).status == 204
    instances.write()
    (row,) = rows(database).values()
    assert (row.sdk, row.revision, row.etag, row.host, row.defaults) == (
        "x 1",
        None,
        None,
        None,
        None,
    )
    assert row.events == {"queued": 0, "spooled": 0, "sent": 0, "dropped": 0}


def test_a_clock_that_is_ahead_starts_nothing_in_the_future() -> None:
    body = json.dumps(heartbeat(started=NOW + 500)).encode()
    told, _ = parse_heartbeat(body, environment_id=1, received=NOW)
    assert told.started_at == told.seen_at == dt.datetime.fromtimestamp(NOW, dt.UTC)


def test_any_default_can_be_kept(instances: Instances, here: int, database: Any) -> None:
    values = [0, -0.0, 1e300, "a\u0000\u2028é😀", None, True, [], {"a": {"b": [1]}}, "x" * 1000]
    told = {f"flag {n}\u0000": [{"type": "any", "value": v}] for n, v in enumerate(values)}
    refused = take(instances, here, heartbeat(defaults=told))
    assert json.loads(refused.body)["field"] == "defaults"
    told = {f"flag {n}": [{"type": "any", "value": v}] for n, v in enumerate(values)}
    told["too long"] = [{"type": "string"}]
    assert take(instances, here, heartbeat(defaults=told)).status == 204
    instances.write()
    (row,) = rows(database).values()
    assert json.loads(row.defaults or "") == told


# -- keeping ------------------------------------------------------------------------------------


def test_one_row_for_each_client_and_the_newest_word_counts(
    instances: Instances, here: int, database: Any
) -> None:
    first, second = heartbeat(), heartbeat(host="web-1", revision=None, source="none")
    for told in (first, second):
        assert take(instances, here, told).status == 204
    instances.write()
    assert set(rows(database)) == {first["instance"], second["instance"]}
    later = heartbeat(instance=first["instance"], revision=4, unknown_flags=[])
    assert take(instances, here, later, NOW + 30).status == 204
    instances.write()
    row = rows(database)[first["instance"]]
    assert (row.revision, row.unknown_flags) == (4, [])
    assert row.seen_at == dt.datetime.fromtimestamp(NOW + 30, dt.UTC)
    assert row.started_at == dt.datetime.fromtimestamp(NOW - 5, dt.UTC)
    assert row.events["sent"] == 7
    assert (rows(database)[second["instance"]].host, row.host) == ("web-1", None)


@pytest.mark.parametrize("written_between", [True, False])
def test_defaults_that_are_not_repeated_stay(
    instances: Instances, here: int, database: Any, written_between: bool
) -> None:
    first = heartbeat()
    take(instances, here, first)
    if written_between:
        instances.write()
    take(instances, here, heartbeat(instance=first["instance"], defaults=...), NOW + 1)
    instances.write()
    (row,) = rows(database).values()
    assert json.loads(row.defaults or "") == first["defaults"]
    assert row.seen_at.timestamp() == NOW + 1
    take(instances, here, heartbeat(instance=first["instance"], defaults={}), NOW + 2)
    instances.write()
    (row,) = rows(database).values()
    assert row.defaults == "{}"


def test_the_process_that_writes_last_does_not_bring_back_an_older_word(
    instances: Instances, here: int, database: Any
) -> None:
    other = Instances(lambda: NOW)
    other._database = database
    first = heartbeat(revision=3)
    take(instances, here, first)
    take(other, here, heartbeat(instance=first["instance"], revision=4), NOW + 1)
    other.write()
    instances.write()
    (row,) = rows(database).values()
    assert row.revision == 4


def test_the_same_instance_in_another_environment_is_another_row(
    instances: Instances, here: int, control: Any, database: Any
) -> None:
    """A server key of one environment can say nothing about another."""
    there = control.environment("staging")
    told = heartbeat()
    take(instances, here, told)
    take(instances, there, {**told, "revision": 9})
    instances.write()
    with database.read() as session:
        found = session.exec(select(SdkInstance.environment_id, SdkInstance.revision)).all()
    assert sorted(found) == sorted([(here, 3), (there, 9)])


def test_processes_that_write_at_once_lose_nothing(here: int, database: Any) -> None:
    processes = [Instances(lambda: NOW) for _ in range(4)]
    ids = [str(uuid.uuid4()) for _ in range(40)]

    def work(process: Instances, number: int) -> None:
        process._database = database
        for turn in range(5):
            for each in ids:
                told = heartbeat(instance=each, revision=turn * 4 + number)
                take(process, here, told, NOW + turn * 4 + number)
            process.write()

    threads = [
        threading.Thread(target=work, args=(process, number))
        for number, process in enumerate(processes)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {row.revision for row in rows(database).values()} == {19}
    assert set(rows(database)) == set(ids)


def test_the_long_silent_are_forgotten_the_short_lived_sooner(
    instances: Instances, here: int, database: Any, clock: list[float]
) -> None:
    job, server = heartbeat(started=NOW - 2), heartbeat(started=NOW - 90_000)
    for told in (job, server):
        take(instances, here, told)
    instances.write()
    clock[0] = NOW + 590
    instances.write()
    assert len(rows(database)) == 2
    clock[0] = NOW + 700
    instances.write()
    assert set(rows(database)) == {server["instance"]}
    clock[0] = NOW + 86_400 + 61
    instances.write()
    assert rows(database) == {}


def test_who_says_goodbye_is_gone_at_once(instances: Instances, here: int, database: Any) -> None:
    first, second, third = heartbeat(), heartbeat(), heartbeat()
    take(instances, here, first)
    take(instances, here, second)
    instances.write()
    take(instances, here, {**first, "ending": True})
    take(instances, here, {**third, "ending": True})  # of whom we never heard
    instances.write()
    assert set(rows(database)) == {second["instance"]}


def test_what_cannot_be_written_waits_and_is_bounded(
    instances: Instances, here: int, database: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    told = heartbeat()
    instances._database = Database(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}")
    take(instances, here, told)
    with pytest.raises(sa.exc.OperationalError):
        instances.write()
    take(instances, here, heartbeat(instance=told["instance"], defaults=..., revision=4), NOW + 1)
    instances._database = database
    instances.write()
    (row,) = rows(database).values()
    assert (row.revision, json.loads(row.defaults or "")) == (4, told["defaults"])

    monkeypatch.setattr("web.edge.instances.MAX_WAITING", 2)
    assert MAX_WAITING > 1_000
    for told in (heartbeat(), heartbeat()):
        assert take(instances, here, told).status == 204
    full = take(instances, here, heartbeat())
    assert (full.status, dict(full.headers)[b"retry-after"]) == (503, b"30")
    assert take(instances, here, told).status == 204, "who waits already may speak"


def test_the_thread_writes_within_moments_and_at_the_end(
    here: int, database: Any, wait_until: Callable[..., Any]
) -> None:
    running = Instances(lambda: NOW)
    running.start(database)
    take(running, here, heartbeat())
    wait_until(lambda: len(rows(database)) == 1)
    take(running, here, heartbeat())
    running.close()
    assert len(rows(database)) == 2


def test_contexts_go_to_who_keeps_them_and_are_read_strictly(
    instances: Instances, here: int
) -> None:
    told: list[Any] = []
    asked = [["targetingKey"], ["device", "os"]]
    seen = [{"context": {"targetingKey": "u1"}, "at": NOW}]
    body = json.dumps(heartbeat(contexts={"asked": asked, "seen": seen})).encode()
    answer = instances.take(body, environment_id=here, received=NOW, seen=told.append)
    assert answer.status == 204
    assert told == [([{"targetingKey": "u1"}], asked)]
    for wrong in (
        {"asked": asked},
        {"asked": asked, "seen": seen * 21},
        {"asked": [[]], "seen": []},
        {"asked": [["a\nb"]], "seen": []},
        {"asked": asked, "seen": [{"context": "u1"}]},
        {"asked": asked, "seen": seen, "more": 1},
    ):
        refused = take(instances, here, heartbeat(contexts=wrong))
        assert refused.status == 400
        assert b"contexts" in refused.body
    assert len(told) == 1
