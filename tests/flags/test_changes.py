"""Every instruction, applied and previewed on both databases."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from flags.edits import _EDITS
from flags.errors import (
    AlreadyExistsError,
    FlagstoneError,
    InvalidInputError,
    NotFoundError,
    StateError,
    VersionConflictError,
)
from flags.instructions import Instruction
from flags.services import list_segments
from flagstone.engine import evaluate

EU = {"attr": "country", "op": "in", "values": ["DE", "FR"]}
SPLIT = {"split": {"weights": {"control": 50, "new": 50}, "coverage": 0.1}}
ROLLOUT = {"do": "add_rule", "rule": {"id": "ramp", "serve": SPLIT, "track": True}}


def rules(shop: Any, environment: str = "production") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shop.document(environment=environment)["rules"]
    return found


def test_every_instruction_of_the_grammar_has_an_edit() -> None:
    grammar = set(get_args(get_args(Instruction)[0]))
    assert grammar == set(_EDITS)
    assert len(grammar) == 28


def test_turning_on_publishes_one_revision_in_one_environment(shop: Any) -> None:
    before = shop.number(), shop.number("staging")
    result = shop.change({"do": "turn_on"}, comment="go")
    assert (shop.number(), shop.number("staging")) == (before[0] + 1, before[1])
    assert result.revision is not None
    assert result.revision.number == result.revision_number == before[0] + 1
    assert result.revision.comment == "go"
    assert result.before["checkout"]["enabled"] is False
    assert result.after["checkout"]["enabled"] is True
    assert result.after["checkout"]["version"] == result.before["checkout"]["version"] + 1
    assert result.sentence == "In production, everyone gets control."
    assert shop.flag_set()["flags"]["checkout"] == result.after["checkout"] == shop.document()


def test_a_change_that_changes_nothing_makes_no_revision(shop: Any) -> None:
    shop.change({"do": "turn_on"})
    before = shop.number()
    result = shop.change({"do": "turn_on"}, {"do": "kill"}, {"do": "unkill"})
    assert shop.number() == before == result.revision_number
    assert result.revision is None
    assert not result.changed
    assert result.sentence == "Nothing changes."


def test_killing_and_unkilling_leaves_everything_else_as_it_was(shop: Any) -> None:
    shop.change({"do": "turn_on"}, ROLLOUT)
    before = shop.document()
    shop.change({"do": "kill"})
    assert evaluate(shop.flag_set(), "checkout", {"targetingKey": "u1"}, 0).variant == "control"
    assert shop.document()["killed"] is True
    shop.change({"do": "unkill"})
    assert {**shop.document(), "version": 0} == {**before, "version": 0}


def test_off_variant_and_default_may_be_a_variant_or_the_callers_default(shop: Any) -> None:
    shop.change({"do": "set_off_variant", "variant": None}, {"do": "set_default", "variant": "new"})
    assert shop.document()["off"] is None
    assert shop.document()["default"] == "new"
    with pytest.raises(InvalidInputError, match="no variant 'nope'") as refusal:
        shop.change({"do": "set_default", "variant": "nope"})
    assert refusal.value.field == "instructions[0].variant"
    assert refusal.value.hint == "its variants are control, new"


def test_a_rule_is_stored_with_ranges_and_a_salt_of_its_own(shop: Any) -> None:
    shop.change(ROLLOUT, {"do": "add_rule", "rule": {"serve": SPLIT}, "position": 0})
    first, second = rules(shop)
    assert second == {
        "id": "ramp",
        "when": True,
        "track": True,
        "serve": {
            "split": {
                "by": "targetingKey",
                "hash": "flagstone",
                "salt": "checkout:ramp",
                "of": 10_000,
                "missing": "skip",
                "to": [
                    {"variant": "control", "ranges": [[0, 500]]},
                    {"variant": "new", "ranges": [[5000, 5500]]},
                ],
            }
        },
    }
    assert first["id"] != "ramp"
    assert first["serve"]["split"]["salt"] not in {"checkout:ramp", ""}


def test_a_salt_never_changes_by_itself(shop: Any) -> None:
    split = {"weights": {"control": 1, "new": 1}, "salt": "layer:a"}
    shop.change({"do": "add_rule", "rule": {"id": "r", "serve": {"split": split}}})
    shop.change({"do": "set_coverage", "rule": "r", "value": 0.5})
    shop.change({"do": "set_weights", "rule": "r", "weights": {"new": 3, "control": 1}})
    shop.change({"do": "update_rule", "rule": {"id": "r", "serve": SPLIT}})
    assert rules(shop)[0]["serve"]["split"]["salt"] == "layer:a"
    shop.change(
        {
            "do": "update_rule",
            "rule": {"id": "r", "serve": {"split": {"weights": {"new": 1}, "salt": "b"}}},
        }
    )
    assert rules(shop)[0]["serve"]["split"]["salt"] == "b"


def test_updating_a_rule_replaces_the_named_fields_only(shop: Any) -> None:
    shop.change(ROLLOUT)
    before = rules(shop)[0]
    times = {"start": "2026-12-01T10:00:00+01:00", "end": "2027-01-01T00:00:00Z"}
    shop.change({"do": "update_rule", "rule": {"id": "ramp", "when": EU, **times}})
    after = rules(shop)[0]
    assert after == {
        **before,
        "when": EU,
        "start": "2026-12-01T09:00:00Z",
        "end": "2027-01-01T00:00:00Z",
    }
    shop.change({"do": "update_rule", "rule": {"id": "ramp", "end": None, "track": False}})
    assert "end" not in rules(shop)[0]
    assert "track" not in rules(shop)[0]
    assert rules(shop)[0]["start"] == "2026-12-01T09:00:00Z"


def test_ranges_may_be_given_as_they_are_stored(shop: Any) -> None:
    stored = {
        "by": ["org", "key"],
        "hash": "flagstone",
        "salt": "s",
        "of": 100,
        "missing": "control",
        "to": [
            {"variant": "control", "ranges": [[0, 10], [20, 30]]},
            {"variant": "new", "ranges": [[10, 20], [40, 40]]},
        ],
    }
    shop.change({"do": "add_rule", "rule": {"id": "r", "serve": {"split": stored}}})
    assert rules(shop)[0]["serve"]["split"] == stored
    with pytest.raises(InvalidInputError, match="not laid out by weights") as refusal:
        shop.change({"do": "set_coverage", "rule": "r", "value": 0.5})
    assert refusal.value.hint is not None
    shop.change({"do": "set_weights", "rule": "r", "weights": {"new": 1}, "coverage": 0.5})
    assert rules(shop)[0]["serve"]["split"]["to"] == [{"variant": "new", "ranges": [[0, 50]]}]


def test_rules_are_reordered_and_removed_by_id(shop: Any) -> None:
    for name in "abc":
        shop.change({"do": "add_rule", "rule": {"id": name, "serve": "new"}})
    shop.change({"do": "reorder_rules", "rules": ["c", "a", "b"]})
    shop.change({"do": "remove_rule", "rule": "a"})
    assert [rule["id"] for rule in rules(shop)] == ["c", "b"]
    for wrong in (["c"], ["c", "c"], ["c", "b", "x"]):
        with pytest.raises(InvalidInputError) as refusal:
            shop.change({"do": "reorder_rules", "rules": wrong})
        assert refusal.value.field == "instructions[0].rules"


def test_the_id_of_a_removed_rule_is_not_given_out_again(shop: Any) -> None:
    shop.change({"do": "add_rule", "rule": {"serve": "new"}})
    first = rules(shop)[0]["id"]
    shop.change({"do": "remove_rule", "rule": first})
    shop.change({"do": "add_rule", "rule": {"serve": "new"}})
    assert rules(shop)[0]["id"] != first


def test_a_unit_is_targeted_to_one_variant_only(shop: Any) -> None:
    shop.change({"do": "add_targets", "variant": "new", "keys": ["u1", "u2", "u1"]})
    shop.change({"do": "add_targets", "variant": "control", "keys": ["u2", "u3"]})
    shop.change({"do": "add_targets", "variant": "new", "keys": ["u4"]})
    shop.change({"do": "add_targets", "variant": "new", "keys": ["u3"], "by": "org"})
    assert shop.document()["targets"] == [
        {"variant": "new", "by": "targetingKey", "keys": ["u1", "u4"]},
        {"variant": "control", "by": "targetingKey", "keys": ["u2", "u3"]},
        {"variant": "new", "by": "org", "keys": ["u3"]},
    ]
    shop.change({"do": "remove_targets", "keys": ["u1", "u4"], "variant": "control"})
    assert len(shop.document()["targets"]) == 3
    shop.change({"do": "remove_targets", "keys": ["u1", "u4", "u3"]})
    assert shop.document()["targets"] == [
        {"variant": "control", "by": "targetingKey", "keys": ["u2"]},
        {"variant": "new", "by": "org", "keys": ["u3"]},
    ]


def test_a_variant_is_the_same_in_every_environment(shop: Any) -> None:
    before = shop.number(), shop.number("staging")
    result = shop.change({"do": "add_variant", "variant": "third", "value": "x", "on": False})
    assert result.published == {"production": before[0] + 1, "staging": before[1] + 1}
    assert (
        shop.document(environment="staging")["variants"]
        == shop.document()["variants"]
        == {
            "control": {"value": "old"},
            "new": {"value": "new"},
            "third": {"value": "x", "on": False},
        }
    )
    staging = shop.flag_set(environment="staging")["flags"]["checkout"]
    assert staging == shop.document(environment="staging")
    shop.change({"do": "update_variant", "variant": "third", "value": "y"}, environment="staging")
    assert shop.flag_set()["flags"]["checkout"]["variants"]["third"] == {"value": "y", "on": False}


def test_a_variant_that_is_used_anywhere_is_not_removed(shop: Any) -> None:
    shop.change(ROLLOUT, environment="staging")
    with pytest.raises(StateError, match="environment staging"):
        shop.change({"do": "remove_variant", "variant": "new"})
    shop.change({"do": "remove_rule", "rule": "ramp"}, environment="staging")
    shop.change({"do": "remove_variant", "variant": "new"})
    assert list(shop.document(environment="staging")["variants"]) == ["control"]


def test_values_are_coerced_to_the_type_of_the_flag(shop: Any) -> None:
    shop.create({"key": "price", "type": "float", "variants": {"a": {"value": 10}}})
    shop.change({"do": "add_variant", "variant": "b", "value": 20}, flag="price")
    variants = shop.flag_set()["flags"]["price"]["variants"]
    assert [type(variant["value"]) for variant in variants.values()] == [float, float]
    with pytest.raises(InvalidInputError) as refusal:
        shop.change({"do": "update_variant", "variant": "a", "value": True}, flag="price")
    assert refusal.value.field == "instructions[0].value"


def test_prerequisites_must_exist_and_go_in_no_circle(shop: Any) -> None:
    shop.create({"key": "pay"})
    shop.create({"key": "base"})

    def needs(flag: str, other: str, variant: str = "on") -> Any:
        given = [{"flag": other, "variants": [variant]}]
        return shop.change({"do": "set_prerequisites", "prerequisites": given}, flag=flag)

    needs("checkout", "pay")
    needs("pay", "base")
    with pytest.raises(InvalidInputError, match="circle") as refusal:
        needs("base", "checkout", "new")
    assert refusal.value.field == "instructions[0].prerequisites"
    with pytest.raises(InvalidInputError) as refusal:
        needs("checkout", "nope")
    assert refusal.value.field == "instructions[0].prerequisites[0].flag"
    with pytest.raises(InvalidInputError) as refusal:
        needs("checkout", "pay", "nope")
    assert refusal.value.field == "instructions[0].prerequisites[0].variants[0]"


def test_segments_are_added_named_in_rules_and_then_kept(shop: Any) -> None:
    shop.change(
        {"do": "add_rule", "rule": {"id": "r", "when": {"segment": "eu"}, "serve": "new"}},
        {"do": "add_segment", "segment": "eu", "condition": EU, "name": "Europe"},
    )
    assert shop.flag_set()["segments"] == {"eu": EU}
    assert shop.flag_set(environment="staging")["segments"] == {}
    result = shop.change({"do": "update_segment", "segment": "eu", "condition": True})
    assert result.segments_before["eu"]["condition"] == EU
    assert result.segments_after["eu"] == {"key": "eu", "name": "Europe", "condition": True}
    number = shop.number()
    shop.change({"do": "update_segment", "segment": "eu", "name": "EU"})
    assert shop.number() == number
    with shop.database.read() as session:
        (segment,) = list_segments(session, shop.project, "production")
    assert (segment.name, segment.condition) == ("EU", True)
    with pytest.raises(StateError, match="flag checkout"):
        shop.change({"do": "remove_segment", "segment": "eu"})
    shop.change({"do": "remove_rule", "rule": "r"}, {"do": "remove_segment", "segment": "eu"})
    assert shop.flag_set()["segments"] == {}


def test_archiving_takes_a_flag_out_everywhere_and_restoring_brings_it_back(shop: Any) -> None:
    shop.change({"do": "turn_on"})
    result = shop.change({"do": "archive"})
    assert set(result.published) == {"production", "staging"}
    assert result.after == {"checkout": None}
    assert result.sentence == "checkout is archived."
    assert shop.flag_set()["flags"] == shop.flag_set(environment="staging")["flags"] == {}
    with pytest.raises(StateError, match="archived"):
        shop.change({"do": "turn_off"})
    shop.change({"do": "restore"})
    assert shop.flag_set()["flags"]["checkout"]["enabled"] is True


def test_a_flag_that_others_ask_about_is_not_archived(shop: Any) -> None:
    shop.create({"key": "pay"})
    asks = {"flag": "pay", "variants": ["on"]}
    shop.change(
        {"do": "add_rule", "rule": {"id": "r", "when": asks, "serve": "new"}}, environment="staging"
    )
    with pytest.raises(FlagstoneError, match="pay"):
        shop.change({"do": "archive"}, flag="pay")
    with pytest.raises(FlagstoneError, match="pay"):
        shop.preview({"do": "archive"}, flag="pay")
    assert "pay" in shop.flag_set()["flags"]
    with pytest.raises(StateError, match="flag checkout"):
        shop.change({"do": "archive"}, flag="pay", environment="staging")


def test_what_a_flag_is_called_is_not_published_but_who_owns_it_is(shop: Any) -> None:
    number = shop.number()
    result = shop.change({"do": "update_flag", "name": "Checkout", "description": "The new one"})
    assert result.changed
    assert shop.number() == number
    assert shop.flag().name == "Checkout"
    shop.change(
        {"do": "update_flag", "owner": "growth", "client": True, "metadata": {"ticket": "T-1"}}
    )
    assert shop.number() == number + 1
    published = shop.flag_set(environment="staging")["flags"]["checkout"]
    assert published["metadata"] == {"owner": "growth", "ticket": "T-1"}
    assert published["client"] is True


def test_the_first_refusal_undoes_the_whole_change(shop: Any) -> None:
    before = shop.flag_set()
    with pytest.raises(InvalidInputError) as refusal:
        shop.change({"do": "turn_on"}, {"do": "set_coverage", "rule": "nope", "value": 0.5})
    assert refusal.value.field == "instructions[1].rule"
    assert shop.flag_set() == before
    assert shop.document()["enabled"] is False


@pytest.mark.parametrize(
    ("instruction", "error", "field"),
    [
        ({"do": "turn_on", "flag": "nope"}, NotFoundError, "flag"),
        ({"do": "remove_rule", "rule": "nope"}, InvalidInputError, "rule"),
        ({"do": "add_rule", "rule": {"id": "r", "serve": "nope"}}, InvalidInputError, "rule.serve"),
        (
            {"do": "add_rule", "rule": {"serve": {"split": {"weights": {"nope": 1}}}}},
            InvalidInputError,
            "rule.serve.split",
        ),
        (
            {"do": "add_rule", "rule": {"serve": {"split": {"weights": {"new": 0}}}}},
            InvalidInputError,
            "rule.serve.split.weights",
        ),
        (
            {
                "do": "add_rule",
                "rule": {"serve": {"split": {"to": [{"variant": "new", "ranges": [[5, 1]]}]}}},
            },
            InvalidInputError,
            "rule.serve.split.to[0].ranges[0]",
        ),
        (
            {
                "do": "add_rule",
                "rule": {
                    "serve": {
                        "split": {
                            "to": [
                                {"variant": "control", "ranges": [[0, 10]]},
                                {"variant": "new", "ranges": [[5, 20]]},
                            ]
                        }
                    }
                },
            },
            InvalidInputError,
            "rule.serve.split.to[1].ranges[0]",
        ),
        (
            {"do": "add_rule", "rule": {"when": {"all": [True, {"not": {}}]}, "serve": "new"}},
            InvalidInputError,
            "rule.when.all[1].not",
        ),
        (
            {
                "do": "add_rule",
                "rule": {"when": {"all": [True, {"segment": "nope"}]}, "serve": "new"},
            },
            InvalidInputError,
            "rule.when.all[1].segment",
        ),
        (
            {"do": "add_rule", "rule": {"when": {"flag": "nope", "on": True}, "serve": "new"}},
            InvalidInputError,
            "rule.when.flag",
        ),
        (
            {"do": "add_rule", "rule": {"when": {"attr": "a", "op": "is"}, "serve": "new"}},
            InvalidInputError,
            "rule.when.op",
        ),
        (
            {"do": "add_rule", "rule": {"serve": "new"}, "position": 9},
            InvalidInputError,
            "position",
        ),
        (
            {
                "do": "add_rule",
                "rule": {
                    "serve": "new",
                    "start": "2026-02-01T00:00:00Z",
                    "end": "2026-02-01T00:00:00.0Z",
                },
            },
            InvalidInputError,
            "rule.end",
        ),
        ({"do": "add_variant", "variant": "new", "value": "x"}, AlreadyExistsError, "variant"),
        ({"do": "add_variant", "variant": "a\n", "value": "x"}, InvalidInputError, "variant"),
        ({"do": "add_targets", "variant": "nope", "keys": ["u"]}, InvalidInputError, "variant"),
        ({"do": "add_segment", "segment": "EU", "condition": True}, InvalidInputError, "segment"),
        ({"do": "add_segment", "segment": "eu", "condition": {}}, InvalidInputError, "condition"),
        ({"do": "update_segment", "segment": "eu"}, NotFoundError, "segment"),
        ({"do": "remove_segment", "segment": "eu"}, NotFoundError, "segment"),
        ({"do": "revert_to", "revision": 999}, NotFoundError, "revision"),
        ({"do": "revert_to", "revision": 1}, NotFoundError, "revision"),
    ],
)
def test_what_cannot_be_done_is_refused_where_it_is_written(
    shop: Any, instruction: dict[str, Any], error: type[FlagstoneError], field: str
) -> None:
    number = shop.number()
    with pytest.raises(error) as refusal:
        shop.change(instruction)
    assert refusal.value.field in {field, f"instructions[0].{field}"}
    with pytest.raises(error):
        shop.preview(instruction)
    assert shop.number() == number


@pytest.mark.parametrize(
    "pattern", ["(?=a)", r"(a)\1", "(", "a{2000}", "(a{30}){40}", "(?<n>a)(?P=n)"]
)
def test_a_regular_expression_that_re2_cannot_run_is_refused(shop: Any, pattern: str) -> None:
    when = {"attr": "email", "op": "regex", "values": ["^ok$", pattern]}
    with pytest.raises(InvalidInputError) as refusal:
        shop.change({"do": "add_rule", "rule": {"when": when, "serve": "new"}})
    assert str(refusal.value.field).startswith("instructions[0].rule.when.values")


def test_a_preview_shows_what_the_application_does_and_writes_nothing(shop: Any) -> None:
    instructions = [{"do": "turn_on"}, ROLLOUT, {"do": "add_variant", "variant": "c", "value": "c"}]
    number, before = shop.number(), shop.flag_set()
    preview = shop.preview(*instructions)
    assert (shop.number(), shop.flag_set()) == (number, before)
    result = shop.change(*instructions)
    assert preview.revision is None
    assert preview.after == result.after
    assert preview.before == result.before
    assert preview.sentence == result.sentence


def test_a_stale_expectation_is_a_conflict_that_names_both_versions(shop: Any) -> None:
    number = shop.number()
    shop.change({"do": "turn_on"}, expected_version=number)
    with pytest.raises(VersionConflictError) as conflict:
        shop.change({"do": "turn_off"}, expected_version=number)
    assert f"revision {number + 1}" in conflict.value.message
    assert f"not at {number} " in conflict.value.message
    version = shop.document()["version"]
    with pytest.raises(VersionConflictError, match=f"version {version}"):
        shop.change({"do": "turn_off"}, expected_flag_versions={"checkout": version - 1})
    shop.change({"do": "turn_off"}, expected_flag_versions={"checkout": version})


def test_a_flag_has_limits_that_are_said(shop: Any) -> None:
    ids = [f"r{number}" for number in range(200)]
    for start in (0, 100):
        shop.change(
            *(
                {"do": "add_rule", "rule": {"id": name, "serve": "new"}}
                for name in ids[start : start + 100]
            )
        )
    with pytest.raises(InvalidInputError, match="200 rules"):
        shop.change({"do": "add_rule", "rule": {"id": "last", "serve": "new"}})
    shop.create({"key": "big", "type": "object", "variants": {"a": {"value": {}}}})
    heavy = {str(number): "x" * 60_000 for number in range(20)}
    with pytest.raises(InvalidInputError, match="at most 1,048,576"):
        shop.change({"do": "update_variant", "variant": "a", "value": heavy}, flag="big")
    deep: Any = True
    for _ in range(33):
        deep = {"not": deep}
    with pytest.raises(InvalidInputError, match="32 levels") as refusal:
        shop.change({"do": "add_segment", "segment": "deep", "condition": deep})
    assert refusal.value.field == "instructions[0].condition"
