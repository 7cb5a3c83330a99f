"""What the API answers with, as JSON schemas: named ones are components of the OpenAPI document.

A test holds every answer of the routes against its shape: a key that is answered and not described
here fails it, and so does one that is described and missing. Callers are to expect new keys.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from flags.instances import Fallback, InstanceView
from flags.lifecycle import KINDS, VERDICTS
from flags.predictions import NOT_PREDICTED
from flags.predictions import STATES as PREDICTION_STATES
from flags.receipts import STANDINGS
from flags.request_rows import STATES
from web.contract import Schema

TEXT: Schema = {"type": "string"}
YES_OR_NO: Schema = {"type": "boolean"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
INSTANT: Schema = {"type": "string", "format": "date-time"}
OBJECT: Schema = {"type": "object"}
ARRAY: Schema = {"type": "array"}
TEXTS: Schema = {"type": "array", "items": TEXT}
OBJECTS: Schema = {"type": "array", "items": OBJECT}


def maybe(schema: Schema) -> Schema:
    """Allow null too."""
    if isinstance(schema.get("type"), str) and "$ref" not in schema and "title" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def shape(title: str, /, **fields: Schema) -> Schema:
    """Describe an object under a name; every field is always there."""
    return {
        "type": "object",
        "title": title,
        "properties": fields,
        "required": list(fields),
    }


def with_optional(schema: Schema, /, **fields: Schema) -> Schema:
    """Add fields that are not always there."""
    return {**schema, "properties": {**schema["properties"], **fields}}


def extended(schema: Schema, title: str, /, **fields: Schema) -> Schema:
    """Describe an object that has more fields than another."""
    return shape(title, **schema["properties"], **fields)


def opened(schema: Schema) -> Schema:
    """Say that an object has more fields than those named, which differ from case to case."""
    return {**schema, "additionalProperties": True}


def list_of(item: Schema, /, **beside: Schema) -> Schema:
    """Describe a page of a list: ``next_cursor`` is null on the last page."""
    fields = {"items": {"type": "array", "items": item}, "next_cursor": maybe(TEXT), **beside}
    return {"type": "object", "properties": fields, "required": list(fields)}


def by_key(item: Schema) -> Schema:
    """Describe an object whose names are keys of things."""
    return {"type": "object", "additionalProperties": item}


def of_dataclass(kind: type) -> dict[str, Any]:
    """Describe a dataclass as it is answered."""
    return TypeAdapter(kind).json_schema(mode="serialization")


PERSON = shape(
    "Person", id=WHOLE, email=TEXT, name=TEXT, role=TEXT, disabled=YES_OR_NO, created_at=INSTANT
)
# What somebody may move in an environment, and what of it is left.
ALLOWANCE = shape(
    "Allowance",
    budget=OBJECT,
    used_today=NUMBER,
    left_today=maybe(NUMBER),
    left=maybe(NUMBER),
)
MEMBER = shape(
    "Member",
    email=TEXT,
    name=TEXT,
    disabled=YES_OR_NO,
    everywhere=TEXT,
    role=maybe(TEXT),
    environments=by_key(TEXT),
    budget=maybe(OBJECT),
    budgets=by_key(OBJECT),
    allowances=by_key(ALLOWANCE),
    may=by_key(TEXT),
)
SET_UP = shape("SetUp", user=PERSON, project=TEXT)
SIGNED_IN = shape("SignedIn", user=PERSON, csrf_token=TEXT)
CALLER = shape(
    "Caller",
    kind=TEXT,
    name=TEXT,
    role=TEXT,
    project=maybe(TEXT),
    may=by_key(by_key(TEXT)),
    allowances=by_key(by_key(ALLOWANCE)),
    csrf_token=maybe(TEXT),
)
TOKEN = shape(
    "Token",
    id=WHOLE,
    kind={"enum": ["srv", "cli", "usr"]},
    name=TEXT,
    project=maybe(TEXT),
    environment=maybe(TEXT),
    environments=maybe(TEXTS),
    role=maybe(TEXT),
    budget=maybe(OBJECT),
    allowances=by_key(ALLOWANCE),
    created_by=TEXT,
    created_at=INSTANT,
    expires_at=maybe(INSTANT),
    revoked_at=maybe(INSTANT),
    rotated_at=maybe(INSTANT),
    old_secret_until=maybe(INSTANT),
    last_used_at=maybe(INSTANT),
    live=YES_OR_NO,
)
NEW_TOKEN = extended(TOKEN, "NewToken", token=TEXT)
PROJECT = shape("Project", key=TEXT, name=TEXT, created_at=INSTANT)
ENVIRONMENT = shape(
    "Environment",
    key=TEXT,
    name=TEXT,
    production=YES_OR_NO,
    approvals_needed=WHOLE,
    after=maybe(TEXT),
    after_hours=WHOLE,
    revision=WHOLE,
    created_at=INSTANT,
)

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
_DONE: dict[str, Schema] = {
    "mode": {"enum": ["preview", "apply"]},
    "environment": TEXT,
    "changed": YES_OR_NO,
    "revision": WHOLE,
    "published": by_key(WHOLE),
    "before": by_key(maybe(OBJECT)),
    "after": by_key(maybe(OBJECT)),
    "segments_before": OBJECT,
    "segments_after": OBJECT,
}
_EFFECT: dict[str, Schema] = {
    "verdict": {"enum": ["no_op", "only_widens", "only_narrows", "moves_others", "not_decided"]},
    "verdict_sentence": TEXT,
    "witness": maybe(OBJECT),
    "reason": maybe(TEXT),
    "verdicts": OBJECTS,
    "blast_radius": OBJECT,
}
# A preview says besides whom the change would move, and what it would use of a budget.
CHANGED = with_optional(
    shape("ChangeResult", **_DONE, sentence=TEXT),
    **_EFFECT,
    elsewhere=by_key(OBJECT),
    approvals=shape("ApprovalsNeeded", needed=WHOLE),
    preview_token=TEXT,
    budgets=by_key(extended(ALLOWANCE, "Quote", moves=NUMBER, refused=maybe(TEXT))),
    blocked_by={
        "type": "array",
        "items": shape(
            "BlockedBy",
            rule={"enum": ["after"]},
            environment=TEXT,
            after=TEXT,
            flag=TEXT,
            sentence=TEXT,
            hint=TEXT,
            allowed_at=maybe(INSTANT),
        ),
    },
)
_CLIENT = shape(
    "Straggler",
    instance=TEXT,
    host=maybe(TEXT),
    sdk=TEXT,
    state={"enum": ["behind", "without_flags", "silent"]},
    revision=maybe(WHOLE),
    seen_at=INSTANT,
)
# Which clients serve what a request changed; comes where ``Prefer: wait=N`` asks for it.
RECEIPT = shape(
    "Receipt",
    environment=TEXT,
    revision=WHOLE,
    converged=YES_OR_NO,
    seconds=NUMBER,
    instances=shape("Standings", **dict.fromkeys(STANDINGS, WHOLE)),
    stragglers={"type": "array", "items": _CLIENT},
    silent={"type": "array", "items": _CLIENT},
)
_AT_REVISION = shape("EnvironmentAtRevision", environment=TEXT, revision=WHOLE)
COMPARISON = list_of(
    shape(
        "EnvironmentDifference",
        kind={"enum": ["flag", "segment"]},
        key=TEXT,
        state_source=TEXT,
        state_target=TEXT,
        state_after=TEXT,
        sentence_source=TEXT,
        sentence_target=TEXT,
        sentence_after=TEXT,
        fields={
            "type": "array",
            "items": shape(
                "FieldDifference", field=TEXT, source={}, target={}, after={}, carried=YES_OR_NO
            ),
        },
        stays=TEXTS,
        only=maybe(TEXT),
        promotable=YES_OR_NO,
    ),
    source=_AT_REVISION,
    target=_AT_REVISION,
    differ=WHOLE,
    same=shape("SameThings", flags=WHOLE, segments=WHOLE),
)
FILES = shape("Files", base=by_key(WHOLE), flags=by_key(OBJECT), segments=by_key(OBJECT))
IMPORTED = with_optional(
    shape(
        "ImportResult",
        **_DONE,
        created=TEXTS,
        updated=TEXTS,
        unchanged=TEXTS,
        refused={"type": "array", "items": shape("Refusal", name=TEXT, reason=TEXT)},
        sentences=by_key(TEXT),
    ),
    **_EFFECT,
    preview_token=TEXT,
)
_COUNTED = shape("CountedShare", count=WHOLE, size=WHOLE, share=NUMBER, low=NUMBER, high=NUMBER)
# Whether a revision moved as many as was predicted; ``alarm`` where that parts beyond chance.
PREDICTION = shape(
    "Prediction",
    revision=WHOLE,
    at=INSTANT,
    state={"enum": [state for state in PREDICTION_STATES if state != NOT_PREDICTED]},
    alarm=YES_OR_NO,
    sentence=TEXT,
    flags=TEXTS,
    predicted=maybe(_COUNTED),
    observed=maybe(_COUNTED),
    looks=WHOLE,
    p_value=maybe(NUMBER),
    error_rate=NUMBER,
    next_look_at=maybe(INSTANT),
)
APPROVAL = shape("Approval", by=TEXT, at=INSTANT, content_hash=TEXT, comment=TEXT)
# With the mode in which it was sent, when it was.
WAITING = with_optional(
    shape(
        "WaitingChange",
        id=WHOLE,
        environment=TEXT,
        state={"enum": list(STATES)},
        author=TEXT,
        comment=TEXT,
        instructions=OBJECTS,
        at=maybe(INSTANT),
        content_hash=TEXT,
        base_revision=WHOLE,
        preview=OBJECT,
        approvals={"type": "array", "items": APPROVAL},
        approvals_needed=WHOLE,
        writers=TEXTS,
        outcome=maybe(OBJECT),
        created_at=INSTANT,
        changed_at=INSTANT,
        version=WHOLE,
    ),
    mode={"enum": ["request", "schedule"]},
    prediction=PREDICTION,
)
FILES_APPLIED = with_optional(
    shape(
        "FilesApplied",
        mode={"enum": ["preview", "apply", "request"]},
        changed=YES_OR_NO,
        created=TEXTS,
        published=by_key(WHOLE),
        environments=by_key(
            shape(
                "FilesInEnvironment",
                sentence=TEXT,
                revision=WHOLE,
                flags=TEXTS,
                segments=TEXTS,
                verdict=maybe(TEXT),
                verdict_sentence=TEXT,
                approvals=OBJECT,
                blocked_by=OBJECTS,
            )
        ),
    ),
    preview_token=TEXT,
    changes={"type": "array", "items": WAITING},
)
SEGMENT = shape("Segment", key=TEXT, name=TEXT, condition={}, created_at=INSTANT, version=WHOLE)
_AUDIT_ENTRY = shape(
    "AuditEntry",
    id=WHOLE,
    chain=TEXT,
    number=WHOLE,
    project_id=WHOLE,
    environment_id=maybe(WHOLE),
    at=INSTANT,
    actor=TEXT,
    action=TEXT,
    resource=TEXT,
    comment=TEXT,
    before={},
    after={},
    revision=maybe(WHOLE),
    previous_hash=TEXT,
    hash=TEXT,
)
AUDIT_ENTRY = with_optional(_AUDIT_ENTRY, flag_set_hash=TEXT, prediction=PREDICTION)
REVISION = shape("Revision", number=WHOLE, etag=TEXT, actor=TEXT, comment=TEXT, created_at=INSTANT)
WHOLE_REVISION = with_optional({**REVISION, "title": "WholeRevision"}, flag_set=OBJECT, diff=OBJECT)
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

SOURCE = opened(
    shape("Source", key=TEXT, kind=TEXT, version=WHOLE, created_at=INSTANT, updated_at=INSTANT)
)
METRIC = shape(
    "Metric",
    key=TEXT,
    measures=TEXT,
    definition=OBJECT,
    direction=TEXT,
    owner=TEXT,
    description=TEXT,
    archived=YES_OR_NO,
    built_in=YES_OR_NO,
    version=WHOLE,
    created_at=INSTANT,
    changed_at=INSTANT,
)
LISTED_METRIC = extended(METRIC, "ListedMetric", experiments=WHOLE, sensitivity=maybe(OBJECT))
METRIC_WITH_HISTORY = extended(METRIC, "MetricWithHistory", history=OBJECTS)
METRIC_USE = shape("MetricUse", experiments=OBJECTS, sensitivity=maybe(OBJECT))
POLICY = shape(
    "Policy",
    name=TEXT,
    description=TEXT,
    state=TEXT,
    built_in=YES_OR_NO,
    archived=YES_OR_NO,
    version=maybe(WHOLE),
    published_version=maybe(WHOLE),
    document=OBJECT,
    characteristics=maybe(OBJECT),
    created_at=maybe(INSTANT),
    changed_at=maybe(INSTANT),
)
POLICY_WITH_HISTORY = extended(POLICY, "PolicyWithHistory", history=OBJECTS)
LAYER = shape(
    "Layer",
    key=TEXT,
    description=TEXT,
    version=maybe(WHOLE),
    salt=TEXT,
    buckets=WHOLE,
    free_share=NUMBER,
    free=ARRAY,
    experiments=OBJECTS,
    waiting=ARRAY,
)
HOLDOUT = with_optional(
    shape("Holdout", on=YES_OR_NO, share=NUMBER, flag=TEXT),
    rule=TEXT,
    version=WHOLE,
    started_at=INSTANT,
    changed_at=INSTANT,
    intact=YES_OR_NO,
    effect=maybe(OBJECT),
)
STANDING_AUDIT = shape(
    "StandingAudit",
    layer=TEXT,
    period=WHOLE,
    looks=WHOLE,
    at=INSTANT,
    units=OBJECT,
    metrics=TEXTS,
    verdict=maybe(TEXT),
    over=YES_OR_NO,
    counts=YES_OR_NO,
    false_verdict=YES_OR_NO,
)

_LISTED: dict[str, Schema] = {
    "key": TEXT,
    "flag": TEXT,
    "environment": TEXT,
    "state": TEXT,
    "verdict": maybe(TEXT),
    "winner": maybe(TEXT),
    "sentence": TEXT,
    "coverage": NUMBER,
    "dropped": ARRAY,
    "looks": WHOLE,
    "plan_hash": maybe(TEXT),
    "created_at": INSTANT,
    **dict.fromkeys(
        (
            "sealed_at",
            "started_at",
            "next_look_at",
            "next_ramp_at",
            "verdict_at",
            "confirm_by",
            "explain_by",
            "ended_at",
            "closed_at",
        ),
        maybe(INSTANT),
    ),
    "verdicts": ARRAY,
    "held_cause": maybe(TEXT),
    "extension_seconds": NUMBER,
    "override": maybe(OBJECT),
    "review": maybe(OBJECT),
    "request": maybe(OBJECT),
    "realised": maybe(OBJECT),
}
LISTED_EXPERIMENT = shape("ListedExperiment", **_LISTED)
EXPERIMENT = shape(
    "Experiment", **_LISTED, plan=OBJECT, newer_metrics=OBJECTS, newer_policy=maybe(OBJECT)
)
LISTED_RELEASE = shape("ListedRelease", **_LISTED, release=maybe(OBJECT))
RELEASE = extended(LISTED_RELEASE, "Release", plan=OBJECT)
FORECAST = opened(shape("Forecast", status=TEXT))
LOOK = shape("Look", number=WHOLE, at=INSTANT, verdict=maybe(TEXT), data=OBJECT, decision=OBJECT)
READING = opened(shape("Reading", status={"enum": ["none", "pending", "ready"]}))
RESULTS = opened(shape("Results", format=TEXT, plan=OBJECT))
RECORD = shape("Record", experiment=OBJECT, records=OBJECTS)
LEDGER_ENTRY = opened(shape("LedgerEntry", number=WHOLE, experiment=TEXT, kind=TEXT, hash=TEXT))
OUTCOME = shape(
    "Outcome",
    key=TEXT,
    name=TEXT,
    value=maybe(NUMBER),
    unit=TEXT,
    n=WHOLE,
    needed=WHOLE,
    text=TEXT,
    definition=TEXT,
)
REQUEST = shape(
    "Request",
    id=WHOLE,
    title=TEXT,
    text=TEXT,
    **{"class": {"enum": ["value", "failure"]}},
    asker=TEXT,
    state={"enum": ["open", "linked", "resolved", "declined"]},
    flag=maybe(TEXT),
    relation=maybe(TEXT),
    note=TEXT,
    created_at=INSTANT,
    created_by=TEXT,
    linked_at=maybe(INSTANT),
    resolved_at=maybe(INSTANT),
    version=WHOLE,
)
WEBHOOK = shape(
    "Webhook",
    id=WHOLE,
    name=TEXT,
    url=TEXT,
    form={"enum": ["full", "slack"]},
    environments=TEXTS,
    kinds=TEXTS,
    enabled=YES_OR_NO,
    disabled_because=TEXT,
    failing_since=maybe(INSTANT),
    previous_secret_until=maybe(INSTANT),
    created_by=TEXT,
    created_at=INSTANT,
    version=WHOLE,
)
NEW_WEBHOOK = extended(WEBHOOK, "NewWebhook", secret=TEXT)
DELIVERY = shape(
    "Delivery",
    id=WHOLE,
    message_id=TEXT,
    kind=TEXT,
    sentence=TEXT,
    at=INSTANT,
    state={"enum": ["waiting", "delivered", "given_up"]},
    next_at=maybe(INSTANT),
    ended_at=maybe(INSTANT),
    attempts={
        "type": "array",
        "items": shape(
            "Attempt", at=INSTANT, duration_ms=WHOLE, status=maybe(WHOLE), error=TEXT, answer=TEXT
        ),
    },
)
KILL_HOOK = shape(
    "KillHook",
    id=WHOLE,
    name=TEXT,
    scope={"enum": ["flags", "owner", "tag"]},
    names=TEXTS,
    created_by=TEXT,
    created_at=INSTANT,
    revoked_at=maybe(INSTANT),
    used_at=maybe(INSTANT),
)
NEW_KILL_HOOK = extended(KILL_HOOK, "NewKillHook", secret=TEXT)
NOTIFICATION = shape(
    "Notification",
    id=WHOLE,
    kind=TEXT,
    at=INSTANT,
    actor=TEXT,
    resource=TEXT,
    environments=TEXTS,
    sentence=TEXT,
    reason=TEXT,
    path=TEXT,
    unread=YES_OR_NO,
)
