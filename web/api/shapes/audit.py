"""What was done, and the revisions that came of it."""

from __future__ import annotations

from web.api.shapes.basics import INSTANT, OBJECT, TEXT, WHOLE, maybe, shape, with_optional
from web.api.shapes.changes import PREDICTION

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
