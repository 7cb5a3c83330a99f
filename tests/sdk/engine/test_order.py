"""The order of an evaluation, step by step."""

from __future__ import annotations

from typing import Any

import pytest

from flagstone.engine import (
    ErrorCode,
    EvaluationDetails,
    FlagSet,
    Reason,
    compile_flag_set,
    evaluate,
    parse_flag_set,
)
from flagstone.engine.careful import careful_program, settled
from flagstone.engine.generate import generated_program

START = 1_796_115_600.0  # 2026-12-01T09:00:00Z


def flag(**more: Any) -> dict[str, Any]:
    variants = {"a": {"value": "A"}, "b": {"value": "B"}, "off": {"value": "O", "on": False}}
    return {"type": "string", "variants": variants, "off": "off", "default": "a", **more}


def flag_set(**flags: Any) -> FlagSet:
    return parse_flag_set(
        {"flags": flags, "segments": {"staff": {"attr": "staff", "op": "exists"}}}
    )


def ask(document: dict[str, Any], context: Any = None, now: float = START) -> EvaluationDetails:
    whole = flag_set(f=document)
    details = evaluate(whole, "f", context or {}, now)
    if settled(whole.flags["f"]) is None:
        for way in (careful_program, generated_program):
            program = way(whole.flags["f"], compile_flag_set(whole))
            assert program(context or {}, now) == details
    return details


def rule(serve: Any = "b", **more: Any) -> dict[str, Any]:
    return {"id": "r", "when": True, "serve": serve, **more}


def everybody(variant: str, **more: Any) -> dict[str, Any]:
    to = [{"variant": variant, "ranges": [[0, 10]]}]
    return {"split": {"salt": "s", "of": 10, "to": to, **more}}


def test_a_flag_that_asks_nothing_is_static() -> None:
    details = ask(flag(metadata={"owner": "growth"}))
    assert details == EvaluationDetails(
        "f", "A", "a", Reason.STATIC, on=True, metadata={"owner": "growth"}
    )


def test_without_a_variant_the_callers_default_applies() -> None:
    details = ask(flag(default=None))
    assert (details.value, details.variant, details.reason, details.on) == (
        None, None, Reason.STATIC, False,
    )  # fmt: skip
    assert ask(flag(default=None, enabled=False, off=None)).reason is Reason.DISABLED


def test_an_unknown_flag_is_not_found() -> None:
    details = evaluate(flag_set(), "g", {}, START)
    assert (details.flag_key, details.value, details.reason, details.error_code) == (
        "g", None, Reason.ERROR, ErrorCode.FLAG_NOT_FOUND,
    )  # fmt: skip
    assert details.error_message == "there is no such flag"


def test_killed_and_disabled_serve_off_before_anything_else() -> None:
    busy = flag(
        targets=[{"variant": "b", "keys": ["u"]}],
        rules=[rule()],
        prerequisites=[{"flag": "g", "variants": ["a"]}],
    )
    for state in ({"killed": True}, {"enabled": False}, {"killed": True, "enabled": False}):
        whole = flag_set(f={**busy, **state}, g=flag())
        details = evaluate(whole, "f", {"targetingKey": "u"}, START)
        assert (details.variant, details.reason, details.on) == ("off", Reason.DISABLED, False)
        assert details.metadata == ({"killed": True} if state.get("killed") else {})


def test_an_unmet_prerequisite_serves_off_and_is_named() -> None:
    needy = flag(prerequisites=[{"flag": "g", "variants": ["b"]}], rules=[rule("b")])
    unmet = evaluate(flag_set(f=needy, g=flag()), "f", {}, START)
    assert (unmet.variant, unmet.reason) == ("off", Reason.DISABLED)
    assert unmet.metadata == {"prerequisite": "g"}
    met = evaluate(flag_set(f=needy, g=flag(default="b")), "f", {}, START)
    assert (met.variant, met.reason, met.metadata) == ("b", Reason.TARGETING_MATCH, {})


def test_prerequisites_are_followed_through() -> None:
    chain = {
        f"f{n}": flag(prerequisites=[{"flag": f"f{n - 1}", "variants": ["a"]}] if n else [])
        for n in range(20)
    }
    assert evaluate(flag_set(**chain), "f19", {}, START).variant == "a"
    chain["f0"]["killed"] = True
    assert evaluate(flag_set(**chain), "f19", {}, START).metadata == {"prerequisite": "f18"}


def test_targets_come_before_rules_and_end() -> None:
    document = flag(
        targets=[
            {"variant": "off", "keys": ["gone"], "until": "2026-12-01T09:00:00Z"},
            {"variant": "a", "keys": ["u", 7]},
            {"variant": "b", "keys": ["u"], "by": "account"},
        ],
        rules=[rule()],
    )
    for unit in ("u", 7, 7.0, "7"):
        details = ask(document, {"targetingKey": unit})
        assert (details.variant, details.reason, details.rule_id) == (
            "a", Reason.TARGETING_MATCH, None,
        )  # fmt: skip
    assert ask(document, {"targetingKey": "gone"}).variant == "b"
    assert ask(document, {"targetingKey": "gone"}, START - 0.001).variant == "off"
    assert ask(document, {"targetingKey": "x", "account": "u"}).rule_id is None
    assert ask(document, {"targetingKey": True}).rule_id == "r"


