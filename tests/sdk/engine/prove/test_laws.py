"""Laws of classification, and the answers to edits that people make."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagstone.engine import (
    Classification,
    FlagClassification,
    Verdict,
    classify,
    evaluate,
    parse_flag_set,
)
from flagstone.engine.compare import Served
from tests.sdk.engine.prove.random_flags import World, a_flag_set, edited

BOOLEAN = {"on": {"value": True}, "off": {"value": False}}
START = 1_767_225_600.0
OPPOSITE = {
    Verdict.ONLY_WIDENS: Verdict.ONLY_NARROWS,
    Verdict.ONLY_NARROWS: Verdict.ONLY_WIDENS,
}


def boolean(*rules: Any, **more: Any) -> dict[str, Any]:
    flag = {"type": "boolean", "variants": BOOLEAN, "off": "off", "default": "off", **more}
    return {"flags": {"f": {**flag, "rules": list(rules)}}, "segments": {}}


def rule(when: Any = True, serve: Any = "on", *, name: str = "r", **more: Any) -> dict[str, Any]:
    return {"id": name, "when": when, "serve": serve, **more}


def split(*spans: tuple[str, int, int], of: int = 10_000, **more: Any) -> dict[str, Any]:
    to = [{"variant": variant, "ranges": [[low, high]]} for variant, low, high in spans]
    return {"split": {"salt": "s", "of": of, "to": to, **more}}


def experiment(*rules: Any, **more: Any) -> dict[str, Any]:
    """Make a flag whose control is a variant that is on, and has the value of ``off``."""
    flag = {
        "type": "string",
        "variants": {
            "control": {"value": "old"},
            "new": {"value": "new"},
            "newer": {"value": "newer"},
            "off": {"value": "old", "on": False},
        },
        "off": "off",
        "default": "control",
        "rules": list(rules),
        **more,
    }
    return {"flags": {"f": flag}}


def verdict(before: Any, after: Any, **more: Any) -> Verdict:
    return judged(before, after, **more).verdict


def judged(before: Any, after: Any, **more: Any) -> FlagClassification:
    found = classify(before, after, **more)["f"]
    for claim in (found.no_op, found.only_widens, found.only_narrows):
        if claim.holds is False:
            witness = claim.witness
            assert witness is not None
            for document, served in ((before, witness.before), (after, witness.after)):
                details = evaluate(document, "f", witness.context, witness.now)
                assert Served.of(details) == served
            assert not witness.before.is_same(witness.after)
    return found


def at_share(share: int) -> dict[str, Any]:
    return boolean(rule(serve=split(("on", 0, share))))


@given(st.integers(0, 10_000), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_more_coverage_only_widens_and_less_only_narrows(one: int, other: int) -> None:
    less, more = sorted((one, other))
    found = verdict(at_share(less), at_share(more))
    if less == more:
        assert found is Verdict.NO_OP
    else:
        assert found is Verdict.ONLY_WIDENS
        assert verdict(at_share(more), at_share(less)) is Verdict.ONLY_NARROWS


@given(st.integers(0, 2**48))
@settings(max_examples=60, deadline=None)
def test_an_edit_undone_is_the_opposite(seed: int) -> None:
    rng = random.Random(seed)
    world = World(rng)
    before = a_flag_set(rng, world)
    after = edited(rng, world, before)
    there, back = (classify(*pair)["flag"].verdict for pair in ((before, after), (after, before)))
    assert back is OPPOSITE.get(there, there)


@given(st.integers(0, 2**48))
@settings(max_examples=60, deadline=None)
def test_nothing_edited_is_a_no_op(seed: int) -> None:
    rng = random.Random(seed)
    before = a_flag_set(rng, World(rng))
    assert {found.verdict for found in classify(before, copy.deepcopy(before))} == {Verdict.NO_OP}


@given(st.integers(0, 2**48))
@settings(max_examples=40, deadline=None)
def test_two_edits_that_only_widen_only_widen_together(seed: int) -> None:
    rng = random.Random(seed)
    shares = [rng.randrange(10) for _ in range(3)]
    chosen = [rng.sample(["de", "at", "ch"], rng.randint(1, 3)) for _ in range(3)]
    steps = [
        boolean(
            rule({"attr": "country", "op": "in", "values": values}, split(("on", 0, share), of=10))
        )
        for share, values in zip(shares, chosen, strict=True)
    ]
    widens = {Verdict.NO_OP, Verdict.ONLY_WIDENS}
    if {verdict(steps[0], steps[1]), verdict(steps[1], steps[2])} <= widens:
        assert verdict(steps[0], steps[2]) in widens


def test_a_share_taken_from_a_full_split_moves_others() -> None:
    before = experiment(rule(serve=split(("control", 0, 5000), ("new", 5000, 10_000))))
    after = experiment(
        rule(serve=split(("control", 0, 4000), ("newer", 4000, 6000), ("new", 6000, 10_000)))
    )
    found = judged(before, after)
    assert found.verdict is Verdict.MOVES_OTHERS
    assert found.only_widens.witness is not None
    assert found.only_widens.witness.before.variant == "new"


def test_an_experiment_that_starts_only_widens() -> None:
    started = experiment(rule(serve=split(("control", 0, 2500), ("new", 5000, 7500))))
    assert verdict(experiment(), started) is Verdict.ONLY_WIDENS


def test_shipping_the_winner_as_the_default_only_widens() -> None:
    running = experiment(rule(serve=split(("control", 0, 5000), ("new", 5000, 10_000))))
    assert verdict(running, experiment(default="new")) is Verdict.ONLY_WIDENS


def test_a_default_that_changes_without_an_off_value_moves_others() -> None:
    assert verdict(experiment(off=None), experiment(off=None, default="new")) is (
        Verdict.MOVES_OTHERS
    )


def test_what_is_not_on_is_at_rest_even_with_a_value_of_its_own() -> None:
    shown = rule(serve="shown")
    variants = {"shown": {"value": "s", "on": False}, "new": {"value": "n"}, "a": {"value": "a"}}
    before = experiment(shown, variants=variants, off="a", default="a")
    assert verdict(
        before, experiment(rule(serve="new"), variants=variants, off="a", default="a")
    ) is (Verdict.ONLY_WIDENS)


def test_a_boolean_flag_that_is_on_by_default_is_not_at_rest() -> None:
    everybody = boolean(default="on")
    some = boolean(rule({"attr": "a", "op": "in", "values": ["x"]}, "off"), default="on")
    assert verdict(everybody, some) is Verdict.ONLY_NARROWS
    assert verdict(boolean(), everybody) is Verdict.ONLY_WIDENS


def test_killing_only_narrows_and_unkilling_only_widens() -> None:
    running, killed = at_share(5000), at_share(5000)
    killed["flags"]["f"]["killed"] = True
    assert verdict(running, killed) is Verdict.ONLY_NARROWS
    assert verdict(killed, running) is Verdict.ONLY_WIDENS


def test_an_edit_under_a_killed_flag_is_a_no_op() -> None:
    before, after = at_share(10), at_share(9000)
    before["flags"]["f"]["killed"] = after["flags"]["f"]["killed"] = True
    assert verdict(before, after) is Verdict.NO_OP


def test_other_names_for_equal_values_are_a_no_op() -> None:
    before = at_share(5000)
    after = json.loads(json.dumps(before).replace('"on"', '"yes"'))
    assert verdict(before, after) is Verdict.NO_OP
    assert verdict(before, json.loads(json.dumps(after).replace("true", "false"))) is not (
        Verdict.NO_OP
    )


def test_a_flag_that_comes_or_goes_moves_those_at_rest_too() -> None:
    assert verdict({"flags": {}}, at_share(5000)) is Verdict.MOVES_OTHERS
    assert verdict(at_share(0), {"flags": {}}) is Verdict.MOVES_OTHERS
    assert verdict({"flags": {}}, at_share(5000) | {"flags": {}}, flag_keys=["f"]) is Verdict.NO_OP
    without_off = at_share(5000)
    without_off["flags"]["f"]["default"] = None
    assert verdict({"flags": {}}, without_off) is Verdict.ONLY_WIDENS


def test_a_value_of_another_type_is_another_answer() -> None:
    def serving(value: Any) -> dict[str, Any]:
        flag = {"type": "object", "variants": {"a": {"value": value}}, "default": "a"}
        return {"flags": {"f": flag}}

    assert verdict(serving([1]), serving([1.0])) is Verdict.NO_OP
    assert verdict(serving([1]), serving([True])) is Verdict.MOVES_OTHERS
    assert verdict(serving({"a": None}), serving({"b": None})) is Verdict.MOVES_OTHERS


def test_a_new_salt_moves_others() -> None:
    before = at_share(5000)
    after = json.loads(json.dumps(before).replace('"salt": "s"', '"salt": "t"'))
    assert verdict(before, after) is Verdict.MOVES_OTHERS


def test_rules_that_exclude_each_other_may_change_places() -> None:
    one = rule({"attr": "age", "op": "lt", "values": [18]}, "off", name="one")
    other = rule({"attr": "age", "op": "gte", "values": [18]}, "on", name="other")
    assert verdict(boolean(one, other), boolean(other, one)) is Verdict.NO_OP
    wider = rule({"attr": "age", "op": "gte", "values": [17]}, "on", name="other")
    assert verdict(boolean(one, wider), boolean(wider, one)) is Verdict.ONLY_WIDENS


def test_segments_and_flags_are_followed() -> None:
    before = boolean(rule({"segment": "beta"}))
    before["segments"]["beta"] = {"attr": "plan", "op": "in", "values": ["pro"]}
    before["flags"]["gate"] = boolean(rule({"segment": "beta"}))["flags"]["f"]
    before["flags"]["f"]["prerequisites"] = [{"flag": "gate", "variants": ["on"]}]
    after = copy.deepcopy(before)
    after["segments"]["beta"]["values"] = ["pro", "max"]
    found = classify(before, after)
    assert [flag.verdict for flag in found] == [Verdict.ONLY_WIDENS] * 2
    witness = found["f"].no_op.witness
    assert witness is not None
    assert witness.context == {"plan": "max"}
    # Through a prerequisite that asks for the same, the rule's own condition is not missed.
    simpler = copy.deepcopy(before)
    simpler["flags"]["f"]["rules"][0]["when"] = True
    assert verdict(before, simpler) is Verdict.NO_OP


def test_a_target_that_ends_is_missed_before_its_end_only() -> None:
    target = {"variant": "on", "keys": ["u"], "until": "2026-01-01T00:00:00Z"}
    before, after = boolean(targets=[target]), boolean()
    assert verdict(before, after) is Verdict.ONLY_NARROWS
    assert verdict(before, after, now=START) is Verdict.NO_OP
    assert verdict(before, after, now=START - 1) is Verdict.ONLY_NARROWS
    assert verdict(before, after, now=(START, START + 100)) is Verdict.NO_OP
    assert verdict(before, after, now=(START - 100, START)) is Verdict.ONLY_NARROWS


def test_a_rule_that_starts_earlier_only_widens_at_the_times_between() -> None:
    early = boolean(rule(start="2026-01-01T00:00:00Z"))
    late = boolean(rule(start="2026-06-01T00:00:00Z"))
    found = judged(late, early)
    assert found.verdict is Verdict.ONLY_WIDENS
    assert found.no_op.witness is not None
    assert START <= found.no_op.witness.now < START + 151 * 86_400
    assert verdict(late, early, now=START - 1) is Verdict.NO_OP


def test_a_named_unit_has_its_own_bucket() -> None:
    """Of two people named, one is in the split: only that one can be moved."""
    named = {"attr": "targetingKey", "op": "in", "values": ["u1"]}
    # u1 has bucket 4508 of exp-42.
    inside, outside = ([4508, 4509], [4509, 10_000])
    for span, expected in ((inside, Verdict.ONLY_WIDENS), (outside, Verdict.NO_OP)):
        when = {"all": [named, {"bucket": {"salt": "exp-42", "ranges": [span]}}]}
        assert verdict(boolean(), boolean(rule(when))) is expected


def test_the_same_hash_in_other_numbers_of_buckets_is_one_hash() -> None:
    def share(of: int, high: int) -> dict[str, Any]:
        return boolean(rule(serve=split(("on", 0, high), of=of)))

    assert verdict(share(10, 1), share(10_000, 1000)) is Verdict.NO_OP
    assert verdict(share(3, 1), share(10_000, 3333)) is Verdict.ONLY_NARROWS
    assert verdict(share(3, 1), share(10_000, 3334)) is Verdict.ONLY_WIDENS


def test_a_remainder_is_not_scaled() -> None:
    def share(of: int, *ranges: list[int]) -> dict[str, Any]:
        inside = {"salt": "s", "hash": "unleash", "of": of, "ranges": list(ranges)}
        return boolean(rule({"bucket": inside}))

    assert verdict(share(2, [0, 1]), share(4, [0, 1], [2, 3])) is Verdict.NO_OP
    assert verdict(share(2, [0, 1]), share(4, [0, 2])) is Verdict.MOVES_OTHERS
    assert verdict(share(4, [0, 1]), share(2, [0, 1])) is Verdict.ONLY_WIDENS


def test_ranges_may_be_several_and_overlap() -> None:
    def share(*ranges: list[int]) -> dict[str, Any]:
        to = [{"variant": "on", "ranges": list(ranges)}]
        return boolean(rule(serve={"split": {"salt": "s", "to": to}}))

    def inside(*ranges: list[int]) -> dict[str, Any]:
        return boolean(rule({"bucket": {"salt": "s", "ranges": list(ranges)}}))

    assert verdict(share([0, 10], [20, 30]), inside([0, 10], [20, 30])) is Verdict.NO_OP
    assert verdict(share([0, 10]), share([0, 10], [20, 30])) is Verdict.ONLY_WIDENS
    assert verdict(inside([0, 30]), inside([0, 30], [5, 10])) is Verdict.NO_OP
    assert verdict(inside([0, 20], [20, 30]), inside([0, 30])) is Verdict.NO_OP
    assert verdict(inside([5, 5], [0, 1]), inside([0, 1])) is Verdict.NO_OP


def test_remainders_by_large_numbers_without_a_common_divisor_are_followed_apart() -> None:
    def shares(high: int) -> dict[str, Any]:
        parts = [(9998, 5000), (10_007, high)]
        return boolean(*(rule(serve=split(("on", 0, end), of=of, hash="eppo"), name=f"r{of}")
                         for of, end in parts))  # fmt: skip

    assert verdict(shares(5000), shares(6000)) is Verdict.ONLY_WIDENS
    assert verdict(shares(6000), shares(5000)) is Verdict.ONLY_NARROWS


def test_a_case_that_nobody_meets_does_not_hide_one_that_somebody_does() -> None:
    rare = {"bucket": {"salt": "s", "of": 2**50, "ranges": [[0, 1]]}}
    usual = {"attr": "b", "op": "in", "values": ["x"]}
    when = {"all": [{"any": [rare, usual]}, {"attr": "a", "op": "in", "values": ["y"]}]}
    witness = judged(boolean(rule(when)), boolean()).no_op.witness
    assert witness is not None
    assert witness.context["b"] == "x"


def test_a_missing_unit_is_a_case_of_its_own() -> None:
    skip = boolean(rule(serve=split(("on", 0, 10_000))))
    served = boolean(rule(serve=split(("on", 0, 10_000), missing="on")))
    found = judged(skip, served)
    assert found.verdict is Verdict.ONLY_WIDENS
    assert found.no_op.witness is not None
    assert "targetingKey" not in found.no_op.witness.context
    assert verdict(boolean(rule()), served) is Verdict.NO_OP
    assert verdict(boolean(rule()), skip) is Verdict.ONLY_NARROWS


def test_classification_speaks() -> None:
    found = classify(at_share(1000), at_share(2000))
    assert found.to_text().startswith(
        'f: Only widens: nobody who has it loses it; for example {"targetingKey": "user-'
    )
    assert found.to_text().endswith(" goes from off = false to on = true")
    document = json.loads(json.dumps(found.to_document()))["flags"]["f"]
    assert document["verdict"] == "only widens"
    assert document["only_widens"] == {"holds": True, "witness": None, "reason": None}
    assert document["only_narrows"]["witness"]["before"]["value"] is False
    assert len(found) == 1
    assert str(found["f"].verdict) == "only widens"
    assert classify(at_share(1), boolean(), now=1e300).to_text().endswith(" at 1e+300 s")
    assert (
        classify(at_share(1), boolean(), now=START).to_text().endswith(" at 2026-01-01T00:00:00Z")
    )
    assert classify(at_share(2000), at_share(1000)).to_text().startswith("f: Only narrows: ")
    assert classify(at_share(1), at_share(1)).to_text() == "f: No-op: nobody gets another answer"
    salted = json.loads(json.dumps(at_share(5000)).replace('"salt": "s"', '"salt": "t"'))
    assert classify(at_share(5000), salted).to_text().startswith('f: Moves others: {"targetingKey')


def test_only_the_flags_asked_for_are_classified() -> None:
    parsed = parse_flag_set(at_share(10))
    assert list(classify(parsed, parsed).flags) == ["f"]
    missing: Classification = classify(parsed, parsed, flag_keys=["none"])
    assert missing["none"].verdict is Verdict.NO_OP


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not an RFC 3339 time"):
        classify(at_share(1), at_share(2), now="soon")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="comes before"):
        classify(at_share(1), at_share(2), now=(2.0, 2.0))


def test_a_flag_that_cannot_be_read_is_neither_on_nor_off_to_others() -> None:
    document = boolean(rule({"flag": "broken", "on": False}))
    document["flags"]["broken"] = {"type": "boolean", "variants": BOOLEAN, "rules": "none"}
    nobody = boolean()
    nobody["flags"]["broken"] = document["flags"]["broken"]
    found = classify(document, nobody)
    assert [flag.verdict for flag in found] == [Verdict.NO_OP] * 2
    sound = copy.deepcopy(document)
    sound["flags"]["broken"]["rules"] = []
    assert verdict(document, sound) is Verdict.ONLY_WIDENS


def test_what_is_on_for_one_side_and_a_fallback_for_the_other_is_no_rest() -> None:
    """Off with a value of its own, and a default that the edit changes."""
    variants = {"a": {"value": "a"}, "b": {"value": "b"}, "off": {"value": "-", "on": False}}
    before = experiment(variants=variants, default="a")
    assert verdict(before, experiment(variants=variants, default="b")) is Verdict.MOVES_OTHERS


def test_a_flag_whose_value_is_a_time_is_followed_over_the_times() -> None:
    def asking(op: str, value: Any) -> dict[str, Any]:
        clock = {"op": op, "values_from": {"clock": "now"}}
        document = boolean(rule({"flag": "until", "value": clock}))
        variants = {"v": {"value": value}}
        document["flags"]["until"] = {"type": "object", "variants": variants, "default": "v"}
        return document

    assert verdict(asking("gt", 5), asking("gt", 6)) is Verdict.ONLY_WIDENS
    assert verdict(asking("gt", 5), asking("gte", 5)) is Verdict.ONLY_WIDENS
    assert verdict(asking("gt", 5.0), asking("gt", 5)) is Verdict.NO_OP
    # One second before that is the same double.
    assert verdict(asking("lte", -1e300), boolean(rule())) is Verdict.ONLY_WIDENS
    assert verdict(asking("version_lt", "1"), boolean()) is Verdict.ONLY_NARROWS
    early, late = "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"
    found = judged(asking("before", early), asking("before", late))
    assert found.verdict is Verdict.ONLY_NARROWS
    assert found.no_op.witness is not None
    assert START < found.no_op.witness.now <= START + 151 * 86_400
    same = {"any": [{"op": word, "values_from": {"clock": "now"}} for word in ("lt", "gte")]}
    ever = asking("lt", 5)
    ever["flags"]["f"]["rules"][0]["when"]["value"] = same
    assert verdict(ever, boolean(rule())) is Verdict.NO_OP


def test_who_is_a_unit_for_one_hash_alone_is_found() -> None:
    """A fraction has no bucket of ours, and one of Unleash's."""
    everybody = rule(serve=split(("off", 0, 7500), ("off", 7500, 10_000)), name="all")
    before, after = (
        boolean(everybody, rule(serve=split(("on", 2000, end), hash="unleash"), name="some"))
        for end in (4000, 6000)
    )
    found = judged(before, after)
    assert found.verdict is Verdict.ONLY_WIDENS
    assert found.no_op.witness is not None
    assert isinstance(found.no_op.witness.context["targetingKey"], float)
