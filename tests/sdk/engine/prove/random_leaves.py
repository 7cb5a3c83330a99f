"""Random conditions on one attribute, and random values that meet them, drawn from one seed."""

from __future__ import annotations

import json
import random
from typing import Any

from flagstone.engine import Condition, FlagSetError, parse_condition

TEXTS = ["", "a", "ab", "b", "Ab", "ß", "Σ", "ς", "user-1", "5", "5.0", "07", "1e3", "true", "null"]
TIMES = ["2026-01-01T00:00:00Z", "2026-06-01", "1970-01-01T00:00:05Z"]
VERSIONS = ["1.2.3", "v1.2", "1.2.3-beta.1", "2.0.0", "1.2.3-beta", "10.0"]
ADDRESSES = ["10.0.0.1", "10.0.0.0", "255.255.255.255", "::1", "::ffff:1.2.3.4"]
NETWORKS = ["10.0.0.0/8", "10.0.0.1", "::/0", "255.255.255.0/24", "0.0.0.0/0"]
NUMBERS: list[int | float] = [0, 1, 2, 5, -1, 1.5, 0.5, 5.0, 10**9, 2.0**53, 1e22]
PATTERNS = [
    "^a",
    "b$",
    "^(a|ab)$",
    "[0-9]+",
    "(?i)AB",
    "^.{2}$",
    r"\ba",
    "a.*b",
    "^$",
    r"\Bb",
    "(?m)^b",
]
KINDS = ["string", "number", "boolean", "array", "object", "null"]
ORDERS = ["lt", "lte", "gt", "gte"]
VERSION_OPS = [f"{k}_{o}" for k in ("semver", "version") for o in ("eq", "lt", "lte", "gt", "gte")]
READERS = [None, None, None, None, "number", "string", "auto", "length", "joined"]


def a_scalar(rng: random.Random) -> Any:
    return rng.choice([rng.choice(TEXTS), rng.choice(NUMBERS), True, False, None])


def a_constant(rng: random.Random, op: str) -> Any:
    if op in ("starts_with", "ends_with"):
        return rng.choice(TEXTS[:8])
    if op in ORDERS:
        return rng.choice([*TEXTS[:7], "5", *NUMBERS])
    if op in ("before", "after"):
        return rng.choice([*TIMES, 5, 0.5])
    if op in VERSION_OPS:
        return rng.choice(VERSIONS)
    if op == "regex":
        return rng.choice(PATTERNS)
    if op == "cidr":
        return rng.choice(NETWORKS)
    if op == "type":
        return rng.choice(KINDS)
    if op == "mod":
        return rng.choice([[2, 0], [2, 1], [3, 1], [1, 0.5]])
    if rng.random() < 0.15:
        return rng.choice([[], ["a"], ["a", 1], {}, {"x": 1}, [[]], [None]])
    return a_scalar(rng)


OPS = ["in", "in", "contains", "starts_with", "ends_with", "regex", *ORDERS, "before", "after",
       *VERSION_OPS, "exists", "cidr", "type", "mod"]  # fmt: skip


def a_leaf(rng: random.Random, attr: Any, depth: int = 0) -> dict[str, Any]:
    """Make a condition on an attribute; ``None`` names the element itself."""
    named = {} if attr is None else {"attr": attr}
    if depth < 2 and rng.random() < 0.12:
        return {**named, "each": an_inner(rng, depth + 1)}
    op = rng.choice(OPS)
    leaf: dict[str, Any] = {**named, "op": op}
    if op != "exists":
        leaf["values"] = [a_constant(rng, op) for _ in range(rng.randint(1, 3))]
    reader = rng.choice(READERS)
    if reader is not None:
        leaf["as"] = reader
    if op in ("in", "contains", "starts_with", "ends_with", "regex") and rng.random() < 0.3:
        leaf["ci"] = True
    if rng.random() < 0.2:
        leaf["elements"] = True
    if op.startswith("semver") and rng.random() < 0.3:
        leaf["strict"] = True
    return leaf


def an_inner(rng: random.Random, depth: int) -> Any:
    """Make a condition on an element."""
    chosen = rng.random()
    if chosen < 0.6:
        return a_leaf(rng, rng.choice([None, None, "x", ["x", "y"]]), depth)
    if chosen < 0.7:
        return True
    word = rng.choice(["all", "any"])
    if chosen < 0.9:
        return {word: [an_inner(rng, depth + 1) if depth < 3 else True for _ in range(2)]}
    return {"not": an_inner(rng, depth + 1) if depth < 3 else True}


def a_parsed_leaf(rng: random.Random, attr: Any) -> Condition:
    """Make a leaf that the parser takes; constants that an operator cannot use are drawn again."""
    while True:
        try:
            return parse_condition(a_leaf(rng, attr))
        except FlagSetError:
            continue


def a_text(rng: random.Random) -> str:
    pool = [*TEXTS, *TIMES, *VERSIONS, *ADDRESSES]
    chosen = rng.random()
    if chosen < 0.5:
        return rng.choice(pool)
    if chosen < 0.7:
        return rng.choice(pool) + rng.choice(["a", "b", "0", "-1", ".1", "+x", "Σ", "\n", "K"])
    if chosen < 0.8:
        return rng.choice(pool).swapcase()
    return "".join(rng.choice("abAB05. -\n\u212aİΣß") for _ in range(rng.randint(0, 6)))


def a_number(rng: random.Random) -> int | float:
    number = rng.choice(NUMBERS)
    return rng.choice(
        [number, number + 1, number - 1, number + 0.5, float(number), -number, -0.0,
         rng.randint(-10, 10), rng.uniform(-3, 7), 1e300, 1767225600, 1767225600.5]
    )  # fmt: skip


def a_value(rng: random.Random, depth: int = 0) -> Any:
    chosen = rng.random()
    if chosen < 0.4:
        return a_text(rng)
    if chosen < 0.6:
        return a_number(rng)
    if chosen < 0.7 or depth > 2:
        return rng.choice([True, False, None])
    if chosen < 0.87:
        if rng.random() < 0.3:
            return rng.choice([[], ["a"], ["a", 1], [[]], [None], ["a", True]])
        return [a_value(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    if rng.random() < 0.3:
        return json.loads(rng.choice(["{}", '{"x": 1}', '{"x": 1.0}', '{"x": true}']))
    names = rng.sample(["x", "y", "z"], rng.randint(0, 3))
    return {name: a_value(rng, depth + 1) for name in names}
