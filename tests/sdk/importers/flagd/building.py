"""Small files of flagd's, and short ways to import one and ask what came of it."""

from __future__ import annotations

import json
from typing import Any

from flagstone.engine import evaluate, parse_flag_set
from flagstone.importers import ImportResult
from flagstone.importers.flagd import convert

NOW = 1_780_000_000.0
NAMES = ("yes", "no", "true", "false", "red", "blue", "other")


def file_with(program: Any, **more: Any) -> dict[str, Any]:
    flag = {
        "state": "ENABLED",
        "variants": {name: name for name in NAMES},
        "defaultVariant": "other",
        "targeting": program,
        **more,
    }
    return {"flags": {"flag": flag}}


def imported(targeting: Any, *, hash_version: str = "v2", **more: Any) -> ImportResult:
    return convert(file_with(targeting, **more), hash_version=hash_version)


def ask(result: ImportResult, context: dict[str, Any], now: float = NOW) -> str | None:
    flag_set = parse_flag_set(json.loads(json.dumps(result.flag_set())), strict=True)
    return evaluate(flag_set, "flag", context, now).variant


def variant(targeting: Any, context: dict[str, Any], **more: Any) -> str | None:
    """Return the variant; ``None`` is the caller's default."""
    result = imported(targeting, **more)
    assert result.refused == []
    return ask(result, context)


X = {"var": "x"}
