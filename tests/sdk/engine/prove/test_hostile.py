"""Whatever comes in, an answer goes out, and soon."""

from __future__ import annotations

import copy
import json
import math
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine import (
    AllOf,
    Always,
    AnyOf,
    AttributeIs,
    Each,
    Flag,
    FlagServes,
    FlagSet,
    FlagSetError,
    InSegment,
    Not,
    Prerequisite,
    Rule,
    Variant,
    Verdict,
    classify,
)
from flagstone.engine.model import Condition
from tests.sdk.engine.fuzzing import fuzzed
from tests.sdk.engine.prove.test_laws import boolean, rule, split
from tests.sdk.engine.strategies import flag_sets

LIMIT_SECONDS = 20.0
VARIANTS = {"on": Variant("on", True), "off": Variant("off", False, on=False)}


def flag(when: Condition, **more: Any) -> Flag:
    given: dict[str, Any] = {"off": "off", "default": "off", "rules": (Rule("r", when, "on"),)}
    return Flag("f", "boolean", VARIANTS, **{**given, **more})


def within_limits(before: Any, after: Any) -> Verdict:
    started = time.perf_counter()
    found = classify(before, after)["f"]
    assert time.perf_counter() - started < LIMIT_SECONDS
    json.dumps(found.to_document())
    assert found.to_text().startswith("f: ")
    for claim in (found.no_op, found.only_widens, found.only_narrows):
        assert (claim.holds is None) is (claim.reason is not None)
        assert (claim.holds is False) is (claim.witness is not None)
    return found.verdict


@fuzzed(25)
@given(flag_sets(), flag_sets())
def test_any_two_flag_sets_get_an_answer(before: dict[str, Any], after: dict[str, Any]) -> None:
    for found in classify(before, after):
        for claim in (found.no_op, found.only_widens, found.only_narrows):
            assert "during the proof" not in (claim.reason or "")
        json.dumps(found.to_document())


@pytest.mark.parametrize("document", [[], None, {"schema": 2}, {"flags": 5}, "{"])
def test_what_is_no_flag_set_is_refused_with_its_own_error(document: Any) -> None:
    for pair in ((document, {"flags": {}}), ({"flags": {}}, document)):
        with pytest.raises(FlagSetError):
            classify(*pair)


BROKEN: dict[str, Flag] = {
    "itself": flag(FlagServes("f", on=True)),
    "no-segment": flag(InSegment("none")),
    "no-flag": flag(Always(), prerequisites=(Prerequisite("none", ("on",)),)),
    "bad-constants": flag(AttributeIs(("a",), "starts_with", (5,))),
    "not-finite": flag(AttributeIs(("a",), "lt", (math.nan,))),
    "infinite": flag(AttributeIs(("a",), "lt", (math.inf,))),
    "no-json": flag(AttributeIs(("a",), "in", (object(),))),
    "no-operator": flag(AttributeIs(("a",), "near", ("x",))),
    "segment-inside": flag(Each(("a",), InSegment("none"))),
    "no-time": flag(Always(), rules=(Rule("r", Always(), "on", start=math.nan),)),
    "no-variant": flag(Always(), rules=(Rule("r", Always(), "none"),)),
    "empty": flag(AllOf(())),
}


@pytest.mark.parametrize("name", BROKEN)
def test_flags_that_no_document_makes_get_an_answer(name: str) -> None:
    broken, sound = FlagSet({"f": BROKEN[name]}), FlagSet({"f": flag(Always())})
    for pair in ((broken, sound), (sound, broken), (broken, FlagSet({}))):
        within_limits(*pair)


def test_conditions_nested_too_deeply_are_not_decided() -> None:
    deep: Condition = AttributeIs(("a",), "in", ("x",))
    for _ in range(5_000):
        deep = AllOf((Not(deep), AttributeIs(("b",), "in", ("x",))))
    assert within_limits(FlagSet({"f": flag(deep)}), FlagSet({"f": flag(Always())})) is (
        Verdict.NOT_DECIDED
    )


def leaf(op: str, *values: Any, attr: Any = "a", **more: Any) -> dict[str, Any]:
    return {"attr": attr, "op": op, "values": list(values), **more}


def many_constants() -> dict[str, Any]:
    return boolean(rule(leaf("in", *(f"x{n}" for n in range(10_000)), attr="targetingKey"),
                        split(("on", 0, 5000))))  # fmt: skip


def many_keys() -> dict[str, Any]:
    return boolean(targets=[{"variant": "on", "keys": [str(n) for n in range(10_000)]}])


def many_texts() -> dict[str, Any]:
    rng = random.Random(7)
    texts = ["".join(rng.choices("abcdef", k=8)) for _ in range(300)]
    return boolean(rule(leaf("contains", *texts)), rule(leaf("starts_with", *texts), name="s"))


def many_patterns() -> dict[str, Any]:
    return boolean(
        *(rule(leaf("regex", f"(a|b)*a(a|b){{{n}}}$"), name=f"r{n}") for n in range(2, 12))
    )


def many_hashes() -> dict[str, Any]:
    return boolean(
        *(
            rule({"bucket": {"salt": f"s{n}", "ranges": [[0, 1]]}}, name=f"r{n}")
            for n in range(40)
        ),
        rule({"all": [{"bucket": {"salt": f"s{n}", "ranges": [[1, 2]]}} for n in range(40)]},
             name="all"),
    )  # fmt: skip


