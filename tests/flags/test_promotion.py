"""What a promotion carries from one environment to another, and what it leaves there."""

from __future__ import annotations

from typing import Any

import pytest

from flags.canonical import same
from flags.comparison import Comparison, compare_environments
from flags.errors import FlagstoneError, InvalidInputError, NotFoundError
from flags.publish import load_segments
from flags.services import get_environment
from tests.flags.conftest import Shop

EU = {"attr": "country", "op": "in", "values": ["DE"]}
STATE = ("enabled", "killed", "off", "default", "prerequisites", "targets", "rules")
PROMOTE = {"do": "promote", "source": "staging"}


def split(coverage: float, **more: Any) -> dict[str, Any]:
    return {"split": {"weights": {"new": 1}, "coverage": coverage, **more}}


@pytest.fixture
def apart(shop: Shop) -> Shop:
    """Give a shop whose staging is ahead of its production."""
    shop.change(
        {"do": "add_segment", "segment": "eu", "condition": EU, "name": "Europe"},
        {"do": "add_segment", "segment": "deep", "condition": {"not": {"segment": "eu"}}},
        {"do": "add_rule", "rule": {"id": "r", "when": {"segment": "deep"}, "serve": split(0.5)}},
        {"do": "add_targets", "variant": "new", "keys": ["tester"]},
        {"do": "turn_on"},
        environment="staging",
    )
    return shop


def compared(shop: Shop, **options: Any) -> Comparison:
    with shop.database.read() as session:
        return compare_environments(session, shop.project, "staging", "production", **options)


def state(shop: Shop, environment: str = "production") -> dict[str, Any]:
    document = shop.document(environment=environment)
    return {name: document[name] for name in STATE}


def test_a_promoted_flag_is_as_in_its_source_but_for_units_by_name(apart: Shop) -> None:
    result = apart.change(PROMOTE)
    there = state(apart, "staging")
    assert same(state(apart), {**there, "targets": []})
    assert list(result.segments_after) == ["deep", "eu"]
    with apart.database.read() as session:
        here = load_segments(session, get_environment(session, apart.project, "production"))
    assert (here["eu"].name, here["eu"].condition) == ("Europe", EU)
    apart.change({**PROMOTE, "targets": True})
    assert same(state(apart), there)
    assert not apart.change({**PROMOTE, "targets": True}).changed


def test_a_kill_is_neither_carried_nor_lifted(apart: Shop) -> None:
    apart.change({"do": "kill"})
    apart.change(PROMOTE)
    assert state(apart)["killed"] is True
    apart.change({"do": "unkill"})
    apart.change({"do": "kill"}, environment="staging")
    apart.change(PROMOTE)
    assert state(apart)["killed"] is False


def test_a_split_that_both_have_keeps_the_salt_of_the_target(apart: Shop) -> None:
    apart.change(
        {"do": "add_rule", "rule": {"id": "r", "serve": split(0.1, salt="ours")}}, {"do": "turn_on"}
    )
    apart.change(PROMOTE)
    rule = state(apart)["rules"][0]["serve"]["split"]
    assert (rule["salt"], rule["to"][0]["ranges"]) == ("ours", [[0, 5000]])


def test_a_new_split_or_one_of_another_unit_brings_its_salt(apart: Shop) -> None:
    apart.change(
        {"do": "add_rule", "rule": {"id": "own", "serve": split(0.1, salt="theirs")}},
        environment="staging",
    )
    apart.change(
        {"do": "add_rule", "rule": {"id": "r", "serve": split(0.1, salt="ours", by="team")}}
    )
    apart.change(PROMOTE)
    salts = [rule["serve"]["split"]["salt"] for rule in state(apart)["rules"]]
    assert salts == ["checkout:r", "theirs"]


def test_rules_that_record_stay_where_they_are(apart: Shop) -> None:
    tracked = {"id": "exp", "serve": split(0.2), "track": True}
    apart.change({"do": "add_rule", "rule": {**tracked, "id": "there"}}, environment="staging")
    apart.change(
        {"do": "add_rule", "rule": tracked}, {"do": "add_rule", "rule": {"id": "x", "serve": "new"}}
    )
    apart.change(PROMOTE)
    assert [rule["id"] for rule in state(apart)["rules"]] == ["exp", "r"]


