"""One environment and what every released client must make of it.

``CASES`` says what a client shows to its application: value, variant and reason, or an error code
with the caller's own default. Where a client of one language differs (JavaScript has one kind of
number, Python's asks for a float where it is told so), the case says for which it stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LARGEST = 2**53 - 1
SET_ID = "shop/production"


@dataclass(frozen=True)
class Case:
    """One question; ``error`` is set where the caller's default comes back with it."""

    name: str
    flag: str
    kind: str
    default: Any
    value: Any
    variant: str | None = None
    reason: str = "STATIC"
    error: str | None = None
    context: dict[str, Any] = field(default_factory=dict)


def flag(kind: str, values: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Write a flag that serves its first variant to everybody."""
    return {
        "type": kind,
        "version": 3,
        "client": True,
        "variants": {name: {"value": value} for name, value in values.items()},
        "enabled": True,
        "killed": False,
        "off": None,
        "prerequisites": [],
        "targets": [],
        "rules": [],
        "default": next(iter(values)),
        "metadata": {"owner": "growth", "tier": 2, "beta": True},
        **changes,
    }


def _is(attribute: str, *values: Any) -> dict[str, Any]:
    return {"attr": attribute, "op": "in", "values": list(values)}


_HALF = {
    "split": {
        "by": "targetingKey",
        "hash": "flagstone",
        "salt": "half",
        "of": 10000,
        "missing": "skip",
        "to": [
            {"variant": "a", "ranges": [[0, 5000]]},
            {"variant": "b", "ranges": [[5000, 10000]]},
        ],
    }
}

OBJECT = {"limit": 10, "ratio": 0.5, "name": "ü ✓", "tags": ["a", "b"], "deep": {"on": True}}

_FLAGS: dict[str, dict[str, Any]] = {
    "boolean-true": flag("boolean", {"on": True}),
    "boolean-false": flag("boolean", {"off": False}),
    "text": flag("string", {"greeting": "grüß dich ✓\n"}),
    "text-empty": flag("string", {"nothing": ""}),
    "integer": flag("integer", {"answer": 42}),
    "integer-zero": flag("integer", {"zero": 0}),
    "integer-largest": flag("integer", {"max": LARGEST}),
    "integer-smallest": flag("integer", {"min": -LARGEST}),
    "float": flag("float", {"ratio": 0.1}),
    "float-zero": flag("float", {"zero": 0.0}),
    "float-integral": flag("float", {"ten": 10}),
    "object": flag("object", {"o": OBJECT}),
    "object-empty": flag("object", {"o": {}}),
    "code-default": flag("string", {"v": "x"}, default=None),
    "disabled": flag("string", {"v": "x"}, enabled=False),
    "disabled-off": flag("string", {"v": "x", "off": "o"}, enabled=False, off="off"),
    "killed": flag("boolean", {"on": True, "off": False}, killed=True, off="off"),
    "targeted": flag(
        "string",
        {"rest": "r", "pro": "p", "named": "n"},
        targets=[{"variant": "named", "by": "targetingKey", "keys": ["ada"]}],
        rules=[{"id": "plan", "when": _is("plan", "pro"), "serve": "pro"}],
    ),
    "split": flag(
        "string",
        {"none": "n", "a": "A", "b": "B"},
        rules=[{"id": "h", "when": True, "serve": _HALF}],
    ),
    "team/a b/ü": flag("boolean", {"on": True}),
    "server-only": flag("boolean", {"on": True}, client=False),
    "broken": {**flag("boolean", {"on": True}), "rules": 7},
}
FLAGS = {key: {**definition, "key": key} for key, definition in _FLAGS.items()}

PRO = {"targetingKey": "u1", "plan": "pro"}
FREE = {"targetingKey": "u1", "plan": "free"}

CASES = [
    Case("a true", "boolean-true", "boolean", False, True, "on"),
    Case("a false", "boolean-false", "boolean", True, False, "off"),
    Case("a text", "text", "string", "?", "grüß dich ✓\n", "greeting"),
    Case("an empty text", "text-empty", "string", "?", "", "nothing"),
    Case("an integer", "integer", "integer", -1, 42, "answer"),
    Case("a zero", "integer-zero", "integer", -1, 0, "zero"),
    Case("the largest integer", "integer-largest", "integer", -1, LARGEST, "max"),
    Case("the smallest integer", "integer-smallest", "integer", -1, -LARGEST, "min"),
    Case("a float", "float", "float", -1.5, 0.1, "ratio"),
    Case("a zero float", "float-zero", "float", -1.5, 0.0, "zero"),
    Case("an integral float", "float-integral", "float", -1.5, 10.0, "ten"),
    Case("an object", "object", "object", {"?": 1}, OBJECT, "o"),
    Case("an empty object", "object-empty", "object", {"?": 1}, {}, "o"),
    Case("an off variant", "disabled-off", "string", "?", "o", "off", "DISABLED"),
    Case("a killed flag", "killed", "boolean", True, False, "off", "DISABLED"),
    Case("a name among the targets", "targeted", "string", "?", "n", "named", "TARGETING_MATCH",
         context={"targetingKey": "ada"}),
    Case("a match", "targeted", "string", "?", "p", "pro", "TARGETING_MATCH", context=PRO),
    Case("no rule that matches", "targeted", "string", "?", "r", "rest", "DEFAULT", context=FREE),
    Case("a split without a unit", "split", "string", "?", "n", "none", "DEFAULT"),
    Case("a key with slashes, blanks and umlauts", "team/a b/ü", "boolean", False, True, "on"),
    Case("a wrong type", "text", "boolean", True, True, None, "ERROR", "TYPE_MISMATCH"),
    Case("a number for a text", "integer", "string", "?", "?", None, "ERROR", "TYPE_MISMATCH"),
    Case("an unknown flag", "nope", "boolean", True, True, None, "ERROR", "FLAG_NOT_FOUND"),
    Case("a broken flag", "broken", "boolean", True, True, None, "ERROR", "PARSE_ERROR"),
]  # fmt: skip

LEFT_TO_CALLER = [
    Case("the code default", "code-default", "string", "mine", "mine", "", "STATIC"),
    Case("a disabled flag", "disabled", "string", "mine", "mine", "", "DISABLED"),
]
