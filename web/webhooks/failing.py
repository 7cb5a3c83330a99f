"""Webhooks that fail, as something that somebody has to look at."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from sqlmodel import Session, col, func, select

from experiments.people.task import Task
from flags.words import to_the_minute
from web.webhooks.models import Delivery
from web.webhooks.services import GIVEN_UP, list_webhooks

# A receiver that restarts is nobody's business.
_PATIENCE = dt.timedelta(minutes=10)
_OLD = dt.timedelta(days=14)


def failing(session: Session, project_key: str, *, now: dt.datetime) -> Iterator[Task]:
    """Give the webhooks of a project whose messages do not arrive."""
    hooks = list_webhooks(session, project_key)
    counted = session.exec(
        select(col(Delivery.webhook_id), func.count())
        .where(
            col(Delivery.webhook_id).in_([each.id for each in hooks]),
            Delivery.state == GIVEN_UP,
            col(Delivery.ended_at) > now - _OLD,
        )
        .group_by(col(Delivery.webhook_id))
    )
    given_up = {number: count for number, count in counted if number is not None}
    for each in hooks:
        lost = given_up.get(each.id or 0, 0)
        late = each.failing_since is not None and now - each.failing_since > _PATIENCE
        if each.enabled and not late and not lost:
            continue
        if not each.enabled and not each.disabled_because:
            # Somebody turned it off, and knows.
            continue
        since = ""
        if each.failing_since is not None and late:
            since = f" Every attempt has failed since {to_the_minute(each.failing_since)}."
        yield Task(
            what=f"{each.name}: {_lost(lost, disabled=not each.enabled)}",
            why=f"{each.disabled_because}{since}".strip(),
            who="an administrator",
            mine=True,
            verb="Look",
            urgency=2,
            webhook=each.id,
        )


def _lost(count: int, *, disabled: bool) -> str:
    lost = f"{count:,} {'message was' if count == 1 else 'messages were'} not delivered"
    if disabled:
        return f"the webhook was disabled{f', {lost}' if count else ''}."
    return f"{lost}." if count else "the webhook does not answer."
