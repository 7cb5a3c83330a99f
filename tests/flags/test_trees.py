"""Projects as files: written, applied, and the same bytes again."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flags.approvals import protect
from flags.changes import Change, apply_change, parse_change
from flags.errors import (
    FlagstoneError,
    InvalidInputError,
    NeedsApprovalError,
    NotFoundError,
    StateError,
    VersionConflictError,
)
from flags.files import read_tree
from flags.services import create_environment, create_flag, create_project, flag_history
from flags.trees import TreeOutcome, Wish, apply_tree, export_tree
from tests.flags.conftest import ADA, NOW, Shop
from tests.flags.test_laws import CHANGES

PROJECTS = itertools.count()
EU = {"attr": "country", "op": "in", "values": ["DE"]}


def exported(shop: Shop) -> dict[str, Any]:
    with shop.database.read() as session:
        return export_tree(session, shop.project)


def text_of(tree: dict[str, Any]) -> str:
    return json.dumps({name: tree[name] for name in ("flags", "segments")}, indent=2)


def applied(shop: Shop, tree: dict[str, Any], *, preview: bool = False, **wish: Any) -> TreeOutcome:
    files = read_tree(json.loads(json.dumps(tree["flags"])), tree["segments"])
    with shop.database.write() as session:
        return apply_tree(
            session,
            shop.project,
            files,
            Wish(**wish),
            actor=ADA,
            now=shop.now,
            preview=preview,
            allowed=lambda _environment, _change: False,
        )


def empty(shop: Shop) -> Shop:
    made = Shop(shop.database, f"{shop.project}-{next(PROJECTS)}")
    with shop.database.write() as session:
        create_project(session, key=made.project, actor=ADA, now=NOW)
    return made


@pytest.fixture
def rich(shop: Shop) -> Shop:
    """Give a shop with something of everything."""
    shop.create({"key": "base", "kind": "permanent", "owner": "ops", "client": True})
    shop.create({"key": "team/x", "expires": "2027-01-01T00:00:00Z", "metadata": {"a.b": 1.5}})
    halves = {"control": 50, "new": 50}
    shop.change(
        {"do": "add_segment", "segment": "eu", "condition": EU, "name": "Europe"},
        {"do": "add_segment", "segment": "deep", "condition": {"not": {"segment": "eu"}}},
        {"do": "add_rule", "rule": {"id": "r", "when": {"segment": "deep"}, "serve": "new"}},
        {"do": "add_rule", "rule": {"serve": {"split": {"weights": halves, "coverage": 0.3}}}},
        {
            "do": "add_rule",
            "rule": {
                "id": "odd",
                "serve": {"split": {"of": 7, "to": [{"variant": "new", "ranges": [[1, 3]]}]}},
                "track": True,
                "start": "2026-01-01T00:00:00Z",
            },
        },
        {"do": "add_targets", "variant": "new", "keys": ["u1"], "until": "2027-01-01T00:00:00Z"},
        {"do": "set_prerequisites", "prerequisites": [{"flag": "base", "variants": ["on"]}]},
        {"do": "set_off_variant", "variant": None},
        {"do": "turn_on"},
    )
    shop.change({"do": "turn_on", "flag": "base"}, environment="staging")
    return shop


def test_what_is_exported_makes_the_same_project_elsewhere(rich: Shop) -> None:
    tree = exported(rich)
    assert tree["flags"]["checkout"]["environments"]["production"]["rules"][1] == {
        "id": tree["flags"]["checkout"]["environments"]["production"]["rules"][1]["id"],
        "serve": {"split": {"weights": {"control": 50, "new": 50}, "coverage": 0.3}},
    }
    other = empty(rich)
    outcome = applied(other, tree)
    assert sorted(outcome.created) == ["base", "checkout", "team/x"]
    assert text_of(exported(other)) == text_of(tree)
    again = applied(other, tree)
    assert not again.changed
    assert exported(other)["base"] == exported(other)["base"]


@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes=st.lists(CHANGES, min_size=1, max_size=6))
def test_any_project_makes_the_round(
    shared_sqlite: Any, changes: list[tuple[str, list[dict[str, Any]]]]
) -> None:
    shop = Shop(shared_sqlite, f"round-{next(PROJECTS)}")
    with shop.database.write() as session:
        create_project(session, key=shop.project, actor=ADA, now=NOW)
        for key in ("a", "b"):
            create_flag(session, shop.project, {"key": key}, actor=ADA, now=NOW)
    for environment, instructions in changes:
        change = parse_change({"instructions": instructions})
        try:
            with shop.database.write() as session:
                apply_change(session, shop.project, environment, change, actor=ADA, now=NOW)
        except FlagstoneError:
            continue
    tree = exported(shop)
    other = empty(shop)
    applied(other, tree)
    assert text_of(exported(other)) == text_of(tree)
    assert not applied(shop, tree, prune=True).changed


def test_an_edit_is_one_change_for_each_environment(rich: Shop) -> None:
    tree = exported(rich)
    checkout = tree["flags"]["checkout"]
    checkout["owner"] = "growth"
    checkout["variants"]["third"] = {"value": "3"}
    checkout["environments"]["staging"]["default"] = "third"
    del checkout["environments"]["production"]["rules"][0]
    tree["segments"]["eu"]["environments"]["production"]["condition"] = True
    before = {key: rich.number(key) for key in ("production", "staging")}
    told = applied(rich, tree, preview=True, comment="from files")
    assert (told.results, list(told.previews)) == ({}, ["production", "staging"])
    assert {key: rich.number(key) for key in before} == before
    done = applied(rich, tree, comment="from files")
    assert list(done.results) == ["production", "staging"]
    assert exported(rich)["flags"] == tree["flags"]
    assert exported(rich)["segments"] == tree["segments"]
    assert rich.flag().owner == "growth"
    with rich.database.read() as session:
        found = flag_history(session, rich.project, "checkout")
    assert {each.comment for each in found[:2]} == {"from files"}


def test_what_the_files_do_not_name_stays_unless_it_is_pruned(rich: Shop) -> None:
    tree = exported(rich)
    del tree["flags"]["base"], tree["flags"]["checkout"], tree["segments"]["eu"]
    del tree["segments"]["deep"]
    assert not applied(rich, tree).changed
    applied(rich, tree, prune=True)
    assert text_of(exported(rich)) == text_of(tree)
    back = exported(rich)
    variants = {"on": {"value": True}, "off": {"value": False}}
    file = {"key": "base", "type": "boolean", "variants": variants, "environments": {}}
    back["flags"]["base"] = file
    assert applied(rich, back).changed
    assert not rich.flag("base").archived


def test_what_another_flag_asked_about_goes_when_it_asks_no_more(rich: Shop) -> None:
    needs = {"do": "set_prerequisites", "prerequisites": [{"flag": "base", "variants": ["on"]}]}
    rich.change({**needs, "flag": "team/x"}, environment="staging")
    tree = exported(rich)
    del tree["flags"]["base"]
    del tree["flags"]["checkout"]["environments"]["production"]["prerequisites"]
    del tree["flags"]["team/x"]["environments"]["staging"]["prerequisites"]
    applied(rich, tree, prune=True)
    assert rich.flag("base").archived
    assert text_of(exported(rich)) == text_of(tree)


def test_a_kill_is_no_configuration(rich: Shop) -> None:
    tree = exported(rich)
    rich.change({"do": "kill"})
    assert text_of(exported(rich)) == text_of(tree)
    assert not applied(rich, tree).changed
    assert rich.document()["killed"] is True


def test_only_the_environments_that_are_asked_for(rich: Shop) -> None:
    tree = exported(rich)
    for key in ("production", "staging"):
        tree["flags"]["base"]["environments"][key]["default"] = "off"
    done = applied(rich, tree, only=["staging"])
    assert list(done.results) == ["staging"]
    with pytest.raises(NotFoundError):
        applied(rich, tree, only=["moon"])


def test_a_moved_base_is_a_conflict(rich: Shop) -> None:
    tree = exported(rich)
    rich.change({"do": "turn_off"})
    with pytest.raises(VersionConflictError, match="is at revision"):
        applied(rich, tree, base=tree["base"])
    applied(rich, tree, base=exported(rich)["base"])


def test_nothing_is_written_by_half(rich: Shop) -> None:
    before = exported(rich)
    tree = exported(rich)
    tree["flags"]["fresh"] = {**tree["flags"]["base"], "key": "fresh"}
    tree["flags"]["base"]["environments"]["production"]["default"] = "off"
    tree["flags"]["base"]["environments"]["staging"]["rules"] = [
        {"id": "x", "when": {"segment": "nowhere"}, "serve": "on"}
    ]
    with pytest.raises(InvalidInputError) as refusal:
        applied(rich, tree)
    assert refusal.value.field == "flags.base.environments.staging.rules[0].when.segment"
    assert exported(rich) == before


def test_approvals_are_asked_for_when_it_is_applied(rich: Shop) -> None:
    with rich.database.write() as session:
        protect(session, rich.project, "production", needed=1, actor=ADA, now=NOW)
    tree = exported(rich)
    tree["flags"]["base"]["environments"]["production"]["default"] = "off"
    assert applied(rich, tree, preview=True).previews["production"].approvals_needed == 1
    with pytest.raises(NeedsApprovalError):
        applied(rich, tree)


FLAG = {"key": "a", "type": "boolean", "variants": {"on": {"value": True}}, "environments": {}}
STATE = {"enabled": True, "off": None, "default": "on"}


@pytest.mark.parametrize(
    ("flags", "field"),
    [
        ([], "flags"),
        ({"a": 1}, "flags.a"),
        ({"a": {**FLAG, "key": "b"}}, "flags.a.key"),
        ({"a": {**FLAG, "colour": 1}}, "flags.a.colour"),
        ({"a": {**FLAG, "environments": {"production": {**STATE, "killed": True}}}}, None),
        ({"a": {**FLAG, "environments": {"moon": STATE}}}, "flags.a.environments.moon"),
        (
            {"a": {**FLAG, "environments": {"production": {**STATE, "default": "x"}}}},
            "flags.a.default",
        ),
        ({"checkout": {**FLAG, "key": "checkout"}}, "flags.checkout.type"),
    ],
)
def test_a_file_that_is_wrong_is_named_by_its_field(shop: Shop, flags: Any, field: Any) -> None:
    with pytest.raises((InvalidInputError, NotFoundError, StateError)) as refusal:
        applied(shop, {"flags": flags, "segments": {}})
    expected = field or "flags.a.environments.production.killed"
    assert refusal.value.field == expected


def test_an_environment_that_a_file_does_not_name_is_left_alone(rich: Shop) -> None:
    tree = exported(rich)
    with rich.database.write() as session:
        create_environment(session, rich.project, key="dev", actor=ADA, now=NOW)
    rich.change({"do": "turn_on"}, environment="dev")
    assert not applied(rich, tree).changed
    assert isinstance(parse_change({"instructions": [{"do": "turn_on", "flag": "a"}]}), Change)
