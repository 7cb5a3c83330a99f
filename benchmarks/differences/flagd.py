"""flagd: random flag definitions, evaluated by the released core of the Python provider.

This one hashes as v3 does (core 2 and newer); ``flagd_v2`` has the older hash.
"""

from __future__ import annotations

import copy
import json
import logging
import random
import re
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from differences import NOTHING, ODD_NUMBERS, ODD_TEXTS, identifier, odd_value
from flagstone.importers.flagd import convert as _convert
from flagstone.importers.result import ImportResult

PACKAGES: tuple[str, ...] = ("openfeature-flagd-core",)
HASH = "v3"

WORDS = ("a", "b", "gold", "silver", "DE", "US", "", "10", "1", "true", "x,y", "null")
NUMBERS = (0, 1, -1, 2, 18, 0.5, 10, 100, 1e6)
ATTRIBUTES = ("plan", "country", "age", "score", "email", "beta", "tags", "user.name", "user.id")
VERSIONS = ("1.0.0", "1.2.0", "2.0.0-alpha.1", "v2", "1.1", "2.0.0+build", "not-a-version")
TYPES = ("boolean", "string", "integer", "float", "object", "any")

_NUMERAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def _constant(rng: random.Random) -> Any:
    return rng.choice((rng.choice(WORDS), rng.choice(NUMBERS), rng.choice((True, False)), None))


def _var(rng: random.Random, *, key: bool = True) -> dict[str, Any]:
    name = rng.choice((*ATTRIBUTES, "targetingKey") if key else ATTRIBUTES)
    draw = rng.random()
    if draw < 0.15:
        return {"var": [name, _constant(rng)]}
    return {"var": [name]} if draw < 0.3 else {"var": name}


def _comparison(rng: random.Random) -> dict[str, Any]:
    operator = rng.choice(("==", "!=", "===", "!==", "<", "<=", ">", ">="))
    if operator[0] in "<>" and rng.random() < 0.3:
        low, high = sorted(rng.sample(NUMBERS, 2))
        return {operator: [low, _var(rng), high]}
    constant = rng.choice(NUMBERS) if operator[0] in "<>" else _constant(rng)
    if operator[0] in "<>" and rng.random() < 0.2:
        return {operator: [{"var": rng.choice(("plan", "email"))}, rng.choice(("b", "gold", "M"))]}
    sides = [_var(rng), constant]
    rng.shuffle(sides)
    return {operator: sides}


def _member(rng: random.Random) -> dict[str, Any]:
    if rng.random() < 0.5:
        return {"in": [_var(rng), [_constant(rng) for _ in range(rng.randint(0, 4))]]}
    if rng.random() < 0.3:
        return {"in": [_var(rng), rng.choice(("gold,silver", "DE", ""))]}
    return {"in": [_constant(rng), _var(rng)]}


def _text(rng: random.Random) -> dict[str, Any]:
    operator = rng.choice(("starts_with", "ends_with"))
    if rng.random() < 0.1:
        return {operator: [_var(rng), _var(rng)]}
    if rng.random() < 0.1:
        return {operator: ["gold", _var(rng)]}
    text = rng.choice(("user-", "@example.com", "g", "", "1", 5))
    return {operator: [_var(rng), text]}


def _version(rng: random.Random) -> dict[str, Any]:
    operator = rng.choice(("=", "!=", "<", "<=", ">", ">=", "^", "~", "=="))
    if rng.random() < 0.2:
        return {"sem_ver": [rng.choice(VERSIONS), operator, {"var": "version"}]}
    attribute = {"var": rng.choice(("version", "version", "score", "email"))}
    return {"sem_ver": [attribute, operator, rng.choice(VERSIONS)]}


def _list_test(rng: random.Random) -> dict[str, Any]:
    operator = rng.choice(("some", "all", "none"))
    inner = rng.choice(
        (
            {"==": [{"var": ""}, rng.choice(WORDS)]},
            {">": [{"var": ""}, rng.choice(NUMBERS)]},
            {"in": [{"var": ""}, ["a", 1, None]]},
            {"var": "id"},
            {"starts_with": [{"var": ""}, "a"]},
        )
    )
    return {operator: [{"var": rng.choice(("tags", "plan"))}, inner]}


def _clock(rng: random.Random) -> dict[str, Any]:
    at = rng.choice((0, 1_500_000_000, 4_000_000_000, 1_600_000_000.5))
    return {rng.choice(("<", ">=")): [{"var": "$flagd.timestamp"}, at]}


