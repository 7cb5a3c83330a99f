"""What the API answers when it refuses, as JSON schemas."""

from __future__ import annotations

from web.api.shapes import TEXT
from web.contract import Schema

_FIELDS: Schema = {
    "type": "object",
    "properties": {"before": {"type": "object"}, "after": {"type": "object"}},
}
CONFLICT: Schema = {
    "type": "object",
    "description": "With 412 of a change of flags: fields by path, from the revision that was read "
    "(base) to what is there now (theirs), and to what the change would have made of it (yours). "
    "Of what has no revisions base and newest are null, and the fields stand there as they are.",
    "properties": {
        "base": {"type": ["integer", "null"]},
        "newest": {"type": ["integer", "null"]},
        "theirs": _FIELDS,
        "yours": {"anyOf": [_FIELDS, {"type": "null"}]},
        "both": {"type": "array", "items": TEXT, "description": "Paths that both change."},
        "elsewhere": {"type": "array", "items": TEXT, "description": "Other flags that moved."},
        "reason": {**TEXT, "description": "Why the change could not be done to the base."},
    },
    "required": ["base", "newest", "theirs", "yours", "both", "elsewhere"],
}
PROBLEM: Schema = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong (RFC 9457). Programs decide by `code`.",
    "properties": {
        "type": {"const": "about:blank"},
        "title": TEXT,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": TEXT,
        "code": TEXT,
        "field": {**TEXT, "description": "Path of the offending input."},
        "hint": {**TEXT, "description": "What to do about it."},
        "conflict": CONFLICT,
    },
    "required": ["type", "title", "status", "detail", "code"],
}
