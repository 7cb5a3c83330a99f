"""Webhooks: where what happens in a project is sent, and what came of it."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal, cast

from flask import Response, current_app
from flask.typing import ResponseReturnValue
from pydantic import Field

from web.api.blueprint import blueprint
from web.api.filtered import filtered_by
from web.api.idempotency import idempotent
from web.api.render import PageQuery, document, page, upon_expected
from web.api.shapes import DELIVERY, NEW_WEBHOOK, WEBHOOK, WHOLE, list_of, shape
from web.api.times import Instant, parse_instant
from web.auth.guard import needs, who_and_when
from web.auth.roles import Role
from web.body import Body, Query, read_body, read_query
from web.contract import gives, takes
from web.lists import WEBHOOKS
from web.settings import Settings
from web.transactions import now, reading, transaction
from web.webhooks import services
from web.webhooks.models import Webhook
from web.webhooks.networks import Network
from web.webhooks.services import Sending

_WEBHOOKS = filtered_by(WEBHOOKS)
_LIST = "/projects/<project_key>/webhooks"
_ITEM = f"{_LIST}/<int(max=2147483647):webhook_id>"
_DELIVERY = f"{_ITEM}/deliveries/<int(max=2147483647):delivery_id>"

Name = Annotated[str, Field(max_length=1024)]
Address = Annotated[str, Field(max_length=4096)]
Texts = Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=100)]


class WebhookBody(Body):
    """A webhook to make; empty lists stand for all."""

    name: Name
    url: Address
    form: Literal["full", "slack"] = "full"
    environments: Texts = Field(default_factory=list)
    kinds: Texts = Field(default_factory=list)


class WebhookEdit(Body):
    """What is to be different."""

    name: Name | None = None
    url: Address | None = None
    form: Literal["full", "slack"] | None = None
    environments: Texts | None = None
    kinds: Texts | None = None
    enabled: bool | None = None


class SecretRotationBody(Body):
    """For how long the secret of before signs too."""

    overlap_hours: Annotated[int, Field(ge=0, le=services.MOST_OVERLAP_HOURS)] = 24


class ReplayBody(Body):
    """Since when everything is sent again; ``only_failed`` leaves out what was delivered."""

    since: Instant
    only_failed: bool = False


class DeliveriesQuery(PageQuery):
    """Which deliveries."""

    state: Literal["waiting", "delivered", "given_up"] | None = None


@blueprint.get(_LIST)
@needs(Role.ADMIN)
@takes(query=_WEBHOOKS)
@gives(list_of(WEBHOOK))
def list_webhooks(project_key: str) -> ResponseReturnValue:
    """List a project's webhooks."""
    query = read_query(_WEBHOOKS)
    with reading() as session:
        found = services.list_webhooks(session, project_key)
    return document(query.page([_show(each) for each in found], "id"))


@blueprint.post(_LIST)
@needs(Role.ADMIN)
@idempotent(secret=True)
@takes(body=WebhookBody)
@gives(NEW_WEBHOOK, 201, etag=True)
def create_webhook(project_key: str) -> ResponseReturnValue:
    """Make a webhook; its secret is shown this once."""
    body = read_body(WebhookBody)
    with transaction() as session:
        secret, made = services.create_webhook(
            session, project_key, **body.model_dump(), allowed=networks(), **who_and_when()
        )
        shown = {**_show(made), "secret": secret}
    return document(shown, status=201, etag=made.version)


@blueprint.get(_ITEM)
@needs(Role.ADMIN)
@gives(WEBHOOK, etag=True)
def get_webhook(project_key: str, webhook_id: int) -> ResponseReturnValue:
    """Return one webhook; its ETag is its version."""
    read_query(Query)
    with reading() as session:
        found = services.get_webhook(session, project_key, webhook_id)
    return document(_show(found), etag=found.version)


@blueprint.patch(_ITEM)
@needs(Role.ADMIN)
@takes(body=WebhookEdit, if_match=True)
@gives(WEBHOOK, etag=True)
def edit_webhook(project_key: str, webhook_id: int) -> ResponseReturnValue:
    """Change a webhook; ``enabled: true`` brings back one that was disabled."""
    given = {k: v for k, v in read_body(WebhookEdit).model_dump().items() if v is not None}
    expected = upon_expected()
    with transaction() as session:
        found = services.update_webhook(
            session, project_key, webhook_id, given, allowed=networks(), **expected
        )
        session.flush()
        return document(_show(found), etag=found.version)


@blueprint.delete(_ITEM)
@needs(Role.ADMIN)
@takes(if_match=True)
@gives(None, 204)
def delete_webhook(project_key: str, webhook_id: int) -> ResponseReturnValue:
    """Take a webhook away, with its log."""
    with transaction() as session:
        services.delete_webhook(session, project_key, webhook_id, **upon_expected())
    return Response(status=204)


