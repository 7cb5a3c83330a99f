"""The meaning of a flag set, written as plainly as can be, straight from the document.

Slow, trusting, and for contexts of plain JSON only: it exists to be compared with.
"""

# ruff: noqa: C901  one long function is plainer here than many short ones

from __future__ import annotations

import hashlib
import ipaddress
import re
from datetime import UTC, datetime
from typing import Any

NOTHING = object()


def bucket(salt: str, unit: str, of: int) -> int:
    digest = hashlib.sha256(f"{salt}.{unit}".encode()).digest()
    return int.from_bytes(digest[:8], "big") * of >> 64


def evaluate(document: Any, key: str, context: Any, now: float) -> tuple[Any, str, Any]:
    """Return variant, reason and rule."""
    flag = document["flags"][key]
    if flag["killed"] or not flag["enabled"]:
        return flag["off"], "DISABLED", None
    for prerequisite in flag.get("prerequisites", []):
        if (
            evaluate(document, prerequisite["flag"], context, now)[0]
            not in prerequisite["variants"]
        ):
            return flag["off"], "DISABLED", None
    for target in flag.get("targets", []):
        unit = unit_of(context, target.get("by", "targetingKey"))
        if "until" in target and now >= seconds(target["until"]):
            continue
        if unit is not None and unit in [str(key) for key in target["keys"]]:
            return target["variant"], "TARGETING_MATCH", None
    for rule in flag["rules"]:
        if rule.get("start") and now < seconds(rule["start"]):
            continue
        if rule.get("end") and now >= seconds(rule["end"]):
            continue
        if not holds(document, rule["when"], context, context, now):
            continue
        if isinstance(rule["serve"], str):
            return rule["serve"], "TARGETING_MATCH", rule["id"]
        split = rule["serve"]["split"]
        unit = unit_of(context, split["by"])
        if unit is None:
            if split.get("missing", "skip") != "skip":
                return split["missing"], "TARGETING_MATCH", rule["id"]
            continue
        place = bucket(split["salt"], unit, split["of"])
        for share in split["to"]:
            if any(low <= place < high for low, high in share["ranges"]):
                return share["variant"], "SPLIT", rule["id"]
    dynamic = flag.get("prerequisites") or flag.get("targets") or flag["rules"]
    return flag["default"], "DEFAULT" if dynamic else "STATIC", None


def unit_of(context: Any, by: Any) -> str | None:
    value = look(context, by)
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return str(value) if isinstance(value, (str, int)) else None


def look(root: Any, attr: Any) -> Any:
    for name in [attr] if isinstance(attr, str) else attr:
        if not isinstance(root, dict) or name not in root:
            return NOTHING
        root = root[name]
    return root


def holds(document: Any, condition: Any, root: Any, context: Any, now: float) -> bool:
    if condition is True:
        return True
    if "all" in condition:
        return all(holds(document, part, root, context, now) for part in condition["all"])
    if "any" in condition:
        return any(holds(document, part, root, context, now) for part in condition["any"])
    if "not" in condition:
        return not holds(document, condition["not"], root, context, now)
    if "segment" in condition:
        return holds(document, document["segments"][condition["segment"]], root, context, now)
    if "bucket" in condition:
        inside = condition["bucket"]
        unit = unit_of(context, inside["by"])
        if unit is None:
            return False
        place = bucket(inside["salt"], unit, inside["of"])
        return any(low <= place < high for low, high in inside["ranges"])
    if "flag" in condition:
        variant = evaluate(document, condition["flag"], context, now)[0]
        served = document["flags"][condition["flag"]]["variants"].get(variant)
        if "variants" in condition:
            return variant in condition["variants"]
        if "on" in condition:
            return (served is not None and served.get("on", True)) == condition["on"]
        value = NOTHING if served is None else served["value"]
        return value is not NOTHING and holds(document, condition["value"], value, context, now)
    value = look(root, condition["attr"])
    if value is NOTHING:
        return False
    if "each" in condition:
        return isinstance(value, list) and any(
            holds(document, condition["each"], element, context, now) for element in value
        )
    return leaf(condition, value, root, now)


