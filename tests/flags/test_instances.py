"""Who serves which revision, and what callers would get without the service."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from flags import instances, services
from flags.actor import SYSTEM
from flags.database import Database
from flags.drafts import FlagDraft
from flags.errors import InvalidInputError, NotFoundError
from flags.heartbeats import Heartbeat, record
from flags.instances import SILENT_AFTER, Fallback

NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def shop(database: Database) -> Database:
    with database.write() as session:
        services.create_project(session, key="shop", actor=SYSTEM, now=NOW)
    return database


def told(number: int, **changes: Any) -> Heartbeat:
    said = {
        "environment_id": 1,
        "id": f"0197a0b0-0000-7000-8000-{number:012}",
        "sdk": "flagstone-python 0.1.0",
        "runtime": "cpython 3.11.9 on linux",
        "host": None,
        "revision": 1,
        "etag": None,
        "source": "stream",
        "started_at": NOW - dt.timedelta(hours=1),
        "seen_at": NOW,
        "events": {"queued": 0, "spooled": 0, "sent": 0, "dropped": 0},
        "unknown_flags": [],
        "defaults": None,
        "defaults_complete": True,
        **changes,
    }
    if isinstance(said["defaults"], dict):
        said["defaults"] = json.dumps(said["defaults"], sort_keys=True)
    return Heartbeat(**said)


def test_each_client_is_current_behind_without_flags_or_silent(shop: Database) -> None:
    with shop.write() as session:
        record(
            session,
            [
                told(1),
                told(2, revision=0),
                told(3, revision=None),
                told(4, seen_at=NOW - SILENT_AFTER - dt.timedelta(seconds=1)),
                told(5, etag="of another past"),
                told(6, seen_at=NOW - SILENT_AFTER),
            ],
        )
    with shop.read() as session:
        found = instances.list_instances(session, "shop", "production", now=NOW)
        states = {item.id[-1]: item.state for item in found.items}
        assert states == {
            "1": "current",
            "2": "behind",
            "3": "without_flags",
            "4": "silent",
            "5": "behind",
            "6": "current",
        }
        assert found.counts == {"current": 2, "behind": 2, "without_flags": 1, "silent": 1}
        assert [item.id[-1] for item in found.items] == list("654321")
        assert (found.revision, found.more) == (1, False)
        stale = instances.list_instances(session, "shop", "production", now=NOW, stale=True)
        assert [item.id[-1] for item in stale.items] == list("5432")
        silent = instances.list_instances(session, "shop", "production", now=NOW, state="silent")
        assert [item.id[-1] for item in silent.items] == ["4"]
        elsewhere = instances.list_instances(session, "shop", "staging", now=NOW)
        assert (elsewhere.items, sum(elsewhere.counts.values())) == ([], 0)
        with pytest.raises(InvalidInputError):
            instances.list_instances(session, "shop", "production", now=NOW, state="asleep")
        with pytest.raises(NotFoundError):
            instances.list_instances(session, "shop", "nowhere", now=NOW)


def test_a_change_leaves_everybody_behind_until_they_say_otherwise(shop: Database) -> None:
    with shop.write() as session:
        record(session, [told(1), told(2)])
        draft = FlagDraft.model_validate(
            {"key": "f", "type": "boolean", "variants": {"on": {"value": True}}, "default": "on"}
        )
        services.create_flag(session, "shop", draft, actor=SYSTEM, now=NOW)
    with shop.write() as session:
        counts = instances.list_instances(session, "shop", "production", now=NOW).counts
        assert (counts["current"], counts["behind"]) == (0, 2)
        etag = instances.list_instances(session, "shop", "production", now=NOW).revision
        record(session, [told(2, revision=etag, seen_at=NOW)])
        counts = instances.list_instances(session, "shop", "production", now=NOW).counts
        assert (counts["current"], counts["behind"]) == (1, 1)


def test_pages_follow_each_other(shop: Database) -> None:
    with shop.write() as session:
        record(session, [told(number) for number in range(7)])
    met: list[str] = []
    before, more = None, True
    with shop.read() as session:
        while more:
            page = instances.list_instances(
                session, "shop", "production", now=NOW, before_id=before, limit=3
            )
            met += [item.id[-1] for item in page.items]
            before, more = page.items[-1].id, page.more
    assert met == list("6543210")


def test_fallbacks_say_what_callers_get_and_where_they_disagree(shop: Database) -> None:
    def of(value: Any, kind: str = "boolean") -> list[dict[str, Any]]:
        return [{"type": kind, "value": value}]

    with shop.write() as session:
        draft = FlagDraft.model_validate(
            {"key": "known", "type": "boolean", "variants": {"on": {"value": True}}}
        )
        services.create_flag(session, "shop", draft, actor=SYSTEM, now=NOW)
        record(
            session,
            [
                told(1, defaults={"known": of(False), "typo": of(1, "integer")}),
                told(2, defaults={"known": of(False), "typo": of(1, "integer")}),
                told(3, defaults={"known": of(True), "typo": of(1.0, "float")}),
                told(4, defaults={"known": [*of(False), {"type": "string"}]}),
                told(5, defaults={"gone": of(0)}, seen_at=NOW - dt.timedelta(hours=1)),
                told(6),
            ],
        )
    with shop.read() as session:
        known, typo = instances.fallbacks(session, "shop", "production", now=NOW)
    assert known == Fallback(
        "known",
        "boolean",
        [
            {"type": "boolean", "value": False, "instances": 3},
            {"type": "boolean", "value": True, "instances": 1},
            {"type": "string", "instances": 1},
        ],
        disagree=True,
    )
    assert (typo.flag, typo.flag_type, typo.disagree) == ("typo", None, True)
    assert [(d["type"], d["instances"]) for d in typo.defaults] == [("integer", 2), ("float", 1)]