def _mixed(rng: random.Random) -> dict[str, Any]:
    return rng.choice(
        (
            {"==": [{"%": [{"var": rng.choice(("age", "score"))}, rng.choice((2, 3, 10))]}, 1]},
            {"==": [{"cat": ["p-", {"var": "plan"}]}, rng.choice(("p-gold", "p-10", "p-null"))]},
            {">": [{"var": "email.length"}, 3]},
            {"missing": ["plan", "user.id"]},
            {"==": [{"var": "$flagd.flagKey"}, "flag-1"]},
            {"!": _var(rng)},
            {"!!": [_var(rng)]},
            _var(rng),
            {"$ref": rng.choice(("shared", "listed"))},
        )
    )


def _condition(rng: random.Random, depth: int) -> Any:
    if depth > 0 and rng.random() < 0.3:
        operator = rng.choice(("and", "or", "!", "if"))
        if operator == "!":
            return {"!": [_condition(rng, depth - 1)]}
        return {operator: [_condition(rng, depth - 1) for _ in range(rng.randint(1, 3))]}
    make = rng.choice(
        (_comparison, _comparison, _member, _text, _version, _list_test, _clock, _mixed, _mixed)
    )
    return make(rng)


def _fractional(rng: random.Random, names: list[str]) -> dict[str, Any]:
    shares: list[Any] = []
    for _ in range(rng.randint(1, 4)):
        name: Any = rng.choice(names)
        if rng.random() < 0.1:
            name = {"if": [_comparison(rng), rng.choice(names), rng.choice(names)]}
        elif rng.random() < 0.05:
            name = rng.choice((None, {"var": "plan"}, "unknown"))
        weight: Any = rng.choice((0, 1, 5, 10, 25, 33, 50, 100, 12345, -5))
        if rng.random() < 0.05:
            weight = rng.choice((2.5, "10", True, {"if": [_comparison(rng), 10, 0]}))
        shares.append([name] if rng.random() < 0.1 else [name, weight])
    draw = rng.random()
    if draw < 0.3:
        return {"fractional": shares}
    by: Any = {"cat": [{"var": "$flagd.flagKey"}, {"var": "targetingKey"}]}
    if draw < 0.5:
        by = {"var": rng.choice(("targetingKey", "user.id", "email"))}
    elif draw < 0.7:
        by = {"cat": [rng.choice(("seed", "s:", "é")), {"var": rng.choice(ATTRIBUTES)}]}
    elif draw < 0.75:
        by = rng.choice(("constant", "", None, {"cat": ["all", 1, True]}))
    return {"fractional": [by, *shares]}


def _outcome(rng: random.Random, names: list[str], depth: int) -> Any:
    draw = rng.random()
    if draw < 0.4:
        return rng.choice(names)
    if draw < 0.6:
        return _fractional(rng, names)
    if draw < 0.7:
        return rng.choice((None, True, False, "unknown", "", 5, ["a"], {"var": "plan"}))
    if draw < 0.75:
        return _condition(rng, 1)
    if depth == 0:
        return rng.choice(names)
    parts: list[Any] = []
    for _ in range(rng.randint(1, 3)):
        parts += [_condition(rng, 2), _outcome(rng, names, depth - 1)]
    if rng.random() < 0.7:
        parts.append(_outcome(rng, names, depth - 1))
    return {"if": parts}


def _variants(rng: random.Random) -> tuple[dict[str, Any], list[str]]:
    kind = rng.choice(TYPES)
    names = rng.sample(
        ("on", "off", "gold", "silver", "true", "false", "a", "ü"), rng.randint(1, 5)
    )
    made: dict[str, Callable[[int], Any]] = {
        "boolean": lambda n: n % 2 == 0,
        "string": lambda n: rng.choice(("", f"value {n}", "😀")),
        "integer": lambda n: rng.choice((0, n, -n, 2**40)),
        "float": lambda n: rng.choice((0.0, n + 0.5, 1.0)),
        "object": lambda n: rng.choice(({}, {"n": n}, [n], {"deep": [None, {"x": True}]})),
        "any": lambda n: rng.choice((None, True, "text", n, n + 0.5, {"n": n}, [])),
    }
    return {name: made[kind](n) for n, name in enumerate(names)}, names


def _flag(rng: random.Random) -> dict[str, Any]:
    variants, names = _variants(rng)
    flag: dict[str, Any] = {
        "state": "DISABLED" if rng.random() < 0.05 else "ENABLED",
        "variants": variants,
        "defaultVariant": rng.choice(names),
    }
    draw = rng.random()
    if draw < 0.15:
        del flag["defaultVariant"]
    elif draw < 0.25:
        flag["defaultVariant"] = rng.choice((None, "unknown", "", False, True))
    if rng.random() < 0.9:
        targeting = _outcome(rng, names, 3)
        while not isinstance(targeting, dict):
            targeting = _outcome(rng, names, 3)
        flag["targeting"] = targeting
    if rng.random() < 0.2:
        flag["metadata"] = {"owner": "team", "n": 1.5}
    return flag


