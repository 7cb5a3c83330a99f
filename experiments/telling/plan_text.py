"""A plan as people write it: TOML, which the door for plans reads back as the same plan."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def plan_as_toml(document: Mapping[str, Any]) -> str:
    """Write a plan's document: a line for each field, then a table for each metric.

    Parameters
    ----------
    document : mapping
        As :meth:`experiments.contract.plan.Plan.to_document` gives it, or as it was written.
    """
    known = {field: value for field, value in document.items() if value is not None}
    metrics = known.pop("metrics", [])
    lines = [f"{_key(field)} = {_value(value)}" for field, value in known.items()]
    for metric in metrics:
        lines += ["", "[[metrics]]"]
        lines += [f"{_key(field)} = {_value(value)}" for field, value in metric.items()]
    return "\n".join(lines) + "\n"


def _key(field: str) -> str:
    return field if _BARE.fullmatch(field) else _text(field)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        known = ((field, each) for field, each in value.items() if each is not None)
        return "{ " + ", ".join(f"{_key(field)} = {_value(each)}" for field, each in known) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return _text(value)


def _text(value: Any) -> str:
    # TOML reads what JSON writes, but for a character that JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
