"""Sources, metrics and policies."""

from __future__ import annotations

from web.api.shapes.basics import (
    INSTANT,
    OBJECT,
    OBJECTS,
    TEXT,
    WHOLE,
    YES_OR_NO,
    extended,
    maybe,
    opened,
    shape,
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
