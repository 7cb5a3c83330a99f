"""Small files of LaunchDarkly's, and short ways to import one and ask what came of it."""

from __future__ import annotations

import hashlib
from typing import Any

from flagstone.engine import EvaluationDetails, evaluate, parse_flag_set
from flagstone.importers import ImportResult
from flagstone.importers.launchdarkly import convert

NOW = 1_780_000_000.0


def flag(**parts: Any) -> dict[str, Any]:
    """A flag of LaunchDarkly that is on and falls through to its second variation."""
    return {
        "key": "f",
        "version": 3,
        "salt": "salt",
        "on": True,
        "offVariation": 1,
        "variations": ["match", "other", "third"],
        "fallthrough": {"variation": 1},
        **parts,
    }


def clause(attribute: str, op: str, *values: Any, **more: Any) -> dict[str, Any]:
    return {"attribute": attribute, "op": op, "values": list(values), **more}


def when(*clauses: dict[str, Any], **serve: Any) -> dict[str, Any]:
    """A flag with one rule."""
    return flag(rules=[{"id": "r", "clauses": list(clauses), **(serve or {"variation": 0})}])


def imported(flags: dict[str, Any] | None = None, **segments: Any) -> ImportResult:
    return convert({"flags": flags or {}, "segments": segments})


def details(result: ImportResult, context: dict[str, Any], key: str = "f") -> EvaluationDetails:
    return evaluate(parse_flag_set(result.flag_set(), strict=False), key, context, NOW)


def matches(document: dict[str, Any], context: dict[str, Any], **segments: Any) -> bool:
    """Whether the only rule of a flag holds; the import must be sound."""
    result = imported({"f": document}, **segments)
    assert result.refused == []
    parse_flag_set(result.flag_set(), strict=True)
    return details(result, {"targetingKey": "u", **context}).value == "match"


def place(salt: str, unit: str) -> float:
    """The bucket as LaunchDarkly documents it."""
    digest = hashlib.sha1(f"{salt}.{unit}".encode(), usedforsecurity=False).hexdigest()
    return int(digest[:15], 16) / float(0xFFFFFFFFFFFFFFF)


def rollout(*weights: int, **parts: Any) -> dict[str, Any]:
    variations = [{"variation": n, "weight": weight} for n, weight in enumerate(weights)]
    return {"rollout": {"variations": variations, **parts}}


SEGMENT = {
    "key": "s",
    "salt": "pepper",
    "included": ["in", "42"],
    "excluded": ["in", "out"],
    "includedContexts": [{"contextKind": "org", "values": ["acme"]}],
    "excludedContexts": [{"contextKind": "org", "values": ["evil"]}],
    "rules": [{"clauses": [clause("a", "in", 1)]}],
}
IN_SEGMENT = when(clause("", "segmentMatch", "s"))


def weighted(weight: int, **parts: Any) -> dict[str, Any]:
    own = {"key": parts.pop("key", "s"), "salt": parts.pop("salt", "pepper")}
    return {**own, "rules": [{"clauses": [], "weight": weight, **parts}]}
