"""Webhooks as people handle them: made, changed, rotated, tested, looked into, sent again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, delete, select

from flags import notices
from flags.actor import Actor
from flags.audit import append
from flags.canonical import digest
from flags.errors import InvalidInputError, NotFoundError, StateError, VersionConflictError
from flags.models import Notice
from flags.services import get_project, list_environments
from web.webhooks.models import Attempt, Delivery, Webhook
from web.webhooks.networks import Network
from web.webhooks.payload import FORMS
from web.webhooks.sending import check_url
from web.webhooks.signing import new_secret

WAITING, DELIVERED, GIVEN_UP = "waiting", "delivered", "given_up"
MOST_WEBHOOKS = 50
OVERLAP = dt.timedelta(hours=24)
MOST_OVERLAP_HOURS = 7 * 24
_MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class Sending:
    """One delivery with its notice and its attempts, newest first."""

    delivery: Delivery
    notice: Notice
    attempts: list[Attempt]


def create_webhook(
    session: Session,
    project_key: str,
    *,
    name: str,
    url: str,
    form: str = "full",
    environments: Sequence[str] = (),
    kinds: Sequence[str] = (),
    allowed: Sequence[Network] = (),
    actor: Actor,
    now: dt.datetime,
) -> tuple[str, Webhook]:
    """Make a webhook; the first of the pair is its secret, which is not shown again."""
    project = get_project(session, project_key)
    if len(list_webhooks(session, project_key)) >= MOST_WEBHOOKS:
        raise StateError(f"a project has at most {MOST_WEBHOOKS} webhooks")
    secret = new_secret()
    assert project.id is not None
    webhook = Webhook(
        project_id=project.id,
        name="",
        url="",
        form=form,
        environments=[],
        kinds=[],
        secret=secret,
        created_by=str(actor),
        created_at=now,
    )
    given = {"name": name, "url": url, "form": form, "environments": environments, "kinds": kinds}
    _write(session, project_key, webhook, given, allowed)
    _audit(session, webhook, "create_webhook", None, _told(webhook), actor, now)
    return secret, webhook


def update_webhook(
    session: Session,
    project_key: str,
    webhook_id: int,
    given: Mapping[str, Any],
    *,
    allowed: Sequence[Network] = (),
    actor: Actor,
    now: dt.datetime,
    expected_version: int | None = None,
) -> Webhook:
    """Change some of ``name``, ``url``, ``form``, ``environments``, ``kinds`` and ``enabled``.

    One that is enabled again begins anew; what it missed can be replayed.
    """
    webhook = get_webhook(session, project_key, webhook_id)
    _expect(webhook, expected_version)
    before = _told(webhook)
    enabled = given.get("enabled")
    if enabled is not None and enabled != webhook.enabled:
        webhook.enabled, webhook.disabled_because, webhook.failing_since = enabled, "", None
        if not enabled:
            give_up_waiting(session, webhook, now)
    _write(session, project_key, webhook, given, allowed)
    if _told(webhook) != before:
        _audit(session, webhook, "update_webhook", before, _told(webhook), actor, now)
    return webhook


def _expect(webhook: Webhook, version: int | None) -> None:
    if version is not None and version != webhook.version:
        raise VersionConflictError(
            f"webhook {webhook.id} is at version {webhook.version}, not {version}",
            hint="read it again, and decide anew",
        )


def delete_webhook(
    session: Session,
    project_key: str,
    webhook_id: int,
    *,
    actor: Actor,
    now: dt.datetime,
    expected_version: int | None = None,
) -> None:
    """Take a webhook away, with its log."""
    webhook = get_webhook(session, project_key, webhook_id)
    _expect(webhook, expected_version)
    of_it = select(Delivery.id).where(Delivery.webhook_id == webhook.id)
    session.exec(delete(Attempt).where(col(Attempt.delivery_id).in_(of_it)))
    session.exec(delete(Delivery).where(col(Delivery.webhook_id) == webhook.id))
    _audit(session, webhook, "delete_webhook", _told(webhook), None, actor, now)
    session.delete(webhook)
    session.flush()


def rotate_secret(
    session: Session,
    project_key: str,
    webhook_id: int,
    *,
    overlap: dt.timedelta = OVERLAP,
    actor: Actor,
    now: dt.datetime,
) -> tuple[str, Webhook]:
    """Give a webhook a new secret; until the overlap is over, both sign every message."""
    if not dt.timedelta() <= overlap <= dt.timedelta(hours=MOST_OVERLAP_HOURS):
        raise InvalidInputError(
            f"an overlap is 0 to {MOST_OVERLAP_HOURS} hours long", field="overlap_hours"
        )
    webhook = get_webhook(session, project_key, webhook_id)
    webhook.previous_secret, webhook.previous_until = webhook.secret, now + overlap
    if not overlap:
        webhook.previous_secret = webhook.previous_until = None
    webhook.secret = new_secret()
    _audit(session, webhook, "rotate_webhook_secret", None, None, actor, now)
    return webhook.secret, webhook


def list_webhooks(session: Session, project_key: str) -> list[Webhook]:
    """Give a project's webhooks, oldest first."""
    project = get_project(session, project_key)
    query = select(Webhook).where(Webhook.project_id == project.id)
    return list(session.exec(query.order_by(col(Webhook.id))))


