"""What a form's fields mean as an instruction or a draft; the services check all else."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from flags.errors import InvalidInputError

Form = Mapping[str, str]
FLAG_TYPES = ("boolean", "string", "integer", "float", "object")
OPERATORS = (
    ("in", "is one of"),
    ("starts_with", "starts with"),
    ("ends_with", "ends with"),
    ("contains", "contains"),
    ("gte", "is at least"),
    ("lte", "is at most"),
)
_ORDERED = frozenset({"gte", "lte"})


def instruction_of(form: Form) -> dict[str, Any]:
    """Turn a form of the flag's page into one instruction."""
    do = form.get("do", "")
    make = _INSTRUCTIONS.get(do)
    if make is None:
        message = f"this page has no such change: {do!r}"
        raise InvalidInputError(message, field="do", hint="load the page again")
    return {"do": do, **make(form)}


def flag_draft(form: Form) -> dict[str, Any]:
    """Turn the form for a new flag into a draft."""
    kind = form.get("type", "boolean")
    if kind == "boolean":
        variants: dict[str, Any] = {"off": {"value": False, "on": False}, "on": {"value": True}}
    else:
        variants = dict(_variant_line(line, number, kind) for number, line in _lines(form))
        if not variants:
            message = "a flag needs at least one variant"
            raise InvalidInputError(message, field="variants", hint="one a line: name = value")
    first = next(iter(variants))
    return {
        "key": form.get("key", "").strip(),
        "type": kind,
        "description": form.get("description", "").strip(),
        "owner": form.get("owner", "").strip(),
        "client": form.get("client") == "yes",
        "variants": variants,
        "default": first,
        "off": first,
    }


def percentage(text: str, field: str) -> float:
    """Read ``25`` or ``25 %`` as 0.25."""
    cleaned = text.replace("%", "").replace(",", ".").strip()
    try:
        share = float(cleaned) / 100
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        message = f"{text!r} is not a percentage"
        raise InvalidInputError(message, field=field, hint="a number from 0 to 100")
    return share


def _lines(form: Form) -> list[tuple[int, str]]:
    text = form.get("variants", "")
    return [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _variant_line(line: str, number: int, kind: str) -> tuple[str, Any]:
    name, separator, text = line.partition("=")
    if not separator or not name.strip():
        message = f"line {number} is not name = value"
        raise InvalidInputError(message, field="variants", hint="control = old")
    text = text.strip()
    if kind == "string" and not text.startswith('"'):
        return name.strip(), {"value": text}
    try:
        return name.strip(), {"value": json.loads(text)}
    except ValueError:
        message = f"line {number}: {text!r} is not a value of type {kind}"
        raise InvalidInputError(message, field="variants") from None


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.replace("\n", ",").split(",") if word.strip()]


def _rule(form: Form) -> dict[str, Any]:
    share = percentage(form.get("share", "100"), "share")
    variant = form.get("variant", "")
    serve: Any = variant
    if share < 1:
        serve = {"split": {"weights": {variant: 1}, "coverage": share}}
    rule: dict[str, Any] = {"serve": serve}
    name = form.get("rule", "").strip()
    if name:
        rule["id"] = name
    if form.get("attr", "").strip():
        rule["when"] = _condition(form)
    return {"rule": rule}


def _condition(form: Form) -> dict[str, Any]:
    operator = form.get("op", "in")
    values: list[Any] = list(_words(form.get("values", "")))
    if not values:
        message = "say which values the rule is for"
        raise InvalidInputError(message, field="values", hint="separate several by commas")
    if operator in _ORDERED:
        values = [_number(value) for value in values]
    return {"attr": form["attr"].strip(), "op": operator, "values": values}


def _number(text: str) -> float | int:
    try:
        number = float(text)
    except ValueError:
        message = f"{text!r} is not a number"
        raise InvalidInputError(message, field="values") from None
    return int(number) if number.is_integer() else number


def _nothing(_form: Form) -> dict[str, Any]:
    return {}


def _variant(form: Form) -> dict[str, Any]:
    return {"variant": form.get("variant") or None}


def _named_rule(form: Form) -> dict[str, Any]:
    return {"rule": form.get("rule", "")}


def _coverage(form: Form) -> dict[str, Any]:
    return {"rule": form.get("rule", ""), "value": percentage(form.get("share", ""), "share")}


def _targets(form: Form) -> dict[str, Any]:
    return {"variant": form.get("variant", ""), "keys": _words(form.get("keys", ""))}


def _revision(form: Form) -> dict[str, Any]:
    try:
        return {"revision": int(form.get("revision", ""))}
    except ValueError:
        message = "a revision is a number"
        raise InvalidInputError(message, field="revision") from None


_INSTRUCTIONS: dict[str, Callable[[Form], dict[str, Any]]] = {
    "turn_on": _nothing,
    "turn_off": _nothing,
    "unkill": _nothing,
    "set_default": _variant,
    "set_off_variant": _variant,
    "add_rule": _rule,
    "remove_rule": _named_rule,
    "set_coverage": _coverage,
    "add_targets": _targets,
    "remove_targets": lambda form: {"keys": _words(form.get("keys", ""))},
    "revert_to": _revision,
}
