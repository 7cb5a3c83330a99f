"""Projects and environments."""

from __future__ import annotations

from web.api.shapes.basics import INSTANT, TEXT, WHOLE, YES_OR_NO, maybe, shape

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