def leaf(condition: Any, value: Any, root: Any, now: float) -> bool:
    op = condition["op"]
    if op == "exists":
        return True
    constants = condition.get("values", [])
    if "values_from" in condition:
        other = now
        if "attr" in condition["values_from"]:
            other = look(root, condition["values_from"]["attr"])
        if other is NOTHING:
            return False
        constants = other if isinstance(other, list) else [other]
        # Constants an operator cannot use make a condition that nobody matches.
        if not all(usable(op, constant) for constant in constants):
            return False
    values = value if condition.get("elements") and isinstance(value, list) else [value]
    ignore_case = condition.get("ci", False)
    return any(compare(op, one, other, ignore_case) for one in values for other in constants)


def usable(op: str, constant: Any) -> bool:
    if op == "in":
        return True
    if op == "before":
        return seconds(constant) is not None
    return number(constant) or isinstance(constant, str)


def compare(op: str, value: Any, constant: Any, ignore_case: bool) -> bool:
    if op == "regex":
        flags = re.IGNORECASE if ignore_case else 0
        return isinstance(value, str) and bool(re.search(constant, value, flags))
    if ignore_case:
        value = value.lower() if isinstance(value, str) else value
        constant = constant.lower() if isinstance(constant, str) else constant
    both_texts = isinstance(value, str) and isinstance(constant, str)
    if op == "in":
        return equal(value, constant)
    if op == "contains" and isinstance(value, list):
        return any(compare("in", one, constant, ignore_case) for one in value)
    if op in ("contains", "starts_with", "ends_with"):
        return (
            both_texts
            and {
                "contains": constant in value,
                "starts_with": value[: len(constant)] == constant,
                "ends_with": value[len(value) - len(constant) :] == constant,
            }[op]
            and len(value) >= len(constant)
        )
    if op in ("lt", "lte", "gt", "gte"):
        if not both_texts and not (number(value) and number(constant)):
            return False
        return {
            "lt": value < constant, "lte": value <= constant,
            "gt": value > constant, "gte": value >= constant,
        }[op]  # fmt: skip
    if op in ("before", "after"):
        mine, other = seconds(value), seconds(constant)
        if mine is None or other is None:
            return False
        return mine < other if op == "before" else mine > other
    if op == "cidr":
        try:
            return ipaddress.ip_address(value) in ipaddress.ip_network(constant)
        except (ValueError, TypeError):
            return False
    if op == "type":
        names = {str: "string", bool: "boolean", int: "number", float: "number",
                 list: "array", dict: "object", type(None): "null"}  # fmt: skip
        return names[type(value)] == constant
    if op == "mod":
        return number(value) and value % constant[0] == constant[1]
    kind, order = op.split("_")
    keys = semver_keys(value, constant) if kind == "semver" else padded_keys(value, constant)
    if keys is None:
        return False
    return {"eq": keys[0] == keys[1], "lt": keys[0] < keys[1], "gte": keys[0] >= keys[1]}[order]


def semver_keys(value: Any, constant: str) -> Any:
    pattern = r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(-[0-9A-Za-z.-]+)?"
    mine = re.fullmatch(pattern, value) if isinstance(value, str) else None
    other = re.fullmatch(pattern, constant)
    if mine is None or other is None:
        return None
    # The versions in these tests have one pre-release at most.
    return [
        (*(int(part or 0) for part in found.groups()[:3]), found[4] is None)
        for found in (mine, other)
    ]


def padded_keys(value: Any, constant: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    if isinstance(value, float) and value == int(value):
        value = int(value)
    keys = []
    for text in (str(value), constant):
        parts = re.split(r"[-.]", re.sub(r"(^v|\+.*$)", "", text))
        parts += ["~"] if len(parts) == 3 else []
        keys.append("-".join(p.rjust(5) if re.fullmatch("[0-9]+", p) else p for p in parts))
    return keys


def number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(equal(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return one == other


def seconds(value: Any) -> float | None:
    if number(value):
        return value
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