def test_the_first_target_wins() -> None:
    document = flag(targets=[{"variant": "b", "keys": ["u"]}, {"variant": "off", "keys": ["u"]}])
    assert ask(document, {"targetingKey": "u"}).variant == "b"


def test_the_first_rule_that_matches_wins() -> None:
    rules = [
        {"id": "one", "when": {"segment": "staff"}, "serve": "off"},
        {"id": "two", "when": {"attr": "x", "op": "in", "values": [1]}, "serve": "a"},
        {"id": "three", "when": True, "serve": "b", "track": True},
        {"id": "four", "when": True, "serve": "off"},
    ]
    document = flag(rules=rules)
    assert ask(document, {"staff": 1, "x": 1}).rule_id == "one"
    assert ask(document, {"x": 1}).rule_id == "two"
    details = ask(document, {})
    assert (details.rule_id, details.variant, details.track) == ("three", "b", True)
    assert not ask(document, {"x": 1}).track


@pytest.mark.parametrize("constants", [["x"], [1], ["x", 1, True, None, [2]]])
def test_rules_on_one_attribute_keep_their_order(constants: list[Any]) -> None:
    """Such rules become one look-up; the first that names a value still wins."""
    rules = [
        {"id": f"r{n}", "when": {"attr": "x", "op": "in", "values": values}, "serve": serve}
        for n, (values, serve) in enumerate(
            [(["other"], "a"), (constants, "b"), (constants, "off"), (["z", 9], "off")]
        )
    ]
    for value in constants:
        assert ask(flag(rules=rules), {"x": value}).rule_id == "r1"
    assert ask(flag(rules=rules), {"x": "z"}).rule_id == "r3"
    for value in ("?", False, 0, None if None not in constants else 5, [3], {}):
        assert ask(flag(rules=rules), {"x": value}).reason is Reason.DEFAULT
    assert ask(flag(rules=rules)).reason is Reason.DEFAULT


def test_a_rule_is_in_force_from_its_start_until_before_its_end() -> None:
    document = flag(rules=[rule(start="2026-12-01T09:00:00Z", end="2026-12-01T10:00:00+00:00")])
    times = (START - 0.001, START, START + 3599.999, START + 3600)
    assert [ask(document, {}, now).variant for now in times] == ["a", "b", "b", "a"]


@pytest.mark.parametrize("early", ["rule", "target"])
def test_what_is_not_in_force_leaves_nothing_unread(early: str) -> None:
    leaf = {"attr": "country", "op": "in", "values": ["de"]}
    over = "2026-01-01T00:00:00Z"
    document = flag(rules=[rule(when={"all": [leaf]}, id="second")])
    if early == "rule":
        document["rules"].insert(0, rule("off", when=leaf, end=over))
    else:
        document["targets"] = [{"variant": "off", "by": "country", "keys": ["de"], "until": over}]
    assert ask(document, {"country": "de"}).rule_id == "second"
    assert ask(document, {"country": "de"}, 0.0).variant == "off"


def test_a_split_that_skips_goes_on_to_the_next_rule() -> None:
    document = flag(
        rules=[
            rule({"split": {"salt": "s", "of": 10, "to": [{"variant": "a", "ranges": [[0, 0]]}]}}),
            {"id": "next", "when": True, "serve": everybody("b")},
        ]
    )
    details = ask(document, {"targetingKey": "u"})
    assert (details.variant, details.reason, details.rule_id) == ("b", Reason.SPLIT, "next")
    assert ask(document).reason is Reason.DEFAULT


def test_without_a_unit_the_missing_variant_is_served() -> None:
    document = flag(rules=[rule(everybody("b", missing="off"))])
    assert ask(document, {"targetingKey": "u"}).variant == "b"
    for context in ({}, {"targetingKey": None}, {"targetingKey": True}, {"targetingKey": 1.5}):
        details = ask(document, context)
        assert (details.variant, details.rule_id) == ("off", "r")
        assert details.reason is Reason.TARGETING_MATCH


