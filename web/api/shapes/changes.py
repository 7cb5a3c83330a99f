"""Changes: previewed, applied, waited for, compared, asked for, and who serves them."""

from __future__ import annotations

from flags.predictions import NOT_PREDICTED
from flags.predictions import STATES as PREDICTION_STATES
from flags.receipts import STANDINGS
from flags.request_rows import STATES
from web.api.shapes.basics import (
    INSTANT,
    NUMBER,
    OBJECT,
    OBJECTS,
    TEXT,
    TEXTS,
    WHOLE,
    YES_OR_NO,
    by_key,
    extended,
    list_of,
    maybe,
    shape,
    with_optional,
)
from web.api.shapes.people import ALLOWANCE
from web.contract import Schema

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
