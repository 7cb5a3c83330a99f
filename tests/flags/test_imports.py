"""A flag set comes into an environment whole, or what does not is named."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from flags.audit import entries, verify_chain
from flags.errors import InvalidInputError, NotFoundError, VersionConflictError
from flags.imports import ImportOutcome, import_flag_set
from flags.models import FlagEnvironment, FlagRow
from flags.sentence import state_word
from flags.services import get_project
from flagstone.engine import evaluate, parse_flag_set

BUCKET = {"hash": "eppo", "salt": "split-x", "of": 10_000}


def flag(key: str, **more: Any) -> dict[str, Any]:
    return {
        "key": key,
        "type": "string",
        "variants": {"control": {"value": "old"}, "new": {"value": "new"}},
        "enabled": True,
        "off": None,
        "default": "control",
        **more,
    }


def split_flag(key: str) -> dict[str, Any]:
    to = [
        {"variant": "new", "ranges": [[17, 4203]]},
        {"variant": "control", "ranges": [[4203, 9999]]},
    ]
    rule = {
        "id": "50/50 split",
        "start": "2026-01-01T00:00:00.123456Z",
        "track": True,
        "when": {
            "all": [
                {"attr": "country", "op": "in", "values": ["DE", 5]},
                {"not": {"segment": "beta"}},
            ]
        },
        "serve": {"split": {**BUCKET, "to": to}},
    }
    return flag(key, rules=[rule], metadata={"owner": "growth", "ticket": 7}, client=True)


BETA = {"attr": "plan", "op": "in", "values": ["beta"]}


def document(*flags: dict[str, Any], **segments: Any) -> dict[str, Any]:
    return {"schema": 1, "flags": {each["key"]: each for each in flags}, "segments": segments}


def bring(shop: Any, flag_set: Any, *, preview: bool = False, **options: Any) -> ImportOutcome:
    environment = options.pop("environment", "production")
    opened = shop.database.read() if preview else shop.database.write()
    with opened as session:
        return import_flag_set(
            session,
            shop.project,
            environment,
            flag_set,
            actor=shop.actor,
            now=shop.now,
            preview=preview,
            **options,
        )


def test_what_was_imported_answers_as_the_file_does(shop: Any) -> None:
    given = document(split_flag("exp"), flag("plain", default="new"), beta=BETA)
    outcome = bring(shop, given)
    assert (outcome.created, outcome.updated, outcome.refused) == (["exp", "plain"], [], {})
    stored, wanted = parse_flag_set(shop.flag_set()), parse_flag_set(given)
    for n in range(500):
        context = {"targetingKey": f"u{n}", "country": "DE", "plan": "beta" if n % 3 == 0 else "x"}
        for key in given["flags"]:
            ours = evaluate(stored, key, context, shop.now)
            theirs = evaluate(wanted, key, context, shop.now)
            assert (ours.value, ours.variant) == (theirs.value, theirs.variant)
    view = shop.flag("exp")
    assert (view.owner, view.client, view.metadata) == ("growth", True, {"ticket": 7})


def test_all_of_it_is_one_revision_and_elsewhere_new_flags_are_off(shop: Any) -> None:
    before, elsewhere = shop.number(), shop.number("staging")
    outcome = bring(shop, document(*(flag(f"f{n}") for n in range(20)), beta=BETA))
    assert outcome.published == {"production": before + 1, "staging": elsewhere + 1}
    assert (shop.number(), shop.number("staging")) == (before + 1, elsewhere + 1)
    assert shop.document("f7")["enabled"] is True
    assert shop.document("f7", "staging")["enabled"] is False
    assert "beta" not in shop.flag_set(environment="staging")["segments"]


def test_a_preview_writes_nothing_and_says_what_an_application_does(shop: Any) -> None:
    given = document(flag("checkout", default="new"), split_flag("exp"), beta=BETA)
    before = shop.number()
    seen = bring(shop, given, preview=True)
    assert (seen.revision_number, shop.number(), seen.published) == (before, before, {})
    with pytest.raises(NotFoundError):
        shop.flag("exp")
    done = bring(shop, given, expected_version=seen.revision_number)
    assert (seen.before, seen.after, seen.sentences) == (done.before, done.after, done.sentences)
    assert seen.segments_after == done.segments_after
    assert seen.before["exp"] is None
    assert shop.document("checkout") == done.after["checkout"]
    assert shop.document("exp") == done.after["exp"]
    assert done.sentences["checkout"] == "In production, everyone gets new."


def test_to_import_the_same_again_changes_nothing(shop: Any) -> None:
    given = document(split_flag("exp"), beta=BETA)
    bring(shop, given)
    number = shop.number()
    again = bring(shop, given)
    assert (again.changed, again.unchanged, shop.number()) == (False, ["exp"], number)


def test_a_flag_that_is_there_keeps_what_it_is_everywhere(shop: Any) -> None:
    shop.change({"do": "turn_on"}, environment="staging")
    before, elsewhere = shop.document(), shop.document(environment="staging")
    staging = shop.number("staging")
    outcome = bring(shop, document(flag("checkout", default="new", client=True)))
    assert (outcome.updated, outcome.created) == (["checkout"], [])
    after = shop.document()
    assert (after["default"], after["client"]) == ("new", False)
    assert after["version"] == before["version"] + 1
    assert (shop.document(environment="staging"), shop.number("staging")) == (elsewhere, staging)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"type": "boolean", "variants": {"a": {"value": True}}, "default": "a"},
            "its type is string",
        ),
        (
            {"variants": {"control": {"value": "old"}, "new": {"value": "NEW"}}},
            "with other variants",
        ),
        ({"variants": {"control": {"value": "old"}}}, "with other variants"),
        (
            {"variants": {"control": {"value": "old", "on": False}, "new": {"value": "new"}}},
            "with other variants",
        ),
    ],
)
def test_another_type_or_other_variants_are_refused_by_name(
    shop: Any, change: dict[str, Any], reason: str
) -> None:
    needy = flag("needy", prerequisites=[{"flag": "checkout", "variants": ["control"]}])
    needier = flag(
        "needier", rules=[{"id": "r", "when": {"flag": "needy", "on": True}, "serve": "new"}]
    )
    given = document(flag("checkout", **change), needier, needy, flag("fine"))
    before = shop.document()
    if "control" not in given["flags"]["checkout"]["variants"]:
        needy["prerequisites"][0]["variants"] = ["a"]
    outcome = bring(shop, given)
    assert reason in outcome.refused["checkout"]
    assert outcome.refused["needy"] == "depends on the flag 'checkout', which is not imported"
    assert outcome.refused["needier"] == "depends on the flag 'needy', which is not imported"
    assert (outcome.created, shop.document()) == (["fine"], before)


def test_an_archived_flag_is_refused(shop: Any) -> None:
    shop.change({"do": "archive"})
    outcome = bring(shop, document(flag("checkout")))
    assert outcome.refused == {"checkout": "is archived here; restore it first"}
    assert outcome.changed is False


def test_a_segment_that_others_depend_on_is_not_replaced(shop: Any) -> None:
    rule = {"do": "add_rule", "rule": {"id": "b", "when": {"segment": "beta"}, "serve": "new"}}
    shop.change({"do": "add_segment", "segment": "beta", "condition": True}, rule)
    outcome = bring(shop, document(split_flag("exp"), flag("fine"), beta=BETA))
    assert outcome.created == ["fine"]
    assert "checkout depends on it" in outcome.refused["segment beta"]
    assert "the segment 'beta'" in outcome.refused["exp"]
    assert shop.flag_set()["segments"]["beta"] is True


def test_a_segment_that_only_imported_flags_name_follows_the_file(shop: Any) -> None:
    bring(shop, document(split_flag("exp"), beta=BETA))
    outcome = bring(shop, document(split_flag("exp"), beta=True))
    assert (list(outcome.segments_after), outcome.refused) == (["beta"], {})
    assert shop.flag_set()["segments"]["beta"] is True


def test_what_the_service_would_not_save_is_refused_flag_by_flag(shop: Any) -> None:
    leaf = {"attr": "a", "op": "regex", "values": ["a"]}
    rules = [{"id": f"r{n}", "when": True, "serve": "new"} for n in range(201)]
    broken = document(
        flag("a?b"),
        flag("many", rules=rules),
        flag("control", rules=[{"id": "a\nb", "when": leaf, "serve": "new"}]),
        flag("lost", rules=[{"id": "r", "when": {"segment": "look"}, "serve": "new"}]),
        flag("nested", metadata={"a": {"b": 1}}),
        flag("unknown", colour="red"),
        flag("nul", variants={"control": {"value": "nul\x00"}}),
        flag("large", metadata={"number": 2**53}),
        flag("deep", metadata={"list": json.loads("[" * 70 + "]" * 70)}),
        flag("absent", prerequisites=[{"flag": "nowhere", "variants": ["on"]}]),
        flag("fine"),
        look={"attr": "a", "op": "regex", "values": ["a"], "ci": True, "colour": "red"},
    )
    outcome = bring(shop, broken)
    assert outcome.created == ["fine"]
    assert set(outcome.refused) == (set(broken["flags"]) - {"fine"}) | {"segment look"}


def test_a_segment_whose_name_is_no_key_gets_one_and_keeps_its_name(shop: Any) -> None:
    when = {"any": [{"not": {"segment": "Beta Users!"}}, {"segment": "ü"}]}
    named = flag("named", rules=[{"id": "r", "when": when, "serve": "new"}])
    given = document(named, **{"Beta Users!": BETA, "ü": {"segment": "Beta Users!"}, "ok": True})
    outcome = bring(shop, given)
    assert outcome.refused == {}
    beta, other, ok = outcome.segments_after.values()
    assert (beta["name"], other["name"], ok["name"]) == ("Beta Users!", "ü", "")
    assert beta["key"].startswith("beta-users-")
    assert other["condition"] == {"segment": beta["key"]}
    stored = shop.flag_set()
    assert set(stored["segments"]) == {beta["key"], other["key"], "ok"}
    answer = evaluate(parse_flag_set(stored), "named", {"plan": "x"}, shop.now)
    assert answer.variant == "new"
    assert bring(shop, given).changed is False


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"flags": []},
        {"schema": 2, "flags": {}},
        {"flags": {}, "colour": "red"},
        {"flags": {}, "version": 2**53},
    ],
)
def test_what_is_no_flag_set_is_refused_as_a_whole(shop: Any, given: Any) -> None:
    number = shop.number()
    with pytest.raises(InvalidInputError):
        bring(shop, given)
    assert shop.number() == number


def test_a_move_in_between_and_unknown_places_are_told(shop: Any) -> None:
    seen = bring(shop, document(flag("new")), preview=True)
    shop.change({"do": "turn_on"})
    with pytest.raises(VersionConflictError):
        bring(shop, document(flag("new")), expected_version=seen.revision_number)
    with pytest.raises(NotFoundError, match="no environment 'moon'"):
        bring(shop, document(flag("new")), environment="moon")
    shop.project = "nowhere"
    for preview in (True, False):
        with pytest.raises(NotFoundError, match="no project"):
            bring(shop, document(flag("new")), preview=preview)


def test_the_audit_tells_each_flag_and_holds(shop: Any) -> None:
    bring(
        shop,
        document(flag("checkout", default="new"), split_flag("exp"), beta=BETA),
        comment="move",
    )
    with shop.database.read() as session:
        found = entries(session, shop.project_id, limit=None)
        assert verify_chain(found) is None
        here = [
            each for each in found if each.environment_id == shop.id() and each.comment == "move"
        ]
        told = {(each.action, each.resource): each for each in here}
    assert set(told) == {
        ("import_flag", "flag:checkout"),
        ("create_flag", "flag:exp"),
        ("import_segment", "segment:beta"),
    }
    changed = told["import_flag", "flag:checkout"]
    assert (changed.before["default"], changed.after["default"]) == ("control", "new")
    assert (changed.before["enabled"], changed.after["enabled"]) == (False, True)
    made = told["create_flag", "flag:exp"]
    assert (made.before, made.after["rules"][0]["id"]) == (None, "50/50 split")


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.data())
def test_any_mutated_flag_set_previews_or_is_refused(shop: Any, data: st.DataObject) -> None:
    given = copy.deepcopy(document(split_flag("exp"), flag("checkout"), beta=BETA))
    place: Any = given
    while isinstance(place, dict | list) and place:
        name = data.draw(
            st.sampled_from(list(place) if isinstance(place, dict) else range(len(place)))
        )
        if data.draw(st.booleans()) or not isinstance(place[name], dict | list):
            scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
            place[name] = data.draw(scalars | st.just({}) | st.just([]) | st.just([{}]))
            break
        place = place[name]
    try:
        outcome = bring(shop, given, preview=True)
    except InvalidInputError:
        return
    assert set(outcome.after) <= {"exp", "checkout"}


def test_what_was_imported_is_found_by_how_it_stands(shop: Any) -> None:
    for enabled, word in ((True, "on"), (False, "off")):
        bring(shop, document(flag("a", enabled=enabled), flag(f"new-{word}", enabled=enabled)))
        with shop.database.read() as session:
            project_id = get_project(session, shop.project).id
            query = select(FlagRow.key, FlagEnvironment).where(
                FlagRow.id == FlagEnvironment.flag_id, FlagRow.project_id == project_id
            )
            rows = session.exec(query).all()
        assert len(rows) >= 6
        for key, row in rows:
            assert row.state_word == state_word(row.state), key
        assert [row.state_word for key, row in rows if key == "a"].count(word) >= 1


def test_ten_times_as_many_flags_ask_the_database_hardly_more_often(shop: Any) -> None:
    """The locks of a project are held meanwhile: rows are written in batches, not one by one."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        asked.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    counts = []
    try:
        for start, number in ((0, 20), (1000, 200)):
            keys = [f"f{start + i}" for i in range(number)]
            for enabled in (True, False):
                asked.clear()
                flags = [split_flag(key) | {"enabled": enabled} for key in keys]
                done = bring(shop, document(*flags, beta=BETA))
                assert len(done.created if enabled else done.updated) == number
                counts.append(len(asked))
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    made, moved, made_many, moved_many = counts
    assert made_many <= made + 5, counts
    assert moved_many <= moved + 5, counts