def test_a_split_may_go_by_any_attribute() -> None:
    document = flag(rules=[rule(everybody("b", by=["org", "key"]))])
    assert ask(document, {"org": {"key": "o1"}}).reason is Reason.SPLIT
    assert ask(document, {"targetingKey": "o1"}).reason is Reason.DEFAULT


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"flag": "g", "variants": ["a"]}, True),
        ({"flag": "g", "variants": ["b", "off"]}, False),
        ({"flag": "g", "on": True}, True),
        ({"flag": "g", "on": False}, False),
        ({"flag": "h", "on": False}, True),
        ({"flag": "h", "on": True}, False),
        ({"flag": "g", "value": {"attr": [], "op": "starts_with", "values": ["A"]}}, True),
        ({"flag": "g", "value": {"op": "in", "values": ["B"]}}, False),
        ({"flag": "n", "value": {"op": "exists"}}, False),
        ({"flag": "n", "on": False}, True),
        ({"flag": "o", "value": {"attr": ["deep", "x"], "op": "gt", "values": [1]}}, True),
        ({"flag": "g", "variants": ["a"], "on": False}, False),
    ],
)
def test_a_condition_may_ask_another_flag(condition: Any, expected: bool) -> None:
    others = {
        "g": flag(),
        "h": flag(enabled=False),
        "n": flag(default=None),
        "o": {
            "type": "object",
            "variants": {"x": {"value": {"deep": {"x": 2}}}},
            "default": "x",
        },
    }
    document = flag(rules=[rule(when=condition)])
    whole = flag_set(f=document, **others)
    assert (evaluate(whole, "f", {}, START).variant == "b") is expected


def test_a_flag_that_cannot_be_read_is_neither_on_nor_off() -> None:
    for on in (True, False):
        document = flag(rules=[rule(when={"flag": "broken", "on": on})])
        flags = {"f": document, "broken": {**flag(), "rules": 5}}
        whole = parse_flag_set({"flags": flags}, strict=False)
        assert evaluate(whole, "f", {}, START).variant == "a"


def test_a_variants_on_is_told() -> None:
    boolean = {
        "type": "boolean",
        "variants": {
            "on": {"value": True},
            "off": {"value": False},
            "x": {"value": False, "on": True},
        },
    }
    answers = [ask({**boolean, "default": name}) for name in ("on", "off", "x")]
    assert [(details.value, details.on) for details in answers] == [
        (True, True), (False, False), (False, True),
    ]  # fmt: skip


def test_a_compiled_set_answers_as_the_set_itself_does() -> None:
    whole = flag_set(f=flag(rules=[rule(everybody("b"))]), g=flag())
    compiled = compile_flag_set(whole)
    assert compiled.flag_set is whole
    assert compiled.flag_keys == {"f", "g"}
    context = {"targetingKey": "u"}
    for _ in range(2):
        details = compiled.evaluate("f", context, START)
        assert details == evaluate(whole, "f", context, START)
        # One answer is one object: an evaluation allocates nothing it can avoid.
        assert details is compiled.evaluate("f", context, START)
    assert context == {"targetingKey": "u"}


def test_deep_and_wide_conditions_are_evaluated_as_well() -> None:
    leaf = {"attr": "x", "op": "in", "values": [1]}
    deep: Any = leaf
    for level in range(46):
        deep = {"not": deep} if level % 2 else {"all": [deep, leaf]}
    wide = {"any": [{"all": [leaf, {"attr": f"y{n}", "op": "exists"}]} for n in range(2000)]}
    # The outermost level negates "… and x = 1".
    for condition, context, expected in (
        (wide, {"x": 1, "y1999": 0}, "b"),
        (wide, {"x": 2, "y1999": 0}, "a"),
        (deep, {"x": 2}, "b"),
        (deep, {"x": 1}, "a"),
    ):
        details = ask(flag(rules=[rule(when=condition)]), context)
        assert (details.variant, details.error_code) == (expected, None)


def test_a_flag_of_thousands_of_rules_is_evaluated_as_well() -> None:
    rules = [
        rule(when={"attr": f"x{n}", "op": "in", "values": [n]}, id=f"r{n}") for n in range(3000)
    ]
    details = ask(flag(rules=rules), {"x2999": 2999, "x5": 6})
    assert (details.rule_id, details.variant) == ("r2999", "b")


def test_the_text_of_a_program_holds_nothing_of_its_author() -> None:
    from flagstone.engine import generate

    texts: list[str] = []
    maker = generate._maker

    class Listening:
        def __call__(self, text: str) -> Any:
            texts.append(text)
            return maker(text)

    evil = '"); import os; os._exit(3) #\n'
    document = flag(
        variants={evil: {"value": evil}},
        off=evil,
        default=evil,
        targets=[{"variant": evil, "keys": [evil], "by": [evil, "b"]}],
        rules=[
            {
                "id": evil,
                "when": {"any": [
                    {"attr": evil, "op": op, "values": [evil]}
                    for op in ("in", "contains", "starts_with", "lt")
                ]},
                "serve": everybody(evil, by=evil, salt=evil),
            }
        ],
    )  # fmt: skip
    generate._remembered_maker.cache_clear()
    generate._maker = Listening()  # type: ignore[assignment]
    try:
        assert ask(document, {evil: evil}).value == evil
    finally:
        generate._maker = maker
    assert texts
    assert all("import" not in text and "exit" not in text for text in texts)
