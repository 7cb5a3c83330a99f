"""What the API answers with, as JSON schemas: named ones are components of the OpenAPI document.

They are parted by what they are about. A test holds every answer of the routes against its shape: a
key that is answered and not described here fails it, and so does one that is described and missing.
Callers are to expect new keys.
"""

from __future__ import annotations

from web.api.shapes.audit import AUDIT_ENTRY, REVISION, WHOLE_REVISION
from web.api.shapes.basics import OBJECT, OBJECTS, TEXT, WHOLE, YES_OR_NO, list_of, maybe, shape
from web.api.shapes.catalogue import (
    LISTED_METRIC,
    METRIC,
    METRIC_USE,
    METRIC_WITH_HISTORY,
    POLICY,
    POLICY_WITH_HISTORY,
    SOURCE,
)
from web.api.shapes.changes import (
    CHANGED,
    COMPARISON,
    FILES,
    FILES_APPLIED,
    IMPORTED,
    PREDICTION,
    RECEIPT,
    WAITING,
)
from web.api.shapes.experiments import (
    EXPERIMENT,
    FORECAST,
    HOLDOUT,
    LAYER,
    LEDGER_ENTRY,
    LISTED_EXPERIMENT,
    LISTED_RELEASE,
    LOOK,
    OUTCOME,
    READING,
    RECORD,
    RELEASE,
    REQUEST,
    RESULTS,
    STANDING_AUDIT,
)
from web.api.shapes.flags import FLAG, LIFECYCLE, PUBLISHED_FLAG, SEGMENT
from web.api.shapes.hooks import (
    DELIVERY,
    KILL_HOOK,
    NEW_KILL_HOOK,
    NEW_WEBHOOK,
    NOTIFICATION,
    WEBHOOK,
)
from web.api.shapes.people import CALLER, MEMBER, NEW_TOKEN, PERSON, SET_UP, SIGNED_IN, TOKEN
from web.api.shapes.projects import ENVIRONMENT, PROJECT
from web.api.shapes.traffic import (
    CONTEXT_SAMPLE,
    EVALUATED_EVERYWHERE,
    EVALUATION,
    EVENT_TYPE,
    EVENTS,
    INSTANCES,
    LATEST_EVENT,
    OUTAGE,
)

__all__ = [
    "AUDIT_ENTRY",
    "CALLER",
    "CHANGED",
    "COMPARISON",
    "CONTEXT_SAMPLE",
    "DELIVERY",
    "ENVIRONMENT",
    "EVALUATED_EVERYWHERE",
    "EVALUATION",
    "EVENTS",
    "EVENT_TYPE",
    "EXPERIMENT",
    "FILES",
    "FILES_APPLIED",
    "FLAG",
    "FORECAST",
    "HOLDOUT",
    "IMPORTED",
    "INSTANCES",
    "KILL_HOOK",
    "LATEST_EVENT",
    "LAYER",
    "LEDGER_ENTRY",
    "LIFECYCLE",
    "LISTED_EXPERIMENT",
    "LISTED_METRIC",
    "LISTED_RELEASE",
    "LOOK",
    "MEMBER",
    "METRIC",
    "METRIC_USE",
    "METRIC_WITH_HISTORY",
    "NEW_KILL_HOOK",
    "NEW_TOKEN",
    "NEW_WEBHOOK",
    "NOTIFICATION",
    "OBJECT",
    "OBJECTS",
    "OUTAGE",
    "OUTCOME",
    "PERSON",
    "POLICY",
    "POLICY_WITH_HISTORY",
    "PREDICTION",
    "PROJECT",
    "PUBLISHED_FLAG",
    "READING",
    "RECEIPT",
    "RECORD",
    "RELEASE",
    "REQUEST",
    "RESULTS",
    "REVISION",
    "SEGMENT",
    "SET_UP",
    "SIGNED_IN",
    "SOURCE",
    "STANDING_AUDIT",
    "TEXT",
    "TOKEN",
    "WAITING",
    "WEBHOOK",
    "WHOLE",
    "WHOLE_REVISION",
    "YES_OR_NO",
    "list_of",
    "maybe",
    "shape",
]
