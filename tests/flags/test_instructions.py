"""Reading a change: what is refused, and where."""

from __future__ import annotations

from typing import Any

import pytest

from flags.changes import parse_change
from flags.errors import InvalidInputError
from flags.instructions import AddSegment, SetCoverage, TurnOn


def one(**instruction: Any) -> dict[str, Any]:
    return {"instructions": [instruction]}


SET_COVERAGE: dict[str, Any] = {"do": "set_coverage", "flag": "f", "rule": "r"}
ADD_RULE: dict[str, Any] = {"do": "add_rule", "flag": "f"}


def test_a_change_is_read_into_frozen_instructions() -> None:
    change = parse_change(
        {
            "environment": "production",
            "comment": "why",
            "mode": "preview",
            "instructions": [{"do": "turn_on", "flag": "f"}],
        }
    )
    assert change.instructions == [TurnOn(do="turn_on", flag="f")]
    assert (change.environment, change.comment, change.mode) == ("production", "why", "preview")


def test_a_flag_beside_the_instructions_stands_for_those_that_name_none() -> None:
    change = parse_change(
        {
            "flag": "f",
            "instructions": [
                {"do": "set_coverage", "rule": "eu", "value": 0.25},
                {"do": "turn_on", "flag": "g"},
                {"do": "add_segment", "segment": "s", "condition": True},
            ],
        }
    )
    assert change.instructions == [
        SetCoverage(do="set_coverage", flag="f", rule="eu", value=0.25),
        TurnOn(do="turn_on", flag="g"),
        AddSegment(do="add_segment", segment="s", condition=True),
    ]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (None, None),
        ([], None),
        ("x", None),
        ({}, "instructions"),
        ({"instructions": []}, "instructions"),
        ({"instructions": {}}, "instructions"),
        ({"instructions": [None]}, "instructions[0]"),
        ({"instructions": [{"do": "turn_on", "flag": "f"}] * 201}, "instructions"),
        ({"instructions": [{"do": "turn_on", "flag": "f"}], "extra": 1}, "extra"),
        ({"instructions": [{"do": "turn_on", "flag": "f"}], "comment": "x" * 2001}, "comment"),
        ({"instructions": [{"do": "turn_on", "flag": "f"}], "mode": "later"}, "mode"),
        (one(flag="f"), "instructions[0].do"),
        (one(do="explode", flag="f"), "instructions[0].do"),
        (one(do="turn_on"), "instructions[0].flag"),
        (one(do="turn_on", flag=7), "instructions[0].flag"),
        (one(do="turn_on", flag="f", x=1), "instructions[0].x"),
        (one(**SET_COVERAGE), "instructions[0].value"),
        (one(**SET_COVERAGE, value=1.01), "instructions[0].value"),
        (one(**SET_COVERAGE, value="0.5"), "instructions[0].value"),
        (one(**SET_COVERAGE, value=True), "instructions[0].value"),
        (one(**ADD_RULE), "instructions[0].rule"),
        (one(**ADD_RULE, rule={"id": "r"}), "instructions[0].rule.serve"),
        (one(**ADD_RULE, rule={"serve": 1}), "instructions[0].rule.serve"),
        (one(**ADD_RULE, rule={"serve": {}}), "instructions[0].rule.serve.split"),
        (
            one(**ADD_RULE, rule={"serve": {"split": {"weights": {"a": 1}, "coverage": 2}}}),
            "instructions[0].rule.serve.split.coverage",
        ),
        (
            one(**ADD_RULE, rule={"serve": {"split": {"weights": {"a": 0.5}}}}),
            "instructions[0].rule.serve.split.weights.a",
        ),
        (
            one(**ADD_RULE, rule={"serve": {"split": {"to": [{"variant": "a", "ranges": [[1]]}]}}}),
            "instructions[0].rule.serve.split.to[0].ranges[0]",
        ),
        (one(**ADD_RULE, rule={"serve": "a", "start": "tomorrow"}), "instructions[0].rule.start"),
        (one(**ADD_RULE, rule={"serve": "a", "start": "2026-01-01"}), "instructions[0].rule.start"),
        (
            one(do="add_targets", flag="f", variant="v", keys=["a", 7]),
            "instructions[0].keys[1]",
        ),
        (one(do="add_targets", flag="f", variant="v", keys=[]), "instructions[0].keys"),
        (one(do="add_variant", flag="f", variant="v", value=2**53), "instructions[0].value"),
        (one(do="add_variant", flag="f", variant="v", value="\ud800"), "instructions[0].value"),
        (
            one(do="update_flag", flag="f", metadata={"a": {"b": 1}}),
            "instructions[0].metadata.a",
        ),
        (one(do="update_flag", flag="f", metadata={"owner": "x"}), "instructions[0].metadata"),
        (one(do="revert_to", revision=0), "instructions[0].revision"),
    ],
)
def test_a_malformed_change_is_refused_by_the_path_of_its_fault(
    document: Any, field: str | None
) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        parse_change(document)
    assert refusal.value.field == field
    assert refusal.value.message


def test_a_document_without_a_bottom_is_refused_quickly() -> None:
    deep: Any = True
    for _ in range(50_000):
        deep = {"not": deep}
    with pytest.raises(InvalidInputError, match="nested"):
        parse_change(one(do="add_segment", segment="s", condition=deep))
