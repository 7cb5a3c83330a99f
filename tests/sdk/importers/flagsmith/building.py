"""Small files of Flagsmith's, and short ways to import one and ask what came of it."""

from __future__ import annotations

import json
from typing import Any

from flagstone.engine import EvaluationDetails, evaluate, parse_flag_set
from flagstone.importers.flagsmith import convert

PREFIX = "env_"


def rule(kind: str, *conditions: tuple[str, str, Any]) -> dict[str, Any]:
    return {
        "type": kind,
        "conditions": [{"property": p, "operator": o, "value": v} for p, o, v in conditions],
    }


def context_file(
    value: Any = "own", *segments: tuple[Any, Any], enabled: bool = True, **more: Any
) -> dict[str, Any]:
    """Return an evaluation context; each segment is its rules and the override in it."""
    return {
        "environment": {"key": "env", "name": "Production"},
        "features": {
            "flag": {"key": "f1", "name": "flag", "enabled": enabled, "value": value, **more}
        },
        "segments": {
            str(number): {
                "key": str(number),
                "name": f"segment {number}",
                "rules": rules,
                "overrides": [{"key": f"o{number}", "name": "flag", "enabled": True, **override}],
            }
            for number, (rules, override) in enumerate(segments, 1)
        },
    }


def state(name: str = "flag", value: Any = "own", **more: Any) -> dict[str, Any]:
    return {
        "feature": {"id": 1, "name": name},
        "enabled": True,
        "feature_state_value": value,
        "featurestate_uuid": "2d5a6c1e-5b3f-4a43-9f0f-0f7f6d3b9a10",
        "multivariate_feature_state_values": [],
        **more,
    }


def document_file(*states: Any, segments: Any = (), **more: Any) -> dict[str, Any]:
    return {
        "api_key": "env",
        "name": "Production",
        "project": {"segments": list(segments)},
        "feature_states": list(states or (state(),)),
        "identity_overrides": [],
        **more,
    }


def segment(number: int, rules: Any, *states: Any) -> dict[str, Any]:
    return {"id": number, "name": f"s{number}", "rules": rules, "feature_states": list(states)}


def share(key: str | None, value: Any, percentage: float, number: int = 1) -> dict[str, Any]:
    return {
        "id": number,
        "multivariate_feature_option": {"value": value, "key": key},
        "mv_fs_value_uuid": "2d5a6c1e-5b3f-4a43-9f0f-0f7f6d3b9a10",
        "percentage_allocation": percentage,
    }


def ask(document: dict[str, Any], context: Any = None, **options: Any) -> EvaluationDetails:
    result = convert(document, **options)
    assert result.refused == []
    flags = parse_flag_set(json.loads(json.dumps(result.flag_set())), strict=True)
    return evaluate(flags, "flag", {} if context is None else context, 0.0)


def user(identifier: str = "u1", **traits: Any) -> dict[str, Any]:
    return {
        "targetingKey": f"{PREFIX}{identifier}",
        "identity": {"identifier": identifier},
        **traits,
    }


EVERYBODY = [rule("ALL")]
HALF = [rule("ALL", ("", "PERCENTAGE_SPLIT", "50"))]
