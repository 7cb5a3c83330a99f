"""Random small flags and edits of them, over a domain that can be enumerated."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Iterator
from typing import Any

from flagstone.engine import bucket

TIMES = ["2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z", "2027-01-01T00:00:00Z"]
SECONDS = [1767225600.0, 1780272000.0, 1798761600.0]
NOTHING = object()
VALUES: dict[str, list[Any]] = {
    "country": [NOTHING, "de", "at", "denmark", "land", "deland", "", 5, None, ["de"], ["x"]],
    "age": [NOTHING, 17, 18, 18.5, 20, 30, 65, 66, "18", False],
    "plan": [NOTHING, "free", "pro", "max", 1, True, {}, {"of": "pro"}, {"of": 1}, {"of": None}],
}
ATTRIBUTES: dict[str, list[Any]] = {
    "country": ["country"],
    "age": ["age"],
    "plan": ["plan", ["plan", "of"], ["plan", "of"]],
}
NAMED = ["u1", "u2", 7]
LINES = [(name, salt) for name in ("flagstone", "unleash", "launchdarkly") for salt in "st"]


class World:
    """The attributes and hashes that the flags of one example use: few, to be enumerated."""

    def __init__(self, rng: random.Random) -> None:
        self.names = rng.sample(sorted(VALUES), 2)
        self.attributes = [attr for name in self.names for attr in ATTRIBUTES[name]]
        self.lines = rng.sample(LINES, rng.choice([1, 1, 2]))
        self.sizes = rng.choice([[4, 8], [4, 6], [8]]) if len(self.lines) == 1 else [4]

    def bucketing(self, rng: random.Random) -> dict[str, Any]:
        name, salt = rng.choice(self.lines)
        return {"hash": name, "salt": salt, "of": rng.choice(self.sizes)}

    def units(self) -> list[Any]:
        """Return units: those named, and one for every combination of buckets."""
        seen: dict[tuple[int, ...], str] = {}
        for number in range(2_000):
            unit = f"fresh-{number}"
            place = tuple(
                bucket(name, salt, unit, size) for name, salt in self.lines for size in self.sizes
            )
            seen.setdefault(place, unit)
        return [NOTHING, None, 1.5, 7, "u1", "u2", *seen.values()]

    def contexts(self, text: str) -> Iterator[dict[str, Any]]:
        """Yield the contexts of this world, without attributes that a text does not name."""
        people = self.units()
        names = [name for name in self.names if f"'{name}'" in text]
        for values in itertools.product(*(VALUES[name] for name in names)):
            known = {
                name: value
                for name, value in zip(names, values, strict=True)
                if value is not NOTHING
            }
            for unit in people:
                yield known if unit is NOTHING else {**known, "targetingKey": unit}


def a_condition(rng: random.Random, world: World, depth: int = 0) -> Any:
    chosen = rng.random()
    if depth < 2 and chosen < 0.3:
        if chosen < 0.1:
            return {"not": a_condition(rng, world, depth + 1)}
        word = "all" if chosen < 0.2 else "any"
        return {word: [a_condition(rng, world, depth + 1) for _ in range(rng.randint(1, 3))]}
    if chosen < 0.4:
        bucketing = world.bucketing(rng)
        return {"bucket": {**bucketing, "ranges": [a_range(rng, bucketing["of"])]}}
    if chosen < 0.45:
        return True
    if chosen < 0.53:
        return {"segment": rng.choice(["one", "two"])}
    if chosen < 0.61:
        return rng.choice(
            [{"flag": "other", "variants": ["x"]}, {"flag": "other", "on": rng.random() < 0.5},
             {"flag": "other", "value": {"op": "in", "values": [True, "x"]}}]
        )  # fmt: skip
    return a_leaf(rng, world)


def a_leaf(rng: random.Random, world: World) -> Any:
    attr = rng.choice([*world.attributes, "targetingKey"])
    if attr == "country":
        op = rng.choice(["in", "in", "starts_with", "ends_with", "contains", "exists", "type"])
        constants = {"type": ["string", "array", "null"]}.get(op, ["de", "at", "land"])
        leaf = {"attr": attr, "op": op, "values": rng.sample(constants, rng.randint(1, 2))}
        if op == "in" and rng.random() < 0.3:
            leaf["elements"] = True
    elif attr == "age":
        op = rng.choice(["in", "lt", "lte", "gt", "gte"])
        leaf = {"attr": attr, "op": op, "values": [rng.choice([18, 20, 65])]}
    elif attr == "targetingKey":
        return {"attr": attr, "op": "in", "values": rng.sample(["u1", "u2", 7], 2)}
    else:
        constants = ["pro", "free", 1]
        leaf = {"attr": attr, "op": "in", "values": rng.sample(constants, rng.randint(1, 2))}
    if rng.random() < 0.08:
        return {"attr": attr, "op": "exists"}
    if leaf["op"] == "exists":
        del leaf["values"]
    return leaf


def a_range(rng: random.Random, of: int) -> list[int]:
    return sorted(rng.sample(range(of + 1), 2))


def a_split(rng: random.Random, world: World, variants: list[str]) -> Any:
    bucketing = world.bucketing(rng)
    of = bucketing["of"]
    edges = sorted(rng.sample(range(of + 1), rng.choice([2, 3])))
    spans = [list(pair) for pair in itertools.pairwise(edges)]
    to = [{"variant": rng.choice(variants), "ranges": [span]} for span in spans]
    split = {**bucketing, "to": to}
    if rng.random() < 0.3:
        split["missing"] = rng.choice(variants)
    return {"split": split}


def a_rule(rng: random.Random, world: World, variants: list[str], number: int) -> dict[str, Any]:
    serve = a_split(rng, world, variants) if rng.random() < 0.5 else rng.choice(variants)
    rule = {"id": f"rule-{number}", "when": a_condition(rng, world), "serve": serve}
    if rng.random() < 0.2:
        first, last = sorted(rng.sample(range(len(TIMES)), 2))
        rule["start"], rule["end"] = TIMES[first], TIMES[last]
        del rule[rng.choice(["start", "end"])]
    return rule


def a_target(rng: random.Random, variants: list[str]) -> dict[str, Any]:
    target = {"variant": rng.choice(variants), "keys": rng.sample(NAMED, rng.randint(1, 2))}
    if rng.random() < 0.4:
        target["until"] = rng.choice(TIMES)
    return target


def a_flag(rng: random.Random, world: World, *, asks: bool = True) -> dict[str, Any]:
    boolean = rng.random() < 0.5
    variants: dict[str, Any] = {"x": {"value": True}, "y": {"value": False}}
    if not boolean:
        variants = {"x": {"value": "x"}, "y": {"value": "y"}, "z": {"value": "x"}}
        if rng.random() < 0.5:
            variants["y"]["on"] = False
    names = list(variants)
    flag = {
        "type": "boolean" if boolean else "string",
        "variants": variants,
        "off": rng.choice([*names, "y", None]),
        "default": rng.choice([*names, "y", None]),
        "targets": [a_target(rng, names) for _ in range(rng.choice([0, 0, 1]))],
        "rules": [a_rule(rng, world, names, number) for number in range(rng.randint(0, 3))],
    }
    if asks and rng.random() < 0.15:
        flag["prerequisites"] = [{"flag": "other", "variants": ["x"]}]
    if rng.random() < 0.05:
        flag["enabled"] = False
    return flag


def without_flags(condition: Any) -> Any:
    """Take conditions on flags out, so that nothing refers to itself."""
    if isinstance(condition, dict):
        if "flag" in condition or "segment" in condition:
            return {"attr": "country", "op": "in", "values": ["at"]}
        return {name: without_flags(part) for name, part in condition.items()}
    return [without_flags(part) for part in condition] if isinstance(condition, list) else condition


def a_flag_set(rng: random.Random, world: World) -> dict[str, Any]:
    other = a_flag(rng, world, asks=False)
    for rule in other["rules"]:
        rule["when"] = without_flags(rule["when"])
    segments = {name: without_flags(a_condition(rng, world)) for name in ("one", "two")}
    return {"flags": {"flag": a_flag(rng, world), "other": other}, "segments": segments}


def edited(rng: random.Random, world: World, document: dict[str, Any]) -> dict[str, Any]:
    """Change one thing, as people do; sometimes what is changed cannot be seen."""
    after = copy.deepcopy(document)
    flag = after["flags"]["flag"]
    names = list(flag["variants"])
    splits = [r["serve"]["split"] for r in flag["rules"] if isinstance(r["serve"], dict)]
    chosen = rng.randrange(12)
    if chosen < 3 and splits:
        split = rng.choice(splits)
        share = split["to"][-1]
        low = share["ranges"][0][0]
        share["ranges"] = [[low, rng.randint(low, split["of"])]]
    elif chosen == 3 and flag["rules"]:
        rng.choice(flag["rules"])["when"] = a_condition(rng, world)
    elif chosen == 4:
        flag["rules"].insert(rng.randint(0, len(flag["rules"])), a_rule(rng, world, names, 9))
    elif chosen == 5 and flag["rules"]:
        flag["rules"].pop(rng.randrange(len(flag["rules"])))
    elif chosen == 6:
        flag["default"] = rng.choice([*names, None])
    elif chosen == 7:
        flag["killed"] = True
    elif chosen == 8:
        after["segments"]["one"] = without_flags(a_condition(rng, world))
    elif chosen == 9:
        after["flags"]["other"] = a_flag_set(rng, world)["flags"]["other"]
    elif chosen == 10:
        flag["targets"] = [a_target(rng, names) for _ in range(rng.randint(0, 2))]
    else:
        return a_flag_set(rng, world)
    return after


def moments(document: dict[str, Any]) -> list[float]:
    text = repr(document)
    cut = [place for place, time in enumerate(TIMES) if time in text]
    return [0.0, *(SECONDS[place] for place in cut)]