def get_webhook(session: Session, project_key: str, webhook_id: int) -> Webhook:
    """Give one webhook of a project."""
    project = get_project(session, project_key)
    webhook = session.get(Webhook, webhook_id)
    if webhook is None or webhook.project_id != project.id:
        raise NotFoundError(f"there is no webhook {webhook_id}")
    return webhook


def list_deliveries(
    session: Session,
    webhook: Webhook,
    *,
    state: str | None = None,
    before_id: int | None = None,
    limit: int = 50,
) -> list[Sending]:
    """Give a webhook's log, the newest notice first, each with its last attempts."""
    query = (
        select(Delivery, Notice)
        .join(Notice, col(Notice.id) == col(Delivery.notice_id))
        .where(Delivery.webhook_id == webhook.id)
    )
    if state is not None:
        query = query.where(Delivery.state == state)
    if before_id is not None:
        query = query.where(col(Delivery.id) < before_id)
    found = session.exec(query.order_by(col(Delivery.id).desc()).limit(limit)).all()
    attempts: dict[int, list[Attempt]] = {}
    ids = [each.id for each, _ in found]
    newest_first = col(Attempt.id).desc()
    for attempt in session.exec(
        select(Attempt).where(col(Attempt.delivery_id).in_(ids)).order_by(newest_first)
    ):
        attempts.setdefault(attempt.delivery_id, []).append(attempt)
    return [Sending(each, notice, attempts.get(each.id or 0, [])) for each, notice in found]


def get_delivery(session: Session, webhook: Webhook, delivery_id: int) -> Sending:
    """Give one entry of a webhook's log."""
    found = list_deliveries(session, webhook, before_id=delivery_id + 1, limit=1)
    if not found or found[0].delivery.id != delivery_id:
        raise NotFoundError(f"there is no delivery {delivery_id}")
    return found[0]


def try_webhook(
    session: Session, project_key: str, webhook_id: int, *, actor: Actor, now: dt.datetime
) -> Sending:
    """Send a webhook a message of the kind ``webhook.test``, whatever kinds it is for."""
    webhook = _to_send_to(session, project_key, webhook_id)
    notice = notices.write(
        session,
        "webhook.test",
        f"{notices.who(actor)} tests the webhook {webhook.name}: if you read this, it works.",
        project_id=webhook.project_id,
        actor=actor,
        resource=f"webhook:{webhook.id}",
        now=now,
    )
    notice.waiting = False
    session.flush()
    return Sending(enqueue(session, webhook, notice, now), notice, [])


def replay_delivery(
    session: Session, project_key: str, webhook_id: int, delivery_id: int, *, now: dt.datetime
) -> Sending:
    """Send one message again, under the same id."""
    webhook = _to_send_to(session, project_key, webhook_id)
    sending = get_delivery(session, webhook, delivery_id)
    enqueue(session, webhook, sending.notice, now, known=sending.delivery)
    return sending


def replay_since(
    session: Session,
    project_key: str,
    webhook_id: int,
    since: dt.datetime,
    *,
    only_failed: bool = False,
    now: dt.datetime,
) -> int:
    """Send everything again that happened since a time; give how many messages that are.

    What happened before the webhook was made, or while it was disabled, is sent too.

    Parameters
    ----------
    only_failed : bool
        Leave out what was delivered.
    """
    webhook = _to_send_to(session, project_key, webhook_id)
    query = select(Notice).where(
        Notice.project_id == webhook.project_id,
        col(Notice.at) >= since,
        col(Notice.kind) != "webhook.test",
        # What still waits is sent in any case.
        col(Notice.waiting).is_(False),
    )
    of_it = select(Delivery).where(Delivery.webhook_id == webhook.id)
    known = {each.notice_id: each for each in session.exec(of_it)}
    count = 0
    for notice in session.exec(query.order_by(col(Notice.id))):
        delivery = known.get(notice.id or 0)
        done = delivery is not None and (
            delivery.state == WAITING or (only_failed and delivery.state == DELIVERED)
        )
        if wants(webhook, notice) and not done:
            enqueue(session, webhook, notice, now, known=delivery)
            count += 1
    return count


