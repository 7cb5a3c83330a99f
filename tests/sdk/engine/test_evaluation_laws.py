"""Laws of evaluation, over random flag sets and contexts."""

from __future__ import annotations

import copy
import json
from itertools import product
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flagstone.engine import (
    ErrorCode,
    EvaluationDetails,
    Reason,
    compile_flag_set,
    evaluate,
    explain,
    parse_flag_set,
    to_document,
)
from flagstone.engine.careful import careful_program, settled
from flagstone.engine.generate import generated_program
from tests.sdk.engine import reference
from tests.sdk.engine.strategies import NOW, Raising, contexts, flag_sets, units, weird_contexts

several_contexts = st.lists(contexts, min_size=1, max_size=8)
SLOWLY = settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow], deadline=None)
FEW = settings(SLOWLY, max_examples=30)


@given(flag_sets(), several_contexts)
@SLOWLY
def test_an_answer_is_what_the_plain_interpreter_says(document: Any, several: Any) -> None:
    flag_set = parse_flag_set(document)
    for key, context in product(document["flags"], several):
        details = evaluate(flag_set, key, context, NOW)
        wanted = reference.evaluate(document, key, context, NOW)
        assert (details.variant, str(details.reason), details.rule_id) == wanted
        variant = document["flags"][key]["variants"].get(wanted[0])
        assert details.value == (None if variant is None else variant["value"])
        assert details.on is (variant is not None and variant.get("on", True))
        if settled(flag_set.flags[key]) is None:
            # Careful code heals what a program raises: on plain data it must not come to that.
            program = generated_program(flag_set.flags[key], compile_flag_set(flag_set))
            assert program(context, NOW) == details


def carefully(flag_set: Any, key: str, context: Any, now: float) -> EvaluationDetails:
    compiled = compile_flag_set(flag_set)
    return settled(flag_set.flags[key]) or careful_program(flag_set.flags[key], compiled)(
        context, now
    )


@given(flag_sets(), st.lists(weird_contexts, min_size=1, max_size=8))
@SLOWLY
def test_generated_programs_answer_as_careful_ones_on_any_object(
    document: Any, several: Any
) -> None:
    flag_set = parse_flag_set(document)
    for key, context in product(document["flags"], several):
        details = evaluate(flag_set, key, context, NOW)
        assert details == carefully(flag_set, key, context, NOW)
        assert details.error_code is None


@given(flag_sets(), contexts | weird_contexts)
@FEW
def test_an_explanation_has_the_details_of_the_evaluation(document: Any, context: Any) -> None:
    flag_set = parse_flag_set(document)
    for key in document["flags"]:
        explanation = explain(flag_set, key, context, NOW)
        details = evaluate(flag_set, key, context, NOW)
        assert explanation.details == details
        assert [step.served for step in explanation.steps].index(True) + 1 == len(explanation.steps)
        last = explanation.steps[-1]
        if details.rule_id is not None:
            assert (last.kind, last.name) == ("rule", details.rule_id)
        elif details.reason in (Reason.DEFAULT, Reason.STATIC):
            assert last.kind == "default"
        else:
            assert last.kind in ("killed", "disabled", "prerequisite", "target")
        for step in explanation.steps:
            assert step.served or step.kind != "rule" or step.refusals or step.sentence
        json.dumps(explanation.to_document())
        assert explanation.to_text().count("\n") >= len(explanation.steps)


@given(flag_sets())
@FEW
def test_reading_a_written_flag_set_gives_it_back(document: Any) -> None:
    before = copy.deepcopy(document)
    flag_set = parse_flag_set(document)
    written = to_document(flag_set)
    assert document == before
    assert parse_flag_set(written) == flag_set
    assert parse_flag_set(json.dumps(written)) == flag_set
    assert parse_flag_set(written, strict=False) == flag_set
    assert to_document(parse_flag_set(written)) == written


