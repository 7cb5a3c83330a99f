"""``flagstone events`` against a real service, and against a store on this machine."""

from __future__ import annotations

import datetime as dt
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from experiments.store.base import Event
from experiments.store.opening import open_front, open_store
from web.cli.events import Following
from web.cli.remote import Remote


def test_what_comes_in_is_shown_by_hour_and_by_name(own: Any, wait_until: Any) -> None:
    remote = Remote(own.url, own.token, own.project)
    key = remote.post(
        remote.project_path("tokens"), {"kind": "srv", "name": "shop", "environment": "staging"}
    )["token"]
    now = time.time()
    batch = {
        "events": [
            {"type": "track", "id": str(uuid.uuid4()), "unit": "u1", "name": "buy", "time": at}
            for at in (now, now - 7_200)
        ]
    }
    request = urllib.request.Request(
        f"{own.url}/sdk/v1/events",
        json.dumps(batch).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )

    def sent() -> bool:
        # A new key is known within a moment.
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
            return False

    for _ in range(2):
        wait_until(sent, seconds=60)

    def shown() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = own.ok("events", "quality", "-e", "staging")
        return found if sum(hour["received"] for hour in found) == 4 else []

    hours = wait_until(shown, seconds=60)
    assert sum(hour["late"] for hour in hours) == 2
    assert sum(hour["duplicate"] for hour in hours) == 2
    assert hours[0]["hour"].endswith(":00:00Z")
    document = remote.get(remote.project_path("environments", "staging", "events"))
    assert [(each["kind"], each["name"], each["events"]) for each in document["recent"]] == [
        ("tracks", "buy", 1)
    ]
    assert "late" in own.terminal("events", "quality", "-e", "staging").out
    with urllib.request.urlopen(f"{own.url}/metrics", timeout=60) as answer:
        metrics = answer.read().decode()
    flag_set = f"{own.project}/staging"
    assert f'flagstone_events_total{{flag_set="{flag_set}",kind="late"}} 2.0' in metrics


def test_status_says_what_the_store_on_this_machine_holds(alone: Any, tmp_path: Path) -> None:
    alone.variables = {"FLAGSTONE_DATA_DIR": str(tmp_path), "FLAGSTONE_EVENTS_KEEP_DAYS": "400"}
    nothing = alone.pipe("events", "status")
    assert nothing.code == 1
    assert "FLAGSTONE_EVENTS_URL" in nothing.error
    assert list(tmp_path.iterdir()) == []
    with closing(open_store(tmp_path / "events")) as store:
        events = [Event(uuid.uuid4().bytes, 1, day * 86_400.0, "u", name="buy") for day in (1, 9)]
        store.append(events)
        store.drain(time.time())
        store.append([events[0]._replace(id=b"0" * 16)])
    held = alone.ok("events", "status")
    assert (held["events"], held["waiting"], held["days"]) == (3, 1, 2)
    assert (held["oldest"], held["newest"]) == ("1970-01-02", "1970-01-10")
    assert held["kept"] == "400 days"


@pytest.mark.postgresql
def test_status_says_what_postgresql_holds(alone: Any, tmp_path: Path, postgresql_url: str) -> None:
    with closing(open_front(postgresql_url)) as front:
        front.append([Event(uuid.uuid4().bytes, 1, 86_400.0, "u", name="buy")])
    alone.variables = {
        "FLAGSTONE_DATA_DIR": str(tmp_path),
        "FLAGSTONE_EVENTS_URL": postgresql_url,
    }
    held = alone.ok("events", "status")
    assert (held["store"], held["days"], held["oldest"]) == ("PostgreSQL", 1, "1970-01-02")


def exposures(cli: Any, count: int) -> None:
    """Send exposures of the flag new to staging."""
    remote = Remote(cli.url, cli.token, cli.project)
    body = {"kind": "srv", "name": "tail", "environment": "staging"}
    key = remote.post(remote.project_path("tokens"), body)["token"]
    events = [
        {"type": "exposure", "id": str(uuid.uuid4()), "unit": f"ada-{n}@example.org",
         "flag": "new", "variant": "on", "rule": "all", "revision": 1, "time": time.time(),
         "attributes": {"mail": "ada@example.org", "country": "DE"}}
        for n in range(count)
    ]  # fmt: skip
    request = urllib.request.Request(
        f"{cli.url}/sdk/v1/events",
        json.dumps({"events": events}).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    for _ in range(1_000):
        try:
            urllib.request.urlopen(request, timeout=60).close()
        except urllib.error.HTTPError as error:
            # A new key is known within a moment.
            if error.code != 401:
                raise AssertionError(error.read()) from error
            time.sleep(0.05)
        else:
            return
    raise AssertionError


def test_events_are_followed_as_they_come_and_nobody_is_shown(own: Any) -> None:
    exposures(own, 2)
    answer = own.pipe("events", "tail", "-e", "staging", "--flag", "new", "--limit", "2")
    assert answer.code == 0
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert [(each["flag"], each["variant"], each["unit"]) for each in lines] == [
        ("new", "on", "•••")
    ] * 2
    assert lines[0]["attributes"] == {"mail": "•••@example.org", "country": "DE"}
    assert len({each["id"] for each in lines}) == 2
    assert "ada" not in answer.out
    told = own.terminal("events", "tail", "-e", "staging", "--type", "exposure", "--limit", "1")
    assert "exposure  new  on  all" in told.out


def test_following_ends_at_an_interrupt_and_shows_what_came_meanwhile(own: Any) -> None:
    command = [sys.executable, "-m", "web.cli", "events", "tail", "-e", "staging"]
    process = subprocess.Popen(
        command,
        env=own.environment,
        stdout=subprocess.PIPE,
        text=True,
        # Started in the background of a shell, tests hand on that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    exposures(own, 1)
    assert json.loads(process.stdout.readline())["type"] in {"exposure", "event"}
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_whoever_follows_is_given_each_event_once_and_keeps_little() -> None:
    now = dt.datetime.now(dt.UTC)

    def event(number: int, seconds: float) -> dict[str, Any]:
        return {"id": str(number), "time": (now + dt.timedelta(seconds=seconds)).isoformat()}

    held = [event(n, -n / 10) for n in range(300)]
    asked: list[str | None] = []

    def ask(*, since: str | None, limit: int) -> dict[str, Any]:
        asked.append(since)
        found = [each for each in held if since is None or each["time"] >= since]
        return {"items": sorted(found, key=lambda each: each["time"])[::-1][:limit], "more": False}

    following = Following(ask)
    assert [each["id"] for each in following.fresh()] == [str(n) for n in range(300)][::-1]
    # What is late by some seconds is still met; a clock that runs ahead hides nobody.
    held += [event(1000, -4), event(1001, 3600)]
    assert {each["id"] for each in following.fresh()} == {"1000", "1001"}
    held.append(event(1002, 0.1))
    assert [each["id"] for each in following.fresh()] == ["1002"]
    assert following.fresh() == []
    assert asked[0] is None
    assert len(following._seen) < 120
