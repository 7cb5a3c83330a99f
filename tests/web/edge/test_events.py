"""Batches of events: stored whole and once, or refused whole, with the field named."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.store.inbox import Inbox, inbox_path
from experiments.store.opening import open_front
from experiments.store.quality import QualityHour
from web.edge.events import Intake, take_batch
from web.edge.metrics import Metrics
from web.edge.problems import Answer


def event(**changes: Any) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "type": "track",
        "time": time.time(),
        "unit": "u1",
        "name": "purchase",
        "value": 1.5,
        **changes,
    }


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    made = Inbox(inbox_path(tmp_path), capacity=10)
    yield made
    made.close()


def take(inbox: Inbox, body: bytes, **headers: str) -> Answer:
    encoded = {name: value.encode() for name, value in headers.items()}
    return take_batch(inbox, body, environment_id=1, received=time.time(), **encoded)


@pytest.mark.parametrize(
    ("body", "headers", "status", "field"),
    [
        (b"", {}, 400, "body"),
        (b"{", {}, 400, "body"),
        (b"[]", {}, 400, None),
        (b"null", {}, 400, None),
        (b"{}", {}, 400, "events"),
        (b'{"events": 1}', {}, 400, "events"),
        (b'{"events": [1]}', {}, 400, "events[0]"),
        (b'{"events": [' * 1000, {}, 400, None),
        (b'{"events": "\xff"}', {}, 400, None),
        (json.dumps({"events": [event(), event(unit="")]}).encode(), {}, 400, "events[1].unit"),
        (json.dumps({"events": [event(unit=7)]}).encode(), {}, 400, "events[0].unit"),
        (json.dumps({"events": [event(value="1")]}).encode(), {}, 400, "events[0].value"),
        (json.dumps({"events": [event(type="x")]}).encode(), {}, 400, "events[0].type"),
        (json.dumps({"events": [event()] * 1001}).encode(), {}, 400, "events"),
        (b"{}", {"content_type": "text/plain"}, 400, "Content-Type"),
        (b"{}", {"content_encoding": "br"}, 400, "Content-Encoding"),
        (b"{}", {"content_encoding": "gzip"}, 400, "Content-Encoding"),
        (gzip.compress(b" " * (2 << 20), mtime=0), {"content_encoding": "gzip"}, 413, None),
        (b" " * (2 << 20), {}, 413, None),
    ],
)
def test_a_bad_batch_is_refused_whole(
    inbox: Inbox, body: bytes, headers: dict[str, str], status: int, field: str | None
) -> None:
    answer = take(inbox, body, **headers)
    assert answer.status == status, answer.body
    assert (b"content-type", b"application/problem+json") in answer.headers
    if field is not None:
        assert json.loads(answer.body)["field"] == field
    assert inbox.waiting() == 0


def test_a_good_batch_is_counted(inbox: Inbox) -> None:
    first, second = event(), event()
    body = json.dumps({"events": [first, second]}).encode()
    assert json.loads(take(inbox, body).body) == {"accepted": 2, "duplicates": 0}
    assert json.loads(take(inbox, body).body) == {"accepted": 0, "duplicates": 2}
    assert inbox.waiting() == 2


def test_a_full_inbox_is_503_and_says_when_to_come_back(inbox: Inbox) -> None:
    body = json.dumps({"events": [event() for _ in range(11)]}).encode()
    answer = take(inbox, body)
    assert answer.status == 503
    assert int(dict(answer.headers)[b"retry-after"]) >= 1
    assert inbox.waiting() == 0


async def send(intake: Intake, *events: dict[str, Any], environment_id: int = 1) -> int:
    answer = await intake.take(
        json.dumps({"events": events}).encode(),
        environment_id=environment_id,
        received=NOON,
        content_type=b"application/json",
        content_encoding=None,
    )
    return answer.status


NOON = 20_000.5 * 86_400
HOUR = int(NOON // 3_600)


def test_how_good_events_were_is_counted_by_environment_and_hour(tmp_path: Path) -> None:
    told: Counter[tuple[int, str]] = Counter()

    def counted(environment_id: int, counts: Mapping[str, int]) -> None:
        for kind, events in counts.items():
            told[environment_id, kind] += events

    first = event(time=NOON)
    good = [first, event(time=NOON + 299), event(time=NOON - 3_599)]
    odd = [first, event(time=NOON + 301), event(time=NOON - 3_601), event(time=NOON - 80 * 86_400)]
    intake = Intake(tmp_path, counted)
    old = [event(time=NOON - 91 * 86_400), first, event(time=NOON - 95 * 86_400)]

    async def everything() -> list[int]:
        return [
            await send(intake, *good),
            await send(intake, *odd),
            await send(intake, *old, event(time=NOON + 3_601)),
            await send(intake, event(time=NOON + 4_000, name="x"), environment_id=2),
            await send(intake, event(unit="")),
        ]

    assert asyncio.run(everything()) == [200, 200, 400, 400, 400]
    intake.close()
    expected = QualityHour(HOUR, received=7, duplicate=1, late=2, ahead=1, too_old=2)
    front = open_front(tmp_path)
    assert front.quality(1, since=NOON) == [replace(expected, too_far_ahead=1)]
    assert front.quality(2, since=NOON) == [QualityHour(HOUR, too_far_ahead=1)]
    front.close()
    assert told[1, "received"] == 7
    assert told[1, "late"] == told[1, "too_old"] == 2
    assert told[2, "too_far_ahead"] == 1


def test_counts_are_written_by_themselves_soon_after(tmp_path: Path) -> None:
    intake = Intake(tmp_path, flush_seconds=0.0)
    front = open_front(tmp_path)

    async def until_written() -> None:
        await send(intake, event(time=NOON))
        while not front.quality(1, since=NOON):
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(until_written(), 20))
    intake.close()
    assert front.quality(1, since=NOON) == [QualityHour(HOUR, received=1)]
    front.close()


def test_the_quality_of_events_is_a_metric() -> None:
    metrics = Metrics()
    metrics.count_events("shop/production", {"received": 3, "late": 1})
    metrics.count_events("shop/production", {"received": 1})
    text = metrics.render().decode()
    assert 'flagstone_events_total{flag_set="shop/production",kind="received"} 4.0' in text
    assert 'flagstone_events_total{flag_set="shop/production",kind="late"} 1.0' in text


@pytest.mark.postgresql
def test_events_may_be_kept_in_postgresql(postgresql_url: str) -> None:
    intake = Intake(postgresql_url)
    intake.check()
    first = event(time=NOON)

    async def twice() -> list[int]:
        return [await send(intake, first), await send(intake, first, event(time=NOON, unit="\0"))]

    assert asyncio.run(twice()) == [200, 200]
    intake.close()
    front = open_front(postgresql_url)
    assert front.quality(1, since=NOON) == [QualityHour(HOUR, received=3, duplicate=1)]
    assert [found.events for found in front.recent(1, since=NOON)] == [2]
    front.close()


@pytest.mark.postgresql
def test_a_database_that_is_away_is_503_and_says_when_to_come_back() -> None:
    intake = Intake("postgresql://nobody@127.0.0.1:1/none")
    assert asyncio.run(send(intake, event(time=NOON))) == 503
    intake.close()
