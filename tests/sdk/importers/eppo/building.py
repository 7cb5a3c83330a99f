"""Small files of Eppo's, and short ways to import one and ask what came of it."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from flagstone.engine import evaluate, parse_flag_set
from flagstone.importers import ImportResult
from flagstone.importers.eppo import convert

NOW = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
ON = {"variationKey": "on", "shards": []}
DEFAULT = None


def shard(salt: str, *ranges: tuple[int, int]) -> dict[str, Any]:
    return {"salt": salt, "ranges": [{"start": low, "end": high} for low, high in ranges]}


def allocation(key: str = "a", *conditions: dict[str, Any], **more: Any) -> dict[str, Any]:
    rules = {"rules": [{"conditions": list(conditions)}]} if conditions else {}
    return {"key": key, "splits": [ON], **rules, **more}


def condition(attribute: str, operator: str, value: Any) -> dict[str, Any]:
    return {"attribute": attribute, "operator": operator, "value": value}


def flag(*allocations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "key": "f",
        "enabled": True,
        "variationType": "STRING",
        "totalShards": 10000,
        "variations": {name: {"key": name, "value": name} for name in ("on", "off", "third")},
        "allocations": list(allocations),
        **more,
    }


def imported(given: dict[str, Any], **whole: Any) -> ImportResult:
    return convert({"format": "SERVER", "flags": {"f": given}, **whole})


def rules(given: dict[str, Any]) -> list[dict[str, Any]]:
    result = imported(given)
    assert result.refused == []
    found: list[dict[str, Any]] = result.flags["f"]["rules"]
    return found


def served(given: dict[str, Any], now: dt.datetime = NOW, **context: Any) -> str | None:
    result = imported(given)
    assert result.refused == []
    document = json.loads(json.dumps(result.flag_set()))
    context = {"targetingKey": "subject", **context}
    return evaluate(parse_flag_set(document, strict=True), "f", context, now).variant


def reason(given: dict[str, Any], **whole: Any) -> str:
    result = imported(given, **whole)
    assert result.flags == {}
    (note,) = result.refused
    assert note.flag == "f"
    return note.reason
