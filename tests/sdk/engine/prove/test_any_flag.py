"""Proofs over the whole grammar: no random context contradicts what was proved."""

from __future__ import annotations

import copy
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flagstone.engine import Verdict, compile_flag_set, parse_flag_set
from flagstone.engine.bucketing import HASHES
from flagstone.engine.compare import Served
from flagstone.engine.prove import FlagClassification, classify
from tests.sdk.engine.fuzzing import fuzzed
from tests.sdk.engine.prove.random_leaves import a_leaf, a_number, a_text, a_value
from tests.sdk.engine.prove.test_brute_force import CLAIMS, Judge

PATHS: list[Any] = ["a", "a", "b", ["a", "x"], "targetingKey", [], ["b", "x", "y"]]
RELATED = [
    "lt",
    "lte",
    "gt",
    "gte",
    "in",
    "before",
    "after",
    "semver_lt",
    "version_gte",
    "contains",
]
TIMES = ["1970-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"]
MOMENTS = [-1.0, 0.0, 5.0, 1767225600.0, 1780272000.5]


def a_condition(rng: random.Random, depth: int = 0) -> Any:
    chosen = rng.random()
    if depth < 3 and chosen < 0.35:
        if chosen < 0.1:
            return {"not": a_condition(rng, depth + 1)}
        word = rng.choice(["all", "any"])
        return {word: [a_condition(rng, depth + 1) for _ in range(rng.randint(1, 3))]}
    if chosen < 0.45:
        bucketing = a_bucketing(rng)
        low, high = sorted(rng.choices(range(bucketing["of"] + 1), k=2))
        return {"bucket": {**bucketing, "ranges": [[low, high]]}}
    if chosen < 0.5:
        return {"segment": "s"}
    if chosen < 0.55:
        return {"flag": "other", "value": {"op": "lt", "values_from": {"clock": "now"}}}
    path = rng.choice(PATHS)
    if chosen < 0.65:
        source = rng.choice([{"attr": "b"}, {"attr": ["a", "x"]}, {"clock": "now"}])
        return {"attr": path, "op": rng.choice(RELATED), "values_from": source}
    a_parsed_leaf_of = a_leaf(rng, path)
    while not is_sound({"attr": "z", **a_parsed_leaf_of}):
        a_parsed_leaf_of = a_leaf(rng, path)
    return a_parsed_leaf_of


def is_sound(leaf: dict[str, Any]) -> bool:
    rule = {"id": "r", "when": leaf, "serve": "a"}
    flag = {"type": "string", "variants": {"a": {"value": "a"}}, "rules": [rule]}
    return parse_flag_set({"flags": {"f": flag}}, strict=False).flags["f"].fault is None


def a_bucketing(rng: random.Random) -> dict[str, Any]:
    return {
        "by": rng.choice(["targetingKey", "targetingKey", "a", ["a", "x"]]),
        "salt": rng.choice("st"),
        "hash": rng.choice(sorted(HASHES)),
        "of": rng.choice([3, 4, 10]),
    }


def a_rule(rng: random.Random, number: int) -> dict[str, Any]:
    serve: Any = rng.choice("abc")
    if rng.random() < 0.4:
        bucketing = a_bucketing(rng)
        edges = sorted(rng.choices(range(bucketing["of"] + 1), k=3))
        to = [{"variant": rng.choice("abc"), "ranges": [edges[i : i + 2]]} for i in (0, 1)]
        serve = {"split": {**bucketing, "to": to, "missing": rng.choice(["skip", "a"])}}
    rule = {"id": f"r{number}", "when": a_condition(rng), "serve": serve}
    if rng.random() < 0.2:
        rule[rng.choice(["start", "end"])] = rng.choice(TIMES)
    return rule


def a_document(rng: random.Random) -> dict[str, Any]:
    values: list[Any] = rng.choice([["x", "y", "x"], [1, 2, 5], [True, 1, [1]]])
    variants = {name: {"value": value} for name, value in zip("abc", values, strict=True)}
    variants["c"]["on"] = rng.random() < 0.5
    flag = {
        "type": "object",
        "variants": variants,
        "off": rng.choice(["a", "c", None]),
        "default": rng.choice(["a", "c", None]),
        "rules": [a_rule(rng, number) for number in range(rng.randint(1, 4))],
    }
    other = {"type": "integer", "variants": {"n": {"value": 5}}, "default": "n"}
    return {
        "flags": {"flag": flag, "other": other},
        "segments": {"s": {"any": [a_leaf_only(rng), a_leaf_only(rng)]}},
    }


def a_leaf_only(rng: random.Random) -> Any:
    leaf = a_leaf(rng, "a")
    while not is_sound(leaf):
        leaf = a_leaf(rng, "a")
    return leaf


def an_edit(rng: random.Random, document: dict[str, Any]) -> dict[str, Any]:
    after = copy.deepcopy(document)
    flag = after["flags"]["flag"]
    place = rng.randrange(len(flag["rules"]))
    chosen = rng.randrange(6)
    if chosen == 0:
        flag["rules"][place]["when"] = a_condition(rng)
    elif chosen == 1:
        flag["rules"].insert(place, a_rule(rng, 9))
    elif chosen == 2:
        flag["rules"].pop(place)
    elif chosen == 3:
        flag["default"] = rng.choice(["a", "b", None])
    elif chosen == 4:
        rng.shuffle(flag["rules"])
    else:
        after["segments"]["s"] = a_leaf_only(rng)
    return after


def a_context(rng: random.Random) -> dict[str, Any]:
    names = rng.sample(["a", "b", "targetingKey"], rng.randint(0, 3))
    context: dict[str, Any] = {}
    for name in names:
        if name == "targetingKey" and rng.random() < 0.7:
            context[name] = rng.choice([a_text(rng), a_number(rng), f"u-{rng.random()}"])
        elif rng.random() < 0.4:
            context[name] = {"x": rng.choice([a_value(rng), {"y": a_value(rng)}])}
        else:
            context[name] = a_value(rng)
    return context


def check(seed: int) -> FlagClassification:
    rng = random.Random(seed)
    before = a_document(rng)
    after = an_edit(rng, before)
    now = rng.choice([None, None, rng.choice(MOMENTS), (0.0, 10.0)])
    sides = [
        compile_flag_set(parse_flag_set(document, strict=False)) for document in (before, after)
    ]
    found = classify(*sides, now=now)["flag"]
    judge = Judge(*(side.flag_set.flags["flag"] for side in sides))
    times = MOMENTS if now is None else [0.0, 5.0] if isinstance(now, tuple) else [now]
    for _ in range(40):
        context, time = a_context(rng), rng.choice(times)
        served = [Served.of(side.evaluate("flag", context, time)) for side in sides]
        for name in judge.denied(*served):
            assert getattr(found, name).holds is not True, (seed, name, context, time)
    for name in CLAIMS:
        claim = getattr(found, name)
        if claim.holds is False:
            assert claim.witness is not None
            context, time = claim.witness.context, claim.witness.now
            served = [Served.of(side.evaluate("flag", dict(context), time)) for side in sides]
            assert name in judge.denied(*served), (seed, name)
        elif claim.holds is None:
            assert claim.reason
            assert "during the proof" not in claim.reason, (seed, claim.reason)
    if found.verdict is Verdict.NOT_DECIDED:
        assert None in (found.only_widens.holds, found.only_narrows.holds)
    return found


@fuzzed(150)
@given(st.integers(0, 2**48))
def test_no_random_context_contradicts_a_proof(seed: int) -> None:
    check(seed)
