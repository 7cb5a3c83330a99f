"""What applications ask and send: evaluations, instances, samples, events."""

from __future__ import annotations

from flags.instances import Fallback, InstanceView
from web.api.shapes.basics import (
    INSTANT,
    NUMBER,
    OBJECT,
    OBJECTS,
    TEXT,
    WHOLE,
    YES_OR_NO,
    by_key,
    list_of,
    maybe,
    of_dataclass,
    shape,
    with_optional,
)
from web.auth.ofrep_callers import OfrepCaller

EVALUATION = with_optional(
    shape("Evaluation", revision=WHOLE, published_at=INSTANT, at=INSTANT),
    items=OBJECTS,
    flag=TEXT,
    value={},
    variant=maybe(TEXT),
    reason=TEXT,
    on=maybe(YES_OR_NO),
    rule=maybe(TEXT),
    error_code=maybe(TEXT),
    error_message=maybe(TEXT),
    metadata=OBJECT,
    explanation=OBJECT,
)
EVALUATED_EVERYWHERE = shape(
    "EvaluationEverywhere",
    at=INSTANT,
    environments={
        "type": "array",
        "items": shape(
            "EvaluationInEnvironment",
            environment=TEXT,
            problem=maybe(TEXT),
            revision=maybe(WHOLE),
            published_at=maybe(INSTANT),
            items=OBJECTS,
        ),
    },
)
INSTANCES = with_optional(
    list_of(of_dataclass(InstanceView), revision=WHOLE, counts=by_key(WHOLE)),
    fallbacks={"type": "array", "items": of_dataclass(Fallback)},
    ofrep={"type": "array", "items": of_dataclass(OfrepCaller)},
)
CONTEXT_SAMPLE = shape(
    "ContextSample",
    on=YES_OR_NO,
    size=WHOLE,
    limit=WHOLE,
    units=WHOLE,
    complete=YES_OR_NO,
    oldest=maybe(INSTANT),
    newest=maybe(INSTANT),
    keep_days=WHOLE,
    aside=WHOLE,
)
_SHARE = {"count": WHOLE, "share": NUMBER, "low": NUMBER, "high": NUMBER}
_FLIPS = maybe(shape("Share", **_SHARE))
OUTAGE = shape(
    "OutagePreview",
    revision=WHOLE,
    sentence=TEXT,
    instances=WHOLE,
    incomplete=WHOLE,
    sample=CONTEXT_SAMPLE,
    looked_at=WHOLE,
    flips=_FLIPS,
    flags={
        "type": "array",
        "items": shape(
            "FlagOutage",
            flag=TEXT,
            flag_type=maybe(TEXT),
            flips=_FLIPS,
            served={"type": "array", "items": shape("ServedShare", value={}, **_SHARE)},
            defaults={
                "type": "array",
                "items": with_optional(
                    shape("CallersDefault", type=TEXT, instances=WHOLE, flips=_FLIPS), value={}
                ),
            },
            disagree=YES_OR_NO,
            asked_as_another_type=YES_OR_NO,
        ),
    },
)
EVENTS = shape("Events", recent_since=INSTANT, recent=OBJECTS, quality=OBJECTS)
LATEST_EVENT = shape(
    "LatestEvent",
    id=TEXT,
    time=INSTANT,
    type={"enum": ["exposure", "event"]},
    unit=TEXT,
    flag=maybe(TEXT),
    variant=maybe(TEXT),
    rule=maybe(TEXT),
    revision=maybe(WHOLE),
    name=maybe(TEXT),
    value=maybe(NUMBER),
    attributes=OBJECT,
)
EVENT_TYPE = shape(
    "EventType",
    name=TEXT,
    demand={"enum": ["value", "failure", "neutral"]},
    description=TEXT,
    changed_at=INSTANT,
    changed_by=TEXT,
    version=WHOLE,
)
