"""What is told to others: webhooks, kill hooks, notifications."""

from __future__ import annotations

from web.api.shapes.basics import INSTANT, TEXT, TEXTS, WHOLE, YES_OR_NO, extended, maybe, shape

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
