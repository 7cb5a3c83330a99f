"""What a form's fields mean as an instruction or a draft; the services check all else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from flags.errors import InvalidInputError

Form = Mapping[str, str]
Document = Mapping[str, Any]
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
# What a service calls a part of an instruction, where the form calls it something else.
_FIELDS = {
    "value": "share",
    "coverage": "share",
    "when": "values",
    "id": "rule",
    "serve": "variant",
}


def instructions_of(form: Form, document: Document) -> list[dict[str, Any]]:
    """Turn a form of the flag's page into instructions; ``document`` is the flag as it is."""
    if form.get("do") == "edit_rule":
        return [{"do": "update_rule", "rule": _edited_rule(form)}]
    return [_instruction_of(form, document)]


def _edited_rule(form: Form) -> dict[str, Any]:
    rule = {"id": form.get("rule", ""), **_add_rule(form, {})["rule"]}
    if form.get("audience") == "stays":
        rule.pop("when", None)
    else:
        rule.setdefault("when", True)
    return rule


def _instruction_of(form: Form, document: Document) -> dict[str, Any]:
    do = form.get("do", "")
    make = _INSTRUCTIONS.get(do)
    if make is None:
        message = f"this page has no such change: {do[:80]!r}"
        raise InvalidInputError(message, field="do", hint="load the page again")
    return {"do": do, **make(form, document)}


def field_of(path: str | None) -> str | None:
    """Give the form's name of the field that a service complains about."""
    if path is None:
        return None
    words = re.findall(r"[a-z_]+", re.sub(r"\[[^]]*\]", "", path))
    return _FIELDS.get(words[-1], words[-1]) if words else None


def field_in(form: Form, path: str | None) -> str | None:
    """Name the field of a form: ``steps[0].hold`` may be one, ``steps[1].share`` of the steps."""
    names = re.findall(r"[a-z_]+", path or "")
    return next((name for name in reversed(names) if name in form), None)


def flag_draft(form: Form) -> dict[str, Any]:
    """Turn the form for a new flag into a draft."""
    kind = form.get("type", "boolean")
    variants: dict[str, Any] = {"off": {"value": False, "on": False}, "on": {"value": True}}
    if kind != "boolean":
        variants = _variants(form, kind)
    first = next(iter(variants))
    day = form.get("expires", "").strip()
    return {
        "key": form.get("key", "").strip(),
        "type": kind,
        "description": form.get("description", "").strip(),
        "owner": form.get("owner", "").strip(),
        "client": form.get("client") == "yes",
        "expires": f"{day}T00:00:00Z" if day else None,
        "kind": "permanent" if form.get("permanent") == "yes" else "temporary",
        "variants": variants,
        "default": first,
        "off": first,
    }


def percentage(text: str, field: str) -> float:
    """Read ``25`` or ``25 %`` as 0.25."""
    cleaned = text.replace("%", "").replace(",", ".").strip()
    try:
        # Decimal: 33.3 / 100 would not be 0.333.
        share = Decimal(cleaned) / 100
        inside = 0 <= share <= 1
    except ArithmeticError:
        inside = False
    if not inside:
        message = f"{text[:80]!r} is not a percentage"
        raise InvalidInputError(message, field=field, hint="a number from 0 to 100")
    return float(share)


def _variants(form: Form, kind: str) -> dict[str, Any]:
    variants: dict[str, Any] = {}
    for number, line in enumerate(form.get("variants", "").splitlines(), start=1):
        if not line.strip():
            continue
        name, value = _variant_line(line, number, kind)
        if name in variants:
            message = f"line {number}: there is a variant {name!r} already"
            raise InvalidInputError(message, field="variants", hint="name it differently")
        variants[name] = {"value": value}
    if not variants:
        message = "a flag needs at least one variant"
        raise InvalidInputError(message, field="variants", hint="one a line: name = value")
    return variants


def _variant_line(line: str, number: int, kind: str) -> tuple[str, Any]:
    name, separator, text = line.partition("=")
    if not separator or not name.strip():
        message = f"line {number} is not name = value"
        raise InvalidInputError(message, field="variants", hint="control = old")
    text = text.strip()
    if kind == "string" and not text.startswith('"'):
        return name.strip(), text
    try:
        return name.strip(), json.loads(text)
    except (ValueError, RecursionError):
        message = f"line {number}: {text[:80]!r} is not a value of type {kind}"
        raise InvalidInputError(message, field="variants", hint="write it as JSON") from None


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.replace("\n", ",").split(",") if word.strip()]


