"""Experiments, releases, layers, and what they were worth."""

from __future__ import annotations

from web.api.shapes.basics import (
    ARRAY,
    INSTANT,
    NUMBER,
    OBJECT,
    OBJECTS,
    TEXT,
    TEXTS,
    WHOLE,
    YES_OR_NO,
    extended,
    maybe,
    opened,
    shape,
    with_optional,
)
from web.contract import Schema

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
    "learned": maybe(shape("Learned", text=TEXT, by=TEXT, at=INSTANT)),
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