def document(rng: random.Random, flags: int) -> dict[str, Any]:
    """Make a file with that many flags that can be imported, and few others."""
    return {
        "flags": {f"flag-{n}": _flag(rng) for n in range(flags)},
        "$evaluators": {
            "shared": {"and": [{"in": ["@example.com", {"var": ["email"]}]}, {"$ref": "listed"}]},
            "listed": {"in": [{"var": "plan"}, ["gold", "silver", 1]]},
        },
        "metadata": {"flagSetId": "differences"},
    }


def contexts(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """Make contexts: expected values mostly, and any others."""
    return [_context(rng) for _ in range(count)]


def _identifier(rng: random.Random) -> Any:
    """Draw an identifier; not a numeral that Python alone reads, a limit that the importer names.

    flagd's cores in other languages take ``"۱"`` and ``"1_0"`` for texts, as we do.
    """
    while True:
        drawn = identifier(rng, others=True)
        if not isinstance(drawn, str) or _NUMERAL.fullmatch(drawn.strip()):
            return drawn
        try:
            float(drawn)
        except ValueError:
            return drawn


def _context(rng: random.Random) -> dict[str, Any]:
    context: dict[str, Any] = {}
    if rng.random() < 0.95:
        context["targetingKey"] = _identifier(rng)
    usual: dict[str, Callable[[], Any]] = {
        "plan": lambda: rng.choice(WORDS),
        "country": lambda: rng.choice(("DE", "US", "FR")),
        "age": lambda: rng.randrange(-1, 120),
        "score": lambda: rng.choice((rng.random() * 3, rng.choice(ODD_NUMBERS), "1.5", " 10 ")),
        "email": lambda: rng.choice(("user-1@example.com", "x@y.org", "")),
        "beta": lambda: rng.choice((True, False)),
        "tags": lambda: [_constant(rng) for _ in range(rng.choice((0, 1, 2, 3)))],
        "version": lambda: rng.choice((*VERSIONS, 1, 2.0, 1.1, "01.0", "1.0.0-01", "1.0.0.0")),
        "user": lambda: {"name": _identifier(rng), "id": _identifier(rng)},
    }
    for name, make in usual.items():
        draw = rng.random()
        if draw < 0.7:
            context[name] = make()
        elif draw < 0.9:
            context[name] = odd_value(rng)
    if rng.random() < 0.02:
        context["targetingKey"] = rng.choice((None, True, False, {}, [], 0, *ODD_TEXTS))
    return context


def convert(document: dict[str, Any]) -> ImportResult:
    """Import with the hash of the core under test."""
    return _convert(document, hash_version=HASH)


def vendor(document: dict[str, Any]) -> Callable[[str, dict[str, Any]], tuple[Any, str | None]]:
    """Ask the released evaluator; an exception is what its provider turns into the default."""
    from openfeature.contrib.tools.flagd.core import FlagdCore
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.exception import TypeMismatchError

    logging.getLogger("openfeature.contrib").setLevel(logging.CRITICAL)
    core = FlagdCore()
    core.set_flags(json.dumps(document))
    questions = (
        core.resolve_boolean_value,
        core.resolve_string_value,
        core.resolve_integer_value,
        core.resolve_float_value,
        core.resolve_object_value,
    )

    def answer(key: str, context: dict[str, Any]) -> tuple[Any, str | None]:
        attributes = copy.copy(context)
        unit = attributes.pop("targetingKey", None)
        for ask in questions:
            try:
                details = ask(key, NOTHING, EvaluationContext(unit, attributes))
            except TypeMismatchError:
                continue
            except Exception:  # noqa: BLE001  the provider answers any failure with the default
                return NOTHING, None
            return details.value, None if details.value is NOTHING else details.variant
        return NOTHING, None

    return answer


def installed(hash_version: str) -> str | None:
    """Return why the core that is installed cannot be compared, or ``None`` if it can."""
    major = int(version(PACKAGES[0]).split(".")[0])
    if (major < 2) == (hash_version == "v2"):
        return None
    return f"{PACKAGES[0]} {version(PACKAGES[0])} does not hash as {hash_version}"


def unfit() -> str | None:
    """Return why the installed packages cannot be compared, or ``None`` if they can."""
    return installed(HASH)