def many_attributes() -> dict[str, Any]:
    rng = random.Random(3)
    return boolean(
        *(
            rule(
                {"all": [leaf("in", rng.choice("xyz"), attr=f"a{rng.randrange(30)}")
                         for _ in range(4)]},
                rng.choice(["on", "off"]),
                name=f"r{number}",
            )
            for number in range(120)
        )
    )  # fmt: skip


def many_elements() -> dict[str, Any]:
    return boolean(rule({"all": [leaf("contains", f"x{n}") for n in range(30)]}))


def many_relations() -> dict[str, Any]:
    return boolean(
        *(
            rule({"all": [{"attr": f"a{n}", "op": "lt", "values_from": {"attr": f"b{n}"}},
                          {"attr": f"a{n}", "op": "version_lt", "values": ["1.2"]}]},
                 rng_variant, name=f"r{n}")
            for n, rng_variant in zip(range(12), ["on", "off"] * 6, strict=True)
        )
    )  # fmt: skip


def many_families() -> dict[str, Any]:
    parts = [leaf("semver_lt", "1.2.3"), leaf("version_lt", "1.2"), leaf("cidr", "10.0.0.0/8"),
             leaf("before", "2026-01-01"), leaf("regex", "^a"), leaf("lt", 5, **{"as": "number"}),
             leaf("in", *(f"X{n}" for n in range(40)), ci=True)]  # fmt: skip
    return boolean(*(rule(part, name=f"r{place}") for place, part in enumerate(parts)))


@pytest.mark.parametrize(
    "make",
    [
        many_constants,
        many_keys,
        many_texts,
        many_patterns,
        many_hashes,
        many_attributes,
        many_elements,
        many_relations,
        many_families,
    ],
)
def test_much_of_anything_ends_in_time(make: Callable[[], dict[str, Any]]) -> None:
    before = make()
    assert within_limits(before, make()) is Verdict.NO_OP
    after = copy.deepcopy(before)
    if after["flags"]["f"]["rules"]:
        after["flags"]["f"]["rules"].pop()
    else:
        after["flags"]["f"]["targets"][0]["keys"].pop()
    within_limits(before, after)
    within_limits(after, before)


def test_rules_of_many_attributes_are_decided_without_each_way_to_miss_them() -> None:
    rules = [
        rule({"all": [leaf("in", "x", attr=f"a{n}"), leaf("in", "y", attr=f"b{n}")]}, "off",
             name=f"r{n}")
        for n in range(24)
    ]  # fmt: skip
    before, after = (
        boolean(*rules, rule(leaf("in", last, attr="a0"), name="last")) for last in ("v", "w")
    )
    assert within_limits(before, after) is Verdict.MOVES_OTHERS
    assert within_limits(before, boolean(*rules)) is Verdict.ONLY_NARROWS


@pytest.mark.parametrize("nothing", [AllOf(()), AnyOf(()), AttributeIs(("a",), "in", ())])
def test_an_empty_condition_holds_for_nobody(nothing: Condition) -> None:
    assert within_limits(FlagSet({"f": flag(nothing)}), FlagSet({"f": flag(Not(Always()))})) is (
        Verdict.NO_OP
    )


@given(st.integers(0, 2**32))
@fuzzed(10)
def test_twenty_rules_and_three_segments_are_decided(seed: int) -> None:
    rng = random.Random(seed)
    before = twenty_rules(rng)
    after = copy.deepcopy(before)
    splits = [r["serve"] for r in after["flags"]["f"]["rules"] if isinstance(r["serve"], dict)]
    splits[-1]["split"]["to"][0]["ranges"] = [[0, 2000]]
    assert within_limits(before, after) in (Verdict.NO_OP, Verdict.ONLY_WIDENS)


def twenty_rules(rng: random.Random) -> dict[str, Any]:
    countries = ["de", "at", "ch", "nl", "fr", "es", "it", "pl"]

    def condition() -> Any:
        return rng.choice(
            [
                leaf("in", *rng.sample(countries, 3), attr="country"),
                leaf("ends_with", rng.choice(["@acme.com", "@beta.org", "@x.io"]), attr="email"),
                leaf(rng.choice(["lt", "gte"]), rng.choice([18, 30, 65]), attr="age"),
                leaf("semver_gte", rng.choice(["1.2.3", "2.0.0", "3.1"]), attr="version"),
                leaf("in", rng.choice(["ios", "android"]), attr=["device", "os"]),
                {"segment": rng.choice(["beta", "staff", "vip"])},
                {"not": {"segment": rng.choice(["beta", "staff", "vip"])}},
            ]
        )

    rules = []
    for number in range(20):
        serve: Any = rng.choice(["on", "off"])
        if number % 3 == 0:
            serve = split(("on", 0, 1000), salt=f"r{number}")
        when = {"all": [condition() for _ in range(3)]}
        rules.append(rule(when, serve, name=f"r{number}"))
    document = boolean(*rules)
    document["segments"] = {
        "beta": {"any": [leaf("in", True, attr="beta"), leaf("contains", "+b", attr="email")]},
        "staff": leaf("ends_with", "@acme.com", attr="email"),
        "vip": {"all": [leaf("in", "max", attr="plan"), leaf("gte", 30, attr="age")]},
    }
    return document
