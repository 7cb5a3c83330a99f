"""Who moves between two flag sets."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine import bucket, compare, evaluate, parse_flag_set


def rollout(on: int, **more: Any) -> dict[str, Any]:
    to = [{"variant": "on", "ranges": [[0, on]]}]
    rule = {"id": "r", "when": True, "serve": {"split": {"salt": "s", "of": 100, "to": to}}}
    variants = {"on": {"value": True}, "off": {"value": False}}
    flag = {"type": "boolean", "variants": variants, "default": "off", "rules": [rule], **more}
    return {"flags": {"f": flag}}


PEOPLE = [{"targetingKey": f"user-{number}"} for number in range(500)]


@given(st.integers(0, 100), st.integers(0, 100))
def test_those_between_two_shares_move_and_nobody_else(before: int, after: int) -> None:
    found = compare(rollout(before), rollout(after), PEOPLE, 0.0)
    low, high = sorted((before, after))
    places = [bucket("flagstone", "s", person["targetingKey"], 100) for person in PEOPLE]
    between = sum(low <= place < high for place in places)
    assert found.contexts == len(PEOPLE)
    assert sum(move.count for move in found.moves) == between
    for move in found.moves:
        assert (move.after.value, move.before.value) == (after > before, after < before)
        for example in move.examples:
            assert evaluate(rollout(before), "f", example, 0.0).value is move.before.value
            assert evaluate(rollout(after), "f", example, 0.0).value is move.after.value


def test_a_flag_that_one_side_lacks_gives_the_callers_default_there() -> None:
    (gone,) = compare(rollout(100), {"flags": {}}, PEOPLE[:1], 0.0).moves
    assert (gone.before.variant, gone.after.variant) == ("on", None)
    assert gone.to_document()["after"] == {"variant": None, "value": None, "on": False}


def test_a_new_name_of_the_same_value_moves_nobody() -> None:
    before = rollout(100)
    after = rollout(100)
    flag = after["flags"]["f"]
    flag["variants"] = {"yes": {"value": True}, "off": {"value": False}}
    flag["rules"][0]["serve"]["split"]["to"][0]["variant"] = "yes"
    assert compare(before, after, PEOPLE, 0.0).moves == ()


def test_equal_values_of_another_type_are_a_move() -> None:
    def flag(value: Any) -> dict[str, Any]:
        kinds = {"type": "object", "variants": {"a": {"value": value}}, "default": "a"}
        return {"flags": {"f": kinds}}

    assert len(compare(flag([1]), flag([True]), PEOPLE, 0.0).moves) == 1
    assert compare(flag([1]), flag([1.0]), PEOPLE, 0.0).moves == ()


def test_only_the_flags_that_are_asked_for_are_compared_and_few_examples_kept() -> None:
    before, after = rollout(0), rollout(100)
    for document in (before, after):
        document["flags"]["g"] = document["flags"]["f"]
    found = compare(before, after, PEOPLE, 0.0, flag_keys=["g"], examples=2)
    (move,) = found.moves
    assert (move.flag, move.count, len(move.examples)) == ("g", 500, 2)
    assert found.to_document()["moves"][0]["count"] == 500


def test_the_time_decides_for_both_sides() -> None:
    before = rollout(100)
    after = rollout(100)
    after["flags"]["f"]["rules"][0]["end"] = "2026-01-01T00:00:00Z"
    parsed = parse_flag_set(after)
    assert compare(before, parsed, PEOPLE, 1_767_225_599.0).moves == ()
    assert compare(before, parsed, PEOPLE, 1_767_225_600.0).moves[0].count == 500
