"""Whatever is asked, of whatever was read, an answer is given: the same by every way."""

from __future__ import annotations

import contextlib
import json
import pickle
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine import (
    ErrorCode,
    EvaluationDetails,
    FlagSet,
    FlagSetError,
    Reason,
    compare,
    compile_flag_set,
    evaluate,
    explain,
    parse_flag_set,
    to_document,
)
from flagstone.engine.careful import careful_program, settled
from flagstone.engine.generate import generated_program
from flagstone.engine.times import seconds_of
from tests.sdk.engine.fuzzing import (
    FIELDS,
    NOW,
    Author,
    anything,
    damage,
    fuzzed,
    is_finite,
    json_of,
    seeds,
    shown,
)

junk = st.sampled_from(["a", "first", [], {}, None, 0, 1.5, "in", True]) | json_of(FIELDS)


def carefully(flag_set: FlagSet, key: str, context: Any, now: float) -> EvaluationDetails:
    compiled = compile_flag_set(flag_set)
    flag = flag_set.flags[key]
    return settled(flag) or careful_program(flag, compiled)(context, now)


def seconds_or_none(now: Any) -> float | None:
    with contextlib.suppress(Exception):
        return float(seconds_of(now))
    return None


def check(flag_set: FlagSet, key: Any, context: Any, now: Any) -> EvaluationDetails:
    """Ask in every way there is; return the answer that they agree on."""
    details = evaluate(flag_set, key, context, now)
    assert evaluate(flag_set, key, context, now) == details
    assert explain(flag_set, key, context, now).details == details
    flag = flag_set.flags.get(key) if isinstance(key, str) else None
    if flag is None:
        assert details.error_code in (ErrorCode.FLAG_NOT_FOUND, ErrorCode.GENERAL)
        return details
    assert details.flag_key == key
    if details.error_code is None:
        assert details.reason is not Reason.ERROR
        variant = None if details.variant is None else flag.variants[details.variant]
        assert details.value is (None if variant is None else variant.value)
        assert details.on is (variant is not None and variant.on)
        rules = {rule.id: rule for rule in flag.rules}
        assert details.track is (details.rule_id is not None and rules[details.rule_id].track)
        assert (details.reason is Reason.SPLIT) <= (details.rule_id is not None)
    else:
        assert details.reason is Reason.ERROR
        assert (details.value, details.variant, details.on) == (None, None, False)
        assert details.error_message
    seconds = seconds_or_none(now)
    if isinstance(context, dict) and seconds is not None:
        assert carefully(flag_set, key, context, seconds) == details
        at_fault = flag.fault is not None and flag.enabled and not flag.killed
        assert details.error_code is (ErrorCode.PARSE_ERROR if at_fault else None)
    return details


@given(seeds)
@fuzzed(60)
def test_sound_flags_answer_alike_by_every_way(rng: random.Random) -> None:
    author = Author(rng)
    document = author.flag_set()
    flag_set = parse_flag_set(document)
    again = pickle.loads(pickle.dumps(flag_set))
    for key in document["flags"]:
        for _ in range(10):
            context = author.plain_context()
            with shown(document, key, context):
                details = check(flag_set, key, context, NOW)
                assert details.error_code is None
                assert evaluate(again, key, context, NOW) == details
                assert evaluate(document, key, context, NOW) == details
                # What can be written as JSON is explained in JSON.
                explanation = explain(flag_set, key, context, NOW)
                json.dumps(explanation.to_document())
                assert explanation.to_text()
                assert [step.served for step in explanation.steps].count(True) == 1


@given(seeds)
@fuzzed(40)
def test_programs_answer_plain_data_themselves(rng: random.Random) -> None:
    """Careful code heals what a program raises; on plain data it must not come to that."""
    author = Author(rng)
    document = json.loads(json.dumps(author.flag_set()).replace("\\ud800", "x"))
    flag_set = parse_flag_set(document)
    compiled = compile_flag_set(flag_set)
    for key, flag in flag_set.flags.items():
        if settled(flag) is None:
            program = generated_program(flag, compiled)
            careful = careful_program(flag, compiled)
            for _ in range(15):
                context = json.loads(json.dumps(author.plain_context()).replace("\\ud800", "x"))
                with shown(document, key, context):
                    assert program(context, NOW) == careful(context, NOW)


@given(seeds)
@fuzzed(70)
def test_any_objects_get_an_answer(rng: random.Random) -> None:
    author = Author(rng)
    document = author.flag_set()
    flag_set = parse_flag_set(document)
    for key in [*document["flags"], author.pick(["", "nobody", "\ud800", None, 7, [], object()])]:
        for _ in range(5):
            context, now = author.context(), author.now()
            with shown(document, key, context, now):
                check(flag_set, key, context, now)
                compiled = compile_flag_set(flag_set)
                assert isinstance(compiled.evaluate(key, context, now), EvaluationDetails)
    context, now = author.context(), author.now()
    for whole in (anything(rng), {"flags": anything(rng)}, {"flags": {"first": anything(rng)}}):
        assert isinstance(evaluate(whole, "first", context, now), EvaluationDetails)
        assert isinstance(explain(whole, "first", context, now).details, EvaluationDetails)


@given(seeds, st.data())
@fuzzed(60)
def test_what_came_through_damaged_answers_too(rng: random.Random, data: st.DataObject) -> None:
    author = Author(rng)
    document = damage(data.draw, author.flag_set(), junk)
    try:
        flag_set = parse_flag_set(document, strict=False)
    except FlagSetError:
        return
    context, now = author.context(), author.now()
    for key, flag in flag_set.flags.items():
        with shown(document, key, context, now):
            for one, at in ((author.plain_context(), NOW), (context, now)):
                details = check(flag_set, key, one, at)
                if flag.fault is None:
                    assert details.error_code is not ErrorCode.PARSE_ERROR
    if is_finite(to_document(flag_set)):
        again = pickle.loads(pickle.dumps(flag_set))
        for key in flag_set.flags:
            assert evaluate(again, key, {}, NOW) == evaluate(flag_set, key, {}, NOW)


@given(seeds)
@fuzzed(20)
def test_nobody_moves_between_a_flag_set_and_itself(rng: random.Random) -> None:
    author = Author(rng)
    flag_set = parse_flag_set(author.flag_set())
    contexts = [author.plain_context() for _ in range(5)]
    again = parse_flag_set(to_document(flag_set))
    assert not compare(flag_set, again, contexts, NOW).moves
