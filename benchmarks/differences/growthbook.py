"""GrowthBook: random features of its whole grammar, and the Python SDK's own answers.

The Python SDK from version 4 leaves the bucket at the edge of a coverage out and converts nothing,
so the importer runs with ``edge="exclusive"``. What the importer says it loses is not drawn:
objects with fields in another order, and classes of letters or digits in patterns.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable
from typing import Any

from benchmarks.differences import NOTHING, identifier, odd_value
from flagstone.importers import ImportResult
from flagstone.importers import growthbook as importer

PACKAGES: tuple[str, ...] = ("growthbook",)

TEXTS = ("", "a", "b", "A", "US", "de", "Zoë", "ß", "日本", "😀", "user@example.com", "10", "1.2.3")
NUMBERS = (0, 1, -1, 2, 5, 10, 18, 64.5, 0.1, 1e21, 2**53, -0.0)
VERSIONS = (
    "1.2.3",
    "v1.2.3",
    "1.10.0",
    "1.2.3-beta.1",
    "1.2",
    "2",
    "0",
    "",
    "1.2.3+b",
    "a.b",
    "10",
)
ATTRIBUTES = ("id", "country", "age", "tags", "email", "version", "premium", "org.plan", "org.id")
UNITS = ("id", "id", "id", "deviceId", "company", "age", "org.id")
PATTERNS = (
    "^a",
    "b$",
    "[Uu]s",
    "(a|b)+",
    "@example[.]com$",
    "x{2,}",
    "^$",
    ".",
    "/???***[)",
    "é|ß",
)
GROUPS = ("staff", "beta", "ids", "empty", "broken", "newer", "loop", "missing")
OPERATORS = (
    "$eq", "$ne", "$lt", "$lte", "$gt", "$gte", "$veq", "$vne", "$vlt", "$vlte", "$vgt", "$vgte",
    "$in", "$nin", "$ini", "$nini", "$all", "$alli", "$size", "$elemMatch", "$exists", "$type",
    "$regex", "$regexi", "$notRegex", "$notRegexi", "$not", "$inGroup", "$notInGroup", "$new",
    "$or",
)  # fmt: skip


def document(rng: random.Random, flags: int) -> dict[str, Any]:
    """Draw a file with that many features."""
    keys = [f"feature-{index}" for index in range(flags)]
    features = {key: _feature(rng, index, keys) for index, key in enumerate(keys)}
    if flags > 4:
        # Two that ask each other, and one that asks a feature that is not there.
        features[keys[0]]["rules"][:0] = [_asks(keys[1])]
        features[keys[1]]["rules"][:0] = [_asks(keys[0])]
        features[keys[2]]["rules"].append(_asks("nowhere"))
    return {
        "features": features,
        "savedGroups": {
            "staff": {"type": "condition", "condition": _condition(rng, 1)},
            "beta": {"type": "list", "attributeKey": "country", "values": ["US", "de", 1, None]},
            "ids": [f"user-{index}" for index in range(50)] + [1, 2, 3, True],
            "empty": [],
            "broken": {"type": "list", "values": 5},
            "newer": {"type": "vector"},
            "loop": {"type": "condition", "condition": {"$not": {"$savedGroup": {"id": "loop"}}}},
        },
    }


def _asks(key: str) -> dict[str, Any]:
    condition = {"value": {"$exists": True}}
    return {"parentConditions": [{"id": key, "condition": condition, "gate": True}]}


def _feature(rng: random.Random, index: int, keys: list[str]) -> dict[str, Any]:
    value = _values(rng)
    count = rng.randint(0, 4)
    feature: dict[str, Any] = {"rules": [_rule(rng, value, keys[2:index]) for _ in range(count)]}
    if rng.random() < 0.9:
        feature["defaultValue"] = value()
    return feature


def _values(rng: random.Random) -> Callable[[], Any]:
    kinds: tuple[tuple[Any, ...], ...] = (
        (True, False),
        ("control", "red", "blue", "", "0"),
        (0, 1, 2, 3, -5),
        (0.5, 1, 2.25, 0),
        ({"a": 1, "b": [1, 2]}, {"a": 2}, [], {}),
        (True, "C", "T", 3),
    )
    values = kinds[rng.randrange(len(kinds)) if rng.random() < 0.9 else 0]
    return lambda: rng.choice(values)


def _rule(rng: random.Random, value: Callable[[], Any], parents: list[str]) -> dict[str, Any]:
    rule: dict[str, Any] = {}
    if rng.random() < 0.3:
        rule["id"] = f"fr_{rng.randrange(10**6)}"
    if rng.random() < 0.5:
        rule["condition"] = _condition(rng, 2)
    if parents and rng.random() < 0.3:
        rule["parentConditions"] = [_parent(rng, parents) for _ in range(rng.randint(1, 2))]
    if rng.random() < 0.2:
        rule["filters"] = [_filter(rng) for _ in range(rng.randint(1, 2))]
    if rng.random() < 0.4:
        rule["seed"] = rng.choice(("seed", "", "ünï", "😀"))
    if rng.random() < 0.5:
        rule["hashAttribute"] = rng.choice(UNITS)
    if rng.random() < 0.2:
        rule["fallbackAttribute"] = rng.choice(UNITS)
        rule["disableStickyBucketing"] = rng.random() < 0.3
    if rng.random() < 0.5:
        rule["hashVersion"] = rng.choice((1, 2, 2, 2, 3))
    if rng.random() < 0.5:
        rule["coverage"] = _fraction(rng)
    draw = rng.random()
    if draw < 0.45:
        rule["force"] = value() if rng.random() < 0.95 else None
        if rng.random() < 0.2:
            rule["range"] = _pair(rng)
    elif draw < 0.95:
        _experiment(rng, rule, value)
    return rule


def _experiment(rng: random.Random, rule: dict[str, Any], value: Callable[[], Any]) -> None:
    count = rng.choice((1, 2, 2, 2, 3, 4, 7))
    rule["variations"] = [value() if rng.random() < 0.97 else None for _ in range(count)]
    if rng.random() < 0.6:
        rule["key"] = f"exp-{rng.randrange(5)}"
    if rng.random() < 0.5:
        rule["weights"] = _weights(rng, count)
    if rng.random() < 0.25:
        rule["ranges"] = [_pair(rng) for _ in range(rng.choice((count, count - 1, count + 1)))]
    if rng.random() < 0.3:
        rule["namespace"] = [rng.choice(("pricing", "ns")), *_pair(rng)]
    if rng.random() < 0.5:
        rule["meta"] = [{"key": f"v{index}", "name": "x"} for index in range(count)]
        if rng.random() < 0.3:
            rng.choice(rule["meta"])["passthrough"] = True
    if rng.random() < 0.3:
        rule.update({"name": "Test", "phase": "1", "bucketVersion": 1})


def _weights(rng: random.Random, count: int) -> list[float]:
    draws = [rng.random() for _ in range(count)]
    weights = [round(draw / sum(draws), rng.choice((2, 4, 17))) for draw in draws]
    if rng.random() < 0.1:
        weights[0] += rng.choice((0.5, -1.5, 0.005))
    return weights[:-1] if rng.random() < 0.05 else weights


def _fraction(rng: random.Random) -> float:
    return rng.choice((rng.random(), rng.randrange(1001) / 1000, rng.randrange(10001) / 10000,
                       0, 1, 0.1 + 0.2, 0.29, 0.57, 1.5, -0.1))  # fmt: skip


def _pair(rng: random.Random) -> list[float]:
    pair = [_fraction(rng), _fraction(rng)]
    return pair if rng.random() < 0.1 else sorted(pair)


def _filter(rng: random.Random) -> dict[str, Any]:
    part: dict[str, Any] = {"ranges": [_pair(rng) for _ in range(rng.randint(0, 3))]}
    if rng.random() < 0.9:
        part["seed"] = rng.choice(("pricing", "layer", "ü"))
    if rng.random() < 0.5:
        part["attribute"] = rng.choice(UNITS)
    if rng.random() < 0.3:
        part["hashVersion"] = rng.choice((1, 2, 9))
    return part


_ASKED_OF_PARENTS: tuple[Any, ...] = (
    True, False, None, "red", 1, {"$exists": True}, {"$ne": False}, {"$in": [True, 1, "red", None]},
    {"$gt": 0}, {"$type": "object"}, {"$size": 0}, {"$elemMatch": {"$gt": 1}},
)  # fmt: skip


def _parent(rng: random.Random, parents: list[str]) -> dict[str, Any]:
    asked: Any = rng.choice(_ASKED_OF_PARENTS)
    parent: dict[str, Any] = {"id": rng.choice(parents), "condition": {"value": asked}}
    if rng.random() < 0.1:
        parent["condition"] = {"value.a": 1}
    if rng.random() < 0.5:
        parent["gate"] = rng.random() < 0.7
    return parent


def _condition(rng: random.Random, depth: int) -> dict[str, Any]:
    condition: dict[str, Any] = {}
    for _ in range(rng.choice((1, 1, 2, 0) if depth else (1, 1))):
        draw = rng.random()
        if depth and draw < 0.3:
            name = rng.choice(("$or", "$and", "$nor"))
            condition[name] = [_condition(rng, depth - 1) for _ in range(rng.randint(0, 3))]
        elif depth and draw < 0.4:
            condition["$not"] = _condition(rng, depth - 1)
        elif draw < 0.47:
            reference = {"id": rng.choice(GROUPS)}
            if rng.random() < 0.3:
                reference["attributeKey"] = rng.choice(ATTRIBUTES)
            condition["$savedGroup"] = reference
        else:
            name = rng.choice((*ATTRIBUTES, "tags.length", "org", "$groups"))
            condition[name] = _asked(rng, depth)
    return condition


def _asked(rng: random.Random, depth: int) -> Any:
    if rng.random() < 0.3:
        return rng.choice((rng.choice(TEXTS), rng.choice(NUMBERS), True, False, None, [], {},
                           ["a", "b"], {"plan": "pro"}))  # fmt: skip
    return {op: _argument(rng, op, depth) for op in rng.sample(OPERATORS, rng.choice((1, 1, 1, 2)))}


def _argument(rng: random.Random, op: str, depth: int) -> Any:
    if op.startswith("$v"):
        return rng.choice((*VERSIONS, *VERSIONS, 1, 1.5, None))
    if op in ("$in", "$nin", "$ini", "$nini", "$all", "$alli"):
        return rng.choices((*TEXTS, *NUMBERS, True, False, None, ["a"]), k=rng.randint(0, 5))
    if op in ("$inGroup", "$notInGroup"):
        return rng.choice(GROUPS)
    if "egex" in op:
        return rng.choice(PATTERNS)
    if op == "$type":
        return rng.choice(("string", "number", "boolean", "array", "object", "null", "what"))
    if op in ("$exists", "$or"):
        return rng.choice((True, False))
    if op == "$elemMatch":
        return _condition(rng, 0) if rng.random() < 0.3 else {"$in": ["a", "b", 1]}
    if op in ("$size", "$not"):
        return _asked(rng, 0) if depth else rng.choice((0, 1, 2, "a"))
    if op in ("$lt", "$lte", "$gt", "$gte"):
        # Texts past here are ordered by the units of UTF-16, and refused.
        texts = [text for text in TEXTS if max(text, default="") < "\ud800"]
        return rng.choice((*texts, *NUMBERS, True))
    return rng.choice((*TEXTS, *NUMBERS, True, None))


def contexts(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """Draw contexts as our evaluator gets them."""
    return [_context(rng) for _ in range(count)]


def _context(rng: random.Random) -> dict[str, Any]:
    context: dict[str, Any] = {}
    if rng.random() < 0.75:
        context["targetingKey"] = identifier(rng, others=rng.random() < 0.1)
    if rng.random() < 0.4:
        context["id"] = identifier(rng, others=True) if rng.random() < 0.9 else odd_value(rng)
    for name, draw in _ATTRIBUTES.items():
        if rng.random() < 0.6:
            context[name] = draw(rng) if rng.random() < 0.85 else odd_value(rng)
    return context


_ATTRIBUTES: dict[str, Callable[[random.Random], Any]] = {
    "country": lambda rng: rng.choice(TEXTS),
    "age": lambda rng: rng.choice(NUMBERS),
    "tags": lambda rng: rng.choices((*TEXTS, *NUMBERS, None, True), k=rng.randint(0, 4)),
    "email": lambda rng: rng.choice(TEXTS),
    "version": lambda rng: rng.choice(VERSIONS),
    "premium": lambda rng: rng.random() < 0.5,
    "org": lambda rng: rng.choice(({"plan": "pro"}, {"id": rng.choice(NUMBERS), "plan": "a"}, {})),
    "org.id": lambda rng: identifier(rng, others=True),
    "deviceId": lambda rng: identifier(rng, others=True),
    "company": lambda rng: rng.choice((*TEXTS, *NUMBERS, True, None)),
    "$groups": lambda rng: rng.choices(("a", "b"), k=rng.randint(0, 2)),
}


def convert(document: dict[str, Any]) -> ImportResult:
    """Import the file as the Python SDK reads it."""
    return importer.convert(document, edge="exclusive")


def vendor(document: dict[str, Any]) -> Callable[[str, dict[str, Any]], tuple[Any, str | None]]:
    """Return the SDK's own evaluation.

    A variation's name is compared where the feature has one experiment only: the vendor's names are
    those of one experiment.
    """
    from growthbook import GrowthBook

    logging.getLogger("growthbook").setLevel(logging.CRITICAL)
    client = GrowthBook(features=document["features"], savedGroups=document["savedGroups"])
    named = {key: _is_named(feature) for key, feature in document["features"].items()}

    def ask(key: str, context: dict[str, Any]) -> tuple[Any, str | None]:
        attributes = dict(context)
        unit = attributes.pop("targetingKey", None)
        if unit is not None:
            attributes.setdefault("id", unit)
        client.set_attributes(attributes)
        result = client.eval_feature(key)
        value = NOTHING if result.value is None else result.value
        name = None
        if result.experimentResult is not None and named[key] and value is not NOTHING:
            name = result.experimentResult.key
        return value, name

    return ask


def _is_named(feature: dict[str, Any]) -> bool:
    experiments = [
        json.dumps([rule.get("meta"), rule["variations"]])
        for rule in feature["rules"]
        if "variations" in rule
    ]
    return len(experiments) == 1
