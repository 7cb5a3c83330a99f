"""Small files of GrowthBook's, and short ways to import one and ask what came of it."""

from __future__ import annotations

import json
from typing import Any

from flagstone.engine import EvaluationDetails, evaluate, parse_flag_set
from flagstone.importers import ImportResult
from flagstone.importers.growthbook import convert

NOW = 0.0


def imported(features: Any, groups: Any = None, edge: str = "exclusive") -> ImportResult:
    return convert({"features": features, "savedGroups": groups}, edge=edge)


def served(result: ImportResult, key: str, context: dict[str, Any]) -> EvaluationDetails:
    document = json.loads(json.dumps(result.flag_set()))
    return evaluate(parse_flag_set(document, strict=True), key, context, NOW)


def forced(rule: dict[str, Any], *, edge: str = "exclusive", groups: Any = None) -> ImportResult:
    """Import a feature that is on for whom the rule matches."""
    feature = {"defaultValue": False, "rules": [{"force": True, **rule}]}
    return imported({"f": feature}, groups, edge)


GROUPS = {
    "old": ["x", 1],
    "list": {"type": "list", "attributeKey": "a", "values": ["x"]},
    "where": {"type": "condition", "condition": {"a": {"$gt": 1}}},
    "inner": {"type": "condition", "condition": {"$savedGroup": {"id": "where"}}},
    "loop": {"type": "condition", "condition": {"$not": {"$savedGroup": {"id": "loop"}}}},
    "newer": {"type": "vector"},
    "broken": {"type": "list", "values": 1},
}


def child(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"defaultValue": "default", "rules": list(rules)}


PARENT = {"defaultValue": "red", "rules": [{"force": "green", "condition": {"a": 1}}]}


def gate(condition: Any, *, gates: bool = True) -> dict[str, Any]:
    return {"parentConditions": [{"id": "parent", "condition": condition, "gate": gates}]}
