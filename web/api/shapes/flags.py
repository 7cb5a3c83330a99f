"""Flags and segments, as they are and as files."""

from __future__ import annotations

from flags.lifecycle import KINDS, VERDICTS
from web.api.shapes.basics import (
    INSTANT,
    OBJECT,
    OBJECTS,
    TEXT,
    TEXTS,
    WHOLE,
    YES_OR_NO,
    by_key,
    maybe,
    shape,
)
from web.contract import Schema

_STANDING: dict[str, Schema] = {
    "environment": TEXT,
    "version": WHOLE,
    "updated_at": INSTANT,
    "state_word": TEXT,
    "sentence": TEXT,
}
_KIND: Schema = {"enum": list(KINDS)}
_RULES: dict[str, Schema] = {
    "enabled": YES_OR_NO,
    "killed": YES_OR_NO,
    "off": maybe(TEXT),
    "prerequisites": OBJECTS,
    "targets": OBJECTS,
    "rules": OBJECTS,
    "default": maybe(TEXT),
}
FLAG = shape(
    "Flag",
    key=TEXT,
    type={"enum": ["boolean", "string", "integer", "float", "object"]},
    name=TEXT,
    description=TEXT,
    owner=TEXT,
    client=YES_OR_NO,
    archived=YES_OR_NO,
    expires=maybe(INSTANT),
    kind=_KIND,
    metadata=OBJECT,
    variants=by_key(OBJECT),
    created_at=INSTANT,
    environments=by_key(shape("FlagState", **_RULES, **_STANDING)),
)
PUBLISHED_FLAG = shape(
    "PublishedFlag",
    key=TEXT,
    type=TEXT,
    client=YES_OR_NO,
    variants=by_key(OBJECT),
    metadata=OBJECT,
    name=TEXT,
    archived=YES_OR_NO,
    **_RULES,
    **_STANDING,
)
LIFECYCLE = shape(
    "Lifecycle",
    flag=TEXT,
    verdict={"enum": list(VERDICTS)},
    sentence=TEXT,
    nudge=YES_OR_NO,
    days=WHOLE,
    variant=maybe(TEXT),
    value={},
    dependants=TEXTS,
    callers=maybe(WHOLE),
    evaluated_at=maybe(INSTANT),
    owner=TEXT,
    expires=maybe(INSTANT),
    kind=_KIND,
)
SEGMENT = shape("Segment", key=TEXT, name=TEXT, condition={}, created_at=INSTANT, version=WHOLE)