@blueprint.post(f"{_ITEM}/rotate")
@needs(Role.ADMIN)
@idempotent(secret=True)
@takes(body=SecretRotationBody)
@gives(NEW_WEBHOOK, etag=True)
def rotate_webhook(project_key: str, webhook_id: int) -> ResponseReturnValue:
    """Give a webhook a new secret, shown this once; the one before signs too for a while."""
    overlap = dt.timedelta(hours=read_body(SecretRotationBody).overlap_hours)
    with transaction() as session:
        secret, found = services.rotate_secret(
            session, project_key, webhook_id, overlap=overlap, **who_and_when()
        )
        return document({**_show(found), "secret": secret}, etag=found.version)


@blueprint.post(f"{_ITEM}/test")
@needs(Role.ADMIN)
@idempotent()
@gives(DELIVERY, 202)
def try_webhook(project_key: str, webhook_id: int) -> ResponseReturnValue:
    """Send a webhook a message of the kind ``webhook.test``; its delivery says what came of it."""
    with transaction() as session:
        sending = services.try_webhook(session, project_key, webhook_id, **who_and_when())
        return document(_show_delivery(sending), status=202)


@blueprint.post(f"{_ITEM}/replay")
@needs(Role.ADMIN)
@idempotent()
@takes(body=ReplayBody)
@gives(shape("Replayed", messages=WHOLE), 202)
def replay_webhook(project_key: str, webhook_id: int) -> ResponseReturnValue:
    """Send everything again that happened since a time, under the ids that it had."""
    body = read_body(ReplayBody)
    since = parse_instant(body.since, field="since")
    with transaction() as session:
        count = services.replay_since(
            session, project_key, webhook_id, since, only_failed=body.only_failed, now=now()
        )
    return document({"messages": count}, status=202)


@blueprint.get(f"{_ITEM}/deliveries")
@needs(Role.ADMIN)
@takes(query=DeliveriesQuery)
@gives(list_of(DELIVERY))
def list_deliveries(project_key: str, webhook_id: int) -> ResponseReturnValue:
    """List what was sent to a webhook, newest first, each with its attempts."""
    query = read_query(DeliveriesQuery)
    with reading() as session:
        found = services.list_deliveries(
            session,
            services.get_webhook(session, project_key, webhook_id),
            state=query.state,
            before_id=query.after_number(),
            limit=query.limit + 1,
        )
    shown = found[: query.limit]
    more = shown[-1].delivery.id if len(found) > query.limit else None
    return document(page([_show_delivery(each) for each in shown], more))


@blueprint.get(_DELIVERY)
@needs(Role.ADMIN)
@gives(DELIVERY)
def get_delivery(project_key: str, webhook_id: int, delivery_id: int) -> ResponseReturnValue:
    """Return one delivery with its attempts."""
    read_query(Query)
    with reading() as session:
        webhook = services.get_webhook(session, project_key, webhook_id)
        return document(_show_delivery(services.get_delivery(session, webhook, delivery_id)))


@blueprint.post(f"{_DELIVERY}/replay")
@needs(Role.ADMIN)
@idempotent()
@gives(DELIVERY, 202)
def replay_delivery(project_key: str, webhook_id: int, delivery_id: int) -> ResponseReturnValue:
    """Send one message again, under the same id."""
    with transaction() as session:
        sending = services.replay_delivery(session, project_key, webhook_id, delivery_id, now=now())
        return document(_show_delivery(sending), status=202)


def networks() -> tuple[Network, ...]:
    """Return which networks the operator lets webhooks reach."""
    settings = cast("Settings", current_app.extensions["flagstone.settings"])
    return settings.webhook_networks


def _show(webhook: Webhook) -> dict[str, Any]:
    until = webhook.previous_until
    return {
        "id": webhook.id,
        "name": webhook.name,
        "url": webhook.url,
        "form": webhook.form,
        "environments": webhook.environments,
        "kinds": webhook.kinds,
        "enabled": webhook.enabled,
        "disabled_because": webhook.disabled_because,
        "failing_since": webhook.failing_since,
        "previous_secret_until": until if until is not None and until > now() else None,
        "created_by": webhook.created_by,
        "created_at": webhook.created_at,
        "version": webhook.version,
    }


def _show_delivery(sending: Sending) -> dict[str, Any]:
    delivery, notice = sending.delivery, sending.notice
    return {
        "id": delivery.id,
        "message_id": notice.message_id,
        "kind": notice.kind,
        "sentence": notice.sentence,
        "at": notice.at,
        "state": delivery.state,
        "next_at": delivery.next_at if delivery.state == services.WAITING else None,
        "ended_at": delivery.ended_at,
        "attempts": [
            {
                "at": each.at,
                "duration_ms": each.duration_ms,
                "status": each.status,
                "error": each.error,
                "answer": each.answer,
            }
            for each in sending.attempts
        ],
    }
