"""Batches of events: stored whole and once, or refused whole, with the field named."""

from __future__ import annotations

import gzip
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.store.inbox import Inbox, inbox_path
from web.edge.events import take_batch
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
