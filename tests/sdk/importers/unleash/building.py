"""Small files of Unleash's, and short ways to import one and ask what came of it."""

from __future__ import annotations

import json
from typing import Any

from flagstone.engine import EvaluationDetails, evaluate, parse_flag_set
from flagstone.engine.hashes import murmur3
from flagstone.importers import ImportResult
from flagstone.importers.unleash import convert

NOW = 1_780_000_000.0  # 2026-05-28T20:26:40Z
USERS = [f"u{number}" for number in range(200)]


def feature(*strategies: Any, name: str = "f", **more: Any) -> dict[str, Any]:
    return {"name": name, "enabled": True, "strategies": list(strategies), **more}


def strategy(name: str = "default", *constraints: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "parameters": {}, "constraints": list(constraints), **more}


def rollout(percentage: str, **parameters: str) -> dict[str, Any]:
    return strategy("flexibleRollout", parameters={"rollout": percentage, **parameters})


def constraint(operator: str, *values: str, **more: Any) -> dict[str, Any]:
    return {"contextName": "x", "operator": operator, "values": list(values), **more}


def compared(operator: str, value: str | None, **more: Any) -> dict[str, Any]:
    return {"contextName": "x", "operator": operator, "value": value, **more}


def variant(name: str, weight: int = 1, payload: tuple[str, str] | None = None, **more: Any) -> Any:
    carried = {} if payload is None else {"payload": {"type": payload[0], "value": payload[1]}}
    return {"name": name, "weight": weight, **carried, **more}


def imported(*features: Any, segments: Any = None) -> ImportResult:
    return convert({"version": 2, "features": list(features), "segments": segments})


def ask(
    result: ImportResult, key: str = "f", now: float = NOW, **context: Any
) -> EvaluationDetails:
    flag_set = json.loads(json.dumps(result.flag_set()))
    return evaluate(parse_flag_set(flag_set, strict=True), key, context, now)


def reason(*features: Any, key: str = "f", segments: Any = None) -> str:
    result = imported(*features, segments=segments)
    assert key not in result.flags
    return next(note.reason for note in result.refused if note.flag == key)


def bucket(group: str, unit: str, of: int, seed: int = 0) -> int:
    return murmur3(f"{group}:{unit}".encode(), seed) % of