def wants(webhook: Webhook, notice: Notice) -> bool:
    """Tell whether a notice is of the kinds and environments that a webhook is for."""
    places = webhook.environments
    here = not places or not notice.environments or bool(set(places) & set(notice.environments))
    return here and notices.matches(notice.kind, webhook.kinds)


def enqueue(
    session: Session,
    webhook: Webhook,
    notice: Notice,
    now: dt.datetime,
    *,
    known: Delivery | None = None,
) -> Delivery:
    """Put a notice on its way to a webhook, or on its way once more."""
    assert webhook.id is not None
    assert notice.id is not None
    delivery = known or Delivery(
        webhook_id=webhook.id, notice_id=notice.id, state="", next_at=now, created_at=now
    )
    delivery.state, delivery.attempts, delivery.next_at = WAITING, 0, now
    delivery.ended_at = None
    session.add(delivery)
    session.flush()
    return delivery


def give_up_waiting(session: Session, webhook: Webhook, now: dt.datetime) -> None:
    """Send nothing more of what waits for a webhook."""
    session.execute(
        sa.update(Delivery)
        .where(col(Delivery.webhook_id) == webhook.id, col(Delivery.state) == WAITING)
        .values(state=GIVEN_UP, ended_at=now)
    )


def _to_send_to(session: Session, project_key: str, webhook_id: int) -> Webhook:
    webhook = get_webhook(session, project_key, webhook_id)
    if not webhook.enabled:
        raise StateError(f"webhook {webhook_id} is disabled", hint="enable it first")
    return webhook


def _write(
    session: Session,
    project_key: str,
    webhook: Webhook,
    given: Mapping[str, Any],
    allowed: Sequence[Network],
) -> None:
    if "name" in given:
        webhook.name = check_title(given["name"])
    if "url" in given:
        webhook.url = check_url(given["url"].strip(), allowed)
    if "form" in given:
        if given["form"] not in FORMS:
            raise InvalidInputError(
                f"there is no form {given['form'][:40]!r}", field="form", hint=", ".join(FORMS)
            )
        webhook.form = given["form"]
    if "environments" in given:
        known = [each.key for each in list_environments(session, project_key)]
        for index, key in enumerate(given["environments"]):
            if key not in known:
                raise InvalidInputError(
                    f"there is no environment {key[:80]!r}",
                    field=f"environments[{index}]",
                    hint=", ".join(known),
                )
        webhook.environments = list(dict.fromkeys(given["environments"]))
    if "kinds" in given:
        webhook.kinds = notices.check_kinds(given["kinds"], "kinds")
    session.add(webhook)
    session.flush()


def check_title(name: str) -> str:
    """Give a name without space around it, or refuse it."""
    name = name.strip()
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        message = f"a name of 1 to {_MAX_NAME} characters is needed"
        raise InvalidInputError(message, field="name", hint="say who receives it")
    return name


def host_of(webhook: Webhook) -> str:
    """Give as much of the receiver's address as may be seen by all: with many its path is a key."""
    scheme, _, rest = webhook.url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].partition('?')[0]}/…"


def _told(webhook: Webhook) -> dict[str, Any]:
    return {
        "name": webhook.name,
        "receiver": host_of(webhook),
        # So that the audit tells of another path too, which it does not show.
        "receiver_hash": digest(webhook.url.encode())[:12],
        "form": webhook.form,
        "environments": webhook.environments,
        "kinds": webhook.kinds,
        "enabled": webhook.enabled,
    }


def _audit(
    session: Session,
    webhook: Webhook,
    action: str,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    actor: Actor,
    now: dt.datetime,
) -> None:
    session.add(webhook)
    session.flush()
    append(
        session,
        project_id=webhook.project_id,
        actor=actor,
        action=action,
        resource=f"webhook:{webhook.id}",
        before=before,
        after=after,
        now=now,
    )
