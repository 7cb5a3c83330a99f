"""LaunchDarkly: random payloads, and the answers of ``launchdarkly-server-sdk`` without a network.

A context whose key is empty is handed over as LaunchDarkly's constructor allows; one without any
kind is a context of a kind that no flag knows. Keys and numbers go over as JSON prints them: a key
as text, a float without a fraction as an integer. Malformed flags answer nobody, and stay out.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from differences import NOTHING, identifier, odd_value
from flagstone.importers.launchdarkly import convert

__all__ = ["PACKAGES", "contexts", "convert", "document", "vendor"]

PACKAGES = ("launchdarkly-server-sdk",)
KINDS = ("user", "org", "device")
TEXTS = ["de", "at", "DE", "a", "", "é", "😀", "hello world", "42", "beta-tester", "x@acme.com"]
VERSIONS = [
    "1.2.3", "2", "2.0", "2.1-beta.2", "2.1.0-beta.11", "v2.0.0", "02.1.0", "2.0.0+build", "",
    "3.0.0-rc.1", "10.0.0", "2.0.0-01", "2.", "2.0.0.0",
]  # fmt: skip
TIMES: list[Any] = [
    "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2025-12-31T23:59:59.999Z", "2026-01-01",
    "2026-01-01T00:00:00", "2026-06-01 12:30:00.123456789-0500", 1767225600000, 1767225600001,
    1767225600000.5, 0, "soon", 1.001, "1970-01-01T00:00:01.001Z", "2026-01-01t00:00:00.001z",
]  # fmt: skip
NUMBERS: list[Any] = [0, 1, -1, 1.5, 17, 18, 42, 2**53, 2**53 + 1, 2**53 + 2, 1e21, -2.5, 0.1 + 0.2]
PATTERNS = [
    "^[a-z]+$", "a", r"\d+", r"^\s*$", "(?i)ACME", "[^a-z]", r"\.com$", "e{1,2}|h.*o", "(?a)\\w+",
    r"^\D*\Z", "(", "(?i)beta|^DE", r"(?s)^.$", r"(?a)\bworld",
]  # fmt: skip
ATTRIBUTES = ("country", "email", "age", "plan", "version", "when", "tags", "name", "/a/b", "c~d")
OPERATORS = (
    "in", "endsWith", "startsWith", "matches", "contains", "lessThan", "lessThanOrEqual",
    "greaterThan", "greaterThanOrEqual", "before", "after", "semVerEqual", "semVerLessThan",
    "semVerGreaterThan", "unheardOf",
)  # fmt: skip


def a_value(rng: random.Random) -> Any:
    """Draw a value that clauses and contexts have in common."""
    pool = rng.choice((TEXTS, TEXTS, VERSIONS, TIMES, NUMBERS, [True, False, None]))
    return rng.choice(pool)


def a_key(rng: random.Random) -> str:
    return rng.choice(("42", "-7", "007", "é", "😀", "", f"user-{rng.randrange(20)}"))


def keys(rng: random.Random) -> list[str]:
    return [a_key(rng) for _ in range(rng.randint(0, 4))]


def values_for(op: str, attribute: str) -> Callable[[random.Random], Any]:
    """Return how to draw what a clause compares with: mostly what could match."""
    if op == "in" and attribute in ("key", "/key"):
        return a_key
    if attribute == "kind":
        return lambda rng: rng.choice((*KINDS, "robot", "o", "us"))
    if op == "matches":
        return lambda rng: rng.choice((*PATTERNS, 5))
    if op in ("before", "after"):
        return lambda rng: rng.choice((*TIMES, True, None))
    if op.startswith("semVer"):
        return lambda rng: rng.choice((*VERSIONS, 2))
    if op.endswith(("Than", "ThanOrEqual")):
        return lambda rng: rng.choice((*NUMBERS, "5"))
    return a_value


def clause(rng: random.Random, segments: list[str]) -> dict[str, Any]:
    negate = {"negate": True} if rng.random() < 0.25 else {}
    if segments and rng.random() < 0.2:
        names = rng.sample([*segments, "nowhere"], rng.randint(1, 2))
        return {"attribute": "", "op": "segmentMatch", "values": names, **negate}
    kind = rng.choice((None, None, "user", "org", "device", "robot", ""))
    attribute = rng.choice((*ATTRIBUTES, *ATTRIBUTES, "key", "kind", "anonymous"))
    if kind and rng.random() < 0.3:
        attribute = rng.choice(("/address/city", "/~1a~1b", "/c~0d", "/key", "/tags", "/name/x"))
    op = rng.choice(OPERATORS)
    draw = values_for(op, attribute)
    values = [draw(rng) for _ in range(rng.randint(0, 3))]
    if op == "in" and rng.random() < 0.05:
        values.append(rng.choice(([2, "a"], {"city": "de"}, [])))
    name = {} if kind is None else {"contextKind": kind}
    return {"attribute": attribute, "op": op, "values": values, **negate, **name}


def clauses(rng: random.Random, segments: list[str]) -> list[dict[str, Any]]:
    return [clause(rng, segments) for _ in range(rng.choice((0, 1, 1, 1, 2, 3)))]


def bucketing(rng: random.Random, kind_name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if rng.random() < 0.4:
        found[kind_name] = rng.choice((*KINDS, "robot"))
    if rng.random() < 0.4:
        names = ("country", "age", "key", "", "anonymous", "/a/b")
        found["bucketBy"] = rng.choice((*names, "/address/city" if found else "tags"))
    return found


def served(rng: random.Random, variations: int) -> dict[str, Any]:
    if rng.random() < 0.4:
        return {"variation": rng.randrange(variations)}
    weights = rng.choice(
        (
            [50_000, 50_000],
            [100_000],
            [0, 33_333, 66_667],
            [1, 99_999],
            [10_000, 0, 20_000],
            [60_000, 60_000, 5],
            [0, 0],
            [33_333, 33_333, 33_334],
            [-5, 50_000, 50_005],
        )
    )
    parts = []
    for weight in weights:
        part: dict[str, Any] = {"variation": rng.randrange(variations), "weight": weight}
        if rng.random() < 0.2:
            part["untracked"] = True
        parts.append(part)
    rollout: dict[str, Any] = {"variations": parts, **bucketing(rng, "contextKind")}
    if rng.random() < 0.3:
        rollout["kind"] = rng.choice(("experiment", "rollout"))
    if rng.random() < 0.4:
        rollout["seed"] = rng.choice((0, 61, -3, 10**12))
    return {"rollout": rollout}


def segment(rng: random.Random, key: str, others: list[str]) -> dict[str, Any]:
    rules = []
    for _ in range(rng.choice((0, 1, 2))):
        rule: dict[str, Any] = {"clauses": clauses(rng, others)}
        if rng.random() < 0.5:
            rule["weight"] = rng.choice((0, 1, 20_000, 50_000, 99_999, 100_000, -1, -100_000))
            rule |= bucketing(rng, "rolloutContextKind")
        rules.append(rule)

    def lists() -> list[dict[str, Any]]:
        return [
            {"contextKind": rng.choice((*KINDS, "")), "values": keys(rng)}
            for _ in range(rng.choice((0, 0, 1, 2)))
        ]

    return {
        "key": key,
        "version": 1,
        "salt": rng.choice(("", "s", "ümlaut")),
        "included": keys(rng),
        "excluded": keys(rng),
        "includedContexts": lists(),
        "excludedContexts": lists(),
        "rules": rules,
    }


def flag(
    rng: random.Random, key: str, others: dict[str, dict[str, Any]], segments: list[str]
) -> dict[str, Any]:
    count = rng.randint(2, 4)
    values = rng.choice(
        (
            [True, False],
            [f"{key}-{n}" for n in range(count)],
            list(range(count)),
            [n + 0.5 for n in range(count)],
            [1, 2.5, 3],
            [{"n": n} for n in range(count)],
            [[], [1, True], {"a": None}],
            [None, "text", 1, 2.5],
        )
    )
    count = len(values)
    targets = [
        {"variation": rng.randrange(count), "values": keys(rng)}
        for _ in range(rng.choice((0, 0, 1, 3)))
    ]
    in_contexts = []
    for _ in range(rng.choice((0, 0, 1, 3))):
        kind = rng.choice((*KINDS, ""))
        users = kind in ("user", "")
        in_contexts.append(
            {
                "contextKind": kind,
                "variation": rng.randrange(count),
                "values": [] if users and rng.random() < 0.7 else keys(rng),
            }
        )
    prerequisites = []
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        if others:
            other = rng.choice(list(others))
            limit = len(others[other]["variations"])
            off = others[other].get("offVariation")
            wanted = off if off is not None and rng.random() < 0.4 else rng.randrange(limit)
            prerequisites.append({"key": other, "variation": wanted})
        if rng.random() < 0.1:
            unknown = {"key": "no such flag", "variation": 0}
            prerequisites.append(rng.choice((unknown, *prerequisites)))
            if others and rng.random() < 0.3:
                prerequisites.append({"key": rng.choice(list(others)), "variation": 7})
    rules = []
    for number in range(rng.choice((0, 1, 1, 2, 4))):
        rule = {"clauses": clauses(rng, segments), **served(rng, count)}
        if rng.random() < 0.8:
            rule["id"] = rng.choice((f"r{number}", "same"))
        rules.append(rule)
    found = {
        "key": key,
        "version": rng.randint(1, 99),
        "salt": rng.choice(("", "abc", "é", f"{rng.randrange(10**6)}")),
        "on": rng.random() < 0.85,
        "offVariation": rng.choice((*range(count), None)),
        "variations": values,
        "targets": targets,
        "contextTargets": in_contexts,
        "prerequisites": prerequisites,
        "rules": rules,
        "fallthrough": served(rng, count),
        "clientSideAvailability": {"usingEnvironmentId": rng.random() < 0.5},
        "trackEvents": rng.random() < 0.1,
    }
    if found["on"] and rng.random() < 0.05:
        found["offVariation"] = 9
    if (rules or targets) and not prerequisites and rng.random() < 0.05:
        # Nobody asks it for its variation, for that is an error.
        found["rules"] = [rule for rule in rules if rule["clauses"]] or [
            {"id": "first", "clauses": [clause(rng, [])], "variation": 0}
        ]
        found["fallthrough"] = rng.choice(({}, {"variation": count}, {"variation": -1}))
    return found


def document(rng: random.Random, flags: int) -> dict[str, Any]:
    segments: dict[str, Any] = {}
    for number in range(max(4, flags // 4)):
        key = f"segment-{number}"
        segments[key] = segment(rng, key, list(segments))
    found: dict[str, Any] = {"gone": {"key": "gone", "version": 2, "deleted": True}}
    live: dict[str, Any] = {}
    for number in range(flags):
        key = f"flag-{number}" if rng.random() < 0.9 else f"flag/{number} é😀"
        live[key] = flag(rng, key, live, list(segments))
    return {"flags": {**found, **live}, "segments": segments}


def attributes(rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ATTRIBUTES:
        draw = rng.random()
        if draw < 0.5:
            found[name] = a_value(rng)
        elif draw < 0.6:
            found[name] = [a_value(rng) for _ in range(rng.randint(0, 3))]
        elif draw < 0.65:
            found[name] = odd_value(rng)
    if not isinstance(found.get("name", ""), str):
        del found["name"]
    if rng.random() < 0.3:
        found["anonymous"] = rng.random() < 0.5
    if rng.random() < 0.5:
        found["address"] = rng.choice(({"city": a_value(rng)}, {"city": ["de", 5]}, "street", [1]))
    return found


def unit(rng: random.Random) -> Any:
    return a_key(rng) if rng.random() < 0.4 else identifier(rng, others=True)


def contexts(rng: random.Random, count: int) -> list[dict[str, Any]]:
    return [one_context(rng) for _ in range(count)]


def one_context(rng: random.Random) -> dict[str, Any]:
    kinds = [kind for kind in KINDS if rng.random() < (0.85 if kind == "user" else 0.2)]
    found: dict[str, Any] = {}
    for kind in kinds:
        key = unit(rng)
        if isinstance(key, float) and not key.is_integer():
            # No unit to us, and no key to them: a context without its kind.
            if kind == "user":
                found["targetingKey"] = key
            continue
        if kind == "user":
            found |= {"targetingKey": key, "key": key, **attributes(rng)}
        else:
            found[kind] = {"key": key, **attributes(rng)}
    there = [kind for kind in KINDS if ("key" if kind == "user" else kind) in found]
    if len(there) > 1:
        found["kind"] = there
    elif there and (there != ["user"] or rng.random() < 0.8):
        found["kind"] = there[0]
    return found


def vendor(document: dict[str, Any]) -> Callable[[str, dict[str, Any]], tuple[Any, str | None]]:
    import ldclient
    from ldclient.config import Config
    from ldclient.feature_store import InMemoryFeatureStore
    from ldclient.versioned_data_kind import FEATURES, SEGMENTS

    store = InMemoryFeatureStore()
    store.init({FEATURES: document["flags"], SEGMENTS: document["segments"]})
    client = ldclient.LDClient(Config("none", feature_store=store, use_ldd=True, send_events=False))

    def single(kind: str, data: dict[str, Any]) -> Any:
        own = {name: jsonlike(value) for name, value in data.items() if value is not None}
        key = jsonlike(own.pop("key"))
        name, anonymous = own.pop("name", None), own.pop("anonymous", False)
        text = key if isinstance(key, str) else str(key)
        return ldclient.Context(kind, text, name, anonymous, own, allow_empty_key=True)

    def of(context: dict[str, Any]) -> Any:
        singles = [
            single(kind, context[kind]) for kind in KINDS if isinstance(context.get(kind), dict)
        ]
        key = context.get("targetingKey")
        if isinstance(key, (str, int)) or (isinstance(key, float) and key.is_integer()):
            rest = {
                name: value
                for name, value in context.items()
                if name not in (*KINDS, "targetingKey", "kind")
            }
            singles.append(single("user", {**rest, "key": key}))
        if len(singles) == 1:
            return singles[0]
        if not singles:
            return ldclient.Context.create("somebody", "nobody-knows")
        return ldclient.Context(None, "", multi_contexts=singles)

    last: list[Any] = [None, None]

    def ask(key: str, context: dict[str, Any]) -> tuple[Any, str | None]:
        if context is not last[0]:
            last[:] = [context, of(context)]
        detail = client.variation_detail(key, last[1], NOTHING)
        return detail.value, None

    return ask


def jsonlike(value: Any) -> Any:
    """Write numbers as JSON prints them: without a fraction where there is none."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [jsonlike(element) for element in value]
    if isinstance(value, dict):
        return {name: jsonlike(element) for name, element in value.items()}
    return value
