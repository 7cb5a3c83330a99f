"""What is to become of a flag, told from facts; and the facts, gathered from a project."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from flags import heartbeats
from flags.cleanup import expiring, lifecycles
from flags.errors import InvalidInputError
from flags.lifecycle import Facts, Lifecycle, Place, constant_variant, lifecycle_of
from flags.services import get_project, list_flags
from tests.flags.conftest import NOW, Shop

DAY = dt.timedelta(days=1)
VARIANTS = {"off": {"value": False, "on": False}, "on": {"value": True}}


def place(days: float, constant: str | None = "on", **more: Any) -> Place:
    given = {"environment": "production", "production": True, "state_word": "on"}
    given |= {"killed": False, "touched": True}
    return Place(**{**given, **more}, constant=constant, since=NOW - days * DAY)  # type: ignore[arg-type]


def facts(*places: Place, **more: Any) -> Facts:
    given: dict[str, Any] = {
        "key": "a",
        "kind": "temporary",
        "archived": False,
        "owner": "growth",
        "expires": None,
        "created_at": NOW - 90 * DAY,
        "variants": VARIANTS,
        "places": places or (place(41),),
        "callers": 0,
    }
    return Facts(**{**given, **more})


PART = {"constant": None, "state_word": "25 %"}
STAGING = {"environment": "staging", "production": False}
CASES: list[tuple[Facts, str, str]] = [
    (
        facts(),
        "safe_to_remove",
        "true for 41 days, 0 dependants, no instance asks for it, forward value `true`.",
    ),
    (facts(callers=1), "safe_to_remove", "1 instance still asks for it"),
    (facts(callers=3), "safe_to_remove", "3 instances still ask for it"),
    (facts(callers=None), "safe_to_remove", "whether code still asks for it is not known"),
    (facts(evaluated_at=NOW - 9 * DAY), "safe_to_remove", "(last evaluated 9 days ago)"),
    (facts(callers=None, evaluated_at=NOW - DAY), "safe_to_remove", "last evaluated 1 day ago"),
    (facts(place(20, "off")), "safe_to_remove", "100 % false for 20 days"),
    (facts(place(20), place(1, **PART, **STAGING)), "safe_to_remove", "20 days"),
    (facts(place(13)), "moving", "Still moving: 100 % true for 13 days."),
    (facts(place(2, **PART)), "moving", "Still moving: 25 % in production, changed 2 days ago."),
    (facts(place(40), place(40, "off", environment="eu")), "stale", "and on in eu for 40 days"),
    (facts(place(30, **PART)), "stale", "Stale: 25 % in production for 30 days"),
    (facts(place(29, **PART)), "moving", "29 days ago"),
    (
        facts(dependants=("flag b", "segment c")),
        "waits",
        "Waits for 2 dependants: flag b and segment c; 100 % true for 41 days.",
    ),
    (facts(under=("experiment x",)), "waits", "Waits for experiment x."),
    (facts(waiting=(7, 9)), "waits", "Waits for change 7 and change 9."),
    (facts(place(3, "off", killed=True)), "killed", "Killed in production for 3 days"),
    (facts(place(0.5, "off", killed=True)), "moving", "changed 0 days ago"),
    (facts(place(20, "off", touched=False), created_at=NOW - 20 * DAY), "new", "not turned on"),
    (facts(place(40, "off", touched=False), created_at=NOW - 40 * DAY), "stale", "never turned on"),
    (
        facts(place(40, "off", touched=False), place(3, **PART, **STAGING)),
        "moving",
        "Not in production yet: 25 % in staging.",
    ),
    (
        facts(place(40, "off", touched=False), place(30, **PART, **STAGING)),
        "stale",
        "Stale: 25 % in staging for 30 days, and never came to production.",
    ),
    (
        facts(place(40, "off", touched=False), place(3, **PART, **STAGING), expires=NOW),
        "expired",
        "It is 25 % in staging, and never came to production.",
    ),
    (facts(expires=NOW - 3 * DAY), "safe_to_remove", "Expired 3 days ago. Safe to remove"),
    (facts(place(1, **PART), expires=NOW), "expired", "Expired 0 days ago. It is 25 % in"),
    (facts(place(1), expires=NOW - DAY, dependants=("flag b",)), "expired", "1 dependant: flag b"),
    (facts(place(1, **PART), expires=NOW + DAY), "moving", "Still moving"),
    (facts(kind="permanent"), "permanent", "Permanent: it is meant to stay."),
    (facts(place(1, **PART), kind="permanent", expires=NOW), "expired", "finish it"),
    (facts(archived=True), "archived", "Archived"),
    (facts(owner=""), "safe_to_remove", "It has no owner."),
    (facts(place(1), owner=""), "moving", "Still moving: 100 % true for 1 day."),
]


@pytest.mark.parametrize(("given", "verdict", "words"), CASES)
def test_a_verdict_follows_from_the_facts(given: Facts, verdict: str, words: str) -> None:
    found = lifecycle_of(given, NOW)
    assert found.verdict == verdict
    assert words in found.sentence
    assert found.nudge is (verdict in {"safe_to_remove", "expired", "stale", "killed"})


def test_the_forward_value_is_what_everybody_gets() -> None:
    found = lifecycle_of(facts(), NOW)
    assert (found.variant, found.value, found.days) == ("on", True, 41)


EVERYBODY = {"id": "r", "when": True, "serve": "on"}
HALF = {"split": {"of": 100, "missing": "skip", "to": [{"variant": "on", "ranges": [[0, 50]]}]}}
FULL = {"split": {"of": 100, "missing": "skip", "to": [{"variant": "on", "ranges": [[0, 100]]}]}}


@pytest.mark.parametrize(
    ("more", "variant"),
    [
        ({}, "off"),
        ({"default": "on"}, "on"),
        ({"default": None}, None),
        ({"enabled": False, "default": "on"}, "off"),
        ({"killed": True, "default": "on"}, "off"),
        ({"rules": [EVERYBODY]}, "on"),
        ({"rules": [{**EVERYBODY, "when": {"segment": "eu"}}]}, None),
        ({"rules": [{**EVERYBODY, "when": {"segment": "eu"}}], "default": "on"}, "on"),
        ({"rules": [{**EVERYBODY, "end": "2030-01-01T00:00:00Z"}]}, None),
        ({"rules": [{**EVERYBODY, "serve": HALF}], "default": "on"}, "on"),
        # Without a unit, a split is skipped.
        ({"rules": [{**EVERYBODY, "serve": FULL}]}, None),
        ({"rules": [EVERYBODY], "targets": [{"variant": "off", "keys": ["u"]}]}, None),
        ({"prerequisites": [{"flag": "b", "variants": ["on"]}]}, None),
    ],
)
def test_what_everybody_gets_is_told_from_the_rules(more: dict[str, Any], variant: Any) -> None:
    flag = {"enabled": True, "killed": False, "off": "off", "default": "off"}
    document = {**flag, "prerequisites": [], "targets": [], "rules": [], **more}
    assert constant_variant(document) == variant


def judged(shop: Shop, **more: Any) -> dict[str, Lifecycle]:
    with shop.database.read() as session:
        views = list_flags(session, shop.project, archived=None)
        return lifecycles(session, shop.project, views, now=shop.now, **more)


def one(shop: Shop, key: str) -> Lifecycle:
    with shop.database.read() as session:
        views = [each for each in list_flags(session, shop.project) if each.key == key]
        return lifecycles(session, shop.project, views, now=shop.now)[key]


def test_the_facts_are_gathered_from_the_whole_project(shop: Shop) -> None:
    for key in ("base", "über", "alone"):
        shop.create({"key": key, "owner": "growth"})
    shop.change(
        {"do": "set_default", "variant": "on", "flag": "base"}, {"do": "turn_on", "flag": "base"}
    )
    needs = {"do": "set_prerequisites", "prerequisites": [{"flag": "base", "variants": ["on"]}]}
    asks = {"flag": "über", "variants": ["on"]}
    shop.change(needs, environment="staging")
    shop.change({"do": "add_segment", "segment": "s", "condition": asks})
    shop.now += 20 * DAY
    found = judged(shop)
    assert found["base"].verdict == "waits"
    assert found["base"].dependants == ("flag checkout",) == one(shop, "base").dependants
    assert found["über"].dependants == ("segment s",) == one(shop, "über").dependants
    assert found["alone"].verdict == "new"
    assert judged(shop, under={"alone": ["experiment x"]})["alone"].verdict == "waits"
    shop.change({"do": "set_prerequisites", "prerequisites": []}, environment="staging")
    assert judged(shop)["base"].sentence == (
        "Safe to remove: 100 % true for 20 days, 0 dependants, "
        "whether code still asks for it is not known, forward value `true`."
    )


@pytest.mark.parametrize(("complete", "callers"), [(True, 1), (False, None)])
def test_instances_say_whether_anybody_asks(
    shop: Shop, complete: bool, callers: int | None
) -> None:
    defaults = '{"checkout":[{"type":"string","value":"old"}]}'
    heartbeat = heartbeats.Heartbeat(
        environment_id=shop.id(),
        id="one",
        sdk="python",
        runtime="3.11",
        host=None,
        revision=1,
        etag=None,
        source="service",
        started_at=NOW,
        seen_at=NOW,
        events={},
        unknown_flags=[],
        defaults=defaults,
        defaults_complete=complete,
    )
    with shop.database.write() as session:
        heartbeats.record(session, [heartbeat])
    shop.create({"key": "other"})
    found = judged(shop)
    assert found["checkout"].callers == callers
    assert found["other"].callers == (None if callers is None else 0)


def test_a_flag_says_until_when_it_is_wanted_and_who_is_told(shop: Shop) -> None:
    shop.create({"key": "soon", "expires": "2026-06-04T12:00:00+02:00", "owner": "growth"})
    shop.create({"key": "later", "expires": "2026-07-04T12:00:00Z", "kind": "permanent"})
    assert (shop.flag("soon").expires, shop.flag("soon").kind) == (
        "2026-06-04T10:00:00Z",
        "temporary",
    )
    shop.change({"do": "update_flag", "expires": "2026-05-31T00:00:00Z"})
    with shop.database.read() as session:
        project = get_project(session, shop.project)
        found = expiring(session, project=project, now=NOW)
        last = expiring(session, project=project, now=NOW + dt.timedelta(days=2, hours=22))
    said = [(each.flag, each.sentence) for each in found]
    assert said == [("soon", "it expires in 3 days (owner: growth).")]
    assert [each.sentence for each in last] == ["it expires today (owner: growth)."]
    shop.change({"do": "update_flag", "expires": None, "kind": "permanent"})
    assert (shop.flag().expires, shop.flag().kind) == (None, "permanent")
    with pytest.raises(InvalidInputError) as refusal:
        shop.change({"do": "update_flag", "expires": "soon"})
    assert refusal.value.field == "instructions[0].expires"
