"""OpenFeature's published suite: its scenarios as pickles, and its flags as a flag set of ours."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from gherkin.parser import Parser
from gherkin.pickles.compiler import Compiler

_KINDS = {bool: "boolean", str: "string", int: "integer", float: "float", dict: "object"}
# The deprecated evaluation.feature asks for a flag that test-flags.json has no more.
_CONTEXT_AWARE = {
    "variants": {"internal": "INTERNAL", "external": "EXTERNAL"},
    "defaultVariant": "external",
    "contextEvaluator": (
        "fn == 'Sulisław' && ln == 'Świętopełk' && age == 29 && !customer ? 'internal' : ''"
    ),
}


def scenarios(folder: Path) -> dict[str, dict[str, Any]]:
    """Every scenario, and every example of an outline, by a name that tells them apart."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.feature")):
        document = Parser().parse(path.read_text(encoding="utf-8"))
        document["uri"] = path.name
        for pickle in Compiler().compile(document):
            name = f"{path.stem}:{pickle['location']['line']} {pickle['name']}"
            found[name] = pickle
    return found


def flag_set(folder: Path) -> dict[str, Any]:
    """Write test-flags.json as a flag set of ours."""
    flags = json.loads((folder / "test-flags.json").read_text(encoding="utf-8"))
    flags["context-aware"] = _CONTEXT_AWARE
    return {
        "schema": 1,
        "version": 1,
        "environment": "suite",
        "flags": {key: _flag(key, flag) for key, flag in flags.items()},
        "segments": {},
    }


def _flag(key: str, flag: dict[str, Any]) -> dict[str, Any]:
    return {
        "key": key,
        "type": _KINDS[type(next(iter(flag["variants"].values())))],
        "variants": {name: {"value": value} for name, value in flag["variants"].items()},
        "enabled": not flag.get("disabled", False),
        "off": None,
        "default": flag.get("defaultVariant"),
        "rules": [_rule(flag["contextEvaluator"])] if "contextEvaluator" in flag else [],
        "metadata": flag.get("flagMetadata") or {},
    }


def _rule(expression: str) -> dict[str, Any]:
    """Read ``a && b ? 'variant' : ''``, the only form of the suite's expressions."""
    found = re.fullmatch(r"(.+) \? '([\w-]+)' : ''", expression)
    assert found is not None, expression
    when = {"all": [_condition(part) for part in found.group(1).split(" && ")]}
    return {"id": "targeting", "when": when, "serve": found.group(2)}


def _condition(text: str) -> dict[str, Any]:
    if text.startswith("!"):
        return {"attr": text[1:], "op": "in", "values": [False]}
    name, sign, constant = text.split(" ", 2)
    value = json.loads(constant.replace("'", '"'))
    return {"attr": name, "op": {"==": "in", ">": "gt"}[sign], "values": [value]}