def test_a_segment_that_differs_stays_unless_asked_for(apart: Shop) -> None:
    apart.change({"do": "add_segment", "segment": "eu", "condition": True})
    apart.change(PROMOTE)
    assert apart.flag_set()["segments"]["eu"] is True
    apart.change({**PROMOTE, "segments": True})
    assert apart.flag_set()["segments"]["eu"] == EU
    apart.change({"do": "update_segment", "segment": "eu", "condition": True})
    apart.change({"do": "promote", "source": "staging", "segment": "eu"})
    assert apart.flag_set()["segments"]["eu"] == EU


def test_everything_is_promoted_at_once_and_archived_flags_stay(apart: Shop) -> None:
    apart.create({"key": "other"})
    apart.create({"key": "old"})
    apart.change({"do": "turn_on", "flag": "other"}, environment="staging")
    apart.change({"do": "archive", "flag": "old"})
    apart.change(
        {"do": "add_segment", "segment": "unused", "condition": True}, environment="staging"
    )
    before = apart.number()
    change = {"do": "promote", "source": "staging", "targets": True, "segments": True}
    result = apart.change(change, flag=None)
    assert (sorted(result.after), result.revision_number) == (["checkout", "other"], before + 1)
    assert compared(apart).differences == []
    assert apart.flag_set()["segments"] == apart.flag_set(environment="staging")["segments"]


@pytest.mark.parametrize("whole", [False, True])
def test_what_the_comparison_foretells_is_what_a_promotion_makes(
    apart: Shop, *, whole: bool
) -> None:
    apart.change({"do": "add_segment", "segment": "eu", "condition": True}, {"do": "kill"})
    apart.change({"do": "add_segment", "segment": "ours", "condition": True})
    told = compared(apart, targets=whole, segments=whole)
    apart.change(
        {"do": "promote", "source": "staging", "targets": whole, "segments": whole},
        flag=None,
    )
    (flag, *segments) = told.differences
    assert flag.sentence_after == apart.flag().environments["production"].sentence
    after = {each.field: each.after for each in flag.fields if each.carried}
    assert after["enabled"] is True
    assert after["rules[r]"]["when"] == {"segment": "deep"}
    assert {each.field for each in flag.fields if not each.carried} == (
        {"killed"} if whole else {"killed", "targets"}
    )
    assert any("kill" in words for words in flag.stays)
    assert any("eu" in words for words in flag.stays) is not whole
    here = apart.flag_set()["segments"]
    assert {each.key: each.only for each in segments} == {
        "deep": "staging",
        "eu": None,
        "ours": "production",
    }
    for each in segments:
        assert [field.after for field in each.fields] == [here[each.key]]
    left = compared(apart, targets=whole, segments=whole).differences
    assert not any(each.promotable for each in left)


def test_one_flag_is_compared_with_the_segments_it_rests_upon(apart: Shop) -> None:
    apart.create({"key": "other"})
    apart.change(
        {"do": "add_segment", "segment": "unused", "condition": True}, environment="staging"
    )
    found = compared(apart, flag_key="checkout").differences
    assert [(each.kind, each.key) for each in found] == [
        ("flag", "checkout"),
        ("segment", "deep"),
        ("segment", "eu"),
    ]
    assert compared(apart, flag_key="other").differences == []


def test_a_promotion_that_would_go_in_a_circle_is_refused(apart: Shop) -> None:
    apart.create({"key": "other"})
    needs = {"do": "set_prerequisites", "prerequisites": [{"flag": "other", "variants": ["on"]}]}
    apart.change(needs, environment="staging")
    back = {"do": "set_prerequisites", "prerequisites": [{"flag": "checkout", "variants": ["new"]}]}
    apart.change(back, flag="other")
    with pytest.raises(InvalidInputError, match="circle"):
        apart.change(PROMOTE)


@pytest.mark.parametrize(
    ("instruction", "error", "field"),
    [
        ({"source": "production"}, InvalidInputError, "source"),
        ({"source": "moon"}, NotFoundError, "source"),
        ({"source": "staging", "flag": "nowhere"}, NotFoundError, "flag"),
        ({"source": "staging", "segment": "nowhere"}, NotFoundError, "segment"),
        ({"source": "staging", "flag": "checkout", "segment": "eu"}, InvalidInputError, "segment"),
    ],
)
def test_a_promotion_that_makes_no_sense_is_refused_by_its_field(
    shop: Shop, instruction: dict[str, Any], error: type[FlagstoneError], field: str
) -> None:
    with pytest.raises(error) as refusal:
        shop.change({"do": "promote", **instruction}, flag=None)
    assert refusal.value.field == f"instructions[0].{field}"
