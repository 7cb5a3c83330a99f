"""What serves more in one environment was on in another first, and for how long."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from flags.approvals import protect
from flags.audit import entries
from flags.changes import ChangeResult, apply_change, parse_change, preview_change
from flags.errors import InvalidInputError, NotAllowedError, NotFoundError, NotYetElsewhereError
from flags.imports import import_flag_set
from tests.flags.conftest import ADA, NOW, Shop

HOUR = dt.timedelta(hours=1)
EU = {"attr": "country", "op": "in", "values": ["DE"]}
ON = [{"do": "set_default", "variant": "new"}, {"do": "turn_on"}]


def ramp(coverage: float, **more: Any) -> dict[str, Any]:
    split = {"split": {"weights": {"new": 1}, "coverage": coverage, "salt": str(coverage)}}
    return {"do": "add_rule", "rule": {"id": "r", "serve": split, **more}}


@pytest.fixture
def strict(shop: Shop) -> Shop:
    """Give a shop whose production asks for a day in staging."""
    with shop.database.write() as session:
        protect(
            session,
            shop.project,
            "production",
            after="staging",
            after_hours=24,
            actor=ADA,
            now=NOW,
        )
    return shop


def later(shop: Shop, hours: float) -> Shop:
    shop.now += hours * HOUR
    return shop


def previewed(shop: Shop, *instructions: dict[str, Any]) -> ChangeResult:
    change = parse_change({"instructions": list(instructions), "flag": "checkout"})
    with shop.database.read() as session:
        return preview_change(session, shop.project, "production", change, now=shop.now)


def test_what_is_not_on_there_may_not_be_on_here(strict: Shop) -> None:
    with pytest.raises(NotYetElsewhereError, match="it is not on there like this") as refusal:
        strict.change(*ON)
    assert refusal.value.field == "flags.checkout"
    assert strict.document()["enabled"] is False
    (blocked,) = previewed(strict, *ON).blocked_by
    assert (blocked.flag, blocked.after, blocked.allowed_at) == ("checkout", "staging", None)


def test_it_may_when_it_has_been_on_there_for_long_enough(strict: Shop) -> None:
    strict.change(*ON, environment="staging")
    later(strict, 23)
    with pytest.raises(NotYetElsewhereError, match="for 23 of 24 hours"):
        strict.change(*ON)
    (blocked,) = previewed(strict, *ON).blocked_by
    assert blocked.allowed_at == NOW + 24 * HOUR
    later(strict, 1)
    assert previewed(strict, *ON).blocked_by == []
    strict.change(*ON)


def test_a_break_there_begins_the_hours_again(strict: Shop) -> None:
    strict.change(*ON, environment="staging")
    later(strict, 20).change({"do": "kill"}, environment="staging")
    with pytest.raises(NotYetElsewhereError, match="not on there"):
        later(strict, 10).change(*ON)
    strict.change({"do": "unkill"}, environment="staging")
    with pytest.raises(NotYetElsewhereError, match="for 23 of 24"):
        later(strict, 23).change(*ON)
    later(strict, 1).change(*ON)


def test_other_changes_there_are_no_break(strict: Shop) -> None:
    strict.change(*ON, environment="staging")
    strict.create({"key": "other"})
    for _ in range(3):
        later(strict, 8)
        strict.change(
            {"do": "add_targets", "variant": "control", "keys": [str(strict.now)]},
            environment="staging",
        )
        strict.change({"do": "turn_on"}, environment="staging", flag="other")
    strict.change(*ON)


def test_who_has_it_for_everybody_there_may_ramp_it_here(strict: Shop) -> None:
    strict.change(*ON, environment="staging")
    later(strict, 24)
    strict.change(ramp(0.1), {"do": "turn_on"})
    strict.change({"do": "set_coverage", "rule": "r", "value": 0.6})
    strict.change({"do": "add_targets", "variant": "new", "keys": ["u1"]})


def test_the_same_people_the_same_value_and_no_others(strict: Shop) -> None:
    strict.change(ramp(0.5, when=EU), {"do": "turn_on"}, environment="staging")
    later(strict, 24)
    with pytest.raises(NotYetElsewhereError):
        strict.change(ramp(0.1), {"do": "turn_on"})
    strict.change(ramp(0.9, when=EU), {"do": "turn_on"})
    with pytest.raises(NotYetElsewhereError):
        strict.change({"do": "update_variant", "variant": "new", "value": "newer"})
    with pytest.raises(NotYetElsewhereError):
        strict.change(
            {"do": "update_variant", "variant": "new", "value": "newer"}, environment="staging"
        )


def test_to_take_away_never_waits(strict: Shop) -> None:
    strict.change(*ON, environment="staging")
    later(strict, 24)
    strict.change(ramp(0.5), {"do": "turn_on"})
    strict.change({"do": "kill"}, environment="staging")
    strict.change({"do": "set_coverage", "rule": "r", "value": 0.2})
    with pytest.raises(NotYetElsewhereError):
        strict.change({"do": "set_coverage", "rule": "r", "value": 0.3})
    strict.change({"do": "kill"})
    with pytest.raises(NotYetElsewhereError):
        strict.change({"do": "unkill"})
    strict.change({"do": "turn_off"})
    strict.change({"do": "unkill"})


def test_a_segment_means_the_same_in_both(strict: Shop) -> None:
    with_segment = [
        {"do": "add_segment", "segment": "eu", "condition": EU},
        ramp(1.0, when={"segment": "eu"}),
        {"do": "turn_on"},
    ]
    strict.change(*with_segment, environment="staging")
    later(strict, 24)
    other = {"do": "add_segment", "segment": "eu", "condition": True}
    with pytest.raises(NotYetElsewhereError):
        strict.change(other, *with_segment[1:])
    strict.change(*with_segment)
    wider = {"do": "update_segment", "segment": "eu", "condition": True}
    with pytest.raises(NotYetElsewhereError):
        strict.change(wider)
    strict.change(wider, environment="staging")
    later(strict, 24).change(wider)


def test_a_rule_with_a_time_of_its_own_counts_from_then(strict: Shop) -> None:
    start = (NOW + 10 * HOUR).isoformat()
    strict.change(ramp(1.0, start=start), {"do": "turn_on"}, environment="staging")
    with pytest.raises(NotYetElsewhereError, match="for 15 of 24"):
        later(strict, 25).change(ramp(0.5), {"do": "turn_on"})
    later(strict, 9).change(ramp(0.5), {"do": "turn_on"})


def test_prerequisites_are_not_dropped_here_alone(strict: Shop) -> None:
    strict.create({"key": "base"})
    needs = {"do": "set_prerequisites", "prerequisites": [{"flag": "base", "variants": ["on"]}]}
    strict.change(needs, *ON, environment="staging")
    later(strict, 24)
    strict.change(needs, *ON)
    with pytest.raises(NotYetElsewhereError):
        strict.change({"do": "set_prerequisites", "prerequisites": []})


def test_what_is_promoted_is_let_through(strict: Shop) -> None:
    strict.change(ramp(0.3, when=EU), {"do": "turn_on"}, environment="staging")
    promote = {"do": "promote", "source": "staging"}
    with pytest.raises(NotYetElsewhereError):
        strict.change(promote)
    later(strict, 24).change(promote)


def test_an_administrator_overrides_with_a_reason_that_is_kept(strict: Shop) -> None:
    change = parse_change({"instructions": ON, "flag": "checkout", "override": "the fair is today"})

    def apply(*, may_override: bool) -> None:
        with strict.database.write() as session:
            apply_change(
                session,
                strict.project,
                "production",
                change,
                actor=ADA,
                now=NOW,
                may_override=may_override,
            )

    with pytest.raises(NotAllowedError, match="administrator"):
        apply(may_override=False)
    apply(may_override=True)
    assert strict.document()["enabled"] is True
    with strict.database.read() as session:
        found = entries(session, strict.project_id, resource="environment:production")
    assert (found[0].action, found[0].comment) == ("override_after", "the fair is today")
    assert found[0].after["blocked_by"][0]["flag"] == "checkout"
    with pytest.raises(InvalidInputError, match="at once"):
        parse_change({"instructions": ON, "flag": "x", "override": "x", "mode": "request"})


def test_an_import_goes_where_it_is_on_first(strict: Shop) -> None:
    document = {"schema": 1, "flags": {}, "segments": {"eu": True}}
    with strict.database.write() as session, pytest.raises(NotYetElsewhereError):
        import_flag_set(
            session, strict.project, "production", document, preview=False, actor=ADA, now=NOW
        )


def test_environments_do_not_wait_for_each_other(strict: Shop) -> None:
    def set_after(environment: str, **settings: Any) -> None:
        with strict.database.write() as session:
            protect(session, strict.project, environment, actor=ADA, now=NOW, **settings)

    with pytest.raises(InvalidInputError, match="each would wait for the other"):
        set_after("staging", after="production")
    with pytest.raises(InvalidInputError):
        set_after("production", after="production")
    with pytest.raises(NotFoundError):
        set_after("production", after="moon")
    with pytest.raises(InvalidInputError):
        set_after("production", after_hours=-1)
    set_after("production", after="")
    strict.change(*ON)
