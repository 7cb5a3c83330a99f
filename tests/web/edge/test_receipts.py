"""Waiting for SDKs to follow: woken by what happens, bounded, and of no weight."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from flags.database import Database
from flags.heartbeats import SILENT_AFTER, Heartbeat, record
from flags.receipts import receipt_of
from web.edge import receipts as module
from web.edge.loader import Loader
from web.edge.problems import Answer
from web.edge.receipts import Receipts
from web.edge.requests import ClientGoneError
from web.edge.watcher import Watcher
from web.prefer import MADE, made, wait_seconds

NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)


def told(here: int, number: int, revision: int | None, **changes: Any) -> Heartbeat:
    said: dict[str, Any] = {
        "environment_id": here,
        "id": f"0197a0b0-0000-7000-8000-{number:012}",
        "sdk": "flagstone-python 0.1.0",
        "runtime": "",
        "host": f"host-{number}",
        "revision": revision,
        "etag": None,
        "source": "stream",
        "started_at": NOW - dt.timedelta(hours=1),
        "seen_at": NOW,
        "events": {},
        "unknown_flags": [],
        "defaults": None,
        "defaults_complete": True,
    }
    return Heartbeat(**{**said, **changes})


@pytest.fixture
def here(control: Any, database: Database, boolean_flag: Callable[..., Any]) -> int:
    """An environment at revision 3 with two clients, one of them behind."""
    number: int = control.environment()
    for _ in range(3):
        control.publish(number, {"checkout": boolean_flag()})
    with database.write() as session:
        record(session, [told(number, 1, 3), told(number, 2, 2)])
    return number


def hear(database: Database, *heartbeats: Heartbeat) -> None:
    with database.write() as session:
        record(session, heartbeats)


async def stay() -> Any:
    await asyncio.Event().wait()


async def leave() -> Any:
    return {"type": "http.disconnect"}


def answer_of(here: int, revision: int) -> Answer:
    headers = ((MADE.lower().encode(), made([(here, revision)]).encode()), (b"etag", b'"3"'))
    return Answer(200, headers, orjson.dumps({"revision": revision}))


def run(
    database: Database, test: Callable[[Receipts], Awaitable[Any]], *, watched: bool = False
) -> Any:
    """Run a test with what waits, on an event loop."""

    async def main() -> Any:
        receipts = Receipts(NOW.timestamp)
        receipts.start(database)
        watcher = Watcher(
            Loader(database), lambda _: None, safety_poll_seconds=30, noticed=receipts.notice
        )
        if watched:
            watcher.start()
        try:
            return await test(receipts)
        finally:
            receipts.close()
            watcher.stop()

    return asyncio.run(main())


async def hold(
    receipts: Receipts, here: int, revision: int, wait: int, receive: Any = stay
) -> tuple[int, dict[str, Any], dict[bytes, bytes]]:
    headers = [(b"prefer", b"wait=%d" % wait)]
    answer = await receipts.hold(answer_of(here, revision), headers, receive)
    return answer.status, orjson.loads(answer.body), dict(answer.headers)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (["wait=5"], 5),
        (["respond-async, wait=10"], 10),
        (["respond-async", 'WAIT = "7" ; foo'], 7),
        (['other="a, wait=3"'], None),
        (["wait=5, wait=9"], 5),
        (["wait=100000"], 30),
        (["wait=0"], 0),
        (["wait=soon", "wait=-1", "waiting=4", ""], None),
        ([], None),
    ],
)
def test_a_preference_is_read_as_the_standard_says(headers: list[str], seconds: int | None) -> None:
    assert wait_seconds(headers) == seconds


def test_only_who_serves_the_revision_or_a_newer_one_that_exists_counts(
    control: Any, database: Database, here: int, boolean_flag: Callable[..., Any]
) -> None:
    control.publish(here, {"checkout": boolean_flag()})
    gone = NOW - SILENT_AFTER - dt.timedelta(seconds=1)
    hear(
        database,
        told(here, 3, 4),  # newer
        told(here, 4, None),
        told(here, 5, 3, etag="of another past"),
        told(here, 6, 9),  # a revision that there never was
        told(here, 7, 2, seen_at=gone),
        told(here, 8, 3, seen_at=gone),
    )
    with database.read() as session:
        receipt = receipt_of(session, here, 3, now=NOW)
    assert receipt.instances == {"applied": 2, "behind": 3, "without_flags": 1, "silent": 2}
    assert {each.host for each in receipt.stragglers} == {"host-2", "host-4", "host-5", "host-6"}
    assert {each.host for each in receipt.silent} == {"host-7", "host-8"}
    assert (receipt.converged, receipt.waiting, receipt.living) == (False, 4, 6)


def test_an_answer_is_held_until_the_last_one_is_heard_of(database: Database, here: int) -> None:
    async def test(receipts: Receipts) -> Any:
        held = asyncio.create_task(hold(receipts, here, 3, 30))
        await until(lambda: receipts.waiting == 1)
        # Another process hears of it, and writes it: this one is told by the database.
        thread = threading.Thread(target=hear, args=(database, told(here, 2, 3)))
        thread.start()
        found = await asyncio.wait_for(held, 25)
        thread.join()
        return found

    status, body, headers = run(database, test, watched=True)
    assert status == 200
    assert headers == {b"etag": b'"3"', b"preference-applied": b"wait=30"}
    assert body["receipt"]["instances"]["applied"] == 2
    assert body["receipt"]["environment"] == "production"
    assert body["receipt"]["seconds"] < 25


def test_when_time_is_up_the_stragglers_are_named(database: Database, here: int) -> None:
    status, body, _ = run(database, lambda receipts: hold(receipts, here, 3, 0))
    assert status == 202
    (straggler,) = body["receipt"]["stragglers"]
    assert (straggler["host"], straggler["state"], straggler["revision"]) == ("host-2", "behind", 2)
    assert body["receipt"]["silent"] == []


def test_what_asks_for_nothing_or_changed_nothing_is_answered_at_once(
    database: Database, here: int
) -> None:
    async def test(receipts: Receipts) -> None:
        plain = await receipts.hold(answer_of(here, 3), [], stay)
        assert (plain.status, plain.headers) == (200, ((b"etag", b'"3"'),))
        read = Answer(200, ((b"etag", b'"3"'),), b"{}")
        assert await receipts.hold(read, [(b"prefer", b"wait=9")], stay) is read
        refused = answer_of(here, 3)._replace(status=409)
        assert (await receipts.hold(refused, [(b"prefer", b"wait=9")], stay)).status == 409

    run(database, test)


def test_a_caller_that_leaves_is_waited_for_no_longer(database: Database, here: int) -> None:
    async def test(receipts: Receipts) -> None:
        with pytest.raises(ClientGoneError):
            await hold(receipts, here, 3, 30, leave)
        assert receipts.waiting == 0
        assert receipts._rooms == {}

    run(database, test)


def test_no_more_wait_than_may_and_the_others_are_answered_without_a_receipt(
    database: Database, here: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITERS", 3)

    async def test(receipts: Receipts) -> Any:
        reads = 0
        read = receipts._read

        def counted(*key: int) -> Any:
            nonlocal reads
            reads += 1
            return read(*key)

        receipts._read = counted  # type: ignore[method-assign]
        held = [asyncio.create_task(hold(receipts, here, 3, 30)) for _ in range(3)]
        await until(lambda: receipts.waiting == 3)
        status, body, headers = await hold(receipts, here, 3, 30)
        assert (status, "receipt" in body, b"preference-applied" in headers) == (200, False, False)
        await asyncio.sleep(0.3)
        # Nothing was committed: whoever waits does not ask the database again and again.
        assert reads <= 2
        receipts.close()
        return await asyncio.gather(*held)

    found = run(database, test)
    # A service that stops lets them go, with what is known.
    assert [status for status, _, _ in found] == [202] * 3


def test_a_database_that_fails_costs_the_receipt_and_not_the_answer(
    database: Database, here: int
) -> None:
    async def test(receipts: Receipts) -> Any:
        def broken(*_: int) -> Any:
            raise RuntimeError("no database")

        receipts._read = broken  # type: ignore[method-assign]
        return await hold(receipts, here, 3, 0)

    status, body, headers = run(database, test)
    assert (status, body) == (200, {"revision": 3})
    assert b"preference-applied" not in headers


def test_a_change_of_several_environments_waits_for_each_and_tells_of_each(
    control: Any, database: Database, here: int, boolean_flag: Callable[..., Any]
) -> None:
    other: int = control.environment("staging")
    control.publish(other, {"checkout": boolean_flag()})
    hear(database, told(here, 2, 3), told(other, 9, None))
    answer = Answer(201, ((MADE.lower().encode(), made([(here, 3), (other, 1)]).encode()),), b"{}")

    async def test(receipts: Receipts) -> Any:
        early = await receipts.hold(answer, [(b"prefer", b"wait=0")], stay)
        held = asyncio.create_task(receipts.hold(answer, [(b"prefer", b"wait=30")], stay))
        await until(lambda: receipts.waiting == 1)
        thread = threading.Thread(target=hear, args=(database, told(other, 9, 1)))
        thread.start()
        found = await asyncio.wait_for(held, 25)
        thread.join()
        assert (receipts.waiting, receipts._rooms) == (0, {})
        return early, found

    early, found = run(database, test, watched=True)
    assert (early.status, found.status) == (202, 201)
    first, second = orjson.loads(early.body)["receipts"]
    assert (first["environment"], first["converged"]) == ("production", True)
    assert (second["environment"], second["converged"]) == ("staging", False)
    assert [each["host"] for each in second["stragglers"]] == ["host-9"]
    body = orjson.loads(found.body)
    assert all(each["converged"] for each in body["receipts"])
    assert body["receipt"] == body["receipts"][0]