def _add_rule(form: Form, _document: Document) -> dict[str, Any]:
    share = percentage(form.get("share", "100"), "share")
    variant = form.get("variant", "")
    serve: Any = variant
    if share < 1:
        serve = {"split": {"weights": {variant: 1}, "coverage": share}}
    rule: dict[str, Any] = {"serve": serve}
    if form.get("attr", "").strip():
        rule["when"] = _condition(form)
    elif form.get("values", "").strip():
        message = "say which attribute has these values"
        raise InvalidInputError(message, field="attr", hint="or leave both empty: everybody")
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
        message = f"{text[:80]!r} is not a number"
        raise InvalidInputError(message, field="values") from None
    return int(number) if number.is_integer() else number


def _nothing(_form: Form, _document: Document) -> dict[str, Any]:
    return {}


def _variant(form: Form, _document: Document) -> dict[str, Any]:
    return {"variant": form.get("variant") or None}


def _remove_rule(form: Form, _document: Document) -> dict[str, Any]:
    return {"rule": form.get("rule", "")}


def _set_coverage(form: Form, _document: Document) -> dict[str, Any]:
    return {"rule": form.get("rule", ""), "value": percentage(form.get("share", ""), "share")}


def _add_targets(form: Form, _document: Document) -> dict[str, Any]:
    keys = _words(form.get("keys", ""))
    if not keys:
        message = "say who it is for"
        raise InvalidInputError(message, field="keys", hint="targeting keys, separated by commas")
    return {"variant": form.get("variant", ""), "keys": keys}


def _remove_targets(form: Form, document: Document) -> dict[str, Any]:
    # The form names the group, not its members: there may be thousands, with commas in them.
    wanted = (form.get("variant", ""), form.get("group", ""))
    for index, target in enumerate(document["targets"]):
        if (target["variant"], str(index)) == wanted:
            by = {"by": target["by"]} if "by" in target else {}
            return {"variant": target["variant"], "keys": target["keys"], **by}
    message = "these named people are no longer on the list"
    raise InvalidInputError(message, field="group", hint="load the page again")


def _revision(form: Form, _document: Document) -> dict[str, Any]:
    try:
        return {"revision": int(form.get("revision", "")[:9])}
    except ValueError:
        message = "a revision is a number"
        raise InvalidInputError(message, field="revision") from None


def _entry(form: Form, _document: Document) -> dict[str, Any]:
    try:
        return {"entry": int(form.get("entry", "")[:10])}
    except ValueError:
        message = "an entry is a number"
        raise InvalidInputError(message, field="entry") from None


def _about(form: Form, _document: Document) -> dict[str, Any]:
    day = form.get("expires", "").strip()
    return {
        "owner": form.get("owner", "").strip(),
        "expires": f"{day}T00:00:00Z" if day else None,
        "kind": "permanent" if form.get("permanent") == "yes" else "temporary",
    }


def _promote(form: Form, _document: Document) -> dict[str, Any]:
    carried = {name: form.get(name) == "yes" for name in ("targets", "segments")}
    return {"source": form.get("source", ""), **carried}


_INSTRUCTIONS: dict[str, Callable[[Form, Document], dict[str, Any]]] = {
    "turn_on": _nothing,
    "turn_off": _nothing,
    "kill": _nothing,
    "unkill": _nothing,
    "restore": _nothing,
    "set_default": _variant,
    "add_rule": _add_rule,
    "remove_rule": _remove_rule,
    "set_coverage": _set_coverage,
    "add_targets": _add_targets,
    "remove_targets": _remove_targets,
    "revert_to": _revision,
    "undo": _entry,
    "promote": _promote,
    "archive": _nothing,
    "update_flag": _about,
}


def manner_of(form: Mapping[str, str]) -> dict[str, Any]:
    """Say how a form's change is made: why, at once or waiting, and past which rule."""
    mode = form.get("mode") or "apply"
    at = form.get("at", "").strip() if mode != "apply" else ""
    return {
        "comment": form.get("comment", ""),
        "mode": mode,
        "override": form.get("override", "") if mode == "apply" else "",
        # A browser's field for a time knows no zone; its label says UTC.
        **({"at": f"{at}Z"} if at else {}),
    }