@given(
    st.none() | st.text() | st.integers() | st.just([]) | st.builds(Raising),
    st.none() | st.text() | st.integers() | st.lists(st.integers()) | st.builds(Raising),
    st.none() | st.text() | st.floats() | st.builds(Raising) | st.datetimes(),
)
@example("first", {}, float("nan"))
@example("first", {"targetingKey": "u"}, 10**400)
@settings(deadline=None)
def test_whatever_is_asked_an_answer_is_given(key: Any, context: Any, now: Any) -> None:
    rule = {"id": "r", "start": "2026-01-01T00:00:00Z", "when": True, "serve": "a"}
    flag = {"type": "string", "variants": {"a": {"value": "a"}}, "rules": [rule]}
    document = {"flags": {"first": flag}}
    for flag_set in (document, parse_flag_set(document), None, [], "{", Raising()):
        details = evaluate(flag_set, key, context, now)
        assert isinstance(details, EvaluationDetails)
        assert explain(flag_set, key, context, now).details == details


def test_a_context_that_is_no_mapping_is_an_error_unless_the_flag_is_off() -> None:
    rule = {"id": "r", "when": True, "serve": "a"}
    flag = {"type": "string", "variants": {"a": {"value": "a"}}, "rules": [rule], "off": "a"}
    flag_set = parse_flag_set({"flags": {"on": flag, "off": {**flag, "enabled": False}}})
    assert evaluate(flag_set, "on", [1], NOW).error_code is ErrorCode.INVALID_CONTEXT
    assert evaluate(flag_set, "off", [1], NOW).variant == "a"
    assert evaluate(flag_set, "on", None, NOW).variant == "a"


def coverage(weights: list[int], share: float) -> list[dict[str, Any]]:
    """Ranges as they are stored: each variant's slot starts in one place for ever."""
    slots, start = [], 0
    for index, weight in enumerate(weights):
        end = start + round(weight * share)
        slots.append({"variant": "abc"[index], "ranges": [[start, end]]})
        start += weight
    return slots


def widened(share: float) -> Any:
    split = {"salt": "s", "of": 10_000, "to": coverage([5000, 3000, 2000], share)}
    return parse_flag_set(
        {
            "flags": {
                "f": {
                    "type": "string",
                    "variants": {name: {"value": name} for name in "abc"},
                    "rules": [{"id": "r", "when": True, "serve": {"split": split}}],
                }
            }
        }
    )


@given(st.lists(units, max_size=30), st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None)
def test_widening_a_coverage_moves_nobody_who_was_in(
    people: list[Any], one: float, other: float
) -> None:
    small, large = widened(min(one, other)), widened(max(one, other))
    for unit in people:
        before = evaluate(small, "f", {"targetingKey": unit}, NOW).variant
        if before is not None:
            assert evaluate(large, "f", {"targetingKey": unit}, NOW).variant == before


@given(flag_sets(), contexts, st.booleans())
@FEW
def test_killed_and_off_beat_everything(document: Any, context: Any, killed: bool) -> None:
    for flag in document["flags"].values():
        flag["killed" if killed else "enabled"] = killed
        flag["off"] = "b"
        # What cannot be read does not survive either.
        flag["rules"] = [{"id": "broken", "when": {"op": "is_cute"}}, *flag["rules"]]
    flag_set = parse_flag_set(document, strict=False)
    for key in document["flags"]:
        details = evaluate(flag_set, key, context, NOW)
        assert (details.variant, details.reason) == ("b", Reason.DISABLED)
        if killed:
            assert details.metadata["killed"] is True


@given(flag_sets(), contexts)
@FEW
def test_answers_do_not_depend_on_the_other_flags(document: Any, context: Any) -> None:
    flag_set = parse_flag_set(document)
    key = next(iter(document["flags"]))  # the first one refers to nobody
    alone = parse_flag_set({**document, "flags": {key: document["flags"][key]}})
    assert evaluate(flag_set, key, context, NOW) == evaluate(alone, key, context, NOW)
