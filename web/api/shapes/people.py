"""People, keys, and what is left of their budgets."""

from __future__ import annotations

from web.api.shapes.basics import (
    INSTANT,
    NUMBER,
    OBJECT,
    TEXT,
    TEXTS,
    WHOLE,
    YES_OR_NO,
    by_key,
    extended,
    maybe,
    shape,
)

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
