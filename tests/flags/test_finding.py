"""Flags by a filter, on both databases."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlmodel import select

from flags import change_requests, nudges, services
from flags.activity import keep
from flags.actor import Actor
from flags.audit import entries
from flags.audit_search import AUDIT_FIELDS, audit_conditions
from flags.changes import parse_change
from flags.cleanup import lifecycles
from flags.errors import InvalidInputError
from flags.filters import parse_filter
from flags.finding import FLAG_FIELDS, Wanted, find_flags
from flags.models import FlagEnvironment
from flags.request_rows import Writing
from tests.flags.conftest import NOW

PARTLY = {"serve": {"split": {"weights": {"on": 1}, "coverage": 0.25}}}


@pytest.fixture
def filled(shop: Any) -> Any:
    """Give a shop with a flag in each state; ``checkout`` is there already, and off."""
    shop.create({"key": "100%_sure", "name": "Delivery date", "owner": "ada@example.org"})
    shop.create({"key": "banner", "owner": "Growth", "client": True, "description": "On top"})
    shop.create({"key": "limit", "type": "integer", "variants": {"low": {"value": 1}}})
    shop.create({"key": "old"})
    shop.change({"do": "turn_on"}, flag="banner")
    shop.change({"do": "turn_on"}, {"do": "add_rule", "rule": PARTLY}, flag="100%_sure")
    shop.change({"do": "kill"}, flag="limit", environment="staging")
    shop.change({"do": "archive"}, flag="old")
    return shop


def keys(shop: Any, text: str, environment: str | None = "production", **options: Any) -> list[str]:
    asked = parse_filter(text, FLAG_FIELDS, now=shop.now)
    wanted = Wanted(asked, environment, me="Ada@example.org", **options)
    with shop.database.read() as session:
        return [each.key for each in find_flags(session, shop.project, wanted).flags]


FOUND = (
    ("", "100%_sure banner checkout limit"),
    ("delivery", "100%_sure"),
    ('"0%_s"', "100%_sure"),
    ('"0%s"', ""),
    ("-delivery -checkout", "banner limit"),
    ("key:*ann*,LIMIT", "banner limit"),
    ("key:100%_*", "100%_sure"),
    ("key:1*%s*", ""),
    ("owner:me", "100%_sure"),
    ("owner:none", "checkout limit"),
    ("-owner:me,none", "banner"),
    ("has:owner", "100%_sure banner"),
    ("state:on", "banner"),
    ("state:partial", "100%_sure"),
    ("state:off", "checkout limit"),
    ("state:killed", ""),
    ("state:killed env:staging", "limit"),
    ("-state:off", "100%_sure banner"),
    ("type:integer", "limit"),
    ("is:client", "banner"),
    ("is:archived", "old"),
    ("is:archived,client -key:old", "banner"),
    ("has:experiment", ""),
    ("needs:me", ""),
)


def test_a_filter_finds_what_it_says(filled: Any) -> None:
    for text, found in FOUND:
        assert (text, keys(filled, text)) == (text, found.split())


def test_flags_that_no_code_asks_for_are_found(filled: Any) -> None:
    with filled.database.write() as session:
        keep(session, filled.id(), {}, {"banner": NOW - dt.timedelta(days=40)}, now=NOW)
        keep(session, filled.id(), {}, {"limit": NOW}, now=NOW)
    assert keys(filled, "evaluated:<30d") == ["limit"]
    assert keys(filled, "evaluated:>30d") == ["banner"]
    assert keys(filled, "-evaluated:<30d") == ["100%_sure", "banner", "checkout"]
    assert keys(filled, "evaluated:<30d env:staging") == []


def test_without_an_environment_a_state_may_be_anywhere(filled: Any) -> None:
    assert keys(filled, "state:killed", environment=None) == ["limit"]
    assert keys(filled, "state:off", environment=None)[0] == "100%_sure"
    with pytest.raises(InvalidInputError, match="there is no environment 'moon'"):
        keys(filled, "env:moon")


def test_the_layers_above_name_flags_that_they_know(filled: Any) -> None:
    sets = {("needs", "me"): lambda _session: ["limit", "nothing"]}
    assert keys(filled, "needs:me", sets=sets) == ["limit"]
    assert keys(filled, "-needs:me", sets=sets) == ["100%_sure", "banner", "checkout"]


def test_what_waits_is_found_in_its_environment_and_project_only(filled: Any) -> None:
    document = {"mode": "schedule", "at": "2026-06-02T09:00:00Z", "flag": "banner"}
    change = parse_change({**document, "instructions": [{"do": "turn_off"}]})
    by = Writing(Actor("user", "bob@example.org"))
    with filled.database.write() as session:
        change_requests.submit(session, filled.project, "production", change, by=by, now=filled.now)
    assert keys(filled, "has:schedule") == ["banner"]
    assert keys(filled, "state:ramping") == ["banner"]
    assert keys(filled, "has:change env:staging") == []


def test_pages_follow_each_other_in_both_orders_and_end(filled: Any) -> None:
    filled.now = NOW + dt.timedelta(hours=2)
    filled.change({"do": "kill"}, flag="checkout")
    for text, expected in (
        ("", ["100%_sure", "banner", "checkout", "limit"]),
        ("sort:changed", ["checkout", "100%_sure", "banner", "limit"]),
        ("sort:changed changed:<1h", ["checkout"]),
    ):
        found: list[str] = []
        after = None
        wanted = Wanted(parse_filter(text, FLAG_FIELDS, now=filled.now), "production")
        while True:
            with filled.database.read() as session:
                page = find_flags(session, filled.project, wanted, after=after, limit=1)
            found += [each.key for each in page.flags]
            after = page.next_after
            if after is None:
                break
        assert found == expected
    with filled.database.read() as session, pytest.raises(InvalidInputError, match="cursor"):
        find_flags(session, filled.project, wanted, after="banner")


def test_whoever_writes_a_state_writes_its_word(filled: Any) -> None:
    with filled.database.read() as session:
        words = set(session.exec(select(FlagEnvironment.state_word)))
    assert words >= {"on", "off", "25 %", "killed"}
    assert "" not in words


AUDITED = (
    "by:deploy*",
    "by:me",
    "by:me action:kill",
    "at:<1d",
    '"100 % of"',
    "flag:bann* action:turn_*",
    "env:staging action:kill",
    "-env:staging action:kill",
)


def test_the_audit_is_found_by_who_what_where_and_when(filled: Any) -> None:
    filled.actor = Actor("token", "deploy#7")
    filled.now = NOW + dt.timedelta(days=2)
    filled.change({"do": "turn_off"}, flag="banner", comment="100 % of errors")
    found = {}
    for text in AUDITED:
        asked = parse_filter(text, AUDIT_FIELDS, now=filled.now)
        with filled.database.read() as session:
            where = audit_conditions(session, filled.project, asked, me="user:ada@example.org")
            rows = entries(session, filled.project_id, where=where)
            found[text] = [f"{row.action} {row.resource}" for row in rows]
    newest = "turn_off flag:banner"
    assert found["by:deploy*"] == found["at:<1d"] == found['"100 % of"'] == [newest]
    assert newest not in found["by:me"]
    assert set(found["by:me action:kill"]) == {"kill flag:limit"}
    assert found["flag:bann* action:turn_*"] == [newest, "turn_on flag:banner"]
    assert found["env:staging action:kill"] == ["kill flag:limit"]
    assert found["-env:staging action:kill"] == []
    asked = parse_filter("env:moon", AUDIT_FIELDS, now=filled.now)
    with filled.database.read() as session, pytest.raises(InvalidInputError, match="moon"):
        audit_conditions(session, filled.project, asked, me="")


def test_flags_that_had_their_time_are_found_until_somebody_changes_them(filled: Any) -> None:
    filled.now = NOW + dt.timedelta(days=60)
    filled.change({"do": "update_flag", "expires": "2026-06-10T00:00:00Z"}, flag="limit")
    later = filled.now + dt.timedelta(minutes=1)
    with filled.database.write() as session:
        project = services.get_project(session, filled.project)
        found = lifecycles(
            session, filled.project, services.list_flags(session, filled.project), now=later
        )
        assert nudges.keep(session, project.id, found, now=later) == 4
        assert nudges.keep(session, project.id, found, now=later) == 0
    sets = nudges.judged(filled.project, now=later)
    assert keys(filled, "is:past_expiry", sets=sets) == ["limit"]
    assert keys(filled, "is:stale", sets=sets) == ["checkout"]
    assert keys(filled, "is:safe_to_remove,stale", sets=sets) == ["100%_sure", "banner", "checkout"]
    filled.now = later + dt.timedelta(minutes=1)
    filled.change({"do": "turn_on"}, flag="checkout")
    assert keys(filled, "is:stale", sets=sets) == []
    with filled.database.write() as session:
        assert [each.flag for each in nudges.find(session, project.id, limit=9)] == [
            "100%_sure",
            "banner",
            "limit",
        ]
        assert nudges.keep(session, project.id, {}, now=later) == 4
        assert nudges.find(session, project.id, limit=9) == []
